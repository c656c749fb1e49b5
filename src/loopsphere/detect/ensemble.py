"""The strong detectors together, on a common scale."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from sklearn.base import clone
from sklearn.utils import check_random_state

from loopsphere.detect.base import ArrayField, Arrays, Detector, Field, Float64Array, Header
from loopsphere.detect.baselines import KNearest, Mahalanobis, PCAReconstruction
from loopsphere.detect.deep_svdd import DeepSVDD
from loopsphere.detect.hypersphere import PoorFitWarning
from loopsphere.errors import ModelFileError

_MEMBER_CLASSES: tuple[type[Detector], ...] = (DeepSVDD, PCAReconstruction, KNearest, Mahalanobis)
_N_QUANTILES = 101
_SMALLEST_SPLIT = 12
_ONE_SPLIT_FROM = 1000


class Ensemble(Detector):
    """Deep SVDD, PCA reconstruction, k-nearest and Mahalanobis, averaged after rank normalisation.

    Each member is fitted on all loops. Its score is turned into a normal quantile by its rank among
    out-of-fold scores, which it gets from copies of itself that did not see the ranked loops; beyond the
    oddest of these the scale goes on linearly, so that two very odd loops still differ. The ensemble's score
    is the mean quantile.

    Parameters
    ----------
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
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        contamination: float = 0.05,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.contamination = contamination
        self.device = device
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(2**31 - 1))
        self.members_: list[Detector] = [
            cls(random_state=seed, device=self.device) if cls is DeepSVDD else cls()
            for cls in _MEMBER_CLASSES
        ]
        for member in self.members_:
            member.fit(X)
        splits = _reference_splits(len(X), rng)
        n_quantiles = min(_N_QUANTILES, sum(len(held_out) for _, held_out in splits))
        at = (np.arange(n_quantiles) + 0.5) / n_quantiles
        self.reference_ = np.stack(
            [np.quantile(_out_of_fold_oddness(member, X, splits), at) for member in self.members_]
        )

    def _score(self, X: Float64Array) -> Float64Array:
        quantiles = [
            _normal_quantiles(-member.score_samples(X), reference)
            for member, reference in zip(self.members_, self.reference_, strict=True)
        ]
        scores: Float64Array = -np.mean(quantiles, axis=0)
        return scores

    def _state_fields(self) -> tuple[Field, ...]:
        return (ArrayField("reference_", "float64", (len(_MEMBER_CLASSES), "n_quantiles")),)

    def _check_state(self) -> None:
        if self.reference_.shape[1] == 0 or (np.diff(self.reference_, axis=1) < 0).any():
            raise ModelFileError("damaged detector: reference_ is not ascending")

    def get_state(self) -> tuple[Header, Arrays]:
        """Return the state of the ensemble and of its members; see `Detector.get_state`."""
        header, arrays = super().get_state()
        header["members"] = []
        for index, member in enumerate(self.members_):
            member_header, member_arrays = member.get_state()
            header["members"].append(member_header)
            arrays.update({f"{index}/{name}": array for name, array in member_arrays.items()})
        return header, arrays

    @classmethod
    def from_state(cls, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Rebuild a fitted ensemble; see `Detector.from_state`."""
        if not isinstance(header, Mapping) or not isinstance(arrays, Mapping):
            raise ModelFileError("damaged detector: the state is not two mappings")
        member_headers = header.get("members")
        if not isinstance(member_headers, list) or len(member_headers) != len(_MEMBER_CLASSES):
            raise ModelFileError(f"damaged detector: members are not {len(_MEMBER_CLASSES)} headers")
        own = {name: array for name, array in arrays.items() if "/" not in str(name)}
        ensemble = super().from_state({k: v for k, v in header.items() if k != "members"}, own)
        prefixes = [f"{index}/" for index in range(len(_MEMBER_CLASSES))]
        members = [
            member_class.from_state(
                member_header,
                {
                    name[len(prefix) :]: array
                    for name, array in arrays.items()
                    if str(name).startswith(prefix)
                },
            )
            for member_class, member_header, prefix in zip(
                _MEMBER_CLASSES, member_headers, prefixes, strict=True
            )
        ]
        strays = [name for name in arrays if name not in own and not str(name).startswith(tuple(prefixes))]
        if strays:
            raise ModelFileError(f"damaged detector: arrays hold unknown {', '.join(map(repr, strays))}")
        if any(member.n_features_in_ != ensemble.n_features_in_ for member in members):
            raise ModelFileError("damaged detector: members differ in n_features_in")
        ensemble.members_ = members
        return ensemble


def _reference_splits(
    n_loops: int, rng: np.random.RandomState
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return (train, held-out) indices: three folds, one fifth where that is plenty, all where too few."""
    order = rng.permutation(n_loops)
    if n_loops < _SMALLEST_SPLIT:
        return [(order, order)]
    parts = np.array_split(order, 5)[:1] if n_loops >= _ONE_SPLIT_FROM else np.array_split(order, 3)
    return [(np.setdiff1d(order, part), part) for part in parts]


def _out_of_fold_oddness(
    member: Detector,
    X: Float64Array,
    splits: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
) -> Float64Array:
    with warnings.catch_warnings():
        # The member itself, fitted on all loops, has already said so.
        warnings.simplefilter("ignore", PoorFitWarning)
        return np.concatenate(
            [-clone(member).fit(X[train]).score_samples(X[held_out]) for train, held_out in splits]
        )


def _normal_quantiles(oddness: Float64Array, reference: Float64Array) -> Float64Array:
    """Return each oddness as a normal quantile by its rank in the reference, linear beyond its ends."""
    n_quantiles = len(reference)
    at = (np.arange(n_quantiles) + 0.5) / n_quantiles
    quantiles = np.interp(oddness, reference, ndtri(at))
    low, middle, high = np.interp((0.1, 0.5, 0.9), at, reference)
    z_high = float(ndtri(0.9))
    for end, spread, beyond in (
        (reference[-1], high - middle, np.maximum(oddness - reference[-1], 0.0)),
        (reference[0], middle - low, np.minimum(oddness - reference[0], 0.0)),
    ):
        # A reference of equal scores has no scale to continue with.
        if spread > 1e-12 * max(abs(end), 1e-300):
            quantiles += z_high * beyond / spread
    result: Float64Array = quantiles
    return result
