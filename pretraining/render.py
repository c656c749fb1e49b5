"""Render the training pool: shards of log-mels of loops with their labels, each drawn from (seed, shard).

Run `python -m pretraining.render --out pretraining/pool --n 16384 --seed 0 --workers 2`. Finished shards
are kept, so the same command resumes.
"""

import argparse
import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from loopsphere.features.config import BUNDLED
from loopsphere.features.mel import log_mel
from pretraining.catalogue import (
    HELD_OUT_PRESETS,
    PATTERNS,
    Instrument,
    draw_family,
    draw_instrument,
    note_instruments,
    soundfont_instruments,
    synth_instruments,
)
from pretraining.drumkits import HYDROGEN
from pretraining.drums import drum_groove
from pretraining.effects import (
    apply_effects,
    direct_input,
    draw_effects,
    mild_change,
    sweep,
    swell,
    to_unit_peak,
)
from pretraining.foley import draw_foley
from pretraining.music import Song, TimedNote, make_song, perform
from pretraining.patterns import choose_pattern, pad
from pretraining.quantise import to_bytes
from pretraining.sources import SAMPLE_RATE, SOUNDFONTS, Audio, RecordedNotes, SoundFont, play_synth
from pretraining.teacher import Teacher
from pretraining.workers import share_out

log = logging.getLogger("render")

SHARD_SIZE = 512
SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("fluidr3", "musescore"),
    "eval": ("fluidr3", "musescore", "timgm"),
}
CHANCE_OF_FOLEY = 0.08
CHANCE_OF_TWIN = 0.35
CHANCE_OF_CROP = 0.25
CHANCE_OF_DIRECT_INPUT = {"guitar": 0.4, "bass": 0.25}
CHANCE_OF_SWELL = {
    "keys": 0.16, "synth": 0.1, "organ": 0.1, "strings": 0.08, "mallet": 0.08, "voice": 0.08, "guitar": 0.05,
}  # fmt: skip
CHANCE_OF_SWEEP = {"synth": 0.2, "bass": 0.07, "keys": 0.05, "guitar": 0.05, "organ": 0.05, "drums": 0.04}
"""Swells and sweeps are training's alone: the evaluation's pool stays as it was before them."""
TAIL_S = 1.8
_DATA = os.environ.get("LOOPSPHERE_DATA", Path(__file__).parents[2] / "shared" / "data")
RECORDED_NOTES = Path(_DATA) / "loops"
FETCHED_NOTES = Path(__file__).parent / "recorded"


@dataclass(frozen=True, slots=True)
class Part:
    """What one instrument plays in a loop, and its sound."""

    instrument: Instrument
    style: str
    notes: list[TimedNote]
    audio: Audio
    effects: list[str]


