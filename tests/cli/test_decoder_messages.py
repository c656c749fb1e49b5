"""Nothing but our own lines on standard error, whatever the decoders say; and all of those."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_files import SR, tones

INSIDE = """
import os, subprocess, sys, warnings
from loopsphere.cli import decoder_messages
with decoder_messages.left_out():
    os.write(2, b"[src/libmpg123/layer3.c:INT123_do_layer3():1844] error: dequantization failed!\\n")
    os.write(2, b"of another library\\n")
    os.write(2, b"without an end")
    print("of Python", file=sys.stderr)
    warnings.warn("a warning")
    subprocess.run([sys.executable, "-c", "import sys; print('of a child', file=sys.stderr)"])
    print(sys.stderr.isatty(), file=sys.stderr)
print("afterwards", file=sys.stderr)
os.write(2, b"[src/libmpg123/ again\\n")
"""


def damaged_mp3(path: Path, seed: int) -> None:
    """Write an MP3 in which bits are wrong: it decodes, with complaints."""
    sf.write(path, tones(SR, 1.0, seed), SR, format="MP3")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(2_000, len(data), 12):
        if 0xFF not in data[at - 4 : at + 5]:
            data[at] ^= 0x14
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(6):
        damaged_mp3(tmp_path / f"{seed}.mp3", seed)
    return tmp_path


def run(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], text=True, stderr=subprocess.PIPE, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_a_damaged_mp3_writes_nothing_of_its_own(folder):
    said = run("-c", f"from loopsphere import embed; embed({str(folder)!r}, encoder=None)").stderr
    assert "libmpg123" in said  # what this guards against
    done = run("-m", "loopsphere", "duplicates", str(folder), stdout=subprocess.DEVNULL)
    assert done.returncode == 0
    assert done.stderr == ""


def test_all_else_arrives():
    said = run("-c", INSIDE).stderr
    lines = said.splitlines()
    for line in ("of another library", "without an end", "of Python", "of a child", "False", "afterwards"):
        assert line in said, said
    assert "a warning" in said
    assert [line for line in lines if "libmpg123" in line] == ["[src/libmpg123/ again"]
    assert said.index("afterwards") > said.index("without an end")


def test_an_error_and_its_status_arrive(tmp_path):
    done = run("-m", "loopsphere", "scan", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.startswith("loopsphere: no audio files found")


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_terminal_stays_one(folder):
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "loopsphere", "duplicates", str(folder), "--no-library"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 65_536):
            said += more
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert b"reading loops" in said
    assert b"libmpg123" not in said
