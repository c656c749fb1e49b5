"""The second scan of a folder in which nothing has changed: the same answer, without what takes long."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SCAN = """
import sys
from loopsphere.cli import main
try:
    main()
finally:
    print([name for name in ("torch", "sklearn", "lancedb", "scipy.stats", "pandas") if name in sys.modules])
"""
_UNIMPORTED = "[]"


def scan(folder: Path, out: Path) -> str:
    """Scan in a new process; return which of the slow libraries it imported."""
    command = [sys.executable, "-c", _SCAN, "scan", str(folder), "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    return done.stdout.splitlines()[-1]


def page(out: Path) -> str:
    """Return a page without what tells of the run itself."""
    html = (out / "report" / "index.html").read_text("utf-8")
    return re.sub(r'\["(Written|Took)",\s*"[^"]*"\]', "", html)


@pytest.fixture(scope="module")
def scanned(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder that was scanned once, and what that wrote."""
    folder = tmp_path_factory.mktemp("second") / "Schöne Loops 🎸"
    shutil.copytree(collection / "drums", folder)
    (folder / "broken.wav").write_bytes(b"RIFF")
    out = folder.parent / "first"
    assert scan(folder, out) != _UNIMPORTED
    return folder, out


def test_it_answers_the_same_and_imports_nothing_slow(scanned, tmp_path):
    folder, first = scanned
    second = first.parent / "again"  # the page links to the loops from where it lies
    assert scan(folder, second) == _UNIMPORTED
    for name in ("results.json", "results.csv"):
        assert (second / name).read_bytes() == (first / name).read_bytes()
    assert page(second) == page(first)


@pytest.mark.slow
def test_it_answers_as_a_scan_does_that_remembers_nothing(scanned, tmp_path):
    folder, first = scanned
    plain = tmp_path / "plain"
    command = [sys.executable, "-m", "loopsphere", "scan", str(folder), "--no-library", "--no-report"]
    subprocess.run([*command, "--out", str(plain)], check=True, capture_output=True)
    assert json.loads((plain / "results.json").read_text("utf-8")) == json.loads(
        (first / "results.json").read_text("utf-8")
    )
