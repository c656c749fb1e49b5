"""Whatever libsndfile can write: used, or skipped with a reason of ours; one file's surprise is its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_files import melody, tones, write_every_format, write_wav
from loopsphere import embed, scan
from loopsphere.audio import load_clip, load_recording, tags, waveform_again
from loopsphere.collection import embedding
from loopsphere.collection.attributes import attributes_of
from loopsphere.collection.copies import find_duplicates
from loopsphere.errors import AudioError, LibraryError


@pytest.fixture(scope="module")
def every_format(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("every format")
    written = write_every_format(folder)
    assert len(written) > 80
    return written


def test_every_format_is_read_or_refused_with_a_reason(every_format):
    reasons = {}
    for path in every_format:
        try:
            clip = load_clip(path, 32_000)
        except AudioError as error:
            reasons[path.name] = str(error)
        else:
            assert np.isfinite(clip.waveform).all()
    assert not [reason for reason in reasons.values() if "unexpected" in reason], reasons
    # Headerless ones are refused, and whatever else libsndfile writes and does not read again.
    assert len(reasons) < len(every_format) / 4, reasons


def test_tags_of_every_format_are_read_or_none(every_format):
    for path in every_format:
        assert isinstance(tags.container_tags(path), dict)
        assert tags.read_music_tags(path).tempo_bpm is None


def test_every_format_is_embedded_and_compared_or_skipped(every_format):
    result = embed(every_format, encoder=None)
    assert sorted([*result.paths, *(file.path for file in result.skipped)]) == sorted(map(str, every_format))
    assert all(record is not None for record in attributes_of(result.paths, result.audio_hashes))
    assert find_duplicates(result).n_loops == len(result.paths)


def test_formats_without_tags_end_no_scan(tmp_path):
    for seed in range(8):
        write_wav(tmp_path / f"{seed}.wav", melody(1.0, seed), 32_000)
    for seed, extension in enumerate(("caf", "au", "w64", "rf64"), start=8):
        sf.write(tmp_path / f"other.{extension}", melody(1.0, seed), 32_000, subtype="PCM_16")
    result = scan([tmp_path], seed=0)
    assert len(result.loops) == 12
    assert not result.skipped


@pytest.mark.parametrize("trips", ["container_tags", "fingerprint"])
def test_one_files_surprise_is_its_reason(tmp_path, monkeypatch, trips):
    for seed in range(3):
        write_wav(tmp_path / f"{seed}.wav", melody(1.0, seed), 32_000)

    usual = getattr(embedding, trips)
    calls = iter(range(100))

    def trip(argument):
        if next(calls) == 1:
            raise ZeroDivisionError("of one file")
        return usual(argument)

    monkeypatch.setattr(embedding, trips, trip)
    monkeypatch.setattr(embedding, "n_cores", lambda: 1)
    result = embed(tmp_path, encoder=None)
    assert [Path(path).name for path in result.paths] == ["0.wav", "2.wav"]
    (skipped,) = result.skipped
    assert Path(skipped.path).name == "1.wav"
    assert "unexpected ZeroDivisionError at test_any_format.py:" in skipped.reason
    assert skipped.reason.endswith("of one file)")


def test_a_library_that_fails_is_no_files_surprise(tmp_path, monkeypatch):
    write_wav(tmp_path / "a.wav", melody(1.0), 32_000)

    def fails(*_: object) -> None:
        raise LibraryError("cannot be read")

    monkeypatch.setattr("loopsphere.library.memory.Memory.recall", fails)
    with pytest.raises(LibraryError):
        embed(tmp_path, encoder=None)


def test_a_decoder_that_trips_is_an_audio_error(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "a.wav", tones())
    audio_hash = load_clip(path, 16_000).audio_hash

    def trips(*_: object) -> None:
        raise IndexError("beyond the end")

    monkeypatch.setattr("loopsphere.audio.loading.check_format", trips)
    said = r"^cannot be read \(unexpected IndexError at test_any_format.py:\d+: beyond the end\)$"
    with pytest.raises(AudioError, match=said):
        load_clip(path, 16_000)
    with pytest.raises(AudioError, match=said):
        load_recording(path)
    assert waveform_again(path, 16_000, audio_hash) is None


def test_a_loop_that_trips_measuring_is_left_out_and_named(tmp_path, monkeypatch):
    path = str(write_wav(tmp_path / "a.wav", tones()))
    audio_hash = load_clip(path, 16_000).audio_hash

    def trips(*_: object) -> None:
        raise IndexError("beyond the end")

    monkeypatch.setattr("loopsphere.collection.attributes.measure", trips)
    with pytest.warns(UserWarning, match=r"a\.wav was not measured: unexpected IndexError"):
        assert attributes_of([path], [audio_hash]) == [None]
