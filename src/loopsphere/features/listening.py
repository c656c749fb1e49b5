"""What YAMNet hears of a clip: its log-mel, as a ring."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loopsphere.errors import FeatureError
from loopsphere.features.config import MelConfig
from loopsphere.features.mel import MelPower, level_gain, mel_power, piece_ends
from loopsphere.types import Float32Array

YAMNET_MEL = MelConfig(
    sample_rate=32_000,
    n_fft=1024,
    hop_length=320,
    n_mels=64,
    fmin=125.0,
    fmax=7_500.0,
    filters="tensorflow",
    n_frames=96,
    short_clip="repeat",
    rms_dbfs=-20.0,
    window_length=800,
    exponent=1,
)
"""YAMNet's own front end, frames of 25 ms every 10 ms at 16 kHz, on samples at twice that rate."""
_SCALE = 0.5  # frames of twice as many samples have twice the magnitude
_OFFSET = 0.001
MAX_EXCERPTS = 16
_EXCERPT_FRAMES = 4 * YAMNET_MEL.n_frames
_ENOUGH_WINDOWS = 12


def yamnet_ring(waveform: Float32Array, *, power_of: MelPower = mel_power) -> Float32Array:
    """Return the log-mel of a clip that is taken as a ring.

    Frames go on from the clip's end to its beginning, as a loop does. Of a clip of more than 61 s, sixteen
    evenly spaced excerpts of 3.84 s are heard, side by side.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at 32 kHz.
    power_of : callable
        Computes the spectra.

    Returns
    -------
    ring : float32 ndarray of shape (n_frames, 64)
        ln(0.001 + magnitude), frames by mel bands.

    Raises
    ------
    FeatureError
        `waveform` is not 1-D, is empty or is not finite.
    """
    magnitude = _SCALE * ring_sums(waveform, YAMNET_MEL, power_of=power_of)
    ring: Float32Array = np.log(magnitude + np.float32(_OFFSET))
    if len(ring) > MAX_EXCERPTS * _EXCERPT_FRAMES:
        starts = np.arange(MAX_EXCERPTS) * len(ring) // MAX_EXCERPTS
        ring = ring[(starts[:, None] + np.arange(_EXCERPT_FRAMES)).ravel()]
    return ring


def ring_sums(waveform: Float32Array, config: MelConfig, *, power_of: MelPower = mel_power) -> Float32Array:
    """Return the sums in mel bands of frames that go on from a clip's end to its beginning.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at `config.sample_rate`.
    config : MelConfig
    power_of : callable
        Computes the spectra.

    Returns
    -------
    sums : float32 ndarray of shape (n_frames, n_mels)
        As many frames as hops fit the clip best, at least one.

    Raises
    ------
    FeatureError
        `waveform` is not 1-D, is empty or is not finite.
    """
    if waveform.ndim != 1 or waveform.size == 0 or not np.isfinite(waveform).all():
        raise FeatureError(f"a waveform must be 1-D, finite and not empty; got shape {waveform.shape}")
    n_frames = max(1, round(waveform.size / config.hop_length))
    # Not `size`: frames are whole hops, and the last one's end wraps by what is missing.
    n_samples = (n_frames - 1) * config.hop_length + config.n_fft
    gain, parts = level_gain(waveform, config), []
    for first, last in piece_ends(n_samples, config):
        piece = waveform[first:last]
        beyond = np.take(waveform, np.arange(max(0, last - waveform.size)), mode="wrap")
        parts.append(power_of(np.concatenate([piece, beyond]) * gain, config, dtype=np.float32))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def window_starts(n_frames: int) -> npt.NDArray[np.int64]:
    """Return where YAMNet's windows begin on a ring of so many frames.

    They lie evenly and so densely that where the clip starts hardly counts: half a window apart or less, and
    up to a window apart in clips of more than 6 s. A ring that is shorter than a window has one, which goes
    around more than once.
    """
    length = YAMNET_MEL.n_frames
    n_windows = 1
    if n_frames > length:
        n_windows = min(-(-2 * n_frames // length), max(_ENOUGH_WINDOWS, -(-n_frames // length)))
    return np.arange(n_windows) * n_frames // n_windows
