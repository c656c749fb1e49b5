"""Deep SAD: Deep SVDD for those who can name a few odd or a few surely normal loops."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval

from loopsphere.detect.base import Detector, Float64Array
from loopsphere.detect.hypersphere import Hypersphere


class DeepSAD(Hypersphere):
    """Deep semi-supervised anomaly detection with the residual network of `DeepSVDD`.

    Known odd loops are pushed away from the centre while all others are gathered around it.

    Parameters
    ----------
    eta : float, default=1.0
        Weight of the known loops against the unlabelled ones.
    max_epochs : int or None, default=None
        None leaves it to n; 0 keeps the untrained network.
    contamination : float, default=0.05
        The share of the fitted loops, known odd ones left out, that `predict` calls odd.
    device : str, default="cpu"
        Where to train, as torch spells it.
    random_state : int, RandomState or None, default=None
        Seed.

    Attributes
    ----------
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
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        eta: float = 1.0,
        max_epochs: int | None = None,
        contamination: float = 0.05,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.eta = eta
        self.max_epochs = max_epochs
        self.contamination = contamination
        self.device = device
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        label = np.zeros(len(X)) if y is None else y.astype(np.float64)
        is_odd = label < 0
        self._fit_networks(X[~is_odd], X[is_odd], self.eta)
