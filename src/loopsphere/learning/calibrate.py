"""Conformal calibration: turn scores into p-values and thresholds with a promised false-alarm rate.

Scores are higher for odder loops everywhere in this module. A p-value is the rank of a loop among loops that
are known, or assumed, to be normal and that the detector never saw; where a normal loop and the calibration
loops are exchangeable, P(p <= alpha) <= alpha for every alpha, whatever the detector.

References
----------
Bates, Candès, Lei, Romano and Sesia 2023, 'Testing for outliers with conformal p-values', Annals of
Statistics, arXiv 2104.08279. Vovk 2015, 'Cross-conformal predictors', Annals of Mathematics and AI.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loopsphere.errors import CalibrationError

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FitScore = Callable[[IntArray, IntArray], npt.ArrayLike]
RunFolds = Callable[[FitScore, Sequence[IntArray], Sequence[IntArray]], Iterable[npt.ArrayLike]]


def conformal_p_values(
    scores: npt.ArrayLike, calibration_scores: npt.ArrayLike, groups: npt.ArrayLike | None = None
) -> Float64Array:
    """Return the conformal p-value of each score.

    Parameters
    ----------
    scores : array of shape (n_loops,)
        Higher is odder.
    calibration_scores : array of shape (n_calibration,)
        Scores of normal loops that the detector never saw.
    groups : array of shape (n_calibration,) or None, default=None
        Which calibration loops belong together (duplicates, one pack, one player). None: each stands alone.

    Returns
    -------
    p_values : float64 ndarray of shape (n_loops,)
        In (0, 1]; small is odd. Without groups (1 + #{calibration >= s}) / (n_calibration + 1).

    Raises
    ------
    CalibrationError
        There is no calibration score, a score is NaN, or the shapes do not fit.

    Notes
    -----
    Loops of one group are not exchangeable with a loop of a new group: a hundred copies of one loop would
    promise a false-alarm rate of 1 % on the evidence of a single loop. So it is the groups that are counted:
    each group contributes the share of its loops that score at least s, and
    p = (1 + sum of the shares) / (n_groups + 1). Groups of one loop give the plain formula. This is the mean,
    over all ways to draw one loop from each group, of the plain p-value ('pooling CDFs' in Dunn et al.); each
    of those is exactly valid for a loop of a new group, so their mean is at worst twice too small (Vovk and
    Wang) and in practice slightly conservative.

    References
    ----------
    Bates et al. 2023, arXiv 2104.08279, section 2.1. Dunn, Wasserman and Ramdas 2022, 'Distribution-free
    prediction sets for two-layer hierarchical models', arXiv 1809.07441, section 2. Vovk and Wang 2020,
    'Combining p-values via averaging', arXiv 1212.4966.
    """
    tested = _checked_scores(scores, "scores", smallest=0)
    calibration = _checked_scores(calibration_scores, "calibration_scores", smallest=1)
    weights, n_groups = _group_weights(groups, len(calibration))
    return (1.0 + _weight_at_or_above(tested, calibration, weights)) / (n_groups + 1.0)


def conformal_threshold(
    calibration_scores: npt.ArrayLike, alpha: float, groups: npt.ArrayLike | None = None
) -> float:
    """Return the score from which a loop is odd: p <= `alpha` exactly if its score is at least this.

    Parameters
    ----------
    calibration_scores : array of shape (n_calibration,)
        Higher is odder.
    alpha : float
        The false-alarm rate asked for, in (0, 1).
    groups : array of shape (n_calibration,) or None, default=None
        As for `conformal_p_values`.

    Returns
    -------
    threshold : float
        The float64 just above one of the calibration scores. Infinite where `alpha` is smaller than
        `smallest_alpha`: then no score is odd.

    Raises
    ------
    CalibrationError
        There is no calibration score, one is NaN, or `alpha` is not in (0, 1).
    """
    check_alpha(alpha)
    calibration = np.unique(_checked_scores(calibration_scores, "calibration_scores", smallest=1))
    candidates = np.nextafter(calibration, np.inf)
    is_odd = conformal_p_values(candidates, calibration_scores, groups) <= alpha
    return float(candidates[is_odd][0]) if is_odd.any() else math.inf


def smallest_alpha(n_calibration: int) -> float:
    """Return 1 / (n + 1), the smallest false-alarm rate that `n_calibration` loops (or groups) can promise.

    Raises
    ------
    CalibrationError
        `n_calibration` is negative.
    """
    if n_calibration < 0:
        raise CalibrationError(f"a number of calibration loops cannot be negative: {n_calibration}")
    return 1.0 / (n_calibration + 1.0)


def too_few_note(n_calibration: int, alpha: float, unit: str = "loops") -> str | None:
    """Return a sentence for the reader where `n_calibration` is too few for `alpha`, else None.

    Parameters
    ----------
    n_calibration : int
        Calibration loops, or groups where loops come in groups.
    alpha : float
        The false-alarm rate asked for, in (0, 1).
    unit : str, default="loops"
        What was counted, in the plural.

    Raises
    ------
    CalibrationError
        `n_calibration` is negative or `alpha` is not in (0, 1).
    """
    check_alpha(alpha)
    promised = smallest_alpha(n_calibration)
    if alpha >= promised:
        return None
    needed = math.ceil(round(1.0 / alpha, 9)) - 1
    return (
        f"with {n_calibration} {unit} the smallest false-alarm rate that can be promised is "
        f"{100 * promised:.1f} %, so at {100 * alpha:g} % nothing is called odd; "
        f"{needed} {unit} or more are needed"
    )


def benjamini_hochberg(p_values: npt.ArrayLike, alpha: float) -> npt.NDArray[np.bool_]:
    """Return which loops to call odd so that at most `alpha` of those called odd are false, on average.

    Parameters
    ----------
    p_values : array of shape (n_loops,)
        Of loops that were tested together, in (0, 1].
    alpha : float
        The false-discovery rate asked for, in (0, 1).

    Returns
    -------
    is_odd : bool ndarray of shape (n_loops,)

    Raises
    ------
    CalibrationError
        A p-value is not in [0, 1] or `alpha` is not in (0, 1).

    Notes
    -----
    Conformal p-values that share a calibration set are positively dependent in the way that the procedure
    tolerates (Bates et al. 2023, theorem 2).

    References
    ----------
    Benjamini and Hochberg 1995, 'Controlling the false discovery rate', section 3.
    """
    check_alpha(alpha)
    p = _checked_scores(p_values, "p_values", smallest=0)
    if ((p < 0) | (p > 1)).any():
        raise CalibrationError("p_values must lie in [0, 1]")
    ranked = np.sort(p)
    passes = ranked <= alpha * np.arange(1, len(p) + 1) / max(len(p), 1)
    return p <= (ranked[passes][-1] if passes.any() else -1.0)


def group_folds(groups: npt.ArrayLike, n_folds: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Split loops into folds of nearly equal size without ever splitting a group.

    Parameters
    ----------
    groups : array of shape (n_loops,)
        Label of the group of each loop; any dtype that sorts.
    n_folds : int
        At least 2. With fewer groups than this, each group is a fold.
    seed : int
        Decides which groups meet; the same seed gives the same folds.

    Returns
    -------
    folds : list of (train_idx, test_idx)
        int64 indices in ascending order; the test parts cover each loop exactly once.

    Raises
    ------
    CalibrationError
        There are fewer than two groups, or `n_folds` is less than 2.
    """
    labels = np.asarray(groups)
    if n_folds < 2:
        raise CalibrationError(f"at least 2 folds are needed, not {n_folds}")
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise CalibrationError("all loops belong to one group, so none can be held out")
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    # The largest group first, each into the emptiest fold: close to balanced, whatever the sizes.
    largest_first = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    filled = np.zeros(min(n_folds, len(sizes)), dtype=np.int64)
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    for index in largest_first:
        fold = int(np.argmin(filled))
        fold_of_group[index] = fold
        filled[fold] += sizes[index]
    fold_of_loop = fold_of_group[group.reshape(-1)]
    return [
        (np.flatnonzero(fold_of_loop != fold), np.flatnonzero(fold_of_loop == fold))
        for fold in range(len(filled))
    ]


@dataclass(frozen=True)
class CrossConformal:
    """The out-of-fold answer for each loop of a collection.

    Attributes
    ----------
    scores : float64 ndarray of shape (n_loops,)
        Higher is odder; each from a detector that saw neither the loop nor its group.
    p_values : float64 ndarray of shape (n_loops,)
        The rank of each loop among the loops of all other groups.
    n_groups : int
        The number that the p-values stand on: the smallest possible one is 1 / n_groups.
    """

    scores: Float64Array
    p_values: Float64Array
    n_groups: int


def cross_conformal(
    fit_score: FitScore,
    groups: npt.ArrayLike,
    *,
    n_folds: int = 5,
    seed: int = 0,
    run_folds: RunFolds = map,
) -> CrossConformal:
    """Score each loop of a collection by a detector that never saw it, and rank it among the others.

    Parameters
    ----------
    fit_score : callable
        `fit_score(train_idx, test_idx)` fits on the loops of `train_idx` and returns the scores of those of
        `test_idx`, higher for odder, shape (len(test_idx),).
    groups : array of shape (n_loops,)
        Label of the group of each loop; pass `np.arange(n_loops)` where each stands alone.
    n_folds : int, default=5
    seed : int, default=0
        Of the folds.
    run_folds : callable, default=map
        Calls `fit_score` for each fold and returns in order what it returned, as `map` does; side by side
        if it likes.

    Returns
    -------
    result : CrossConformal

    Raises
    ------
    CalibrationError
        There are fewer than two groups, or `fit_score` returned NaN or the wrong number of scores.

    Notes
    -----
    Scores of different folds are ranked as they are, without aligning the folds: `fit_score` should measure
    in units of the collection, so that folds differ by little (most detectors of this package do; the
    paper's raw Deep SVDD distance does not). The rank of loop i counts the other groups
    as `conformal_p_values` does,
    p = (1 + sum of the shares of the other groups that score at least s) / n_groups. Ranks within one
    collection are exchangeable when all its loops are normal, so at most alpha of them get p <= alpha;
    loops that are really odd take the smallest p-values and only make the rest more careful.

    References
    ----------
    Vovk 2015, 'Cross-conformal predictors', section 3. Bates et al. 2023, arXiv 2104.08279, section 2.1.
    """
    labels = np.asarray(groups)
    scores = np.empty(len(labels))
    trained, tested = zip(*group_folds(labels, n_folds, seed), strict=True)
    for test_idx, returned in zip(tested, run_folds(fit_score, trained, tested), strict=True):
        fold_scores = _checked_scores(returned, "scores of a fold", smallest=1)
        if len(fold_scores) != len(test_idx):
            raise CalibrationError(f"{len(test_idx)} loops got {len(fold_scores)} scores")
        scores[test_idx] = fold_scores
    weights, n_groups = _group_weights(labels, len(labels))
    at_or_above = _weight_at_or_above(scores, scores, weights)
    sizes = np.unique(labels, return_counts=True)[1]
    at_or_above[weights == 1.0] -= 1.0  # a loop that stands alone reaches its own score, and most do
    for own in np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1]):
        if len(own) > 1:
            at_or_above[own] -= _weight_at_or_above(scores[own], scores[own], weights[own])
    return CrossConformal(scores, np.clip((1.0 + at_or_above) / n_groups, 1.0 / n_groups, 1.0), n_groups)


