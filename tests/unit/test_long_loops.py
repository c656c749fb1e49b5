"""Long and high-rate files: resampled while they are decoded, measured piece by piece."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soxr

from audio_files import SR, melody, tones, write_wav
from loopsphere.audio import limits, load_recording, loading
from loopsphere.audio.samples import Samples
from loopsphere.explain import measure
from loopsphere.explain.attributes import spectra
from loopsphere.matching import comparison


@pytest.mark.parametrize(("file_rate", "rate"), [(44_100, 32_000), (192_000, 48_000), (22_050, 32_000)])
@pytest.mark.parametrize("n_channels", [None, 2])
@pytest.mark.parametrize("n_block", [1_152, 65_536, None])
def test_blocks_are_resampled_to_the_same_bits_as_the_whole(file_rate, rate, n_channels, n_block):
    rng = np.random.default_rng(0)
    shape = (3 * file_rate + 17,) if n_channels is None else (3 * file_rate + 17, n_channels)
    whole = rng.normal(size=shape).astype(np.float32)
    samples, start = Samples(file_rate, rate, n_channels), 0
    while start < len(whole):
        end = start + (int(rng.integers(1, 9_000)) if n_block is None else n_block)
        samples.add(whole[start:end])
        start = end
    np.testing.assert_array_equal(samples.whole(), soxr.resample(whole, file_rate, rate, quality="HQ"))


@pytest.mark.parametrize("promised_s", [None, 0.2, 3.0])
def test_a_wrong_promise_of_the_length_changes_nothing(promised_s):
    signal = tones(SR, 1.0)
    samples = Samples(SR, SR, 2, promised_s)
    for start in range(0, SR, 5_000):
        samples.add(signal[start : start + 5_000])
    np.testing.assert_array_equal(samples.whole(), signal)


def test_a_recording_that_is_too_long_is_lowered_and_says_so(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "a.wav", tones(96_000, 2.0), 96_000)
    as_stored = load_recording(path)
    assert as_stored.file_sample_rate is None
    monkeypatch.setattr(loading, "LONGEST_RECORDING", 150_000)
    lowered = load_recording(path)
    assert (lowered.sample_rate, lowered.file_sample_rate) == (48_000, 96_000)
    assert lowered.audio_hash == as_stored.audio_hash
    expected = soxr.resample(as_stored.samples, 96_000, 48_000, quality="HQ")
    np.testing.assert_array_equal(lowered.samples, expected)
    before, after = measure(as_stored), measure(lowered)
    assert after.sample_rate_hz == 96_000
    assert (after.clipped_share, after.resolution_bits) == (None, None)
    assert after.brightness_hz == pytest.approx(before.brightness_hz, rel=0.05)
    assert after.loudness_lufs == pytest.approx(before.loudness_lufs, abs=0.1)
    assert after.key == before.key
    assert limits.LONGEST_RECORDING == limits.MAX_DURATION_S * limits.LOWERED_RATE_HZ


def test_a_loop_measured_in_pieces_is_the_same_loop(tmp_path, monkeypatch):
    signal = np.stack([melody(20.0, 1), melody(20.0, 2)], axis=1)
    signal[200_000:260_000] = 0.0
    path = write_wav(tmp_path / "a.wav", np.clip(1.3 * signal, -0.8, 0.8), 32_000)
    whole = measure(load_recording(path))
    monkeypatch.setattr(spectra, "_SAMPLES_AT_ONCE", 1 << 16)
    in_pieces = measure(load_recording(path))
    # The gating blocks of pieces begin with a filter at rest.
    assert in_pieces.loudness_lufs == pytest.approx(whole.loudness_lufs, abs=0.05)
    for name, value in whole.to_dict().items():
        if name != "loudness_lufs":
            found = getattr(in_pieces, name)
            assert found == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value), name


def test_copies_compared_in_pieces_are_the_same_copies(monkeypatch):
    first = melody(12.0, 3, 16_000)
    second = 0.5 * np.roll(first, 160) + np.float32(1e-4)
    whole = comparison.compare(first, second)
    for name, value in (("_FRAMES_AT_ONCE", 50), ("_BINS_AT_ONCE", 1_000), ("_LONG_BINS", 1)):
        monkeypatch.setattr(comparison, name, value)
    in_pieces = comparison.compare(first, second)
    assert vars(in_pieces) == pytest.approx(vars(whole), rel=1e-4)


def write_long(path: Path, seconds: float, rate: int, n_channels: int, gain: float = 1.0) -> None:
    """Write a WAV of 16 bits that is mostly a hole in the file: a note every twenty seconds."""
    n_frames, frame_bytes = round(seconds * rate), 2 * n_channels
    note = np.round(melody(1.0, 0, rate)[: rate // 4] * gain * 16_000).astype("<i2")
    fmt = struct.pack("<IHHIIHH", 16, 1, n_channels, rate, rate * frame_bytes, frame_bytes, 16)
    header = b"RIFF\xff\xff\xff\xffWAVEfmt " + fmt
    with path.open("wb") as file:
        file.write(header + struct.pack("<4sI", b"data", n_frames * frame_bytes))
        start = file.tell()
        for at_s in np.arange(0, seconds, 20):
            file.seek(start + round(at_s * rate) * frame_bytes)
            file.write(np.repeat(note[:, None], n_channels, axis=1).tobytes())
        file.truncate(start + n_frames * frame_bytes)


def peak_kb(folder: Path, *command: str) -> int:
    """Run a command on a folder in a process of its own, and return its peak resident memory."""
    code = "import runpy, resource, sys\n" + (
        "try: runpy.run_module('loopsphere', run_name='__main__')\n"
        "finally: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return int(run.stderr.rsplit("peak ", 1)[1])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are counted in other units")
def test_two_of_the_longest_files_take_little_more_than_short_ones(tmp_path):
    """Of two workers and the comparison of both; at its own rate, one alone took 5 GB."""
    for seed in range(12):
        write_wav(tmp_path / f"{seed}.wav", melody(2.0, seed), 32_000)
    short_kb = peak_kb(tmp_path, "scan", ".", "--out", "short")
    shutil.rmtree(tmp_path / ".loopsphere")
    write_long(tmp_path / "long.wav", 600.0, 192_000, 2)
    write_long(tmp_path / "copy.wav", 600.0, 192_000, 2, gain=0.5)
    long_kb = peak_kb(tmp_path, "scan", ".", "--out", "long")
    assert long_kb - short_kb < 750_000, (short_kb, long_kb)
    found = json.loads((tmp_path / "long" / "results.json").read_text())
    assert len(found["loops"]) == 14
