"""The map: a place for each loop, alike ones near each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loopsphere.types import Float32Array


def map_places(embedding: Float32Array) -> tuple[npt.NDArray[np.float64], str]:
    """Lay loops out within the unit circle so that alike ones lie near each other.

    Parameters
    ----------
    embedding : float32 ndarray of shape (n_loops, embedding_dim)

    Returns
    -------
    places : float64 ndarray of shape (n_loops, 2)
        The first two principal components of the embeddings' directions. Far ones are drawn inwards, so that
        a single stranger does not press all others into the middle.
    caption : str
    """
    lengths = np.linalg.norm(embedding, axis=1, keepdims=True)
    directions = embedding / np.maximum(lengths, 1e-12)
    plane, share = _first_plane(directions.astype(np.float64))
    radius = np.linalg.norm(plane, axis=1)
    scale = max(float(np.quantile(radius, 0.8)), 1e-9)
    places = plane / scale
    drawn = np.tanh(radius / scale) / np.maximum(radius / scale, 1e-9)
    caption = (
        f"Loops that sound alike lie near each other. Two principal components, {100 * share:.0f} % of the "
        "variance; the edge is drawn inwards."
    )
    return places * drawn[:, None] * 0.96, caption


def _first_plane(rows: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the first two principal components, (n_rows, 2), and their share of the variance.

    The axes are turned so that each has its largest weight above zero.
    """
    # Not scikit-learn's: to import it takes longer than all else that a page of known loops needs.
    centred = rows - rows.mean(axis=0)
    is_wide = centred.shape[0] < centred.shape[1]
    # Of the two products, which have the same eigenvalues, the smaller one.
    variances, axes = np.linalg.eigh(centred @ centred.T if is_wide else centred.T @ centred)
    total = float(variances.sum())
    if total <= len(rows) * 1e-12:  # one loop, or copies of one, vary in nothing
        return np.zeros((len(rows), 2)), 0.0
    if is_wide:
        axes = centred.T @ (axes / np.sqrt(np.maximum(variances, total * 1e-12)))
    axes = axes[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    plane = np.zeros((len(rows), 2))
    plane[:, : axes.shape[1]] = centred @ axes
    return plane, float(variances[:-3:-1].sum()) / total
