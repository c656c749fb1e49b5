"""A name or a path to an encoder that is ready to use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loopsphere.encoders.base import Encoder
from loopsphere.encoders.joining import joining_hash
from loopsphere.encoders.precision import hash_in
from loopsphere.encoders.registry import ENCODERS
from loopsphere.errors import CheckpointError, MissingExtraError, first_line
from loopsphere.features.config import MelConfig
from loopsphere.features.mel import mel_filters, mel_power
from loopsphere.threads import threads_each

if TYPE_CHECKING:
    from torch import Tensor

    from loopsphere.models.checkpoints import Checkpoint

_WEIGHTS = Path(__file__).parents[1] / "weights"
BUNDLED_FILE = _WEIGHTS / "htsat-loops.safetensors"
YAMNET_FILE = _WEIGHTS / "yamnet.safetensors"
# owner/repository, or one weights file in it
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*?((?<!\.pt)(?<!\.pth)(?<!\.safetensors)|/[\w.-]+\.pt)")
_MAX_COUNT = 1_000_000  # samples, hertz, frames; beyond any front end
_FILTER_TOLERANCE = 1e-5  # filters stored in a file were computed in float32 by other code


def load_encoder(
    name_or_path: str = "bundled",
    *,
    device: str = "auto",
    fusion: bool | None = None,
    precision: str = "float32",
) -> Encoder:
    """Load an encoder by name, path or hub id.

    Parameters
    ----------
    name_or_path : str
        A name in `ENCODERS`; a folder in Hugging Face's CLAP format; a LAION `.pt` file; a `.safetensors`
        file in the bundled format; or a Hugging Face repository such as 'laion/clap-htsat-fused'.
    device : str
        'auto' takes CUDA where it is available, else Apple's GPU, else the CPU; or a torch device.
    fusion : bool or None
        Whether clips longer than the window go through feature fusion. None takes it where the checkpoint
        was trained with it. False averages windows instead.
    precision : {'float32', 'bfloat16', 'auto'}
        Of the network; 'auto' takes bfloat16 where the device computes in it. See `TorchRuntime`.

    Returns
    -------
    Encoder

    Raises
    ------
    CheckpointError
        The name is unknown; the checkpoint is missing, cannot be downloaded, is incomplete or misshapen;
        fusion was asked for but not trained; or its mel settings are not those it was trained with.
    MissingExtraError
        A download is needed and `huggingface_hub` is not installed.
    """
    # torch takes a second to import; naming the encoders must not.
    from loopsphere.encoders.device_mel import DeviceMel
    from loopsphere.encoders.torch_runtime import TorchRuntime, TorchTagger
    from loopsphere.models.checkpoints import read_checkpoint
    from loopsphere.models.yamnet_file import read_yamnet

    name = str(name_or_path)
    path = _find(name)
    # Hundreds of small tensors: threads would wait for each other at every one.
    with threads_each(1):
        checkpoint = read_checkpoint(path, fusion=fusion)
        mel = _mel_config(checkpoint, name)
        settings = [dataclasses.asdict(checkpoint.config), dataclasses.asdict(mel)]
        digest = _hash(settings, checkpoint.state)
        runtime = TorchRuntime(checkpoint, device, precision)
        tagger = None
        if name in ENCODERS and ENCODERS[name].source == "bundled":
            network = read_yamnet(YAMNET_FILE)
            digest = _hash([digest, joining_hash(), dataclasses.asdict(network.config)], network.state_dict())
            tagger = TorchTagger(network, runtime.device, runtime.precision)
    return Encoder(
        name=name if name in ENCODERS or not Path(name).exists() else Path(name).name,
        hash=hash_in(digest, runtime.precision),
        mel=mel,
        config=checkpoint.config,
        runtime=runtime,
        tagger=tagger,
        power_of=mel_power if runtime.device.type == "cpu" else DeviceMel(runtime.device),
    )


def _find(name: str) -> Path:
    """Return the local path of a checkpoint, downloading it where it is a hub's."""
    record = ENCODERS.get(name)
    if record is not None and record.source == "bundled":
        if not BUNDLED_FILE.is_file():
            raise CheckpointError(f"the bundled checkpoint is missing from this installation: {BUNDLED_FILE}")
        return BUNDLED_FILE
    if record is None and Path(name).exists():
        return Path(name)
    source = record.source if record else name
    if not _HUB_ID.fullmatch(source):
        known = ", ".join(ENCODERS)
        raise CheckpointError(
            f"unknown encoder {name!r}: no file or folder has this path; the names are {known}"
        )
    return _download(source)


