"""The file that YAMNet's weights are bundled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from loopsphere.errors import CheckpointError
from loopsphere.models.tensor_files import open_safetensors
from loopsphere.models.yamnet import Yamnet, YamnetConfig

_STEP = ".step"
"""Of a weight's eight bits, one for each output channel, stored beside it."""


def save_yamnet(path: Path, quantised: Mapping[str, Tensor]) -> None:
    """Write weights as safetensors.

    Parameters
    ----------
    path : Path
    quantised : mapping of str to Tensor
        Of each layer, by its name in `Yamnet`: `weight` (int8), `weight.step` (float32) and `bias` (float32).
    """
    path.write_bytes(save({name: value.contiguous() for name, value in quantised.items()}))


def read_yamnet(path: Path) -> Yamnet:
    """Read a network, in float32 and ready to listen.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or its tensors are not YAMNet's.
    """
    file = open_safetensors(path)
    with torch.device("meta"):  # no time and memory for weights that are replaced at once
        network = Yamnet(YamnetConfig())
    try:
        stored = {name: file.read(name) for name in file.shapes}
        state = {name: _as_float(name, value, stored) for name, value in stored.items() if _STEP not in name}
        network.load_state_dict(state, strict=True, assign=True)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a YAMNet checkpoint: {error}") from error
    return network.eval()


def _as_float(name: str, value: Tensor, stored: Mapping[str, Tensor]) -> nn.Parameter:
    if name.endswith(".weight"):
        step = stored[name + _STEP]
        value = value.float() * step.view(-1, *(1,) * (value.ndim - 1))
    return nn.Parameter(value.float(), requires_grad=False)
