"""The verbs, on rendered loops and the bundled encoder."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import loopsphere as ls
from loopsphere.detect import PoorFitWarning, make_detector
from loopsphere.errors import (
    CalibrationError,
    CheckpointError,
    ModelFileError,
    NothingUsableError,
    UnknownNameError,
)
from loopsphere.learning.from_embeddings import fit_embeddings, scan_embeddings
from loopsphere.settings import Settings
from loopsphere.types import EmbedResult, ScoreResult

FAST = "mahalanobis"


@pytest.fixture(scope="module")
def embedded(collection: Path) -> EmbedResult:
    return ls.embed(collection)


@pytest.fixture(scope="module")
def scanned(collection: Path) -> ScoreResult:
    return ls.scan(collection, detector=FAST, alpha=0.1)


def test_embed_finds_every_loop_in_order(collection, embedded):
    assert list(embedded.paths) == sorted(map(str, collection.rglob("*.wav")))
    assert embedded.embedding.shape == (len(embedded.paths), 512)
    assert embedded.embedding.dtype == np.float32
    assert embedded.skipped == ()
    for path, duration in zip(embedded.paths, embedded.durations_s, strict=True):
        assert duration == pytest.approx(sf.info(path).duration)


def test_embedding_does_not_depend_on_the_company(collection, embedded):
    one = ls.embed([embedded.paths[7]])
    cosine = (one.embedding[0] / np.linalg.norm(one.embedding[0])) @ (
        embedded.embedding[7] / np.linalg.norm(embedded.embedding[7])
    )
    assert cosine == pytest.approx(1.0, abs=1e-5)


def test_scan_ranks_every_loop_once(collection, scanned, embedded):
    assert {loop.path for loop in scanned.loops} == set(embedded.paths)
    scores = [loop.anomaly_score for loop in scanned.loops]
    assert scores == sorted(scores, reverse=True)
    p_values = [loop.p_value for loop in scanned.loops]
    assert p_values == sorted(p_values)
    assert sum(loop.is_odd for loop in scanned.loops) == 3  # a tenth of 36, rounded down
    assert all(loop.is_odd == (loop.anomaly_score >= scanned.threshold) for loop in scanned.loops)


def test_scan_is_repeatable_and_seeded(collection, scanned, embedded):
    assert ls.scan(collection, detector=FAST, alpha=0.1) == scanned
    other = scan_embeddings(embedded, detector=FAST, alpha=0.1, settings=Settings(seed=1))
    assert other.loops != scanned.loops


def test_scan_scores_with_detectors_that_never_saw_the_loop(embedded):
    """A loop far from all others: fitted on it, a detector would call it nearer than cross-fitting does."""
    moved = embedded.embedding.copy()
    moved[0] += 40 * moved.std(axis=0)
    with_outlier = replace(embedded, embedding=moved)
    odd = scan_embeddings(with_outlier, detector=FAST).loops[0]
    assert odd.path == embedded.paths[0]
    seen = fit_embeddings(with_outlier, detector=FAST).judge(moved[:1], 0.05).anomaly_scores[0]
    assert odd.anomaly_score > 2 * seen


@pytest.mark.parametrize(("verb", "expected"), [(scan_embeddings, True), (fit_embeddings, False)])
def test_only_a_scan_expects_odd_loops_among_those_it_learns_from(embedded, monkeypatch, verb, expected):
    made = []

    def watched(*arguments, **settings):
        made.append(make_detector(*arguments, **settings))
        return made[-1]

    monkeypatch.setattr("loopsphere.learning.cross_fit.make_detector", watched)
    verb(embedded, detector="deep-svdd", alpha=0.1)
    assert {detector.holds_odd for detector in made} == {expected}


@pytest.mark.parametrize("detector", [FAST, "deep-svdd"])
def test_how_many_folds_are_learnt_side_by_side_does_not_count(embedded, monkeypatch, detector):
    monkeypatch.setattr("loopsphere.learning.cross_fit.n_cores", lambda: 1)
    alone = scan_embeddings(embedded, detector=detector)
    monkeypatch.setattr("loopsphere.learning.cross_fit.n_cores", lambda: 4)
    assert scan_embeddings(embedded, detector=detector) == alone


def test_what_folds_warn_of_is_noted_once(embedded, monkeypatch):
    def warning(*arguments, **settings):
        made = make_detector(*arguments, **settings)
        fit = made.fit

        def fit_with_a_warning(*data):
            warnings.warn("the loops hardly differ", PoorFitWarning, stacklevel=1)
            return fit(*data)

        made.fit = fit_with_a_warning
        return made

    monkeypatch.setattr("loopsphere.learning.cross_fit.make_detector", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = scan_embeddings(embedded, detector=FAST).notes
    assert "in 15 of 15 fits, the loops hardly differ" in notes


def test_duplicates_stay_on_one_side(embedded):
    """Copies of an odd loop make each other look normal, unless they are known to be copies."""
    moved = embedded.embedding.copy()
    moved[:9] = -moved.mean(axis=0)  # away from all loops
    as_copies = ("same",) * 9 + embedded.audio_hashes[9:]
    copies = set(embedded.paths[:9])

    def oddest(audio_hashes: tuple[str, ...]) -> set[str]:
        with_copies = replace(embedded, embedding=moved, audio_hashes=audio_hashes)
        return {loop.path for loop in scan_embeddings(with_copies, detector="knn").loops[:9]}

    assert oddest(as_copies) == copies
    assert oddest(embedded.audio_hashes) != copies


def test_fit_save_load_score(collection, tmp_path):
    model = ls.fit(collection, detector=FAST)
    model.save(tmp_path / "all.loopsphere")
    direct = ls.score(model, collection)
    assert ls.score(tmp_path / "all.loopsphere", collection) == direct
    frame = direct.to_frame()
    assert list(frame.columns) == [*vars(direct.loops[0]), "reasons"]
    assert len(frame) == 36


def test_score_asks_for_the_encoder_of_the_model(collection, embedded):
    model = fit_embeddings(replace(embedded, encoder_hash="f" * 64), detector=FAST)
    with pytest.raises(ModelFileError, match="made with encoder 'bundled' \\(ffffffffffff\\)"):
        ls.score(model, collection)


def test_a_broken_file_is_skipped_and_named(collection, tmp_path):
    folder = tmp_path / "loops"
    shutil.copytree(collection, folder)
    (folder / "a broken.wav").write_bytes(b"RIFF")
    (folder / "empty.flac").touch()
    result = ls.scan(folder, detector=FAST)
    assert len(result.loops) == 36
    assert [Path(file.path).name for file in result.skipped] == ["a broken.wav", "empty.flac"]
    assert result.skipped[1].reason == "empty file (0 bytes)"


def test_nothing_usable(tmp_path):
    (tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(NothingUsableError, match="no audio files found"):
        ls.scan(tmp_path)
    (tmp_path / "a.wav").touch()
    with pytest.raises(NothingUsableError, match=r"none of the files can be used; .*a\.wav: empty file"):
        ls.scan(tmp_path)


def test_too_few_loops(collection, embedded):
    with pytest.raises(CalibrationError, match=r"at least 5 different loops .* found 2"):
        ls.scan([embedded.paths[0], embedded.paths[1]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"detector": "magic"}, UnknownNameError, "no detector 'magic'"),
        ({"alpha": 0.0}, CalibrationError, "between 0 and 1"),
        ({"encoder": "magic"}, CheckpointError, "unknown encoder 'magic'"),
    ],
)
def test_wrong_arguments(collection, arguments, error, message):
    with pytest.raises(error, match=message):
        ls.scan(collection, **arguments)


def test_progress_counts_to_the_end(collection):
    seen: list[tuple[str, int, int]] = []
    ls.scan(collection, detector=FAST, progress=lambda *report: seen.append(report))
    assert ("reading loops", 36, 36) in seen
    assert ("learning", 15, 15) in seen