def _checked_scores(scores: npt.ArrayLike, name: str, smallest: int) -> Float64Array:
    checked = np.asarray(scores, dtype=np.float64)
    if checked.ndim != 1:
        raise CalibrationError(f"{name} must be one-dimensional, not of shape {checked.shape}")
    if len(checked) < smallest:
        raise CalibrationError(f"{name} are empty")
    if np.isnan(checked).any():
        raise CalibrationError(f"{name} hold NaN")
    return checked


def check_alpha(alpha: float) -> None:
    """Refuse what is no false-alarm rate.

    Raises
    ------
    CalibrationError
        `alpha` is not in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise CalibrationError(f"alpha is a false-alarm rate between 0 and 1, not {alpha}")


def _group_weights(groups: npt.ArrayLike | None, n_loops: int) -> tuple[Float64Array, int]:
    """Return a weight a loop that adds up to 1 within each group, and the number of groups."""
    if groups is None:
        return np.ones(n_loops), n_loops
    labels = np.asarray(groups)
    if labels.shape != (n_loops,):
        raise CalibrationError(f"groups have shape {labels.shape}, but there are {n_loops} scores")
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    return 1.0 / sizes[group.reshape(-1)], len(sizes)


def _weight_at_or_above(
    tested: Float64Array, calibration: Float64Array, weights: Float64Array
) -> Float64Array:
    """Return the summed weight of the calibration scores that are at least each tested score."""
    order = np.argsort(calibration)
    tails = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    first = np.searchsorted(calibration[order], tested, side="left")
    # Shares such as 1/3 do not add up exactly; rounding keeps p-values exact multiples where they should be.
    return np.round(tails[first], 12)
