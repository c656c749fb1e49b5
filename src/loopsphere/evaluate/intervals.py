"""Means with 95 % intervals over seeds, and paired comparisons between two detectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval.

    Attributes
    ----------
    mean, low, high : float
        The bounds are NaN when fewer than two values went in.
    n : int
        Values that went in.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedComparison:
    """How a detector differs from another on the same tasks and seeds.

    Attributes
    ----------
    difference : Interval
        Of the first detector minus the second: tasks averaged, interval over seeds.
    n_won, n_lost, n_tasks : int
        Tasks on which the seed-averaged difference is above, below zero, and all tasks.
    p_value : float
        Two-sided Wilcoxon signed-rank test over the tasks; NaN for fewer than two tasks. Tasks, not seeds,
        are the units that differ, so this says whether the difference carries over to further tasks.
    """

    difference: Interval
    n_won: int
    n_lost: int
    n_tasks: int
    p_value: float


def mean_interval(values: npt.ArrayLike) -> Interval:
    """Return the mean and its two-sided 95 % Student interval.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        Independent repetitions, such as one value per seed.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        `values` is empty or not 1-D.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"values must be 1-D and not empty, not of shape {sample.shape}")
    mean = float(sample.mean())
    if sample.size < 2:
        return Interval(mean, math.nan, math.nan, 1)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, sample.size - 1)
    half_width = float(quantile * sample.std(ddof=1) / math.sqrt(sample.size))
    return Interval(mean, mean - half_width, mean + half_width, int(sample.size))


def compare_paired(first: npt.ArrayLike, second: npt.ArrayLike) -> PairedComparison:
    """Compare two detectors that were measured on the same tasks with the same seeds.

    Parameters
    ----------
    first, second : array-like of float, shape (n_seeds, n_tasks)
        One metric, higher is better.

    Returns
    -------
    PairedComparison

    Raises
    ------
    ValueError
        The shapes differ, are not 2-D or are empty, or a value is not finite.

    References
    ----------
    Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, section 3.1.3.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.size == 0:
        raise ValueError(f"two filled arrays (n_seeds, n_tasks) are needed, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a paired comparison needs finite values")
    difference = a - b
    by_task = difference.mean(axis=0)
    p_value = math.nan
    if by_task.size > 1:
        # Without any difference the test has no ranks to sum; nothing speaks against equality then.
        p_value = float(stats.wilcoxon(by_task).pvalue) if by_task.any() else 1.0
    return PairedComparison(
        difference=mean_interval(difference.mean(axis=1)),
        n_won=int(np.count_nonzero(by_task > 0)),
        n_lost=int(np.count_nonzero(by_task < 0)),
        n_tasks=int(by_task.size),
        p_value=p_value,
    )
