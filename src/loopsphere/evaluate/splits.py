"""Random splits that keep the loops of a group, and exact duplicates, on one side."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

IntArray = npt.NDArray[np.intp]
Embedding = npt.NDArray[np.floating[Any]]


def duplicate_groups(embedding: Embedding, groups: npt.ArrayLike | None = None) -> IntArray:
    """Number the groups of loops that must stay on one side of a split.

    Loops with the same embedding, to the last bit, are one group. Where `groups` is given, groups that
    share such a loop are merged, so a pack that was copied into another counts as part of it.

    Parameters
    ----------
    embedding : ndarray of shape (n_loops, embedding_dim)
    groups : array-like of shape (n_loops,) or None
        Names or numbers of packs, players or patterns.

    Returns
    -------
    int ndarray of shape (n_loops,)
        From 0, in order of first appearance.

    Raises
    ------
    ValueError
        `embedding` is not 2-D, or `groups` has another length.
    """
    if embedding.ndim != 2:
        raise ValueError(f"embedding must be 2-D, not of shape {embedding.shape}")
    n_loops = embedding.shape[0]
    component = np.unique(embedding, axis=0, return_inverse=True)[1].reshape(-1)
    if groups is not None:
        names = np.asarray(groups)
        if names.shape != (n_loops,):
            raise ValueError(f"groups has shape {names.shape}, expected ({n_loops},)")
        component = _merged(component, np.unique(names, return_inverse=True)[1].reshape(-1))
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    order = np.empty(first.size, dtype=np.intp)
    order[np.argsort(first)] = np.arange(first.size)
    return order[inverse]


def group_split(
    groups: npt.ArrayLike, *, test_fraction: float, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Split loops at random so that each group falls on one side.

    Whole groups are drawn, each as likely as any other whatever its size: conformal guarantees need
    groups that are exchangeable. The share of loops held out is therefore exact only for groups of one.

    Parameters
    ----------
    groups : array-like of shape (n_loops,)
    test_fraction : float
        Share of groups held out, in (0, 1); at least one is, and at least one is not.
    rng : numpy.random.Generator

    Returns
    -------
    train, test : int ndarrays
        Sorted positions; neither is empty.

    Raises
    ------
    ValueError
        `test_fraction` is outside (0, 1), or there are fewer than two groups.
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be in (0, 1), not {test_fraction}")
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if names.size < 2:
        raise ValueError(f"a split by group needs two groups or more, found {names.size}")
    n_test = min(max(round(test_fraction * names.size), 1), names.size - 1)
    is_test = np.isin(member, rng.permutation(names.size)[:n_test])
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _merged(first: IntArray, second: IntArray) -> IntArray:
    """Number the loops so that two that share a number in `first` or in `second` share theirs."""
    # Loops are edges between a node of `first` and one of `second`; connected nodes belong together.
    n_first = int(first.max(initial=-1)) + 1
    n_nodes = n_first + int(second.max(initial=-1)) + 1
    edges = coo_array((np.ones(first.size), (first, second + n_first)), shape=(n_nodes, n_nodes))
    node_component = connected_components(edges, directed=False)[1]
    return np.asarray(node_component[first], dtype=np.intp)
