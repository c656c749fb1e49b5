import numpy as np
import pytest
from scipy import stats

from loopsphere.evaluate.intervals import compare_paired, mean_interval


def test_the_interval_is_students():
    # Student's own sleep data (1908), extra hours with drug 2; R 4: t.test(x)$conf.int
    values = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(2.33)
    assert (interval.low, interval.high) == pytest.approx((0.8976775, 3.7623225), abs=1e-6)
    assert interval.n == 10


def test_95_percent_of_intervals_hold_the_true_mean():
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(3.0, 2.0, 5)) for _ in range(2000)]
    share = np.mean([interval.low <= 3.0 <= interval.high for interval in intervals])
    assert abs(share - 0.95) < 0.015


def test_one_value_has_no_interval():
    interval = mean_interval([0.7])
    assert interval.mean == 0.7
    assert np.isnan([interval.low, interval.high]).all()


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]]])
def test_no_values_are_refused(values):
    with pytest.raises(ValueError, match="1-D and not empty"):
        mean_interval(values)


def test_a_paired_comparison_takes_the_variation_of_tasks_out():
    rng = np.random.default_rng(1)
    hardness = rng.uniform(0.5, 0.9, (6, 8))
    first = hardness + 0.02 + rng.normal(0, 0.002, hardness.shape)
    comparison = compare_paired(first, hardness)
    assert 0.015 < comparison.difference.low < comparison.difference.high < 0.025
    assert (comparison.n_won, comparison.n_lost, comparison.n_tasks) == (8, 0, 8)
    # Eight wins of eight: the smallest p-value that eight signed ranks can give.
    assert comparison.p_value == pytest.approx(2 / 2**8)
    assert comparison.p_value == stats.wilcoxon((first - hardness).mean(axis=0)).pvalue


def test_swapping_the_detectors_turns_the_sign():
    rng = np.random.default_rng(2)
    first, second = rng.random((2, 4, 7))
    one, other = compare_paired(first, second), compare_paired(second, first)
    assert one.difference.mean == -other.difference.mean
    assert one.difference.low == pytest.approx(-other.difference.high)
    assert (one.n_won, one.n_lost, one.p_value) == (other.n_lost, other.n_won, other.p_value)


def test_a_detector_equals_itself():
    values = np.random.default_rng(3).random((3, 4))
    comparison = compare_paired(values, values)
    assert comparison.difference.mean == 0.0
    assert (comparison.n_won, comparison.n_lost, comparison.p_value) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "n_seeds, n_tasks"),
        (np.zeros(3), np.zeros(3), "n_seeds, n_tasks"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "n_seeds, n_tasks"),
        (np.full((1, 2), np.nan), np.zeros((1, 2)), "finite"),
    ],
)
def test_unusable_comparisons_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        compare_paired(first, second)