class Studio:
    """All the sounds of a split, and the drawing of loops from them."""

    def __init__(self, split: str, recorded_notes: Path = RECORDED_NOTES) -> None:
        evaluation = split == "eval"
        self._fonts = {name: SoundFont(SOUNDFONTS[name]) for name in SPLITS[split]}
        self._evaluation = evaluation
        self._recorded = RecordedNotes(recorded_notes, FETCHED_NOTES, HYDROGEN, evaluation=evaluation)
        self._first_preset = HELD_OUT_PRESETS if evaluation else 0
        self._instruments = note_instruments(self._recorded.groups(), evaluation=evaluation)
        self._instruments += synth_instruments()
        for name in self._fonts:
            self._instruments += soundfont_instruments(name, evaluation=evaluation)

    def draw(self, rng: np.random.Generator) -> tuple[Audio, dict[str, Any]]:
        """Draw one loop, or a sound that is none; return its waveform at 32 kHz and its labels."""
        audio, labels = self._draw(rng)
        # A preset may have no samples at the notes drawn, and a crop may miss all of them.
        while labels["density"] == 0 or float(np.abs(audio).max()) < 1e-3:
            audio, labels = self._draw(rng)
        return audio, labels

    def _draw(self, rng: np.random.Generator) -> tuple[Audio, dict[str, Any]]:
        if rng.random() < CHANCE_OF_FOLEY:
            audio, labels = draw_foley(rng)
            medium = draw_effects(rng, "sfx")[1]
            labels["fx"] = [effect.__name__ for effect in medium]
            return to_unit_peak(apply_effects(rng, audio, medium)), labels
        family = draw_family(rng, evaluation=self._evaluation)
        cropped = rng.random() < CHANCE_OF_CROP
        song = make_song(rng, extra_bars=int(rng.integers(1, 3)) if cropped else 0)
        roles = [family] if family != "mix" else self._mixed(rng)
        parts = [self._play(rng, song, role) for role in roles]
        gains = [1.0] if len(parts) == 1 else rng.uniform(0.35, 1.0, len(parts))
        mixed = sum(
            np.float32(gain) * to_unit_peak(part.audio) for gain, part in zip(gains, parts, strict=True)
        )
        start_s, stop_s = _window(rng, song, cropped)
        production, medium = draw_effects(rng, family)
        produced = apply_effects(rng, np.asarray(mixed, dtype=np.float32), production)
        audio = apply_effects(rng, _cut(produced, start_s, stop_s, wraps=not cropped), medium)
        labels = _song_labels(song) | _part_labels(parts, family) | _note_labels(parts, song, start_s, stop_s)
        effects = [effect.__name__ for effect in production + medium]
        labels["fx"] = [*dict.fromkeys(effect for part in parts for effect in part.effects), *effects]
        labels["wraps"] = not cropped
        labels["n_samples"] = len(audio)
        return to_unit_peak(audio), labels

    def _mixed(self, rng: np.random.Generator) -> list[str]:
        """Draw what plays in a mix."""
        if self._evaluation or rng.random() < 0.4:
            return ["drums", "bass", str(rng.choice(["guitar", "keys", "synth", "organ"]))]
        others = ["bass", "guitar", "keys", "synth", "synth", "strings", "brass", "voice", "mallet"]
        return ["drums", *rng.choice(others, size=int(rng.integers(1, 4)), replace=False).tolist()]

    def _play(self, rng: np.random.Generator, song: Song, family: str) -> Part:
        instrument = draw_instrument(rng, self._instruments, family)
        swells = not self._evaluation and rng.random() < CHANCE_OF_SWELL.get(family, 0.0)
        if family == "drums":
            style, notes = drum_groove(rng, song)
        else:
            pattern = pad if swells else choose_pattern(rng, PATTERNS[family])
            style = pattern.__name__
            notes = pattern(rng, song, *_register(rng, instrument))
        looseness_s = float(rng.choice([0.0, 0.004, 0.009, 0.015]))
        timed = perform(rng, song, notes, looseness_s=looseness_s)
        n_samples = int((song.n_beats * song.beat_s + TAIL_S) * SAMPLE_RATE)
        detune_cents = float(rng.uniform(-20, 20)) if family != "drums" else 0.0
        audio = self._sound(rng, instrument, timed, n_samples, detune_cents)
        effects: list[str] = []
        if rng.random() < CHANCE_OF_DIRECT_INPUT.get(family, 0.0):
            audio = direct_input(rng, audio, timed)
            effects.append("direct_input")
        if swells:
            audio = swell(rng, audio, timed)
            effects.append("swell")
        if not self._evaluation and rng.random() < CHANCE_OF_SWEEP.get(family, 0.0):
            audio = sweep(rng, audio)
            effects.append("sweep")
        return Part(instrument, style, timed, audio, effects)

    def _sound(
        self,
        rng: np.random.Generator,
        instrument: Instrument,
        notes: list[TimedNote],
        n_samples: int,
        cents: float,
    ) -> Audio:
        if instrument.source == "synth":
            preset = self._first_preset + int(rng.integers(HELD_OUT_PRESETS))
            muted = bool(rng.random() < 0.15)
            return play_synth(notes, instrument.group, preset, n_samples, cents, muted=muted)
        if instrument.group:
            return self._recorded.play(notes, instrument.group, n_samples, cents, rng)
        return self._fonts[instrument.source].play(
            notes, instrument.bank, instrument.program, n_samples, cents
        )


def _register(rng: np.random.Generator, instrument: Instrument) -> tuple[int, int]:
    """Narrow the instrument's register to about two octaves, more often than not."""
    low, high = instrument.low, instrument.high
    span = high - low
    if span > 26 and instrument.family != "guitar" and rng.random() < 0.6:
        low += int(rng.integers(0, span - 24))
        high = low + 24
    return low, max(high, low + 13)


def _window(rng: np.random.Generator, song: Song, cropped: bool) -> tuple[float, float]:
    """Choose the part of the performance that is kept: all of it, or a piece that ignores the bars."""
    whole_s = song.n_beats * song.beat_s
    if not cropped:
        return 0.0, whole_s
    bar_s = song.beats_per_bar * song.beat_s
    kept_s = max(whole_s - bar_s * float(rng.uniform(0.6, 1.4)), 1.8)
    start_s = float(rng.uniform(0, max(whole_s - kept_s, 0.01)))
    return start_s, min(start_s + kept_s, whole_s)


def _cut(audio: Audio, start_s: float, stop_s: float, *, wraps: bool) -> Audio:
    """Keep a window; a loop that wraps has what rings on after its end added to its beginning."""
    start, stop = int(start_s * SAMPLE_RATE), int(stop_s * SAMPLE_RATE)
    kept = audio[start:stop].copy()
    if wraps:
        tail = audio[stop : stop + len(kept)]
        kept[: len(tail)] += tail
        return kept
    n_fade = SAMPLE_RATE // 200
    kept[:n_fade] *= np.linspace(0, 1, n_fade, dtype=np.float32)
    kept[-n_fade:] *= np.linspace(1, 0, n_fade, dtype=np.float32)
    return kept


def _song_labels(song: Song) -> dict[str, Any]:
    return {
        "bpm": song.bpm,
        "beats_per_bar": song.beats_per_bar,
        "root": song.root,
        "scale": song.scale,
        "swing": round(song.swing, 3),
    }


