"""Training trains: weights move, losses fall, the untrained network loses, failures are said."""

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from loopsphere.detect import DeepSAD, DeepSVDD, NothingLearntWarning, PoorFitWarning, make_detector
from loopsphere.detect.deep.hypersphere import no_fit_warnings
from loopsphere.detect.deep.metric import N_NEIGHBORS, SHRINKAGE, measured, neighbour_metric
from loopsphere.detect.deep.networks import Autoencoder, Perceptron, flat_layers


def curved(n_loops, seed):
    """Loops on a curved surface: 24 features bend with three hidden ones, 40 follow them straight."""
    shape = np.random.default_rng(100)
    bend, straight = shape.normal(size=(3, 24)), shape.normal(size=(3, 40))
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n_loops, 3))
    features = np.hstack([hidden @ straight, np.cos(hidden @ bend / 2)])
    return features + 0.05 * rng.normal(size=(n_loops, 64))


def planted(n_odd, seed):
    """Loops off the surface: the bent features come from another loop than the leading ones."""
    X = curved(n_odd, seed)
    X[:, 40:] = np.roll(X[:, 40:], 1, axis=0)
    return X


def auroc(detector, n=200):
    scores = -detector.score_samples(np.vstack([curved(n, 1), planted(n, 2)]))
    return roc_auc_score(np.repeat([0, 1], n), scores)


@pytest.mark.parametrize(
    ("network", "objective", "margin"),
    [
        ("residual", "one-class", 0.05),
        ("residual", "soft-boundary", 0.01),
        ("autoencoder", "one-class", 0.3),
        ("autoencoder", "soft-boundary", 0.2),
    ],
)
def test_training_beats_the_untrained_network_on_planted_anomalies(network, objective, margin):
    X = curved(400, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorFitWarning)
        trained = DeepSVDD(network=network, objective=objective, random_state=0).fit(X)
    untrained = DeepSVDD(network=network, objective=objective, random_state=0, max_epochs=0).fit(X)
    assert not np.array_equal(trained.weights_, untrained.weights_)
    assert all(curve[0] > min(curve) for curve in trained.loss_curve_)
    assert trained.contrast_ < untrained.contrast_
    assert auroc(trained) > auroc(untrained) + margin
    scores = trained.score_samples(X)
    assert scores.std() > 0.01 * abs(scores.mean())


def test_the_paper_preset_trains_the_papers_network():
    X = curved(150, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)
        fits = [
            DeepSVDD(preset="paper", network=n, max_epochs=5, random_state=0).fit(X)
            for n in ("residual", "autoencoder")
        ]
    for fitted in fits:
        assert fitted.widths_.tolist() == [64, 512, 256, 128, 64, 32]
        assert fitted.center_.shape == (1, 32)
        assert (np.abs(fitted.center_) >= 0.1 - 1e-6).all()  # the guard of Ruff et al., section 3.3
        assert fitted.unit_.tolist() == [1.0]
    assert not np.array_equal(fits[0].weights_, fits[1].weights_)


def test_scores_are_those_of_the_trained_torch_network():
    generator = torch.Generator().manual_seed(0)
    network = Perceptron([20, 16, 8, 4], generator, batch_norm=True, dropout=0.2)
    X = torch.randn(50, 20, generator=generator)
    for _ in range(5):
        network(X)  # moves the running statistics
    network.eval()
    weights, biases = flat_layers(network)
    hidden, at, bias_at = X.double().numpy(), 0, 0
    for layer, (n_in, n_out) in enumerate([(20, 16), (16, 8), (8, 4)]):
        weight = weights[at : at + n_in * n_out].reshape(n_out, n_in)
        hidden = hidden @ weight.T + biases[bias_at : bias_at + n_out]
        if layer < 2:
            hidden = np.where(hidden > 0, hidden, np.expm1(hidden))
        at, bias_at = at + n_in * n_out, bias_at + n_out
    assert hidden == pytest.approx(network(X).detach().numpy(), abs=1e-5)


def test_skips_add_the_encoders_layers_to_their_mirrors():
    X = torch.randn(6, 12, generator=torch.Generator().manual_seed(1))
    plain, skipping = (
        Autoencoder([12, 8, 4], torch.Generator().manual_seed(0), skips=skips) for skips in (False, True)
    )
    hidden, code = skipping.encoder.activations(X)
    expected = skipping.decoder.layer(1, skipping.decoder.layer(0, code) + hidden)
    assert torch.allclose(skipping(X), expected)
    assert not torch.allclose(plain(X), expected)


def test_a_fit_that_learns_nothing_says_so():
    noise = np.random.default_rng(0).normal(size=(60, 30))  # nothing predicts anything
    with pytest.warns(NothingLearntWarning, match="does not beat its own untrained network"):
        DeepSVDD(random_state=0).fit(noise)


def test_the_untrained_network_that_was_asked_for_is_no_poor_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = DeepSVDD(max_epochs=0, random_state=0).fit(np.random.default_rng(0).normal(size=(40, 10)))
    assert fitted.contrast_ == fitted.untrained_contrast_
    assert fitted.loss_curve_ == [[]]


def test_dense_and_wide_clusters_are_measured_in_their_own_radii():
    """A loop just outside a dense cluster is odder than one inside a wide cluster at the same distance."""
    rng = np.random.default_rng(0)
    dense = np.r_[[5.0, 5.0, 0, 0, 0, 0]] + 0.02 * rng.normal(size=(60, 6))
    wide = np.r_[[-5.0, 5.0, 0, 0, 0, 0]] + 0.8 * rng.normal(size=(60, 6))
    detector = DeepSVDD(max_epochs=0, random_state=0).fit(np.vstack([dense, wide]))
    beside_dense, inside_wide = detector.score_samples(
        np.array([[5.0, 5.0, 0.8, 0, 0, 0], [-5.0, 5.0, 0.8, 0, 0, 0]])
    )
    assert beside_dense < inside_wide


