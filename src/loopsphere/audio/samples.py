"""Decoded blocks put together, resampled on the way: a long file is in memory once, and at one rate."""

from __future__ import annotations

import math

import numpy as np
import soxr

from loopsphere.audio.limits import LONGEST_RECORDING
from loopsphere.types import Float32Array

_GROWTH = 1.25
_BLOCK_FRAMES = 65_536


class Samples:
    """Samples that arrive in blocks.

    Parameters
    ----------
    file_rate, sample_rate : int
        Hz, of the blocks and of what becomes of them. soxr gives the same bits for blocks as for the whole.
    n_channels : int or None
        None is mono: blocks of shape (n_frames,) instead of (n_frames, n_channels).
    expected_s : float or None
        Seconds that the header promises; more or fewer may come.
    """

    def __init__(
        self, file_rate: int, sample_rate: int, n_channels: int | None = None, expected_s: float | None = None
    ) -> None:
        self.sample_rate = sample_rate
        self._file_rate = file_rate
        self._n_channels, self._expected_s = n_channels, expected_s
        self._shape = () if n_channels is None else (n_channels,)
        self._resampler = (
            soxr.ResampleStream(file_rate, sample_rate, n_channels or 1, dtype="float32", quality="HQ")
            if sample_rate != file_rate
            else None
        )
        n_expected = math.ceil((1.0 if expected_s is None else expected_s) * sample_rate) + 1
        n_expected = min(n_expected, LONGEST_RECORDING + _BLOCK_FRAMES)
        # Memory is taken as it is filled; a long file's is moved by the system, not copied, when it grows.
        self._array = np.empty((n_expected, *self._shape), dtype=np.float32)
        self._n = 0

    def add(self, block: Float32Array) -> None:
        """Take the next block; it is copied."""
        self._append(block if self._resampler is None else self._resampler.resample_chunk(block))

    def lowered(self, sample_rate: int) -> Samples:
        """Return the same samples at a lower rate; those that come are to be added there."""
        lower = Samples(self._file_rate, sample_rate, self._n_channels, self._expected_s)
        for start in range(0, self._n, _BLOCK_FRAMES):
            lower.add(self._array[start : min(start + _BLOCK_FRAMES, self._n)])
        return lower

    def whole(self) -> Float32Array:
        """Return all samples; no more can be added."""
        if self._resampler is not None:
            self._append(self._resampler.resample_chunk(self._array[:0], last=True))
        self._array.resize((self._n, *self._shape), refcheck=False)
        return self._array

    def _append(self, block: Float32Array) -> None:
        end = self._n + len(block)
        if end > len(self._array):
            n_rows = max(end, int(_GROWTH * len(self._array)))
            self._array.resize((n_rows, *self._shape), refcheck=False)
        self._array[self._n : end] = block
        self._n = end
