"""Quantiles of values that do not count alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def weighted_quantile(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], quantile: float
) -> float:
    """Return the lowest value up to which at least this share of the weight lies.

    Parameters
    ----------
    values, weights : float64 ndarray of shape (n_values,)
    quantile : float
        0 to 1.
    """
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(passed, quantile * passed[-1])])
