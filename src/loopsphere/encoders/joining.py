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
LENGTHS = {"htsat": 0.7, "classes": 1.0}
"""Of the parts; chosen by 5-NN AUROC on real and on rendered loops, which moves slowly with them."""
_DIMS = {"htsat": 256, "classes": 521}

Matrix = npt.NDArray[np.float64]


def join(htsat: Float32Array, classes: Float32Array) -> Float32Array:
    """Make one embedding of unit length of the parts, by a linear map that was learnt from rendered loops.

    Directions in which loops of one family differ count less than they would, and so do directions in which
    loops hardly differ at all; the least of these are left out. `pretraining/joining.py` learns the map and
    says how. It ends in a rotation that spreads every part over all columns, so that standardising the
    columns, which many detectors do first, neither undoes this balance nor blows up columns that hardly vary.

    Parameters
    ----------
    htsat : float32 ndarray of shape (n_clips, 256)
    classes : float32 ndarray of shape (n_clips, 521)
        YAMNet's probabilities; see `loopsphere.models.yamnet.Yamnet`.

    Returns
    -------
    embedding : float32 ndarray of shape (n_clips, 512)
    """
    return mapped(side_by_side(htsat, classes))


def mapped(rows: Matrix) -> Float32Array:
    """Take parts that lie side by side, (n_clips, 777), through the map, to (n_clips, 512) of unit length."""
    # In float64 the result of a row does not depend on how many rows there are.
    return _to_length(rows @ _learnt_map(), 1.0).astype(np.float32)


def side_by_side(htsat: Float32Array, classes: Float32Array) -> Matrix:
    """Return the parts, each brought to its length, as rows of 777 columns.

    Of the probabilities it is the square roots: distances between these, Hellinger's, see that a class
    went from 0.01 to 0.04 as clearly as from 0.49 to 0.64.
    """
    parts = {"htsat": htsat.astype(np.float64), "classes": np.sqrt(classes.astype(np.float64))}
    return np.concatenate([_to_length(part, LENGTHS[name]) for name, part in parts.items()], axis=1)


def taken_apart(embedding: npt.NDArray[np.floating]) -> list[Matrix]:
    """Take embeddings apart again, as nearly as the map allows.

    Returns
    -------
    htsat, classes : float64 ndarray of shape (n_clips, 256) and (n_clips, 521)
        At their lengths; of the classes' probabilities the square roots.
    """
    rows = embedding.astype(np.float64) @ _way_back()
    return np.split(_to_length(rows, float(np.linalg.norm([*LENGTHS.values()]))), [_DIMS["htsat"]], axis=1)


def joining_hash() -> str:
    """Return the SHA-256 hex digest of all that decides how parts are joined."""
    return hashlib.sha256(repr(LENGTHS).encode() + _learnt_map().tobytes()).hexdigest()


def _to_length(rows: Matrix, length: float) -> Matrix:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = rows * (length / np.maximum(norms, 1e-12))
    return scaled


@lru_cache(maxsize=1)
def _way_back() -> Matrix:
    """Return the map's pseudoinverse, (512, 777)."""
    return np.asarray(np.linalg.pinv(_learnt_map()), dtype=np.float64)


@lru_cache(maxsize=1)
def _learnt_map() -> Matrix:
    """Read the map, (777, 512)."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        learnt: Matrix = load_file(JOINING_FILE)["map"].astype(np.float64)
    except (SafetensorError, OSError, KeyError) as error:
        raise CheckpointError(f"the bundled encoder's {JOINING_FILE} cannot be read: {error}") from error
    if learnt.shape != (sum(_DIMS.values()), JOINT_DIM):
        raise CheckpointError(f"the map in {JOINING_FILE} has shape {learnt.shape}")
    return learnt
