"""Oddness on a common scale: ranks among loops that a detector did not see, as normal quantiles."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from loopsphere.detect.base import Float64Array

MAX_QUANTILES = 101


def rank_reference(oddness: Float64Array, n_quantiles: int) -> Float64Array:
    """Return evenly spaced quantiles of oddness, ascending; shape (n_quantiles,)."""
    return np.quantile(oddness, (np.arange(n_quantiles) + 0.5) / n_quantiles)


def normal_quantiles(oddness: Float64Array, reference: Float64Array) -> Float64Array:
    """Return each oddness as a normal quantile by its rank in the reference.

    Parameters
    ----------
    oddness : float64 ndarray of shape (n_loops,)
    reference : float64 ndarray of shape (n_quantiles,)
        From `rank_reference`.

    Returns
    -------
    quantiles : float64 ndarray of shape (n_loops,)
        Beyond the ends of the reference the scale goes on linearly, so that two very odd loops still differ.
    """
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
