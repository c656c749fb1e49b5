"""Tables of results as researchers and spreadsheets read them."""

from __future__ import annotations

import csv
import json
import os

import pytest

from loopsphere.export.tables import json_text, write_results
from loopsphere.types import LoopScore, ScoreResult

FORMULAS = [
    "=1+1.wav",
    "+1.wav",
    "-1.wav",
    "@SUM(A1).wav",
    "\t=1.wav",
    "\r=1.wav",
    "=cmd|' /C calc'!A0",
    "＝1.wav",
]
OTHERS = [
    *("kick.wav", "drums/=1.wav", "./-1.wav", "/loops/+1.wav"),
    *("a,b.wav", 'a"b.wav', "a\nb.wav", "a\rb.wav", "ü 🎸.wav"),
]


def result_of(paths: list[str]) -> ScoreResult:
    loops = tuple(LoopScore(path, 2.0, -0.5, 0.5, False) for path in paths)
    return ScoreResult("bundled", "knn", 0.05, 1.0, loops)


def test_a_path_is_no_formula_and_still_leads_to_the_file(tmp_path):
    write_results(tmp_path, result_of(FORMULAS + OTHERS))
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    assert paths == [f"./{path}" for path in FORMULAS] + OTHERS
    assert [os.path.normpath(path) for path in paths] == [
        os.path.normpath(path) for path in FORMULAS + OTHERS
    ]
    record = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [loop["path"] for loop in record["loops"]] == FORMULAS + OTHERS


def test_pandas_reads_every_path(tmp_path):
    pandas = pytest.importorskip("pandas")
    write_results(tmp_path, result_of(FORMULAS + OTHERS))
    table = pandas.read_csv(tmp_path / "results.csv")
    assert table["path"].tolist() == [f"./{path}" for path in FORMULAS] + OTHERS
    assert table["anomaly_score"].tolist() == [-0.5] * len(table)
    assert table["is_odd"].dtype == bool


def test_lines_of_the_table_end_alike(tmp_path):
    write_results(tmp_path, result_of(["kick.wav"]))
    lines = (tmp_path / "results.csv").read_bytes().split(b"\n")
    assert lines == [
        b"path,duration_s,anomaly_score,p_value,is_odd,reasons",
        b"kick.wav,2.0,-0.5,0.5,False,",
        b"",
    ]


def test_json_holds_no_character_that_a_terminal_obeys():
    record = {"path": "\x1b[31m \x9b31m \x7f \u202e ü 🎸"}
    text = json_text(record)
    assert json.loads(text) == record
    assert all(line.isprintable() for line in text.splitlines())
    assert "ü 🎸" in text
