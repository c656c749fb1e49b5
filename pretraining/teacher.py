"""What a network that has heard real music makes of a sound: musicnn's features, to be learnt from.

Rendered loops alone leave an encoder ignorant of how recorded instruments differ. musicnn (Pons and Serra
2019, arXiv 1909.06654) was trained on the recordings of MagnaTagATune; what it says of a rendered loop is the
`teacher` term's target. The same network is bundled beside HTS-AT.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from loopsphere.encoders.loading import MUSICNN_FILE
from loopsphere.features.listening import musicnn_ring
from loopsphere.models.musicnn_file import read_musicnn

DIM = 200


class Teacher:
    """The bundled musicnn, up to its features."""

    def __init__(self) -> None:
        self._network = read_musicnn(MUSICNN_FILE)

    def __call__(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return features, float32 of shape (200,), of a loop at 32 kHz."""
        with torch.inference_mode():
            features, _ = self._network(torch.from_numpy(musicnn_ring(waveform)))
        return np.asarray(features)
