"""Files of named tensors, with their shapes known before anything is read into memory."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from loopsphere.errors import CheckpointError


@dataclass(frozen=True)
class TensorFile:
    """An opened file of named tensors.

    Attributes
    ----------
    path : Path
    shapes : mapping of str to tuple of int
        Every tensor in the file.
    read : callable
        Takes a name and returns the Tensor as it is stored.
    metadata : mapping of str to str
        What a safetensors file says about itself.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def open_safetensors(path: Path) -> TensorFile:
    """Open a safetensors file; only its header is read.

    Raises
    ------
    CheckpointError
        The file is missing, damaged or not safetensors.
    """
    try:
        handle: Any = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    shapes = {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
    return TensorFile(path, shapes, handle.get_tensor, handle.metadata() or {})


class _Ignored:
    """Takes the place of NumPy's scalars and dtypes, which LAION's files hold next to the weights.

    LAION stored losses as NumPy scalars. They are not needed, so NumPy's own constructors are never
    called on a file's bytes: this class accepts the same arguments and forgets them.
    """

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_IGNORED_GLOBALS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (_Ignored, name)
    for name in ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
]


# What torch's restricted unpickler raises on bytes that are no pickle, or a broken one.
_DAMAGE = (
    UnpicklingError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


def open_torch_file(path: Path) -> TensorFile:
    """Open a file written by `torch.save`: a state dict, bare or under the key 'state_dict'.

    Only tensors and plain containers are unpickled (`weights_only=True`), and zip-based files are
    mapped, so that tensors nobody asks for never enter memory.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, holds anything else than weights, or holds no state dict.
    """
    try:
        with torch.serialization.safe_globals(_IGNORED_GLOBALS):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (OSError, RuntimeError, EOFError, *_DAMAGE) as error:
        reason = str(error).splitlines()[0] if str(error) else "it ends early"
        raise CheckpointError(f"{path} cannot be read as PyTorch weights: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no state dict of tensors")
    if state and all(name.startswith("module.") for name in state):
        # Saved from DistributedDataParallel.
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return TensorFile(path, {name: tuple(value.shape) for name, value in state.items()}, state.__getitem__)
