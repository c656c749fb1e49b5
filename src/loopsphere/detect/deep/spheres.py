"""Local spheres: where loops are dense a short distance is odd, where they are sparse it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from loopsphere.detect.base import Float64Array
from loopsphere.types import Float32Array

LOOPS_PER_SPHERE = 3
NEAREST_SPHERES = 3
RADIUS_SHRINKAGE = 0.3
_ROWS_AT_ONCE = 256

_Loops = TypeVar("_Loops", Float32Array, Float64Array)


def local_spheres(latent: Float64Array, seeds: npt.NDArray[np.int64]) -> tuple[Float64Array, Float64Array]:
    """Return centre and squared radius of a sphere around each seed loop and its nearest neighbours.

    Parameters
    ----------
    latent : float64 ndarray of shape (n_loops, latent_dim)
    seeds : int64 ndarray of shape (n_spheres,)

    Returns
    -------
    centers : float64 ndarray of shape (n_spheres, latent_dim)
    squared_radii : float64 ndarray of shape (n_spheres,)
        Mean squared distance of a sphere's loops from its centre, shrunk towards the median over spheres, so
        that duplicates do not make a sphere of no size.
    """
    n_neighbors = min(LOOPS_PER_SPHERE, len(latent))
    centers = np.empty((len(seeds), latent.shape[1]))
    squared_radii = np.empty(len(seeds))
    rough = latent.astype(np.float32)  # which loops are nearest, it tells as well, in half the time
    for part, squared in _squared_distances(rough[seeds], rough):
        nearest = latent[np.argpartition(squared, n_neighbors - 1, axis=1)[:, :n_neighbors]]
        centers[part] = nearest.mean(axis=1)
        squared_radii[part] = np.mean(np.sum((nearest - centers[part, None]) ** 2, axis=2), axis=1)
    typical = float(np.median(squared_radii))
    if typical <= 0:  # duplicates everywhere: fall back on the size of the whole collection
        typical = float(np.mean(np.sum((latent - latent.mean(axis=0)) ** 2, axis=1))) or 1.0
    return centers, (1.0 - RADIUS_SHRINKAGE) * squared_radii + RADIUS_SHRINKAGE * typical


def nearest_others(loops: Float64Array, n_neighbors: int) -> npt.NDArray[np.int64]:
    """Return the nearest other loops of each loop, in no order; shape (n_loops, at most n_neighbors)."""
    n_nearest = min(n_neighbors, len(loops) - 1)
    parts = []
    rough = loops.astype(np.float32)
    for part, squared in _squared_distances(rough, rough):
        rows = np.arange(len(squared))
        squared[rows, part.start + rows] = np.inf
        parts.append(np.argpartition(squared, n_nearest - 1, axis=1)[:, :n_nearest])
    return np.concatenate(parts)


def mean_nearest_distances(
    loops: Float64Array, fitted: Float64Array, n_neighbors: int, *, without_self: bool = False
) -> Float64Array:
    """Return the mean distance from the nearest fitted loops; shape (n_loops,).

    With `without_self`, `loops` are the fitted ones, and none is its own neighbour.
    """
    n_nearest = max(1, min(n_neighbors, len(fitted) - without_self))
    parts = []
    for part, squared in _squared_distances(loops, fitted):
        if without_self and len(fitted) > 1:
            rows = np.arange(len(squared))
            squared[rows, part.start + rows] = np.inf
        nearest = np.partition(squared, n_nearest - 1, axis=1)[:, :n_nearest]
        parts.append(np.sort(np.sqrt(nearest), axis=1).mean(axis=1))
    return np.concatenate(parts)


def sphere_distances(
    latent: Float64Array, spheres: Float64Array, squared_radii: Float64Array
) -> Float64Array:
    """Return the mean squared distance, in squared radii, from the nearest spheres; shape (n_loops,)."""
    n_nearest = min(NEAREST_SPHERES, len(spheres))
    parts = []
    for _, squared in _squared_distances(latent, spheres):
        relative = squared / squared_radii
        parts.append(
            np.sort(np.partition(relative, n_nearest - 1, axis=1)[:, :n_nearest], axis=1).mean(axis=1)
        )
    return np.concatenate(parts)


def nearest_offsets(latent: Float64Array, spheres: Float64Array, squared_radii: Float64Array) -> Float64Array:
    """Return the way from the centre of the nearest sphere, in its radii, to each loop; shape of `latent`."""
    parts = []
    for part, squared in _squared_distances(latent, spheres):
        nearest = np.argmin(squared / squared_radii, axis=1)
        parts.append((latent[part] - spheres[nearest]) / np.sqrt(squared_radii[nearest, None]))
    return np.concatenate(parts) if parts else latent


def sphere_contrast(learnt_from: Float64Array, held_out: Float64Array, shuffled: Float64Array) -> float:
    """Return the median distance of held-out loops from spheres around others over that of shuffled ones."""
    spheres, squared_radii = local_spheres(learnt_from, np.arange(len(learnt_from)))
    at_home, astray = (
        float(np.median(sphere_distances(loops, spheres, squared_radii))) for loops in (held_out, shuffled)
    )
    return at_home / max(astray, 1e-30)


def _squared_distances(a: _Loops, b: _Loops) -> Iterator[tuple[slice, _Loops]]:
    """Yield the squared distances of some rows of `a` from all of `b` at a time, and which rows they are."""
    b_squared = np.einsum("ij,ij->i", b, b)
    b_turned = np.ascontiguousarray(-2.0 * b.T)
    for start in range(0, len(a), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        squared: _Loops = a[part] @ b_turned
        squared += np.einsum("ij,ij->i", a[part], a[part])[:, None]
        squared += b_squared
        yield part, np.maximum(squared, 0.0, out=squared)
