"""`duplicates` and `similar` as a person or a script meets them."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from loopsphere.cli.commands import app


def run(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def folder(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some drum loops, two of them once more: quieter, and begun elsewhere."""
    folder = tmp_path_factory.mktemp("copies") / "Trommeln ö 🥁"
    shutil.copytree(collection / "drums", folder)
    first, second = sorted(folder.rglob("*.wav"))[:2]
    samples, rate = sf.read(first)
    sf.write(folder / "quieter.flac", 0.5 * samples, rate)
    samples, rate = sf.read(second)
    sf.write(folder / "begun elsewhere.wav", np.roll(samples, len(samples) // 4), rate)
    for path in folder.rglob("*.*"):  # what is younger than two seconds is read again the next time
        os.utime(path, (time.time() - 60, time.time() - 60))
    return folder


def test_duplicates_are_listed_with_the_reason(folder: Path) -> None:
    result = run("duplicates", folder, "--json", folder.parent / "found.json")
    assert result.exit_code == 0, result.output
    assert "the same audio, flac instead of wav, 6.0 dB quieter" in result.stdout
    assert "around its length" in result.stdout
    assert "1 of 14 loops is a copy of another, in 1 group;" in result.stdout
    found = json.loads((folder.parent / "found.json").read_text(encoding="utf-8"))
    assert [len(group) for group in found["groups"]] == [2]
    assert {pair["kind"] for pair in found["pairs"]} >= {"same audio", "time-shifted"}
    # What was compared is remembered in the folder.
    again = run("duplicates", folder, "--json", "-")
    assert json.loads(again.stdout) == found
    assert "14 of 14 files unchanged" in again.stderr
    # Copies are told without an encoder, so there is nothing yet that could be searched.
    unheard = run("similar", folder / "quieter.flac")
    assert unheard.exit_code == 2
    assert "none of its loops was heard by this encoder; give --in FOLDER" in unheard.stderr


def test_similar_searches_a_folder(folder: Path) -> None:
    loop = folder / "begun elsewhere.wav"
    result = run("similar", loop, "--in", folder, "--top", "3", "--json", "-")
    assert result.exit_code == 0, result.output
    near = json.loads(result.stdout)["loops"]
    assert len(near) == 3
    assert near[0]["path"] == str(sorted(folder.rglob("*_*.wav"))[1])
    none = run("similar", loop, "--in", folder, "--bpm", "20-21")
    assert none.exit_code == 0
    assert "none of 13 loops is of the tempo and key asked for" in none.stdout


def test_similar_needs_something_to_search(collection: Path) -> None:
    result = run("similar", next((collection / "guitar").rglob("*.wav")))
    assert result.exit_code == 2
    assert "no folder above it has been scanned; say where to search" in result.stderr
