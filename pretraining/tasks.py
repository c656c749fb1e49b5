"""One-class tasks whose normal training and test loops share no source, and how features fare on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from loopsphere.evaluate.splits import group_split

Matrix = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
N_NEIGHBORS = 5
_N_DRAWS = 30


@dataclass(frozen=True)
class Task:
    """Loops to learn as normal, other normal loops, and odd ones; positions in the material's rows.

    Attributes
    ----------
    name : str
        Tasks of one name are divisions of the same loops; their mean is one cell of the report.
    train, normal, odd : int ndarrays
    """

    name: str
    train: Indices
    normal: Indices
    odd: Indices


def divisions(sources: Sequence[str], rng: np.random.Generator) -> list[tuple[Indices, Indices]]:
    """Divide loops in two so that none of their sources is on both sides.

    All divisions where there are up to 30 (a division and its reverse are two), else 30 drawn ones in halves.

    Returns
    -------
    list of (train, test)
        Positions; empty where there is but one source.
    """
    names = sorted(set(sources))
    member = np.array(sources)
    if 2 ** len(names) - 2 > _N_DRAWS:
        return [group_split(member, test_fraction=0.5, rng=rng) for _ in range(_N_DRAWS)]
    chosen = [part for size in range(1, len(names)) for part in combinations(names, size)]
    sides = [np.isin(member, part) for part in chosen]
    return [(np.flatnonzero(side), np.flatnonzero(~side)) for side in sides]


def tasks_of(
    name: str,
    is_normal: npt.NDArray[np.bool_],
    sources: Sequence[str],
    rng: np.random.Generator,
    *,
    min_train: int,
    min_test: int,
) -> list[Task]:
    """Make one task of each division that leaves enough loops on both sides."""
    normal, odd = np.flatnonzero(is_normal), np.flatnonzero(~is_normal)
    parts = divisions([sources[index] for index in normal], rng)
    return [
        Task(name, normal[train], normal[test], odd)
        for train, test in parts
        if len(train) >= min_train and len(test) >= min_test
    ]


def five_nn(train: Matrix, queries: Matrix) -> npt.NDArray[np.float64]:
    """Return the mean distance to the five nearest training loops, over features standardised by these."""
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale < 1e-9] = 1.0
    train, queries = (train - mean) / scale, (queries - mean) / scale
    squared = (queries**2).sum(1)[:, None] + (train**2).sum(1) - 2 * queries @ train.T
    n_nearest = min(N_NEIGHBORS, len(train))
    nearest = np.partition(np.sqrt(np.maximum(squared, 0)), n_nearest - 1, axis=1)[:, :n_nearest]
    return nearest.mean(axis=1)


def pyod_for_audio(train: Matrix, queries: Matrix) -> npt.NDArray[np.float64]:
    """Return the scores of PyOD's `EmbeddingOD.for_audio`, whose own features have been computed before."""
    from pyod.models.embedding import EmbeddingOD
    from pyod.models.knn import KNN

    detector = KNN(n_neighbors=min(N_NEIGHBORS, len(train) - 1))
    model = EmbeddingOD.for_audio(encoder=np.asarray, detector=detector).fit(train)
    return np.asarray(model.decision_function(queries))


Scorer = Callable[[Matrix, Matrix], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class FeatureSet:
    """One column of the report: features of the same loops, and the detector on them.

    Attributes
    ----------
    name : str
    matrices : tuple of ndarray of shape (n_loops, n_features)
        Several where the features depend on a seed; results are averaged over them.
    score : callable
        Of training and query features; higher is odder.
    """

    name: str
    matrices: tuple[Matrix, ...]
    score: Scorer = five_nn


def auroc(features: FeatureSet, task: Task, others: FeatureSet | None = None) -> float:
    """Return the AUROC of odd against normal loops.

    `others`, where given, has the features of the normal and odd loops; the training loops are of `features`.
    """
    tested = np.concatenate([task.normal, task.odd])
    is_odd = np.repeat([False, True], [len(task.normal), len(task.odd)])
    queries = (others or features).matrices
    values = [
        roc_auc_score(is_odd, features.score(matrix[task.train], query[tested]))
        for matrix, query in zip(features.matrices, queries, strict=True)
    ]
    return float(np.mean(values))


def neighbour_accuracy(
    features: Matrix,
    labels: Sequence[str],
    candidates: Matrix,
    candidate_labels: Sequence[str],
    allowed: npt.NDArray[np.bool_],
) -> tuple[float, float]:
    """Return how often the nearest allowed candidate has a loop's label: over all, and mean over labels.

    Parameters
    ----------
    features : ndarray of shape (n_loops, n_features)
    labels : sequence of str
    candidates : ndarray of shape (n_candidates, n_features)
        Standardised over these.
    candidate_labels : sequence of str
    allowed : bool ndarray of shape (n_loops, n_candidates)
        Pairs that share no source.
    """  # fmt: skip
    mean, scale = candidates.mean(axis=0), candidates.std(axis=0)
    scale[scale < 1e-9] = 1.0
    queries, candidates = (features - mean) / scale, (candidates - mean) / scale
    squared = (queries**2).sum(1)[:, None] + (candidates**2).sum(1) - 2 * queries @ candidates.T
    found = np.array(candidate_labels)[np.where(allowed, squared, np.inf).argmin(axis=1)]
    wanted = np.array(labels)
    right = found == wanted
    return float(right.mean()), float(np.mean([right[wanted == label].mean() for label in np.unique(wanted)]))
