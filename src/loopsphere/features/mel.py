"""Waveform to log-mel power in dB."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.fft

from loopsphere.errors import FeatureError
from loopsphere.features.config import MelConfig
from loopsphere.types import Float32Array

_FRAMES_PER_BLOCK = 64  # their spectra stay in the cache of a core; those of 256 take twice as long
_SAMPLES_AT_ONCE = 1 << 22  # of a long clip, in float64
_FRAMES_PER_PIECE = 128 * _FRAMES_PER_BLOCK  # 82 s; the samples of a longer clip are not copied together
_BANDS_PER_BLOCK = 16  # reach over few bins together; a product with all filters would be mostly zeros

# The Auditory Toolbox scale: linear below 1 kHz, logarithmic above (Slaney 1998).
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float, filters: str) -> float:
    if filters != "slaney":
        return float(2595.0 * np.log10(1.0 + hz / 700.0))
    if hz < _SLANEY_BREAK_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    return float(_SLANEY_BREAK_MEL + np.log(hz / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP)


def _mel_to_hz(mel: npt.NDArray[np.float64], filters: str) -> npt.NDArray[np.float64]:
    if filters != "slaney":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    logarithmic = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mel - _SLANEY_BREAK_MEL))
    return np.where(mel < _SLANEY_BREAK_MEL, mel * _SLANEY_HZ_PER_MEL, logarithmic)


@lru_cache(maxsize=8)
def mel_filters(config: MelConfig) -> Float32Array:
    """Return triangular mel filters.

    Parameters
    ----------
    config : MelConfig

    Returns
    -------
    filters : float32 ndarray of shape (n_fft // 2 + 1, n_mels)
        Gain of each FFT bin in each band.
    """
    bins_hz = np.linspace(0.0, config.sample_rate / 2, config.n_fft // 2 + 1)
    edges_mel = np.linspace(
        _hz_to_mel(config.fmin, config.filters), _hz_to_mel(config.fmax, config.filters), config.n_mels + 2
    )
    edges_hz = _mel_to_hz(edges_mel, config.filters)
    edges, bins = edges_hz, bins_hz
    if config.filters == "tensorflow":
        edges, bins = edges_mel, np.array([_hz_to_mel(hz, config.filters) for hz in bins_hz])
    width = np.diff(edges)
    distance = edges - bins[:, None]
    rising = -distance[:, :-2] / width[:-1]
    falling = distance[:, 2:] / width[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if config.filters == "slaney":
        filters *= 2.0 / (edges_hz[2:] - edges_hz[:-2])
    result = filters.astype(np.float32)
    result.flags.writeable = False
    return result


def band_edges_hz(config: MelConfig, n_groups: int) -> npt.NDArray[np.float64]:
    """Return where groups of neighbouring mel bands meet.

    Parameters
    ----------
    config : MelConfig
    n_groups : int
        Equal groups that the `n_mels` bands are put into.

    Returns
    -------
    edges_hz : float64 ndarray of shape (n_groups + 1,)
        Hz, halfway on the mel scale between the centres of the bands on either side.
    """
    first, last = (_hz_to_mel(hz, config.filters) for hz in (config.fmin, config.fmax))
    band_mel = (last - first) / (config.n_mels + 1)
    edges = first + band_mel * (0.5 + np.linspace(0, config.n_mels, n_groups + 1))
    return _mel_to_hz(edges, config.filters)


def fill_window(waveform: Float32Array, config: MelConfig) -> Float32Array:
    """Bring a short clip to the encoder's window; leave a longer one as it is.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
    config : MelConfig
        `short_clip` says how.

    Returns
    -------
    filled : float32 ndarray of shape (max(n_samples, window_samples),)

    Raises
    ------
    FeatureError
        `waveform` is not 1-D, is empty or is not finite.
    """
    if waveform.ndim != 1 or waveform.size == 0:
        raise FeatureError(f"a waveform must be 1-D and not empty; got shape {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise FeatureError("the waveform has NaN or infinite samples")
    n_missing = config.window_samples - waveform.size
    if n_missing <= 0:
        return waveform
    if config.short_clip == "repeat":
        return np.resize(waveform, config.window_samples)
    repeated = np.tile(waveform, config.window_samples // waveform.size)
    return np.pad(repeated, (0, config.window_samples - repeated.size))


class MelPower(Protocol):
    """Something that does what `mel_power` does."""

    def __call__(
        self, waveform: Float32Array, config: MelConfig, *, dtype: type[np.floating[Any]] = ...
    ) -> Float32Array:
        """Return the power in mel bands of every whole frame."""


def mel_power(
    waveform: Float32Array, config: MelConfig, *, dtype: type[np.floating[Any]] = np.float64
) -> Float32Array:
    """Return the power (or sum of magnitudes) in mel bands of every whole frame of a waveform.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at `config.sample_rate`, at least `config.n_fft` samples.
    config : MelConfig
    dtype : {float64, float32}
        Of the spectra. In float32, which is faster, a quiet band next to a loud one is off by up
        to 0.02 dB; in float64 nothing shows.

    Returns
    -------
    power : float32 ndarray of shape (1 + (n_samples - n_fft) // hop_length, n_mels)
    """
    frames = np.lib.stride_tricks.sliding_window_view(waveform, config.n_fft)[:: config.hop_length]
    window = analysis_window(config).astype(dtype)
    result = np.empty((len(frames), config.n_mels), dtype=np.float32)
    for start in range(0, len(frames), _FRAMES_PER_BLOCK):
        block = slice(start, start + _FRAMES_PER_BLOCK)
        spectrum = scipy.fft.rfft(frames[block] * window, axis=1)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)).astype(np.float32, copy=False)
        if config.exponent == 1:
            np.sqrt(power, out=power)
        for bins, bands, filters in _filter_blocks(config):
            result[block, bands] = power[:, bins] @ filters
    return result


def log_mel(
    waveform: Float32Array,
    config: MelConfig,
    *,
    dtype: type[np.floating[Any]] = np.float64,
    power_of: MelPower = mel_power,
) -> Float32Array:
    """Return the log-mel power of a clip, filled to the encoder's window if it is shorter.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at `config.sample_rate`.
    config : MelConfig
    dtype : {float64, float32}
        Of the spectra; see `mel_power`.
    power_of : callable
        Computes them.

    Returns
    -------
    log_mel : float32 ndarray of shape (n_total_frames, n_mels)
        dB, floored at `config.floor_db`, one row a hop; at least `config.n_frames` rows.

    Raises
    ------
    FeatureError
        `waveform` is not 1-D, is empty or is not finite.

    References
    ----------
    Wu et al. 2023, arXiv 2211.06687, section 3 (CLAP's front end, which the settings reproduce).
    """
    # By the level of the clip, not of the filled window: padding must not make a clip louder.
    filled, gain, half = fill_window(waveform, config), level_gain(waveform, config), config.n_fft // 2
    parts = []
    for first, last in piece_ends(filled.size + 2 * half, config):
        before, after = max(half - first, 0), max(last - half - filled.size, 0)
        piece = filled[first - half + before : last - half - after]
        piece = np.pad(piece, (before, after), mode="reflect") * gain
        parts.append(power_of(piece, config, dtype=dtype))
    power = parts[0] if len(parts) == 1 else np.concatenate(parts)
    result: Float32Array = 10.0 * np.log10(np.maximum(power, 10.0 ** (config.floor_db / 10.0)))
    return result


def piece_ends(n_samples: int, config: MelConfig) -> Iterator[tuple[int, int]]:
    """Yield the first sample, and the one after the last, of frames that are computed together.

    Of a usual clip these are all; the pieces of a long one overlap by what their frames do.
    """
    n_frames = 1 + (n_samples - config.n_fft) // config.hop_length
    starts = [*range(0, max(1, n_frames - _FRAMES_PER_PIECE + 1), _FRAMES_PER_PIECE), n_frames]
    for start, end in pairwise(starts):
        yield start * config.hop_length, (end - 1) * config.hop_length + config.n_fft


def level_gain(clip: Float32Array, config: MelConfig) -> np.float32:
    """Return the gain that brings a clip to `config.rms_dbfs`; 1 where that is not set."""
    if config.rms_dbfs is None:
        return np.float32(1.0)
    starts = range(0, clip.size, _SAMPLES_AT_ONCE)
    power = sum(np.square(clip[start : start + _SAMPLES_AT_ONCE], dtype=np.float64).sum() for start in starts)
    return np.float32(10.0 ** (config.rms_dbfs / 20.0) / max(np.sqrt(power / clip.size), 1e-9))


@lru_cache(maxsize=8)
def _filter_blocks(config: MelConfig) -> list[tuple[slice, slice, Float32Array]]:
    """Cut the mel filters into neighbouring bands and the bins that these reach over."""
    filters = mel_filters(config)
    blocks = []
    for start in range(0, config.n_mels, _BANDS_PER_BLOCK):
        bands = slice(start, start + _BANDS_PER_BLOCK)
        reached = np.flatnonzero(filters[:, bands].any(axis=1))
        bins = slice(reached[0], reached[-1] + 1) if reached.size else slice(0, 0)
        blocks.append((bins, bands, np.ascontiguousarray(filters[bins, bands])))
    return blocks


@lru_cache(maxsize=8)
def analysis_window(config: MelConfig) -> npt.NDArray[np.float64]:
    """Return what frames are multiplied with, (n_fft,): a periodic Hann window, and zeros behind it."""
    length = config.window_length or config.n_fft
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
    return np.pad(hann, (0, config.n_fft - length))
