"""What guitars play: strummed and picked shapes on a fretboard, power chords and double stops."""

import numpy as np

from pretraining.music import Note, Song, place
from pretraining.patterns import Pattern, arpeggio, draw_velocity, melody, pad, riff

GUITAR_TUNINGS = (
    (40, 45, 50, 55, 59, 64),
    (40, 45, 50, 55, 59, 64),
    (38, 45, 50, 55, 59, 64),
    (39, 44, 49, 54, 58, 63),
    (38, 43, 48, 53, 57, 62),
)
STRUMS = (
    "D...D...D...D...",
    "D...D.U...U.D.U.",
    "D...D.U.D...D.U.",
    "D.DUD.DUD.DUD.DU",
    "D...........D.U.",
    "D...............",
    "D...D.D...D.D...",
    "....D.......D...",
    "..U...U...U...U.",
    "D..D..D.D..D..D.",
    "D.xUD.xUD.xUD.xU",
    "DxxDxxDxDxxDxxDx",
    "D.D.D.D.D.D.D.D.",
)
CHUGS = (
    "D.D.D.D.D.D.D.D.",
    "DDDDDDDDDDDDDDDD",
    "D.DDD.DDD.DDD.DD",
    "D..D..D...D.D...",
    "DD.DD.DDDD.DD.DD",
    "D...DDD.D...DD..",
)


def _fretted(
    rng: np.random.Generator, song: Song, position: int, tuning: tuple[int, ...]
) -> dict[int, list[int]]:
    """Voice each chord of the song on six strings within five frets of a position."""
    shapes: dict[int, list[int]] = {}
    for chord in song.chords:
        classes = [pitch % 12 for pitch in song.chord_pitches(chord)]
        shape: list[int] = []
        for string in tuning:
            frets = [fret for fret in range(position, position + 5) if (string + fret) % 12 in classes]
            if not shape:
                frets = [fret for fret in frets if (string + fret) % 12 == classes[0]]
            if frets:
                shape.append(string + frets[0])
        shapes[chord.degree] = shape or [place(pitch, 48, 66) for pitch in song.chord_pitches(chord)]
    return shapes


def strum(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Strummed chords: down and up strokes, staggered strings, muted chucks (x)."""
    tuning = GUITAR_TUNINGS[rng.integers(len(GUITAR_TUNINGS))]
    shapes = _fretted(rng, song, int(rng.choice([0, 0, 0, 2, 3, 5, 7])), tuning)
    pattern = STRUMS[rng.integers(len(STRUMS))]
    stagger = float(rng.uniform(0.004, 0.028)) / song.beat_s
    slot = float(rng.choice([0.25, 0.25, 0.5]))
    velocity = draw_velocity(rng)
    strokes = [
        (beat, pattern[round(beat / slot) % 16])
        for beat in np.arange(0, song.n_beats, slot)
        if pattern[round(beat / slot) % 16] != "."
    ]
    notes: list[Note] = []
    stops = [beat for beat, _ in strokes[1:]] + [float(song.n_beats)]
    for (beat, stroke), stop in zip(strokes, stops, strict=True):
        shape = shapes[song.chord_at(beat).degree]
        strings = shape if stroke != "U" else shape[::-1][: int(rng.integers(3, 6))]
        length = 0.05 if stroke == "x" else (stop - beat) * max(song.gate, 0.35)
        level = velocity - {"D": 0, "U": 12, "x": 22}[stroke]
        notes += [
            Note(float(beat) + stagger * i, length, place(pitch, low, high), level - 1.5 * i)
            for i, pitch in enumerate(strings)
        ]
    return notes


def picking(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Fingerpicked chords that ring on: thumb on the beat, fingers between."""
    shapes = _fretted(
        rng, song, int(rng.choice([0, 0, 2, 5, 7])), GUITAR_TUNINGS[rng.integers(len(GUITAR_TUNINGS))]
    )
    step = float(rng.choice([0.5, 0.25, 1 / 3]))
    order = rng.permutation(8)
    velocity = draw_velocity(rng)
    ring = float(rng.uniform(0.5, 3.0))
    notes: list[Note] = []
    for index, beat in enumerate(np.arange(0, song.n_beats - 1e-6, step)):
        chord = song.chord_at(beat)
        shape = shapes[chord.degree]
        on_beat = abs(beat % 1.0) < 1e-3
        choices = shape[:2] if on_beat else (shape[2:] or shape)
        pitch = place(choices[order[index % 8] % len(choices)], low, high)
        length = min(max(step, ring), max(chord.stop - beat, step)) if song.gate > 0.5 else step
        notes.append(Note(float(beat), length, pitch, velocity + (8 if on_beat else -4)))
    return notes


def power_chords(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Root, fifth and octave: chugged with palm mutes or held."""
    held = rng.random() < 0.3
    pattern = CHUGS[rng.integers(len(CHUGS))]
    mute = float(rng.uniform(0.08, 0.22)) if rng.random() < 0.6 else 0.9
    voices = (0, 7, 12)[: int(rng.integers(2, 4))]
    velocity = float(rng.uniform(85, 118))
    slots = [c.start for c in song.chords] if held else np.arange(0, song.n_beats, 0.25)
    notes: list[Note] = []
    for beat in slots:
        if not held and pattern[round(beat * 4) % 16] == ".":
            continue
        chord = song.chord_at(beat)
        root = place(song.step_pitch(chord.degree), low, low + 11)
        accent = abs(beat - chord.start) < 0.1
        length = (chord.stop - beat) if held else (0.6 if accent else 0.25) * mute * 1.6
        level = velocity + (6 if accent else -8)
        notes += [
            Note(float(beat) + 0.004 * i, length, root + voice, level) for i, voice in enumerate(voices)
        ]
    return notes


def double_stops(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """A line in thirds, fourths or sixths."""
    line = melody(rng, song, low, high)
    scale = song.line_pitches(low, high)
    apart = int(rng.choice([2, 3, 5]))
    second = [
        Note(
            note.start,
            note.length,
            scale[min(scale.index(note.pitch) + apart, len(scale) - 1)],
            note.velocity - 6,
            note.bend,
        )
        for note in line
        if note.pitch in scale
    ]
    return line + second


GUITAR_PATTERNS: dict[Pattern, float] = {
    strum: 0.26, picking: 0.19, power_chords: 0.14, riff: 0.14, melody: 0.14, arpeggio: 0.06,
    double_stops: 0.05, pad: 0.02,
}  # fmt: skip
