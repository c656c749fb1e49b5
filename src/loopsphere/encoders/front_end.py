"""From a waveform to what the networks see of it; needs no network, and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loopsphere.features.config import MelConfig
from loopsphere.features.fusion import fuse_mel
from loopsphere.features.listening import yamnet_ring
from loopsphere.features.mel import MelPower, log_mel, mel_power
from loopsphere.types import Float32Array


class Views(NamedTuple):
    """What the networks see of one clip.

    Attributes
    ----------
    spectra : float32 ndarray of shape (n_views, n_frames, n_mels)
        Log-mel in dB, for HTS-AT. One view of a clip within the window. Of a longer one: with fusion four,
        whole clip, front, middle and back; without, `ceil(n_total_frames / n_frames)` windows.
    ring : float32 ndarray of shape (n_frames, 64) or None
        Log-mel for YAMNet, where the encoder has one; see `loopsphere.features.listening.yamnet_ring`.
    """

    spectra: Float32Array
    ring: Float32Array | None = None


@dataclass(frozen=True)
class FrontEnd:
    """The part of an encoder that is before its networks.

    Attributes
    ----------
    mel : MelConfig
    fusion : bool
        Whether a clip longer than the window has four views, for feature fusion, or windows that stand alone.
    listens : bool
        Whether YAMNet listens beside HTS-AT.
    """

    mel: MelConfig
    fusion: bool
    listens: bool

    def views(self, waveform: Float32Array, *, power_of: MelPower = mel_power) -> Views:
        """Return what the networks see of one clip.

        Parameters
        ----------
        waveform : float32 ndarray of shape (n_samples,)
            Mono, at `mel.sample_rate`.
        power_of : callable
            Computes the spectra.

        Raises
        ------
        FeatureError
            `waveform` is not 1-D, is empty or is not finite.
        """
        # An embedding moves less by spectra in float32 than by the order in which processors add.
        mel = log_mel(waveform, self.mel, dtype=np.float32, power_of=power_of)
        if self.fusion:
            spectra = fuse_mel(mel, n_frames=self.mel.n_frames)
        else:
            spectra = even_windows(mel, self.mel.n_frames)[0]
        return Views(spectra, yamnet_ring(waveform, power_of=power_of) if self.listens else None)


def even_windows(mel: Float32Array, n_frames: int) -> tuple[Float32Array, npt.NDArray[np.int64]]:
    """Cut a log-mel into as few evenly spaced windows as cover it; return them and their first frames."""
    n_windows = -(-len(mel) // n_frames)
    starts = np.linspace(0, len(mel) - n_frames, n_windows).round().astype(np.int64)
    return np.stack([mel[start : start + n_frames] for start in starts]), starts
