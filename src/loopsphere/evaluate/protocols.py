"""The ways to put a labelled question to detectors: which loops to learn from, which to tell apart."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from loopsphere.evaluate.metrics import ranking_metrics, separation_metrics
from loopsphere.evaluate.splits import Embedding, IntArray, duplicate_groups, group_split

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

ONE_NORMAL_FOLDER = "one folder is normal"
ONE_ODD_FOLDER = "one folder is odd"
LABELLED = "labelled loops"
PLANTED = "planted faults"
TRAIN_QUANTILE = 0.95


class Detector(Protocol):
    """What the benchmark asks of a detector: scikit-learn's outlier methods."""

    def fit(self, X: Embedding, y: None = None) -> Any:
        """Learn from normal loops, shape (n_loops, embedding_dim)."""

    def score_samples(self, X: Embedding) -> npt.NDArray[np.floating[Any]]:
        """Return one score per loop; higher is more normal."""


DetectorFactory = Callable[[int], Detector]


@dataclass(frozen=True)
class Task:
    """One question: learn from `train`, then tell `normal` from each set of `odd`.

    Attributes
    ----------
    protocol : str
    seed : int
        Drew the split and seeds the detectors.
    train, normal : int ndarrays
        Rows of the embedding to learn from, and normal rows held out.
    odd : mapping of str to int ndarray
        Rows that are odd, by the name of the set: a folder, or a fault and its magnitude.
    """

    protocol: str
    seed: int
    train: IntArray
    normal: IntArray
    odd: Mapping[str, IntArray]


@dataclass(frozen=True, eq=False)
class Fit:
    """How one detector learnt one task; shared by the trials on the task's odd sets.

    Attributes
    ----------
    seconds : float
        That `fit` took; differs from run to run.
    warnings : tuple of str
        What the detector warned of while it learnt.
    """

    seconds: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """How one detector answered one task on one set of odd loops.

    Attributes
    ----------
    dataset, protocol, name, detector : str
        `name` is that of the odd set.
    seed : int
    metrics : dict of str to float
        `RANKING_METRICS`, then `SEPARATION_METRICS` over all loops of the trial, training ones too.
    train_scores, normal_scores, odd_scores : float64 ndarrays
        Anomaly scores, higher is odder.
    threshold : float
        95 % quantile of `train_scores`.
    fit : Fit
    """

    dataset: str
    protocol: str
    name: str
    detector: str
    seed: int
    metrics: dict[str, float]
    train_scores: FloatArray
    normal_scores: FloatArray
    odd_scores: FloatArray
    threshold: float
    fit: Fit


def one_normal_folder(
    embedding: Embedding,
    folders: npt.ArrayLike,
    *,
    seeds: Sequence[int],
    groups: npt.ArrayLike | None = None,
    min_loops: int = 30,
) -> list[Task]:
    """Make each large folder the normal one: learn 70 % of it, tell the rest from all other folders.

    Parameters
    ----------
    embedding : ndarray of shape (n_loops, embedding_dim)
    folders : array-like of str, shape (n_loops,)
    seeds : sequence of int
        One task per folder and seed.
    groups : array-like of shape (n_loops,) or None
        Loops that must stay on one side; exact duplicates always do.
    min_loops : int
        Smaller folders are never the normal one.

    Returns
    -------
    list of Task

    Raises
    ------
    ValueError
        Lengths differ, or no folder is large enough with another one beside it.
    """
    names, merged = _folders_and_groups(embedding, folders, groups)
    large = [
        str(name) for name, n in zip(*np.unique(names, return_counts=True), strict=True) if n >= min_loops
    ]
    if not large or np.unique(names).size < 2:
        raise ValueError(f"one folder of {min_loops} loops or more and another folder are needed")
    tasks = []
    for seed in seeds:
        for position, name in enumerate(large):
            own = np.flatnonzero(names == name)
            train, normal = _split(own, merged, 0.3, seed, position)
            others = np.flatnonzero((names != name) & ~np.isin(merged, merged[own]))
            tasks.append(Task(ONE_NORMAL_FOLDER, seed, train, normal, {name: others}))
    return tasks


def one_odd_folder(
    embedding: Embedding,
    folders: npt.ArrayLike,
    *,
    seeds: Sequence[int],
    groups: npt.ArrayLike | None = None,
) -> list[Task]:
    """Hold each folder out as the odd one: learn 80 % of the rest, tell it from the other 20 %.

    Parameters
    ----------
    embedding : ndarray of shape (n_loops, embedding_dim)
    folders : array-like of str, shape (n_loops,)
    seeds : sequence of int
        One task per folder and seed.
    groups : array-like of shape (n_loops,) or None
        Loops that must stay on one side; exact duplicates always do.

    Returns
    -------
    list of Task

    Raises
    ------
    ValueError
        Lengths differ, or there are fewer than two folders.
    """
    names, merged = _folders_and_groups(embedding, folders, groups)
    every = np.unique(names)
    if every.size < 2:
        raise ValueError(f"two folders or more are needed, found {every.size}")
    tasks = []
    for seed in seeds:
        for position, name in enumerate(every):
            odd = np.flatnonzero(names == name)
            # A loop whose copy lies in the odd folder is neither clearly normal nor clearly odd.
            rest = np.flatnonzero((names != name) & ~np.isin(merged, merged[odd]))
            train, normal = _split(rest, merged, 0.2, seed, position)
            tasks.append(Task(ONE_ODD_FOLDER, seed, train, normal, {str(name): odd}))
    return tasks


