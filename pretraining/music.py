"""Songs: tempo, metre, harmony, rhythm and the timing of notes, drawn from a random generator."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Motif = TypeVar("Motif")

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "harmonic_minor": (0, 2, 3, 5, 7, 8, 11),
    "melodic_minor": (0, 2, 3, 5, 7, 9, 11),
    "phrygian_dominant": (0, 1, 4, 5, 7, 8, 10),
    "double_harmonic": (0, 1, 4, 5, 7, 8, 11),
    "major_pentatonic": (0, 2, 4, 5, 7, 9, 11),
    "minor_pentatonic": (0, 2, 3, 5, 7, 8, 10),
    "blues": (0, 2, 3, 5, 7, 9, 10),
    "whole_tone": (0, 2, 4, 6, 8, 10, 10),
}
"""Seven steps each: chords are stacked on these."""

LINE_NOTES: dict[str, tuple[int, ...]] = {
    "major_pentatonic": (0, 2, 4, 7, 9),
    "minor_pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
}
"""Where lines use other notes than the chords do."""

SCALE_WEIGHTS = np.array([18, 20, 9, 4, 4, 8, 1, 6, 3, 3, 1, 7, 10, 8, 1], dtype=float)

PROGRESSIONS: tuple[tuple[int, ...], ...] = (
    (0,),
    (0,),
    (0, 3),
    (0, 6),
    (0, 5),
    (0, 4),
    (0, 1),
    (0, 4, 5, 3),
    (0, 5, 3, 4),
    (5, 3, 0, 4),
    (0, 3, 4, 3),
    (0, 6, 5, 6),
    (0, 5, 2, 6),
    (1, 4, 0, 0),
    (0, 2, 3, 4),
    (0, 3, 0, 4),
    (0, 0, 3, 4),
    (3, 4, 2, 5),
    (0, 6, 5, 4),
    (0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4),
)

FORMS = ("A", "A", "AB", "AAAB", "AAAB", "ABAC", "ABCD", "AABA")


@dataclass(slots=True)
class Note:
    """One note; start and length in beats, bend in semitones below the pitch that the attack glides from."""

    start: float
    length: float
    pitch: int
    velocity: float
    bend: float = 0.0


@dataclass(slots=True)
class TimedNote:
    """One note in seconds, ready to be sounded."""

    start_s: float
    stop_s: float
    pitch: int
    velocity: int
    bend: float = 0.0


@dataclass(frozen=True, slots=True)
class Chord:
    """A stack of thirds on a scale step; start and stop in beats."""

    start: float
    stop: float
    degree: int
    size: int


@dataclass(frozen=True, slots=True)
class Song:
    """What all the parts of one loop share."""

    bpm: float
    beats_per_bar: int
    n_bars: int
    grid: float
    swing: float
    gate: float
    root: int
    scale: str
    chords: tuple[Chord, ...]

    @property
    def n_beats(self) -> int:
        """Length in beats."""
        return self.n_bars * self.beats_per_bar

    @property
    def beat_s(self) -> float:
        """Seconds a beat."""
        return 60.0 / self.bpm

    def chord_at(self, beat: float) -> Chord:
        """Return the chord that sounds at a beat."""
        for chord in self.chords:
            if beat < chord.stop - 1e-6:
                return chord
        return self.chords[-1]

    def step_pitch(self, step: int) -> int:
        """Return the pitch of a scale step, octave 0 (MIDI 0 to 11) holding the root."""
        return self.root + 12 * (step // 7) + SCALES[self.scale][step % 7]

    def chord_pitches(self, chord: Chord) -> list[int]:
        """Return the chord's pitches from its root upwards, near octave 0."""
        return [self.step_pitch(chord.degree + 2 * third) for third in range(chord.size)]

    def line_pitches(self, low: int, high: int) -> list[int]:
        """Return the pitches that lines use between two pitches."""
        steps = LINE_NOTES.get(self.scale, SCALES[self.scale])
        classes = {(self.root + step) % 12 for step in steps}
        return [pitch for pitch in range(low, high + 1) if pitch % 12 in classes]


