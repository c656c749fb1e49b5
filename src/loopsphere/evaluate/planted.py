"""Planted faults: normal loops held out against broken versions of loops held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loopsphere.evaluate.intervals import Interval, mean_interval
from loopsphere.evaluate.protocols import PLANTED, Task, Trial
from loopsphere.evaluate.splits import Embedding, IntArray, duplicate_groups, group_split
from loopsphere.evaluate.summary import metric_grid

MAGNITUDES = ("small", "medium", "large")
_SEPARATOR = ", "


@dataclass(frozen=True)
class PlantedSet:
    """Normal loops and broken versions of some of them, as features.

    Attributes
    ----------
    features : float ndarray of shape (n_loops, n_features)
        The normal loops: embeddings, perhaps followed by attributes.
    groups : ndarray of shape (n_loops,) or None
        Loops that must stay on one side; exact duplicates always do.
    sources : mapping of (fault, magnitude) to int ndarray of shape (n_versions,)
        Which normal loop each broken version was made from.
    versions : mapping of (fault, magnitude) to float ndarray of shape (n_versions, n_features)
    """

    features: Embedding
    groups: npt.NDArray[np.generic] | None
    sources: Mapping[tuple[str, str], IntArray]
    versions: Mapping[tuple[str, str], Embedding]


def planted_faults(
    planted: PlantedSet, *, seeds: Sequence[int], test_fraction: float = 0.3
) -> tuple[Embedding, list[Task]]:
    """Learn from part of the normal loops, tell the rest from broken versions of the rest.

    Versions of loops that were learnt from are left out: their likeness to a learnt loop would hide
    the fault.

    Parameters
    ----------
    planted : PlantedSet
    seeds : sequence of int
        One task per seed, holding every fault and magnitude.
    test_fraction : float
        Share of the groups of normal loops held out.

    Returns
    -------
    features : float ndarray of shape (n_loops + n_versions, n_features)
        What the tasks' rows point into: normal loops first.
    tasks : list of Task
        Odd sets are named ``fault, magnitude``.

    Raises
    ------
    ValueError
        A source is not a row of the features, lengths differ, or a fault has no version left to test.
    """
    n_loops = planted.features.shape[0]
    blocks: list[Embedding] = [planted.features]
    rows: dict[str, IntArray] = {}
    origin: dict[str, IntArray] = {}
    start = n_loops
    for key, version in planted.versions.items():
        source = np.asarray(planted.sources[key], dtype=np.intp)
        if source.shape != (version.shape[0],) or not np.isin(source, np.arange(n_loops)).all():
            raise ValueError(
                f"{key}: sources must name one of {n_loops} loops for each of {len(version)} versions"
            )
        name = _SEPARATOR.join(key)
        rows[name], origin[name] = np.arange(start, start + len(version)), source
        blocks.append(version)
        start += len(version)
    groups = duplicate_groups(planted.features, planted.groups)
    tasks = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 0])
        train, normal = group_split(groups, test_fraction=test_fraction, rng=rng)
        odd = {name: rows[name][np.isin(origin[name], normal)] for name in rows}
        empty = [name for name, kept in odd.items() if kept.size == 0]
        if empty:
            raise ValueError(f"with seed {seed}, no held-out loop has a version with: {'; '.join(empty)}")
        tasks.append(Task(PLANTED, seed, train, normal, odd))
    return np.concatenate(blocks), tasks


def by_magnitude(trials: Sequence[Trial]) -> dict[str, dict[str, Interval]]:
    """Average the AUROC over faults and data sets, magnitude by magnitude.

    Parameters
    ----------
    trials : sequence of Trial
        Of the planted protocol.

    Returns
    -------
    dict of str to dict of str to Interval
        ``table[magnitude][detector]``, over seeds.
    """
    table = {}
    for magnitude in MAGNITUDES:
        part = [trial for trial in trials if _split_name(trial.name)[1] == magnitude]
        grids = metric_grid(part, "auroc")
        table[magnitude] = {name: mean_interval(grid.mean(axis=1)) for name, grid in grids.items()}
    return table


def by_fault(trials: Sequence[Trial], detector: str) -> dict[str, dict[str, float]]:
    """Average the AUROC of one detector over data sets and seeds, fault by fault.

    Parameters
    ----------
    trials : sequence of Trial
        Of the planted protocol.
    detector : str

    Returns
    -------
    dict of str to dict of str to float
        ``table[fault][magnitude]``; NaN where a fault was not planted at a magnitude.
    """
    values: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        if trial.detector == detector:
            values.setdefault(_split_name(trial.name), []).append(trial.metrics["auroc"])
    faults = dict.fromkeys(fault for fault, _ in values)
    return {
        fault: {
            magnitude: float(np.mean(values.get((fault, magnitude), [np.nan]))) for magnitude in MAGNITUDES
        }
        for fault in faults
    }


def _split_name(name: str) -> tuple[str, str]:
    fault, _, magnitude = name.rpartition(_SEPARATOR)
    return fault, magnitude
