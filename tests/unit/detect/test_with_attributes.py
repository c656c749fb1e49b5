"""Attributes beside embeddings: each finds what the other cannot see, and what is unknown says nothing."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from loopsphere.detect import NothingLearntWarning, WithAttributes, detector_from_state, make_detector
from loopsphere.errors import ModelFileError

N_ATTRIBUTES = 4

pytestmark = pytest.mark.filterwarnings(f"ignore::{NothingLearntWarning.__module__}.NothingLearntWarning")


def loops(n_loops, seed, *, values=None, strangeness=0.0):
    """Embeddings on three of eight directions; attributes that usually lie around 10, a few units apart."""
    shape = np.random.default_rng(100).normal(size=(4, 8))
    rng = np.random.default_rng(seed)
    embedding = 5 + rng.normal(size=(n_loops, 3)) @ shape[:3] + 0.1 * rng.normal(size=(n_loops, 8))
    drawn = 10 + 2 * rng.normal(size=(n_loops, N_ATTRIBUTES))
    measured = drawn if values is None else values(drawn)
    return np.hstack([embedding + strangeness * shape[3], measured, np.ones_like(drawn)])


def fitted(X, base="pca"):
    return make_detector(f"{base}+attributes", random_state=0, n_attributes=N_ATTRIBUTES).fit(X)


def clipped(values):
    values = values.copy()
    values[:, 2] += 40
    return values


def auroc(detector, odd):
    normal = loops(100, 1)
    return roc_auc_score(
        np.repeat([0, 1], [len(normal), len(odd)]), -detector.score_samples(np.vstack([normal, odd]))
    )


@pytest.mark.parametrize("base", ["deep-svdd", "pca", "isolation-forest", "one-class-svm"])
def test_what_only_one_of_them_sees_is_odd(base):
    detector = fitted(loops(200, 0), base)
    measured, heard = loops(50, 2, values=clipped), loops(50, 3, strangeness=4.0)
    assert auroc(detector, measured) > 0.99
    assert auroc(detector, heard) > 0.9
    blind = make_detector(base, random_state=0).fit(loops(200, 0)[:, :8])
    odd = np.vstack([loops(100, 1), measured])[:, :8]
    assert roc_auc_score(np.repeat([0, 1], [100, 50]), -blind.score_samples(odd)) < 0.65


def test_kinds_of_loops_do_not_make_what_lies_between_them_usual():
    def two_tempos(values):
        values = values.copy()
        values[:, 0] = np.where(np.arange(len(values)) % 2, 30, -30) + 0.5 * values[:, 0]
        return values

    def between(values):
        values = values.copy()
        values[:, 0] = 0.0
        return values

    detector = fitted(loops(200, 0, values=two_tempos))
    normal, odd = loops(100, 1, values=two_tempos), loops(100, 2, values=between)
    scores = -detector.score_samples(np.vstack([normal, odd]))
    assert roc_auc_score(np.repeat([0, 1], 100), scores) > 0.8


def test_an_unknown_value_says_nothing_whatever_stands_in_its_place():
    X = loops(200, 0)
    X[:, 8 + N_ATTRIBUTES + 3] = 0.0  # nobody knows the last attribute
    X[::3, 8 + N_ATTRIBUTES] = 0.0
    detector = fitted(X)
    fresh = loops(20, 1)
    fresh[:, 8 + N_ATTRIBUTES :] = 0.0
    other = fresh.copy()
    other[:, 8 : 8 + N_ATTRIBUTES] = 1e6
    assert np.array_equal(detector.score_samples(fresh), detector.score_samples(other))
    known = fresh.copy()
    known[:, 8 + N_ATTRIBUTES + 3] = 1.0  # known now, but nobody knows what is usual
    known[:, 8 + 3] = 10.0
    assert detector.score_samples(known) == pytest.approx(detector.score_samples(fresh), abs=1e-6)


def test_a_difference_below_what_is_noticeable_is_not_blown_up():
    def alike(values):
        return np.round(values / 1000) + 0.01 * values / 10

    def hardly_off(values):
        return alike(values) + 0.2

    detector = fitted(loops(200, 0, values=alike))
    odd = loops(50, 2, values=hardly_off)
    assert np.abs(detector._places(odd[:, 8:])).max() < 0.5


def test_labels_reach_the_base_and_odd_loops_are_not_learnt_from():
    X = np.vstack([loops(120, 0), loops(6, 2, values=clipped)])
    y = np.repeat([0, -1], [120, 6])
    detector = make_detector("deep-sad+attributes", random_state=0, n_attributes=N_ATTRIBUTES).fit(X, y)
    assert len(detector.places_) == 120
    assert len(detector.members_[0].odd_directions_) == 6
    assert auroc(detector, loops(50, 3, values=clipped)) > 0.9


def test_the_state_goes_through_json_and_is_checked():
    detector = fitted(loops(60, 0))
    header, arrays = detector.get_state()
    loaded = detector_from_state("pca+attributes", json.loads(json.dumps(header, allow_nan=False)), arrays)
    fresh = loops(20, 1)
    assert np.array_equal(loaded.score_samples(fresh), detector.score_samples(fresh))
    with pytest.raises(ModelFileError, match="base='knn', not 'pca'"):
        detector_from_state("knn+attributes", header, arrays)
    with pytest.raises(ModelFileError, match="attributes do not fit"):
        detector_from_state("pca+attributes", header, {**arrays, "places_": arrays["places_"][:0]})
    wider = {**header, "n_features_in": header["n_features_in"] + 1}
    with pytest.raises(ModelFileError, match="members differ in n_features_in"):
        detector_from_state("pca+attributes", wider, arrays)


def test_columns_that_cannot_hold_the_attributes_are_refused():
    with pytest.raises(ValueError, match="8 columns cannot end with 4 attributes twice"):
        WithAttributes(n_attributes=4).fit(np.zeros((5, 8)))
