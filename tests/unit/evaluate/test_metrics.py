import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopsphere.evaluate.metrics import (
    RANKING_METRICS,
    detection_rate,
    ranking_metrics,
    separation_metrics,
    validate,
)

CASES = json.loads((Path(__file__).parents[2] / "golden" / "evaluate_metrics.json").read_text())["cases"]

labelled_scores = st.lists(st.tuples(st.booleans(), st.integers(-50, 50)), min_size=2, max_size=60).filter(
    lambda rows: len({is_odd for is_odd, _ in rows}) == 2
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@pytest.mark.parametrize("metric", RANKING_METRICS)
def test_ranking_metrics_equal_those_of_torchmetrics_and_scipy(case, metric):
    measured = ranking_metrics(case["is_odd"], case["score"])
    assert measured[metric] == pytest.approx(case["expected"][metric], abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(rows=labelled_scores)
def test_only_the_order_of_scores_counts(rows):
    is_odd, score = np.array(rows, dtype=float).T
    assert ranking_metrics(is_odd, score) == ranking_metrics(is_odd, np.exp(score / 20))


@settings(max_examples=20, deadline=None)
@given(rows=labelled_scores, seed=st.integers(0, 2**16))
def test_the_order_of_loops_does_not_count(rows, seed):
    is_odd, score = np.array(rows, dtype=float).T
    order = np.random.default_rng(seed).permutation(score.size)
    assert ranking_metrics(is_odd[order], score[order]) == pytest.approx(
        ranking_metrics(is_odd, score), abs=1e-12
    )


@settings(max_examples=20, deadline=None)
@given(rows=labelled_scores)
def test_swapping_the_classes_mirrors_auroc(rows):
    is_odd, score = np.array(rows, dtype=float).T
    mirrored = ranking_metrics(1 - is_odd, score)["auroc"]
    assert mirrored == pytest.approx(1 - ranking_metrics(is_odd, score)["auroc"], abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(rows=labelled_scores, rate=st.floats(0, 0.99))
def test_detection_rate_is_what_some_threshold_reaches_within_the_false_alarms(rows, rate):
    is_odd, score = np.array(rows, dtype=float).T
    normal, odd = score[is_odd == 0], score[is_odd == 1]
    within = [np.mean(odd > t) for t in [-np.inf, *score] if np.mean(normal > t) <= rate + 1e-12]
    assert detection_rate(is_odd, score, false_alarm_rate=rate) == max(within)


def test_perfect_and_constant_scores():
    is_odd = [0] * 40 + [1] * 10
    assert set(ranking_metrics(is_odd, np.arange(50.0)).values()) == {1.0}
    constant = ranking_metrics(is_odd, np.zeros(50))
    assert constant["auroc"] == constant["partial_auroc_10"] == 0.5
    assert constant["average_precision"] == pytest.approx(0.2)
    assert constant["detection_1"] == constant["detection_5"] == 0.0


def test_separation_by_hand():
    measured = separation_metrics([0, 0, 0, 0, 1, 1], [1, 2, 3, 5, 8, 11], threshold=4.0)
    assert measured == {
        "separation": pytest.approx((5 + 8 + 11) / 3 / 2),
        "odd_median_over_threshold": pytest.approx(9.5 / 4),
    }


def test_separation_keeps_the_ratio_when_the_unit_changes():
    rng = np.random.default_rng(0)
    is_odd, score = np.repeat([0, 1], [30, 10]), rng.gamma(2, 1, 40)
    scaled = separation_metrics(is_odd, 7.5 * score, threshold=7.5 * 2.0)
    assert scaled == pytest.approx(separation_metrics(is_odd, score, threshold=2.0))


@pytest.mark.parametrize(
    ("score", "threshold"), [([-3, -2, -1], -1.5), ([1, 2, 3], 0.5), ([1, 2, 3], 9.0)], ids=str
)
def test_separation_without_a_meaning_is_nan(score, threshold):
    assert np.isnan(separation_metrics([0, 0, 1], score, threshold=threshold)["separation"])


@pytest.mark.parametrize(
    ("is_odd", "score", "message"),
    [
        ([0, 1], [1.0, 2.0, 3.0], r"shape \(2,\)"),
        ([0, 1, 2], [1.0, 2.0, 3.0], "True and False"),
        ([0, 0, 0], [1.0, 2.0, 3.0], "all 3 loops are normal"),
        ([1, 1, 1], [1.0, 2.0, 3.0], "all 3 loops are odd"),
        ([0, 1, 1], [1.0, np.nan, np.inf], "2 values that are not finite"),
        ([[0, 1]], [[1.0, 2.0]], "must be 1-D"),
    ],
)
def test_unusable_labels_and_scores_are_refused(is_odd, score, message):
    with pytest.raises(ValueError, match=message):
        validate(is_odd, score)


@pytest.mark.parametrize("rate", [-0.01, 1.0])
def test_a_false_alarm_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="false_alarm_rate must be in"):
        detection_rate([0, 1], [0.0, 1.0], false_alarm_rate=rate)
