"""Trials brought together: means with intervals, a table by task, and paired comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from loopsphere.evaluate.intervals import Interval, PairedComparison, compare_paired, mean_interval
from loopsphere.evaluate.metrics import RANKING_METRICS, SEPARATION_METRICS
from loopsphere.evaluate.protocols import Trial

Item = TypeVar("Item")

METRICS = RANKING_METRICS + SEPARATION_METRICS


@dataclass(frozen=True)
class Summary:
    """One detector in one protocol.

    Attributes
    ----------
    detector : str
    metrics : dict of str to Interval
        Each metric averaged over the tasks (folders, faults) of a seed, so every task counts alike; the
        interval is over seeds, each with splits and detectors of its own.
    n_tasks : int
    """

    detector: str
    metrics: dict[str, Interval]
    n_tasks: int


def summarise(trials: Sequence[Trial]) -> list[Summary]:
    """Average trials of one protocol over tasks and seeds.

    Parameters
    ----------
    trials : sequence of Trial

    Returns
    -------
    list of Summary
        One per detector, highest mean AUROC first.

    Raises
    ------
    ValueError
        The detectors were not all run on the same tasks and seeds.
    """
    grids = {metric: metric_grid(trials, metric) for metric in METRICS}
    n_tasks = len(tasks_of(trials))
    summaries = [
        Summary(
            name, {metric: mean_interval(grids[metric][name].mean(axis=1)) for metric in METRICS}, n_tasks
        )
        for name in grids["auroc"]
    ]
    return sorted(summaries, key=lambda summary: -summary.metrics["auroc"].mean)


def metric_grid(trials: Sequence[Trial], metric: str) -> dict[str, npt.NDArray[np.float64]]:
    """Arrange one metric by detector, seed and task.

    Parameters
    ----------
    trials : sequence of Trial
        Of one protocol.
    metric : str

    Returns
    -------
    dict of str to float64 ndarray of shape (n_seeds, n_tasks)
        Keyed by detector; rows and columns in order of first appearance.

    Raises
    ------
    ValueError
        A detector lacks a task or a seed, or has one twice.
    """
    seeds = {seed: row for row, seed in enumerate(_in_order(trial.seed for trial in trials))}
    tasks = {task: column for column, task in enumerate(tasks_of(trials))}
    grids = {
        detector: np.full((len(seeds), len(tasks)), np.nan)
        for detector in _in_order(trial.detector for trial in trials)
    }
    filled: dict[str, list[tuple[int, int]]] = {detector: [] for detector in grids}
    for trial in trials:
        cell = seeds[trial.seed], tasks[trial.dataset, trial.name]
        grids[trial.detector][cell] = trial.metrics[metric]
        filled[trial.detector].append(cell)
    for detector, cells in filled.items():
        if len(cells) != len(seeds) * len(tasks) or len(set(cells)) != len(cells):
            raise ValueError(
                f"{detector} has {len(cells)} trials, not each of {len(seeds)} seeds x {len(tasks)} tasks"
            )
    return grids


def tasks_of(trials: Iterable[Trial]) -> list[tuple[str, str]]:
    """Return the (data set, name) of each task, in order of first appearance."""
    return _in_order((trial.dataset, trial.name) for trial in trials)


def by_task(trials: Sequence[Trial], metric: str = "auroc") -> dict[str, dict[str, float]]:
    """Average one metric over seeds, task by task.

    Parameters
    ----------
    trials : sequence of Trial
        Of one protocol and one data set.
    metric : str

    Returns
    -------
    dict of str to dict of str to float
        ``table[task][detector]``.
    """
    grids = metric_grid(trials, metric)
    return {
        name: {detector: float(grid[:, column].mean()) for detector, grid in grids.items()}
        for column, (_, name) in enumerate(tasks_of(trials))
    }


def compare_with(
    trials: Sequence[Trial], reference: str, metric: str = "auroc"
) -> dict[str, PairedComparison]:
    """Compare one detector with every other on the same tasks and seeds.

    Parameters
    ----------
    trials : sequence of Trial
        Of one protocol.
    reference : str
        The detector whose advantage is measured.
    metric : str

    Returns
    -------
    dict of str to PairedComparison
        Keyed by the other detector.

    Raises
    ------
    ValueError
        The reference was not run.
    """
    grids = metric_grid(trials, metric)
    if reference not in grids:
        raise ValueError(f"{reference} was not run; there are: {', '.join(grids)}")
    own = grids.pop(reference)
    return {other: compare_paired(own, grid) for other, grid in grids.items()}


def _in_order(items: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(items))
