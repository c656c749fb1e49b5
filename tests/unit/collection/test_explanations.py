"""Explanations of real files: what was planted is named, and nothing is measured twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from loopsphere.audio import load_recording
from loopsphere.collection import attributes, explanations
from loopsphere.collection.attributes import attributes_of
from loopsphere.collection.explanations import Verdicts, explain_collection, oddest
from loopsphere.export.tables import json_text
from loopsphere.library.store import open_library
from loopsphere.synth import LoopSpec, render
from loopsphere.types import EmbedResult

RATE = 22_050
N_NORMAL = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loops of one bass player, one of them far louder and clipped, one a copy under another name."""
    folder = tmp_path_factory.mktemp("loops") / "Bässe 🎸"
    folder.mkdir()
    for k in range(N_NORMAL):
        waveform = render(LoopSpec(bpm=104, bars=1, seed=k, sample_rate=RATE))
        sf.write(folder / f"b{k:02d}.wav", 0.3 * waveform, RATE)
    loud = np.clip(8 * render(LoopSpec(bpm=104, bars=1, seed=99, sample_rate=RATE)), -1, 1)
    sf.write(folder / "loud.wav", loud, RATE)
    shutil.copy(folder / "b00.wav", folder / "b00 copy 90bpm.wav")
    return folder


@pytest.fixture(scope="module")
def embedded(folder: Path) -> EmbedResult:
    paths = tuple(str(path) for path in sorted(folder.iterdir()))
    hashes = tuple(load_recording(path).audio_hash for path in paths)
    vectors = np.random.default_rng(0).standard_normal((len(paths), 8)).astype(np.float32)
    return EmbedResult("none", "none", paths, np.ones(len(paths)), hashes, vectors)


@pytest.fixture(scope="module")
def verdicts(embedded: EmbedResult) -> Verdicts:
    is_odd = np.array([path.endswith("loud.wav") for path in embedded.paths])
    groups = np.unique(np.array(embedded.audio_hashes), return_inverse=True)[1]
    return Verdicts(is_odd + 0.01 * np.arange(len(is_odd)), is_odd, ~is_odd, groups)


def test_the_oddest_come_first_and_all_odd_ones_are_among_them(verdicts):
    rows = oddest(verdicts, 3)
    assert len(rows) == 3
    assert verdicts.is_odd[rows[0]]
    assert (np.diff(verdicts.scores[rows]) < 0).all()
    assert oddest(verdicts, 0).tolist() == rows[:1].tolist()


def test_what_was_planted_is_named_and_the_answer_is_json(embedded, verdicts):
    explained, normal = explain_collection(embedded, verdicts, oddest(verdicts, 1))
    (loud,) = explained
    assert loud.path.endswith("loud.wav")
    assert {"clipped_share", "loudness_lufs"} <= {reason.attribute for reason in loud.reasons}
    assert "clipped_share" in {fault.attribute for fault in loud.faults}
    assert len(loud.neighbours) == 5
    assert normal.n_loops == normal.n_measured == N_NORMAL  # the copy does not count
    low, high = normal.usual["tempo_bpm"]
    assert low <= 104.5 and high >= 103.5
    assert set(normal.typical) <= set(embedded.paths)
    assert sum(mode.n_loops for mode in normal.modes) == N_NORMAL
    json.loads(json_text({"loud": asdict(loud), "normal": asdict(normal)}))


def test_a_loop_that_stands_out_in_nothing_is_told_by_what_the_encoder_heard(embedded, verdicts):
    """As ordinary as the others, but its embedding lies elsewhere."""
    vectors = np.abs(embedded.embedding) + 4.0
    vectors[3] = -vectors[3]
    (explained,), _ = explain_collection(replace(embedded, embedding=vectors), verdicts, np.array([3]))
    told = explained.reasons[-1]
    nearest = Path(explained.neighbours[0].path).name
    assert told.text.startswith(f"unlike even its nearest loops: {nearest} and 4 more are more than 10 times")
    assert told.value == pytest.approx(np.mean([near.distance for near in explained.neighbours]))
    assert told.usual[1] < 0.1


def test_a_loop_is_not_compared_with_itself_nor_its_copy(embedded, verdicts, monkeypatch):
    seen = []
    monkeypatch.setattr(
        explanations, "top_reasons", lambda record, reference: seen.append(reference.n_loops) or ()
    )
    rows = np.array([row for row, path in enumerate(embedded.paths) if "b00" in path or "loud" in path])
    explained, _ = explain_collection(embedded, verdicts, rows)
    assert sorted(seen) == [N_NORMAL - 1, N_NORMAL - 1, N_NORMAL]
    for explanation in explained:
        assert not any("b00" in path.path for path in explanation.neighbours if "b00" in explanation.path)


def test_a_sample_of_the_normal_loops_is_measured_and_the_seed_decides_which(embedded, verdicts):
    one, normal = explain_collection(embedded, verdicts, oddest(verdicts, 1), max_measured=10, seed=1)
    again, _ = explain_collection(embedded, verdicts, oddest(verdicts, 1), max_measured=10, seed=1)
    assert normal.n_measured == 10
    assert one == again


def test_names_count_for_each_file_though_the_sound_is_one(embedded):
    rows = [row for row, path in enumerate(embedded.paths) if "b00" in path]
    records = attributes_of([embedded.paths[r] for r in rows], [embedded.audio_hashes[r] for r in rows])
    assert {record["tempo_source"] for record in records if record} == {"audio", "name"}


def test_a_library_remembers_what_was_measured(embedded, tmp_path, monkeypatch):
    first = attributes_of(embedded.paths, embedded.audio_hashes, library=open_library(tmp_path / "library"))
    monkeypatch.setattr(attributes, "measure", lambda recording: pytest.fail("measured again"))
    again = attributes_of(embedded.paths, embedded.audio_hashes, library=open_library(tmp_path / "library"))
    assert again == first


def test_a_file_that_was_replaced_leaves_no_attributes_under_the_hash_of_the_first(folder, tmp_path):
    path, library = tmp_path / "b.wav", open_library(tmp_path / "library")
    shutil.copy(folder / "b01.wav", path)
    audio_hash = load_recording(path).audio_hash
    shutil.copy(folder / "loud.wav", path)
    assert attributes_of([str(path)], [audio_hash], library=library) == [None]
    shutil.copy(folder / "b01.wav", path)
    (again,) = attributes_of([str(path)], [audio_hash], library=library)
    (fresh,) = attributes_of([str(path)], [audio_hash])
    assert again == fresh


def test_a_file_that_has_gone_has_no_attributes(tmp_path):
    path = tmp_path / "gone.wav"
    assert attributes_of([str(path)], ["unknown"]) == [None]


def test_progress_is_told_to_the_end(embedded):
    told = []
    attributes_of(embedded.paths[:4], embedded.audio_hashes[:4], progress=lambda *of: told.append(of))
    n_sounds = len(set(embedded.audio_hashes[:4]))
    assert told[-1] == ("measuring loops", n_sounds, n_sounds)
