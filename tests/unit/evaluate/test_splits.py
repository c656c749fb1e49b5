import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopsphere.evaluate.splits import duplicate_groups, group_split


def test_exact_duplicates_are_one_group():
    embedding = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [1.0, 2.0 + 1e-12]])
    assert duplicate_groups(embedding).tolist() == [0, 1, 0, 2]


def test_groups_that_share_a_duplicate_are_merged():
    embedding = np.arange(6.0)[:, None].copy()
    embedding[4] = embedding[1]
    groups = ["pack a", "pack a", "pack b", "pack b", "pack c", "pack c"]
    assert duplicate_groups(embedding, groups).tolist() == [0, 0, 1, 1, 0, 0]


def test_merging_goes_over_several_steps():
    embedding = np.array([[0.0], [1.0], [1.0], [2.0], [2.0], [3.0]])
    assert duplicate_groups(embedding, ["a", "a", "b", "b", "c", "d"]).tolist() == [0, 0, 0, 0, 0, 1]


def test_groups_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        duplicate_groups(np.zeros((3, 2)), ["a", "b"])


def test_an_embedding_that_is_not_2_d_is_refused():
    with pytest.raises(ValueError, match="must be 2-D"):
        duplicate_groups(np.zeros(3))


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(lambda groups: len(set(groups)) > 1),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 1000),
)
def test_a_split_covers_all_loops_and_breaks_no_group(groups, fraction, seed):
    train, test = group_split(groups, test_fraction=fraction, rng=np.random.default_rng(seed))
    assert sorted([*train, *test]) == list(range(len(groups)))
    assert train.size and test.size
    assert not set(np.take(groups, train)) & set(np.take(groups, test))


def test_single_loops_are_split_to_the_loop():
    train, test = group_split(np.arange(53), test_fraction=0.3, rng=np.random.default_rng(0))
    assert (train.size, test.size) == (37, 16)


def test_each_group_is_held_out_as_often_whatever_its_size():
    groups = np.repeat(np.arange(4), [1, 2, 10, 30])
    rng = np.random.default_rng(0)
    held_out = np.zeros(4)
    for _ in range(2000):
        _, test = group_split(groups, test_fraction=0.25, rng=rng)
        held_out[np.unique(groups[test])] += 1
    assert np.all(np.abs(held_out / 2000 - 0.25) < 0.03)


def test_one_group_cannot_be_split():
    with pytest.raises(ValueError, match="two groups or more, found 1"):
        group_split(["a", "a"], test_fraction=0.5, rng=np.random.default_rng(0))


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="test_fraction must be in"):
        group_split([0, 1], test_fraction=fraction, rng=np.random.default_rng(0))
