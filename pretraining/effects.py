"""Effects between the instrument and the sample pack, and the mild changes that make a twin."""

from collections.abc import Callable

import numpy as np
import soxr
from pedalboard import (
    Bitcrush,
    Chorus,
    Compressor,
    Delay,
    Distortion,
    HighpassFilter,
    HighShelfFilter,
    LowpassFilter,
    LowShelfFilter,
    MP3Compressor,
    PeakFilter,
    Pedalboard,
    Phaser,
    Plugin,
    Reverb,
)
from scipy.signal import butter, oaconvolve, sosfilt

from pretraining.music import TimedNote
from pretraining.sources import SAMPLE_RATE, Audio

Effect = Callable[[np.random.Generator, Audio], Audio]


def _run(audio: Audio, *plugins: Plugin) -> Audio:
    return np.asarray(Pedalboard(list(plugins))(audio, SAMPLE_RATE), dtype=np.float32)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def to_unit_peak(audio: Audio) -> Audio:
    """Scale to a peak of 0.7; silence stays silence."""
    peak = float(np.abs(audio).max())
    return audio * np.float32(0.7 / peak) if peak > 1e-6 else audio


def amp(rng: np.random.Generator, audio: Audio) -> Audio:
    """A guitar amplifier: tightened lows, overdrive, a tone stack and a loudspeaker's narrow band."""
    return _run(
        to_unit_peak(audio),
        HighpassFilter(_log_uniform(rng, 50, 250)),
        Distortion(float(rng.uniform(2, 40))),
        LowShelfFilter(120, float(rng.uniform(-6, 5)), 0.7),
        PeakFilter(_log_uniform(rng, 350, 1200), float(rng.uniform(-9, 4)), 0.8),
        PeakFilter(_log_uniform(rng, 1800, 3500), float(rng.uniform(0, 8)), 1.0),
        HighpassFilter(_log_uniform(rng, 60, 110)),
        LowpassFilter(_log_uniform(rng, 3200, 6500)),
        LowpassFilter(_log_uniform(rng, 4200, 8000)),
    )


def saturation(rng: np.random.Generator, audio: Audio) -> Audio:
    """Soft clipping, blended with the clean signal."""
    dry = to_unit_peak(audio)
    wet = np.tanh(dry * np.float32(_log_uniform(rng, 1.5, 12)))
    blend = np.float32(rng.uniform(0.3, 1.0))
    return blend * to_unit_peak(wet) + (1 - blend) * dry


def equaliser(rng: np.random.Generator, audio: Audio) -> Audio:
    """Two shelves and up to two peaks."""
    peaks = [
        PeakFilter(_log_uniform(rng, 150, 7000), float(rng.uniform(-9, 9)), float(rng.uniform(0.5, 3)))
        for _ in range(int(rng.integers(0, 3)))
    ]
    return _run(
        audio,
        LowShelfFilter(_log_uniform(rng, 80, 350), float(rng.uniform(-9, 8)), 0.7),
        HighShelfFilter(_log_uniform(rng, 2000, 8000), float(rng.uniform(-12, 9)), 0.7),
        *peaks,
    )


def band_pass(rng: np.random.Generator, audio: Audio) -> Audio:
    """A low-pass, a high-pass or both."""
    kind = rng.integers(3)
    plugins: list[Plugin] = []
    if kind != 1:
        cutoff_hz = _log_uniform(rng, 700, 9000)
        plugins += [LowpassFilter(cutoff_hz) for _ in range(int(rng.integers(1, 4)))]
    if kind != 0:
        cutoff_hz = _log_uniform(rng, 60, 500)
        plugins += [HighpassFilter(cutoff_hz) for _ in range(int(rng.integers(1, 3)))]
    return _run(audio, *plugins)


def compressor(rng: np.random.Generator, audio: Audio) -> Audio:
    """Feed-forward compression."""
    return _run(
        to_unit_peak(audio),
        Compressor(
            float(rng.uniform(-36, -14)),
            float(rng.uniform(2, 12)),
            _log_uniform(rng, 0.5, 40),
            _log_uniform(rng, 40, 400),
        ),
    )


def reverb(rng: np.random.Generator, audio: Audio) -> Audio:
    """An algorithmic room."""
    wet = float(rng.uniform(0.05, 0.45))
    return _run(
        audio, Reverb(float(rng.uniform(0.05, 0.95)), float(rng.uniform(0.1, 0.9)), wet, 1 - 0.6 * wet, 0.5)
    )


def room(rng: np.random.Generator, audio: Audio) -> Audio:
    """Convolution with decaying coloured noise: a small room's impulse response."""
    n_samples = int(rng.uniform(0.05, 0.6) * SAMPLE_RATE)
    decay = np.exp(-np.arange(n_samples) / n_samples * rng.uniform(4, 8))
    noise = rng.standard_normal(n_samples) * decay
    noise = sosfilt(butter(1, _log_uniform(rng, 1000, 8000), fs=SAMPLE_RATE, output="sos"), noise)
    response = (noise / np.sqrt(np.sum(noise**2)) * rng.uniform(0.15, 0.8)).astype(np.float32)
    response[0] += 1.0
    return np.asarray(oaconvolve(audio, response)[: len(audio)], dtype=np.float32)


