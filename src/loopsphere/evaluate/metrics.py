"""How well anomaly scores rank odd loops above normal ones, and the paper's own view of separation.

Every function takes anomaly scores, so higher is odder: the negative of scikit-learn's
`score_samples`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

RANKING_METRICS = ("auroc", "average_precision", "partial_auroc_10", "detection_1", "detection_5")
SEPARATION_METRICS = ("separation", "odd_median_over_threshold")


def validate(is_odd: npt.ArrayLike, anomaly_score: npt.ArrayLike) -> tuple[BoolArray, FloatArray]:
    """Check labels and scores and return them as arrays.

    Parameters
    ----------
    is_odd : array-like of bool, shape (n_loops,)
        True for an odd loop. Numbers other than 0 and 1 are refused.
    anomaly_score : array-like of float, shape (n_loops,)
        Higher is odder.

    Returns
    -------
    is_odd : bool ndarray of shape (n_loops,)
    anomaly_score : float64 ndarray of shape (n_loops,)

    Raises
    ------
    ValueError
        The shapes differ or are not 1-D, a score is not finite, or one of the classes is missing.
    """
    labels = np.asarray(is_odd)
    scores = _finite_vector(anomaly_score, "anomaly_score")
    if labels.shape != scores.shape:
        raise ValueError(f"is_odd has shape {labels.shape}, anomaly_score has shape {scores.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("is_odd may only hold True and False, or 1 and 0")
    labels = labels.astype(bool)
    if labels.all() or not labels.any():
        raise ValueError(f"both classes are needed, but all {labels.size} loops are {_class_name(labels)}")
    return labels, scores


def detection_rate(is_odd: npt.ArrayLike, anomaly_score: npt.ArrayLike, *, false_alarm_rate: float) -> float:
    """Return the share of odd loops found while at most `false_alarm_rate` of the normal ones are flagged.

    A loop is flagged when its score is strictly above a threshold; the lowest threshold that keeps the
    false alarms is used. Below ``1 / false_alarm_rate`` normal loops, no false alarm at all is allowed.

    Parameters
    ----------
    is_odd : array-like of bool, shape (n_loops,)
    anomaly_score : array-like of float, shape (n_loops,)
    false_alarm_rate : float
        In [0, 1).

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As `validate`, or the rate is outside [0, 1).
    """
    labels, scores = validate(is_odd, anomaly_score)
    if not 0 <= false_alarm_rate < 1:
        raise ValueError(f"false_alarm_rate must be in [0, 1), not {false_alarm_rate}")
    normal = np.sort(scores[~labels])[::-1]
    # Without the small term, 0.07 * 100 would allow 7.000000000000001 or 6.999999999999999 false alarms.
    n_allowed = math.floor(false_alarm_rate * normal.size + 1e-9)
    return float(np.mean(scores[labels] > normal[n_allowed]))


def ranking_metrics(is_odd: npt.ArrayLike, anomaly_score: npt.ArrayLike) -> dict[str, float]:
    """Return every ranking metric of the benchmark.

    Parameters
    ----------
    is_odd : array-like of bool, shape (n_loops,)
    anomaly_score : array-like of float, shape (n_loops,)

    Returns
    -------
    dict of str to float, keyed by `RANKING_METRICS`
        ``auroc``: chance that an odd loop outranks a normal one, ties counting half.
        ``average_precision``: precision averaged over recall, without interpolation.
        ``partial_auroc_10``: area up to 10 % false alarms, standardised so that chance is 0.5 and
        perfect is 1.
        ``detection_1``, ``detection_5``: `detection_rate` at 1 % and 5 % false alarms.

    Raises
    ------
    ValueError
        As `validate`.

    References
    ----------
    McClish 1989, Analyzing a Portion of the ROC Curve, Medical Decision Making 9(3), equation 4, for
    the standardised partial area.
    """
    labels, scores = validate(is_odd, anomaly_score)
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
        "partial_auroc_10": float(roc_auc_score(labels, scores, max_fpr=0.1)),
        "detection_1": detection_rate(labels, scores, false_alarm_rate=0.01),
        "detection_5": detection_rate(labels, scores, false_alarm_rate=0.05),
    }


def separation_metrics(
    is_odd: npt.ArrayLike, anomaly_score: npt.ArrayLike, *, threshold: float
) -> dict[str, float]:
    """Return how far scores reach beyond a threshold, the paper's view of a detector.

    The ratios compare distances, so they are NaN where a denominator is not positive. They depend on the
    unit of the score (a squared distance separates more than its root), so they describe one detector
    and do not rank several.

    Parameters
    ----------
    is_odd : array-like of bool, shape (n_loops,)
    anomaly_score : array-like of float, shape (n_loops,)
    threshold : float
        Anomaly score above which a loop counts as odd, such as the 95 % quantile of the scores of the
        training loops.

    Returns
    -------
    dict of str to float, keyed by `SEPARATION_METRICS`
        ``separation``: mean score above the threshold over the median score at or below it.
        ``odd_median_over_threshold``: median score of the odd loops over the threshold.

    Raises
    ------
    ValueError
        As `validate`, or the threshold is not finite.

    References
    ----------
    Learning Normal Patterns in Musical Loops, arXiv 2505.23784, results.
    """
    labels, scores = validate(is_odd, anomaly_score)
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be finite, not {threshold}")
    above, below = scores[scores > threshold], scores[scores <= threshold]
    separation = (
        _ratio(float(above.mean()), float(np.median(below))) if above.size and below.size else math.nan
    )
    return {
        "separation": separation,
        "odd_median_over_threshold": _ratio(float(np.median(scores[labels])), threshold),
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan


def _class_name(labels: BoolArray) -> str:
    return "odd" if labels.any() else "normal"


def _finite_vector(values: npt.ArrayLike, name: str) -> FloatArray:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"{name} must be 1-D, not of shape {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} holds {np.count_nonzero(~np.isfinite(vector))} values that are not finite")
    return vector
