"""The library: what it keeps, recalls and survives."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import loopsphere as ls
from loopsphere.errors import LibraryError
from loopsphere.library import FileRecord, Library, RunRecord, open_library
from loopsphere.library.store import now

DIM = 8


def file_record(path: str, audio_hash: str = "a" * 64) -> FileRecord:
    return FileRecord(path, 10, 1_000, now(), audio_hash, 1.5, 44_100, 2, {"title": "It's ‘ö’"})


def vectors(*names: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=DIM).astype(np.float32) for name in names}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return open_library(tmp_path / "Schöne Loops 🎸" / ".loopsphere")


def test_files_come_back_as_they_were(library):
    files = [file_record(f"packs/{i}'s.wav") for i in range(30)]
    library.put_files(files)
    library.put_files([replace(files[3], size=11)])
    again = open_library(library.location).files()
    assert again == {file.path: file for file in files} | {files[3].path: replace(files[3], size=11)}


def test_paths_below_the_root_are_relative_and_others_are_not(library, tmp_path):
    root = Path(library.location).parent
    assert library.stored_path(root / "a" / "b.wav") == "a/b.wav"
    assert library.real_path("a/b.wav") == str(root / "a" / "b.wav")
    outside = str(tmp_path / "elsewhere.wav")
    assert library.stored_path(outside) == outside
    assert library.real_path(outside) == outside
    assert library.stored_path(str(root) + " 2/b.wav") == str(root) + " 2/b.wav"


def test_vectors_come_back_to_the_bit_and_are_kept_once(library):
    kept = vectors("a", "b", "c")
    library.put_vectors("embedding-1", kept)
    library.put_vectors("embedding-1", {"b": kept["b"]})
    found = library.vectors("embedding-1", {"a", "b", "x"})
    assert set(found) == {"a", "b"}
    assert all(np.array_equal(found[name], kept[name]) for name in found)
    assert library.vectors("embedding-2", {"a"}) == {}


def test_nearest_is_by_cosine_and_can_be_restricted(library):
    rng = np.random.default_rng(1)
    kept = {str(i): rng.normal(size=DIM).astype(np.float32) * 10.0 ** rng.uniform(-2, 2) for i in range(50)}
    library.put_vectors("k", kept)
    query = rng.normal(size=DIM).astype(np.float32)
    matrix = np.stack(list(kept.values()))
    cosines = matrix @ query / np.linalg.norm(matrix, axis=1) / np.linalg.norm(query)
    expected = [str(i) for i in np.argsort(-cosines)]
    near = library.nearest("k", query, 50)
    assert [one.audio_hash for one in near] == expected
    assert near[0].similarity == pytest.approx(cosines.max(), abs=1e-5)
    odd = [str(i) for i in range(1, 50, 2)]
    assert [one.audio_hash for one in library.nearest("k", query, 5, among=odd)] == [
        name for name in expected if name in odd
    ][:5]


def test_attributes_and_verdicts_belong_to_a_version(library):
    many = {f"{i:064x}": {"tempo_bpm": float(i), "key": None} for i in range(40)}
    library.put_attributes("1", many)
    library.put_attributes("2", {"0" * 64: {"tempo_bpm": 7.0}})
    assert library.attributes("1", set(many)) == many
    assert library.attributes("1", {"0" * 64, "unknown"}) == {"0" * 64: many["0" * 64]}
    assert library.attributes("2", set(many)) == {"0" * 64: {"tempo_bpm": 7.0}}
    library.put_verdicts("1", {("a", "b"): {"kind": "exact"}})
    assert library.verdicts("1") == {("a", "b"): {"kind": "exact"}}
    assert library.verdicts("2") == {}


def test_what_was_made_comes_back_and_the_oldest_goes(library, monkeypatch):
    monkeypatch.setattr("loopsphere.library.store.KEPT_BYTES", 250)
    for number in range(4):
        library.put_made("sounds", {str(number): bytes([number]) * 100})
    library.put_made("kinds", {"0": b"other"})
    assert library.made("sounds", {"0", "1", "2", "3"}) == {"2": b"\x02" * 100, "3": b"\x03" * 100}
    library.put_made("sounds", {"2": b"again"})
    assert library.made("sounds", {"2", "x"}) == {"2": b"again"}
    assert library.made("kinds", {"0"}) == {"0": b"other"}
    assert library.made("nothing", {"0"}) == {}


def test_runs_are_kept_and_the_oldest_go(library):
    def run(key: str) -> RunRecord:
        return RunRecord(
            key, now(), "bundled", "f" * 64, "knn", 0, ("a note",), ("p", "q"), ("a", "b"),
            np.array([1.5, 0.25]), np.array([0.5, 1.0]),
        )  # fmt: skip

    for number in range(23):
        library.put_run(run(str(number)))
    assert library.run("0") is None
    found = library.run("22")
    assert found is not None
    assert (found.paths, found.audio_hashes, found.notes) == (("p", "q"), ("a", "b"), ("a note",))
    assert found.anomaly_scores.tolist() == [1.5, 0.25]
    assert found.p_values.tolist() == [0.5, 1.0]


def test_many_small_writes_leave_few_files(library):
    for number in range(60):
        library.put_files([file_record(f"{number}.wav")])
    library.tidy()
    data = Path(library.location) / "files.lance" / "data"
    assert len(list(data.iterdir())) <= 15
    assert len(library.files()) == 60


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LibraryError, match="folder cannot be made"):
        open_library(tmp_path / "file" / ".loopsphere")


def test_a_damaged_table_is_an_error_that_says_what_to_do(library):
    library.put_files([file_record("a.wav")])
    for path in (Path(library.location) / "files.lance" / "data").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(LibraryError, match="delete this folder to start again"):
        open_library(library.location).files()


def test_a_table_that_was_never_finished_is_made_again(library):
    (Path(library.location) / "files.lance" / "_versions").mkdir(parents=True)
    assert library.files() == {}
    library.put_files([file_record("a.wav")])
    assert set(open_library(library.location).files()) == {"a.wav"}


# --- with embed ------------------------------------------------------------------------------------------


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    """Eight short loops, last changed a minute ago."""
    folder = tmp_path / "loops"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(8):
        sf.write(folder / f"{number}.wav", rng.normal(size=8_000) * 0.1, 16_000)
    make_older(*folder.iterdir())
    return folder


def make_older(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (time.time() - 60, time.time() - 60))


def same(one, other) -> bool:
    return (
        one.paths == other.paths
        and one.audio_hashes == other.audio_hashes
        and np.array_equal(one.embedding, other.embedding)
        and np.array_equal(one.fingerprints, other.fingerprints)
        and np.array_equal(one.durations_s, other.durations_s)
        and one.skipped == other.skipped
    )


def embedded_with(folder: Path):
    library = open_library(folder / ".loopsphere")
    return ls.embed(folder, library=library), library


def test_unchanged_files_are_not_opened_and_give_the_same(loops, monkeypatch):
    plain = ls.embed(loops)
    first, library = embedded_with(loops)
    assert same(first, plain)
    assert library.usage.n_new == 8

    monkeypatch.setattr("loopsphere.collection.embedding.load_clip", None)  # would raise
    second, library = embedded_with(loops)
    assert same(second, plain)
    assert (library.usage.n_unchanged, library.usage.n_new) == (8, 0)


def test_without_an_encoder_fingerprints_alone_are_taken_and_remembered(loops, monkeypatch):
    library = open_library(loops / ".loopsphere")
    with monkeypatch.context() as deaf:
        deaf.setattr("loopsphere.collection.embedding.cached_encoder", None)  # would raise
        prints = ls.embed(loops, encoder=None, library=library)
        again = ls.embed(loops, encoder=None, library=library)
    assert prints.embedding.shape == (8, 0)
    assert same(again, prints)
    assert (library.usage.n_unchanged, library.usage.n_new) == (8, 0)
    # What has no embedding yet is new to an encoder; what has one is known without.
    heard, library = embedded_with(loops)
    assert library.usage.n_new == 8
    assert (heard.fingerprints * prints.fingerprints).sum(axis=1) == pytest.approx(1.0, abs=0.01)
    assert np.array_equal(ls.embed(loops, encoder=None, library=library).fingerprints, heard.fingerprints)
    assert library.usage.n_unchanged == 8


def test_content_decides(loops):
    embedded_with(loops)
    (loops / "0.wav").rename(loops / "moved.wav")
    (loops / "1.wav").unlink()
    shutil.copy(loops / "2.wav", loops / "copy of 2.wav")
    sf.write(loops / "3.wav", np.random.default_rng(9).normal(size=8_000) * 0.1, 16_000)  # as large as before
    make_older(loops / "copy of 2.wav", loops / "3.wav")
    os.utime(loops / "4.wav")
    again, library = embedded_with(loops)
    usage = library.usage
    # 2, 5, 6 and 7 lie as they were; 3 is new; 4, the moved one and the copy were read and recognised.
    assert (usage.n_unchanged, usage.n_new, usage.n_recognised) == (4, 1, 3)
    assert (usage.n_moved, usage.n_gone) == (1, 2)
    assert same(again, ls.embed(loops))
    files = library.files()
    assert files["0.wav"].missing_since is not None
    assert files["1.wav"].missing_since is not None
    assert files["moved.wav"].audio_hash == files["0.wav"].audio_hash
    assert files["copy of 2.wav"].audio_hash == files["2.wav"].audio_hash


def test_a_file_that_comes_back_is_there_again(loops, tmp_path):
    embedded_with(loops)
    shutil.move(loops / "0.wav", tmp_path / "0.wav")
    embedded_with(loops)
    shutil.move(tmp_path / "0.wav", loops / "0.wav")
    _, library = embedded_with(loops)
    assert library.usage.n_unchanged == 8
    assert library.files()["0.wav"].missing_since is None


def test_a_file_changed_while_the_clock_stood_still_is_read_again(loops):
    os.utime(loops / "0.wav")  # written just before it is read
    embedded_with(loops)
    before = (loops / "0.wav").stat()
    sf.write(loops / "0.wav", np.random.default_rng(5).normal(size=8_000) * 0.1, 16_000)
    os.utime(loops / "0.wav", ns=(before.st_atime_ns, before.st_mtime_ns))
    again, _ = embedded_with(loops)
    assert same(again, ls.embed(loops))


def test_the_collection_may_be_moved_as_a_whole(loops, tmp_path):
    embedded_with(loops)
    loops.rename(tmp_path / "elsewhere")
    _, library = embedded_with(tmp_path / "elsewhere")
    assert library.usage.n_unchanged == 8


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_full_disk_ends_the_remembering_and_not_the_run(loops):
    import resource

    plain = ls.embed(loops)
    library = open_library(loops / ".loopsphere")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        result = ls.embed(loops, library=library)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert same(result, plain)
    assert "the file system refuses a file of this size" in (library.usage.problem or "")
    # And where there is room again, the next run goes on.
    _, library = embedded_with(loops)
    assert (library.usage.n_new, library.usage.problem) == (8, None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_library_is_read_and_not_written(loops):
    embedded_with(loops)
    sf.write(loops / "new.wav", np.random.default_rng(7).normal(size=8_000) * 0.1, 16_000)
    folders = [loops / ".loopsphere", *(path for path in (loops / ".loopsphere").rglob("*"))]
    for path in folders:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        _, library = embedded_with(loops)
        assert (library.usage.n_unchanged, library.usage.n_new) == (8, 1)
        assert "cannot be written" in (library.usage.problem or "")
    finally:
        for path in folders:
            path.chmod(0o755 if path.is_dir() else 0o644)


# --- other processes -------------------------------------------------------------------------------------

_WRITER = textwrap.dedent("""
    import sys
    import numpy as np
    from loopsphere.library import FileRecord, open_library
    from loopsphere.library.store import now
    location, n_first, n_batches = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    library = open_library(location)
    print("open", flush=True)
    for start in range(n_first, n_first + 16 * n_batches, 16):
        names = [f"{number:064x}" for number in range(start, start + 16)]
        library.put_vectors("k", {name: np.full(8, int(name, 16), np.float32) for name in names})
        library.put_files([FileRecord(f"{n}.wav", 1, 1, now(), n, 1.0, 44100, 1) for n in names])
        library.tidy()
        print(start + 16, flush=True)
