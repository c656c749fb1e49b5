"""The ways to a p-value whose false alarms are compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from loopsphere.evaluate.false_alarms import Calibrator, FloatArray, quantile_p_values
from loopsphere.evaluate.protocols import DetectorFactory
from loopsphere.evaluate.splits import Embedding, IntArray
from loopsphere.learning.calibrate import conformal_p_values, cross_conformal, group_folds

N_FOLDS = 5


def calibrators(detector: str, make: DetectorFactory) -> dict[str, Calibrator]:
    """Return the three ways for one detector.

    Parameters
    ----------
    detector : str
    make : callable
        Makes a fresh detector from a seed.

    Returns
    -------
    dict of str to callable
        Cross-conformal, as `fit` and `score` do it: the detector learns from all loops, ranks come from
        detectors that learnt without the loop's fold. Split conformal: half to learn, half to rank. The
        plain quantile of the scores of the very loops that were learnt.
    """
    ways: dict[str, Callable[..., FloatArray]] = {
        "cross-conformal": _cross_conformal,
        "split conformal": _split_conformal,
        "quantile of training scores": _training_quantile,
    }

    def bind(way: Callable[..., FloatArray]) -> Calibrator:
        return lambda learnt, groups, fresh, seed: way(make, learnt, groups, fresh, seed)

    return {f"{detector}, {name}": bind(way) for name, way in ways.items()}


def _cross_conformal(
    make: DetectorFactory, learnt: Embedding, groups: IntArray, fresh: Embedding, seed: int
) -> FloatArray:
    def fit_score(train: IntArray, test: IntArray) -> FloatArray:
        return _scores(make, learnt[train], learnt[test], seed)

    crossed = cross_conformal(fit_score, groups, n_folds=N_FOLDS, seed=seed)
    return conformal_p_values(_scores(make, learnt, fresh, seed), crossed.scores, groups)


def _split_conformal(
    make: DetectorFactory, learnt: Embedding, groups: IntArray, fresh: Embedding, seed: int
) -> FloatArray:
    train, held_out = group_folds(groups, 2, seed)[0]
    scores = _scores(make, learnt[train], np.concatenate([learnt[held_out], fresh]), seed)
    return conformal_p_values(scores[held_out.size :], scores[: held_out.size], groups[held_out])


def _training_quantile(
    make: DetectorFactory, learnt: Embedding, groups: IntArray, fresh: Embedding, seed: int
) -> FloatArray:
    scores = _scores(make, learnt, np.concatenate([learnt, fresh]), seed)
    return quantile_p_values(scores[: len(learnt)], scores[len(learnt) :])


def _scores(make: DetectorFactory, train: Embedding, scored: Embedding, seed: int) -> FloatArray:
    detector = make(seed)
    detector.fit(train)
    return -np.asarray(detector.score_samples(scored), dtype=np.float64)
