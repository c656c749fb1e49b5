"""Ways out: what is written where, and that nothing that was there is touched."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from loopsphere.explain.localise import OddRange
from loopsphere.export import files as exports
from loopsphere.export.files import copy_loops, link_loops, write_labels, write_playlist
from loopsphere.types import LoopScore


@pytest.fixture
def loops(tmp_path: Path) -> list[LoopScore]:
    """Three loops, two of the same name, in folders with spaces, umlauts and emoji."""
    found = []
    for place, name in (("Bässe 🎸", "kick 1.wav"), ("drums", "kick 1.wav"), ("drums", "größer.flac")):
        path = tmp_path / "loops" / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(path).encode())
        found.append(LoopScore(str(path), 2.4, 12.345, 0.01, True))
    return found


def untouched(loops: list[LoopScore]) -> bool:
    return all(Path(loop.path).read_bytes() == loop.path.encode() for loop in loops)


def test_a_playlist_is_relative_to_where_it_lies(tmp_path: Path, loops: list[LoopScore]) -> None:
    write_playlist(tmp_path / "lists" / "odd.m3u8", loops)
    lines = (tmp_path / "lists" / "odd.m3u8").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == [
        "#EXTM3U",
        "#EXTINF:2,kick 1.wav (p 0.010)",
        "../loops/Bässe 🎸/kick 1.wav",
    ]
    for line in lines[2::2]:
        assert (tmp_path / "lists" / line).exists()


def test_a_name_that_begins_with_a_hash_is_no_comment(tmp_path: Path) -> None:
    write_playlist(tmp_path / "odd.m3u8", [LoopScore(str(tmp_path / "#1 kick.wav"), 2.4, 1.0, 0.01, True)])
    assert (tmp_path / "odd.m3u8").read_text(encoding="utf-8").splitlines()[2] == "./#1 kick.wav"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize(
    "name", ["a\nb.wav", "a\r\nb.wav", "a\rb.wav", "a\u2028b\x0b\x85.wav", "\x1b[31m.wav"]
)
def test_a_line_break_in_a_name_makes_no_second_entry(tmp_path: Path, name: str) -> None:
    loop = tmp_path / "ö x" / name
    loop.parent.mkdir()
    loop.write_bytes(b"")
    write_playlist(tmp_path / "odd.m3u8", [LoopScore(str(loop), 2.4, 1.0, 0.01, True)])
    lines = (tmp_path / "odd.m3u8").read_text(encoding="utf-8").splitlines()  # at each of these characters
    assert len(lines) == 3
    assert lines[1].startswith("#EXTINF:2,")
    assert lines[1].isprintable()
    # A player that knows addresses finds it all the same.
    assert lines[2].startswith("file://")
    assert Path(unquote(urlsplit(lines[2]).path)) == loop.absolute()


def test_labels_are_as_audacity_writes_them(tmp_path: Path) -> None:
    ranges = {"a/kick.wav": [OddRange(0.5, 1.25, 100.0, 4000.0, 1.74)], "b/kick.wav": [], "c/kick.wav": []}
    ranges["c/kick.wav"] = [OddRange(0.0, 0.1, 20.0, 30.0, 2.0)]
    written = write_labels(tmp_path / "labels", ranges).paths
    assert [path.name for path in written] == ["kick.wav.txt", "kick.wav (2).txt"]
    assert written[0].read_bytes() == b"0.500000\t1.250000\todd (1.7)\n\\\t100.000000\t4000.000000\n"


@pytest.mark.parametrize("make", [copy_loops, link_loops])
def test_names_that_are_taken_get_a_number(make, tmp_path: Path, loops: list[LoopScore]) -> None:
    target = tmp_path / "odd"
    target.mkdir()
    (target / "1 kick 1.wav").write_text("mine")
    first = make(target, loops).paths
    assert [path.name for path in first] == ["1 kick 1 (2).wav", "2 kick 1.wav", "3 größer.flac"]
    second = make(target, loops).paths
    assert [path.name for path in second] == ["1 kick 1 (3).wav", "2 kick 1 (2).wav", "3 größer (2).flac"]
    assert (target / "1 kick 1.wav").read_text() == "mine"
    assert [path.read_bytes() for path in second] == [loop.path.encode() for loop in loops]
    assert untouched(loops)


def test_links_are_links_and_copies_are_not(tmp_path: Path, loops: list[LoopScore]) -> None:
    assert all(path.is_symlink() for path in link_loops(tmp_path / "links", loops).paths)
    copies = copy_loops(tmp_path / "copies", loops).paths
    assert not any(path.is_symlink() for path in copies)
    copies[0].write_text("changed")
    assert untouched(loops)


def test_without_symlinks_there_are_hard_links(
    tmp_path: Path, loops: list[LoopScore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses symbolic links to those who may not make them; FAT knows no links at all."""

    def refuse(*_: object) -> None:
        raise OSError(1314, "a required privilege is not held")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    hard = link_loops(tmp_path / "hard", loops).paths
    assert all(path.samefile(loop.path) for path, loop in zip(hard, loops, strict=True))
    monkeypatch.setattr(os, "link", refuse)
    copied = link_loops(tmp_path / "copied", loops).paths
    assert not any(path.samefile(loop.path) for path, loop in zip(copied, loops, strict=True))
    assert [path.read_bytes() for path in copied] == [loop.path.encode() for loop in loops]


