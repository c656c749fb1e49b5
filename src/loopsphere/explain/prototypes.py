"""What is normal here: the most typical loops, and one prototype for each kind of loop in the collection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loopsphere.explain.neighbours import unit_rows
from loopsphere.types import Float32Array

MAX_MODES = 8
N_TYPICAL = 5
_SAMPLE = 500
# Kaufman and Rousseeuw see no substantial structure below 0.25; in hundreds of dimensions silhouettes are
# lower, and half of that already tells packs apart.
_LEAST_SILHOUETTE = 0.12


@dataclass(frozen=True)
class Mode:
    """One kind of loop.

    Attributes
    ----------
    prototype : int
        Row of its medoid: the loop that is nearest to all others of the kind.
    members : int64 ndarray of shape (n_members,)
        Rows, the most central first.
    """

    prototype: int
    members: npt.NDArray[np.int64]


def typical(embedding: Float32Array, n_loops: int = N_TYPICAL, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """Find the loops with the nearest company.

    Parameters
    ----------
    embedding : float32 ndarray of shape (n_loops, embedding_dim)
        Of the normal loops, duplicates left out.
    n_loops : int, default=5
    seed : int, default=0
        Of the sample that larger collections are compared with.

    Returns
    -------
    rows : int64 ndarray of shape (min(n_loops, len(embedding)),)
        The most typical first: by the mean cosine similarity to its nearest tenth.
    """
    unit = unit_rows(embedding)
    company = unit[_sample(len(unit), seed)]
    n_near = max(1, len(company) // 10)
    density = np.empty(len(unit))
    for start in range(0, len(unit), _SAMPLE):
        similarity = unit[start : start + _SAMPLE] @ company.T
        density[start : start + len(similarity)] = np.partition(similarity, -n_near, axis=1)[
            :, -n_near:
        ].mean(axis=1)
    return np.argsort(-density, kind="stable")[:n_loops].astype(np.int64)


def modes(embedding: Float32Array, *, max_modes: int = MAX_MODES, seed: int = 0) -> tuple[Mode, ...]:
    """Split a collection into its kinds of loops.

    Parameters
    ----------
    embedding : float32 ndarray of shape (n_loops, embedding_dim)
        Of the normal loops, duplicates left out.
    max_modes : int, default=8
    seed : int, default=0

    Returns
    -------
    modes : tuple of Mode
        The largest first: k-means on the unit sphere, with the number of clusters whose mean silhouette is
        highest, and one where no split is substantial.

    References
    ----------
    Rousseeuw 1987, 'Silhouettes: a graphical aid to the interpretation and validation of cluster analysis'.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    unit = unit_rows(embedding)
    sampled = unit[_sample(len(unit), seed)]
    best_score, best = _LEAST_SILHOUETTE, None
    n_different = len(np.unique(sampled, axis=0))
    for n_modes in range(2, min(max_modes, n_different - 1) + 1):
        clusters = KMeans(n_modes, n_init=2, random_state=seed).fit(sampled)
        score = float(silhouette_score(sampled, clusters.labels_))
        if score > best_score:
            best_score, best = score, clusters
    labels = best.predict(unit) if best is not None else np.zeros(len(unit), dtype=np.int64)
    found = [_mode(unit, np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return tuple(sorted(found, key=lambda mode: (-len(mode.members), mode.prototype)))


def _mode(unit: Float32Array, members: npt.NDArray[np.intp]) -> Mode:
    # On the sphere, the medoid is the loop that is nearest to the mean direction.
    centrality = unit[members] @ unit[members].mean(axis=0)
    ordered = members[np.argsort(-centrality, kind="stable")].astype(np.int64)
    return Mode(int(ordered[0]), ordered)


def _sample(n_rows: int, seed: int) -> npt.NDArray[np.int64]:
    if n_rows <= _SAMPLE:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, _SAMPLE, replace=False))
