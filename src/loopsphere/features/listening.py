"""What musicnn hears of a clip: its log-mel, as a ring."""

from __future__ import annotations

import numpy as np

from loopsphere.errors import FeatureError
from loopsphere.features.config import MelConfig
from loopsphere.features.mel import MelPower, levelled, mel_power
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
MAX_EXCERPTS = 16


def musicnn_ring(waveform: Float32Array, *, power_of: MelPower = mel_power) -> Float32Array:
    """Return the log-mel of a clip that is taken as a ring.

    Frames go on from the clip's end to its beginning, as a loop does. Of a clip of more than 48 s, sixteen
    evenly spaced excerpts of 3 s are heard, side by side.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at 32 kHz.
    power_of : callable
        Computes the spectra.

    Returns
    -------
    ring : float32 ndarray of shape (n_frames, 96)
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
    around = np.resize(np.roll(levelled(waveform, waveform, config), config.n_fft // 2), n_samples)
    power = _POWER_SCALE * power_of(around, config, dtype=np.float32)
    ring: Float32Array = np.log10(1.0 + _COMPRESSION * power)
    if n_frames > MAX_EXCERPTS * config.n_frames:
        starts = np.arange(MAX_EXCERPTS) * n_frames // MAX_EXCERPTS
        ring = ring[(starts[:, None] + np.arange(config.n_frames)).ravel()]
    return ring
