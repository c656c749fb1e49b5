"""The file that musicnn's weights are bundled in."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import save

from loopsphere.errors import CheckpointError
from loopsphere.models.config_files import parse_object
from loopsphere.models.musicnn import Musicnn, MusicnnConfig
from loopsphere.models.tensor_files import open_safetensors

_CONFIG = "musicnn_config"


def save_musicnn(path: Path, network: Musicnn) -> None:
    """Write a network as fp16 safetensors that carry their own settings."""
    state = {
        name: value.detach().to(torch.float16).contiguous() for name, value in network.state_dict().items()
    }
    path.write_bytes(save(state, {_CONFIG: json.dumps(dataclasses.asdict(network.config))}))


def read_musicnn(path: Path) -> Musicnn:
    """Read a network, in float32 and ready to listen.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or its tensors are not those of its settings.
    """
    file = open_safetensors(path)
    fields = parse_object(file.metadata.get(_CONFIG, "null"), f"{_CONFIG} of {path}")
    try:
        config = MusicnnConfig(**{name: _as_field(value) for name, value in fields.items()})  # type: ignore[arg-type]
        with torch.device("meta"):  # no time and memory for weights that are replaced at once
            network = Musicnn(config)
        state = {name: file.read(name).float() for name in file.shapes}
        network.load_state_dict(state, strict=True, assign=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a musicnn checkpoint: {error}") from error
    network.run_filters_in(torch.float32)
    return network.eval()


def _as_field(value: object) -> int | tuple[int, ...]:
    if isinstance(value, list):
        return tuple(int(item) for item in value)
    if isinstance(value, int):
        return value
    raise TypeError(f"{value!r} is not a number of channels")
