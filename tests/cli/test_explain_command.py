"""`loopsphere explain` and the reasons of `loopsphere scan`, as a person or a script meets them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from loopsphere.cli.commands import app
from loopsphere.collection.embedding import embed
from loopsphere.library import open_library
from loopsphere.verbs import explain_loop

DETECTOR = ("--detector", "pca")  # fast


def run(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def drums(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drum loops of the collection, and a stranger that is clipped."""
    folder = tmp_path_factory.mktemp("explain") / "drums"
    shutil.copytree(collection / "drums", folder)
    path = sorted(folder.rglob("*.wav"))[0]
    samples, rate = sf.read(path)
    sf.write(folder / "clipped.wav", np.clip(6 * samples / np.abs(samples).max(), -1, 1), rate)
    return folder


def test_explain_tells_everything_in_words_and_as_json(drums, tmp_path):
    written = tmp_path / "loop.json"
    found = run("explain", drums / "clipped.wav", drums, *DETECTOR, "--json", written)
    assert found.exit_code == 0, found.output
    assert "fault: clipped for" in found.output
    assert "nearest normal loops" in found.output
    assert "tempo" in found.output
    record = json.loads(written.read_text(encoding="utf-8"))
    assert record["score"]["path"].endswith("clipped.wav")
    assert record["explanation"]["reasons"][0]["attribute"] == "clipped_share"
    assert len(record["explanation"]["neighbours"]) == 5
    assert record["normal"]["usual"]["tempo_bpm"][0] > 60


def held(library):
    """What a library knows, but for when it looked: a file as young as the last look is looked at again."""
    return {path: (file.audio_hash, file.missing_since) for path, file in library.files().items()}


def test_explain_recalls_the_folder_and_adds_nothing_to_it(drums, collection):
    library = open_library(drums / ".loopsphere")
    embed(drums, library=library)
    known = held(library)
    stranger = sorted((collection / "guitar").rglob("*.wav"))[0]
    found = run("explain", stranger, drums, *DETECTOR, "--json", "-")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert record["score"]["path"] == str(stranger)
    assert all(Path(near["path"]).is_relative_to(drums) for near in record["explanation"]["neighbours"])
    assert held(open_library(library.location)) == known
    without = run("explain", stranger, drums, *DETECTOR, "--json", "-", "--no-library")
    assert json.loads(without.stdout) == record
    shutil.rmtree(drums / ".loopsphere")


def test_explain_against_a_model_names_faults_and_says_what_it_cannot(drums, tmp_path):
    model = tmp_path / "drums.loopsphere"
    assert run("fit", drums, "-o", model, *DETECTOR).exit_code == 0
    found = run("explain", drums / "clipped.wav", model)
    assert found.exit_code == 0, found.output
    assert "fault: clipped for" in found.output
    assert "a model remembers no attributes" in found.output
    assert "style:" not in found.output


def test_explain_refuses_what_is_no_loop(drums, tmp_path):
    (tmp_path / "words.wav").write_text("no sound at all, just words" * 10)
    found = run("explain", tmp_path / "words.wav", drums)
    assert found.exit_code == 1
    assert "words.wav: not audio" in found.output


def test_scan_gives_reasons_in_the_table_and_the_files_unless_told_not_to(drums, tmp_path):
    found = run("scan", drums, *DETECTOR, "--out", tmp_path / "with", "--top", "3")
    assert found.exit_code == 0, found.output
    assert "why" in found.output.splitlines()[0]
    record = json.loads((tmp_path / "with" / "results.json").read_text(encoding="utf-8"))
    by_path = {Path(explanation["path"]).name: explanation for explanation in record["explanations"]}
    assert by_path["clipped.wav"]["faults"][0]["attribute"] == "clipped_share"
    assert record["normal"]["typical"]
    with (tmp_path / "with" / "results.csv").open(encoding="utf-8", newline="") as file:
        reasons = {Path(row["path"]).name: row["reasons"] for row in csv.DictReader(file)}
    assert "clipped for" in reasons["clipped.wav"]

    plain = run("scan", drums, *DETECTOR, "--out", tmp_path / "without", "--no-explain")
    assert plain.exit_code == 0, plain.output
    record = json.loads((tmp_path / "without" / "results.json").read_text(encoding="utf-8"))
    assert record["explanations"] == [] and record["normal"] is None


def test_wrong_arguments_are_refused_before_anything_is_heard(tmp_path):
    for option, value, status, said in (
        ("--detector", "none", 2, "none"),
        ("--alpha", "0", 1, "alpha is a false-alarm rate between 0 and 1, not 0.0"),
    ):
        found = run("explain", tmp_path / "absent.wav", tmp_path, option, value)
        assert found.exit_code == status
        assert said in found.stderr
        assert "absent.wav" not in found.stderr


@pytest.mark.parametrize("detector", ["pca", "pca+attributes"])
@pytest.mark.parametrize("becomes", ["gone", "another"])
def test_a_loop_that_goes_meanwhile_is_named(drums, tmp_path, monkeypatch, detector, becomes):
    folder = tmp_path / "drums"
    shutil.copytree(drums, folder, ignore=shutil.ignore_patterns(".loopsphere"))
    first, second = sorted(folder.rglob("*.wav"))[:2]
    scan = explain_loop.scan_embeddings

    def go(*arguments, **options):
        first.unlink()
        if becomes == "another":
            shutil.copy(second, first)
        return scan(*arguments, **options)

    monkeypatch.setattr(explain_loop, "scan_embeddings", go)
    found = run("explain", first, folder, "--detector", detector, "--no-library")
    assert found.exit_code == 1
    assert found.stderr.startswith(f"loopsphere: {first}: it has gone or changed since it was heard")
    assert len(found.stderr.splitlines()) == 1


def test_a_loop_that_changes_between_two_looks_is_named(drums, tmp_path, monkeypatch):
    folder = tmp_path / "drums"
    shutil.copytree(drums, folder, ignore=shutil.ignore_patterns(".loopsphere"))
    first, second = sorted(folder.rglob("*.wav"))[:2]
    embed = explain_loop.embed_with

    def change(*arguments, **options):
        shutil.copy(second, first)
        return embed(*arguments, **options)

    monkeypatch.setattr(explain_loop, "embed_with", change)
    found = run("explain", first, folder, "--detector", "pca", "--no-library")
    assert found.exit_code == 1
    assert found.stderr.startswith(f"loopsphere: {first}: it has gone or changed since it was heard")
