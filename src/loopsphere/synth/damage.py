"""Faults of the recording: each turns any mono waveform into a damaged one.

Every function takes a float32 waveform of shape (n_samples,), its rate in Hz, the strength in the unit of
its `FaultKind`, and a random generator; it returns a `Damage`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from loopsphere.synth import dsp, substitutes
from loopsphere.types import Float32Array

_FADE_S = 0.001


@dataclass(frozen=True)
class Damage:
    """What came out.

    Attributes
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        May exceed full scale.
    ranges : tuple of (start, end), optional
        Samples of `waveform` that the fault touched; None for all of it.
    sample_rate : int, optional
        Hz, where the fault changed it.
    """

    waveform: Float32Array
    ranges: tuple[tuple[int, int], ...] | None = None
    sample_rate: int | None = None


def detuned(waveform: Float32Array, sample_rate: int, cents: float, rng: np.random.Generator) -> Damage:
    """Play the recording a little fast or slow: pitch and, by as much, tempo."""
    return Damage(dsp.varispeed(waveform, 2.0 ** (float(rng.choice([-1, 1])) * cents / 1200)))


def other_tempo(waveform: Float32Array, sample_rate: int, change: float, rng: np.random.Generator) -> Damage:
    """Stretch or squeeze time by the share `change`, pitch unchanged (WSOLA)."""
    speed = 1 + change if rng.uniform() < 0.5 else 1 / (1 + change)
    return Damage(time_stretch(waveform, sample_rate, speed))


def brightness(waveform: Float32Array, sample_rate: int, slope_db: float, rng: np.random.Generator) -> Damage:
    """Tilt the spectrum by so many dB an octave around 800 Hz, dull or shrill; the RMS stays."""
    exponent = np.float32(rng.choice([-1, 1]) * slope_db / (20 * np.log10(2.0)))

    def tilt(frequencies_hz: Float32Array) -> Float32Array:
        return np.asarray((np.clip(frequencies_hz, 30.0, 16000.0) / 800.0) ** exponent, dtype=np.float32)

    return Damage(_with_rms_of(waveform, dsp.filter_circular(waveform, sample_rate, tilt)))


def distortion(waveform: Float32Array, sample_rate: int, drive_db: float, rng: np.random.Generator) -> Damage:
    """Saturate softly, after so much gain over a peak of 1; the RMS stays."""
    driven = np.tanh(np.float32(10 ** (drive_db / 20)) * dsp.scale_to_peak(waveform, 1.0))
    return Damage(_with_rms_of(waveform, driven))


def clipping(waveform: Float32Array, sample_rate: int, share: float, rng: np.random.Generator) -> Damage:
    """Turn up until the given share of the samples sticks at full scale."""
    limit = max(float(np.quantile(np.abs(waveform), 1 - share)), 1e-9)
    return Damage(np.clip(waveform / np.float32(limit), -1, 1))


def bit_depth(waveform: Float32Array, sample_rate: int, bits: float, rng: np.random.Generator) -> Damage:
    """Round to so many bits over the loop's own peak, without dither."""
    step = np.float32(np.max(np.abs(waveform)) / 2.0 ** (bits - 1))
    return Damage(np.round(waveform / max(step, np.float32(1e-9))) * step)


def noise(waveform: Float32Array, sample_rate: int, snr_db: float, rng: np.random.Generator) -> Damage:
    """Add white noise at a signal-to-noise ratio."""
    hiss = rng.standard_normal(len(waveform), dtype=np.float32)
    return Damage(_added(waveform, hiss, -snr_db))


def hum(waveform: Float32Array, sample_rate: int, level_db: float, rng: np.random.Generator) -> Damage:
    """Add mains hum of 50 or 60 Hz with overtones, at a level relative to the loop's."""
    cycles = np.arange(len(waveform)) * (float(rng.choice([50, 60])) / sample_rate)
    overtones = zip((1, 2, 3, 4, 5, 7), (1.0, 0.7, 0.5, 0.2, 0.3, 0.15), strict=True)
    buzz = sum(gain * np.sin(2 * np.pi * (k * cycles + rng.uniform())) for k, gain in overtones)
    return Damage(_added(waveform, np.asarray(buzz, dtype=np.float32), level_db))


