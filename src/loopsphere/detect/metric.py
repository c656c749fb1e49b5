"""The learnt metric: directions in which neighbours differ count less, the others more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from loopsphere.detect.base import Float64Array, principal_axes
from loopsphere.detect.spheres import nearest_others

N_NEIGHBORS = 5
SHRINKAGE = 1.0


def neighbour_metric(latent: Float64Array) -> tuple[npt.NDArray[np.float32], Float64Array]:
    """Learn by how much each direction of the latent space has to shrink.

    Parameters
    ----------
    latent : float64 ndarray of shape (n_loops, latent_dim)

    Returns
    -------
    axes : float32 ndarray of shape (n_axes, latent_dim)
        Orthonormal rows; none where neighbours do not differ.
    gains : float64 ndarray of shape (n_axes,)
        Factors in (0, 1] for the coordinates along the axes; all other directions keep theirs.

    Notes
    -----
    Of all linear maps of the same volume, the one that gathers loops most closely around their neighbours
    divides by the root of the neighbours' scatter S: it minimises the mean squared distance to the nearest
    loops, which is the objective of a Deep SVDD with many spheres, and the volume keeps it from collapsing
    them. S is shrunk towards the identity, because few loops do not tell all directions apart.

    References
    ----------
    Hatch, Kajarekar and Stolcke 2006, 'Within-class covariance normalization for SVM-based speaker
    recognition', Interspeech: the same whitening, there with labels. Ghafoori and Leckie 2020, 'Deep
    Multi-sphere Support Vector Data Description', SDM.
    """
    if len(latent) < 2:
        return np.empty((0, latent.shape[1]), dtype=np.float32), np.empty(0)
    basis, _ = principal_axes(latent - latent.mean(axis=0))
    inside = latent @ basis.T
    variances, vectors = np.linalg.eigh(_neighbour_scatter(inside))
    variances = np.maximum(variances, 0.0)
    floor = SHRINKAGE * float(variances.mean()) if variances.size else 0.0
    if floor <= 0.0:
        return np.empty((0, latent.shape[1]), dtype=np.float32), np.empty(0)
    return (vectors.T @ basis).astype(np.float32), np.sqrt(floor / (variances + floor))


def measured(latent: Float64Array, axes: npt.NDArray[np.float32], gains: Float64Array) -> Float64Array:
    """Return the loops in the learnt metric; same shape."""
    if not gains.size:
        return latent
    directions = axes.astype(np.float64)
    shrunk: Float64Array = latent + (latent @ directions.T * (gains - 1.0)) @ directions
    return shrunk


def _neighbour_scatter(loops: Float64Array) -> Float64Array:
    """Return the mean outer product of the differences between loops and their nearest others."""
    n_loops = len(loops)
    nearest = nearest_others(loops, N_NEIGHBORS)
    n_pairs = nearest.size
    links = csr_array(
        (np.ones(n_pairs), (np.repeat(np.arange(n_loops), nearest.shape[1]), nearest.ravel())),
        shape=(n_loops, n_loops),
    )
    links = links + links.T
    # The graph's Laplacian gives the sum over all pairs without listing their differences.
    degrees: Float64Array = np.asarray(links.sum(axis=1)).ravel()
    scatter: Float64Array = loops.T @ (degrees[:, None] * loops - links @ loops) / n_pairs
    return (scatter + scatter.T) / 2.0
