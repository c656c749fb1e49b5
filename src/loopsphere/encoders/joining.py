"""One embedding of what two networks say of a clip."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loopsphere.errors import CheckpointError
from loopsphere.types import Float32Array

JOINT_DIM = 512
JOINING_FILE = Path(__file__).parents[1] / "weights" / "joining.safetensors"
LENGTHS = {"htsat": 0.7, "classes": 1.0, "families": 0.7}
"""Of the parts; chosen by 5-NN AUROC on real and on rendered loops, which moves slowly with them."""
DIMS = {"htsat": 256, "classes": 521, "families": 16}
"""Columns of the parts."""
_N_FEATURES = 1024

Matrix = npt.NDArray[np.float64]


class Joining(NamedTuple):
    """What was learnt from rendered loops.

    Attributes
    ----------
    families_weight, families_bias : float64 ndarray of shape (1801, 16) and (16,)
        A linear classifier of families of instruments, on rows of `heard`.
    map : float64 ndarray of shape (793, 512)
    """

    families_weight: Matrix
    families_bias: Matrix
    map: Matrix


def join(htsat: Float32Array, classes: Float32Array, features: Float32Array) -> Float32Array:
    """Make one embedding of unit length of what the networks say, by a linear map learnt from rendered loops.

    Directions in which loops of one family differ count less than they would, and so do directions in which
    loops hardly differ at all; the least of these are left out. `pretraining/joining.py` learns the map and
    says how. It ends in a rotation that spreads every part over all columns, so that standardising the
    columns, which many detectors do first, neither undoes this balance nor blows up columns that hardly vary.

    Parameters
    ----------
    htsat : float32 ndarray of shape (n_clips, 256)
    classes : float32 ndarray of shape (n_clips, 521)
        YAMNet's probabilities; see `loopsphere.models.yamnet.Yamnet`.
    features : float32 ndarray of shape (n_clips, 1024)
        Its features.

    Returns
    -------
    embedding : float32 ndarray of shape (n_clips, 512)
    """
    return mapped(side_by_side(htsat, classes, features))


def mapped(rows: Matrix) -> Float32Array:
    """Take parts that lie side by side, (n_clips, 793), through the map, to (n_clips, 512) of unit length."""
    # In float64 the result of a row does not depend on how many rows there are.
    return _to_length(rows @ _learnt().map, 1.0).astype(np.float32)


def side_by_side(htsat: Float32Array, classes: Float32Array, features: Float32Array) -> Matrix:
    """Return the parts, each brought to its length, as rows of 793 columns.

    The parts are HTS-AT's output, the classes that YAMNet hears, and the families of instruments that both
    together sound like. Of probabilities it is the square roots: distances between these, Hellinger's, see
    that a class went from 0.01 to 0.04 as clearly as from 0.49 to 0.64.
    """
    rows = heard(htsat, classes, features)
    learnt = _learnt()
    families = probabilities_of_families(rows, learnt.families_weight, learnt.families_bias)
    return put_side_by_side(rows, families)


def heard(htsat: Float32Array, classes: Float32Array, features: Float32Array) -> Matrix:
    """Return all that the networks say as rows of 1801 columns: three pieces of unit length.

    Of probabilities and features it is the square roots.
    """
    pieces = (htsat.astype(np.float64), *(np.sqrt(part.astype(np.float64)) for part in (classes, features)))
    return np.concatenate([_to_length(piece, 1.0) for piece in pieces], axis=1)


def probabilities_of_families(rows: Matrix, weight: Matrix, bias: Matrix) -> Matrix:
    """Return how probable it is that loops are of each family, (n_clips, 16), from rows of `heard`."""
    logits = rows @ weight + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def put_side_by_side(rows: Matrix, families: Matrix) -> Matrix:
    """Return rows of `side_by_side`, from rows of `heard` and the probabilities of families."""
    htsat, classes, _ = np.split(rows, np.cumsum([DIMS["htsat"], DIMS["classes"]]), axis=1)
    parts = zip((htsat, classes, np.sqrt(families)), LENGTHS.values(), strict=True)
    return np.concatenate([_to_length(part, length) for part, length in parts], axis=1)


def parts_of(embedding: npt.NDArray[np.floating]) -> list[Matrix]:
    """Take embeddings apart again, as nearly as the map allows.

    Returns
    -------
    htsat, classes, families : float64 ndarray of shape (n_clips, 256), (n_clips, 521) and (n_clips, 16)
        At their lengths; of probabilities the square roots.
    """
    rows = embedding.astype(np.float64) @ _way_back()
    together = _to_length(rows, float(np.linalg.norm([*LENGTHS.values()])))
    return np.split(together, np.cumsum([*DIMS.values()])[:-1], axis=1)


def joining_hash() -> str:
    """Return the SHA-256 hex digest of all that decides how parts are joined."""
    digest = hashlib.sha256(repr(LENGTHS).encode())
    for learnt in _learnt():
        digest.update(learnt.tobytes())
    return digest.hexdigest()


def _to_length(rows: Matrix, length: float) -> Matrix:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = rows * (length / np.maximum(norms, 1e-12))
    return scaled


@lru_cache(maxsize=1)
def _way_back() -> Matrix:
    """Return the map's pseudoinverse, (512, 793)."""
    # Its singular values lie between 0.5 and 1.1, so that the normal equations lose no digit; a tenth of the
    # time that singular values take.
    matrix = _learnt().map
    return np.asarray(np.linalg.solve(matrix.T @ matrix, matrix.T), dtype=np.float64)


@lru_cache(maxsize=1)
def _learnt() -> Joining:
    """Read what was learnt."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(JOINING_FILE)
        learnt = Joining(*(stored[name].astype(np.float64) for name in Joining._fields))
    except (SafetensorError, OSError, KeyError) as error:
        raise CheckpointError(f"the bundled encoder's {JOINING_FILE} cannot be read: {error}") from error
    n_families = DIMS["families"]
    n_heard = DIMS["htsat"] + DIMS["classes"] + _N_FEATURES
    shapes = ((n_heard, n_families), (n_families,), (sum(DIMS.values()), JOINT_DIM))
    for name, array, shape in zip(Joining._fields, learnt, shapes, strict=True):
        if array.shape != shape:
            raise CheckpointError(f"{name} in {JOINING_FILE} has shape {array.shape}, not {shape}")
    return learnt
