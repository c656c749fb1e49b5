"""The demo collection: labels that match the files, repeatable, never half-written."""

import csv
from collections import Counter

import numpy as np
import pytest
import soundfile as sf

from loopsphere.synth import FAULTS, INSTRUMENTS, LABELS_NAME, render_collection
from loopsphere.synth import collection as collection_module

N_LOOPS = 36


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    calls = []
    labels = render_collection(
        folder,
        n_loops=N_LOOPS,
        odd_share=0.5,
        seed=4,
        sample_rate=16000,
        progress=lambda done, total: calls.append((done, total)),
    )
    return folder, labels, calls


def test_labels_name_every_file_and_tell_the_truth(rendered):
    folder, labels, _ = rendered
    files = {str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()}
    with (folder / LABELS_NAME).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [label.path for label in labels]
    assert files == {row["path"] for row in rows} | {LABELS_NAME}
    for row in rows:
        info = sf.info(folder / row["path"])
        assert (info.channels, info.subtype) == (1, "PCM_16")
        assert row["path"].startswith(row["group"] + "/")
        if row["is_odd"] == "1":
            assert row["fault"] in FAULTS
            assert 0 <= float(row["start_s"]) < float(row["end_s"]) <= info.duration + 1e-3
            assert (info.samplerate != 16000) == (row["fault"] == "wrong_sample_rate")
        else:
            assert row["fault"] == row["magnitude"] == row["start_s"] == row["end_s"] == ""
            bars = info.duration / (240 / float(row["bpm"]))
            assert bars == pytest.approx(round(bars), abs=1e-3)


def test_odd_ones_are_spread_over_the_packs_and_foreign_ones_are_foreign(rendered):
    _, labels, _ = rendered
    odd_per_pack = Counter(label.group for label in labels if label.is_odd)
    assert sum(odd_per_pack.values()) == N_LOOPS // 2
    assert len(odd_per_pack) == 12 and max(odd_per_pack.values()) == 2
    at_home = {label.instrument for label in labels if not label.is_odd}
    assert at_home <= set(INSTRUMENTS)
    for label in labels:
        if label.fault in ("wrong_instrument", "speech", "environment"):
            assert label.instrument not in at_home


def test_progress_counts_every_loop(rendered):
    assert rendered[2] == [(done, N_LOOPS) for done in range(1, N_LOOPS + 1)]


def test_loops_of_a_pack_differ(rendered):
    folder, labels, _ = rendered
    waveforms = {sf.read(folder / label.path)[0].tobytes() for label in labels}
    assert len(waveforms) == N_LOOPS
    assert all(np.max(np.abs(sf.read(folder / label.path)[0])) > 0.02 for label in labels)


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    def contents(name, seed):
        render_collection(tmp_path / name, n_loops=6, seed=seed, sample_rate=8000)
        return {p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}

    first = contents("a", 1)
    assert first == contents("b", 1)
    assert first != contents("c", 2)


def test_an_interrupt_between_loops_leaves_whole_files_and_no_labels(tmp_path):
    def stop_at_three(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_collection(tmp_path, n_loops=12, sample_rate=8000, progress=stop_at_three)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert all(sf.info(path).frames > 0 for path in files)


def test_an_interrupt_within_a_file_leaves_nothing_of_it(tmp_path, monkeypatch):
    def write_half(sound, waveform):
        whole(sound, waveform[: len(waveform) // 2])
        raise KeyboardInterrupt

    whole = collection_module.sf.SoundFile.write
    monkeypatch.setattr(collection_module.sf.SoundFile, "write", write_half)
    with pytest.raises(KeyboardInterrupt):
        render_collection(tmp_path, n_loops=1, sample_rate=8000)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("n_loops", "odd_share"), [(0, 0.1), (10, 1.5), (10, -0.1)])
def test_impossible_sizes_are_refused(tmp_path, n_loops, odd_share):
    with pytest.raises(ValueError, match="n_loops"):
        render_collection(tmp_path, n_loops=n_loops, odd_share=odd_share)
