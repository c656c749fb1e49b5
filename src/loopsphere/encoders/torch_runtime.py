"""HTS-AT run by PyTorch, in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from loopsphere.errors import LoopsphereError
from loopsphere.models.checkpoints import Checkpoint
from loopsphere.models.htsat import HTSAT
from loopsphere.types import Float32Array


class TorchRuntime:
    """A network on a device.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : str
        'auto' takes CUDA where it is available, else Apple's GPU, else the CPU.

    Raises
    ------
    LoopsphereError
        `device` is unknown or not available here.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.device = _pick(device)
        with torch.device("meta"):  # no time and memory for weights that are replaced at once
            network = HTSAT(checkpoint.config)
        network.load_state_dict(dict(checkpoint.state), strict=True, assign=True)
        self._network = network.to(self.device).eval()

    def __call__(
        self, view: Float32Array, is_longer: npt.NDArray[np.bool_], local_views: Float32Array
    ) -> Float32Array:
        """Return embeddings of one batch.

        Parameters
        ----------
        view : float32 ndarray of shape (n_clips, n_frames, n_mels)
        is_longer : bool ndarray of shape (n_clips,)
        local_views : float32 ndarray of shape (n_longer, 3, n_frames, n_mels)

        Returns
        -------
        embedding : float32 ndarray of shape (n_clips, embedding_dim)
        """
        with _exact():
            arrays = (view, is_longer, local_views)
            tensors = [torch.from_numpy(array).to(self.device) for array in arrays]
            return self._network(*tensors).cpu().numpy()  # type: ignore[no-any-return]

    def tokens(self, view: Float32Array, stages: Sequence[int]) -> tuple[Float32Array, ...]:
        """Return the tokens of some stages for windows that stand alone.

        Parameters
        ----------
        view : float32 ndarray of shape (n_windows, n_frames, n_mels)
        stages : sequence of int
            See `HTSAT.tokens`.

        Returns
        -------
        tokens : tuple of float32 ndarray of shape (n_windows, n_steps, n_bands, dim)
            One a stage.
        """
        with _exact():
            grids = self._network.tokens(torch.from_numpy(view).to(self.device), stages=stages)
            return tuple(grid.permute(0, 3, 2, 1).contiguous().cpu().numpy() for grid in grids)


@contextmanager
def _exact() -> Iterator[None]:
    # TensorFloat-32, cuDNN's default for convolutions, would cost three digits.
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def _pick(device: str) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:
        raise LoopsphereError(
            f"device {device!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
    return picked