def _download(source: str) -> Path:
    """Fetch a repository's checkpoint, or one file of it, into Hugging Face's cache."""
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtraError(
            f"downloading {source} needs huggingface_hub: pip install 'loopsphere[hub]'"
        ) from error
    owner, repository, *file = source.split("/")
    repo_id = f"{owner}/{repository}"
    first = file[0] if file else "config.json"
    try:
        if hub.try_to_load_from_cache(repo_id, first) is None:
            # The download itself tries again for half a minute where there is no network.
            hub.get_hf_file_metadata(hub.hf_hub_url(repo_id, first))
        if file:
            return Path(hub.hf_hub_download(repo_id, file[0]))
        folder = Path(hub.hf_hub_download(repo_id, "config.json")).parent
        hub.hf_hub_download(repo_id, "preprocessor_config.json")
        try:
            hub.hf_hub_download(repo_id, "model.safetensors")
        except errors.EntryNotFoundError:
            hub.hf_hub_download(repo_id, "pytorch_model.bin")
    except _hub_errors() as error:
        reason = first_line(error).rstrip(".")
        raise CheckpointError(
            f"{source} is neither a path here nor could it be downloaded: {reason}. Check the name and the "
            "connection, or give the path of a folder that was downloaded before."
        ) from error
    return folder


def _hub_errors() -> tuple[type[Exception], ...]:
    """Return what a look-up may raise, whichever HTTP client this version of the hub brings."""
    from huggingface_hub import errors

    clients = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (
        errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError,
        errors.HFValidationError,
        OSError,
        *(client.HTTPError for client in clients),
    )


def _mel_config(checkpoint: Checkpoint, name: str) -> MelConfig:
    """Make the checkpoint's mel settings ours, and check them against its network and stored filters."""
    settings = dict(checkpoint.mel_settings)
    fields = {field.name for field in dataclasses.fields(MelConfig)}
    if wrong := settings.keys() - fields:
        raise CheckpointError(f"{name}: unknown mel settings {', '.join(sorted(wrong))}")
    mel = MelConfig(**settings)
    _check_mel(mel, name)
    if mel.n_mels != checkpoint.config.n_mels or mel.n_frames > checkpoint.config.n_frames:
        raise CheckpointError(
            f"{name}: the network takes up to {checkpoint.config.n_frames} frames of "
            f"{checkpoint.config.n_mels} bands, but the mel settings give {mel.n_frames} of {mel.n_mels}"
        )
    if checkpoint.filters is not None:
        # LAION stores Slaney filters in every checkpoint. Only those without fusion use them, but with fusion
        # too they tell the sample rate and the range that the HTK filters were made for.
        expected = mel_filters(dataclasses.replace(mel, filters="slaney"))
        if np.abs(checkpoint.filters.numpy() - expected).max() > _FILTER_TOLERANCE:
            raise CheckpointError(
                f"{name} stores mel filters other than those for {mel.sample_rate} Hz and "
                f"{mel.fmin:g} to {mel.fmax:g} Hz, which LAION's checkpoints have; it was trained with others"
            )
    return mel


def _check_mel(mel: MelConfig, name: str) -> None:
    """Refuse settings from a file that no front end can have."""
    counts = (mel.sample_rate, mel.n_fft, mel.hop_length, mel.n_mels, mel.n_frames)
    levels = (mel.fmin, mel.fmax, mel.floor_db, 0.0 if mel.rms_dbfs is None else mel.rms_dbfs)
    valid = (
        all(type(count) is int and 0 < count <= _MAX_COUNT for count in counts)
        and all(isinstance(level, int | float) and math.isfinite(level) for level in levels)
        and 0 <= mel.fmin < mel.fmax <= mel.sample_rate / 2
        and mel.filters in ("htk", "slaney", "tensorflow")
        and mel.short_clip in ("repeat", "repeatpad")
        and (mel.window_length is None or type(mel.window_length) is int)
        and 0 < (mel.window_length or mel.n_fft) <= mel.n_fft
        and mel.exponent in (1, 2)
    )
    if not valid:
        raise CheckpointError(f"{name}: its mel settings cannot be used: {mel}")


def _hash(settings: Iterable[object], state: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that decides an embedding: settings; names, shapes and float32 bytes of the weights."""
    digest = hashlib.sha256()
    for setting in settings:
        digest.update(json.dumps(setting, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()
