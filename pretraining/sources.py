"""What sounds the notes: soundfonts through FluidSynth, and recorded notes through a small sampler."""

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from ctypes import POINTER, c_float, c_int, c_void_p
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import fluidsynth
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from loopsphere.synth.instruments import draw_player
from pretraining.catalogue import FETCHED_FAMILIES, NOTE_FAMILIES
from pretraining.drumkits import GAINS, rumpf_files
from pretraining.music import TimedNote

SAMPLE_RATE = 32_000

SOUNDFONTS: dict[str, Path] = {
    "fluidr3": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "musescore": Path("/usr/share/sounds/sf3/MuseScore_General_Full.sf3"),
    "timgm": Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),
}
"""FluidR3 and MuseScore General are MIT and train the encoder; TimGM6mb is GPL and only evaluates it."""

Audio = NDArray[np.float32]

_write_float = fluidsynth.cfunc(
    "fluid_synth_write_float",
    c_int,
    ("synth", c_void_p, 1),
    ("length", c_int, 1),
    ("left", POINTER(c_float), 1),
    ("left_offset", c_int, 1),
    ("left_step", c_int, 1),
    ("right", POINTER(c_float), 1),
    ("right_offset", c_int, 1),
    ("right_step", c_int, 1),
)
_get_font = fluidsynth.cfunc(
    "fluid_synth_get_sfont_by_id", c_void_p, ("synth", c_void_p, 1), ("id", c_int, 1)
)
_add_font = fluidsynth.cfunc("fluid_synth_add_sfont", c_int, ("synth", c_void_p, 1), ("font", c_void_p, 1))
_remove_font = fluidsynth.cfunc(
    "fluid_synth_remove_sfont", c_int, ("synth", c_void_p, 1), ("font", c_void_p, 1)
)
_set_log = fluidsynth.cfunc(
    "fluid_set_log_function", c_void_p, ("level", c_int, 1), ("function", c_void_p, 1), ("data", c_void_p, 1)
)
_set_log(2, None, None)  # warnings: taking a font away gives one for each channel
_GLIDE_S = 0.12


class SoundFont:
    """A soundfont kept in memory; every call plays it on a new synthesiser, so that nothing carries over."""

    def __init__(self, path: Path) -> None:
        self._owner = _new_synth()
        number = self._owner.sfload(str(path))
        if number < 0:
            raise FileNotFoundError(path)
        self._font = _get_font(self._owner.synth, number)

    def play(
        self, notes: Sequence[TimedNote], bank: int, program: int, n_samples: int, detune_cents: float
    ) -> Audio:
        """Sound notes, already in order of their starts, as mono."""
        synth = _new_synth()
        font = _add_font(synth.synth, self._font)
        channel = 9 if bank == 128 else 0
        synth.program_select(channel, font, bank, program)
        neutral = round(detune_cents / 200 * 8192)
        synth.pitch_bend(channel, neutral)
        stereo = np.zeros((2, n_samples), dtype=np.float32)
        position = 0
        for time_s, kind, note in _events(notes):
            position = _advance(synth, stereo, position, min(int(time_s * SAMPLE_RATE), n_samples))
            if kind == "on":
                synth.noteon(channel, note.pitch, note.velocity)
            elif kind == "off":
                synth.noteoff(channel, note.pitch)
            else:
                synth.pitch_bend(channel, int(neutral - 4096 * float(kind)))
        _advance(synth, stereo, position, n_samples)
        _remove_font(synth.synth, self._font)
        synth.delete()
        return np.asarray(stereo.mean(axis=0), dtype=np.float32)


def _new_synth() -> fluidsynth.Synth:
    settings = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.polyphony": 48}
    return fluidsynth.Synth(gain=0.6, samplerate=float(SAMPLE_RATE), channels=16, **settings)


def _advance(synth: fluidsynth.Synth, stereo: Audio, position: int, target: int) -> int:
    """Render up to a sample; return how far the rendering is."""
    if target > position:
        left, right = (side.ctypes.data_as(POINTER(c_float)) for side in stereo)
        _write_float(synth.synth, target - position, left, position, 1, right, position, 1)
    return max(position, target)


