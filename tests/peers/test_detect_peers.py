"""Our baselines and p-values against scikit-learn, SciPy and brute force."""

import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest as SklearnIsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM as SklearnOneClassSVM

from loopsphere.detect import IsolationForest, KNearest, Mahalanobis, OneClassSVM, PCAReconstruction
from loopsphere.learning.calibrate import benjamini_hochberg, conformal_p_values


@pytest.fixture(params=[(30, 80), (400, 24)], ids=["fewer-loops-than-features", "more-loops"])
def data(request):
    n_loops, dimension = request.param
    rng = np.random.default_rng(n_loops)
    mixing = rng.normal(size=(dimension, dimension)) * np.geomspace(1, 0.01, dimension)[:, None]
    X = rng.normal(size=(n_loops, dimension)) @ mixing + rng.normal(size=dimension)
    return X, X[:20] + rng.normal(size=(20, dimension))


def test_isolation_forest_equals_scikit_learn(data):
    X, fresh = data
    ours = IsolationForest(random_state=3).fit(X)
    theirs = SklearnIsolationForest(random_state=3).fit(X)
    assert ours.score_samples(fresh) == pytest.approx(theirs.score_samples(fresh), abs=1e-10)
    assert ours.score_samples(X) == pytest.approx(theirs.score_samples(X), abs=1e-10)


def test_pca_equals_scikit_learns_inverse_transform(data):
    X, fresh = data
    scaler = StandardScaler().fit(X)
    pca = PCA(0.95, svd_solver="full").fit(scaler.transform(X))
    standard = scaler.transform(fresh)
    error = np.sum((standard - pca.inverse_transform(pca.transform(standard))) ** 2, axis=1)
    ours = PCAReconstruction().fit(X)
    assert len(ours.components_) == pca.n_components_
    assert -ours.score_samples(fresh) == pytest.approx(error, rel=1e-8)


def test_mahalanobis_equals_scikit_learns_ledoit_wolf(data):
    X, fresh = data
    scaler = StandardScaler().fit(X)
    theirs = LedoitWolf(assume_centered=True).fit(scaler.transform(X))
    ours = Mahalanobis().fit(X)
    assert -ours.score_samples(fresh) == pytest.approx(theirs.mahalanobis(scaler.transform(fresh)), rel=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_knn_equals_scikit_learn(data, metric, k):
    X, fresh = data
    distances, _ = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(X).kneighbors(fresh)
    ours = KNearest(n_neighbors=k, metric=metric).fit(X)
    assert -ours.score_samples(fresh) == pytest.approx(distances.mean(axis=1), rel=1e-8)


def test_one_class_svm_equals_scikit_learn(data):
    X, fresh = data
    scaler = StandardScaler().fit(X)
    theirs = SklearnOneClassSVM(nu=0.1, gamma="scale").fit(scaler.transform(X))
    ours = OneClassSVM(nu=0.1).fit(X)
    expected = theirs.score_samples(scaler.transform(fresh))
    assert ours.score_samples(fresh) == pytest.approx(expected, abs=1e-10)


def test_p_values_equal_their_definition_and_scipys_rank():
    rng = np.random.default_rng(0)
    calibration, scores = rng.normal(size=57).round(1), rng.normal(size=40).round(1)
    p = conformal_p_values(scores, calibration)
    brute = [(1 + sum(c >= s for c in calibration)) / 58 for s in scores]
    assert p == pytest.approx(brute, abs=1e-12)
    ranked = [1 - stats.percentileofscore(calibration, s, kind="strict") / 100 for s in scores]
    assert p == pytest.approx((1 + 57 * np.array(ranked)) / 58, abs=1e-12)


def test_grouped_p_values_are_the_mean_over_draws_of_one_loop_a_group():
    rng = np.random.default_rng(1)
    groups = np.array([0, 0, 0, 1, 1, 2])
    calibration = rng.normal(size=6)
    score = 0.1
    draws = [
        (1 + sum(c >= score for c in (calibration[i], calibration[j], calibration[5]))) / 4
        for i in range(3)
        for j in (3, 4)
    ]
    assert conformal_p_values([score], calibration, groups) == pytest.approx([np.mean(draws)])


@pytest.mark.parametrize("seed", range(5))
def test_benjamini_hochberg_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    p = np.concatenate([rng.uniform(size=50), rng.uniform(size=20) * 0.01])
    assert np.array_equal(benjamini_hochberg(p, 0.1), stats.false_discovery_control(p, method="bh") <= 0.1)
