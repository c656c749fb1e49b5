"""Short-time spectra, which several attributes share."""

from __future__ import annotations

import numpy as np
from scipy import fft

from loopsphere.types import Float32Array

_SAMPLES_PER_BLOCK = 2**17  # of frames; their spectra stay in the cache of a core


def power_frames(waveform: Float32Array, n_fft: int, hop_length: int, *, wrap: bool = False) -> Float32Array:
    """Return the power spectrum of Hann-windowed frames.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
    n_fft, hop_length : int
        Samples.
    wrap : bool
        Frames are centred on multiples of the hop and reach around the end, as the loop does when it repeats;
        else they lie within the waveform, which is padded with silence if it is shorter than one.

    Returns
    -------
    power : float32 ndarray of shape (n_frames, n_fft // 2 + 1)
        A full-scale sine peaks at 0.25 whatever the length of the frame.
    """
    if wrap:
        n_frames = max(1, round(len(waveform) / hop_length))
        # Not rounded to the hop: the last frame is as far from the first as any two neighbours.
        starts = np.round(np.arange(n_frames) * (len(waveform) / n_frames)).astype(np.int64)
        padded = np.take(waveform, np.arange(-(n_fft // 2), len(waveform) + n_fft), mode="wrap")
    else:
        padded = waveform
        if len(waveform) < n_fft:
            padded = np.concatenate([waveform, np.zeros(n_fft - len(waveform), np.float32)])
        starts = np.arange(0, len(padded) - n_fft + 1, hop_length)
    # scipy.signal has it too, and takes a third of a second to import.
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window *= np.float32(1.0 / window.sum())
    views = np.lib.stride_tricks.sliding_window_view(padded, n_fft)
    power = np.empty((len(starts), n_fft // 2 + 1), np.float32)
    n_at_once = max(1, _SAMPLES_PER_BLOCK // n_fft)
    for first in range(0, len(starts), n_at_once):
        block = starts[first : first + n_at_once]
        spectrum = fft.rfft(views[block] * window, axis=1).view(np.float32)
        np.square(spectrum, out=spectrum)  # real and imaginary parts in turn
        np.add(spectrum[:, 0::2], spectrum[:, 1::2], out=power[first : first + len(block)])
    return power


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
