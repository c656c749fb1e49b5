"""Signal blocks of the synthesiser, all of them circular: the end of a loop runs on into its start."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

from loopsphere.types import Float32Array

FrequencyResponse = Callable[[Float32Array], npt.NDArray[np.inexact]]

_FILTER_MEMORY_S = 0.1


def add_circular(loop: Float32Array, segment: Float32Array, start: int) -> None:
    """Add a segment to a loop in place; what runs past the end is added at the head.

    Parameters
    ----------
    loop : float32 ndarray of shape (n_samples,)
    segment : float32 ndarray of shape (n_segment_samples,)
        May be longer than the loop; it then wraps several times.
    start : int
        Sample of the loop where the segment starts, taken modulo `n_samples`.
    """
    position = start % len(loop)
    while len(segment):
        head = segment[: len(loop) - position]
        loop[position : position + len(head)] += head
        segment, position = segment[len(head) :], 0


def filter_circular(
    waveform: Float32Array,
    sample_rate: int,
    response: FrequencyResponse,
    reflections: Float32Array | None = None,
) -> Float32Array:
    """Filter a loop as if it had been playing for ever.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
    sample_rate : int
        Hz.
    response : callable
        Takes float32 frequencies in Hz, returns real (zero-phase) or complex gains. Its impulse response
        must fade within 0.1 s.
    reflections : float32 ndarray of shape (n_taps,), optional
        Impulse response of a room, added to the direct sound.

    Returns
    -------
    filtered : float32 ndarray of shape (n_samples,)
    """
    # A wrapped lead-in makes the length of the FFT free to choose: loop lengths can be prime.
    margin = int(_FILTER_MEMORY_S * sample_rate)
    lead = margin + (0 if reflections is None else len(reflections))
    n_fft = fft.next_fast_len(len(waveform) + lead + margin, real=True)
    extended = np.take(waveform, np.arange(-lead, n_fft - lead), mode="wrap")
    frequencies = np.arange(n_fft // 2 + 1, dtype=np.float32) * np.float32(sample_rate / n_fft)
    gains = response(frequencies)
    spectrum = fft.rfft(extended) * gains.astype(np.complex64 if np.iscomplexobj(gains) else np.float32)
    if reflections is not None:
        spectrum *= np.float32(1.0) + fft.rfft(reflections, n_fft)
    return np.asarray(fft.irfft(spectrum, n_fft)[lead : lead + len(waveform)], dtype=np.float32)


def resonance(
    frequencies_hz: npt.NDArray[np.floating], center_hz: float, quality: float
) -> npt.NDArray[np.complexfloating]:
    """Frequency response of a second-order band pass with unit gain at its centre."""
    ratio = frequencies_hz / center_hz
    return 1j * ratio / (quality * (1.0 - ratio**2) + 1j * ratio)


def low_pass(frequencies_hz: npt.NDArray[np.floating], cutoff_hz: float, order: int) -> Float32Array:
    """Magnitude response of a Butterworth low pass; its reciprocal slope serves as high pass."""
    return np.asarray(1.0 / np.sqrt(1.0 + (frequencies_hz / cutoff_hz) ** (2 * order)), dtype=np.float32)


def high_pass(frequencies_hz: npt.NDArray[np.floating], cutoff_hz: float, order: int) -> Float32Array:
    """Magnitude response of a Butterworth high pass, zero at 0 Hz."""
    slope = (frequencies_hz / cutoff_hz) ** order
    return np.asarray(slope / np.sqrt(1.0 + slope**2), dtype=np.float32)


def varispeed(waveform: Float32Array, speed: float) -> Float32Array:
    """Resample a loop so that it plays `speed` times as fast, pitch and tempo together, as a tape would.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
    speed : float
        2 is an octave up and half as long. Taken to the nearest fraction with a denominator up to 500,
        which is within 0.01 cents.

    Returns
    -------
    resampled : float32 ndarray of shape (round(n_samples / speed),)
        Up to one sample longer or shorter.
    """
    fraction = Fraction(speed).limit_denominator(500)
    # SciPy's own "wrap" mode keeps the seam of the loop whole.
    resampled = signal.resample_poly(waveform, fraction.denominator, fraction.numerator, padtype="wrap")
    return np.asarray(resampled, dtype=np.float32)


def rms(waveform: npt.NDArray[np.floating]) -> float:
    """Root mean square of a waveform, full scale being 1."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def scale_to_peak(waveform: npt.NDArray[np.floating], peak: float) -> Float32Array:
    """Scale a waveform to a peak; silence stays silence."""
    highest = float(np.max(np.abs(waveform)))
    gain = peak / highest if highest > 0 else 1.0
    return np.asarray(waveform * np.float32(gain), dtype=np.float32)
