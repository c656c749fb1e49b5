"""How one embedding is made of what two networks say, and how that is learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pretraining.joining import learn_map

import loopsphere.encoders.joining
from loopsphere.encoders.joining import JOINT_DIM, LENGTHS, join, side_by_side, taken_apart
from loopsphere.errors import CheckpointError

WIDTHS = (256, 521)


@pytest.fixture
def parts() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    htsat, classes = (rng.standard_normal((500, width)).astype(np.float32) for width in WIDTHS)
    return [htsat, np.square(classes) / 20]


def test_an_embedding_is_of_unit_length_and_does_not_depend_on_the_batch(parts: list[np.ndarray]) -> None:
    joined = join(*parts)
    assert joined.shape == (500, JOINT_DIM)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(join(*(part[:1] for part in parts)), joined[:1], atol=1e-7)


def test_the_length_of_a_part_does_not_count(parts: list[np.ndarray]) -> None:
    np.testing.assert_allclose(join(parts[0] * 3, parts[1] / 2), join(*parts), atol=1e-6)


def test_what_was_joined_comes_apart_again_but_for_what_the_map_leaves_out(parts: list[np.ndarray]) -> None:
    joined = join(*parts)
    apart = taken_apart(joined)
    assert [part.shape for part in apart] == [(500, width) for width in WIDTHS]
    np.testing.assert_allclose(join(apart[0].astype(np.float32), np.square(apart[1])), joined, atol=0.2)


def test_joining_spreads_the_parts_over_all_columns(parts: list[np.ndarray]) -> None:
    """Columns of one part alone would be blown up or lost by a detector that standardises."""
    for part in parts:
        part[:, 0] *= 5
    spread = join(*parts).std(axis=0)
    assert spread.max() < 1.5 * spread.min()


def test_a_damaged_map_is_a_checkpoint_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "joining.safetensors"
    damaged.write_bytes(b"no map")
    monkeypatch.setattr(loopsphere.encoders.joining, "JOINING_FILE", damaged)
    loopsphere.encoders.joining._learnt_map.cache_clear()
    with pytest.raises(CheckpointError, match=r"joining\.safetensors"):
        join(*(np.ones((1, width), dtype=np.float32) for width in WIDTHS))


def families_of_loops(seed: int) -> tuple[np.ndarray, list[str]]:
    """Loops of four families: two axes tell these apart, five differ more within them, the rest are noise.

    Axes lie askew, as they do in a network's output.
    """
    rng = np.random.default_rng(seed)
    family = rng.integers(0, 4, 800)
    rows = 0.5 * rng.standard_normal((800, 40))
    rows[:, :2] += 1.5 * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[family]
    rows[:, 2:7] += 3 * rng.standard_normal((800, 5))
    askew = np.linalg.qr(np.random.default_rng(9).standard_normal((40, 40)))[0]
    return rows @ askew, [f"family {number}" for number in family]


def share_of_nearest_of_own_family(rows: np.ndarray, families: list[str]) -> float:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    names = np.array(families)
    return float(np.mean(names[likeness.argmax(axis=1)] == names))


def test_the_map_brings_unseen_loops_of_one_family_together() -> None:
    learnt = learn_map(*families_of_loops(seed=0))
    assert learnt.shape == (40, JOINT_DIM)
    rows, families = families_of_loops(seed=1)
    before = share_of_nearest_of_own_family(rows, families)
    after = share_of_nearest_of_own_family(rows @ learnt, families)
    shuffled = np.random.default_rng(0).permutation(families).tolist()
    blind = learn_map(families_of_loops(seed=0)[0], shuffled)
    assert after > before + 0.05
    assert after > share_of_nearest_of_own_family(rows @ blind, families)


def test_the_map_does_not_depend_on_order_names_or_scale() -> None:
    rows, families = families_of_loops(seed=0)
    learnt = learn_map(rows, families)
    order = np.random.default_rng(3).permutation(len(rows))
    again = learn_map(7 * rows[order], [families[index].upper() for index in order])
    np.testing.assert_allclose(again, learnt, atol=1e-9)


def test_parts_lie_side_by_side_at_their_lengths(parts: list[np.ndarray]) -> None:
    pieces = np.split(side_by_side(*parts), np.cumsum(WIDTHS)[:-1], axis=1)
    for piece, length in zip(pieces, LENGTHS.values(), strict=True):
        np.testing.assert_allclose(np.linalg.norm(piece, axis=1), length, rtol=1e-6)
