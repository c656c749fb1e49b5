"""What reaches a terminal: no character that it obeys, and tables that fit."""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from loopsphere.cli.commands import app
from loopsphere.cli.console import printable
from loopsphere.cli.tables import oddest_table, shortened, similar_table
from loopsphere.types import Explanation, LoopScore, Reason, ScoreResult
from loopsphere.verbs.similar import SimilarLoop, SimilarResult

NASTY = "a\x1b]0;title\x07\x1b[31m\nb\x9b\u202ec\r.wav"
SHOWN = r"a\x1b]0;title\x07\x1b[31m\nb\x9b\u202ec\r.wav"


FOLDER = "/home/a producer/Samples/Höfner 🎸 basses"


@pytest.fixture(scope="module")
def result():
    """A dozen loops deep in folders, each with a reason of an ordinary length."""
    paths = [f"{FOLDER}/session {i} of the long winter/take {i} (final).wav" for i in range(12)]
    why = "higher than any of your 213 loops (crest factor 24.1 dB, usually 9.8 to 15.2 dB)"
    reason = Reason("crest_db", "style", why, 9.0, 24.1, (9.8, 15.2))
    return ScoreResult(
        "bundled", "knn", 0.05, 1.0,
        loops=tuple(LoopScore(path, 123.4, 12.3456, 0.01, i < 3) for i, path in enumerate(paths)),
        explanations=tuple(Explanation(path, (reason,), (), (), {}) for path in paths),
    )  # fmt: skip


def printed(width, table):
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(("width", "most"), [(60, 4), (80, 3), (100, 3), (140, 2)])
def test_a_row_fits_a_narrow_terminal(result, width, most):
    lines = printed(width, oddest_table(result, 12, width=width))
    assert len(lines) <= 1 + 12 * most
    assert all(cell_len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    for i in range(12):
        assert f"{i} (final).wav" in text  # the end of a name tells it from others
    assert "…" in text
    assert text.count("crest factor") == 12


def test_a_wide_terminal_and_a_pipe_show_whole_paths(result):
    for table in (oddest_table(result, 12, width=300), oddest_table(result, 12)):
        text = "\n".join(printed(300, table))
        assert all(loop.path in text for loop in result.loops)
        assert len(text.splitlines()) == 13


def test_similar_loops_fit_a_narrow_terminal():
    near = tuple(SimilarLoop(f"{FOLDER}/{'x' * 80}/take {i}.wav", (), 0.9, 120.0, "C#m") for i in range(5))
    found = SimilarResult("q.wav", 5, near)
    lines = printed(60, similar_table(found, width=60))
    assert len(lines) == 6
    assert all(f"take {i}.wav" in lines[i + 1] for i in range(5))
    assert all(loop.path in "\n".join(printed(300, similar_table(found))) for loop in near)


@pytest.mark.parametrize(
    ("text", "n_cells", "short"),
    [
        ("loops/kick.wav", 14, "loops/kick.wav"),
        ("loops/drums/kick.wav", 13, "loop…kick.wav"),
        ("ドラム/キック.wav", 13, "ドラ…ック.wav"),
        ("abcdef", 1, "…"),
    ],
)
def test_the_middle_is_left_out_by_cells(text, n_cells, short):
    assert shortened(text, n_cells) == short
    assert cell_len(short) <= n_cells


def run(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_control_characters_are_shown_and_others_kept():
    assert printable(NASTY) == SHOWN
    assert printable("Schöne Loops 🎸 👩\u200d🎤 \\ [a].wav") == "Schöne Loops 🎸 👩\u200d🎤 \\ [a].wav"


@pytest.fixture(scope="module")
def nasty(collection, tmp_path_factory):
    """A folder of that name, with bass loops, two copies and a broken file of such names."""
    if sys.platform == "win32":
        pytest.skip("Windows has no such names")
    folder = tmp_path_factory.mktemp("nasty") / NASTY
    folder.mkdir()
    for number, loop in enumerate(sorted((collection / "bass").rglob("*.wav"))):
        shutil.copy(loop, folder / f"{number}{NASTY}")
    shutil.copy(loop, folder / f"copy {NASTY}")
    (folder / f"broken {NASTY}").write_bytes(b"RIFF")
    return folder


def is_tame(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "command",
    [
        "scan {loops} --detector knn --no-explain --json -",
        "scan {loops} --detector knn --alpha 0.3 --no-library --playlist {new}/odd.m3u8 --copy-to {new}/odd",
        "scan {loops} --detector knn --alpha 0.3 --top 1 --out {new}",
        "scan {broken}",
        "scan {loops}/none",
        "fit {loops} -o {new}/a.loopsphere --detector knn",
        "score {loops}/none.loopsphere {loops}",
        "score {broken} {loops}",
        "explain {loop} {loops} --detector knn",
        "explain {broken} {loops}",
        "duplicates {loops}",
        "similar {loop} --in {loops} --top 3",
        "similar {broken} --in {loops}",
        "embed {loops} -o {new}/a.npz",
        "embed {loops} -o {new}/a.txt",
        "info {broken}",
        "info {loops}",
        "benchmark --embeddings {broken} --out {new}",
        "scan {loops} --library {broken}",
        "scan {loops} --encoder {loops}",
        "scan {loops} --odd {broken}",
        "scan {loops} --out {broken}",
        "score {loops} {loops} --copy-to {broken}",
    ],
)
def test_no_command_lets_a_name_speak_to_the_terminal(nasty, tmp_path, command):
    places = {
        "loops": nasty,
        "loop": nasty / f"1{NASTY}",
        "broken": nasty / f"broken {NASTY}",
        "new": tmp_path / NASTY,
    }
    done = run(*(part.format(**places) for part in command.split()))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert is_tame(done.stdout), done.stdout
    assert is_tame(done.stderr), done.stderr
    assert re.search("x1b|u001b", done.output.replace("\n", ""))  # the name was there, escaped
