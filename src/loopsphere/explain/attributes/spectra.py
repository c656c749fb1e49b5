"""Short-time spectra, which several attributes share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import fft

from loopsphere.types import Float32Array

_SAMPLES_PER_BLOCK = 2**16
"""Of frames; twice as many take twice as long, because their memory is then fetched anew each time."""
_FEWEST_AT_ONCE = 4
"""Frames; so many are transformed side by side."""
_SAMPLES_AT_ONCE = 2**23
"""Of a waveform (175 s at 48 kHz), or values of its spectra; what is longer is taken piece by piece."""


def pieces(n_rows: int, *, width: int = 1, multiple: int = 1) -> Iterator[slice]:
    """Yield the rows of something long in slices that are worked on one after the other.

    Parameters
    ----------
    n_rows : int
        Samples of a waveform, say. A usual loop is one slice.
    width : int
        Values of a row.
    multiple : int
        Each slice but the last has a multiple of so many rows.
    """
    step = max(1, _SAMPLES_AT_ONCE // max(width, 1) // multiple) * multiple
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def power_frames(waveform: Float32Array, n_fft: int, hop_length: int) -> Float32Array:
    """Return the power spectrum of all frames; see `power_blocks`."""
    blocks = list(power_blocks(waveform, n_fft, hop_length))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def power_blocks(
    waveform: Float32Array, n_fft: int, hop_length: int, *, wrap: bool = False, n_bins: int | None = None
) -> Iterator[Float32Array]:
    """Yield the power spectra of Hann-windowed frames, those of a long waveform in several blocks.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
    n_fft, hop_length : int
        Samples.
    wrap : bool
        Frames are centred on multiples of the hop and reach around the end, as the loop does when it repeats;
        else they lie within the waveform, which is padded with silence if it is shorter than one.
    n_bins : int or None
        So many of the lowest bins are kept; None keeps all.

    Yields
    ------
    power : float32 ndarray of shape (n_frames, n_fft // 2 + 1) or (n_frames, n_bins)
        A full-scale sine peaks at 0.25 whatever the length of the frame.
    """
    if wrap:
        n_frames = max(1, round(len(waveform) / hop_length))
        # Not rounded to the hop: the last frame is as far from the first as any two neighbours.
        starts = np.round(np.arange(n_frames) * (len(waveform) / n_frames)).astype(np.int64)
        before = np.take(waveform, np.arange(-(n_fft // 2), 0), mode="wrap")
        padded = np.concatenate([before, waveform, np.take(waveform, np.arange(n_fft), mode="wrap")])
    else:
        padded = waveform
        if len(waveform) < n_fft:
            padded = np.concatenate([waveform, np.zeros(n_fft - len(waveform), np.float32)])
        starts = np.arange(0, len(padded) - n_fft + 1, hop_length)
    # scipy.signal has it too, and takes a third of a second to import.
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window *= np.float32(1.0 / window.sum())
    views = np.lib.stride_tricks.sliding_window_view(padded, n_fft)
    kept = n_fft // 2 + 1 if n_bins is None else n_bins
    n_at_once = max(_FEWEST_AT_ONCE, _SAMPLES_PER_BLOCK // n_fft)
    n_rows = max(1, _SAMPLES_AT_ONCE // kept // (2 * n_at_once)) * 2 * n_at_once
    for start in range(0, len(starts), n_rows):
        rows = starts[start : start + n_rows]
        power = np.empty((len(rows), kept), np.float32)
        for first in range(0, len(rows), n_at_once):
            block = rows[first : first + n_at_once]
            # Evenly spaced frames are a view: they are copied once, by the window.
            frames = views[block] if wrap else views[block[0] : block[-1] + 1 : hop_length]
            windowed = np.multiply(frames, window, out=frames if wrap else None)
            spectrum = fft.rfft(windowed, axis=1, overwrite_x=True).view(np.float32)[:, : 2 * kept]
            np.square(spectrum, out=spectrum)  # real and imaginary parts in turn
            np.add(spectrum[:, 0::2], spectrum[:, 1::2], out=power[first : first + len(block)])
        yield power


def band_matrix(edges_hz: Float32Array, sample_rate: int, n_fft: int) -> Float32Array:
    """Return triangular filters, each from one edge over the next to the one after.

    Parameters
    ----------
    edges_hz : float32 ndarray of shape (n_bands + 2,)
        Rising.
    sample_rate : int
        Hz.
    n_fft : int
        Samples.

    Returns
    -------
    filters : float32 ndarray of shape (n_fft // 2 + 1, n_bands)
    """
    bins_hz = np.arange(n_fft // 2 + 1, dtype=np.float32)[:, None] * np.float32(sample_rate / n_fft)
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    return np.asarray(np.clip(np.minimum(rising, falling), 0, 1), dtype=np.float32)
