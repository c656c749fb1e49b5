"""Neighbours and prototypes of points whose layout is known."""

from __future__ import annotations

import numpy as np
import pytest

from loopsphere.explain import neighbours
from loopsphere.explain.neighbours import nearest
from loopsphere.explain.prototypes import modes, typical


@pytest.fixture
def cloud() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)


def test_nearest_are_those_of_scikit_learn(cloud, monkeypatch):
    from sklearn.neighbors import NearestNeighbors

    monkeypatch.setattr(neighbours, "_CHUNK", 64)  # several chunks
    queries = cloud[:7] + np.float32(0.1)
    rows, distances = nearest(queries, np.full(7, -1), cloud, np.arange(300), 5)
    expected, expected_rows = NearestNeighbors(n_neighbors=5, metric="cosine").fit(cloud).kneighbors(queries)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(distances, expected, atol=1e-6)


def test_a_loop_its_copies_and_copies_of_a_neighbour_are_left_out(cloud):
    doubled = np.concatenate([cloud, cloud])
    groups = np.concatenate([np.arange(300), np.arange(300)])
    rows, distances = nearest(cloud[:3], groups[:3], doubled, groups, 5)
    for query in range(3):
        found = groups[rows[query]]
        assert query not in found
        assert len(set(found)) == 5
    assert (distances > 0).all()


def test_too_few_neighbours_leave_places_empty(cloud):
    rows, distances = nearest(cloud[:1], np.array([0]), cloud[:3], np.arange(3), 5)
    assert (rows[0] >= 0).sum() == 2
    assert np.isinf(distances[0, 2:]).all()


def test_modes_are_found_and_their_prototypes_lie_within():
    rng = np.random.default_rng(1)
    centres = 5 * np.eye(12)[:3]
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    points = (centres[labels] + 0.3 * rng.standard_normal((100, 12))).astype(np.float32)
    found = modes(points)
    assert [len(mode.members) for mode in found] == [50, 30, 20]
    for mode in found:
        assert len(set(labels[mode.members])) == 1
        assert mode.prototype in mode.members


def test_one_cloud_is_one_mode(cloud):
    assert len(modes(cloud)) == 1


def test_identical_loops_and_tiny_collections_have_modes():
    assert len(modes(np.ones((5, 4), np.float32))) == 1
    assert len(modes(np.eye(2, dtype=np.float32))) >= 1


def test_the_most_typical_loops_are_in_the_dense_part():
    rng = np.random.default_rng(2)
    dense = np.array([1.0, 0, 0]) + 0.02 * rng.standard_normal((60, 3))
    spread = rng.standard_normal((60, 3))
    assert (typical(np.concatenate([spread, dense]).astype(np.float32), 5) >= 60).all()


def test_the_same_seed_gives_the_same_answer(cloud):
    assert [mode.members.tolist() for mode in modes(cloud, seed=4)] == [
        mode.members.tolist() for mode in modes(cloud, seed=4)
    ]
