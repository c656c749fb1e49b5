"""A detector on embeddings together with what is measured of loops: each sees what the other cannot."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from loopsphere.detect.base import ArrayField, Detector, Field, Float64Array
from loopsphere.detect.composite import Composite, check_references
from loopsphere.detect.deep.spheres import mean_nearest_distances
from loopsphere.detect.held_out import out_of_fold_oddness, reference_splits
from loopsphere.detect.ranks import MAX_QUANTILES, normal_quantiles, rank_reference
from loopsphere.detect.registry import DETECTORS, detector_spec, make_detector
from loopsphere.errors import ModelFileError

N_NEIGHBORS = 3
FEWEST_KNOWN = 5
"""Fewer values of an attribute tell nothing of what is usual; it is left out."""
_USUAL = (0.05, 0.5, 0.95)
_USUAL_Z = 1.645
_NARROWEST = 0.5
_FEW_LOOPS = 45  # with so many, attributes count half
_FULL_UP_TO = 3.0
_LEFT_OUT = 1e12
_ENOUGH_UNSEEN = 40


class WithAttributes(Composite):
    """A detector on embeddings, and beside it how far a loop's attributes lie from those of other loops.

    An attribute counts by how far it lies from the median, in units of how far the fitted loops spread on
    that side; what is far out counts by its logarithm, so that no single value drowns the others. The oddness
    of the attributes is the mean distance from the three nearest fitted loops, because a collection holds
    several kinds of loops. Both oddnesses become normal quantiles by their ranks among loops that were not
    learnt from, and the score is their soft maximum, log(exp(a) + exp(w b)): to be odd in one way is enough.
    The weight w = n^3 / (n^3 + 45^3) of the attributes grows with the fitted loops, because few do not tell
    which of so many attributes are usually alike.

    Parameters
    ----------
    base : str, default="deep-svdd"
        A key of `loopsphere.detect.DETECTORS`, for the embeddings.
    n_attributes : int, default=0
        How many attributes the columns end with: first the values, in units of what is just noticeable, then
        as many columns of 1 where a value is known and 0 where it is not.
    holds_odd : bool, default=False
        Whether odd loops may be among the fitted ones. Told to the base.
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.
    device : str, default="cpu"
        Where networks train, as torch spells it.
    random_state : int, RandomState or None, default=None
        Seed.

    Attributes
    ----------
    members_ : list of one Detector
        The base, fitted on all loops.
    middle_ : float64 ndarray of shape (n_attributes,)
    spread_ : float64 ndarray of shape (2, n_attributes)
        How far the fitted loops spread below and above the middle: one standard deviation by the 5 % and 95 %
        quantiles, half of what is noticeable at least.
    places_ : float32 ndarray of shape (n_loops, n_attributes)
        The attributes of the fitted loops in these units.
    reference_ : float64 ndarray of shape (n_scales, n_quantiles)
        Quantiles of the base's oddness on loops that a copy of it did not see, and of the attributes' where
        there are any, each loop without itself; ascending.
    offset_ : float

    Notes
    -----
    Labels are passed on to the base; the attributes learn from loops that are not known to be odd.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "base": [StrOptions(set(DETECTORS))],
        "n_attributes": [Interval(Integral, 0, None, closed="left")],
        "holds_odd": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        base: str = "deep-svdd",
        n_attributes: int = 0,
        holds_odd: bool = False,
        contamination: float = 0.05,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.base = base
        self.n_attributes = n_attributes
        self.holds_odd = holds_odd
        self.contamination = contamination
        self.device = device
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        if X.shape[1] <= 2 * self.n_attributes:
            raise ValueError(f"{X.shape[1]} columns cannot end with {self.n_attributes} attributes twice")
        rng = check_random_state(self.random_state)
        is_odd = np.zeros(len(X), dtype=np.bool_) if y is None else y < 0
        embedding, attributes = X[:, : self._member_width()], X[~is_odd, self._member_width() :]
        seed = int(rng.randint(2**31 - 1))
        base = make_detector(self.base, random_state=seed, device=self.device, holds_odd=self.holds_odd)
        self.members_ = [base.fit(embedding, y)]
        self._fit_attributes(attributes)
        splits = reference_splits(np.flatnonzero(~is_odd), rng, enough=_ENOUGH_UNSEEN)
        unseen = out_of_fold_oddness(self.members_[0], embedding, splits, y)
        n_quantiles = min(MAX_QUANTILES, len(unseen))
        references = [rank_reference(unseen, n_quantiles)]
        if self.n_attributes:
            places = self.places_.astype(np.float64)
            alone = mean_nearest_distances(places, places, N_NEIGHBORS, without_self=True)
            references.append(rank_reference(alone, n_quantiles))
        self.reference_ = np.stack(references)

    def _fit_attributes(self, attributes: Float64Array) -> None:
        values, is_known = attributes[:, : self.n_attributes], attributes[:, self.n_attributes :] > 0
        self.middle_ = np.zeros(self.n_attributes)
        self.spread_ = np.full((2, self.n_attributes), _LEFT_OUT)
        for at in range(self.n_attributes):
            known = values[is_known[:, at], at]
            if len(known) >= FEWEST_KNOWN:
                low, self.middle_[at], high = np.quantile(known, _USUAL)
                sides = np.array([self.middle_[at] - low, high - self.middle_[at]]) / _USUAL_Z
                self.spread_[:, at] = np.maximum(sides, _NARROWEST)
        n_kept = len(attributes) if self.n_attributes else 0
        self.places_ = self._places(attributes[:n_kept]).astype(np.float32)

    def _places(self, attributes: Float64Array) -> Float64Array:
        """Return attributes in units of their spread, compressed; 0, as usual as can be, where unknown."""
        values, is_known = attributes[:, : self.n_attributes], attributes[:, self.n_attributes :] > 0
        away = np.where(is_known, values - self.middle_, 0.0)
        away /= np.where(away < 0, self.spread_[0], self.spread_[1])
        size = np.abs(away)
        compressed = _FULL_UP_TO * (1.0 + np.log(np.maximum(size, _FULL_UP_TO) / _FULL_UP_TO))
        places: Float64Array = np.sign(away) * np.minimum(size, compressed)
        return places

    def _score(self, X: Float64Array) -> Float64Array:
        embedding, attributes = X[:, : self._member_width()], X[:, self._member_width() :]
        quantiles = normal_quantiles(-self.members_[0].score_samples(embedding), self.reference_[0])
        if self.n_attributes:
            distances = mean_nearest_distances(
                self._places(attributes), self.places_.astype(np.float64), N_NEIGHBORS
            )
            n_loops = len(self.places_)
            weight = n_loops**3 / (n_loops**3 + _FEW_LOOPS**3)
            quantiles = np.logaddexp(quantiles, weight * normal_quantiles(distances, self.reference_[1]))
        scores: Float64Array = -quantiles
        return scores

    def _member_width(self) -> int:
        return self.n_features_in_ - 2 * self.n_attributes

    def _member_classes(self) -> tuple[type[Detector], ...]:
        return (detector_spec(self.base).load_class(),)

    def _state_fields(self) -> tuple[Field, ...]:
        n_attributes = self.n_attributes
        return (
            ArrayField("middle_", "float64", (n_attributes,)),
            ArrayField("spread_", "float64", (2, n_attributes), positive=True),
            ArrayField("places_", "float32", ("n_loops", n_attributes)),
            ArrayField("reference_", "float64", (1 + bool(n_attributes), "n_quantiles")),
        )

    def _check_state(self) -> None:
        check_references(self.reference_)
        if self._member_width() < 1 or bool(len(self.places_)) != bool(self.n_attributes):
            raise ModelFileError("damaged detector: attributes do not fit the columns")