def _part_labels(parts: list[Part], family: str) -> dict[str, Any]:
    first = parts[0].instrument
    single = len(parts) == 1
    return {
        "source": first.source
        if single
        else "+".join(dict.fromkeys(part.instrument.source for part in parts)),
        "instrument": first.id if single else "mix",
        "family": family,
        "style": parts[0].style if single else "+".join(part.style for part in parts),
    }


def _note_labels(parts: list[Part], song: Song, start_s: float, stop_s: float) -> dict[str, Any]:
    """Describe the notes that sound in the window."""
    notes = [note for part in parts for note in part.notes]
    starts = np.clip([note.start_s for note in notes], start_s, stop_s)
    lengths = np.clip([note.stop_s for note in notes], start_s, stop_s) - starts
    n_onsets = sum(start_s <= note.start_s < stop_s for note in notes)
    pitched = [note for part in parts if part.instrument.family != "drums" for note in part.notes]
    pitches = np.array([note.pitch for note in pitched])
    weights = (
        np.array([np.clip(n.stop_s, start_s, stop_s) - np.clip(n.start_s, start_s, stop_s) for n in pitched])
        + 1e-3
    )
    chroma = np.bincount(pitches % 12, weights=weights, minlength=12) if pitched else None
    return {
        "chroma": None if chroma is None else [round(float(share), 4) for share in chroma / chroma.sum()],
        "density": round(n_onsets / (stop_s - start_s), 3),
        "polyphony": round(float(lengths.sum()) / max(_covered_s(starts, lengths), 1e-3), 3),
        "articulation": round(
            float(np.mean([note.stop_s - note.start_s for note in notes])) / song.beat_s, 3
        ),
        "midi_mean": round(float(np.average(pitches, weights=weights)), 2) if pitched else None,
    }


def _covered_s(starts: NDArray[np.float64], lengths: NDArray[np.float64]) -> float:
    """Return for how long at least one note sounds."""
    order = np.argsort(starts)
    stops = np.maximum.accumulate(starts[order] + lengths[order])
    gaps = np.maximum(starts[order][1:] - stops[:-1], 0).sum()
    return float(stops[-1] - starts[order][0] - gaps)


def render_shard(
    studio: Studio, teacher: Teacher | None, seed: int, shard: int, n_items: int, out: Path
) -> None:
    """Write one shard; the labels come last, so that their presence means that the shard is complete."""
    mels: list[NDArray[np.uint8]] = []
    taught: list[NDArray[np.float32]] = []
    rows: list[dict[str, Any]] = []
    n_frames = 0
    for item in range(n_items):
        rng = np.random.default_rng([seed, shard, item])
        audio, labels = studio.draw(rng)
        views = [audio]
        if teacher is not None:
            taught.append(teacher(audio))
        labels["twin"] = None
        if rng.random() < CHANCE_OF_TWIN:
            twin, labels["twin"] = mild_change(rng, audio)
            views.append(twin)
        bounds: list[int | None] = []
        for view in views:
            mel = to_bytes(log_mel(view, BUNDLED))
            mels.append(mel)
            bounds += [n_frames, n_frames + len(mel)]
            n_frames += len(mel)
        bounds += [None] * (4 - len(bounds))
        places = dict(zip(("start", "stop", "twin_start", "twin_stop"), bounds, strict=True))
        is_longer = len(audio) > BUNDLED.window_samples
        rows.append(places | labels | {"is_longer": is_longer, "seed": [seed, shard, item]})
    partial = out / f"shard-{shard:05d}.part.npy"
    np.save(partial, np.concatenate(mels))
    partial.replace(out / f"shard-{shard:05d}.mel.npy")
    if teacher is not None:
        np.save(out / f"shard-{shard:05d}.teacher.npy", np.stack(taught).astype(np.float16))
    partial = out / f"shard-{shard:05d}.part.jsonl"
    partial.write_text("".join(json.dumps(row) + "\n" for row in rows))
    partial.replace(out / f"shard-{shard:05d}.jsonl")


def _work(worker: int, shards: list[int], args: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    studio = Studio(args.split)
    # The evaluation has no use for what a teacher says.
    teacher = Teacher() if args.split == "train" else None
    for shard in shards:
        n_items = min(SHARD_SIZE, args.n - shard * SHARD_SIZE)
        began = time.perf_counter()
        render_shard(studio, teacher, args.seed, shard, n_items, args.out)
        rate = n_items / (time.perf_counter() - began)
        log.info("worker %d: shard %d, %d loops, %.1f loops/s", worker, shard, n_items, rate)


def main() -> None:
    """Render what is missing of a pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, required=True, help="loops in the whole pool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=sorted(SPLITS), default="train")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    n_shards = -(-args.n // SHARD_SIZE)
    missing = [shard for shard in range(n_shards) if not (args.out / f"shard-{shard:05d}.jsonl").exists()]
    share_out(_work, missing, args.workers, args)


if __name__ == "__main__":
    main()
