"""Isolation Forest: scikit-learn grows the trees, plain arrays keep and score them."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval

from loopsphere.detect.base import ArrayField, Detector, Field, Float64Array, NumberField
from loopsphere.errors import ModelFileError

_LEAF = -1
_CELLS_AT_ONCE = 1_000_000


class IsolationForest(Detector):
    """Isolation Forest: odd loops are cut off by few random splits.

    Equal to `sklearn.ensemble.IsolationForest` with the same seed; the forest is kept as arrays, so that it
    can be stored without pickle, and it is scored from these arrays before and after storing.

    Parameters
    ----------
    n_estimators : int, default=100
        Trees.
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    feature_, left_, right_ : int32 ndarray of shape (n_nodes,)
        The split feature and the children of each node of all trees; children are -1 at a leaf.
    threshold_ : float64 ndarray of shape (n_nodes,)
        A loop whose feature is at most this goes left.
    path_length_ : float64 ndarray of shape (n_nodes,)
        Splits from the root, plus the expected further splits among the loops of a leaf.
    roots_ : int32 ndarray of shape (n_estimators,)
        The first node of each tree.
    mean_path_length_ : float
        The expected path length of an average loop, which normalises the score.
    offset_ : float

    References
    ----------
    Liu, Ting and Zhou 2008, 'Isolation Forest', ICDM, sections 3 and 4.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        contamination: float = 0.05,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.contamination = contamination
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        from sklearn.ensemble import IsolationForest as Grower

        grower = Grower(n_estimators=self.n_estimators, random_state=self.random_state).fit(X)
        trees = [tree.tree_ for tree in grower.estimators_]
        sizes = np.array([tree.node_count for tree in trees])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.roots_ = starts.astype(np.int32)
        self.feature_ = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
        self.threshold_ = np.concatenate([tree.threshold for tree in trees])
        self.left_, self.right_ = (
            np.concatenate(
                [
                    np.where(child == _LEAF, _LEAF, child + start)
                    for child, start in zip(children, starts, strict=True)
                ]
            ).astype(np.int32)
            for children in ([t.children_left for t in trees], [t.children_right for t in trees])
        )
        counts = np.concatenate([tree.n_node_samples for tree in trees])
        self.path_length_ = self._depths() + _expected_path_length(counts)
        self.mean_path_length_ = float(_expected_path_length(np.array([grower.max_samples_]))[0])

    def _depths(self) -> Float64Array:
        """Return the number of splits above each node, level by level."""
        depths = np.zeros(len(self.feature_))
        level = self.roots_
        depth = 0
        while level.size:
            depths[level] = depth
            level = np.concatenate([self.left_[level], self.right_[level]])
            level = level[level != _LEAF]
            depth += 1
        return depths

    def _score(self, X: Float64Array) -> Float64Array:
        # Trees are grown on float32, so loops must be compared as float32 too.
        narrow = np.clip(X, np.finfo(np.float32).min, np.finfo(np.float32).max).astype(np.float32)
        rows_at_once = max(1, _CELLS_AT_ONCE // len(self.roots_))
        total = np.concatenate(
            [
                self._total_path_length(narrow[start : start + rows_at_once])
                for start in range(0, len(X), rows_at_once)
            ]
        )
        if self.mean_path_length_ == 0:
            return np.full(len(X), -0.5)
        scores: Float64Array = -(2.0 ** (-total / (len(self.roots_) * self.mean_path_length_)))
        return scores

    def _total_path_length(self, X: npt.NDArray[np.float32]) -> Float64Array:
        """Return the sum over trees of each row's path length, shape (n_loops,)."""
        node = np.broadcast_to(self.roots_, (len(X), len(self.roots_))).copy()
        row = np.arange(len(X))[:, None]
        inner = self.left_[node] != _LEAF
        while inner.any():
            goes_left = X[row, np.where(inner, self.feature_[node], 0)] <= self.threshold_[node]
            child = np.where(goes_left, self.left_[node], self.right_[node])
            node = np.where(inner, child, node)
            inner = self.left_[node] != _LEAF
        total: Float64Array = self.path_length_[node].sum(axis=1)
        return total

    def _state_fields(self) -> tuple[Field, ...]:
        return (
            ArrayField("roots_", "int32", ("n_trees",)),
            ArrayField("feature_", "int32", ("n_nodes",)),
            ArrayField("threshold_", "float64", ("n_nodes",)),
            ArrayField("left_", "int32", ("n_nodes",)),
            ArrayField("right_", "int32", ("n_nodes",)),
            ArrayField("path_length_", "float64", ("n_nodes",)),
            NumberField("mean_path_length_", float, 0.0),
        )

    def _check_state(self) -> None:
        index = np.arange(len(self.left_))
        is_leaf = self.left_ == _LEAF
        inner = ~is_leaf
        problems = {
            "there is no tree": len(self.roots_) == 0 or len(index) == 0,
            "a root lies outside the forest": bool(((self.roots_ < 0) | (self.roots_ >= len(index))).any()),
            "a leaf has a child": bool((self.right_[is_leaf] != _LEAF).any()),
            "a split feature is unknown": bool(
                ((self.feature_[inner] < 0) | (self.feature_[inner] >= self.n_features_in_)).any()
            ),
            # Children that come after their parent cannot form a circle.
            "a child lies outside its tree": any(
                bool(((child[inner] <= index[inner]) | (child[inner] >= len(index))).any())
                for child in (self.left_, self.right_)
            ),
        }
        for problem, found in problems.items():
            if found:
                raise ModelFileError(f"damaged detector: {problem}")


def _expected_path_length(n_loops: npt.NDArray[Any]) -> Float64Array:
    """Return the mean depth of an unsuccessful search in a random tree of each size (Liu et al., eq. 1)."""
    sizes = n_loops.astype(np.float64)
    large = np.maximum(sizes, 3.0)
    formula = 2.0 * (np.log(large - 1.0) + np.euler_gamma) - 2.0 * (large - 1.0) / large
    result: Float64Array = np.where(sizes <= 1, 0.0, np.where(sizes == 2, 1.0, formula))
    return result
