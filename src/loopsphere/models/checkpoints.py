"""Checkpoints of three formats, read into one state dict for `loopsphere.models.htsat.HTSAT`.

Every tensor of a file is accounted for: it goes into the state dict, or the format is known to keep it
for something else (the text tower, a classification head). Anything else is an error that names it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from loopsphere.errors import CheckpointError
from loopsphere.models.config_files import checked_config, parse_object, read_json
from loopsphere.models.htsat import HTSAT, HTSAT_BASE, HTSAT_TINY, HTSATConfig
from loopsphere.models.layouts import HUGGING_FACE, LAION, OWN, Layout
from loopsphere.models.tensor_files import TensorFile, open_safetensors, open_torch_file

# What ClapAudioConfig calls each of our fields; its defaults are ours too, but for fusion, which it has off.
_HUGGING_FACE_FIELDS = {
    "spec_size": "image_size",
    "num_mel_bins": "n_mels",
    "patch_size": "patch_size",
    "patch_stride": "patch_stride",
    "patch_embeds_hidden_size": "width",
    "depths": "depths",
    "num_attention_heads": "n_heads",
    "window_size": "window_size",
    "mlp_ratio": "mlp_ratio",
    "enable_fusion": "fusion",
    "aff_block_r": "fusion_reduction",
}
# Settings that change the network in ways our module does not follow; anything but these is refused.
_HUGGING_FACE_FIXED = {
    "hidden_act": "gelu",
    "patch_embed_input_channels": 1,
    "flatten_patch_embeds": True,
    "enable_patch_layer_norm": True,
    "qkv_bias": True,
    "layer_norm_eps": 1e-5,
}
# What ClapFeatureExtractor calls the fields of `loopsphere.features.config.MelConfig`, and its defaults.
_HUGGING_FACE_MEL_FIELDS: dict[str, tuple[str, Any]] = {
    "sampling_rate": ("sample_rate", 48_000),
    "fft_window_size": ("n_fft", 1024),
    "hop_length": ("hop_length", 480),
    "feature_size": ("n_mels", 64),
    "frequency_min": ("fmin", 0.0),
    "frequency_max": ("fmax", 14_000.0),
}
_LAION_CONFIGS = {config.width: config for config in (HTSAT_TINY, HTSAT_BASE)}
_LAION_FILTERS = "audio_branch.logmel_extractor.melW"
# LAION's audio_cfg for HTSAT-tiny and HTSAT-base. Unlike transformers' default, its bands start at 50 Hz.
_LAION_MEL = {
    "sample_rate": 48_000,
    "n_fft": 1024,
    "hop_length": 480,
    "n_mels": 64,
    "fmin": 50.0,
    "fmax": 14_000.0,
    "n_frames": 1001,
    "short_clip": "repeatpad",
}


@dataclass(frozen=True)
class Checkpoint:
    """Weights, and all that is needed to use them.

    Attributes
    ----------
    kind : {'bundled', 'hugging-face', 'laion'}
    config : HTSATConfig
    state : mapping of str to float32 Tensor
        The state dict of `HTSAT(config)`, without counters.
    mel_settings : mapping of str to object
        Fields of `loopsphere.features.config.MelConfig` as the checkpoint was trained.
    filters : float32 Tensor of shape (n_fft // 2 + 1, n_mels) or None
        The mel filters stored in the file, where the format stores them (LAION's does).
    """

    kind: Literal["bundled", "hugging-face", "laion"]
    config: HTSATConfig
    state: Mapping[str, Tensor]
    mel_settings: Mapping[str, Any]
    filters: Tensor | None = None


def read_checkpoint(path: Path, *, fusion: bool | None = None) -> Checkpoint:
    """Read a checkpoint of any of the three formats.

    Parameters
    ----------
    path : Path
        A folder is taken as Hugging Face's, `.safetensors` as the bundled format, anything else as LAION's.
    fusion : bool or None
        None takes fusion where the checkpoint was trained with it. True demands it. False leaves it out.

    Returns
    -------
    Checkpoint

    Raises
    ------
    CheckpointError
        The file is missing or damaged; a tensor is missing, unknown, misshapen or not finite; the
        settings contradict the weights; or fusion is wanted and was not trained.
    """
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint at {path}")
    if path.is_dir():
        checkpoint = _read_hugging_face(path, fusion)
    elif path.suffix == ".safetensors":
        checkpoint = _read_bundled(path, fusion)
    else:
        checkpoint = _read_laion(path, fusion)
    return checkpoint


def save_checkpoint(path: Path, network: HTSAT, mel_settings: Mapping[str, Any]) -> None:
    """Write a network in the bundled format: fp16 safetensors that carry their own settings.

    Parameters
    ----------
    path : Path
        Ends in `.safetensors`.
    network : HTSAT
    mel_settings : mapping of str to object
        Fields of the `loopsphere.features.config.MelConfig` that it was trained with.

    Raises
    ------
    CheckpointError
        A weight does not fit into fp16.
    """
    state = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in network.state_dict().items()
        if not OWN.is_unused(name)
    }
    _check_finite(state, path)
    metadata = {
        "htsat_config": json.dumps(dataclasses.asdict(network.config)),
        "mel_config": json.dumps(dict(mel_settings)),
    }
    # safetensors' own writer would leave the file unreadable to other users.
    path.write_bytes(save(state, metadata))


def _read_bundled(path: Path, fusion: bool | None) -> Checkpoint:
    file = open_safetensors(path)
    if not {"htsat_config", "mel_config"} <= file.metadata.keys():
        raise CheckpointError(
            f"{path} is not a loopsphere checkpoint: its metadata lacks htsat_config or mel_config "
            "(for a Hugging Face checkpoint, give the folder)"
        )
    fields = parse_object(file.metadata["htsat_config"], f"htsat_config of {path}")
    names = {field.name for field in dataclasses.fields(HTSATConfig)}
    if wrong := names ^ fields.keys():
        raise CheckpointError(f"htsat_config of {path} lacks or does not know {', '.join(sorted(wrong))}")
    config = checked_config(fields, path)
    mel_settings = parse_object(file.metadata["mel_config"], f"mel_config of {path}")
    return _assemble("bundled", file, OWN, config, mel_settings, fusion)


def _read_hugging_face(folder: Path, fusion: bool | None) -> Checkpoint:
    audio = read_json(folder / "config.json")
    audio = audio.get("audio_config", audio)
    for name, value in _HUGGING_FACE_FIXED.items():
        if audio.get(name, value) != value:
            raise CheckpointError(f"{folder}: audio models with {name}={audio[name]!r} are not supported")
    fields = {ours: audio[theirs] for theirs, ours in _HUGGING_FACE_FIELDS.items() if theirs in audio}
    config = checked_config({"fusion": False, **fields}, folder)
    if (folder / "preprocessor_config.json").exists():
        extractor = read_json(folder / "preprocessor_config.json")
    else:
        extractor = read_json(folder / "processor_config.json").get("feature_extractor", {})
    mel_settings = _hugging_face_mel(extractor, config, folder)
    if (folder / "model.safetensors").exists():
        file = open_safetensors(folder / "model.safetensors")
    else:
        file = open_torch_file(folder / "pytorch_model.bin")
    return _assemble(
        "hugging-face", _without_prefix(file, "audio_model."), HUGGING_FACE, config, mel_settings, fusion
    )


def _hugging_face_mel(extractor: Mapping[str, Any], config: HTSATConfig, folder: Path) -> dict[str, Any]:
    """Translate a ClapFeatureExtractor's settings; its 'truncation' decides on the mel filters."""
    truncation = extractor.get("truncation", "fusion")
    if truncation not in ("fusion", "rand_trunc"):
        raise CheckpointError(f"{folder}: truncation={truncation!r} is not supported")
    if (truncation == "fusion") != config.fusion:
        raise CheckpointError(
            f"{folder} pairs enable_fusion={config.fusion} with truncation={truncation!r}: its mel filters "
            "are not those that it was trained with (CLAP has HTK filters with fusion, Slaney's without)"
        )
    if extractor.get("top_db") is not None:
        raise CheckpointError(f"{folder}: top_db={extractor['top_db']!r} is not supported")
    settings = {
        ours: extractor.get(theirs, default) for theirs, (ours, default) in _HUGGING_FACE_MEL_FIELDS.items()
    }
    try:
        window_samples = int(extractor.get("max_length_s", 10) * settings["sample_rate"])
        settings["n_frames"] = window_samples // settings["hop_length"] + 1
    except (TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{folder}: the feature extractor's window is not a length: {error}") from error
    settings["filters"] = "htk" if config.fusion else "slaney"
    settings["short_clip"] = extractor.get("padding", "repeatpad")
    return settings


def _read_laion(path: Path, fusion: bool | None) -> Checkpoint:
    file = open_torch_file(path)
    first = "audio_branch.patch_embed.proj.weight"
    if first not in file.shapes:
        raise CheckpointError(f"{path} is not a LAION-CLAP checkpoint: it has no tensor {first}")
    width = file.shapes[first][0]
    if width not in _LAION_CONFIGS:
        known = ", ".join(map(str, _LAION_CONFIGS))
        raise CheckpointError(f"{path}: no HTS-AT of LAION's is {width} channels wide; known are {known}")
    fused = any(name.startswith("audio_branch.patch_embed.mel_conv2d.") for name in file.shapes)
    config = dataclasses.replace(_LAION_CONFIGS[width], fusion=fused)
    if _LAION_FILTERS not in file.shapes:
        raise CheckpointError(
            f"{path} lacks {_LAION_FILTERS}, which tells what mel settings it was trained with"
        )
    expected = (_LAION_MEL["n_fft"] // 2 + 1, _LAION_MEL["n_mels"])  # type: ignore[operator]
    if file.shapes[_LAION_FILTERS] != expected:
        raise CheckpointError(
            f"{path} was trained with mel filters of shape {file.shapes[_LAION_FILTERS]}; known is {expected}"
        )
    mel_settings = {**_LAION_MEL, "filters": "htk" if fused else "slaney"}
    checkpoint = _assemble("laion", file, LAION, config, mel_settings, fusion)
    return dataclasses.replace(checkpoint, filters=file.read(_LAION_FILTERS).float())


def _assemble(
    kind: Literal["bundled", "hugging-face", "laion"],
    file: TensorFile,
    layout: Layout,
    config: HTSATConfig,
    mel_settings: Mapping[str, Any],
    fusion: bool | None,
) -> Checkpoint:
    """Account for every tensor by name and shape, then read those that are needed."""
    with torch.device("meta"):
        shapes = {
            name: tuple(value.shape)
            for name, value in HTSAT(config).state_dict().items()
            if not name.endswith(".num_batches_tracked")
        }
    sources = {name: layout.sources(name) for name in shapes}
    _check_names(file, layout, sources, fusion)
    for name, shape in shapes.items():
        parts = sources[name]
        each = (shape[0] // len(parts), *shape[1:])
        for part in parts:
            if file.shapes[part] != each:
                raise CheckpointError(f"{file.path}: tensor {part} has shape {file.shapes[part]}, not {each}")
    if fusion and not config.fusion:
        raise CheckpointError(
            f"{file.path} has no trained fusion weights: it was trained without feature fusion, and "
            "embeddings of an untrained fusion branch mean nothing; use fusion=False, which averages windows"
        )
    wanted = {name: parts for name, parts in sources.items() if fusion is not False or not _is_fusion(name)}
    state = {name: _read_tensor(file, parts) for name, parts in wanted.items()}
    _check_finite(state, file.path)
    if fusion is False:
        config = dataclasses.replace(config, fusion=False)
    if config.fusion:
        _check_fusion_trained(state, file.path)
    return Checkpoint(kind, config, state, mel_settings)


def _check_names(
    file: TensorFile, layout: Layout, sources: Mapping[str, tuple[str, ...]], fusion: bool | None
) -> None:
    used = {part for parts in sources.values() for part in parts}
    if missing := sorted(used - file.shapes.keys()):
        lost = [name for name, parts in sources.items() if _is_fusion(name) and set(parts) & set(missing)]
        why = "; without trained fusion weights it cannot fuse" if lost and fusion is not False else ""
        raise CheckpointError(f"{file.path} lacks {_name_some(missing)}{why}")
    unknown = sorted(name for name in file.shapes.keys() - used if not layout.is_unused(name))
    if unknown:
        raise CheckpointError(f"{file.path} has unknown {_name_some(unknown)}")


def _name_some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return (
        f"tensor {shown}" if len(names) == 1 else f"{len(names)} tensors: {shown}{', ...' * (len(names) > 3)}"
    )


def _is_fusion(name: str) -> bool:
    return name.startswith("fusion.")


def _read_tensor(file: TensorFile, parts: tuple[str, ...]) -> Tensor:
    tensors = [file.read(part) for part in parts]
    for part, tensor in zip(parts, tensors, strict=True):
        if not tensor.is_floating_point():
            raise CheckpointError(f"{file.path}: tensor {part} holds {tensor.dtype}, not floating point")
    return torch.cat(tensors).float() if len(tensors) > 1 else tensors[0].float()


def _check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        # NumPy's is a twentieth of torch's time for so many small tensors.
        if not np.isfinite(tensor.numpy()).all():
            raise CheckpointError(f"{path}: tensor {name} has values that are NaN or infinite")


def _check_fusion_trained(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse fusion layers whose batch statistics are those of a network that never saw a batch."""
    means = [value for name, value in state.items() if _is_fusion(name) and name.endswith(".running_mean")]
    variances = [value for name, value in state.items() if _is_fusion(name) and name.endswith(".running_var")]
    if all((mean == 0).all() for mean in means) and all((variance == 1).all() for variance in variances):
        raise CheckpointError(
            f"{path} has no trained fusion weights: the batch norms of its fusion layers still have the mean "
            "0 and the variance 1 that they were made with; use fusion=False, which averages windows"
        )


def _without_prefix(file: TensorFile, prefix: str) -> TensorFile:
    """Name the tensors of a whole CLAP model as those of its audio model alone."""
    stored = {name.removeprefix(prefix): name for name in file.shapes}
    if len(stored) < len(file.shapes):
        raise CheckpointError(f"{file.path} holds tensors both with and without {prefix!r}")
    shapes = {name: file.shapes[original] for name, original in stored.items()}
    return TensorFile(file.path, shapes, lambda name: file.read(stored[name]), file.metadata)
