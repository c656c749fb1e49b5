"""What names and tags say of tempo and key."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from loopsphere.audio.tags import MusicTags, read_music_tags
from loopsphere.explain.filename_hints import Key, hints_from, key_in_name, key_in_tag, tempo_in_name


@pytest.mark.parametrize(
    ("stem", "bpm"),
    [
        ("funk_120bpm", 120),
        ("Funk 92.5 BPM Am", 92.5),
        ("bpm140_roller", 140),
        ("174-bpm-break", 174),
        ("house_124_Fmin", 124),
        ("90 dusty keys", 90),
        ("take_3", None),
        ("loop_001", None),
        ("808_kick_44100", None),
        ("kit_100_120", None),
        ("999bpm", None),
        ("schöner_bass_🎸_110bpm", 110),
    ],
)
def test_tempo_in_name(stem, bpm):
    assert tempo_in_name(stem) == bpm


@pytest.mark.parametrize(
    ("stem", "key"),
    [
        ("funk_120bpm_Am", Key(9, True)),
        ("riff F#min", Key(6, True)),
        ("pad_Bbmaj_90", Key(10, False)),
        ("chords-C-minor", Key(0, True)),
        ("lead_Eb", Key(3, None)),
        ("bass_G", Key(7, None)),
        ("A_long_day", None),
        ("take_A", None),
        ("Em_intro", Key(4, True)),
        ("drums", None),
        ("Dmitri_remix", None),
    ],
)
def test_key_in_name(stem, key):
    assert key_in_name(stem) == key


@pytest.mark.parametrize(
    ("text", "key"),
    [("Am", Key(9, True)), ("C", Key(0, False)), ("F# minor", Key(6, True)), ("Ebm", Key(3, True)),
     ("8A", Key(9, True)), ("8B", Key(0, False)), ("12B", Key(4, False)), ("1A", Key(8, True)), ("o", None)],
)  # fmt: skip
def test_key_in_tag(text, key):
    assert key_in_tag(text) == key


def test_tags_come_before_the_name():
    hints = hints_from("x_120bpm_Am", tempo_tag=90.0, key_tag="C")
    assert (hints.tempo_bpm, hints.tempo_source) == (90.0, "tag")
    assert (hints.key, hints.key_source) == (Key(0, False), "tag")
    unusable = hints_from("x_120bpm_Am", tempo_tag=9999.0, key_tag="?")
    assert (unusable.tempo_bpm, unusable.tempo_source, unusable.key_source) == (120.0, "name", "name")


def wav(path: Path) -> Path:
    sf.write(path, np.zeros(4410, np.float32), 44_100)
    return path


def with_chunk(path: Path, name: bytes, content: bytes) -> Path:
    data = wav(path).read_bytes() + name + struct.pack("<I", len(content)) + content
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    return path


def acid(flags: int, tempo: float) -> bytes:
    return struct.pack("<IHHfIHHf", flags, 60, 0x8000, 0.0, 8, 4, 4, tempo)


def test_acid_chunks_give_a_tempo_but_not_of_one_shots(tmp_path):
    assert read_music_tags(with_chunk(tmp_path / "loop.wav", b"acid", acid(0, 97.5))).tempo_bpm == 97.5
    assert read_music_tags(with_chunk(tmp_path / "shot.wav", b"acid", acid(1, 97.5))).tempo_bpm is None
    assert read_music_tags(with_chunk(tmp_path / "cut.wav", b"acid", acid(0, 97.5)[:10])).tempo_bpm is None


def test_id3_tags_are_read(tmp_path):
    def frame(name: bytes, text: bytes) -> bytes:
        return name + struct.pack(">I", len(text) + 1) + b"\0\0" + b"\0" + text

    frames = frame(b"TBPM", b"128") + frame(b"TKEY", b"Am")
    head = b"ID3\x03\0\0" + bytes((len(frames) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path = tmp_path / "tagged.mp3"
    sound = tmp_path / "sound.mp3"
    sf.write(sound, np.zeros(44_100, np.float32), 44_100, format="MP3")
    path.write_bytes(head + frames + sound.read_bytes())
    assert read_music_tags(path) == MusicTags(128.0, "Am")


def test_no_tags_broken_tags_and_no_file_are_no_reason_to_stop(tmp_path):
    assert read_music_tags(wav(tmp_path / "plain.wav")) == MusicTags()
    (tmp_path / "junk.mp3").write_bytes(b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + bytes(range(256)))
    assert read_music_tags(tmp_path / "junk.mp3") == MusicTags()
    assert read_music_tags(tmp_path / "missing.wav") == MusicTags()
