"""Which encoder a name stands for here, told without torch where it was loaded before."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from loopsphere.encoders.base import Encoder
from loopsphere.encoders.joining import JOINING_FILE
from loopsphere.encoders.loading import BUNDLED_FILE, YAMNET_FILE
from loopsphere.encoders.registry import ENCODERS
from loopsphere.versions import code_digest

_ENVIRONMENT = ("ATEN_", "CUDA_", "DNNL_", "HIP_", "ONEDNN_", "PYTORCH_", "TORCH_")
"""Beginnings of variables by which torch is told what to run on, and in what."""


@dataclass(frozen=True)
class EncoderIdentity:
    """What a collection's results say of the encoder, and what files are read for it.

    Attributes
    ----------
    name, hash : str
        As of `Encoder`.
    embedding_dim : int
    sample_rate : int
        Hz, of the waveforms that it takes.
    """

    name: str
    hash: str
    embedding_dim: int
    sample_rate: int

    @classmethod
    def of(cls, encoder: Encoder) -> EncoderIdentity:
        """Return the identity of an encoder that is loaded."""
        return cls(encoder.name, encoder.hash, encoder.embedding_dim, encoder.mel.sample_rate)

    def to_bytes(self) -> bytes:
        """Return it as a library keeps it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> EncoderIdentity:
        """Read what `to_bytes` returned."""
        return cls(**json.loads(content))


def identity_key(name: str, device: str, precision: str) -> str | None:
    """Return a digest of all that decides which encoder is loaded and what it computes in.

    Parameters
    ----------
    name, device, precision : str
        As for `load_encoder`.

    Returns
    -------
    key : str or None
        None where the encoder's files are not known to lie here.

    Notes
    -----
    Files are told by size and time, and what 'auto' takes by the machine's name. Where such a key is older
    than, say, a GPU that was built in since, results stay those of the precision that it had before until an
    encoder is loaded again; they are never mixed.
    """
    files = [path.absolute() for path in _files(name)]
    if not files:
        return None
    try:
        states = [(str(path), (status := path.stat()).st_size, status.st_mtime_ns) for path in files]
        torch = version("torch")
    except (OSError, PackageNotFoundError):
        return None
    asked = {
        "name": name,
        "device": device,
        "precision": precision,
        "files": states,
        "torch": torch,
        "machine": [platform.node(), platform.system(), platform.machine()],
        "environment": {key: of for key, of in sorted(os.environ.items()) if key.startswith(_ENVIRONMENT)},
        "code": code_digest("encoders", "features", "models"),
    }
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _files(name: str) -> Iterable[Path]:
    if name in ENCODERS:
        return (BUNDLED_FILE, YAMNET_FILE, JOINING_FILE) if ENCODERS[name].source == "bundled" else ()
    path = Path(name)
    return sorted(path.iterdir()) if path.is_dir() else [path]