def delay(rng: np.random.Generator, audio: Audio) -> Audio:
    """Echoes."""
    return _run(
        audio, Delay(_log_uniform(rng, 0.03, 0.6), float(rng.uniform(0, 0.5)), float(rng.uniform(0.08, 0.35)))
    )


def chorus(rng: np.random.Generator, audio: Audio) -> Audio:
    """Modulated delay: chorus to flanger."""
    return _run(
        audio,
        Chorus(
            _log_uniform(rng, 0.15, 5),
            float(rng.uniform(0.05, 0.5)),
            float(rng.uniform(3, 15)),
            float(rng.uniform(0, 0.4)),
            0.5,
        ),
    )


def phaser(rng: np.random.Generator, audio: Audio) -> Audio:
    """Swept all-pass filters."""
    return _run(
        audio,
        Phaser(
            _log_uniform(rng, 0.1, 4), float(rng.uniform(0.2, 0.8)), 1300, float(rng.uniform(0, 0.5)), 0.5
        ),
    )


def noise(rng: np.random.Generator, audio: Audio) -> Audio:
    """Tape hiss or mains hum, 35 to 65 dB below the peak."""
    n_samples = len(audio)
    level = np.float32(0.7 * 10 ** (-rng.uniform(35, 65) / 20))
    if rng.random() < 0.65:
        hiss = rng.standard_normal(n_samples, dtype=np.float32)
        return to_unit_peak(audio) + level * np.float32(0.4) * _run(
            hiss, LowpassFilter(_log_uniform(rng, 2000, 14000))
        )
    seconds = np.arange(n_samples, dtype=np.float32) / SAMPLE_RATE
    mains = float(rng.choice([50, 60]))
    hum = sum(np.sin(2 * np.pi * mains * k * seconds + rng.uniform(0, 6)) / k for k in (1, 2, 3, 5))
    return to_unit_peak(audio) + level * np.asarray(hum, dtype=np.float32)


def bit_crush(rng: np.random.Generator, audio: Audio) -> Audio:
    """Few bits, and at times a sampler's low rate without its filter."""
    crushed = _run(to_unit_peak(audio), Bitcrush(float(rng.uniform(6, 11))))
    if rng.random() < 0.4:
        crushed = np.repeat(crushed[:: (hold := int(rng.integers(2, 5)))], hold)[: len(audio)]
    return crushed


def mp3(rng: np.random.Generator, audio: Audio) -> Audio:
    """Loss of an MP3 coder at a high to middling rate."""
    return _run(to_unit_peak(audio), MP3Compressor(float(rng.uniform(1.5, 8.5))))


def resample(rng: np.random.Generator, audio: Audio) -> Audio:
    """Go down to a lower rate and back."""
    rate = int(rng.choice([11_025, 12_000, 16_000, 22_050, 24_000]))
    lowered = soxr.resample(audio, SAMPLE_RATE, rate, quality="MQ")
    return _fit(soxr.resample(lowered, rate, SAMPLE_RATE, quality="MQ"), len(audio))


def _fit(audio: Audio, n_samples: int) -> Audio:
    return np.asarray(np.pad(audio, (0, max(0, n_samples - len(audio))))[:n_samples], dtype=np.float32)


PRODUCTION: tuple[tuple[Effect, float], ...] = (
    (saturation, 0.14), (equaliser, 0.4), (band_pass, 0.16), (chorus, 0.1), (phaser, 0.05), (compressor, 0.3),
    (delay, 0.14), (reverb, 0.3), (room, 0.15),
)  # fmt: skip
MEDIUM: tuple[tuple[Effect, float], ...] = ((noise, 0.16), (bit_crush, 0.05), (resample, 0.08), (mp3, 0.14))
"""Effects in the order of a signal path, each with its chance in a loop that has any."""
CHANCE_OF_EFFECTS = 0.55
_PEDAL_DOWN_S = 0.04
_AMP_CHANCES = {"guitar": 0.3, "bass": 0.12, "keys": 0.03, "organ": 0.1, "synth": 0.05}


def draw_effects(rng: np.random.Generator, family: str) -> tuple[list[Effect], list[Effect]]:
    """Draw what a performance goes through before it is cut to a loop, and the loop after."""
    if rng.random() >= CHANCE_OF_EFFECTS:
        return [], []
    production: list[Effect] = [amp] if rng.random() < _AMP_CHANCES.get(family, 0.0) else []
    production += [effect for effect, chance in PRODUCTION if rng.random() < chance]
    return production, [effect for effect, chance in MEDIUM if rng.random() < chance]


def apply_effects(rng: np.random.Generator, audio: Audio, effects: list[Effect]) -> Audio:
    """Put audio through effects in turn."""
    for effect in effects:
        audio = effect(rng, audio)
    return audio