def _events(notes: Sequence[TimedNote]) -> list[tuple[float, str, TimedNote]]:
    """Order note-ons, note-offs and the steps of glides; an off comes before an on of the same time."""
    events: list[tuple[float, int, str, TimedNote]] = []
    for note in notes:
        events += [(note.start_s, 2, "on", note), (note.stop_s, 0, "off", note)]
        if note.bend:
            for step in range(7):
                bent = note.bend * (1 - step / 6)
                events.append((note.start_s + _GLIDE_S * step / 6, 1, f"{bent:.3f}", note))
    events.sort(key=lambda event: event[:2])
    return [(time_s, kind, note) for time_s, _, kind, note in events]


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded note; level is its place among its group's velocities, 0 (soft) to 1 (loud)."""

    path: Path
    pitch: int
    level: float


_LEVELS: dict[str, float] = {"pp": 0.1, "p": 0.25, "mp": 0.4, "mf": 0.55, "f": 0.75, "ff": 0.9, "fff": 1.0}
_DRUM_KEYS: tuple[tuple[str, int], ...] = (
    ("cuica-high", 78), ("cuica-low", 79), ("metronome-tick", 33), ("metronome-bell", 34),
    ("castagnette", 85), ("slapping", 28), ("scratch", 29), ("crash", 49), ("Agogo_High", 67),
    ("Agogo_Low", 68), ("BellTree", 84), ("BongoH", 60), ("BongoL", 61), ("CL_", 42), ("Close_Mute", 80),
    ("Close_Open", 81), ("Cabasa", 69), ("Clap", 39), ("Claves", 75), ("Conga", 63), ("Cowbell", 56),
    ("F_Tom_1", 41), ("F_Tom", 43),
)  # fmt: skip
_DRUM_LANES: dict[int, tuple[int, ...]] = {
    35: (36, 41, 43, 63), 36: (35, 41, 43, 63), 38: (40, 39, 61, 60), 40: (38, 39, 61, 60),
    37: (75, 85, 80, 39), 39: (40, 38), 44: (42,), 46: (69, 42, 81), 49: (51, 46), 51: (46, 42, 56, 81),
    53: (51, 56, 81, 75, 46), 41: (43, 45, 35, 36), 43: (41, 45, 47, 36), 45: (43, 47, 63, 41),
    47: (45, 48, 63, 41, 43), 48: (47, 50, 60, 63, 43), 50: (48, 47, 60, 43), 54: (69, 85, 44),
    56: (75, 53, 37, 45, 39), 60: (50, 48, 63, 43), 61: (63, 45, 43), 62: (63, 45, 43), 63: (41, 43),
    64: (63, 41, 43), 69: (70, 44), 70: (69, 44), 75: (37, 56, 39), 76: (75, 37, 56, 39),
}  # fmt: skip
"""What a kit without a kick, a snare and so on plays in their place."""


def _in_evaluation_third(path: str) -> bool:
    return hashlib.sha256(Path(path).name.encode()).digest()[0] % 3 == 0


def _drum_key(name: str) -> int | None:
    return next((key for part, key in _DRUM_KEYS if part in name), None)


def _level(row: dict[str, str]) -> float:
    found = re.search(r"vel=(\w+)", row["note"])
    if found is None:
        return 0.6
    word = found.group(1)
    return _LEVELS.get(word, int(word[2:]) / 4 if word[2:].isdigit() else 0.6)


_NOTE_NAME = re.compile(r"([A-G])(s|#)?(\d)(?:v(\d+))?")


