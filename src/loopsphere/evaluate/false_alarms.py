"""How often normal loops are called odd, against the rate that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loopsphere.evaluate.intervals import Interval, mean_interval
from loopsphere.evaluate.splits import Embedding, IntArray, duplicate_groups, group_split

FloatArray = npt.NDArray[np.float64]
# Learns from embeddings with their groups, then gives each fresh embedding a p-value; the int is the seed.
Calibrator = Callable[[Embedding, IntArray, Embedding, int], FloatArray]
# p-values of a pack and alpha -> which loops are called odd
Rejection = Callable[[FloatArray, float], npt.NDArray[np.bool_]]

ALPHAS = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class FalseAlarms:
    """Realised false alarms of one calibrator at one size and one alpha.

    Attributes
    ----------
    calibrator : str
    n_learnt : int
        Median number of loops learnt from and calibrated on.
    alpha : float
        The rate asked for.
    per_loop : Interval
        Share of fresh normal loops with a p-value of at most `alpha`; mean over splits.
    per_loop_sd : float
        Standard deviation of that share over the splits: what a single collection may see.
    pack_share : Interval
        Share of splits in which the Benjamini-Hochberg step called any fresh loop odd. All of them are
        normal, so this is the realised false discovery rate.
    per_loop_in_pack : float
        Share of fresh loops that the Benjamini-Hochberg step called odd.
    """

    calibrator: str
    n_learnt: int
    alpha: float
    per_loop: Interval
    per_loop_sd: float
    pack_share: Interval
    per_loop_in_pack: float


def false_alarm_rates(
    embedding: Embedding,
    calibrators: Mapping[str, Calibrator],
    *,
    reject: Rejection,
    groups: npt.ArrayLike | None = None,
    sizes: Sequence[int] = (),
    alphas: Sequence[float] = ALPHAS,
    n_splits: int = 100,
    test_fraction: float = 0.3,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[FalseAlarms]:
    """Measure false alarms on fresh normal loops over random group-wise splits.

    Parameters
    ----------
    embedding : ndarray of shape (n_loops, embedding_dim)
        Normal loops only.
    calibrators : mapping of str to callable
        ``(learnt embedding, its groups, fresh embedding, seed) -> p-values of the fresh loops``.
    reject : callable
        ``(p-values of a pack, alpha) -> bool mask of the loops called odd``, such as Benjamini-Hochberg.
    groups : array-like of shape (n_loops,) or None
        Loops that must stay on one side; exact duplicates always do.
    sizes : sequence of int
        Numbers of groups to learn from, on top of all that a split leaves; larger ones are left out.
    alphas : sequence of float
    n_splits : int
    test_fraction : float
        Share of the groups that are fresh.
    seed : int
    progress : callable or None
        Called with (runs done, runs in all).

    Returns
    -------
    list of FalseAlarms
        Ordered by calibrator, size, alpha.

    Raises
    ------
    ValueError
        Fewer than two groups, or a split leaves no group.
    """
    merged = duplicate_groups(embedding, groups)
    wanted = [*sorted(size for size in set(sizes) if size < _n_left(merged, test_fraction)), None]
    n_runs = n_splits * len(calibrators) * len(wanted)
    p_values: dict[tuple[str, int | None], list[FloatArray]] = {}
    n_learnt: dict[tuple[str, int | None], list[int]] = {}
    n_done = 0
    for split in range(n_splits):
        rng = np.random.default_rng([seed, split])
        learnable, fresh = group_split(merged, test_fraction=test_fraction, rng=rng)
        order = rng.permutation(np.unique(merged[learnable]))
        for size in wanted:
            learnt = learnable[np.isin(merged[learnable], order[:size])]
            for name, calibrate in calibrators.items():
                p = calibrate(embedding[learnt], merged[learnt], embedding[fresh], split)
                p_values.setdefault((name, size), []).append(np.asarray(p, dtype=np.float64))
                n_learnt.setdefault((name, size), []).append(learnt.size)
                n_done += 1
                if progress is not None:
                    progress(n_done, n_runs)
    return [
        _summarise(name, int(np.median(n_learnt[name, size])), alpha, p_values[name, size], reject)
        for name in calibrators
        for size in wanted
        for alpha in alphas
    ]


def quantile_p_values(train_scores: npt.ArrayLike, scores: npt.ArrayLike) -> FloatArray:
    """Return the share of training scores that reach each score: the naive rank.

    Comparing it with alpha is the plain threshold at the (1 - alpha) quantile of the training scores.
    The detector has seen the training loops and so underrates them, which this ignores.

    Parameters
    ----------
    train_scores : array-like of float, shape (n_train,)
        Anomaly scores of the loops that the detector learnt from.
    scores : array-like of float, shape (n_loops,)

    Returns
    -------
    float64 ndarray of shape (n_loops,)
    """
    ordered = np.sort(np.asarray(train_scores, dtype=np.float64))
    n_below = np.searchsorted(ordered, np.asarray(scores, dtype=np.float64), side="left")
    share: FloatArray = (ordered.size - n_below) / ordered.size
    return share


def _n_left(groups: npt.NDArray[Any], test_fraction: float) -> int:
    n_groups = np.unique(groups).size
    return n_groups - round(test_fraction * n_groups)


def _summarise(
    name: str, n_learnt: int, alpha: float, p_values: Sequence[FloatArray], reject: Rejection
) -> FalseAlarms:
    shares = np.array([np.mean(p <= alpha) for p in p_values])
    rejected = [reject(p, alpha) for p in p_values]
    return FalseAlarms(
        calibrator=name,
        n_learnt=n_learnt,
        alpha=alpha,
        per_loop=mean_interval(shares),
        per_loop_sd=float(shares.std(ddof=1)) if shares.size > 1 else float("nan"),
        pack_share=mean_interval([float(mask.any()) for mask in rejected]),
        per_loop_in_pack=float(np.mean([mask.mean() for mask in rejected])),
    )
