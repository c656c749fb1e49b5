"""How loud, how squashed, how wide: attributes of the samples themselves."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loopsphere.explain.attributes.spectra import pieces
from loopsphere.types import Float32Array

if TYPE_CHECKING:
    from pyloudnorm import Meter

_LUFS_BLOCK_S, _LUFS_STEP_S = 0.4, 0.1
_ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -70.0, -10.0
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


def peak(samples: Float32Array) -> float:
    """Return the largest magnitude."""
    return float(max(samples.max(), -samples.min()))


def mean_square(samples: Float32Array) -> float:
    """Return the mean of the squares of all samples of all channels."""
    total = sum(np.square(samples[piece]).sum(dtype=np.float64) for piece in pieces(len(samples)))
    return float(total / samples.size)


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
    n_block = int(np.ceil(_LUFS_BLOCK_S * sample_rate)) + 1
    if len(samples) < n_block:
        samples = np.tile(samples, (-(-n_block // len(samples)), 1))
    meter = _k_weighting_meter(sample_rate)
    step = round(_LUFS_STEP_S * sample_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of no blocks, where all are gated
        if len(list(pieces(len(samples), multiple=step))) == 1:
            loudness = float(meter.integrated_loudness(samples))
        else:  # in smaller pieces, because pyloudnorm takes four times as much
            parts = pieces(len(samples), width=4, multiple=step)
            loudness = _gated([_block_loudness(samples, part, meter) for part in parts])
    return loudness if np.isfinite(loudness) else None


def _k_weighting_meter(sample_rate: int) -> Meter:
    """Return pyloudnorm's meter with its own two filters, computed by what takes half as long for them."""
    import pyloudnorm
    from scipy import signal

    class Biquad(pyloudnorm.IIRfilter):  # type: ignore[misc]
        def apply_filter(self, data: Float32Array) -> npt.NDArray[np.float64]:
            return np.asarray(signal.sosfilt(np.concatenate([self.b, self.a])[None], data))

    meter = pyloudnorm.Meter(sample_rate)
    for kind, of in meter._filters.items():
        meter._filters[kind] = Biquad(of.G, of.Q, of.fc, of.rate, of.filter_type, of.passband_gain)
    return meter


def _block_loudness(samples: Float32Array, part: slice, meter: Meter) -> npt.NDArray[np.float64]:
    """Return the loudness of the gating blocks that begin in a part of a long recording."""
    overlap = round((_LUFS_BLOCK_S - _LUFS_STEP_S) * meter.rate)
    heard = samples[part.start : part.stop + overlap]
    if len(heard) <= _LUFS_BLOCK_S * meter.rate:  # a rest shorter than a block
        return np.empty(0)
    meter.integrated_loudness(heard)
    return np.array(meter.blockwise_loudness)


def _gated(blocks: list[npt.NDArray[np.float64]]) -> float:
    loudness = np.concatenate(blocks)
    loudness = loudness[loudness >= _ABSOLUTE_GATE_LUFS]
    lowest = _mean_loudness(loudness) + _RELATIVE_GATE_LU
    return _mean_loudness(loudness[loudness > lowest])


def _mean_loudness(loudness: npt.NDArray[np.float64]) -> float:
    return float(10.0 * np.log10(np.mean(10.0 ** (loudness / 10.0))))


def peak_dbfs(samples: Float32Array) -> float:
    """Return the highest sample peak of all channels, in dB relative to full scale."""
    return decibels(peak(samples) ** 2)


def crest_db(samples: Float32Array) -> float:
    """Return by how many dB the peak lies above the RMS of all channels; a square wave has 0, a sine 3."""
    return peak_dbfs(samples) - decibels(mean_square(samples))


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
    highest = peak(channel)
    if highest == 0.0 or len(channel) <= _MIN_FLAT_SAMPLES:
        return 0.0
    n_clipped = 0
    for sign in (1, -1):
        extreme = float(channel.max() if sign > 0 else -channel.min())
        if extreme < 0.3 * highest:
            continue
        least = np.float32(extreme - _FLAT_TOP * highest)
        is_flat = np.zeros(len(channel) + 2, dtype=np.bool_)  # between two ends that are not
        is_flat[1:-1] = channel >= least if sign > 0 else channel <= -least
        edges = np.flatnonzero(is_flat[1:] != is_flat[:-1])
        starts, ends = edges[::2], edges[1::2]
        entry = np.abs(channel[starts] - channel[np.maximum(starts - 1, 0)])
        counts = ends - starts
        is_clip = (counts >= _MIN_FLAT_SAMPLES) & (entry > _MIN_ENTRY * _FLAT_TOP * highest)
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
    highest = peak(samples)
    if highest == 0.0:
        return None
    is_used = np.zeros(2 * _N_LEVELS + 1, dtype=bool)
    for piece in pieces(len(samples)):
        levels = np.rint(samples[piece, 0] * np.float32(_N_LEVELS / highest)).astype(np.int32)
        is_used[(levels + _N_LEVELS).astype(np.intp)] = True  # else cast in pieces, at twice the time
    used = np.flatnonzero(is_used)
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
    mid = side = 0.0
    for piece in pieces(len(samples)):
        left, right = samples[piece, 0], samples[piece, 1]
        mid += float(np.square(left + right).sum(dtype=np.float64))
        side += float(np.square(left - right).sum(dtype=np.float64))
    return mid / len(samples), side / len(samples)


def rms_frames(waveform: Float32Array, n_frame: int) -> npt.NDArray[np.float64]:
    """Return the RMS of consecutive pieces of `n_frame` samples, the last one left out if it is shorter."""
    n_frame = min(n_frame, len(waveform))
    n_whole = len(waveform) // n_frame * n_frame
    means = [
        np.mean(np.square(waveform[piece].reshape(-1, n_frame)), axis=1, dtype=np.float64)
        for piece in pieces(n_whole, multiple=n_frame)
    ]
    return np.sqrt(np.concatenate(means))
