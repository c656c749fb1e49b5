"""Conformal p-values, thresholds, folds and what they promise."""

import math

import numpy as np
import pytest

from loopsphere.errors import CalibrationError
from loopsphere.learning.calibrate import (
    benjamini_hochberg,
    conformal_p_values,
    conformal_threshold,
    cross_conformal,
    group_folds,
    smallest_alpha,
    too_few_note,
)


def test_p_values_are_ranks_worked_by_hand():
    calibration = [1.0, 2.0, 3.0, 4.0]
    p = conformal_p_values([5.0, 4.0, 2.5, 0.0], calibration)
    assert p == pytest.approx([1 / 5, 2 / 5, 3 / 5, 1.0])


def test_duplicates_of_one_loop_count_once():
    calibration = [9.0] * 100 + [1.0, 2.0, 3.0]
    groups = ["copy"] * 100 + ["a", "b", "c"]
    assert conformal_p_values([8.0], calibration, groups) == pytest.approx([2 / 5])
    assert conformal_p_values([8.0], calibration) == pytest.approx([101 / 104])


def test_groups_contribute_the_share_of_their_loops():
    p = conformal_p_values([2.0], [1.0, 2.0, 3.0, 0.0, 5.0], ["a", "a", "a", "b", "b"])
    assert p == pytest.approx([(1 + 2 / 3 + 1 / 2) / 3])


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("n_calibration", [5, 19, 20, 99, 200])
def test_threshold_is_where_p_reaches_alpha(alpha, n_calibration):
    rng = np.random.default_rng(n_calibration)
    calibration = rng.normal(size=n_calibration).round(1)  # with ties
    threshold = conformal_threshold(calibration, alpha)
    edge = [threshold, np.nextafter(threshold, -np.inf)] if math.isfinite(threshold) else []
    scores = np.concatenate([calibration, rng.normal(size=200), edge])
    assert np.array_equal(scores >= threshold, conformal_p_values(scores, calibration) <= alpha)


def test_threshold_is_infinite_exactly_where_too_few_loops():
    assert math.isinf(conformal_threshold(np.arange(18.0), 0.05))
    assert conformal_threshold(np.arange(19.0), 0.05) == np.nextafter(18.0, np.inf)


def test_too_few_loops_are_said_in_words():
    assert smallest_alpha(12) == pytest.approx(1 / 13)
    note = too_few_note(12, 0.05)
    assert note is not None
    assert "with 12 loops the smallest false-alarm rate that can be promised is 7.7 %" in note
    assert "19 loops or more are needed" in note
    assert too_few_note(19, 0.05) is None
    assert "3 groups" in (too_few_note(3, 0.1, unit="groups") or "")


def test_benjamini_hochberg_on_the_example_of_the_1995_paper():
    # Benjamini and Hochberg 1995, section 4.1: at 0.05 the four smallest of the fifteen are rejected.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert benjamini_hochberg(p, 0.05).tolist() == [True] * 4 + [False] * 11
    assert not benjamini_hochberg([0.9, 0.8], 0.05).any()
    assert benjamini_hochberg([], 0.05).shape == (0,)


def test_folds_keep_groups_whole_and_sizes_close():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, size=200)
    folds = group_folds(groups, 5, seed=3)
    assert np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(200))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 200
        assert 36 <= len(test) <= 44
    again = group_folds(groups, 5, seed=3)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))
    other = group_folds(groups, 5, seed=4)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(folds, other, strict=True))


def test_fewer_groups_than_folds_leave_one_group_out():
    folds = group_folds(["b", "a", "b", "c"], 10, seed=0)
    assert sorted(test.tolist() for _, test in folds) == [[0, 2], [1], [3]]


def test_cross_conformal_scores_no_loop_by_a_model_that_saw_its_group():
    groups = np.repeat(np.arange(10), 3)

    def fit_score(train, test):
        assert not set(groups[train]) & set(groups[test])
        return test.astype(float)

    result = cross_conformal(fit_score, groups, n_folds=3, seed=1)
    assert np.array_equal(result.scores, np.arange(30.0))
    # The oddest group: no other group scores as high. The least odd loop: all nine others do.
    assert result.p_values[-3:] == pytest.approx([0.1, 0.1, 0.1])
    assert result.p_values[0] == pytest.approx(1.0)
    assert result.n_groups == 10


def _distance_from_mean(X):
    def fit_score(train, test):
        return np.sum((X[test] - X[train].mean(axis=0)) ** 2, axis=1)

    return fit_score


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_realised_false_alarm_rate_on_fresh_loops_is_alpha(alpha):
    """Calibrate on out-of-fold scores, test fresh loops against the model of all loops: 200 collections."""
    rng = np.random.default_rng(7)
    rates = []
    for repeat in range(200):
        X, fresh = rng.normal(size=(200, 4)), rng.normal(size=(50, 4))
        result = cross_conformal(_distance_from_mean(X), np.arange(200), seed=repeat)
        p = conformal_p_values(np.sum((fresh - X.mean(axis=0)) ** 2, axis=1), result.scores)
        rates.append(np.mean(p <= alpha))
    # The standard error is below 0.0025.
    assert abs(np.mean(rates) - alpha) < 0.01


def test_groups_keep_the_rate_where_plain_ranks_break_it():
    """Packs of very different size and nature: one large pack must not speak for all."""
    rng = np.random.default_rng(8)
    plain, grouped = [], []
    for _ in range(600):
        sizes = np.r_[[200], np.full(24, 2)]
        groups = np.repeat(np.arange(25), sizes)
        level = rng.normal(size=26)
        calibration = level[groups] + 0.1 * rng.normal(size=len(groups))
        fresh = level[25] + 0.1 * rng.normal(size=4)
        plain.append(np.mean(conformal_p_values(fresh, calibration) <= 0.1))
        grouped.append(np.mean(conformal_p_values(fresh, calibration, groups) <= 0.1))
    assert np.mean(grouped) <= 0.11
    assert np.mean(plain) > 0.2


def test_loops_of_a_normal_collection_are_called_odd_at_most_at_alpha():
    rng = np.random.default_rng(9)
    X = rng.normal(size=(120, 3))
    result = cross_conformal(_distance_from_mean(X), np.arange(120))
    for alpha in (0.01, 0.05, 0.1):
        assert np.mean(result.p_values <= alpha) <= alpha


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conformal_p_values([1.0], []), "calibration_scores are empty"),
        (lambda: conformal_p_values([np.nan], [1.0]), "scores hold NaN"),
        (lambda: conformal_p_values([[1.0]], [1.0]), "one-dimensional"),
        (lambda: conformal_p_values([1.0], [1.0, 2.0], ["a"]), "groups have shape"),
        (lambda: conformal_threshold([1.0], 0.0), "alpha is a false-alarm rate between 0 and 1"),
        (lambda: benjamini_hochberg([1.5], 0.1), r"must lie in \[0, 1\]"),
        (lambda: smallest_alpha(-1), "cannot be negative"),
        (lambda: group_folds([1, 1, 1], 2, 0), "one group"),
        (lambda: group_folds([1, 2], 1, 0), "at least 2 folds"),
        (lambda: cross_conformal(lambda a, b: [0.0], [1, 2, 3, 4], n_folds=2), "loops got 1 scores"),
        (lambda: cross_conformal(lambda a, b: np.full(len(b), np.nan), [1, 2]), "hold NaN"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(call, message):
    with pytest.raises(CalibrationError, match=message):
        call()
