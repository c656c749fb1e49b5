"""A loop's fine spectrum in 256 numbers: alike for copies of one recording, unlike for another take.

Where a loop's partials interfere depends on every note's timing to the millisecond, so that the magnitudes
of one long Fourier transform differ between takes that sound alike, and stay the same under gain, delay,
padding, resampling and lossy coding. Of a transform as long as the loop itself, they also stay the same
wherever the loop begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from loopsphere.types import Float32Array

FINGERPRINT_KIND = "fingerprint-2"
"""Name and version; raise it when anything below changes, as libraries keep fingerprints."""
FINGERPRINT_RATE_HZ = 16_000
FINGERPRINT_DIM = 256

_N_FFT = 1 << 16
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7_000.0
_ENVELOPE_OCTAVES = 1 / 12
_ENVELOPE_POWER = 0.25
_SEED = 0
_N_DRAWN = 1 << 18
_BLOCK_ROWS, _BLOCK_COSINES = 1024, 1 << 24


def fingerprint(waveform: Float32Array) -> Float32Array:
    """Return the fingerprint of a loop.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at `FINGERPRINT_RATE_HZ`, of any length.

    Returns
    -------
    fingerprint : float32 ndarray of shape (FINGERPRINT_DIM,)
        Of norm 1. The cosine of two distinct loops is near 0; of two copies, above 0.75.

    References
    ----------
    Charikar, Chen and Farach-Colton 2002, 'Finding frequent items in data streams' (the count sketch).
    """
    # Wrapped around, a loop of any length gives the spectrum at the same frequencies, exactly.
    wrapped = np.zeros(-(-len(waveform) // _N_FFT) * _N_FFT, dtype=np.float32)
    wrapped[: len(waveform)] = waveform
    return _sketched(wrapped.reshape(-1, _N_FFT).sum(axis=0))


def ring_fingerprint(waveform: Float32Array) -> Float32Array:
    """Return a fingerprint that stays the same wherever the loop begins.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at `FINGERPRINT_RATE_HZ`.

    Returns
    -------
    fingerprint : float32 ndarray of shape (FINGERPRINT_DIM,)
        Of norm 1. To be compared with those of loops of the same length, give or take some samples.
    """
    return _sketched(waveform)


def _sketched(ring: Float32Array) -> Float32Array:
    """Return a count sketch of the magnitudes of a transform, against the envelope around each."""
    grid = _grid(len(ring))
    magnitude = np.abs(scipy.fft.rfft(ring))[grid.bins].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(magnitude)])
    envelope = (sums[grid.above] - sums[grid.below]) / (grid.above - grid.below) + 1e-12
    fine = (magnitude / envelope - 1.0) * envelope**_ENVELOPE_POWER * grid.weights
    return count_sketch(fine, grid.bins)


def count_sketch(values: npt.NDArray[np.floating], places: npt.NDArray[np.int64]) -> Float32Array:
    """Return many numbers, added up with random signs, as few of norm 1; silence stays zero.

    Parameters
    ----------
    values, places : ndarray of shape (n_values,)
        What to add, and of each the place that says where to and with what sign, always the same.

    Returns
    -------
    sketch : float32 ndarray of shape (FINGERPRINT_DIM,)
    """
    buckets, signs = _drawn()
    drawn = places % _N_DRAWN
    sums = np.bincount(buckets[drawn], values * signs[drawn], minlength=FINGERPRINT_DIM)
    sketch = np.asarray(sums, dtype=np.float64)
    return (sketch / max(float(np.linalg.norm(sketch)), 1e-12)).astype(np.float32)


@lru_cache(maxsize=1)
def _drawn() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(_SEED)
    # Random signs keep cosines in the sketch.
    return rng.integers(0, FINGERPRINT_DIM, _N_DRAWN), rng.choice([-1.0, 1.0], _N_DRAWN)


class _Grid:
    """The frequencies that are looked at, and their neighbourhoods."""

    def __init__(self, n_fft: int) -> None:
        hz = np.arange(n_fft // 2 + 1) * FINGERPRINT_RATE_HZ / n_fft
        self.bins = np.flatnonzero((hz >= _LOWEST_HZ) & (hz < _HIGHEST_HZ))[:_N_DRAWN]
        hz = hz[self.bins]
        self.below = np.searchsorted(hz, hz * 2.0**-_ENVELOPE_OCTAVES)
        self.above = np.searchsorted(hz, hz * 2.0**_ENVELOPE_OCTAVES, side="right")
        # Every octave counts alike.
        self.weights: npt.NDArray[np.float64] = 1.0 / np.sqrt(hz)


@lru_cache(maxsize=8)
def _grid(n_fft: int) -> _Grid:
    return _Grid(n_fft)


def similar_pairs(fingerprints: Float32Array, lowest: float) -> list[tuple[int, int]]:
    """Return the pairs of rows (i < j) whose cosine is at least `lowest`.

    Parameters
    ----------
    fingerprints : float32 ndarray of shape (n_loops, n_dimensions)
        Rows of norm 1.
    lowest : float

    Returns
    -------
    pairs : list of (int, int)
        In ascending order. All pairs are looked at, in blocks: 10,000 loops take about a second.
    """
    pairs: list[tuple[int, int]] = []
    for block in row_blocks(len(fingerprints)):
        cosines = fingerprints[block] @ fingerprints[block.start :].T
        rows, columns = np.nonzero(cosines >= lowest) + np.array([[block.start]])
        later = columns > rows
        pairs += zip(rows[later].tolist(), columns[later].tolist(), strict=True)
    return pairs


def row_blocks(n_rows: int) -> Iterator[slice]:
    """Yield the rows of a matrix in blocks whose cosines with all rows fill 64 MB at most."""
    size = max(1, min(_BLOCK_ROWS, _BLOCK_COSINES // max(n_rows, 1)))
    for start in range(0, n_rows, size):
        yield slice(start, start + size)
