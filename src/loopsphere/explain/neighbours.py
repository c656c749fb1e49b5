"""What a loop is compared with: the normal loops that are nearest to it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loopsphere.types import Float32Array

_CHUNK = 4096
N_NEIGHBOURS = 5


def unit_rows(embedding: Float32Array) -> Float32Array:
    """Return the rows of an array of shape (n_loops, embedding_dim) at length 1; zero rows stay zero."""
    norms = np.linalg.norm(embedding, axis=1, keepdims=True)
    return np.asarray(embedding / np.maximum(norms, 1e-12), dtype=np.float32)


def nearest(
    queries: Float32Array,
    query_groups: npt.NDArray[np.int64],
    embedding: Float32Array,
    groups: npt.NDArray[np.int64],
    n_neighbours: int = N_NEIGHBOURS,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Find the nearest loops of each query by cosine distance.

    Parameters
    ----------
    queries : float32 ndarray of shape (n_queries, embedding_dim)
    query_groups : int64 ndarray of shape (n_queries,)
    embedding : float32 ndarray of shape (n_loops, embedding_dim)
        Of the normal loops. Gone through in chunks, so that memory does not grow with their number.
    groups : int64 ndarray of shape (n_loops,)
        Duplicates share a number: none is a neighbour of another, and of each group the nearest is named.
    n_neighbours : int, default=5

    Returns
    -------
    rows : int64 ndarray of shape (n_queries, n_neighbours)
        Of `embedding`, the nearest first; -1 where there are no more.
    distances : float64 ndarray of shape (n_queries, n_neighbours)
        0 to 2; infinite where there are no more.
    """
    unit_queries = unit_rows(queries)
    rows = np.full((len(queries), 0), -1, dtype=np.int64)
    distances = np.full((len(queries), 0), np.inf)
    for start in range(0, len(embedding), _CHUNK):
        part = slice(start, start + _CHUNK)
        to_part = np.clip(1.0 - (unit_queries @ unit_rows(embedding[part]).T).astype(np.float64), 0.0, 2.0)
        to_part[query_groups[:, None] == groups[part][None, :]] = np.inf
        candidates = np.broadcast_to(np.arange(start, start + to_part.shape[1]), to_part.shape)
        distances, rows = _keep_nearest(
            np.concatenate([distances, to_part], axis=1),
            np.concatenate([rows, candidates], axis=1),
            groups,
            n_neighbours,
        )
    return rows, distances


def _keep_nearest(
    distances: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    n_neighbours: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the nearest loops of each query, one of each group."""
    nearest_distances = np.full((len(distances), n_neighbours), np.inf)
    nearest_rows = np.full((len(distances), n_neighbours), -1, dtype=np.int64)
    for query, order in enumerate(np.argsort(distances, axis=1, kind="stable")):
        seen: set[int] = set()
        for column in order:
            if len(seen) == n_neighbours or not np.isfinite(distances[query, column]):
                break
            group = int(groups[rows[query, column]])
            if group not in seen:
                nearest_distances[query, len(seen)] = distances[query, column]
                nearest_rows[query, len(seen)] = rows[query, column]
                seen.add(group)
    return nearest_distances, nearest_rows