class RecordedNotes:
    """Recorded instruments by group: those of a manifest and, for training, fetched ones and a drum kit."""

    def __init__(
        self, folder: Path, fetched: Path | None = None, kits: Path | None = None, *, evaluation: bool
    ) -> None:
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        self._families: dict[str, str] = {}
        with (folder / "manifest.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                self._add(folder, row, evaluation)
        if fetched is not None and not evaluation:
            for name, family in FETCHED_FAMILIES.items():
                self._add_fetched(fetched / name, family)
        if kits is not None and not evaluation:
            self._add_kit(kits)

    def _add_fetched(self, folder: Path, family: str) -> None:
        """Take an instrument whose files are named after their notes: As2.mp3, D#4v8.mp3."""
        for path in sorted(folder.rglob("*.mp3")):
            found = _NOTE_NAME.fullmatch(path.stem)
            if found is None:  # a take that covers two notes
                continue
            letter, sharp, octave, velocity = found.groups()
            pitch = 12 * (int(octave) + 1) + "C D EF G A B".index(letter) + bool(sharp)
            level = int(velocity) / 16 if velocity else 0.6
            self._families[folder.name] = family
            self.samples[folder.name].append(Sample(path, pitch, level))
        if not self.samples[folder.name]:
            raise FileNotFoundError(f"no notes in {folder}: run pretraining/fetch.sh")

    def _add_kit(self, kits: Path) -> None:
        self._families["kit:rumpf"] = "drums"
        for path, key in rumpf_files(kits):
            if not path.exists():
                raise FileNotFoundError(f"no {path}: install the Debian package hydrogen-drumkits")
            self.samples["kit:rumpf"].append(Sample(path, key, 0.6))

    def _add(self, folder: Path, row: dict[str, str], evaluation: bool) -> None:
        group = row["group"]
        family = {"bass_note": "bass", "guitar_note": "guitar"}.get(row["class"], NOTE_FAMILIES.get(group))
        if row["use"] != "train or evaluate" or group in ("tonejs:berklee", "sonicpi") or family is None:
            return
        if family == "drums":
            pitch = _drum_key(row["path"])
            if pitch is None or _in_evaluation_third(row["path"]) != evaluation:
                return
        elif row["midi_pitch"]:
            pitch = round(float(row["midi_pitch"]))
        else:
            return
        self._families[group] = family
        self.samples[group].append(Sample(folder / row["path"], pitch, _level(row)))

    def groups(self) -> dict[str, tuple[str, int, int]]:
        """Map each group to its family and its lowest and highest pitch."""
        return {
            group: (self._families[group], min(s.pitch for s in samples), max(s.pitch for s in samples))
            for group, samples in self.samples.items()
        }

    def play(
        self,
        notes: Sequence[TimedNote],
        group: str,
        n_samples: int,
        detune_cents: float,
        rng: np.random.Generator,
    ) -> Audio:
        """Sound notes with the nearest samples: repitched, faded after their ends, quieter if soft."""
        if group.startswith("kit:"):
            return self._play_kit(notes, self.samples[group], n_samples, rng)
        samples = self.samples[group]
        drums = self._families[group] == "drums"
        release_s = 0.4 if drums else float(rng.uniform(0.03, 0.15))
        output = np.zeros(n_samples, dtype=np.float32)
        for note in notes:
            sample = self._drum(samples, note.pitch, rng) if drums else _nearest(samples, note, rng)
            shift = 0 if drums else note.pitch - sample.pitch
            sounding_s = 2.0 if drums else note.stop_s - note.start_s
            body = _shaped(_repitched(sample.path, shift, round(detune_cents, -1)), sounding_s, release_s)
            _mix_in(output, body, note.start_s, (note.velocity / 110) ** 1.5)
        return output

    def _play_kit(
        self, notes: Sequence[TimedNote], samples: list[Sample], n_samples: int, rng: np.random.Generator
    ) -> Audio:
        """Sound a kit: one of each key's sounds for the whole loop, tuned and mixed as if by hand."""
        held: dict[int, tuple[Audio, float]] = {}
        output = np.zeros(n_samples, dtype=np.float32)
        for note in notes:
            if note.pitch not in held:
                sample = self._drum(samples, note.pitch, rng)
                cents = float(rng.choice([-200, -100, 0, 0, 0, 100, 200]))
                body = _shaped(_repitched(sample.path, 0, cents), float(rng.uniform(0.3, 2.0)), 0.2)
                held[note.pitch] = body, GAINS.get(sample.pitch, 0.7) * float(rng.uniform(0.6, 1.4))
            body, gain = held[note.pitch]
            _mix_in(output, body, note.start_s, gain * (note.velocity / 110) ** 1.5)
        return output

    @staticmethod
    def _drum(samples: list[Sample], key: int, rng: np.random.Generator) -> Sample:
        for wanted in (key, *_DRUM_LANES.get(key, ())):
            found = [sample for sample in samples if sample.pitch == wanted]
            if found:
                return found[rng.integers(len(found))]
        return samples[key % len(samples)]


def _nearest(samples: list[Sample], note: TimedNote, rng: np.random.Generator) -> Sample:
    """Pick among the samples nearest in pitch the one nearest in level, ties at random."""
    distance = min(abs(sample.pitch - note.pitch) for sample in samples)
    near = [sample for sample in samples if abs(sample.pitch - note.pitch) <= distance]
    level = note.velocity / 127
    best = min(abs(sample.level - level) for sample in near)
    choices = [sample for sample in near if abs(sample.level - level) <= best + 0.15]
    return choices[rng.integers(len(choices))]


@lru_cache(maxsize=1024)
def _loaded(path: Path) -> tuple[Audio, int]:
    """Load a recorded note as mono, trimmed to its onset and at unit peak; return it and its rate."""
    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    waveform = waveform.mean(axis=1)
    peak = float(np.abs(waveform).max())
    onset = int(np.argmax(np.abs(waveform) > 0.02 * peak))
    return waveform[max(0, onset - rate // 200) :] / max(peak, 1e-6), rate


@lru_cache(maxsize=4096)
def _repitched(path: Path, semitones: int, cents: float) -> Audio:
    """Bring a recorded note to the renderer's rate and another pitch by resampling."""
    waveform, rate = _loaded(path)
    ratio = 2 ** ((semitones + cents / 100) / 12)
    return np.asarray(soxr.resample(waveform, rate * ratio, SAMPLE_RATE, quality="HQ"), dtype=np.float32)


def _shaped(waveform: Audio, sounding_s: float, release_s: float) -> Audio:
    """Let a note sound for a time and fade; a note that is cut by its file's end fades there too."""
    stop = int(sounding_s * SAMPLE_RATE)
    n_release = int(release_s * SAMPLE_RATE)
    shaped = waveform[: stop + n_release].copy()
    n_fade = min(max(len(shaped) - stop, n_release // 3), len(shaped))
    if n_fade > 0:
        shaped[len(shaped) - n_fade :] *= np.linspace(1, 0, n_fade, dtype=np.float32) ** 2
    return shaped


def _mix_in(output: Audio, body: Audio, start_s: float, gain: float) -> None:
    """Add a note's sound at its time, as far as the output reaches."""
    start = int(start_s * SAMPLE_RATE)
    body = body[: max(0, len(output) - start)]
    output[start : start + len(body)] += body * np.float32(gain)


_KIT_KEYS: dict[int, int] = {
    35: 36, 40: 38, 37: 39, 44: 42, 54: 42, 69: 42, 70: 42, 49: 51, 53: 51, 41: 45, 43: 45, 61: 45, 64: 45,
    47: 50, 48: 50, 60: 50, 62: 50, 63: 50,
}  # fmt: skip
"""The piece of a synthesised kit that stands in for a General MIDI key that it lacks."""
_HARDNESSES = 4


def play_synth(
    notes: Sequence[TimedNote],
    instrument: str,
    preset: int,
    n_samples: int,
    detune_cents: float,
    *,
    muted: bool,
) -> Audio:
    """Sound notes on a synthesised instrument, one preset of which is one player; each pitch is made once."""
    voice, box = draw_player(instrument, preset, SAMPLE_RATE, muted)
    is_kit = instrument.endswith("_kit")
    longest_s = min(max(note.stop_s - note.start_s for note in notes), 4.0) + voice.release_s
    held: dict[tuple[int, int], Audio] = {}
    output = np.zeros(n_samples, dtype=np.float32)
    for note in notes:
        pitch = _KIT_KEYS.get(note.pitch, note.pitch) if is_kit else note.pitch
        key = (pitch, note.velocity * _HARDNESSES // 128)
        if key not in held:
            hardness = (key[1] + 1) / _HARDNESSES
            held[key] = voice.note(pitch, detune_cents / 100, hardness, int(longest_s * SAMPLE_RATE))
        body = _shaped(held[key], 1.5 if is_kit else note.stop_s - note.start_s, voice.release_s)
        _mix_in(output, body, note.start_s, (note.velocity / 110) ** 1.2)
    return box.process(output, SAMPLE_RATE)
