"""What musicnn hears of a clip: windows of three seconds, cut from the clip as a ring."""

from __future__ import annotations

import numpy as np

from loopsphere.errors import FeatureError
from loopsphere.features.config import MelConfig
from loopsphere.features.mel import levelled, mel_power
from loopsphere.types import Float32Array

MUSICNN_MEL = MelConfig(
    sample_rate=32_000,
    n_fft=1024,
    hop_length=512,
    n_mels=96,
    fmin=0.0,
    fmax=8_000.0,
    filters="slaney",
    n_frames=187,
    short_clip="repeat",
    rms_dbfs=-20.0,
)
"""musicnn's own front end, 512-sample frames at 16 kHz, on samples at twice that rate."""
_POWER_SCALE = 0.25  # frames of twice as many samples have four times the power
_COMPRESSION = 10_000.0
MIN_WINDOWS, MAX_WINDOWS = 2, 16


def musicnn_windows(waveform: Float32Array) -> Float32Array:
    """Cut a clip into evenly spaced windows that together cover it, up to 48 s.

    The clip is taken as a ring: frames and windows go on from its end to its beginning, as a loop does, so
    where it starts hardly matters.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at 32 kHz.

    Returns
    -------
    windows : float32 ndarray of shape (n_windows, 187, 96)
        log10(1 + 10000 * power), frames by mel bands.

    Raises
    ------
    FeatureError
        `waveform` is not 1-D, is empty or is not finite.
    """
    config = MUSICNN_MEL
    if waveform.ndim != 1 or waveform.size == 0 or not np.isfinite(waveform).all():
        raise FeatureError(f"a waveform must be 1-D, finite and not empty; got shape {waveform.shape}")
    n_frames = max(1, round(waveform.size / config.hop_length))
    # Not `size`: frames are whole hops, and the last one's end wraps by what is missing.
    n_samples = (n_frames - 1) * config.hop_length + config.n_fft
    ring = np.resize(np.roll(levelled(waveform, waveform, config), config.n_fft // 2), n_samples)
    power = _POWER_SCALE * mel_power(ring, config, dtype=np.float32)
    log_power: Float32Array = np.log10(1.0 + _COMPRESSION * power)
    n_windows = min(max(MIN_WINDOWS, -(-n_frames // config.n_frames)), MAX_WINDOWS)
    starts = np.arange(n_windows) * n_frames // n_windows
    windows: Float32Array = log_power[(starts[:, None] + np.arange(config.n_frames)) % n_frames]
    return windows