def dropouts(waveform: Float32Array, sample_rate: int, share: float, rng: np.random.Generator) -> Damage:
    """Mute short pieces, together the given share of the loop: one in each equal part of it."""
    n_pieces = 2 + round(40 * share)
    n_part = len(waveform) // n_pieces
    n_muted = max(1, round(share * n_part))
    ranges = []
    for k in range(n_pieces):
        start = k * n_part + _loud_start(waveform[k * n_part : (k + 1) * n_part], n_muted, rng)
        ranges.append((start, start + n_muted))
    return Damage(_muted(waveform, sample_rate, ranges), tuple(ranges))


def silence_gap(waveform: Float32Array, sample_rate: int, share: float, rng: np.random.Generator) -> Damage:
    """Mute one stretch, the given share of the loop."""
    n_muted = max(1, round(share * len(waveform)))
    start = _loud_start(waveform, n_muted, rng)
    return Damage(_muted(waveform, sample_rate, [(start, start + n_muted)]), ((start, start + n_muted),))


def reversed_part(waveform: Float32Array, sample_rate: int, share: float, rng: np.random.Generator) -> Damage:
    """Play one stretch, the given share of the loop, backwards; cross-fades at its edges lie within it."""
    n_reversed = max(2, round(share * len(waveform)))
    start = _loud_start(waveform, n_reversed, rng)
    part = waveform[start : start + n_reversed]
    blend = np.ones(n_reversed, dtype=np.float32) if share == 1 else 1 - _mute_gain(n_reversed, sample_rate)
    changed = waveform.copy()
    changed[start : start + n_reversed] = part + blend * (part[::-1] - part)
    return Damage(changed, ((start, start + n_reversed),))


def cut_tail(waveform: Float32Array, sample_rate: int, share: float, rng: np.random.Generator) -> Damage:
    """Cut the given share off the end, where the loop is not silent: it stumbles when it repeats."""
    n_kept = max(1, round((1 - share) * len(waveform)))
    kept = waveform[:n_kept].copy()
    return Damage(kept, ((max(0, n_kept - int(0.05 * sample_rate)), n_kept),))


def wrong_sample_rate(
    waveform: Float32Array, sample_rate: int, ratio: float, rng: np.random.Generator
) -> Damage:
    """Keep the samples and claim another rate: the loop plays faster or slower by `ratio`."""
    speed = ratio if rng.uniform() < 0.5 else 1 / ratio
    return Damage(waveform.copy(), sample_rate=round(sample_rate * speed))


def phase_cancellation(
    waveform: Float32Array, sample_rate: int, gain: float, rng: np.random.Generator
) -> Damage:
    """Mix to mono a stereo pair whose right channel is inverted and late: a comb that eats the bass.

    `gain` is that of the right channel, between 0 and 1; the delay is 0.1 to 0.5 ms.
    """
    delay = max(1, round(rng.uniform(0.0001, 0.0005) * sample_rate))
    late: Float32Array = np.roll(waveform, delay)
    return Damage(np.asarray(0.5 * (waveform - np.float32(gain) * late), dtype=np.float32))


def speech(waveform: Float32Array, sample_rate: int, share: float, rng: np.random.Generator) -> Damage:
    """Let speech-like babble make up the given share of the power; 1 replaces the loop."""
    return Damage(_replaced(waveform, substitutes.speech_like(len(waveform), sample_rate, rng), share))


def environment(waveform: Float32Array, sample_rate: int, share: float, rng: np.random.Generator) -> Damage:
    """Let rain, wind or traffic make up the given share of the power; 1 replaces the loop."""
    return Damage(_replaced(waveform, substitutes.environment_like(len(waveform), sample_rate, rng), share))


