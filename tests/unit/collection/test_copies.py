"""Copies of one loop, loops alike and loops moved: found by their sound, and nothing else taken for them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr

from loopsphere.audio import load_clip
from loopsphere.collection import copies as collection
from loopsphere.collection.copies import DuplicateResult, duplicate_groups, find_duplicates
from loopsphere.library import open_library
from loopsphere.matching.fingerprint import FINGERPRINT_RATE_HZ, fingerprint, similar_pairs
from loopsphere.matching.verdicts import VERDICTS_VERSION, Verdict
from loopsphere.synth import LoopSpec, render
from loopsphere.types import EmbedResult

RATE = 44_100
BASS = LoopSpec("electric_bass", "funk_bass", 27, seed=1, bpm=112, root=9, scale="dorian", bars=1)


def write(path: Path, waveform: np.ndarray, rate: int = RATE, **how: str) -> Path:
    sf.write(path, waveform, rate, **how)
    return path


def known(paths: Sequence[Path]) -> EmbedResult:
    """What `embed` returns of files, with a spectrum in place of the network's embedding."""
    rows, prints, clips = [], [], []
    for path in paths:
        clip = load_clip(path, FINGERPRINT_RATE_HZ)
        spectrum = np.abs(np.fft.rfft(clip.waveform, 1 << 16))[1:]
        edges = np.geomspace(1, len(spectrum), 65).astype(int)
        rows.append(
            [np.log1p(spectrum[low : max(high, low + 1)].mean()) for low, high in itertools.pairwise(edges)]
        )
        prints.append(fingerprint(clip.waveform))
        clips.append(clip)
    return EmbedResult(
        encoder="spectrum",
        encoder_hash="0" * 64,
        paths=tuple(map(str, paths)),
        durations_s=np.array([clip.duration_s for clip in clips]),
        audio_hashes=tuple(clip.audio_hash for clip in clips),
        embedding=np.array(rows, dtype=np.float32),
        fingerprints=np.stack(prints),
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loops")
    return write(folder / "a bass.wav", render(BASS), subtype="PCM_16")


@pytest.fixture(scope="module")
def waveform(original: Path) -> np.ndarray:
    return sf.read(original, dtype="float32")[0]


@pytest.fixture(scope="module")
def others(original: Path) -> list[Path]:
    """Other loops by the same player, in the same tempo and key."""
    return [
        write(original.with_name(f"other {seed}.wav"), render(replace(BASS, seed=seed, humanise_s=0.005)))
        for seed in range(2, 6)
    ]


def pair_of(found: DuplicateResult, path: Path) -> collection.LikePair:
    return next(pair for pair in found.pairs if str(path) in (pair.first, pair.second))


def test_copies_in_other_formats_are_one_group(original, waveform, others) -> None:
    folder = original.parent
    copies = [
        write(folder / "b.flac", waveform),
        write(folder / "c 24 bit.wav", waveform, subtype="PCM_24"),
        write(folder / "d quieter.wav", 0.25 * waveform),
        write(folder / "e.ogg", waveform),
        write(folder / "f.opus", soxr.resample(waveform, RATE, 48_000), 48_000, format="OGG", subtype="OPUS"),
        write(folder / "g.mp3", 0.5 * waveform),
        write(folder / "h.wav", soxr.resample(waveform, RATE, 22_050), 22_050),
    ]
    embedded = known([original, *copies, *others])
    found = find_duplicates(embedded, related=False)
    assert found.groups == ((str(original), *map(str, copies)),)
    assert found.n_superfluous == 7
    groups = duplicate_groups(embedded)
    assert len(set(groups[:8].tolist())) == 1
    assert len(set(groups.tolist())) == 5
    exact = {pair.second for pair in found.pairs if pair.kind == "exact"}
    assert exact == {str(copies[0]), str(copies[1])}
    quieter = pair_of(found, copies[2])
    assert (quieter.kind, quieter.reason) == ("same audio", "the same audio, 12.0 dB quieter")
    assert quieter.gain_db == pytest.approx(-12.0, abs=0.1)
    assert "opus instead of wav" in pair_of(found, copies[4]).reason


def test_a_loop_with_other_notes_in_its_middle_is_nearly_the_same(original, waveform, others) -> None:
    edited, middle = waveform.copy(), slice(RATE // 2, RATE)
    edited[middle] = sf.read(others[0], dtype="float32")[0][middle]
    path = write(original.with_name("i edited.wav"), edited)
    found = find_duplicates(known([original, path, *others]), related=False)
    assert found.groups == ()
    assert [pair.kind for pair in found.pairs] == ["near-duplicate"]
    assert found.pairs[0].reason.startswith("nearly the same audio (")


def test_moved_loops_are_related_however_many_copies_there_are(original, waveform, others) -> None:
    folder = original.parent
    copies = [
        write(folder / f"copy at {gain}.wav", gain * waveform) for gain in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    ]
    begun_elsewhere = write(folder / "j shifted.wav", np.roll(waveform, RATE // 2))
    higher = write(folder / "k higher.wav", render(replace(BASS, transpose=2)))
    found = find_duplicates(known([original, *copies, begun_elsewhere, higher, *others]))
    assert found.groups == ((str(original), *map(str, copies)),)
    shifted, transposed = pair_of(found, begun_elsewhere), pair_of(found, higher)
    assert (shifted.kind, abs(shifted.shift_s)) == ("time-shifted", pytest.approx(0.5, abs=0.01))
    assert (transposed.kind, abs(transposed.semitones)) == ("transposed", 2)
    assert transposed.reason.startswith("the same notes, 2 semitones ")


def test_a_moved_loop_is_found_among_many_takes_of_its_pack(original, waveform) -> None:
    folder = original.parent
    takes = [
        write(folder / f"take {seed}.wav", render(replace(BASS, seed=seed, humanise_s=0.02)))
        for seed in range(10, 40)
    ]
    begun_elsewhere = write(folder / "p shifted.wav", np.roll(waveform, RATE // 2))
    lower = write(folder / "q lower.wav", render(replace(BASS, transpose=-3)))
    found = find_duplicates(known([original, *takes, begun_elsewhere, lower]))
    related = {(pair.first, pair.second): pair for pair in found.pairs}
    assert related[str(original), str(begun_elsewhere)].kind == "time-shifted"
    assert related[str(original), str(lower)].semitones == -3


def test_a_verdict_turned_has_no_negative_zeros() -> None:
    turned = Verdict("transposed", coherence=0.9, gain_db=1.5, semitones=2).turned()
    assert (turned.gain_db, turned.semitones, str(turned.shift_s)) == (-1.5, -2, "0.0")


def test_notes_of_an_instrument_are_not_each_other_transposed(tmp_path: Path) -> None:
    seconds = np.arange(2 * RATE) / RATE
    partials = np.arange(1, 9)[:, None]

    def struck(hz: float, at_s: float = 0.0) -> np.ndarray:
        since = np.maximum(seconds - at_s, 0.0)
        waves = np.sin(2 * np.pi * hz * partials * since) * np.exp(-partials * since) / partials
        return 0.2 * waves.sum(axis=0)

    pitches = 110.0 * 2.0 ** (np.array([0, 2, 5]) / 12.0)
    notes = [write(tmp_path / f"note {hz:.0f}.wav", struck(hz)) for hz in pitches]
    assert find_duplicates(known(notes)).pairs == ()
    tunes = [
        write(tmp_path / f"tune {hz:.0f}.wav", struck(hz) + struck(1.5 * hz, 0.5) + struck(1.2 * hz, 1.2))
        for hz in pitches
    ]
    intervals = {abs(pair.semitones) for pair in find_duplicates(known([*notes, *tunes])).pairs}
    assert intervals == {2, 3, 5}


def test_a_gone_file_is_no_copy_of_anything(original, waveform) -> None:
    path = write(original.with_name("l soon gone.wav"), 0.5 * waveform)
    embedded = known([original, path])
    path.unlink()
    assert find_duplicates(embedded).groups == ()


def test_what_was_compared_is_not_read_again(original, waveform, tmp_path, monkeypatch) -> None:
    path = write(original.with_name("m quieter.wav"), 0.5 * waveform)
    begun_elsewhere = write(original.with_name("m shifted.wav"), np.roll(waveform, RATE // 2))
    embedded = known([original, path, begun_elsewhere])
    library = open_library(tmp_path / ".loopsphere")
    first = find_duplicates(embedded, library=library)
    assert len(library.verdicts(f"copies-{VERDICTS_VERSION}")) == 3
    assert len(library.verdicts(f"turned-{VERDICTS_VERSION}")) == 1

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(collection, "waveform_again", refuse)
    assert find_duplicates(embedded, library=open_library(library.location)) == first


def test_nothing_is_remembered_of_files_that_were_replaced(original, waveform, tmp_path) -> None:
    loops = [original, write(tmp_path / "louder.wav", 0.5 * waveform), tmp_path / "turned.wav"]
    write(loops[2], np.roll(waveform, RATE // 2))
    embedded, library = known(loops), open_library(tmp_path / ".loopsphere")
    kept = [path.read_bytes() for path in loops]
    noise = np.random.default_rng(0).standard_normal(len(waveform))
    for k, path in enumerate(loops[1:]):
        write(path, 0.1 * np.roll(noise, k))
    assert find_duplicates(embedded, library=library).pairs == ()
    for path, content in zip(loops, kept, strict=True):
        path.write_bytes(content)
    found = find_duplicates(embedded, library=open_library(library.location))
    assert found == find_duplicates(embedded)
    assert {pair.kind for pair in found.pairs} == {"same audio", "time-shifted"}


def test_without_fingerprints_only_the_same_samples_are_one(original, waveform) -> None:
    copy = write(original.with_name("n.flac"), waveform)
    quieter = write(original.with_name("o quieter.wav"), 0.5 * waveform)
    embedded = replace(known([original, copy, quieter]), fingerprints=None)
    groups = duplicate_groups(embedded)
    assert groups[0] == groups[1] != groups[2]


def test_pairs_are_found_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 16)).astype(np.float32)
    rows[[7, 31, 49]] = rows[3] + 0.1 * rng.standard_normal((3, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = list(itertools.combinations([3, 7, 31, 49], 2))
    for n_cosines in (1 << 24, 50 * 8, 1):  # all at once, eight rows at a time, one by one
        monkeypatch.setattr("loopsphere.matching.fingerprint._BLOCK_COSINES", n_cosines)
        assert similar_pairs(rows, 0.9) == alike


def test_groups_are_numbered_by_the_loops_and_not_by_their_hashes(original, others) -> None:
    embedded = known([original, *others])
    turned = replace(embedded, audio_hashes=tuple(audio_hash[::-1] for audio_hash in embedded.audio_hashes))
    assert sorted(turned.audio_hashes) != [audio_hash[::-1] for audio_hash in sorted(embedded.audio_hashes)]
    numbers = list(range(len(embedded.paths)))
    assert duplicate_groups(embedded).tolist() == duplicate_groups(turned).tolist() == numbers


def test_pairs_come_in_the_order_of_the_loops(original, waveform, monkeypatch) -> None:
    louder = write(original.with_name("p louder.wav"), 0.5 * waveform)
    copy = write(original.with_name("q.ogg"), waveform)
    embedded = known([original, louder, copy])
    judged = collection._judged

    def with_other_digits(*arguments: Any) -> list[collection.Judged]:
        pairs = judged(*arguments)
        return [
            (pair, replace(verdict, coherence=0.9 + at / 1000)) for at, (pair, verdict) in enumerate(pairs)
        ]

    found = [(pair.first, pair.second, pair.reason) for pair in find_duplicates(embedded).pairs]
    monkeypatch.setattr(collection, "_judged", with_other_digits)
    again = [(pair.first, pair.second, pair.reason) for pair in find_duplicates(embedded).pairs]
    assert again == found
    assert [second for _, second, _ in found] == [str(louder), str(copy), str(copy)]
