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
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    directions = normalize(embedding)
    plane, share = np.zeros((len(embedding), 2)), 0.0
    if np.ptp(directions, axis=0).any():  # one loop, or copies of one, vary in nothing
        n_components = min(2, *embedding.shape)
        pca = PCA(n_components, svd_solver="full" if len(embedding) < 500 else "randomized", random_state=0)
        plane[:, :n_components] = pca.fit_transform(directions)
        share = float(pca.explained_variance_ratio_.sum())
    radius = np.linalg.norm(plane, axis=1)
    scale = max(float(np.quantile(radius, 0.8)), 1e-9)
    places = plane / scale
    drawn = np.tanh(radius / scale) / np.maximum(radius / scale, 1e-9)
    caption = (
        f"Loops that sound alike lie near each other. Two principal components, {100 * share:.0f} % of the "
        "variance; the edge is drawn inwards."
    )
    return places * drawn[:, None] * 0.96, caption
