"""One embedding of what two networks say of a clip."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loopsphere.errors import CheckpointError
from loopsphere.types import Float32Array

JOINT_DIM = 512
JOINING_FILE = Path(__file__).parents[1] / "weights" / "joining.safetensors"
LENGTHS = {"htsat": 0.7, "features": 1.0, "tags": 0.5}
"""Of the parts; chosen by 5-NN AUROC on real and on rendered loops, which moves slowly with them."""
_DIMS = {"htsat": 256, "features": 200, "tags": 50}

Matrix = npt.NDArray[np.float64]


def join(htsat: Float32Array, features: Float32Array, tags: Float32Array) -> Float32Array:
    """Make one embedding of unit length of the parts, by a linear map that was learnt from rendered loops.

    Directions in which loops of one family differ count less than they would, and so do directions in which
    loops hardly differ at all; `pretraining/joining.py` learns the map and says how. It ends in a rotation
    that spreads every part over all columns, so that standardising the columns, which many detectors do
    first, neither undoes this balance nor blows up columns that hardly vary.

    Parameters
    ----------
    htsat : float32 ndarray of shape (n_clips, 256)
    features, tags : float32 ndarray of shape (n_clips, 200) and (n_clips, 50)
        Of musicnn; see `loopsphere.models.musicnn.Musicnn`.

    Returns
    -------
    embedding : float32 ndarray of shape (n_clips, 512)
    """
    # In float64 the result of a row does not depend on how many rows there are.
    return _to_length(side_by_side(htsat, features, tags) @ _learnt_map(), 1.0).astype(np.float32)


def side_by_side(htsat: Float32Array, features: Float32Array, tags: Float32Array) -> Matrix:
    """Return the parts, each brought to its length, as rows of 506 columns."""
    parts = {"htsat": htsat, "features": features, "tags": tags}
    return np.concatenate(
        [_to_length(part.astype(np.float64), LENGTHS[name]) for name, part in parts.items()], axis=1
    )


def taken_apart(embedding: npt.NDArray[np.floating]) -> list[Matrix]:
    """Take embeddings apart again: HTS-AT's columns, musicnn's features and its tags, at their lengths."""
    learnt = _learnt_map()
    solved = np.linalg.solve(learnt @ learnt.T, learnt @ embedding.astype(np.float64).T)
    rows = _to_length(solved.T.astype(np.float64), float(np.linalg.norm([*LENGTHS.values()])))
    return np.split(rows, np.cumsum([*_DIMS.values()])[:-1], axis=1)


def joining_hash() -> str:
    """Return the SHA-256 hex digest of all that decides how parts are joined."""
    return hashlib.sha256(repr(LENGTHS).encode() + _learnt_map().tobytes()).hexdigest()


def _to_length(rows: Matrix, length: float) -> Matrix:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = rows * (length / np.maximum(norms, 1e-12))
    return scaled


@lru_cache(maxsize=1)
def _learnt_map() -> Matrix:
    """Read the map, (506, 512)."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        learnt: Matrix = load_file(JOINING_FILE)["map"].astype(np.float64)
    except (SafetensorError, OSError, KeyError) as error:
        raise CheckpointError(f"the bundled encoder's {JOINING_FILE} cannot be read: {error}") from error
    if learnt.shape != (sum(_DIMS.values()), JOINT_DIM):
        raise CheckpointError(f"the map in {JOINING_FILE} has shape {learnt.shape}")
    return learnt
