"""A second look at two loops that may be one: their waveforms, aligned and compared in time and frequency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import uniform_filter1d

from loopsphere.types import Float32Array

COMPARISON_RATE_HZ = 16_000
_LONGEST_DELAY_S = 0.12  # encoders and decoders of lossy formats delay by up to about 0.1 s
_N_FFT, _HOP = 1024, 512
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7_000.0
_SEGMENT_S = 0.25
_EDGE_FRAMES = 2
_WHITENING = 0.75
_DEEPEST = 1e-4  # bands this far below the loudest hold noise, in power
_QUIET_SEGMENT = 1e-2  # of the loudest segment, in whitened power

_FRAMES_PER_FFT = 256  # their spectra stay in the cache of a core
_FRAMES_AT_ONCE = 1 << 13
_BINS_AT_ONCE = 1 << 20
_BINS_OF_A_RUN = 512
_LONG_BINS = 1 << 22  # of two loops of more than four minutes

Complex = npt.NDArray[np.complex128]
Spectrum = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class Likeness:
    """How alike two waveforms are.

    Attributes
    ----------
    coherence : float
        0 to 1, over the whole loop, every band counting about alike.
    worst_coherence : float
        -1 to 1, of the worst quarter of a second that is neither quiet nor at the very edge.
    delay_s : float
        By which the second comes later than the first.
    gain_db : float
        By which the second is louder.
    """

    coherence: float
    worst_coherence: float
    delay_s: float
    gain_db: float


def compare(first: Float32Array, second: Float32Array) -> Likeness:
    """Compare two waveforms, whatever their gain and a small delay between them.

    Parameters
    ----------
    first, second : float32 ndarray of shape (n_samples,)
        Mono, at `COMPARISON_RATE_HZ`; the shorter counts as silent where it has ended.

    Returns
    -------
    likeness : Likeness
    """
    first, second, delay_s = _aligned(first, second)
    a, b = _spectra(first), _spectra(second)
    power_a, power_b = _mean_power(a), _mean_power(b)
    gain = power_b.sum() / max(power_a.sum(), 1e-20)
    envelope = uniform_filter1d(power_a * gain + power_b, 9)
    weights = np.maximum(envelope, envelope.max() * _DEEPEST) ** -_WHITENING
    by_frame = [_likeness_by_frame(x, y, weights) for x, y in zip(_blocks(a), _blocks(b), strict=True)]
    crossed, energy_a, energy_b = (np.concatenate(parts) for parts in zip(*by_frame, strict=True))
    total = crossed.sum()
    coherence = abs(total) / np.sqrt(energy_a.sum() * energy_b.sum() + 1e-30)
    # Against the sign of the whole: where two takes differ, a segment's phase is its own.
    signed = (crossed * np.conj(total)).real / max(abs(total), 1e-30)
    worst = _worst_segment(signed, energy_a, energy_b)
    return Likeness(float(coherence), worst, float(delay_s), float(10.0 * np.log10(max(gain, 1e-20))))


def _aligned(first: Float32Array, second: Float32Array) -> tuple[Float32Array, Float32Array, float]:
    """Return both at one length, the second moved onto the first, and how much later it was."""
    n_fft = scipy.fft.next_fast_len(len(first) + len(second), real=True)
    b = scipy.fft.rfft(second, n_fft)
    shift = _shift(scipy.fft.rfft(first, n_fft), b, n_fft)
    # Single precision is enough; double takes half a gigabyte where loops are ten minutes long.
    dtype = np.complex128 if len(b) < _LONG_BINS else np.complex64
    turned: npt.NDArray[np.complexfloating] = np.empty(len(b), dtype)
    for bins in _pieces(len(b)):
        turned[bins] = b[bins] * _turns(bins, -2j * np.pi * shift / n_fft)
    del b
    n_samples = max(len(first), len(second))
    moved = scipy.fft.irfft(turned, n_fft, overwrite_x=True)[:n_samples].astype(np.float32)
    return np.pad(first, (0, n_samples - len(first))), moved, -shift / COMPARISON_RATE_HZ


def _turns(bins: slice, per_bin: complex) -> Complex:
    """Return exp(per_bin * bin) of many bins by few exponentials: of a run, times of its start."""
    n_bins = bins.stop - bins.start
    runs = np.exp(per_bin * np.arange(bins.start, bins.stop, _BINS_OF_A_RUN))
    turns: Complex = np.outer(runs, np.exp(per_bin * np.arange(_BINS_OF_A_RUN))).reshape(-1)[:n_bins]
    return turns


def _shift(a: Spectrum, b: Spectrum, n_fft: int) -> float:
    """Return by how many samples the second spectrum's waveform comes earlier; `a` is used up."""
    magnitude = np.sqrt(np.abs(a) * np.abs(b)) + 1e-12
    least = magnitude.max() * 1e-3
    for bins in _pieces(len(a)):
        a[bins] = a[bins] * np.conj(b[bins]) / np.maximum(magnitude[bins], least)
    correlation = scipy.fft.irfft(a, n_fft)
    longest = min(int(_LONGEST_DELAY_S * COMPARISON_RATE_HZ), n_fft // 2 - 1)
    shifts = np.arange(-longest, longest + 1)
    heights = np.abs(correlation[shifts])
    best = int(np.clip(np.argmax(heights), 1, len(shifts) - 2))
    left, top, right = heights[best - 1 : best + 2]
    bend = left - 2.0 * top + right
    return float(shifts[best]) + (float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0)


def _pieces(n_bins: int) -> Iterator[slice]:
    for start in range(0, n_bins, _BINS_AT_ONCE):
        yield slice(start, min(start + _BINS_AT_ONCE, n_bins))


def _spectra(waveform: Float32Array) -> Spectrum:
    padded = np.pad(waveform, _N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    hz = np.arange(_N_FFT // 2 + 1) * COMPARISON_RATE_HZ / _N_FFT
    is_compared = (hz >= _LOWEST_HZ) & (hz < _HIGHEST_HZ)
    window = np.hanning(_N_FFT).astype(np.float32)
    # In the order in which NumPy picks columns: so do sums over frames keep their last digits.
    spectra = np.empty((len(frames), int(is_compared.sum())), dtype=np.complex64, order="F")
    for start in range(0, len(frames), _FRAMES_PER_FFT):
        block = slice(start, start + _FRAMES_PER_FFT)
        spectra[block] = scipy.fft.rfft(frames[block] * window, axis=1)[:, is_compared]
    return spectra


def _blocks(spectra: Spectrum) -> Iterator[Complex]:
    """Yield frames in double precision; those of a loop of less than four minutes together."""
    for start in range(0, len(spectra), _FRAMES_AT_ONCE):
        yield spectra[start : start + _FRAMES_AT_ONCE].astype(np.complex128)


def _mean_power(spectra: Spectrum) -> npt.NDArray[np.float64]:
    total = np.zeros(spectra.shape[1])
    for block in _blocks(spectra):
        total += _power(block).sum(axis=0)
    return total / len(spectra)


def _likeness_by_frame(
    a: Complex, b: Complex, weights: npt.NDArray[np.float64]
) -> tuple[Complex, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return (a * np.conj(b)) @ weights, _power(a) @ weights, _power(b) @ weights


def _power(spectra: Complex) -> npt.NDArray[np.float64]:
    return np.square(spectra.real) + np.square(spectra.imag)


def _worst_segment(
    signed: npt.NDArray[np.float64], energy_a: npt.NDArray[np.float64], energy_b: npt.NDArray[np.float64]
) -> float:
    """Return the coherence of the worst segment that is not quiet, from what each frame adds."""
    if len(signed) > 4 * _EDGE_FRAMES:  # a codec fades what is cut off in mid-hit, at either end
        inner = slice(_EDGE_FRAMES, -_EDGE_FRAMES)
        signed, energy_a, energy_b = signed[inner], energy_a[inner], energy_b[inner]
    n_frames = round(_SEGMENT_S * COMPARISON_RATE_HZ / _HOP)
    # A rest shorter than a segment joins the last whole one.
    starts = np.arange(0, max(len(signed) - n_frames + 1, 1), n_frames)
    of_a, of_b = np.add.reduceat(energy_a, starts), np.add.reduceat(energy_b, starts)
    coherences = np.add.reduceat(signed, starts) / np.sqrt(of_a * of_b + 1e-30)
    loudness = np.maximum(of_a / max(of_a.sum(), 1e-30), of_b / max(of_b.sum(), 1e-30))
    return float(coherences[loudness > loudness.max() * _QUIET_SEGMENT].min())
