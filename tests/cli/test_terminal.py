"""What reaches a terminal: no character that it obeys, and tables that fit."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loopsphere.cli.commands import app
from loopsphere.cli.console import printable

NASTY = "a\x1b]0;title\x07\x1b[31m\nb\x9b\u202ec\r.wav"
SHOWN = r"a\x1b]0;title\x07\x1b[31m\nb\x9b\u202ec\r.wav"


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