def direct_input(rng: np.random.Generator, audio: Audio, notes: list[TimedNote]) -> Audio:
    """Make strings sound like a pickup's output: its comb, its resonance, the noise of picks and fingers."""
    lag = int(SAMPLE_RATE / _log_uniform(rng, 500, 4000))
    comb = audio.copy()
    comb[lag:] -= np.float32(rng.uniform(0.2, 0.75)) * audio[:-lag]
    resonance_hz = _log_uniform(rng, 1800, 5500)
    plucked = to_unit_peak(comb)
    level = 0.7 * 10 ** (-rng.uniform(28, 50) / 20)
    for note in notes:
        start = int(note.start_s * SAMPLE_RATE)
        burst = (
            rng.standard_normal(int(rng.uniform(0.003, 0.025) * SAMPLE_RATE)) * level * note.velocity / 100
        )
        stop = min(start + len(burst), len(plucked))
        if stop > start:
            plucked[start:stop] += (burst * np.linspace(1, 0, len(burst)))[: stop - start].astype(np.float32)
    return _run(
        plucked,
        PeakFilter(resonance_hz, float(rng.uniform(1, 7)), 1.2),
        LowpassFilter(min(resonance_hz * float(rng.uniform(1.1, 2.5)), 15_000)),
        LowShelfFilter(150, float(rng.uniform(-5, 4)), 0.7),
    )


def swell(rng: np.random.Generator, audio: Audio, notes: list[TimedNote]) -> Audio:
    """Let chords fade in, as a volume pedal does; most of them ring in a large room."""
    onsets_s = np.unique([note.start_s for note in notes])
    onsets_s = onsets_s[np.diff(onsets_s, prepend=-1.0) > 0.12]
    attack_s = _log_uniform(rng, 0.15, 2.0)
    seconds = np.arange(len(audio)) / SAMPLE_RATE
    following = np.searchsorted(onsets_s, seconds, side="right")
    since_s = seconds - onsets_s[np.maximum(following - 1, 0)]
    until_s = np.append(onsets_s, np.inf)[following] - seconds
    level = np.clip(since_s / attack_s, 0, 1) ** rng.uniform(0.7, 2.5)
    # The pedal is down again before the next chord is struck: else its attack would be heard.
    faded = level * np.clip(until_s / _PEDAL_DOWN_S, 0, 1) * audio
    wet = float(rng.uniform(0.4, 1.0)) if rng.random() < 0.7 else 0.0
    size = float(rng.uniform(0.7, 1.0))
    return _run(np.asarray(faded, dtype=np.float32), Reverb(size, float(rng.uniform(0.1, 0.7)), wet, 1 - wet))


def sweep(rng: np.random.Generator, audio: Audio) -> Audio:
    """A low-pass or a peak that moves: filter sweeps, wobbles, wah-wah."""
    n_steps = 6
    cutoffs_hz = np.geomspace(_log_uniform(rng, 120, 600), _log_uniform(rng, 1500, 9000), n_steps)
    peak_db = float(rng.uniform(3, 15))
    n_low_passes = int(rng.choice([0, 2], p=[0.4, 0.6]))
    filtered = [
        _run(audio, PeakFilter(cutoff, peak_db, 3.0), *(LowpassFilter(cutoff) for _ in range(n_low_passes)))
        for cutoff in map(float, cutoffs_hz)
    ]
    seconds = np.arange(len(audio)) / SAMPLE_RATE
    rate_hz = _log_uniform(rng, 0.06, 6)
    # Between 0 and 1, up and down.
    place = 0.5 - 0.5 * np.cos(2 * np.pi * rate_hz * seconds + rng.uniform(0, 2 * np.pi))
    nearness = np.maximum(1 - np.abs(place * (n_steps - 1) - np.arange(n_steps)[:, None]), 0)
    return np.asarray(np.einsum("st,st->t", nearness, np.stack(filtered)), dtype=np.float32)


def mild_change(rng: np.random.Generator, audio: Audio) -> tuple[Audio, str]:
    """Change a loop in a way that leaves it the same loop; return it and the kind of change."""
    kind = str(rng.choice(["mp3", "eq", "resample", "lead_in", "trim"], p=[0.4, 0.15, 0.15, 0.18, 0.12]))
    if kind == "mp3":
        # VBR quality 4 is about 128 kbit/s for stereo music.
        return _run(to_unit_peak(audio), MP3Compressor(4.0)), kind
    if kind == "eq":
        shelf = LowShelfFilter(200, float(rng.uniform(-1.5, 1.5)), 0.7)
        return _run(audio, shelf, HighShelfFilter(4000, float(rng.uniform(-1.5, 1.5)), 0.7)), kind
    if kind == "resample":
        rate = int(rng.choice([22_050, 24_000, 28_000]))
        lowered = soxr.resample(audio, SAMPLE_RATE, rate, quality="HQ")
        return _fit(soxr.resample(lowered, rate, SAMPLE_RATE, quality="HQ"), len(audio)), kind
    n_moved = int(rng.uniform(0.1, 0.5) * SAMPLE_RATE)
    if kind == "trim":
        return audio[min(n_moved, len(audio) // 4) :], kind
    return np.concatenate([np.zeros(n_moved, dtype=np.float32), audio]), kind