def time_stretch(waveform: Float32Array, sample_rate: int, speed: float) -> Float32Array:
    """Change the tempo of a loop and keep its pitch; the seam stays whole.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
    sample_rate : int
        Hz.
    speed : float
        2 is half as long.

    Returns
    -------
    stretched : float32 ndarray of shape (round(n_samples / speed),)

    References
    ----------
    Verhelst and Roelands 1993, ICASSP (WSOLA).
    """
    n_frame, n_search = int(0.06 * sample_rate), int(0.012 * sample_rate)
    n_out = round(len(waveform) / speed)
    n_hops = max(2, round(2 * n_out / n_frame))
    window = np.hanning(n_frame + 1)[:-1].astype(np.float32)
    output, weight = np.zeros(n_out, dtype=np.float32), np.zeros(n_out, dtype=np.float32)
    continuation: Float32Array | None = None
    for k in range(n_hops):
        position = round(k * n_out / n_hops)
        read = round(position * speed)
        if continuation is not None:
            # Of all frames near the wanted place, take the one nearest to what would have followed.
            region = np.take(waveform, np.arange(read - n_search, read + n_search + n_frame), mode="wrap")
            energy = np.cumsum(np.concatenate([[0.0], np.square(region, dtype=np.float64)]))
            product = signal.correlate(region, continuation, mode="valid", method="fft")
            # Squared difference, less a constant; plain correlation would let the loudest frame win.
            mismatch = energy[n_frame:] - energy[:-n_frame] - 2.0 * product
            read += int(np.argmin(mismatch)) - n_search
        frame = np.take(waveform, np.arange(read, read + n_frame), mode="wrap")
        dsp.add_circular(output, frame * window, position)
        dsp.add_circular(weight, window, position)
        follows = read + round((k + 1) * n_out / n_hops) - position
        continuation = np.take(waveform, np.arange(follows, follows + n_frame), mode="wrap")
    return np.asarray(output / np.maximum(weight, 1e-3), dtype=np.float32)


def _with_rms_of(reference: Float32Array, changed: Float32Array) -> Float32Array:
    gain = dsp.rms(reference) / max(dsp.rms(changed), 1e-12)
    return np.asarray(changed * np.float32(gain), dtype=np.float32)


def _added(waveform: Float32Array, addition: Float32Array, level_db: float) -> Float32Array:
    """Add a sound at a level in dB over that of the waveform."""
    gain = dsp.rms(waveform) / dsp.rms(addition) * 10 ** (level_db / 20)
    return np.asarray(waveform + np.float32(gain) * addition, dtype=np.float32)


def _replaced(waveform: Float32Array, substitute: Float32Array, share: float) -> Float32Array:
    """Mix a sound of the same RMS in, at constant power."""
    substitute = _with_rms_of(waveform, substitute)
    return np.asarray(np.sqrt(1 - share) * waveform + np.sqrt(share) * substitute, dtype=np.float32)


def _loud_start(waveform: Float32Array, n_window: int, rng: np.random.Generator) -> int:
    """Pick where a window starts, among the louder half of its places: a fault in silence is none."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    starts = np.unique(np.linspace(0, len(waveform) - n_window, 200, dtype=int))
    loudness = energy[starts + n_window] - energy[starts]
    return int(rng.choice(starts[loudness >= np.median(loudness)]))


def _mute_gain(n_samples: int, sample_rate: int) -> Float32Array:
    """1 at both ends, 0 between, with fades of a millisecond."""
    n_fade = min(int(_FADE_S * sample_rate), n_samples // 2)
    gain = np.zeros(n_samples, dtype=np.float32)
    gain[:n_fade] = np.linspace(1, 0, n_fade, endpoint=False)
    gain[n_samples - n_fade :] = gain[:n_fade][::-1]
    return gain


def _muted(waveform: Float32Array, sample_rate: int, ranges: list[tuple[int, int]]) -> Float32Array:
    muted = waveform.copy()
    for start, end in ranges:
        muted[start:end] *= _mute_gain(end - start, sample_rate)
    return muted
