"""The learnt metric: directions in which neighbours differ count less, the others more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from loopsphere.detect.base import Float64Array
from loopsphere.detect.deep.spheres import nearest_others

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
    # Fewer loops than dimensions span a space of their own, where the scatter is smaller.
    basis = _row_space(latent - latent.mean(axis=0)) if len(latent) <= latent.shape[1] else None
    variances, vectors = np.linalg.eigh(_neighbour_scatter(latent if basis is None else latent @ basis.T))
    kept = variances > np.finfo(np.float64).eps * len(variances) * max(variances[-1], 0.0)
    if not kept.any():
        return np.empty((0, latent.shape[1]), dtype=np.float32), np.empty(0)
    variances, axes = variances[kept], vectors.T[kept]
    if basis is not None:
        axes = axes @ basis
    floor = SHRINKAGE * variances.mean()
    return axes.astype(np.float32), np.sqrt(floor / (variances + floor))


def measured(latent: Float64Array, axes: npt.NDArray[np.float32], gains: Float64Array) -> Float64Array:
    """Return the loops in the learnt metric; same shape."""
    if not gains.size:
        return latent
    directions = axes.astype(np.float64)
    if len(latent) < len(axes):
        shrunk: Float64Array = latent + (latent @ directions.T * (gains - 1.0)) @ directions
        return shrunk
    change = (directions.T * (gains - 1.0)) @ directions  # of many loops, the cheaper way
    change[np.diag_indices_from(change)] += 1.0
    return latent @ change


def _row_space(centred: Float64Array) -> Float64Array:
    """Return orthonormal rows that span those of `centred`, which are no more than its columns."""
    # Centred rows add up to zero: the last one adds no direction.
    return np.linalg.qr(centred[:-1].T)[0].T


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
