"""Sounds that are no loops of an instrument: knocks, scrapes, drips, rooms and voices."""

from typing import Any

import numpy as np
from scipy.signal import butter, sosfilt

from loopsphere.features.config import BUNDLED
from loopsphere.synth.substitutes import environment_like, speech_like
from pretraining.effects import to_unit_peak
from pretraining.sources import SAMPLE_RATE, Audio

KINDS = ("impact", "scrape", "drips", "room", "speech", "crowd")


def draw_foley(rng: np.random.Generator) -> tuple[Audio, dict[str, Any]]:
    """Draw one sound of 1 to 12 s and its labels; what only music has is None."""
    kind = str(rng.choice(KINDS))
    n_samples = int(rng.uniform(1.0, 12.0) * SAMPLE_RATE)
    audio = _SOUNDS[kind](n_samples, rng).astype(np.float32)
    bed = rng.normal(size=n_samples) * 10 ** rng.uniform(-4.5, -1.8)
    labels = {
        "bpm": None, "beats_per_bar": None, "root": None, "scale": None, "swing": None, "source": "foley",
        "instrument": f"foley:{kind}", "family": "sfx", "style": kind, "chroma": None, "density": None,
        "polyphony": None, "articulation": None, "midi_mean": None, "wraps": False, "n_samples": n_samples,
        "is_longer": n_samples > BUNDLED.window_samples,
    }  # fmt: skip
    return to_unit_peak(audio + bed.astype(np.float32) * np.abs(audio).max()), labels


def _band(noise: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    edges = [low_hz, min(high_hz, 0.49 * SAMPLE_RATE)]
    return sosfilt(butter(2, edges, "bandpass", fs=SAMPLE_RATE, output="sos"), noise)


def _knock(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """One struck object: inharmonic modes that die away, and the burst that excites them."""
    time_s = np.arange(n_samples) / SAMPLE_RATE
    base_hz = np.exp(rng.uniform(np.log(60), np.log(2500)))
    sound = np.zeros(n_samples)
    for _ in range(rng.integers(4, 16)):
        mode_hz = base_hz * rng.uniform(1, 9)
        if mode_hz < 0.45 * SAMPLE_RATE:
            decay_s = rng.uniform(0.01, 0.25) * (base_hz / mode_hz) ** 0.5
            wave = np.sin(2 * np.pi * mode_hz * time_s + rng.uniform(0, 6))
            sound += rng.uniform(0.1, 1) * np.exp(-time_s / decay_s) * wave
    burst = rng.normal(size=n_samples) * np.exp(-time_s / rng.uniform(0.002, 0.08))
    return sound + rng.uniform(0.3, 3) * _band(burst, rng.uniform(50, 800), rng.uniform(1500, 14_000))


def _scattered(n_samples: int, starts: np.ndarray, make: Any, rng: np.random.Generator) -> np.ndarray:
    """Place sounds of up to 1.5 s at the given samples, each at a level of its own."""
    sound = np.zeros(n_samples)
    for start in starts:
        piece = make(min(n_samples - int(start), int(1.5 * SAMPLE_RATE)), rng)
        sound[int(start) : int(start) + len(piece)] += rng.uniform(0.2, 1.0) * piece
    return sound


def _impact(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    starts = rng.uniform(0, 0.9 * n_samples, size=rng.integers(1, 7))
    return _scattered(n_samples, starts, _knock, rng)


def _chirp(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    time_s = np.arange(n_samples) / SAMPLE_RATE
    sweep_hz = rng.uniform(300, 4000) * (1 + rng.uniform(-4, 8) * time_s)
    decay = np.exp(-time_s / rng.uniform(0.008, 0.06))
    return np.sin(2 * np.pi * np.cumsum(sweep_hz) / SAMPLE_RATE) * decay


def _drips(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    n_drips = max(1, rng.poisson(n_samples / SAMPLE_RATE * np.exp(rng.uniform(0, 3.5))))
    return _scattered(n_samples, rng.uniform(0, 0.98 * n_samples, size=n_drips), _chirp, rng)


def _slow_curve(n_samples: int, per_s: float, rng: np.random.Generator) -> np.ndarray:
    knots = rng.random(max(3, int(per_s * n_samples / SAMPLE_RATE)))
    return np.interp(np.linspace(0, len(knots) - 1, n_samples), np.arange(len(knots)), knots)


def _scrape(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Stick and slip: pulses at a wandering rate through a wandering resonance, between silences."""
    rate_hz = np.exp(np.log(20) + _slow_curve(n_samples, 3, rng) * rng.uniform(0.5, 4))
    phase = np.cumsum(rate_hz) / SAMPLE_RATE
    pulses = np.diff(np.floor(phase), prepend=0) + rng.uniform(0.02, 0.4) * rng.normal(size=n_samples)
    low_hz = rng.uniform(150, 2500)
    envelope = np.maximum(_slow_curve(n_samples, 4, rng) - rng.uniform(0.1, 0.5), 0)
    return _band(pulses, low_hz, low_hz * rng.uniform(1.3, 6)) * envelope


def _room(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    room = environment_like(n_samples, SAMPLE_RATE, rng)
    return room + rng.uniform(0, 0.8) * np.abs(room).max() * _unit(_impact(n_samples, rng))


def _speech(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(speech_like(n_samples, SAMPLE_RATE, rng))


def _crowd(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    voices = [_speech(n_samples, rng) * rng.uniform(0.2, 1) for _ in range(rng.integers(3, 7))]
    return np.sum(voices, axis=0)


def _unit(sound: np.ndarray) -> np.ndarray:
    return sound / max(np.abs(sound).max(), 1e-9)


_SOUNDS = {
    "impact": _impact, "scrape": _scrape, "drips": _drips, "room": _room, "speech": _speech, "crowd": _crowd,
}  # fmt: skip
