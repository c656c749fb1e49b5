"""A scan that was made before: its scores come back without learning, and only where nothing has changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from loopsphere.collection import attributes
from loopsphere.collection.embedding import embed
from loopsphere.learning import from_embeddings as pipeline
from loopsphere.learning.features import measured_for
from loopsphere.learning.run_cache import run_key
from loopsphere.library import Library, open_library
from loopsphere.settings import Settings
from loopsphere.types import EmbedResult, ScoreResult

DETECTOR = "pca+attributes"


@pytest.fixture(scope="module")
def folder(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "drums"
    shutil.copytree(collection / "drums", folder)
    return folder


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    return open_library(folder / ".loopsphere")


@pytest.fixture(scope="module")
def embedded(folder: Path, library: Library) -> EmbedResult:
    return embed(folder, library=library)


@pytest.fixture(scope="module")
def first(embedded: EmbedResult, library: Library) -> ScoreResult:
    return pipeline.scan_embeddings(embedded, detector=DETECTOR, settings=Settings(library=library))


def test_the_second_scan_learns_and_opens_nothing(embedded, library, first, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not needed")

    for name in ("recording_again", "read_music_tags"):
        monkeypatch.setattr(attributes, name, refuse)
    monkeypatch.setattr(pipeline, "Learner", refuse)
    assert pipeline.scan_embeddings(embedded, detector=DETECTOR, settings=Settings(library=library)) == first


def test_a_run_is_known_by_all_that_decides_it(embedded, first) -> None:
    groups = pipeline.duplicate_groups(embedded)

    def key(detector: str = DETECTOR, seed: int = 0) -> str:
        return run_key(embedded, groups, detector, seed, "auto")

    assert key() == key()
    assert len({key(), key(seed=1), key("pca"), run_key(embedded, groups[::-1], DETECTOR, 0, "auto")}) == 4
    # A tag may have changed in a file that is younger; without attributes it would not matter.
    before = key(), key("pca")
    os.utime(embedded.paths[0], (1, 1))
    after = key(), key("pca")
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)


def test_a_run_with_a_loop_that_was_replaced_is_not_kept(folder, tmp_path, monkeypatch) -> None:
    loops, library = tmp_path / "loops", open_library(tmp_path / ".loopsphere")
    shutil.copytree(folder, loops, ignore=shutil.ignore_patterns(".loopsphere"))
    embedded = embed(loops, library=library)
    first, other = (Path(path) for path in embedded.paths[:2])
    content = first.read_bytes()
    status = first.stat()

    def replaced_meanwhile(*arguments: Any, **named: Any) -> Any:
        first.write_bytes(other.read_bytes())
        return measured_for(*arguments, **named)

    with monkeypatch.context() as context:
        context.setattr(pipeline, "measured_for", replaced_meanwhile)
        pipeline.scan_embeddings(embedded, detector=DETECTOR, settings=Settings(library=library))
    first.write_bytes(content)
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = pipeline.scan_embeddings(embedded, detector=DETECTOR, settings=Settings(library=library))
    assert again == pipeline.scan_embeddings(embedded, detector=DETECTOR)
