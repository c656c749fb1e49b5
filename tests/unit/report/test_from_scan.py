"""From a scan to the page's record: what is shown of which loop, and where its sound is found."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlparse

import numpy as np
import pytest

from loopsphere.collection.copies import DuplicateResult, LikePair
from loopsphere.collection.embedding import cached_encoder, embed
from loopsphere.library import open_library
from loopsphere.report import ReportData
from loopsphere.report import from_scan as reporting
from loopsphere.report import moments as locating
from loopsphere.report.from_scan import make_report
from loopsphere.report.moments import card_numbers, locate_odd, ranges_of
from loopsphere.report.places import map_places
from loopsphere.settings import Settings
from loopsphere.types import (
    EmbedResult,
    Explanation,
    LoopScore,
    Neighbour,
    Normality,
    NormalMode,
    Reason,
    ScoreResult,
    SkippedFile,
)

ENCODER = partial(cached_encoder, "bundled", "cpu")


def refuse() -> Any:
    raise AssertionError("not needed")


@pytest.fixture(scope="module")
def embedded(collection: Path) -> EmbedResult:
    return embed(str(collection), device="cpu")


def scored(paths, n_odd: int, **changes) -> ScoreResult:
    """Scores that fall from the first path to the last."""
    loops = tuple(
        LoopScore(path, 2.0, float(len(paths) - i), (i + 1) / (len(paths) + 1), i < n_odd)
        for i, path in enumerate(paths)
    )
    return ScoreResult("bundled", "knn", 0.05, float(len(paths) - n_odd + 1), loops, **changes)


@pytest.fixture(scope="module")
def result(embedded: EmbedResult) -> ScoreResult:
    paths = embedded.paths
    brighter = Reason(
        "brightness_hz", "style", "brighter than 98 % of your loops", 3.0, 2900.0, (400.0, 1100.0)
    )
    clipped = Reason("clipped_share", "fault", "clipped for 1.2 % of its length", 2.0, 0.012, None)
    return scored(
        paths,
        2,
        skipped=(SkippedFile("half a file.wav", "truncated"),),
        notes=("with few loops, little can be promised",),
        explanations=(
            Explanation(paths[0], (brighter, clipped), (clipped,), (Neighbour(paths[30], 0.21),), {}),
        ),
        normal=Normality(
            30, 30, (paths[20],), (NormalMode(paths[21], 18),), {"brightness_hz": (400.0, 1100.0)}
        ),
    )


@pytest.fixture(scope="module")
def located(result: ScoreResult, embedded: EmbedResult):
    return locate_odd(result, embedded, ENCODER, Settings())


@pytest.fixture(scope="module")
def data(result: ScoreResult, embedded: EmbedResult, located, collection: Path) -> ReportData:
    paths = result.loops
    pair = LikePair(paths[5].path, paths[6].path, "exact", "the very same samples", 0.0, 0.0, 0, 1.0)
    return make_report(
        result,
        embedded,
        located,
        collection / "results" / "report",
        duplicates=DuplicateResult(36, ((paths[5].path, paths[6].path),), (pair,)),
        facts=[("Seed", "0")],
    )


def test_the_record_tells_what_is_known(data: ReportData) -> None:
    assert data.loops.score[0] == 36.0
    assert sorted(data.details) == list(range(12))
    first = data.details[0]
    assert first.reasons == ["brighter than 98 % of your loops", "clipped for 1.2 % of its length"]
    assert first.faults == ["clipped for 1.2 % of its length"]
    assert first.neighbours == [(30, 0.21)]
    assert not data.details[1].explained
    assert data.typical == [20]
    assert (data.modes[0].text, data.modes[0].loops) == ("18 loops like", [21])
    assert [(group.text, group.loops) for group in data.duplicates] == [("the very same samples", [5, 6])]
    assert data.skipped == [("half a file.wav", "truncated")]
    assert data.notes == ["With few loops, little can be promised."]
    assert ("Detector", "knn") in data.facts
    assert data.usual[0][1].endswith("Hz")


def test_cards_neighbours_and_typical_loops_are_carried(data: ReportData) -> None:
    assert set(data.audio) == {*range(12), 20, 30}


def test_the_others_are_found_from_where_the_page_lies(
    data: ReportData, result: ScoreResult, collection
) -> None:
    page = (collection / "results" / "report" / "index.html").as_uri()
    for path, loop in zip(data.loops.path, result.loops, strict=True):
        url = urljoin(page, data.root_url) + path
        assert Path(unquote(urlparse(url).path)).samefile(loop.path)


def test_loops_without_a_common_folder_are_linked_one_by_one(
    result: ScoreResult, embedded: EmbedResult, located, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on two drives of Windows."""

    def refuse(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", refuse)
    data = make_report(result, embedded, located, tmp_path)
    assert data.urls[3] == Path(result.loops[3].path).absolute().as_uri()
    assert data.title == "loops"


def test_odd_stretches_are_those_of_odd_loops(result: ScoreResult, located) -> None:
    found = ranges_of(result, located)
    assert set(found) == {loop.path for loop in result.loops[:2]}
    for loop in result.loops[:2]:
        assert found[loop.path] == located[loop.path].where.ranges


def test_cards_are_a_dozen_at_least_and_sixty_at_most() -> None:
    paths = [f"{i}.wav" for i in range(500)]
    assert len(card_numbers(scored(paths, 3))) == 12
    assert len(card_numbers(scored(paths, 33))) == 33
    assert len(card_numbers(scored(paths, 400))) == 60
    assert len(card_numbers(scored(paths[:5], 1))) == 5


def test_a_loop_that_is_gone_has_no_card(result: ScoreResult, embedded: EmbedResult, tmp_path: Path) -> None:
    known = replace(embedded, paths=(str(tmp_path / "gone.wav"), *embedded.paths[1:]))
    gone = scored(known.paths[:13], 1)
    found = locate_odd(gone, known, ENCODER, Settings())
    assert str(tmp_path / "gone.wav") not in found
    assert len(found) == 11
    # One normal loop is left to compare with, which is too few.
    assert all(each.where is None for each in found.values())


def test_a_loop_that_was_replaced_is_neither_shown_nor_carried(
    embedded: EmbedResult, result: ScoreResult, tmp_path: Path
) -> None:
    """Its scores and its reasons are of another sound."""
    changed = tmp_path / "changed.wav"
    shutil.copy(embedded.paths[7], changed)
    paths = (embedded.paths[0], str(changed), *embedded.paths[2:13])
    some = replace(embedded.subset(np.arange(13)), paths=paths)
    changed_since = replace(scored(paths, 1), normal=Normality(5, 5, (str(changed),), (), {}))
    data = make_report(changed_since, some, locate_odd(changed_since, some, ENCODER, Settings()), tmp_path)
    assert sorted(data.details) == [0, *range(2, 12)]
    assert data.typical == [1]
    assert 1 not in data.audio


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_loops", [1, 3, 600])
def test_copies_of_one_loop_share_a_place(n_loops: int) -> None:
    embedding = np.random.default_rng(0).standard_normal((1, 32)).astype(np.float32)
    places, _ = map_places(np.repeat(embedding, n_loops, axis=0))
    assert not places.any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_loops", [1, 2, 40, 600])
def test_the_map_lies_in_the_circle_and_keeps_kinds_apart(n_loops: int) -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(n_loops) % 2
    embedding = rng.standard_normal((n_loops, 32)) * 0.2
    embedding[:, 0] += np.where(kind, 3.0, -3.0)
    embedding[0] *= 1000
    places, caption = map_places(embedding.astype(np.float32))
    assert places.shape == (n_loops, 2)
    assert (np.linalg.norm(places, axis=1) <= 1).all()
    if n_loops >= 40:
        sides = [places[kind == k].mean(axis=0) for k in (0, 1)]
        assert np.linalg.norm(sides[0] - sides[1]) > 0.8
        assert "% of the variance" in caption


def test_a_page_is_made_again_from_what_is_remembered(
    embedded: EmbedResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = open_library(tmp_path / ".loopsphere")
    some = embedded.subset(np.arange(16))
    result = scored(some.paths, 1)
    remembering = Settings(library=library)

    def page(result: ScoreResult, encoder: Any, settings: Settings) -> ReportData:
        located = locate_odd(result, some, encoder, settings)
        return make_report(result, some, located, tmp_path, settings=settings)

    first, plain = page(result, ENCODER, remembering), page(result, ENCODER, Settings())
    # Each encoding to Opus has a serial number of its own.
    assert replace(first, audio={}) == replace(plain, audio={})
    assert set(first.audio) == set(plain.audio)
    monkeypatch.setattr(locating, "waveform_again", None)  # would raise
    monkeypatch.setattr(reporting, "waveform_again", None)
    assert page(result, refuse, remembering) == first
    # Compared with other loops, moments may be odd in other ways.
    with pytest.raises(AssertionError, match="not needed"):
        page(replace(result, loops=result.loops[:-1]), refuse, remembering)


def test_the_page_carries_what_fits_in_and_passes_over_the_long(
    result: ScoreResult, embedded: EmbedResult, located, data: ReportData, tmp_path: Path, monkeypatch
) -> None:
    size_mb = sum(map(len, data.audio.values())) / 1e6
    monkeypatch.setattr(reporting, "EMBEDDED_MB", size_mb / 2)
    length_of = dict(zip(embedded.paths, embedded.durations_s.tolist(), strict=True))
    length_of[result.loops[1].path] = 59.0
    loops = tuple(replace(loop, duration_s=length_of[loop.path]) for loop in result.loops)
    carried = make_report(replace(result, loops=loops), embedded, located, tmp_path).audio
    assert 0.25 * size_mb < sum(map(len, carried.values())) / 1e6 <= size_mb / 2
    assert {0, 2} < set(carried)
    assert 1 not in carried
