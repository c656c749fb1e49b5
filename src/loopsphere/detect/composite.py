"""Detectors that are made of others: the state of all in one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from loopsphere.detect.base import Arrays, Detector, Header
from loopsphere.errors import ModelFileError


class Composite(Detector):
    """Base of detectors that hold fitted ones in `members_`."""

    members_: list[Detector]

    @abstractmethod
    def _member_classes(self) -> tuple[type[Detector], ...]:
        """Return the classes of `members_`, by the parameters."""

    def _member_width(self) -> int:
        """Return how many columns the members see."""
        return self.n_features_in_

    def get_state(self) -> tuple[Header, Arrays]:
        """Return the state of the detector and of its members; see `Detector.get_state`."""
        header, arrays = super().get_state()
        header["members"] = []
        for index, member in enumerate(self.members_):
            member_header, member_arrays = member.get_state()
            header["members"].append(member_header)
            arrays.update({f"{index}/{name}": array for name, array in member_arrays.items()})
        return header, arrays

    @classmethod
    def from_state(cls, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Rebuild a fitted detector and its members; see `Detector.from_state`."""
        if not isinstance(header, Mapping) or not isinstance(arrays, Mapping):
            raise ModelFileError("damaged detector: the state is not two mappings")
        own = {name: array for name, array in arrays.items() if "/" not in str(name)}
        composite = super().from_state({k: v for k, v in header.items() if k != "members"}, own)
        classes = composite._member_classes()
        member_headers = header.get("members")
        if not isinstance(member_headers, list) or len(member_headers) != len(classes):
            raise ModelFileError(f"damaged detector: members are not {len(classes)} headers")
        prefixes = [f"{index}/" for index in range(len(classes))]
        members = [
            member_class.from_state(
                member_header,
                {
                    name[len(prefix) :]: array
                    for name, array in arrays.items()
                    if str(name).startswith(prefix)
                },
            )
            for member_class, member_header, prefix in zip(classes, member_headers, prefixes, strict=True)
        ]
        strays = [name for name in arrays if name not in own and not str(name).startswith(tuple(prefixes))]
        if strays:
            raise ModelFileError(f"damaged detector: arrays hold unknown {', '.join(map(repr, strays))}")
        if any(member.n_features_in_ != composite._member_width() for member in members):
            raise ModelFileError("damaged detector: members differ in n_features_in")
        composite.members_ = members
        return composite


def check_references(reference: npt.NDArray[np.float64]) -> None:
    """Refuse loaded rank references, shape (n_scales, n_quantiles), that no fit makes."""
    if reference.shape[1] == 0 or (np.diff(reference, axis=1) < 0).any():
        raise ModelFileError("damaged detector: reference_ is not ascending")
