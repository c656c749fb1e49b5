"""Which files of a folder are loops."""

from __future__ import annotations

import inspect
import io
import os
import sys
import tempfile
from pathlib import Path

import pytest

from loopsphere.audio import find_loops


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def reasons(skipped: list) -> dict[str, str]:
    return {entry.path: entry.reason for entry in skipped}


class TestFindLoops:
    @pytest.fixture(autouse=True)
    def inside(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_folders_are_walked_in_order_and_only_audio_is_taken(self, tmp_path):
        make(
            tmp_path,
            "p/b.wav",
            "p/a/z.FLAC",
            "p/a/2.mp3",
            "p/a.aiff",
            "p/readme.txt",
            "p/cover.jpg",
            "p/c/d/e.m4a",
        )
        loops, skipped = find_loops(["p"])
        assert [Path(loop).as_posix() for loop in loops] == [
            "p/a/2.mp3",
            "p/a/z.FLAC",
            "p/a.aiff",
            "p/b.wav",
            "p/c/d/e.m4a",
        ]
        assert skipped == []

    def test_hidden_entries_are_passed_over(self, tmp_path):
        make(tmp_path, "p/._a.wav", "p/.git/a.wav", "p/__MACOSX/a.wav", "p/.loopsphere/b.wav", "p/a.wav")
        assert find_loops(["p"]) == ([str(Path("p/a.wav"))], [])

    def test_a_file_that_is_named_is_taken(self, tmp_path):
        make(tmp_path, "loop.xyz", ".hidden.wav")
        assert find_loops(["loop.xyz", ".hidden.wav"]) == (["loop.xyz", ".hidden.wav"], [])

    def test_duplicates_are_taken_once_in_the_order_given(self, tmp_path):
        make(tmp_path, "p/a.wav", "p/b.wav")
        loops, _ = find_loops(["p/b.wav", "p", "p/../p/a.wav", tmp_path / "p", "p/*.wav"])
        assert loops == ["p/b.wav", str(Path("p/a.wav"))]

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("p/*.wav", ["p/1.wav", "p/2.wav"]),
            ("p/**/*.wav", ["p/1.wav", "p/2.wav", "p/q/3.wav", "p/q/r/4.wav"]),
            ("**/r/*", ["p/q/r/4.wav"]),
            ("p/[2-9].wav", ["p/2.wav"]),
            ("p/?.mp3", ["p/1.mp3"]),
            ("p/*", ["p/1.mp3", "p/1.wav", "p/2.wav", "p/q/3.wav", "p/q/r/4.wav"]),
            ("*/q/*.wav", ["p/q/3.wav"]),
            ("p/**", ["p/1.mp3", "p/1.wav", "p/2.wav", "p/q/3.wav", "p/q/r/4.wav"]),
        ],
    )
    def test_globs(self, tmp_path, pattern, expected):
        make(
            tmp_path, "p/2.wav", "p/1.wav", "p/1.mp3", "p/q/3.wav", "p/q/r/4.wav", "p/note.txt", "p/.x/5.wav"
        )
        loops, skipped = find_loops([pattern])
        assert ([Path(loop).as_posix() for loop in loops], skipped) == (expected, [])
        absolute, _ = find_loops([str(tmp_path / pattern)])
        assert absolute == [str(tmp_path / name) for name in expected]

    def test_a_name_that_looks_like_a_pattern_is_itself(self, tmp_path):
        make(tmp_path, "loop [120 bpm].wav", "loop 1.wav", "[set]/a.wav")
        assert find_loops(["loop [120 bpm].wav", "[set]"])[0] == [
            "loop [120 bpm].wav",
            str(Path("[set]/a.wav")),
        ]

    def test_what_is_not_there_is_skipped_once(self):
        loops, skipped = find_loops(["gone.wav", "gone.wav", "none/*.wav", "nul\0.wav"])
        assert loops == []
        assert reasons(skipped) == {
            "gone.wav": "no such file or folder",
            "none/*.wav": "no loop matches this pattern",
            "nul\0.wav": "no such file or folder",
        }

    def test_an_empty_name_is_not_the_working_directory(self, tmp_path):
        make(tmp_path, "a.wav")
        loops, skipped = find_loops(["", "a.wav"])
        assert loops == ["a.wav"]
        assert reasons(skipped) == {"''": "an empty name; is a variable of your shell not set?"}

    @pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
    def test_a_list_on_standard_input(self, tmp_path, separator):
        make(tmp_path, "a b.wav", "p/ü.wav", "c.wav")
        listed = separator.join(["a b.wav", "p", "gone.wav", ""])
        loops, skipped = find_loops(["c.wav", "-"], stdin=io.StringIO(listed, newline=""))
        assert loops == ["c.wav", "a b.wav", str(Path("p/ü.wav"))]
        assert reasons(skipped) == {"gone.wav": "no such file or folder"}

    def test_a_list_on_standard_input_that_is_not_utf8(self, tmp_path):
        make(tmp_path, "a.wav")
        stdin = io.TextIOWrapper(io.BytesIO(b"caf\xe9.wav\na.wav\n"), encoding="utf-8")
        loops, skipped = find_loops(["-"], stdin=stdin)
        assert loops == ["a.wav"]
        assert len(skipped) == 1

    def test_symlinks_are_followed(self, tmp_path):
        make(tmp_path, "p/a.wav", "elsewhere/b.wav")
        (tmp_path / "p/link.wav").symlink_to(tmp_path / "elsewhere/b.wav")
        (tmp_path / "p/more").symlink_to(tmp_path / "elsewhere")
        loops, skipped = find_loops(["p"])
        assert [Path(loop).as_posix() for loop in loops] == ["p/a.wav", "p/link.wav", "p/more/b.wav"]
        assert skipped == []

    def test_broken_symlinks_are_skipped(self, tmp_path):
        make(tmp_path, "p/a.wav")
        (tmp_path / "p/gone.wav").symlink_to("nowhere")
        loops, skipped = find_loops(["p", "p/gone.wav"])
        assert loops == [str(Path("p/a.wav"))]
        assert reasons(skipped) == {str(Path("p/gone.wav")): "a broken symlink"}

    @pytest.mark.parametrize("source", ["p", "p/**/*.wav"])
    @pytest.mark.parametrize("target", ["p", "p/q", "."])
    def test_a_loop_of_folders_ends(self, tmp_path, source, target):
        make(tmp_path, "p/a.wav", "p/q/b.wav")
        (tmp_path / "p/q/back").symlink_to(tmp_path / target)
        loops, skipped = find_loops([source])
        assert {"p/a.wav", "p/q/b.wav"} <= {Path(loop).as_posix() for loop in loops}
        assert len(loops) <= 4
        assert "a folder loop through symlinks" in reasons(skipped).values()

    def test_a_symlink_to_itself_is_skipped(self, tmp_path):
        make(tmp_path, "p/a.wav")
        (tmp_path / "p/self.wav").symlink_to(tmp_path / "p/self.wav")
        loops, skipped = find_loops(["p"])
        assert loops == [str(Path("p/a.wav"))]
        assert "symbolic links" in skipped[0].reason

    @pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode here")
    def test_a_name_that_is_not_utf8_is_skipped_and_printable(self, tmp_path):
        make(tmp_path, "p/a.wav")
        (tmp_path / "p" / os.fsdecode(b"caf\xe9.wav")).touch()
        folder = tmp_path / "p" / os.fsdecode(b"b\xff")
        folder.mkdir()
        (folder / "c.wav").touch()
        loops, skipped = find_loops(["p", os.fsdecode(b"p/caf\xe9.wav")])
        assert loops == ["p/a.wav"]
        assert set(reasons(skipped).values()) == {"its name is not UTF-8; rename it"}
        assert [entry.path.encode("utf-8") for entry in skipped] == [b"p/b\\udcff/c.wav", b"p/caf\\udce9.wav"]

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no permission bits")
    def test_a_folder_without_permission_is_skipped(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            root.chmod(0o755)
            make(root, "open/a.wav", "shut/b.wav")
            (root / "shut").chmod(0)
            user = os.geteuid()
            if user == 0:
                os.seteuid(65_534)
            try:
                loops, skipped = find_loops([root])
            finally:
                if user == 0:
                    os.seteuid(0)
                (root / "shut").chmod(0o755)
        assert loops == [str(root / "open/a.wav")]
        assert reasons(skipped) == {str(root / "shut"): "no permission to read it"}

    def test_a_tree_deeper_than_the_recursion_limit_is_walked(self, tmp_path):
        n_levels = 150  # more would be too deep for pytest's own clean-up
        for _ in range(n_levels):
            Path("d").mkdir()
            os.chdir("d")
        Path("deep.wav").touch()
        os.chdir(tmp_path)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(len(inspect.stack()) + 100)
        try:
            loops, skipped = find_loops(["d"])
        finally:
            sys.setrecursionlimit(limit)
        assert skipped == []
        assert [Path(loop).parts.count("d") for loop in loops] == [n_levels]
