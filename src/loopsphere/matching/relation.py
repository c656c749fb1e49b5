"""Whether one loop is another moved: around its length in time, or up and down in pitch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.fft

from loopsphere.matching.comparison import COMPARISON_RATE_HZ
from loopsphere.types import Float32Array

TRANSPOSED_COSINE = 0.78
"""Of two pitch maps, the least at which the notes are the same."""
_SHORTEST_SHIFT_S = 0.02
_SHIFTED_COHERENCE = 0.7
_N_FFT, _HOP = 4096, 800
_FRAMES_AT_ONCE = 256  # their spectra take 2 MB
_LOWEST_MIDI, _N_PITCHES = 28, 84
_FARTHEST = 12  # semitones
_N_TIMES = 64
_ONE_NOTE = 1.7


@dataclass(frozen=True)
class Turn:
    """The second loop is the first, `shift_s` later around its length."""

    coherence: float
    shift_s: float


@dataclass(frozen=True)
class Transposition:
    """The second loop has the notes of the first, `semitones` higher."""

    coherence: float
    semitones: int


def turned(first: Float32Array, second: Float32Array) -> Turn | None:
    """Look for one lag around the loop at which two waveforms agree.

    Parameters
    ----------
    first, second : float32 ndarray of shape (n_samples,)
        Mono, at `COMPARISON_RATE_HZ`; of one length, give or take some samples.

    Returns
    -------
    turn : Turn or None
        None where they agree at no lag, or where they are.
    """
    shortest = min(len(first), len(second))
    a, b = scipy.fft.rfft(first[:shortest]), scipy.fft.rfft(second[:shortest])
    magnitude = np.sqrt(np.abs(a) * np.abs(b)) + 1e-12
    # Half whitened, so that the kick drum alone does not decide; the norms are those of the same spectra.
    weights = 1.0 / np.maximum(magnitude, magnitude.max() * 1e-3)
    correlation = scipy.fft.irfft(b * np.conj(a) * weights, shortest)
    norm = np.sqrt(_energy(a, weights, shortest) * _energy(b, weights, shortest))
    lag = int(np.argmax(np.abs(correlation)))
    coherence = abs(float(correlation[lag])) / max(norm, 1e-20)
    shift_s = lag / COMPARISON_RATE_HZ
    around_s = min(shift_s, shortest / COMPARISON_RATE_HZ - shift_s)
    if coherence < _SHIFTED_COHERENCE or around_s < _SHORTEST_SHIFT_S:
        return None
    return Turn(coherence, shift_s)


def _energy(spectrum: npt.NDArray[np.complexfloating], weights: Float32Array, n_samples: int) -> float:
    power = np.square(np.abs(spectrum)) * weights
    return float((2.0 * power.sum() - power[0]) / n_samples)


def transposed(first: Float32Array, second: Float32Array) -> Transposition | None:
    """Look for one interval at which the notes of two loops agree, at the same times.

    Parameters
    ----------
    first, second : float32 ndarray of shape (64, 84)
        From `pitch_map`.

    Returns
    -------
    transposition : Transposition or None
        None where they agree at no interval of an octave at most, or where they are.
    """
    best, semitones = 0.0, 0
    for interval in range(-_FARTHEST, _FARTHEST + 1):
        kept = _N_PITCHES - abs(interval)
        low, high = max(interval, 0), max(-interval, 0)
        cosine = _cosine(first[:, high : high + kept], second[:, low : low + kept])
        if cosine > best:
            best, semitones = cosine, interval
    if semitones == 0 or best < TRANSPOSED_COSINE:
        return None
    return Transposition(best, semitones)


def pitch_map(waveform: Float32Array) -> Float32Array | None:
    """Return how much sounds at each time and semitone, against each time's mean.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at `COMPARISON_RATE_HZ`.

    Returns
    -------
    pitch_map : float32 ndarray of shape (64, 84), or None
        Times divide the loop evenly. None where a single note sounds: every two notes of an instrument
        would be one another transposed.
    """
    padded = np.pad(waveform, _N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    hz = 440.0 * 2.0 ** ((np.arange(_LOWEST_MIDI - 0.5, _LOWEST_MIDI + _N_PITCHES + 0.5) - 69.0) / 12.0)
    edges = np.clip(np.round(hz * _N_FFT / COMPARISON_RATE_HZ).astype(int), 1, _N_FFT // 2)
    window = np.hanning(_N_FFT).astype(np.float32)
    bands = np.empty((len(frames), _N_PITCHES), dtype=np.float32)
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        block = slice(start, start + _FRAMES_AT_ONCE)
        magnitude = np.abs(scipy.fft.rfft(frames[block] * window, axis=1))
        bands[block] = np.stack([magnitude[:, low:high].max(axis=1) for low, high in _spans(edges)], axis=1)
    # Of a very short loop, neighbouring times share a frame.
    times = np.linspace(0, len(bands) - 1e-9, _N_TIMES + 1).astype(int)
    merged = np.stack([bands[start:end].mean(axis=0) for start, end in _spans(times)])
    level = np.sqrt(merged / max(float(merged.max()), 1e-20))
    # A note that sounds once and fades has risen by its own height.
    risen = np.maximum(np.diff(level, axis=0, prepend=0.0), 0.0).sum()
    if risen < _ONE_NOTE * level.max(axis=0).sum():
        return None
    return np.asarray(level - level.mean(axis=1, keepdims=True), dtype=np.float32)


def _spans(edges: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return start and end between neighbouring edges, at least one apart."""
    return [(int(start), max(int(end), int(start) + 1)) for start, end in pairwise(edges)]


def _cosine(a: Float32Array, b: Float32Array) -> float:
    return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-20))