def clustered(n_loops, seed, oddness=0.0):
    """Loops of six packs: they differ widely inside a pack, though not in every direction."""
    shape = np.random.default_rng(100)
    packs, inside, outside = (shape.normal(size=(n, 40)) for n in (6, 5, 10))
    rng = np.random.default_rng(seed)
    loops = packs[rng.integers(6, size=n_loops)] + rng.normal(size=(n_loops, 5)) @ inside
    return loops + oddness * rng.normal(size=(n_loops, 10)) @ outside + 0.1 * rng.normal(size=(n_loops, 40))


def test_the_metric_finds_what_the_variety_of_neighbours_hides():
    X, fresh, odd = clustered(200, 0), clustered(200, 1), clustered(200, 2, oddness=0.2)
    trained, untrained = (DeepSVDD(random_state=0, max_epochs=epochs).fit(X) for epochs in (None, 0))
    assert trained.metric_gains_.size and not untrained.metric_gains_.size
    is_odd = np.repeat([0, 1], 200)
    aurocs = [
        roc_auc_score(is_odd, -detector.score_samples(np.vstack([fresh, odd])))
        for detector in (trained, untrained)
    ]
    assert aurocs[0] > aurocs[1] + 0.2


def test_the_metric_is_the_whitening_of_the_differences_between_neighbours():
    X = np.random.default_rng(0).normal(size=(40, 6)) * np.geomspace(3, 0.1, 6)
    axes, gains = neighbour_metric(X)
    nearest = np.argsort(np.sum((X[:, None] - X) ** 2, axis=2), axis=1)[:, 1 : N_NEIGHBORS + 1]
    differences = (X[:, None] - X[nearest]).reshape(-1, 6)
    scatter = differences.T @ differences / len(differences)
    floor = SHRINKAGE * np.trace(scatter) / 6
    expected = floor * np.linalg.inv(scatter + floor * np.eye(6))
    directions = axes.astype(np.float64)
    assert directions.T @ np.diag(gains**2) @ directions == pytest.approx(expected, abs=1e-5)
    assert measured(X, axes, gains) == pytest.approx(X @ directions.T @ np.diag(gains) @ directions, abs=1e-5)


def around(direction, n_loops, width, rng):
    return direction + width * rng.normal(size=(n_loops, 48))


@pytest.mark.filterwarnings("ignore::loopsphere.detect.NothingLearntWarning")
def test_strangers_of_one_kind_vouch_for_each_other_less_where_they_are_expected():
    """Each stranger is judged by a detector that learnt from the others of its kind."""
    aurocs = {}
    for holds_odd in (False, True):
        found = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            normal, strange = 8 * np.eye(48)[0], [2, 8] @ np.eye(48)[:2]
            X = np.vstack([around(normal, 30, 1.0, rng), around(strange, 6, 0.8, rng)])
            is_strange = np.arange(36) >= 30
            folds = np.arange(36) % 6
            oddness = np.empty(36)
            for fold in range(6):
                detector = DeepSVDD(holds_odd=holds_odd, random_state=0).fit(X[folds != fold])
                oddness[folds == fold] = -detector.score_samples(X[folds == fold])
            found.append(roc_auc_score(is_strange, oddness))
        aurocs[holds_odd] = np.mean(found)
    assert aurocs[True] > aurocs[False] + 0.1
    assert aurocs[True] > 0.9


@pytest.mark.filterwarnings("ignore::loopsphere.detect.NothingLearntWarning")
@pytest.mark.parametrize("name", ["deep-sad", "deep-svdd", "deep-svdd+attributes", "ensemble"])
def test_that_odd_loops_are_expected_reaches_every_hypersphere(name):
    X = np.random.default_rng(0).normal(size=(24, 8)) + 2.0
    scores = [
        make_detector(name, random_state=0, holds_odd=holds_odd).fit(X).score_samples(X)
        for holds_odd in (False, True)
    ]
    assert not np.allclose(*scores)


def test_deep_sad_learns_from_a_few_named_odd_loops():
    """Oddness that only labels can tell: a region inside the collection that someone calls odd."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8)) @ rng.normal(size=(8, 40))
    direction = X[:, :5].sum(axis=1)
    is_odd = direction > np.quantile(direction, 0.8)
    y = np.zeros(400)
    y[np.flatnonzero(is_odd)[:20]] = -1
    unlabelled, test = X[y == 0], is_odd[y == 0]
    aware = roc_auc_score(test, -DeepSAD(random_state=0).fit(X, y).score_samples(unlabelled))
    unaware = roc_auc_score(test, -DeepSVDD(random_state=0).fit(X).score_samples(unlabelled))
    assert aware > unaware + 0.05


def test_warnings_can_be_kept_back_in_one_thread_alone():
    """As copies fitted on parts are, while another fold's detector may warn."""

    def collapse():
        DeepSVDD()._warn_of_poor_fit(curved(60, 0), np.ones(60))

    def collapse_silently():
        with no_fit_warnings():
            collapse()

    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(1) as other:
        warnings.simplefilter("always")
        with no_fit_warnings():
            collapse()
            other.submit(collapse).result()
        other.submit(collapse_silently).result()
    assert [warning.category for warning in caught] == [PoorFitWarning]


def test_training_imports_neither_the_compiler_of_torch_nor_sympy():
    code = (
        "import sys, numpy as np; from loopsphere.detect import make_detector; "
        "make_detector('deep-svdd').fit(np.random.default_rng(0).normal(size=(40, 16))); "
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