def place(pitch: int, low: int, high: int) -> int:
    """Move a pitch by octaves into a register (at least an octave wide)."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch


def _duration_range(rng: np.random.Generator) -> tuple[float, float]:
    if rng.random() < 0.12:
        return 10.4, 25.0
    return (2.0, 5.0) if rng.random() < 0.45 else (3.5, 10.2)


def make_song(rng: np.random.Generator, *, extra_bars: int = 0) -> Song:
    """Draw tempo, metre, length, feel and harmony; `extra_bars` make a performance to crop from."""
    low_s, high_s = _duration_range(rng)
    while True:
        bpm = float(np.clip(np.exp(rng.normal(np.log(112), 0.3)), 60, 200))
        beats_per_bar = int(rng.choice([4, 3, 6, 5, 7], p=[0.86, 0.06, 0.05, 0.015, 0.015]))
        n_bars = int(
            rng.choice([1, 2, 3, 4, 6, 8, 12, 16], p=[0.14, 0.28, 0.03, 0.30, 0.03, 0.15, 0.02, 0.05])
        )
        if low_s <= n_bars * beats_per_bar * 60 / bpm <= high_s:
            break
    n_bars += extra_bars
    scales = list(SCALES)
    return Song(
        bpm=round(bpm, 1) if rng.random() < 0.3 else float(round(bpm)),
        beats_per_bar=beats_per_bar,
        n_bars=n_bars,
        grid=float(rng.choice([0.25, 0.5, 1 / 3, 1.0], p=[0.52, 0.32, 0.1, 0.06])),
        swing=float(rng.uniform(0.52, 0.68)) if rng.random() < 0.3 else 0.5,
        gate=float(rng.choice([rng.uniform(0.15, 0.5), rng.uniform(0.5, 0.9), rng.uniform(0.9, 1.15)])),
        root=int(rng.integers(12)),
        scale=scales[rng.choice(len(scales), p=SCALE_WEIGHTS / SCALE_WEIGHTS.sum())],
        chords=_make_chords(rng, n_bars * beats_per_bar, beats_per_bar),
    )


def _make_chords(rng: np.random.Generator, n_beats: int, beats_per_bar: int) -> tuple[Chord, ...]:
    degrees = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    beats = beats_per_bar * float(rng.choice([0.5, 1.0, 2.0], p=[0.15, 0.65, 0.2]))
    size = int(rng.choice([3, 4, 5], p=[0.68, 0.24, 0.08]))
    chords: list[Chord] = []
    start = 0.0
    while start < n_beats:
        chords.append(Chord(start, min(start + beats, n_beats), degrees[len(chords) % len(degrees)], size))
        start += beats
    return tuple(chords)


def draw_onsets(rng: np.random.Generator, song: Song, density: float) -> list[float]:
    """Draw the onsets of one bar on the song's grid, in beats; `density` is the chance of a grid slot."""
    slots = np.arange(0, song.beats_per_bar - 1e-6, song.grid)
    on_beat = np.isclose(slots % 1.0, 0, atol=1e-3)
    on_half = np.isclose(slots % 0.5, 0, atol=1e-3)
    chance = density * np.where(on_beat, 1.5, np.where(on_half, 1.0, 0.75))
    chance[0] = max(chance[0], 0.8)
    onsets = slots[rng.random(len(slots)) < chance]
    return [float(onset) for onset in onsets] or [0.0]


def arrange(rng: np.random.Generator, song: Song, draw: Callable[[], Motif]) -> list[tuple[float, Motif]]:
    """Repeat motifs of one bar after a random form; return (first beat, motif) for every bar."""
    form = FORMS[rng.integers(len(FORMS))]
    motifs: dict[str, Motif] = {}
    bars: list[tuple[float, Motif]] = []
    for bar in range(song.n_bars):
        letter = form[bar % len(form)]
        if letter not in motifs:
            motifs[letter] = draw()
        bars.append((float(bar * song.beats_per_bar), motifs[letter]))
    return bars


def fill_lengths(notes: list[Note], song: Song, *, longest: float = 4.0) -> None:
    """Give each note the time to the next onset, times the song's gate."""
    onsets = sorted({note.start for note in notes} | {float(song.n_beats)})
    following = dict(pairwise(onsets))
    for note in notes:
        note.length = max(0.06, min(following[note.start] - note.start, longest) * song.gate)


def swing_beats(beats: NDArray[np.float64], swing: float, unit: float) -> NDArray[np.float64]:
    """Delay the second of each pair of `unit`s so that the first takes `swing` of the pair."""
    pair = 2 * unit
    base = np.floor(beats / pair + 1e-9) * pair
    phase = (beats - base) / pair
    warped = np.where(phase < 0.5, phase * 2 * swing, swing + (phase - 0.5) * 2 * (1 - swing))
    return base + warped * pair


def perform(
    rng: np.random.Generator, song: Song, notes: list[Note], *, looseness_s: float
) -> list[TimedNote]:
    """Turn beats into seconds with swing and human timing and velocity; sorted by start."""
    if not notes:
        return []
    unit = 0.25 if song.grid == 0.25 else 0.5
    swing = 0.5 if abs(song.grid - 1 / 3) < 1e-6 else song.swing
    beats = swing_beats(np.array([note.start for note in notes]), swing, unit)
    starts = np.maximum(beats * song.beat_s + rng.normal(0, looseness_s, len(notes)), 0.0)
    velocities = np.clip([note.velocity for note in notes] + rng.normal(0, 5, len(notes)), 8, 127)
    timed = [
        TimedNote(
            float(start),
            float(start) + max(note.length * song.beat_s, 0.03),
            note.pitch,
            int(velocity),
            note.bend,
        )
        for start, velocity, note in zip(starts, velocities, notes, strict=True)
    ]
    return sorted(timed, key=lambda note: note.start_s)
