"""Whether copies are found and distinct loops left alone.

A thousand distinct loops of twelve packs are the hard case: a pack's loops share player, tempo, key and
style, and differ in their notes and their timing. Of each nineteenth loop, copies of every kind are written
beside them, and versions that are related to it but no copies.

Run `python benchmarks/duplicates.py --out benchmarks/duplicates.md`; about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from loopsphere.collection.copies import DuplicateResult, find_duplicates
from loopsphere.collection.embedding import embed
from loopsphere.synth import render
from loopsphere.synth.collection import DEMO_PACKS, vary
from loopsphere.synth.spec import LoopSpec
from loopsphere.types import Float32Array

RATE_HZ = 44_100
COPIED_EACH = 19  # twelve packs take turns, and each should have its copies

Write = Callable[[Path, Float32Array], Path]


def as_file(suffix: str, subtype: str, *, gain_db: float = 0.0, rate_hz: int = RATE_HZ) -> Write:
    """Return what writes a copy in a format, at a gain and a rate."""

    def write(stem: Path, waveform: Float32Array) -> Path:
        path = stem.with_name(f"{stem.name}.{suffix}")
        moved = waveform * 10.0 ** (gain_db / 20.0)
        if rate_hz != RATE_HZ:
            moved = soxr.resample(moved, RATE_HZ, rate_hz)
        file_format = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3"}.get(suffix.split(".")[-1], "OGG")
        sf.write(path, np.clip(moved, -1.0, 1.0), rate_hz, format=file_format, subtype=subtype)
        return path

    return write


def retagged(stem: Path, waveform: Float32Array) -> Path:
    """Write the same samples below another header, with tags."""
    path = stem.with_name(f"{stem.name} tagged.wav")
    with sf.SoundFile(path, "w", RATE_HZ, 1, subtype="PCM_16") as file:
        file.title, file.artist, file.comment = "another name", "somebody", "128 bpm"
        file.write(waveform)
    return path


COPIES: dict[str, Write] = {
    "the same samples, other header and tags": retagged,
    "FLAC": as_file("flac", "PCM_16"),
    "24 bit": as_file("24.wav", "PCM_24"),
    "12 dB quieter": as_file("quiet.wav", "PCM_16", gain_db=-12.0),
    "3 dB quieter": as_file("less.wav", "PCM_16", gain_db=-3.0),
    "at 48 kHz": as_file("48k.wav", "PCM_16", rate_hz=48_000),
    "at 22.05 kHz": as_file("22k.wav", "PCM_16", rate_hz=22_050),
    "MP3": as_file("mp3", "MPEG_LAYER_III"),
    "Ogg Vorbis": as_file("ogg", "VORBIS"),
    "Opus, 48 kHz": as_file("opus", "OPUS", rate_hz=48_000),
    "MP3, 6 dB quieter, 48 kHz": as_file("less.mp3", "MPEG_LAYER_III", gain_db=-6.0, rate_hz=48_000),
}
RELATED = ("begun elsewhere", "transposed", "a hundredth faster")


@dataclass(frozen=True)
class Planted:
    """What was written: paths of the distinct loops, and (kind, original, version) of the others."""

    distinct: list[str]
    copies: list[tuple[str, str, str]]
    related: list[tuple[str, str, str]]


def related_versions(spec: LoopSpec, waveform: Float32Array, number: int) -> dict[str, Float32Array]:
    """Return what sounds like a loop and is no copy of it."""
    versions = {
        "begun elsewhere": np.roll(waveform, len(waveform) // 4),
        "a hundredth faster": render(replace(spec, bpm=1.01 * spec.bpm)),
    }
    if spec.family != "drums":
        versions["transposed"] = render(replace(spec, transpose=(-3, -2, 2, 3)[number // COPIED_EACH % 4]))
    return versions


def write_loops(folder: Path, n_distinct: int) -> Planted:
    """Write all files, 16-bit WAV where nothing else is said."""
    planted = Planted([], [], [])
    for number in range(n_distinct):
        pack = DEMO_PACKS[number % len(DEMO_PACKS)]
        spec = vary(replace(pack.spec, sample_rate=RATE_HZ), seed=7_000_000 + number)
        waveform = render(spec)
        stem = folder / f"{pack.name.replace('/', ' ')} {number:04d}"
        original = as_file("wav", "PCM_16")(stem, waveform)
        planted.distinct.append(str(original))
        if number % COPIED_EACH:
            continue
        stored, _ = sf.read(original, dtype="float32")
        for kind, write in COPIES.items():
            planted.copies.append((kind, str(original), str(write(stem, stored))))
        for kind, version in related_versions(spec, waveform, number).items():
            path = as_file("wav", "PCM_16")(stem.with_name(f"{stem.name} {kind}"), version)
            planted.related.append((kind, str(original), str(path)))
    return planted


def as_markdown(planted: Planted, found: DuplicateResult) -> str:
    """Count what was found."""
    group_of = {path: number for number, paths in enumerate(found.groups) for path in paths}
    # Moved loops are compared by one file of each recording.
    kinds = {
        frozenset((group_of.get(pair.first, pair.first), group_of.get(pair.second, pair.second))): pair.kind
        for pair in found.pairs
    }

    def is_one(first: str, second: str) -> bool:
        return first in group_of and group_of[first] == group_of.get(second)

    def is_moved(first: str, second: str) -> bool:
        pair = frozenset((group_of.get(first, first), group_of.get(second, second)))
        return kinds.get(pair) in ("time-shifted", "transposed")

    lines = []
    for kind in COPIES:
        hits = [is_one(original, path) for each, original, path in planted.copies if each == kind]
        lines.append(f"| {kind} | {len(hits)} | {sum(hits)} |")
    for kind in RELATED:
        pairs = [(original, path) for each, original, path in planted.related if each == kind]
        wrong = sum(is_one(*pair) for pair in pairs)
        named = sum(is_moved(*pair) for pair in pairs)
        lines.append(f"| no copy: {kind} | {len(pairs)} | {wrong} ({named} named as the loop moved) |")
    together = [path for path in planted.distinct if path in group_of]
    false = len(together) - len({group_of[path] for path in together})
    distinct = set(planted.distinct)
    between = [pair.kind for pair in found.pairs if {pair.first, pair.second} <= distinct]
    near, moved = between.count("near-duplicate"), between.count("time-shifted") + between.count("transposed")
    table = "\n".join(lines)
    return f"""# Copies among distinct loops

`python benchmarks/duplicates.py`: {len(planted.distinct):,} distinct loops of {len(DEMO_PACKS)} packs; of
each {COPIED_EACH}th, copies and related versions. The bar: all copies found, none among distinct loops.

**Distinct loops called copies of another: {false} of {len(planted.distinct):,}**
({near} pairs called nearly the same, {moved} the same loop moved).

| version | written | called a copy |
|---|---|---|
{table}
"""


def main() -> None:
    """Write the loops, look for copies, compare with what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, default=1_000, help="Distinct ones.")
    parser.add_argument("--out", type=Path, help="Markdown; else it is printed.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        planted = write_loops(Path(name), chosen.loops)
        text = as_markdown(planted, find_duplicates(embed(name, encoder=None)))
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
