"""The array forest refuses trees that would run in circles or outside themselves."""

import numpy as np
import pytest

from loopsphere.detect import IsolationForest
from loopsphere.errors import ModelFileError


@pytest.fixture(scope="module")
def state():
    X = np.random.default_rng(0).normal(size=(50, 4))
    return IsolationForest(n_estimators=5, random_state=0).fit(X).get_state()


@pytest.mark.parametrize(
    ("array", "node", "value", "message"),
    [
        ("left_", 0, 0, "outside its tree"),  # its own child: a circle
        ("right_", 0, 10**6, "outside its tree"),
        ("left_", 0, -2, "outside its tree"),
        ("feature_", 0, 4, "feature is unknown"),
        ("feature_", 0, -1, "feature is unknown"),
        ("roots_", 1, -1, "root lies outside"),
        ("roots_", 1, 10**6, "root lies outside"),
    ],
)
def test_a_damaged_tree_is_refused(state, array, node, value, message):
    header, arrays = state
    broken = arrays[array].copy()
    broken[node] = value
    with pytest.raises(ModelFileError, match=message):
        IsolationForest.from_state(header, {**arrays, array: broken})


def test_a_leaf_with_a_child_is_refused(state):
    header, arrays = state
    broken = arrays["right_"].copy()
    broken[np.flatnonzero(arrays["left_"] == -1)[0]] = 1
    with pytest.raises(ModelFileError, match="leaf has a child"):
        IsolationForest.from_state(header, {**arrays, "right_": broken})


def test_values_beyond_float32_are_scored_as_its_largest():
    X = np.random.default_rng(0).normal(size=(50, 4))
    forest = IsolationForest(random_state=0).fit(X)
    assert np.isfinite(forest.score_samples(np.full((1, 4), 1e300))).all()
