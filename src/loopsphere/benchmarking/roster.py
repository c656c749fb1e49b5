"""The detectors that are compared: ours, the same networks untrained, and PyOD's as peers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from loopsphere.detect import DETECTORS, make_detector
from loopsphere.detect.registry import WITH_ATTRIBUTES
from loopsphere.errors import MissingExtraError, UnknownNameError
from loopsphere.evaluate.protocols import Detector, DetectorFactory
from loopsphere.evaluate.splits import Embedding
from loopsphere.learning.features import N_ATTRIBUTES

UNTRAINED = " (untrained)"
_SVDD_NAMES = tuple(name for name in DETECTORS if name.startswith("deep-svdd"))
# Deep SAD learns from named odd loops, which no protocol here gives away.
_UNSUPERVISED = tuple(name for name in DETECTORS if name != "deep-sad")
_PYOD = {
    "pyod-deep-svdd": ("pyod.models.deep_svdd", "DeepSVDD"),
    "pyod-ecod": ("pyod.models.ecod", "ECOD"),
    "pyod-lof": ("pyod.models.lof", "LOF"),
}
# The default of `scan`, and the same with other detectors for the embeddings.
_MEASURED = ("deep-svdd", "deep-svdd-autoencoder", "knn", "pca", "isolation-forest")
_MEASURING = tuple(name + WITH_ATTRIBUTES for name in _MEASURED)
ROSTER = (*_UNSUPERVISED, *_MEASURING, *(name + UNTRAINED for name in _SVDD_NAMES), *_PYOD)


class PyODDetector:
    """One of PyOD's detectors with its own defaults and scikit-learn's signs.

    Parameters
    ----------
    module, class_name : str
        Where PyOD defines it.
    seed : int
        Passed on where the detector takes a seed.
    """

    def __init__(self, module: str, class_name: str, seed: int) -> None:
        self.module = module
        self.class_name = class_name
        self.seed = seed

    def fit(self, X: Embedding, y: None = None) -> Self:
        """Learn from normal loops, shape (n_loops, embedding_dim).

        Raises
        ------
        MissingExtraError
            PyOD is not installed.
        """
        try:
            detector_class = getattr(import_module(self.module), self.class_name)
        except ImportError as error:
            raise MissingExtraError("PyOD is needed for this: pip install 'loopsphere[peers]'") from error
        given = {"n_features": X.shape[1], "random_state": self.seed, "verbose": 0}
        accepted = inspect.signature(detector_class).parameters
        self.detector_: Any = detector_class(**{name: given[name] for name in given if name in accepted})
        self.detector_.fit(np.asarray(X, dtype=np.float64))
        return self

    def score_samples(self, X: Embedding) -> npt.NDArray[np.float64]:
        """Return the negative of PyOD's score, float64 of shape (n_loops,): higher is more normal."""
        scores = self.detector_.decision_function(np.asarray(X, dtype=np.float64))
        return -np.asarray(scores, dtype=np.float64)


def default_roster() -> tuple[str, ...]:
    """Return the names of all detectors that can run here; PyOD's only where it is installed."""
    has_pyod = find_spec("pyod") is not None
    return tuple(name for name in ROSTER if has_pyod or name not in _PYOD)


def uses_attributes(name: str) -> bool:
    """Tell whether a detector of `ROSTER` judges attributes beside embeddings."""
    return name in _MEASURING


def make_roster(names: Sequence[str]) -> dict[str, DetectorFactory]:
    """Return name -> callable that makes a fresh detector from a seed.

    Parameters
    ----------
    names : sequence of str
        Of `ROSTER`.

    Raises
    ------
    UnknownNameError
        There is no such detector; the message lists those that exist.
    """
    unknown = [name for name in names if name not in ROSTER]
    if unknown:
        raise UnknownNameError(
            f"there is no detector {unknown[0]!r} to compare; there are {', '.join(ROSTER)}"
        )
    return {name: partial(_make, name) for name in names}


def _make(name: str, seed: int) -> Detector:
    if name in _PYOD:
        module, class_name = _PYOD[name]
        return PyODDetector(module, class_name, seed)
    detector = make_detector(name.removesuffix(UNTRAINED), random_state=seed, n_attributes=N_ATTRIBUTES)
    if name.endswith(UNTRAINED):
        detector.set_params(max_epochs=0)
    return detector
