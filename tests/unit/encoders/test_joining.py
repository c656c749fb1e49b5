"""How one embedding is made of what two networks say, and how that is learnt."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pretraining import joining
from pretraining.joining import learn_joining, learn_map
from safetensors.numpy import load_file, save_file

import loopsphere.encoders.joining
from loopsphere.encoders.joining import (
    DIMS,
    JOINING_FILE,
    JOINT_DIM,
    LENGTHS,
    heard,
    join,
    mapped,
    parts_of,
    probabilities_of_families,
    side_by_side,
)
from loopsphere.errors import CheckpointError

WIDTHS = (256, 521, 1024)


@pytest.fixture
def parts() -> list[np.ndarray]:
    """What networks might say: HTS-AT's output, and YAMNet's two, which are not negative."""
    rng = np.random.default_rng(0)
    htsat, *tagged = (rng.standard_normal((500, width)).astype(np.float32) for width in WIDTHS)
    return [htsat, *(np.square(part) / 20 for part in tagged)]


def test_an_embedding_is_of_unit_length_and_does_not_depend_on_the_batch(parts: list[np.ndarray]) -> None:
    joined = join(*parts)
    assert joined.shape == (500, JOINT_DIM)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(join(*(part[:1] for part in parts)), joined[:1], atol=1e-7)


def test_the_length_of_a_part_does_not_count(parts: list[np.ndarray]) -> None:
    np.testing.assert_allclose(join(parts[0] * 3, parts[1] / 2, parts[2] * 7), join(*parts), atol=1e-6)


def test_what_was_joined_comes_apart_again_but_for_what_the_map_leaves_out(parts: list[np.ndarray]) -> None:
    joined = join(*parts)
    apart = parts_of(joined)
    together = np.split(side_by_side(*parts), np.cumsum([*DIMS.values()])[:-1], axis=1)
    assert [part.shape for part in apart] == [(500, width) for width in DIMS.values()]
    for name, found, put in zip(DIMS, apart, together, strict=True):
        cosines = (found * put).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(put, axis=1)
        assert np.median(cosines) > 0.75, name
    again = join(apart[0].astype(np.float32), np.square(apart[1]), parts[2])
    np.testing.assert_allclose(again, joined, atol=0.2)


def test_what_yamnet_tells_classes_from_counts_for_families_alone(parts: list[np.ndarray]) -> None:
    htsat, classes, features = parts
    one, other = side_by_side(htsat, classes, features), side_by_side(htsat, classes, features[::-1])
    n_own = DIMS["htsat"] + DIMS["classes"]
    np.testing.assert_array_equal(one[:, :n_own], other[:, :n_own])
    assert np.abs(one[:, n_own:] - other[:, n_own:]).max() > 0.05


def test_joining_spreads_the_parts_over_all_columns() -> None:
    """Columns of one part alone would be blown up or lost by a detector that standardises."""
    rng = np.random.default_rng(0)
    rows = []
    for name, width in DIMS.items():
        part = rng.standard_normal((500, width))
        part[:, 0] *= 5
        if name == "families":  # as sure as probabilities may be, of any of them
            part = np.sqrt(rng.dirichlet(np.ones(width), 500))
        rows.append(LENGTHS[name] * part / np.linalg.norm(part, axis=1, keepdims=True))
    spread = mapped(np.concatenate(rows, axis=1)).std(axis=0)
    assert spread.max() < 1.5 * spread.min()


@pytest.fixture
def other_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where the joining is read from instead."""
    path = tmp_path / "joining.safetensors"
    monkeypatch.setattr(loopsphere.encoders.joining, "JOINING_FILE", path)
    loopsphere.encoders.joining._learnt.cache_clear()
    yield path
    loopsphere.encoders.joining._learnt.cache_clear()


def test_a_damaged_joining_is_a_checkpoint_error(other_file: Path, parts: list[np.ndarray]) -> None:
    other_file.write_bytes(b"no map")
    with pytest.raises(CheckpointError, match=r"joining\.safetensors"):
        join(*parts)


def test_a_joining_of_other_networks_is_refused(other_file: Path, parts: list[np.ndarray]) -> None:
    stored = load_file(JOINING_FILE)
    save_file(stored | {"map": stored["map"][:-1]}, other_file)
    with pytest.raises(CheckpointError, match=r"map in .* has shape \(792, 512\), not \(793, 512\)"):
        join(*parts)


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
    pieces = np.split(side_by_side(*parts), np.cumsum([*DIMS.values()])[:-1], axis=1)
    for piece, length in zip(pieces, LENGTHS.values(), strict=True):
        np.testing.assert_allclose(np.linalg.norm(piece, axis=1), length, rtol=1e-6)


def loops_heard(seed: int) -> tuple[np.ndarray, list[str]]:
    """What the networks might say of loops of four families, each with a direction of its own."""
    rng = np.random.default_rng(seed)
    family = rng.integers(0, 4, 300)
    marks = np.random.default_rng(5).standard_normal((4, sum(WIDTHS)))
    said = rng.standard_normal((300, sum(WIDTHS))) + 0.25 * marks[family]
    htsat, *tagged = np.split(said.astype(np.float32), np.cumsum(WIDTHS)[:-1], axis=1)
    return heard(htsat, *(np.exp(part) for part in tagged)), [f"family {number}" for number in family]


def test_learning_learns_to_tell_unseen_loops_families() -> None:
    rows, families = loops_heard(seed=0)
    unseen, theirs = loops_heard(seed=1)
    learnt = learn_joining(rows, families)
    # HTS-AT, classes and four families
    assert learnt.map.shape == (256 + 521 + 4, JOINT_DIM)
    names = np.unique(families)
    found = probabilities_of_families(unseen, learnt.families_weight, learnt.families_bias)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.mean(names[found.argmax(axis=1)] == theirs) > 0.9

    shuffled = np.random.default_rng(0).permutation(families).tolist()
    blind = learn_joining(rows, shuffled)
    guessed = probabilities_of_families(unseen, blind.families_weight, blind.families_bias)
    assert np.mean(names[guessed.argmax(axis=1)] == theirs) < 0.5


def test_shards_are_named_after_all_that_renders() -> None:
    folder = Path(joining.__file__).parent
    waiting, found = ["render"], set()
    while waiting:
        module = waiting.pop()
        found.add(module)
        tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        here = {name.removeprefix("pretraining.") for name in names if name.startswith("pretraining.")}
        waiting += here - found
    # What comes after the sound: bytes of the pool, the teacher's ears, processes.
    after = {"quantise", "teacher", "musicnn", "workers"}
    assert found - after == set(joining._RENDERERS)
