import numpy as np
import pytest

from loopsphere.evaluate.false_alarms import false_alarm_rates, quantile_p_values


def split_conformal(learnt, groups, fresh, seed):
    """The score is the first column; ranks against loops that nothing was fitted on are exact."""
    calibration = np.sort(learnt[:, 0])
    n_at_least = calibration.size - np.searchsorted(calibration, fresh[:, 0], side="left")
    return (1 + n_at_least) / (calibration.size + 1)


def always_alarmed(learnt, groups, fresh, seed):
    return np.zeros(len(fresh))


def bonferroni(p_values, alpha):
    return p_values <= alpha / p_values.size


@pytest.fixture
def loops():
    return np.random.default_rng(0).normal(size=(150, 2))


def test_exact_p_values_realise_alpha(loops):
    results = false_alarm_rates(loops, {"split": split_conformal}, reject=bonferroni, n_splits=200)
    for result in results:
        assert result.n_learnt == 105
        assert abs(result.per_loop.mean - result.alpha) < 0.01
        assert result.per_loop.n == 200
        assert result.per_loop_sd > 0
        assert result.pack_share.mean <= result.alpha + 0.02


def test_too_few_loops_cannot_raise_an_alarm_at_a_small_alpha(loops):
    results = false_alarm_rates(
        loops, {"split": split_conformal}, reject=bonferroni, sizes=[10, 60, 5000], alphas=[0.05], n_splits=60
    )
    assert [result.n_learnt for result in results] == [10, 60, 105]
    assert results[0].per_loop.mean == 0.0
    assert results[1].per_loop.mean > 0.02
    assert results[0].per_loop_in_pack == 0.0


def test_calibrators_are_told_apart(loops):
    calls = []
    results = false_alarm_rates(
        loops,
        {"split": split_conformal, "alarmed": always_alarmed},
        reject=bonferroni,
        alphas=[0.1],
        n_splits=4,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(i, 8) for i in range(1, 9)]
    assert [result.calibrator for result in results] == ["split", "alarmed"]
    alarmed = results[1]
    assert alarmed.per_loop.mean == alarmed.pack_share.mean == alarmed.per_loop_in_pack == 1.0


def test_groups_and_duplicates_stay_on_one_side(loops):
    loops[75:] = loops[:75]
    groups = np.arange(150) // 5

    def check(learnt, learnt_groups, fresh, seed):
        assert not {row.tobytes() for row in learnt} & {row.tobytes() for row in fresh}
        assert np.unique(learnt_groups).size < learnt_groups.size
        return np.ones(len(fresh))

    results = false_alarm_rates(loops, {"check": check}, reject=bonferroni, groups=groups, n_splits=5)
    assert results[0].n_learnt % 10 == 0


def test_the_same_seed_gives_the_same_rates(loops):
    first, again = (
        false_alarm_rates(loops, {"split": split_conformal}, reject=bonferroni, n_splits=9, seed=4)
        for _ in range(2)
    )
    assert first == again


def test_the_plain_quantile_counts_the_training_scores_at_or_above():
    assert quantile_p_values([1.0, 2.0, 2.0, 4.0], [0.0, 2.0, 3.0, 5.0]).tolist() == [1.0, 0.75, 0.25, 0.0]


def test_the_plain_quantile_flags_what_lies_above_the_quantile_of_the_training_scores():
    rng = np.random.default_rng(0)
    train, fresh = rng.normal(size=200), rng.normal(size=500)
    flagged = quantile_p_values(train, fresh) <= 0.05
    np.testing.assert_array_equal(flagged, fresh > np.sort(train)[-11])
