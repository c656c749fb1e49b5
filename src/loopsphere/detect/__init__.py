"""Detectors: scikit-learn estimators on embeddings, `DETECTORS` by name, and states without pickle.

The estimators are imported when they are first used, so that importing this package imports neither torch
nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from loopsphere.detect.registry import (
    DEFAULT_DETECTOR,
    DETECTORS,
    SCAN_DETECTOR,
    DetectorSpec,
    detector_from_state,
    make_detector,
)

if TYPE_CHECKING:
    from loopsphere.detect.base import Detector as Detector
    from loopsphere.detect.baselines import DistanceToMean as DistanceToMean
    from loopsphere.detect.baselines import KNearest as KNearest
    from loopsphere.detect.baselines import Mahalanobis as Mahalanobis
    from loopsphere.detect.baselines import OneClassSVM as OneClassSVM
    from loopsphere.detect.baselines import PCAReconstruction as PCAReconstruction
    from loopsphere.detect.deep.hypersphere import NothingLearntWarning as NothingLearntWarning
    from loopsphere.detect.deep.hypersphere import PoorFitWarning as PoorFitWarning
    from loopsphere.detect.deep.sad import DeepSAD as DeepSAD
    from loopsphere.detect.deep.svdd import DeepSVDD as DeepSVDD
    from loopsphere.detect.ensemble import Ensemble as Ensemble
    from loopsphere.detect.isolation_forest import IsolationForest as IsolationForest
    from loopsphere.detect.with_attributes import WithAttributes as WithAttributes

_MODULES = {
    "Detector": "base",
    "DeepSAD": "deep.sad",
    "DeepSVDD": "deep.svdd",
    "DistanceToMean": "baselines",
    "Ensemble": "ensemble",
    "IsolationForest": "isolation_forest",
    "KNearest": "baselines",
    "Mahalanobis": "baselines",
    "NothingLearntWarning": "deep.hypersphere",
    "OneClassSVM": "baselines",
    "PCAReconstruction": "baselines",
    "PoorFitWarning": "deep.hypersphere",
    "WithAttributes": "with_attributes",
}

__all__ = [
    "DEFAULT_DETECTOR",
    "DETECTORS",
    "SCAN_DETECTOR",
    "DeepSAD",
    "DeepSVDD",
    "Detector",
    "DetectorSpec",
    "DistanceToMean",
    "Ensemble",
    "IsolationForest",
    "KNearest",
    "Mahalanobis",
    "NothingLearntWarning",
    "OneClassSVM",
    "PCAReconstruction",
    "PoorFitWarning",
    "WithAttributes",
    "detector_from_state",
    "make_detector",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
