"""Detectors without a network: the yardsticks that Deep SVDD has to beat."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval, StrOptions

from loopsphere.detect.base import (
    ArrayField,
    Detector,
    Field,
    Float64Array,
    NumberField,
    l2_normalised,
    principal_axes,
    standardisation,
)
from loopsphere.errors import ModelFileError

_CELLS_AT_ONCE = 20_000_000


class DistanceToMean(Detector):
    """The squared distance to the mean of the collection, over standardised features.

    Parameters
    ----------
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.

    Attributes
    ----------
    mean_, scale_ : float64 ndarray of shape (embedding_dim,)
    offset_ : float
    """

    def __init__(self, *, contamination: float = 0.05) -> None:
        self.contamination = contamination

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        self.mean_, self.scale_ = standardisation(X)

    def _score(self, X: Float64Array) -> Float64Array:
        scores: Float64Array = -np.sum(((X - self.mean_) / self.scale_) ** 2, axis=1)
        return scores

    def _state_fields(self) -> tuple[Field, ...]:
        return (
            ArrayField("mean_", "float64", ("n_features",)),
            ArrayField("scale_", "float64", ("n_features",), positive=True),
        )


class PCAReconstruction(Detector):
    """The squared error of reconstructing a loop from the leading principal components.

    Parameters
    ----------
    variance : float, default=0.95
        The share of the variance of the standardised features that the kept components explain.
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.

    Attributes
    ----------
    mean_, scale_ : float64 ndarray of shape (embedding_dim,)
    components_ : float64 ndarray of shape (n_components, embedding_dim)
        Orthonormal rows.
    offset_ : float

    Notes
    -----
    Where the kept components span the whole space (a few features without correlation), every
    reconstruction is perfect and all scores are alike.

    References
    ----------
    arXiv 2505.23784, the PCA baseline.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "variance": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, *, variance: float = 0.95, contamination: float = 0.05) -> None:
        self.variance = variance
        self.contamination = contamination

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        self.mean_, self.scale_ = standardisation(X)
        axes, variances = principal_axes((X - self.mean_) / self.scale_)
        # The tolerance keeps rounding from deciding between k and k + 1 components.
        explained = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
        n_components = int(np.searchsorted(explained, self.variance, side="right")) + 1
        # One axis at least is left out, or there would be no error to score by.
        self.components_ = axes[: min(n_components, max(self.n_features_in_ - 1, 0))]

    def _score(self, X: Float64Array) -> Float64Array:
        standard = (X - self.mean_) / self.scale_
        error = standard - standard @ self.components_.T @ self.components_
        scores: Float64Array = -np.sum(error**2, axis=1)
        return scores

    def _state_fields(self) -> tuple[Field, ...]:
        return (
            ArrayField("mean_", "float64", ("n_features",)),
            ArrayField("scale_", "float64", ("n_features",), positive=True),
            ArrayField("components_", "float64", ("n_components", "n_features")),
        )


