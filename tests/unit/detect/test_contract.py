"""What holds for every detector: scikit-learn's contract, states, seeds, sizes and refusals."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from loopsphere.detect import (
    DETECTORS,
    DeepSAD,
    DeepSVDD,
    DistanceToMean,
    Ensemble,
    IsolationForest,
    KNearest,
    Mahalanobis,
    OneClassSVM,
    PCAReconstruction,
    PoorFitWarning,
    WithAttributes,
    detector_from_state,
    make_detector,
)
from loopsphere.errors import LoopsphereError, ModelFileError, UnknownNameError

NAMES = [*sorted(DETECTORS), "pca+attributes", "deep-sad+attributes"]
FEW_EPOCHS = 3


def quick(name, random_state=0):
    """A detector that trains for a few epochs: enough for everything but quality."""
    detector = make_detector(name, random_state=random_state)
    if "max_epochs" in detector.get_params():
        detector.set_params(max_epochs=FEW_EPOCHS)
    return detector


@pytest.fixture(autouse=True)
def _short_training_may_learn_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)
        yield


def loops(n_loops=60, dimension=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_loops, 4)) @ rng.normal(size=(4, dimension)) + 0.1 * rng.normal(
        size=(n_loops, dimension)
    )


@parametrize_with_checks(
    [
        DistanceToMean(),
        IsolationForest(n_estimators=10),
        KNearest(),
        Mahalanobis(),
        OneClassSVM(),
        PCAReconstruction(),
        DeepSVDD(max_epochs=FEW_EPOCHS),
        DeepSVDD(max_epochs=FEW_EPOCHS, network="autoencoder"),
        DeepSVDD(max_epochs=FEW_EPOCHS, preset="paper"),
        DeepSAD(max_epochs=FEW_EPOCHS),
        WithAttributes(base="pca"),
    ]
)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([Ensemble()])
def test_scikit_learns_contract_of_the_ensemble(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", NAMES)
def test_state_through_json_scores_bit_identically(name):
    fitted = quick(name).fit(loops())
    header, arrays = fitted.get_state()
    loaded = detector_from_state(name, json.loads(json.dumps(header, allow_nan=False)), dict(arrays))
    fresh = loops(seed=1)
    assert np.array_equal(loaded.score_samples(fresh), fitted.score_samples(fresh))
    assert np.array_equal(loaded.predict(fresh), fitted.predict(fresh))
    assert all(array.dtype.kind in "fi" for array in arrays.values())
    again_header, again_arrays = loaded.get_state()
    assert again_header == header
    assert all(np.array_equal(again_arrays[key], arrays[key]) for key in arrays)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_scores_and_global_generators_untouched(name):
    import torch

    X = loops()
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    first, second = (quick(name).fit(X).score_samples(X) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (7, 40), (25, 8)])
def test_small_collections_of_any_shape_get_finite_scores(name, shape):
    X = loops(*shape)
    scores = quick(name).fit(X).score_samples(loops(*shape, seed=2))
    assert scores.shape == (shape[0],)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_and_constant_features_are_tolerated(name):
    X = np.repeat(loops(4, 10), 5, axis=0)
    X[:, 3] = 7.0
    X[:, 4] = 0.0
    detector = quick(name).fit(X)
    assert np.isfinite(detector.score_samples(X + 0.1)).all()
    alike = quick(name).fit(np.full((6, 5), 2.0))
    assert np.isfinite(alike.score_samples(np.full((2, 5), 2.0))).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_far_from_all_others_is_the_oddest(name):
    X = loops(80, 16)
    far = np.random.default_rng(3).normal(size=(1, 16)) * 50
    detector = quick(name) if name.endswith("paper") else make_detector(name, random_state=0)
    scores = detector.fit(X).score_samples(np.vstack([X[:40], far]))
    assert np.argmin(scores) == 40


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, bad):
    X = loops()
    broken = X.copy()
    broken[3, 4] = bad
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        quick(name).fit(broken)
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        quick(name).fit(X).score_samples(broken)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_any_dtype_is_taken_as_its_float64_values(dtype):
    X = (loops() * 10).astype(dtype)
    for name in ("deep-svdd", "pca", "isolation-forest"):
        scores = quick(name).fit(X).score_samples(X)
        assert scores.dtype == np.float64
        assert np.array_equal(scores, quick(name).fit(X.astype(np.float64)).score_samples(X))


def test_an_unknown_detector_is_named_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="'deep-sdvv'; there are deep-sad, deep-svdd"):
        make_detector("deep-sdvv", random_state=0)
    with pytest.raises(UnknownNameError, match="there is no detector"):
        detector_from_state("", {}, {})


def test_the_state_of_another_detector_is_refused():
    header, arrays = quick("deep-svdd-autoencoder").fit(loops()).get_state()
    with pytest.raises(ModelFileError, match="network='residual', not 'autoencoder'"):
        detector_from_state("deep-svdd", header, arrays)
    with pytest.raises(ModelFileError, match="class is 'DeepSVDD', not 'KNearest'"):
        detector_from_state("knn", header, arrays)


def _replace(mapping, key, value):
    return {**mapping, key: value}


@pytest.mark.parametrize("name", NAMES)
def test_every_array_is_checked_on_loading(name):
    header, arrays = quick(name).fit(loops()).get_state()
    for key, array in arrays.items():
        without = {k: v for k, v in arrays.items() if k != key}
        broken_arrays = [
            without,
            _replace(arrays, key, array.astype(np.complex128)),
            _replace(arrays, key, array[None]),
            _replace(arrays, key, np.zeros((0,) * array.ndim, dtype=array.dtype)),
            _replace(arrays, key, array.tolist()),
        ]
        if array.dtype.kind == "f" and array.size:
            broken_arrays.append(_replace(arrays, key, np.full_like(array, np.nan)))
        for broken in broken_arrays:
            if all(
                isinstance(v, np.ndarray)
                and v.dtype == arrays.get(k, v).dtype
                and np.array_equal(v, arrays[k])
                for k, v in broken.items()
            ) and set(broken) == set(arrays):
                continue  # an array that was empty already
            with pytest.raises(ModelFileError):
                detector_from_state(name, header, broken)
    with pytest.raises(ModelFileError, match="unknown"):
        detector_from_state(name, header, _replace(arrays, "stray", np.zeros(1)))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_the_header_is_checked_on_loading(name):
    header, arrays = quick(name).fit(loops()).get_state()
    numbers, params = header["numbers"], header["params"]
    broken_headers = [
        {},
        [],
        None,
        *({k: v for k, v in header.items() if k != key} for key in header),
        *(_replace(header, key, value) for key in header for value in (None, "x", -1, [], {"a": 1})),
        *(
            _replace(header, "numbers", _replace(numbers, key, value))
            for key in numbers
            for value in (None, "1", True, float("nan"), float("inf"), 10**400)
        ),
        _replace(header, "params", _replace(params, "contamination", 0.9)),
        _replace(header, "params", _replace(params, "contamination", [1])),
        _replace(header, "params", _replace(params, "__class__", "x")),
    ]
    if name != "isolation-forest":  # trees that use few features fit loops with more
        broken_headers.append(_replace(header, "n_features_in", 10**9))
    for broken in broken_headers:
        with pytest.raises(LoopsphereError):
            detector_from_state(name, broken, arrays)


def test_importing_the_package_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys, loopsphere.detect as d; assert not {'torch', 'sklearn'} & set(sys.modules);"
        "d.KNearest; assert 'torch' not in sys.modules; d.DeepSVDD;"
        "print(sorted(d.DETECTORS)[0], hasattr(d, 'Nothing'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["deep-sad", "False"]
