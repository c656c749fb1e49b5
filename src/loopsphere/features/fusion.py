"""The views of a clip that the feature fusion mechanism takes."""

from __future__ import annotations

import numpy as np

from loopsphere.errors import FeatureError
from loopsphere.types import Float32Array


def fuse_mel(log_mel: Float32Array, *, n_frames: int, rng: np.random.Generator | None = None) -> Float32Array:
    """Return one view of a clip within the window, or one whole-clip and three local views of a longer one.

    Parameters
    ----------
    log_mel : float32 ndarray of shape (n_total_frames, n_mels)
        Power in dB, one row per hop. Short clips arrive filled.
    n_frames : int
        Rows per view.
    rng : numpy.random.Generator or None
        Picks the crops, one in each third of the clip. None takes front, centre and back, so the
        same clip always gives the same views.

    Returns
    -------
    views : float32 ndarray of shape (1, n_frames, n_mels) or (4, n_frames, n_mels)
        Whole clip (shrunk if longer), then front, middle, back. The number of views depends on
        this clip alone, never on the rest of its batch.

    Raises
    ------
    FeatureError
        `log_mel` is not 2-D, not finite, or has fewer than `n_frames` rows.

    References
    ----------
    Wu et al. 2023, arXiv 2211.06687, section 3.2.
    """
    if log_mel.ndim != 2:
        raise FeatureError(f"a log-mel must be 2-D; got shape {log_mel.shape}")
    if not np.isfinite(log_mel).all():
        raise FeatureError("the log-mel has NaN or infinite values")
    n_spare = len(log_mel) - n_frames
    if n_spare < 0:
        raise FeatureError(f"a log-mel needs at least {n_frames} rows; got {len(log_mel)}")
    if n_spare == 0:
        return log_mel[None]
    if rng is None:
        starts = [0, n_spare // 2, n_spare]
    else:
        thirds = np.array_split(np.arange(n_spare + 1), 3)
        starts = [int(rng.choice(third)) if len(third) else 0 for third in thirds]
    local = [log_mel[start : start + n_frames] for start in starts]
    return np.stack([_shrink(log_mel, n_frames), *local])


def _shrink(log_mel: Float32Array, n_frames: int) -> Float32Array:
    """Interpolate linearly between row centres, as torch's bilinear mode without corner alignment does."""
    # In float32 like torch, whose rounding moves a long clip's rows by up to 0.02 dB.
    step = np.float32(len(log_mel) / n_frames)
    position = np.maximum(
        (np.arange(n_frames, dtype=np.float32) + np.float32(0.5)) * step - np.float32(0.5), 0
    )
    before = position.astype(np.int64)
    after = np.minimum(before + 1, len(log_mel) - 1)
    weight = (position - before.astype(np.float32))[:, None]
    shrunk: Float32Array = log_mel[before] * (1.0 - weight) + log_mel[after] * weight
    return shrunk
