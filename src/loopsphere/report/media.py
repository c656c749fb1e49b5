"""Sound and pictures as the page takes them: small, and as text."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt

from loopsphere.types import Float32Array

OPUS_RATE = 48_000
"""Hz; the rate that Opus works at."""
_COMPRESSION = 0.7  # of libsndfile, from 0 to 1; some 85 kbit/s
_ODDNESS_UNITS = 64.0  # of a byte, so that oddness up to 4 has steps of 1/64
_RANGE_DB = 70.0  # what is softer than this below the loudest is white


def opus_base64(waveform: Float32Array) -> str:
    """Return a mono clip as Ogg Opus in base64.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        At `OPUS_RATE`.
    """
    import soundfile as sf

    file = io.BytesIO()
    clipped = np.clip(waveform, -1.0, 1.0)
    sf.write(file, clipped, OPUS_RATE, format="OGG", subtype="OPUS", compression_level=_COMPRESSION)
    return base64.b64encode(file.getvalue()).decode()


def peaks_base64(waveform: Float32Array, n_columns: int) -> str:
    """Return the lowest and highest sample of each column as int8, see `LoopDetail.peaks`."""
    bounds = np.linspace(0, len(waveform), n_columns + 1).astype(int)
    full = max(float(np.abs(waveform).max()), 1e-9)
    starts = np.minimum(bounds[:-1], len(waveform) - 1)
    lowest = np.minimum.reduceat(waveform, starts)
    highest = np.maximum.reduceat(waveform, starts)
    pairs = np.stack([lowest, highest], axis=1) / full * 127
    return _base64(pairs.round().astype(np.int8))


def spectrum_base64(log_mel: Float32Array, n_bands: int, n_columns: int) -> tuple[str, tuple[int, int]]:
    """Return a log-mel of shape (n_frames, n_mels) in dB as a picture, see `LoopDetail.spectrum`."""
    picture = _shrunk(_shrunk(log_mel, n_columns).T, n_bands)
    level = np.clip((picture - picture.max()) / _RANGE_DB + 1.0, 0.0, 1.0)
    return _base64((level * 255).round().astype(np.uint8)), (picture.shape[0], picture.shape[1])


def oddness_base64(values: npt.NDArray[np.floating], n_columns: int) -> tuple[str, tuple[int, ...]]:
    """Return oddness along its last axis as bytes, the most of each column, see `LoopDetail.curve`."""
    n_bins = values.shape[-1]
    if n_bins > n_columns:
        starts = np.linspace(0, n_bins, n_columns + 1).astype(int)[:-1]
        values = np.maximum.reduceat(values, starts, axis=-1)
    scaled = np.clip(values * _ODDNESS_UNITS, 0, 255).round().astype(np.uint8)
    return _base64(scaled), scaled.shape


def _shrunk(rows: npt.NDArray[np.floating], n_rows: int) -> npt.NDArray[np.floating]:
    """Average neighbouring rows until no more than so many are left."""
    if len(rows) <= n_rows:
        return rows
    bounds = np.linspace(0, len(rows), n_rows + 1).astype(int)
    return np.add.reduceat(rows, bounds[:-1], axis=0) / np.diff(bounds)[:, None]


def _base64(array: npt.NDArray[np.generic]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
