"""What a network that has heard real music makes of a sound: musicnn's features, to be learnt from.

Rendered loops alone leave an encoder ignorant of how recorded instruments differ. musicnn (Pons and Serra
2019, arXiv 1909.06654) was trained on the recordings of MagnaTagATune; what it says of a rendered loop is the
`teacher` term's target.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from loopsphere.features.config import MelConfig
from loopsphere.features.listening import ring_sums
from pretraining.musicnn import read_musicnn

DIM = 200
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


class Teacher:
    """musicnn, up to its features."""

    def __init__(self) -> None:
        self._network = read_musicnn()

    def __call__(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return features, float32 of shape (200,), of a loop at 32 kHz."""
        with torch.inference_mode():
            features, _ = self._network(torch.from_numpy(musicnn_ring(waveform)))
        return np.asarray(features)


def musicnn_ring(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the log-mel of a loop; its frames go on from the loop's end to its beginning.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at 32 kHz.

    Returns
    -------
    ring : float32 ndarray of shape (n_frames, 96)
        log10(1 + 10000 * power), frames by mel bands.
    """
    begun_earlier = np.roll(waveform, MUSICNN_MEL.n_fft // 2)  # the first frame lies around the first sample
    ring: npt.NDArray[np.float32] = np.log10(
        1.0 + _COMPRESSION * _POWER_SCALE * ring_sums(begun_earlier, MUSICNN_MEL)
    )
    return ring
