"""The files that `scan` and `score` write when asked."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loopsphere.cli import tables
from loopsphere.cli.commands import app


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments), "--no-library"])


@pytest.fixture(scope="module")
def scanned(collection, tmp_path_factory):
    """One scan that writes everything."""
    out = tmp_path_factory.mktemp("out")
    result = run(
        "scan", collection, "--detector", "knn", "--alpha", "0.1", "--no-explain", "--out", out / "results",
        "--playlist", out / "odd.m3u8", "--labels", out / "labels", "--copy-to", out / "copies",
        "--link-to", out / "links",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return out, result.stdout


def test_scan_writes_what_was_asked_for(scanned, collection) -> None:
    out, said = scanned
    record = json.loads((out / "results" / "results.json").read_text(encoding="utf-8"))
    odd = [loop["path"] for loop in record["loops"] if loop["is_odd"]]
    assert odd
    playlist = (out / "odd.m3u8").read_text(encoding="utf-8").splitlines()
    assert [(out / line).resolve() for line in playlist[2::2]] == [
        (collection / path).resolve() for path in odd
    ]
    for folder in ("copies", "links"):
        assert len(list((out / folder).iterdir())) == len(odd)
    tracks = list((out / "labels").iterdir())
    assert 0 < len(tracks) <= len(odd)
    for track in tracks:
        assert re.fullmatch(r"([\d.]+\t[\d.]+\todd \([\d.]+\)\n\\\t[\d.]+\t[\d.]+\n)+", track.read_text())
    assert f"{len(odd)} copies in {out / 'copies'}" in said
    assert str(out / "results" / "report" / "index.html") in said


def test_the_page_is_of_the_scan(scanned) -> None:
    out, _ = scanned
    html = (out / "results" / "report" / "index.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])
    assert len(data["loops"]["path"]) == 36
    assert data["loops"]["score"] == sorted(data["loops"]["score"], reverse=True)
    assert dict(data["facts"])["Detector"] == "knn"
    assert data["details"]["0"]["curve"]
    assert data["audio"]["0"]
    root = (out / "results" / "report" / data["root_url"].replace("%20", " ")).name
    assert root  # relative to the page, so that the folder can be moved as a whole


def test_no_report_is_written_unasked(collection, tmp_path) -> None:
    result = run("scan", collection, "--detector", "knn", "--no-explain", "--out", tmp_path, "--no-report")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.json"]


def test_score_writes_a_playlist_and_copies(collection, tmp_path) -> None:
    model = tmp_path / "bass.loopsphere"
    assert run("fit", collection / "bass", "-o", model, "--detector", "knn", "--alpha", "0.2").exit_code == 0
    result = run(
        "score",
        model,
        collection / "drums",
        "--playlist",
        tmp_path / "odd.m3u8",
        "--copy-to",
        tmp_path / "odd",
    )
    assert result.exit_code == 0, result.output
    n_odd = int(re.search(r"(\d+) of 12 loops (?:is|are) odd", result.stdout)[1])
    assert len(list((tmp_path / "odd").iterdir())) == n_odd > 0
    assert len((tmp_path / "odd.m3u8").read_text(encoding="utf-8").splitlines()) == 1 + 2 * n_odd


def test_what_cannot_be_written_is_refused_before_the_work(collection, tmp_path) -> None:
    (tmp_path / "taken").write_text("mine")
    result = run("scan", collection, "--out", tmp_path / "taken")
    assert result.exit_code == 1
    assert result.stderr == f"loopsphere: {tmp_path / 'taken'}: Not a directory\n"
    assert result.stdout == ""
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    "command",
    ["scan", "fit -o new.loopsphere", "embed -o new.npz", "duplicates", "explain none.wav", "demo --out"],
)
def test_a_folder_is_no_place_for_json(command, tmp_path) -> None:
    loops, taken = tmp_path / "loops", tmp_path / "taken"
    loops.mkdir()
    taken.mkdir()
    arguments = [*command.split(), tmp_path / "new" if command.startswith("demo") else loops]
    result = CliRunner().invoke(app, [*map(str, arguments), "--json", str(taken)])
    assert result.exit_code == 1
    assert result.stderr == f"loopsphere: {taken}: Is a directory\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["loops", "taken"]


def test_a_wrong_detector_leaves_no_library(tmp_path) -> None:
    result = CliRunner().invoke(app, ["scan", str(tmp_path), "--detector", "none"])
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    ["fit loops -o", "scan loops --playlist", "scan loops --json", "score model loops.parquet -o", "fit -o"],
)
def test_no_slip_of_the_hand_replaces_a_loop(command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kick.WAV").write_bytes(b"mine")
    (tmp_path / "snare.wav").write_bytes(b"mine too")
    result = CliRunner().invoke(app, [*command.split(), "kick.WAV", "snare.wav"])  # as *.wav stands for
    assert result.exit_code == 2
    assert "kick.WAV: named like a loop, and loops are never replaced; name another" in result.stderr
    assert (tmp_path / "kick.WAV").read_bytes() == b"mine"


@pytest.fixture
def own_loops(collection, tmp_path):
    """Copies of a dozen loops, to be deleted, with a name as long as names may be."""
    folder = tmp_path / "loops"
    folder.mkdir()
    for number, loop in enumerate(sorted((collection / "bass").rglob("*.wav"))):
        name = loop.name if number else f"{'ö' * 125}.wav"
        (folder / name).write_bytes(loop.read_bytes())
    return folder


@pytest.mark.parametrize("extra", ["--copy-to", "--link-to", "--labels"])
def test_results_are_written_whatever_becomes_of_the_extras(own_loops, tmp_path, monkeypatch, extra) -> None:
    """A folder that cannot be written is found out before; here it turns into a file during the work."""
    printed = tables.print_result

    def in_between(*arguments) -> None:
        printed(*arguments)
        (tmp_path / "extra").write_bytes(b"mine")

    monkeypatch.setattr(tables, "print_result", in_between)
    result = run(
        "scan", own_loops, "--detector", "knn", "--alpha", "0.2", "--no-explain", "--out", tmp_path / "out",
        "--json", tmp_path / "all.json", "--playlist", tmp_path / "odd.m3u8", extra, tmp_path / "extra",
    )  # fmt: skip
    assert result.exit_code == 1
    assert result.stderr == f"loopsphere: {tmp_path / 'extra'}: File exists\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report", "results.csv", "results.json"
    ]  # fmt: skip
    record = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert len((tmp_path / "odd.m3u8").read_text(encoding="utf-8").splitlines()) == 1 + 2 * sum(
        loop["is_odd"] for loop in record["loops"]
    )
    assert (tmp_path / "extra").read_bytes() == b"mine"


@pytest.mark.parametrize("command", ["scan", "score"])
def test_a_loop_that_goes_before_it_is_copied_is_named(own_loops, tmp_path, monkeypatch, command) -> None:
    model, gone = tmp_path / "bass.loopsphere", []
    run("fit", own_loops, "-o", model, "--detector", "knn", "--alpha", "0.2")
    printed = tables.print_result

    def in_between(console, result, n_rows) -> None:
        printed(console, result, n_rows)
        gone.extend(loop.path for loop in result.odd[:1])
        Path(gone[0]).unlink()

    monkeypatch.setattr(tables, "print_result", in_between)
    sources = [own_loops, "--detector", "knn", "--no-explain"] if command == "scan" else [model, own_loops]
    result = run(
        command, *sources, "--alpha", "0.9", "--json", tmp_path / "all.json", "--copy-to", tmp_path / "odd"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith(f"loopsphere: {gone[0]}: cannot be copied to {tmp_path / 'odd'}{os.sep}")
    assert len(result.stderr.splitlines()) == 1
    record = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    odd = [loop["path"] for loop in record["loops"] if loop["is_odd"]]
    assert f"{len(odd) - 1} copies in {tmp_path / 'odd'}" in result.stdout
    assert len(list((tmp_path / "odd").iterdir())) == len(odd) - 1 > 0
