"""How loud, how squashed, how wide: attributes of the samples themselves."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from loopsphere.types import Float32Array

_LUFS_BLOCK_S = 0.4
_N_LEVELS = 32767
# A flat top: so many samples in a row within one and a half steps of 16 bits of the extreme.
_FLAT_TOP = 1.5 / 32768
_MIN_FLAT_SAMPLES = 3
# A wave runs into its flat top by more than so many tolerances a sample; over a sine's top it strolls.
_MIN_ENTRY = 4.0
_SILENT_POWER = 1e-12


def decibels(power: float) -> float:
    """Return 10 log10 of a power, at least -120."""
    return float(10.0 * np.log10(max(power, _SILENT_POWER)))


def loudness_lufs(samples: Float32Array, sample_rate: int) -> float | None:
    """Measure integrated loudness; a loop shorter than a gating block is repeated until it fills one.

    Parameters
    ----------
    samples : float32 ndarray of shape (n_samples, n_channels)
    sample_rate : int
        Hz.

    Returns
    -------
    loudness : float or None
        LUFS; None below the absolute gate of -70.

    References
    ----------
    ITU-R BS.1770-4, as pyloudnorm has it.
    """
    import pyloudnorm

    n_block = int(np.ceil(_LUFS_BLOCK_S * sample_rate)) + 1
    if len(samples) < n_block:
        samples = np.tile(samples, (-(-n_block // len(samples)), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of no blocks, where all are gated
        loudness = float(pyloudnorm.Meter(sample_rate).integrated_loudness(samples))
    return loudness if np.isfinite(loudness) else None


def peak_dbfs(samples: Float32Array) -> float:
    """Return the highest sample peak of all channels, in dB relative to full scale."""
    return decibels(float(np.abs(samples).max()) ** 2)


def crest_db(samples: Float32Array) -> float:
    """Return by how many dB the peak lies above the RMS of all channels; a square wave has 0, a sine 3."""
    mean_square = float(np.mean(np.square(samples, dtype=np.float32), dtype=np.float64))
    return peak_dbfs(samples) - decibels(mean_square)


def clipped_share(samples: Float32Array) -> float:
    """Return the share of samples that stick at the extremes.

    Parameters
    ----------
    samples : float32 ndarray of shape (n_samples, n_channels)

    Returns
    -------
    share : float
        0 to 1, of the worst channel. Flat tops count at any level, so a clipped loop that was turned down
        afterwards is found; a bare sine is not clipped.
    """
    return max(_clipped_share(samples[:, channel]) for channel in range(samples.shape[1]))


def _clipped_share(channel: Float32Array) -> float:
    peak = float(np.abs(channel).max())
    if peak == 0.0 or len(channel) <= _MIN_FLAT_SAMPLES:
        return 0.0
    n_clipped = 0
    for sign in (1, -1):
        extreme = float((channel * np.float32(sign)).max())
        if extreme < 0.3 * peak:
            continue
        is_flat = channel * np.float32(sign) >= extreme - _FLAT_TOP * peak
        edges = np.flatnonzero(np.diff(np.concatenate([[0], is_flat.view(np.int8), [0]])))
        starts, ends = edges[::2], edges[1::2]
        entry = np.abs(channel[starts] - channel[np.maximum(starts - 1, 0)])
        counts = ends - starts
        is_clip = (counts >= _MIN_FLAT_SAMPLES) & (entry > _MIN_ENTRY * _FLAT_TOP * peak)
        n_clipped += int(counts[is_clip].sum())
    return n_clipped / len(channel)


def dc_offset(samples: Float32Array) -> float:
    """Return the largest mean of a channel, as a share of full scale."""
    return float(np.abs(samples.mean(axis=0, dtype=np.float64)).max())


def resolution_bits(samples: Float32Array) -> float | None:
    """Estimate how many bits the loop's own range is resolved into: 16 at most, 8 for 8-bit audio.

    Parameters
    ----------
    samples : float32 ndarray of shape (n_samples, n_channels)

    Returns
    -------
    bits : float or None
        From the gaps between the levels that occur; None where hardly any do.
    """
    peak = float(np.abs(samples).max())
    if peak == 0.0:
        return None
    levels = np.rint(samples[:, 0] * np.float32(_N_LEVELS / peak)).astype(np.int32) + _N_LEVELS
    used = np.flatnonzero(np.bincount(levels, minlength=2 * _N_LEVELS + 1))
    if len(used) < 4:
        return None
    step = float(np.quantile(np.diff(used), 0.1))
    return float(np.log2(2 * _N_LEVELS / step)) if step > 1 else 16.0


def stereo_width(samples: Float32Array) -> float | None:
    """Return the side's share of the power: 0 is mono, 0.5 two unrelated channels, 1 out of phase.

    Parameters
    ----------
    samples : float32 ndarray of shape (n_samples, n_channels)

    Returns
    -------
    share : float or None
        None for one channel.
    """
    if samples.shape[1] < 2:
        return None
    mid, side = _mid_side_power(samples)
    return side / (mid + side) if mid + side > 0 else None


def mono_loss_db(samples: Float32Array) -> float | None:
    """Return by how many dB more than unrelated channels the two cancel in mono.

    Parameters
    ----------
    samples : float32 ndarray of shape (n_samples, n_channels)

    Returns
    -------
    loss : float or None
        0 where nothing is lost beyond the 3 dB of unrelated channels; None for one channel.
    """
    width = stereo_width(samples)
    return None if width is None else max(0.0, -3.0 - decibels(1.0 - width))


def _mid_side_power(samples: Float32Array) -> tuple[float, float]:
    left, right = samples[:, 0], samples[:, 1]
    mid, side = np.square(left + right).mean(dtype=np.float64), np.square(left - right).mean(dtype=np.float64)
    return float(mid), float(side)


def rms_frames(waveform: Float32Array, n_frame: int) -> npt.NDArray[np.float64]:
    """Return the RMS of consecutive pieces of `n_frame` samples, the last one left out if it is shorter."""
    n_frames = max(1, len(waveform) // n_frame)
    pieces = waveform[: n_frames * n_frame].reshape(n_frames, -1)
    return np.sqrt(np.mean(np.square(pieces), axis=1, dtype=np.float64))