def labelled_loops(
    embedding: Embedding,
    is_odd: npt.ArrayLike,
    *,
    seeds: Sequence[int],
    groups: npt.ArrayLike | None = None,
    kinds: npt.ArrayLike | None = None,
    test_fraction: float = 0.3,
) -> list[Task]:
    """Learn from part of the normal loops, tell the rest from the odd ones.

    Parameters
    ----------
    embedding : ndarray of shape (n_loops, embedding_dim)
    is_odd : array-like of bool, shape (n_loops,)
    seeds : sequence of int
        One task per seed.
    groups : array-like of shape (n_loops,) or None
        Loops that must stay on one side; exact duplicates always do. An odd loop whose group is learnt
        from is left out of that task.
    kinds : array-like of str, shape (n_loops,), or None
        Splits the odd loops into named sets; None makes one set of all.
    test_fraction : float
        Share of the normal loops held out.

    Returns
    -------
    list of Task

    Raises
    ------
    ValueError
        Lengths differ, one of the classes is missing, or all odd loops share groups with learnt ones.
    """
    labels = np.asarray(is_odd, dtype=bool)
    names = np.full(labels.shape, "odd") if kinds is None else np.asarray(kinds)
    names, merged = _folders_and_groups(embedding, names, groups)
    if labels.shape != names.shape or labels.all() or not labels.any():
        raise ValueError(f"{names.size} labels with both classes are needed")
    tasks = []
    for seed in seeds:
        train, normal = _split(np.flatnonzero(~labels), merged, test_fraction, seed, 0)
        usable = labels & ~np.isin(merged, merged[train])
        if not usable.any():
            raise ValueError(f"with seed {seed}, every odd loop shares its group with a loop to learn from")
        odd = {str(name): np.flatnonzero(usable & (names == name)) for name in np.unique(names[usable])}
        tasks.append(Task(LABELLED, seed, train, normal, odd))
    return tasks


def run_tasks(
    embedding: Embedding,
    tasks: Sequence[Task],
    detectors: Mapping[str, DetectorFactory],
    *,
    dataset: str,
    progress: Progress | None = None,
) -> list[Trial]:
    """Fit every detector on every task and measure it on each odd set.

    Parameters
    ----------
    embedding : ndarray of shape (n_loops, embedding_dim)
        What the rows of the tasks point into.
    tasks : sequence of Task
    detectors : mapping of str to callable
        Each makes a fresh detector from a seed.
    dataset : str
        Where the embedding is from; tasks of the same name in two data sets are two tasks.
    progress : callable or None
        Called with (fits done, fits in all).

    Returns
    -------
    list of Trial
        Ordered by task, then detector, then odd set.
    """
    trials: list[Trial] = []
    n_fits = len(tasks) * len(detectors)
    for n_tasks_done, task in enumerate(tasks):
        for n_done, (name, make) in enumerate(detectors.items(), start=n_tasks_done * len(detectors) + 1):
            trials.extend(_run_detector(embedding, task, dataset, name, make))
            if progress is not None:
                progress(n_done, n_fits)
    return trials


def _run_detector(
    embedding: Embedding, task: Task, dataset: str, name: str, make: DetectorFactory
) -> list[Trial]:
    detector = make(task.seed)
    started = perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector.fit(embedding[task.train])
    fit = Fit(perf_counter() - started, tuple(str(warning.message) for warning in caught))

    # All at once: some detectors take longer to begin than to score.
    parts = [task.train, task.normal, *task.odd.values()]
    scored = -np.asarray(detector.score_samples(embedding[np.concatenate(parts)]), dtype=np.float64)
    train_scores, normal_scores, *all_odd_scores = np.split(scored, np.cumsum([len(p) for p in parts])[:-1])
    threshold = float(np.quantile(train_scores, TRAIN_QUANTILE))
    trials = []
    for odd_name, odd_scores in zip(task.odd, all_odd_scores, strict=True):
        is_odd = np.r_[np.zeros(normal_scores.size, bool), np.ones(odd_scores.size, bool)]
        scores = np.r_[normal_scores, odd_scores]
        ranking = ranking_metrics(is_odd, scores)
        # The paper looks at the whole collection, so the training loops count as well.
        in_collection = np.r_[np.zeros(train_scores.size, bool), is_odd]
        separation = separation_metrics(in_collection, np.r_[train_scores, scores], threshold=threshold)
        trials.append(
            Trial(
                dataset,
                task.protocol,
                odd_name,
                name,
                task.seed,
                ranking | separation,
                train_scores,
                normal_scores,
                odd_scores,
                threshold,
                fit,
            )
        )
    return trials


def _folders_and_groups(
    embedding: Embedding, folders: npt.ArrayLike, groups: npt.ArrayLike | None
) -> tuple[npt.NDArray[Any], IntArray]:
    names = np.asarray(folders)
    merged = duplicate_groups(embedding, groups)
    if names.shape != merged.shape:
        raise ValueError(f"folder names have shape {names.shape}, expected {merged.shape}")
    return names, merged


def _split(
    rows: IntArray, groups: IntArray, test_fraction: float, seed: int, stream: int
) -> tuple[IntArray, IntArray]:
    rng = np.random.default_rng([seed, stream])
    train, test = group_split(groups[rows], test_fraction=test_fraction, rng=rng)
    return rows[train], rows[test]
