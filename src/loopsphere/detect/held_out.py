"""How odd loops are to a detector that did not learn from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from loopsphere.detect.base import Detector, Float64Array
from loopsphere.detect.deep.hypersphere import no_fit_warnings

_SMALLEST_SPLIT = 12

Split = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def reference_splits(
    rows: npt.NDArray[np.intp], rng: np.random.RandomState, *, enough: int = 200
) -> list[Split]:
    """Return (rows to learn from, held-out rows).

    Three folds; one fifth alone where it holds `enough` loops; all on both sides where there are too few.
    """
    order = rng.permutation(rows)
    if len(order) < _SMALLEST_SPLIT:
        return [(order, order)]
    parts = np.array_split(order, 5)[:1] if len(order) >= 5 * enough else np.array_split(order, 3)
    return [(np.setdiff1d(order, part), part) for part in parts]


def out_of_fold_oddness(
    detector: Detector, X: Float64Array, splits: list[Split], y: npt.NDArray[Any] | None = None
) -> Float64Array:
    """Return the oddness of all held-out loops, each by a copy of the detector that did not see it.

    Loops that `y` knows to be odd (below 0) are learnt from each time, and are in no split.
    """
    known_odd = np.flatnonzero(y < 0) if y is not None else np.empty(0, dtype=np.intp)
    found = []
    with no_fit_warnings():  # the detector itself, fitted on all loops, has already said so
        for train, held_out in splits:
            rows = np.concatenate([train, known_odd])
            copy = clone(detector).fit(X[rows], None if y is None else y[rows])
            found.append(-copy.score_samples(X[held_out]))
    return np.concatenate(found)
