"""What holds for any collection."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loopsphere.detect import detector_from_state, make_detector
from loopsphere.learning.calibrate import (
    benjamini_hochberg,
    conformal_p_values,
    conformal_threshold,
    cross_conformal,
    group_folds,
)

QUICK = ["distance-to-mean", "isolation-forest", "knn", "mahalanobis", "one-class-svm", "pca"]
finite = st.floats(-1e4, 1e4, width=32)
scores = arrays(np.float64, st.integers(1, 40), elements=finite)


@st.composite
def collections(draw):
    shape = draw(st.tuples(st.integers(2, 12), st.integers(1, 6)))
    return draw(arrays(np.float32, shape, elements=st.floats(-100, 100, width=32)))


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=15, deadline=None)
@given(X=collections())
def test_scores_are_finite_and_survive_the_state(name, X):
    fitted = make_detector(name, random_state=0).fit(X)
    own = fitted.score_samples(X)
    assert np.isfinite(own).all()
    assert np.array_equal(detector_from_state(name, *fitted.get_state()).score_samples(X), own)


@pytest.mark.parametrize("name", ["knn", "mahalanobis", "pca", "distance-to-mean"])
@settings(max_examples=15, deadline=None)
@given(X=collections(), seed=st.integers(0, 99))
def test_the_order_of_the_loops_does_not_matter(name, X, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    in_order = make_detector(name).fit(X).score_samples(X)
    shuffled = make_detector(name).fit(X[order]).score_samples(X[order])
    assert shuffled == pytest.approx(in_order[order], rel=1e-4, abs=1e-6)


@given(calibration=scores, tested=scores)
def test_p_values_fall_as_scores_rise(calibration, tested):
    p = conformal_p_values(np.sort(tested), calibration)
    assert (np.diff(p) <= 0).all()
    assert ((p >= 1 / (len(calibration) + 1)) & (p <= 1)).all()


@given(calibration=scores, copies=st.integers(1, 4))
def test_copying_every_loop_of_every_group_changes_no_p_value(calibration, copies):
    groups = np.tile(np.arange(len(calibration)), copies)
    tested = np.linspace(-1e4, 1e4, 17)
    assert conformal_p_values(tested, np.tile(calibration, copies), groups) == pytest.approx(
        conformal_p_values(tested, calibration)
    )


@given(calibration=scores, alpha=st.floats(0.01, 0.99), tested=scores)
def test_the_threshold_says_what_the_p_values_say(calibration, alpha, tested):
    is_odd = conformal_p_values(tested, calibration) <= alpha
    assert np.array_equal(tested >= conformal_threshold(calibration, alpha), is_odd)


@given(p=arrays(np.float64, st.integers(0, 30), elements=st.floats(0, 1)), alpha=st.floats(0.01, 0.99))
def test_benjamini_hochberg_calls_the_smallest_and_more_at_a_larger_alpha(p, alpha):
    called = benjamini_hochberg(p, alpha)
    if called.any() and not called.all():
        assert p[called].max() < p[~called].min()
    assert (benjamini_hochberg(p, min(0.99, alpha * 1.5)) >= called).all()


@given(groups=st.lists(st.integers(0, 8), min_size=2, max_size=60), n_folds=st.integers(2, 7))
def test_folds_cover_each_loop_once_and_split_no_group(groups, n_folds):
    labels = np.array(groups)
    if len(set(groups)) < 2:
        return
    folds = group_folds(labels, n_folds, seed=0)
    assert np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(labels)))
    assert all(not set(labels[train]) & set(labels[test]) for train, test in folds)


@given(values=scores.filter(lambda values: len(values) >= 2), alpha=st.floats(0.01, 0.99))
def test_a_collection_never_has_more_odd_loops_than_alpha(values, alpha):
    result = cross_conformal(lambda _, test: values[test], np.arange(len(values)), n_folds=2)
    assert np.mean(result.p_values <= alpha) <= alpha + 1e-9