class KNearest(Detector):
    """The mean distance to the nearest loops of the collection.

    Parameters
    ----------
    n_neighbors : int, default=3
        Nearest loops to average over; all of them where the collection has fewer.
    metric : {"cosine", "euclidean"}, default="cosine"
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd. A fitted loop is its own nearest neighbour,
        so `offset_` is stricter than the name says on new loops; calibrate on held-out ones.

    Attributes
    ----------
    loops_ : float64 ndarray of shape (n_loops, embedding_dim)
        The collection; L2-normalised for the cosine metric.
    offset_ : float

    References
    ----------
    Ramaswamy, Rastogi and Shim 2000, 'Efficient algorithms for mining outliers from large data sets'.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"cosine", "euclidean"})],
    }

    def __init__(self, *, n_neighbors: int = 3, metric: str = "cosine", contamination: float = 0.05) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.contamination = contamination

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        self.loops_ = l2_normalised(X) if self.metric == "cosine" else X.copy()

    def _score(self, X: Float64Array) -> Float64Array:
        queries = l2_normalised(X) if self.metric == "cosine" else X
        k = min(self.n_neighbors, len(self.loops_))
        rows_at_once = max(1, _CELLS_AT_ONCE // len(self.loops_))
        nearest = np.concatenate(
            [
                np.partition(self._distances(queries[start : start + rows_at_once]), k - 1, axis=1)[:, :k]
                for start in range(0, len(queries), rows_at_once)
            ]
        )
        scores: Float64Array = -np.sort(nearest, axis=1).mean(axis=1)
        return scores

    def _distances(self, queries: Float64Array) -> Float64Array:
        """Return distances of shape (n_queries, n_loops) from already normalised queries."""
        products = queries @ self.loops_.T
        if self.metric == "cosine":
            cosine_distances: Float64Array = np.maximum(1.0 - products, 0.0)
            return cosine_distances
        squared = np.sum(queries**2, axis=1)[:, None] + np.sum(self.loops_**2, axis=1) - 2.0 * products
        # Rounding leaves about this much of a distance that is really zero.
        noise = 1e-13 * (np.sum(queries**2, axis=1)[:, None] + np.sum(self.loops_**2, axis=1))
        return np.sqrt(np.where(squared > noise, squared, 0.0))

    def _state_fields(self) -> tuple[Field, ...]:
        return (ArrayField("loops_", "float64", ("n_loops", "n_features")),)

    def _check_state(self) -> None:
        if len(self.loops_) == 0:
            raise ModelFileError("damaged detector: loops_ is empty")


class Mahalanobis(Detector):
    """The squared Mahalanobis distance under the Ledoit-Wolf covariance of standardised features.

    Parameters
    ----------
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.

    Attributes
    ----------
    mean_, scale_ : float64 ndarray of shape (embedding_dim,)
    axes_ : float64 ndarray of shape (rank, embedding_dim)
        Principal axes, orthonormal rows.
    variances_ : float64 ndarray of shape (rank,)
        Shrunk variances along them.
    rest_variance_ : float
        Shrunk variance along every other direction.
    offset_ : float

    Notes
    -----
    Shrinkage moves every eigenvalue of the covariance towards their mean and leaves the axes alone, so the
    axes with variance and one number describe the whole matrix, even with fewer loops than features.

    References
    ----------
    Ledoit and Wolf 2004, 'A well-conditioned estimator for large-dimensional covariance matrices'.
    """

    def __init__(self, *, contamination: float = 0.05) -> None:
        self.contamination = contamination

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        from sklearn.covariance import ledoit_wolf_shrinkage

        self.mean_, self.scale_ = standardisation(X)
        standard = (X - self.mean_) / self.scale_
        self.axes_, variances = principal_axes(standard)
        mean_variance = float(variances.sum() / X.shape[1])
        if mean_variance == 0:  # nothing varies: plain distance to the mean
            self.variances_, self.rest_variance_ = variances, 1.0
            return
        shrinkage = float(ledoit_wolf_shrinkage(standard, assume_centered=True))
        self.variances_ = (1.0 - shrinkage) * variances + shrinkage * mean_variance
        # Without shrinkage (many loops) a direction that never varied must still not divide by zero.
        self.rest_variance_ = max(shrinkage * mean_variance, 1e-9 * mean_variance)

    def _score(self, X: Float64Array) -> Float64Array:
        standard = (X - self.mean_) / self.scale_
        along = standard @ self.axes_.T
        rest = np.sum((standard - along @ self.axes_) ** 2, axis=1)
        scores: Float64Array = -(np.sum(along**2 / self.variances_, axis=1) + rest / self.rest_variance_)
        return scores

    def _state_fields(self) -> tuple[Field, ...]:
        return (
            ArrayField("mean_", "float64", ("n_features",)),
            ArrayField("scale_", "float64", ("n_features",), positive=True),
            ArrayField("axes_", "float64", ("rank", "n_features")),
            ArrayField("variances_", "float64", ("rank",), positive=True),
            NumberField("rest_variance_", float, np.finfo(np.float64).tiny),
        )


class OneClassSVM(Detector):
    """The one-class support vector machine with a Gaussian kernel, over standardised features.

    Parameters
    ----------
    nu : float, default=0.1
        Upper bound of the share of fitted loops outside the boundary.
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.

    Attributes
    ----------
    mean_, scale_ : float64 ndarray of shape (embedding_dim,)
    support_vectors_ : float64 ndarray of shape (n_support, embedding_dim)
        Standardised.
    dual_coef_ : float64 ndarray of shape (n_support,)
    gamma_ : float
        Kernel width: exp(-gamma * squared distance).
    offset_ : float

    References
    ----------
    Schölkopf et al. 2001, 'Estimating the support of a high-dimensional distribution'.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "nu": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(self, *, nu: float = 0.1, contamination: float = 0.05) -> None:
        self.nu = nu
        self.contamination = contamination

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        from sklearn.svm import OneClassSVM as Solver

        self.mean_, self.scale_ = standardisation(X)
        standard = (X - self.mean_) / self.scale_
        variance = float(standard.var())
        self.gamma_ = 1.0 / (X.shape[1] * variance) if variance > 0 else 1.0 / X.shape[1]
        solver = Solver(nu=self.nu, gamma=self.gamma_)
        solver.random_state = 0  # else libsvm's seed, which has no effect, is drawn from NumPy's global one
        solver.fit(standard)
        self.support_vectors_ = standard[solver.support_]
        self.dual_coef_ = solver.dual_coef_.ravel()

    def _score(self, X: Float64Array) -> Float64Array:
        from sklearn.metrics.pairwise import rbf_kernel

        standard = (X - self.mean_) / self.scale_
        scores: Float64Array = (
            rbf_kernel(standard, self.support_vectors_, gamma=self.gamma_) @ self.dual_coef_
        )
        return scores

    def _state_fields(self) -> tuple[Field, ...]:
        return (
            ArrayField("mean_", "float64", ("n_features",)),
            ArrayField("scale_", "float64", ("n_features",), positive=True),
            ArrayField("support_vectors_", "float64", ("n_support", "n_features")),
            ArrayField("dual_coef_", "float64", ("n_support",)),
            NumberField("gamma_", float, 0.0),
        )

    def _check_state(self) -> None:
        if len(self.dual_coef_) == 0:
            raise ModelFileError("damaged detector: dual_coef_ is empty")
