"""Deep SAD: Deep SVDD for those who can name a few odd or a few surely normal loops."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval

from loopsphere.detect.base import ArrayField, Detector, Field, Float64Array, l2_normalised
from loopsphere.detect.deep.hypersphere import Hypersphere
from loopsphere.detect.deep.metric import measured
from loopsphere.detect.deep.spheres import nearest_offsets

ODD_PULL = 2.0
_LARGEST_PULL = 50.0


class DeepSAD(Hypersphere):
    """Deep semi-supervised anomaly detection with the residual network of `DeepSVDD`.

    Known odd loops are pushed away from the centre while all others are gathered around it. A few of them
    hardly teach a network, so the score also grows for loops that leave their nearest sphere the way that a
    known odd loop does: the squared distance is multiplied by the exponential of twice that step, in radii,
    averaged over the known odd loops and never negative.

    Parameters
    ----------
    eta : float, default=1.0
        Weight of the known loops against the unlabelled ones.
    max_epochs : int or None, default=None
        None leaves it to n; 0 keeps the untrained network.
    holds_odd : bool, default=False
        Whether there may be odd loops among those that are not known to be. See `DeepSVDD`.
    contamination : float, default=0.05
        The share of the fitted loops, known odd ones left out, that `predict` calls odd.
    device : str, default="cpu"
        Where to train, as torch spells it.
    random_state : int, RandomState or None, default=None
        Seed.

    Attributes
    ----------
    odd_directions_ : float32 ndarray of shape (n_odd, embedding_dim)
        Unit vectors in the learnt metric: the way of each known odd loop from its nearest sphere.
    center_, radius_, offset_, contrast_, untrained_contrast_, loss_curve_
        As for `DeepSVDD`.

    References
    ----------
    Ruff et al. 2020, 'Deep Semi-Supervised Anomaly Detection', ICLR, section 4.
    """

    scores_centre = True
    network = "residual"
    objective = "one-class"
    preset = "default"
    nu = 0.05

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "eta": [Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), None],
        "holds_odd": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        eta: float = 1.0,
        max_epochs: int | None = None,
        holds_odd: bool = False,
        contamination: float = 0.05,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.eta = eta
        self.max_epochs = max_epochs
        self.holds_odd = holds_odd
        self.contamination = contamination
        self.device = device
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        label = np.zeros(len(X)) if y is None else y.astype(np.float64)
        is_odd = label < 0
        self.odd_directions_ = np.empty((0, X.shape[1]), dtype=np.float32)
        self._fit_networks(X[~is_odd], X[is_odd], self.eta)
        if is_odd.any():
            self.odd_directions_ = l2_normalised(self._steps(self._prepared(X[is_odd]))).astype(np.float32)
            distances = self._distances(self._prepared(X[~is_odd]))
            self.radius_ = float(np.sqrt(np.quantile(distances, 1.0 - self.nu)))

    def _distances(self, prepared: Float64Array) -> Float64Array:
        distances = super()._distances(prepared)
        if not len(self.odd_directions_):
            return distances
        along = self._steps(prepared) @ self.odd_directions_.T.astype(np.float64)
        # Bounded, so that a loop far outside of everything stays a finite distance away.
        pull = np.minimum(ODD_PULL * np.maximum(along, 0.0).mean(axis=1), _LARGEST_PULL)
        pulled: Float64Array = distances * np.exp(pull)
        return pulled

    def _steps(self, prepared: Float64Array) -> Float64Array:
        """Return the way of each prepared loop from its nearest sphere, in the learnt metric and in radii."""
        latent = measured(self._latent(prepared, 0), self.metric_axes_, self.metric_gains_)
        return nearest_offsets(latent, self.spheres_.astype(np.float64), self.squared_radii_)

    def _state_fields(self) -> tuple[Field, ...]:
        return (*super()._state_fields(), ArrayField("odd_directions_", "float32", ("n_odd", "latent_dim")))
