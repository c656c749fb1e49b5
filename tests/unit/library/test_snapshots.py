"""Snapshots: small tables are read without LanceDB, and an old snapshot is never believed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loopsphere.library import Library, open_library

_READER = """
import sys
from loopsphere.library import open_library
library = open_library(sys.argv[1])
print(sorted(library.attributes("1", {"a", "b"}).items()), library.vectors("k", {"a"})["a"].tolist())
print("lancedb" in sys.modules)
"""


def read_elsewhere(location: str) -> tuple[str, bool]:
    """Read in a new process; return what it found, and whether it imported LanceDB."""
    done = subprocess.run(
        [sys.executable, "-c", _READER, location], check=True, capture_output=True, text=True
    )
    found, imported = done.stdout.splitlines()
    return found, imported == "True"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = open_library(tmp_path / "Schöne Loops 🎸" / ".loopsphere")
    library.put_attributes("1", {"a": {"tempo_bpm": 90.0}, "b": {"tempo_bpm": None}})
    library.put_attributes("2", {"a": {"tempo_bpm": 0.0}})
    library.put_vectors("k", {"a": np.arange(4, dtype=np.float32)})
    return library


FOUND = "[('a', {'tempo_bpm': 90.0}), ('b', {'tempo_bpm': None})] [0.0, 1.0, 2.0, 3.0]"


def test_what_has_not_changed_is_read_without_lancedb(library):
    assert read_elsewhere(library.location) == (FOUND, False)


def test_a_snapshot_that_is_damaged_is_not_believed_and_is_taken_again(library):
    for path in Path(library.location).glob("*.snapshot"):
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
    assert read_elsewhere(library.location) == (FOUND, True)
    assert read_elsewhere(library.location) == (FOUND, False)


def test_a_snapshot_of_an_earlier_state_is_not_believed(library):
    location = Path(library.location)
    old = {path: path.read_bytes() for path in location.glob("*.snapshot")}
    assert len(old) == 2
    library.put_attributes("1", {"b": {"tempo_bpm": 100.0}})
    # As if killed between the table and its snapshot.
    for path, content in old.items():
        path.write_bytes(content)
    found, imported = read_elsewhere(library.location)
    assert "100.0" in found
    assert imported


def test_a_snapshot_of_a_table_that_is_gone_is_not_believed(library):
    shutil.rmtree(Path(library.location) / "attributes.lance")
    assert open_library(library.location).attributes("1", {"a"}) == {}


def test_a_table_that_outgrows_its_snapshot_is_read_as_before(library, monkeypatch):
    assert (Path(library.location) / "vectors-k.snapshot").exists()
    monkeypatch.setattr("loopsphere.library.snapshots.MAX_BYTES", 100)
    library.put_vectors("k", {"b": np.ones(4, dtype=np.float32)})
    assert not (Path(library.location) / "vectors-k.snapshot").exists()
    assert set(library.vectors("k", {"a", "b"})) == {"a", "b"}