""")


def writer(location: Path, n_first: int, n_batches: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(location), str(n_first), str(n_batches)],
        stdout=subprocess.PIPE,
        text=True,
    )


def check_whole(location: Path) -> int:
    """Check that every file that is known has its vector, right; return their number."""
    library = open_library(location)
    files = library.files()
    hashes = {file.audio_hash for file in files.values()}
    found = library.vectors("k", hashes)
    assert set(found) == hashes
    assert all((vector == np.float32(int(name, 16))).all() for name, vector in found.items())
    return len(files)


def kill_writers(location: Path, n_kills: int, seed: int) -> None:
    rng = random.Random(seed)
    n_known = 0
    for _ in range(n_kills):
        process = writer(location, n_known, 400)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(rng.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        promised = [int(line) for line in process.stdout.read().splitlines() if line]
        process.wait()
        n_files = check_whole(location)
        # What the writer had said was kept is kept; what was under way is there as a whole batch or not.
        n_promised = promised[-1] if promised else n_known
        assert n_files in (n_promised, n_promised + 16)
        n_known = n_files


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_writer_leaves_a_whole_library(tmp_path):
    kill_writers(tmp_path / "library", 2, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_fifty_killed_writers_leave_a_whole_library(tmp_path):
    kill_writers(tmp_path / "library", 50, seed=1)


def test_two_writers_take_turns(tmp_path):
    location = tmp_path / "library"
    both = [writer(location, first, 8) for first in (0, 10_000)]
    for process in both:
        out, _ = process.communicate()
        assert process.returncode == 0
        assert out.startswith("open")
    assert check_whole(location) == 2 * 8 * 16


def test_a_library_that_is_held_refuses_after_a_while(tmp_path):
    location = tmp_path / "library"
    open_library(location).put_files([file_record("a.wav")])
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, filelock\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True); input()",
            str(location / "lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LibraryError, match="in use by another process"):
        open_library(location, wait_s=0.2).files()
    holder.communicate("\n")
    assert set(open_library(location, wait_s=5.0).files()) == {"a.wav"}
