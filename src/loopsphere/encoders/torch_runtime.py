"""HTS-AT and YAMNet run by PyTorch, in float32 or bfloat16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from loopsphere.encoders.device_mel import to_device
from loopsphere.encoders.precision import DEFAULT_PRECISION, PRECISIONS
from loopsphere.errors import LoopsphereError, UnknownNameError, first_line
from loopsphere.features.listening import window_starts
from loopsphere.models.attention_kernel import has_kernel
from loopsphere.models.checkpoints import Checkpoint
from loopsphere.models.htsat import HTSAT
from loopsphere.models.onednn import has_onednn
from loopsphere.models.yamnet import Yamnet
from loopsphere.types import Float32Array

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_WINDOWS_ON_CPU, _WINDOWS_ON_GPU = 16, 256  # at once; on the CPU so few that they stay in its cache


class TorchRuntime:
    """A network on a device.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : str
        'auto' takes CUDA where it is available, else Apple's GPU, else the CPU.
    precision : {'float32', 'bfloat16', 'auto'}
        Of the network's stages. 'auto' takes bfloat16 where the device computes in it: large networks are
        then about twice as fast. An embedding's cosine to the one in float32 is above 0.9999 for most loops.

    Attributes
    ----------
    device : torch.device
    precision : {'float32', 'bfloat16'}

    Raises
    ------
    LoopsphereError
        `device` is unknown or not available here, or there is no such precision.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            raise UnknownNameError(f"unknown precision {precision!r}; choose {', '.join(PRECISIONS)}")
        self.device = _pick(device)
        self.precision = _fastest(self.device) if precision == "auto" else precision
        with torch.device("meta"):  # no time and memory for weights that are replaced at once
            network = HTSAT(checkpoint.config)
        network.load_state_dict(dict(checkpoint.state), strict=True, assign=True)
        self._network = network.to(self.device).eval()
        if self.device.type == "cpu":
            _keep_freed_memory()
        self._network.run_stages_in(_DTYPES[self.precision])

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
            tensors = [to_device(array, self.device) for array in arrays]
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


class TorchTagger:
    """YAMNet on a device.

    Windows laid around each clip (`loopsphere.features.listening.window_starts`) go through the network in
    batches of one size, whichever clips they are of: a clip sounds the same alone and among others.

    Parameters
    ----------
    network : Yamnet
    device : torch.device
    precision : {'float32', 'bfloat16'}
        Of the network's layers.
    """

    def __init__(self, network: Yamnet, device: torch.device, precision: str) -> None:
        self._device = device
        self._n_at_once = _WINDOWS_ON_CPU if device.type == "cpu" else _WINDOWS_ON_GPU
        self._network = network.to(device).eval()
        self._network.run_layers_in(_DTYPES[precision])

    def __call__(self, rings: Sequence[Float32Array]) -> tuple[Float32Array, Float32Array]:
        """Return what YAMNet says of clips, the mean over each clip's windows.

        Parameters
        ----------
        rings : sequence of float32 ndarray of shape (n_frames, 64)
            At least one; as long as each is. See `loopsphere.features.listening.yamnet_ring`.

        Returns
        -------
        probabilities : float32 ndarray of shape (n_clips, 521)
            Of AudioSet's classes.
        features : float32 ndarray of shape (n_clips, 1024)
        """
        with _exact():
            windows = [self._windows(to_device(ring, self._device)) for ring in rings]
            n_windows = [len(clip) for clip in windows]
            n_missing = -sum(n_windows) % self._n_at_once
            every = torch.cat([*windows, windows[0].new_zeros(n_missing, *windows[0].shape[1:])])
            heard = [torch.cat(self._network(some), dim=1) for some in torch.split(every, self._n_at_once)]
            clips = torch.split(torch.cat(heard)[: sum(n_windows)], n_windows)
            # A GPU is not waited for before the last of them.
            means: Float32Array = torch.stack([clip.mean(0) for clip in clips]).cpu().numpy()
            n_classes = self._network.config.n_classes
            return means[:, :n_classes], means[:, n_classes:]

    def _windows(self, ring: torch.Tensor) -> torch.Tensor:
        """Cut windows out of a ring, (n_windows, 96, 64)."""
        frames = window_starts(len(ring))[:, None] + np.arange(self._network.config.n_frames)
        return ring[torch.from_numpy(frames % len(ring)).to(ring.device)]


def runtime_summary(device: str = "auto") -> dict[str, Any]:
    """Return what networks run on here, and in what, ready for JSON.

    Parameters
    ----------
    device : str
        As for `TorchRuntime`.

    Raises
    ------
    LoopsphereError
        `device` is unknown or not available here.
    """
    picked = _pick(device)
    fastest = _fastest(picked)
    by_kernel = picked.type == "cpu" and fastest == "bfloat16" and has_kernel(64, 16)
    return {
        "runtime": f"torch {torch.__version__}",
        "device": str(picked),
        "precision": DEFAULT_PRECISION,
        "fastest_precision": fastest,
        "attention": "compiled kernel" if by_kernel else "torch",
        "threads": torch.get_num_threads(),
    }


@cache
def _keep_freed_memory() -> None:
    """Let the C library keep what layers free for the layers that follow.

    glibc gives a freed block back to the system if it is larger than any that was freed before, up to 32 MiB;
    every page that comes anew then costs a fault. So it is shown one.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8, device="cpu")


@contextmanager
def _exact() -> Iterator[None]:
    # TensorFloat-32, cuDNN's default for convolutions, would cost three digits.
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def _fastest(device: torch.device) -> str:
    return "bfloat16" if _computes_in_bfloat16(device) else "float32"


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16; those without emulate it slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # AVX512-BF16, which every processor with AMX has too. Measured on no other kind. ATEN_CPU_CAPABILITY and
    # ONEDNN_MAX_CPU_ISA may keep torch and oneDNN below what the processor has.
    return (
        device.type == "cpu"
        and bool(torch.cpu._is_avx512_bf16_supported())
        and torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")
        and has_onednn(torch.bfloat16)
    )


def _pick(device: str) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:
        raise LoopsphereError(f"device {device!r} cannot be used here: {first_line(error)}") from error
    return picked
