"""The strong detectors together, on a common scale."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from loopsphere.detect.base import ArrayField, Detector, Field, Float64Array
from loopsphere.detect.baselines import KNearest, Mahalanobis, PCAReconstruction
from loopsphere.detect.composite import Composite, check_references
from loopsphere.detect.deep.svdd import DeepSVDD
from loopsphere.detect.held_out import out_of_fold_oddness, reference_splits
from loopsphere.detect.ranks import MAX_QUANTILES, normal_quantiles, rank_reference

_MEMBER_CLASSES: tuple[type[Detector], ...] = (DeepSVDD, PCAReconstruction, KNearest, Mahalanobis)


class Ensemble(Composite):
    """Deep SVDD, PCA reconstruction, k-nearest and Mahalanobis, averaged after rank normalisation.

    Each member is fitted on all loops. Its score is turned into a normal quantile by its rank among
    out-of-fold scores, which it gets from copies of itself that did not see the ranked loops; beyond the
    oddest of these the scale goes on linearly, so that two very odd loops still differ. The ensemble's score
    is the mean quantile.

    Parameters
    ----------
    holds_odd : bool, default=False
        Whether odd loops may be among the fitted ones. See `DeepSVDD`.
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.
    device : str, default="cpu"
        Where Deep SVDD trains, as torch spells it.
    random_state : int, RandomState or None, default=None
        Seed.

    Attributes
    ----------
    members_ : list of Detector
    reference_ : float64 ndarray of shape (n_members, n_quantiles)
        Evenly spaced quantiles of each member's out-of-fold oddness, ascending.
    offset_ : float
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "holds_odd": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        holds_odd: bool = False,
        contamination: float = 0.05,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.holds_odd = holds_odd
        self.contamination = contamination
        self.device = device
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(2**31 - 1))
        self.members_: list[Detector] = [
            cls(holds_odd=self.holds_odd, random_state=seed, device=self.device) if cls is DeepSVDD else cls()
            for cls in _MEMBER_CLASSES
        ]
        for member in self.members_:
            member.fit(X)
        splits = reference_splits(np.arange(len(X)), rng)
        n_quantiles = min(MAX_QUANTILES, sum(len(held_out) for _, held_out in splits))
        self.reference_ = np.stack(
            [rank_reference(out_of_fold_oddness(member, X, splits), n_quantiles) for member in self.members_]
        )

    def _score(self, X: Float64Array) -> Float64Array:
        quantiles = [
            normal_quantiles(-member.score_samples(X), reference)
            for member, reference in zip(self.members_, self.reference_, strict=True)
        ]
        scores: Float64Array = -np.mean(quantiles, axis=0)
        return scores

    def _state_fields(self) -> tuple[Field, ...]:
        return (ArrayField("reference_", "float64", (len(_MEMBER_CLASSES), "n_quantiles")),)

    def _check_state(self) -> None:
        check_references(self.reference_)

    def _member_classes(self) -> tuple[type[Detector], ...]:
        return _MEMBER_CLASSES