def test_half_a_copy_is_not_left_and_the_rest_is_copied(
    tmp_path: Path, loops: list[LoopScore], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfileobj

    def full_for_the_second(reading, writing) -> None:
        if reading.name == loops[1].path:
            writing.write(b"half")
            raise OSError(28, "No space left on device")  # which names no file
        copy(reading, writing)

    monkeypatch.setattr(exports.shutil, "copyfileobj", full_for_the_second)
    placed = copy_loops(tmp_path / "odd", loops)
    assert [path.name for path in placed.paths] == ["1 kick 1.wav", "3 größer.flac"]
    assert sorted(tmp_path.glob("odd/*")) == sorted(placed.paths)
    (failed,) = placed.failed
    assert failed.path == loops[1].path
    assert (
        failed.reason == f"cannot be copied to {tmp_path / 'odd' / '2 kick 1.wav'} (No space left on device)"
    )


@pytest.mark.parametrize("make", [copy_loops, link_loops])
def test_a_loop_that_is_gone_costs_only_itself(make, tmp_path: Path, loops: list[LoopScore]) -> None:
    Path(loops[1].path).unlink()
    placed = make(tmp_path / "odd", loops)
    assert [path.name for path in placed.paths] == ["1 kick 1.wav", "3 größer.flac"]
    assert [failed.path for failed in placed.failed] == [loops[1].path]
    assert "No such file" in placed.failed[0].reason
    assert sorted(tmp_path.glob("odd/*")) == sorted(placed.paths)


def long_names(folder: Path) -> list[LoopScore]:
    """Loops whose names are as long as a file system takes, alike but for their ends; the last is text."""
    names = [f"{'ö' * 125}{end}.wav" for end in range(2)] + [f"{'k' * 255}"]
    loops = []
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
        loops.append(LoopScore(str(path), 2.4, 1.0, 0.01, True))
    return loops


@pytest.mark.parametrize("make", [copy_loops, link_loops])
def test_long_names_are_shortened(make, tmp_path: Path) -> None:
    loops = long_names(tmp_path / "loops")
    for n_before in range(2):
        placed = make(tmp_path / "odd", loops)
        assert placed.failed == []
        number = " (2)" if n_before else ""
        assert [path.name for path in placed.paths] == [
            f"1 {'ö' * (124 - n_before * 2)}{number}.wav",  # 251 or 255 bytes: half an ö is none
            f"2 {'ö' * (124 - n_before * 2)}{number}.wav",
            f"3 {'k' * (253 - len(number))}{number}",
        ]
        assert [path.read_bytes() for path in placed.paths] == [
            Path(loop.path).name.encode() for loop in loops
        ]


def test_long_names_of_label_tracks_are_shortened(tmp_path: Path) -> None:
    ranges = {f"{start}{'k' * 250}.wav": [OddRange(0.0, 0.1, 20.0, 30.0, 2.0)] for start in "ab"}
    placed = write_labels(tmp_path / "labels", ranges)
    assert placed.failed == []
    assert [path.name for path in placed.paths] == [f"{start}{'k' * 250}.txt" for start in "ab"]


def test_a_label_track_that_fails_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = exports._write_new

    def full_for_a(path: Path, text: str) -> None:
        if path.name.startswith("a"):
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(exports, "_write_new", full_for_a)
    ranges = {f"{name}.wav": [OddRange(0.0, 0.1, 20.0, 30.0, 2.0)] for name in "ab"}
    placed = write_labels(tmp_path / "labels", ranges)
    assert [path.name for path in placed.paths] == ["b.wav.txt"]
    assert [failed.path for failed in placed.failed] == ["a.wav"]
