"""The detectors by the names that the commands use. Importing this imports neither torch nor scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopsphere.errors import ModelFileError, UnknownNameError

if TYPE_CHECKING:
    from loopsphere.detect.base import Detector

DEFAULT_DETECTOR = "deep-svdd"
"""Of `fit`: it needs embeddings alone."""
WITH_ATTRIBUTES = "+attributes"
SCAN_DETECTOR = DEFAULT_DETECTOR + WITH_ATTRIBUTES
"""Of `scan`, which has the files at hand and can measure them."""


@dataclass(frozen=True)
class DetectorSpec:
    """How to make one detector.

    Attributes
    ----------
    module, class_name : str
        Where the estimator is defined.
    summary : str
        One line for people.
    params : dict
        Constructor arguments that the name stands for.
    uses_attributes : bool
        Whether the embeddings are followed by attributes; see `loopsphere.detect.WithAttributes`.
    """

    module: str
    class_name: str
    summary: str
    params: Mapping[str, Any] = field(default_factory=dict)
    uses_attributes: bool = False

    def load_class(self) -> type[Detector]:
        """Import the estimator's module and return the class."""
        loaded: type[Detector] = getattr(import_module(self.module), self.class_name)
        return loaded


_SVDD = "loopsphere.detect.deep.svdd"
_BASELINES = "loopsphere.detect.baselines"

DETECTORS: dict[str, DetectorSpec] = {
    "deep-svdd": DetectorSpec(_SVDD, "DeepSVDD", "Deep SVDD, residual network", {"network": "residual"}),
    "deep-svdd-autoencoder": DetectorSpec(
        _SVDD, "DeepSVDD", "Deep SVDD, autoencoder", {"network": "autoencoder"}
    ),
    "deep-svdd-paper": DetectorSpec(
        _SVDD,
        "DeepSVDD",
        "Deep SVDD, residual autoencoder with the paper's settings",
        {"network": "residual", "preset": "paper"},
    ),
    "deep-svdd-autoencoder-paper": DetectorSpec(
        _SVDD,
        "DeepSVDD",
        "Deep SVDD, autoencoder with the paper's settings",
        {"network": "autoencoder", "preset": "paper"},
    ),
    "deep-sad": DetectorSpec("loopsphere.detect.deep.sad", "DeepSAD", "Deep SAD, with a few named loops"),
    "ensemble": DetectorSpec(
        "loopsphere.detect.ensemble",
        "Ensemble",
        "Deep SVDD, PCA, k-nearest and Mahalanobis together",
    ),
    "isolation-forest": DetectorSpec(
        "loopsphere.detect.isolation_forest", "IsolationForest", "Isolation Forest"
    ),
    "pca": DetectorSpec(_BASELINES, "PCAReconstruction", "Reconstruction error of 95 % principal components"),
    "knn": DetectorSpec(_BASELINES, "KNearest", "Cosine distance to the three nearest loops"),
    "mahalanobis": DetectorSpec(_BASELINES, "Mahalanobis", "Mahalanobis distance, Ledoit-Wolf covariance"),
    "one-class-svm": DetectorSpec(_BASELINES, "OneClassSVM", "One-class support vector machine"),
    "distance-to-mean": DetectorSpec(_BASELINES, "DistanceToMean", "Distance to the mean"),
}


def detector_spec(name: str) -> DetectorSpec:
    """Return what a name stands for: an entry of `DETECTORS`, alone or with "+attributes" behind it.

    Raises
    ------
    UnknownNameError
        There is no such detector; the message lists those that exist.
    """
    base = name.removesuffix(WITH_ATTRIBUTES)
    if base not in DETECTORS:
        raise UnknownNameError(
            f"there is no detector {name!r}; there are {', '.join(sorted(DETECTORS))}, "
            f"each also with {WITH_ATTRIBUTES} behind it"
        )
    if base == name:
        return DETECTORS[name]
    return DetectorSpec(
        "loopsphere.detect.with_attributes",
        "WithAttributes",
        f"{DETECTORS[base].summary}, and attributes",
        {"base": base},
        uses_attributes=True,
    )


def make_detector(
    name: str,
    *,
    random_state: int | None = None,
    device: str = "cpu",
    n_attributes: int = 0,
    holds_odd: bool = False,
) -> Detector:
    """Make an unfitted detector.

    Parameters
    ----------
    name : str
        As for `detector_spec`.
    random_state : int or None, default=None
        Seed, for those that have one.
    device : str, default="cpu"
        Where networks train, as torch spells it; the others ignore it.
    n_attributes : int, default=0
        How many the columns end with, for those that use attributes; the others ignore it.
    holds_odd : bool, default=False
        Whether odd loops may be among those that it will learn from, for those that learn otherwise then.

    Raises
    ------
    UnknownNameError
        There is no such detector; the message lists those that exist.
    """
    spec = detector_spec(name)
    detector = spec.load_class()(**spec.params)
    settings = {
        "random_state": random_state,
        "device": device,
        "n_attributes": n_attributes,
        "holds_odd": holds_odd,
    }
    params = detector.get_params(deep=False)
    detector.set_params(**{name: value for name, value in settings.items() if name in params})
    return detector


def detector_from_state(
    name: str, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.generic]]
) -> Detector:
    """Rebuild the fitted detector `name` from what its `get_state` returned.

    Raises
    ------
    UnknownNameError
        There is no such detector; the message lists those that exist.
    ModelFileError
        The state is damaged or belongs to another detector; the message names what is wrong.
    """
    spec = detector_spec(name)
    detector = spec.load_class().from_state(header, arrays)
    params = detector.get_params(deep=False)
    for param, value in spec.params.items():
        if params[param] != value:
            raise ModelFileError(f"damaged detector: {name} has {param}={value!r}, not {params[param]!r}")
    return detector
