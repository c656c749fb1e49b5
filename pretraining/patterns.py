"""What the parts play: lines, chords and basses. Every pattern takes a song and a register."""

from collections.abc import Callable

import numpy as np

from pretraining.music import Note, Song, arrange, draw_onsets, fill_lengths, place

Pattern = Callable[[np.random.Generator, Song, int, int], list[Note]]


def draw_velocity(rng: np.random.Generator) -> float:
    """Draw how hard a part plays, as a MIDI velocity."""
    return float(rng.uniform(55, 112))


# Lines


def melody(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Wander on the scale in motifs that follow the chords."""
    scale = song.line_pitches(low, high)
    density = float(rng.uniform(0.15, 0.75))
    leap = float(rng.uniform(0.8, 2.8))
    velocity = draw_velocity(rng)
    bends = rng.random() < 0.25

    def motif() -> list[tuple[float, int]]:
        onsets = draw_onsets(rng, song, density)
        return [
            (onset, round(step))
            for onset, step in zip(onsets, np.cumsum(rng.normal(0, leap, len(onsets))), strict=True)
        ]

    home = int(rng.integers(len(scale) // 4, max(3 * len(scale) // 4, len(scale) // 4 + 1)))
    follows = rng.random() < 0.6
    notes: list[Note] = []
    for start, steps in arrange(rng, song, motif):
        for onset, step in steps:
            shift = song.chord_at(start + onset).degree if follows else 0
            index = int(np.clip(home + step + (shift if shift < 4 else shift - 7), 0, len(scale) - 1))
            bend = float(rng.choice([1.0, 2.0])) if bends and rng.random() < 0.25 else 0.0
            notes.append(Note(start + onset, 0.0, scale[index], velocity, bend))
    fill_lengths(notes, song)
    if rng.random() < 0.12:
        interval = int(rng.choice([12, 7, 12, -12]))
        notes += [
            Note(note.start, note.length, note.pitch + interval, note.velocity, note.bend)
            for note in notes
            if low <= note.pitch + interval <= high
        ]
    return notes


def riff(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Repeat one bar of few notes around the root, low in the register."""
    top = min(high, low + int(rng.integers(12, 20)))
    scale = song.line_pitches(low, max(top, low + 12))
    tonic = min(range(len(scale)), key=lambda i: ((scale[i] - song.root) % 12, scale[i]))
    density = float(rng.uniform(0.3, 0.85))
    velocity = draw_velocity(rng)

    def motif() -> list[tuple[float, int]]:
        return [
            (onset, tonic if rng.random() < 0.45 else int(rng.integers(len(scale))))
            for onset in draw_onsets(rng, song, density)
        ]

    notes = [
        Note(start + onset, 0.0, scale[index], velocity + (12 if onset == 0 else 0))
        for start, steps in arrange(rng, song, motif)
        for onset, index in steps
    ]
    fill_lengths(notes, song)
    return notes


def arpeggio(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Run through the chord tones up, down, both or at random."""
    step = float(rng.choice([0.25, 0.5, 1 / 3, 1.0], p=[0.45, 0.38, 0.12, 0.05]))
    direction = rng.choice(["up", "down", "both", "random"])
    n_octaves = int(rng.integers(1, 4))
    velocity = draw_velocity(rng)
    start_low = int(rng.integers(low, max(low + 1, high - 12 * n_octaves)))
    notes: list[Note] = []
    for chord in song.chords:
        classes = {pitch % 12 for pitch in song.chord_pitches(chord)}
        span = [p for p in range(start_low, min(start_low + 12 * n_octaves, high) + 1) if p % 12 in classes]
        cycle = {"up": span, "down": span[::-1], "both": span + span[-2:0:-1]}.get(str(direction), span)
        for index, beat in enumerate(np.arange(chord.start, chord.stop - 1e-6, step)):
            pitch = cycle[rng.integers(len(cycle))] if direction == "random" else cycle[index % len(cycle)]
            accent = 10 if index % 4 == 0 else 0
            notes.append(Note(float(beat), step * song.gate, pitch, velocity + accent))
    return notes


# Chords


def _voicing(rng: np.random.Generator, pitches: list[int], centre: int, low: int, high: int) -> list[int]:
    """Place each chord tone in the octave nearest to a centre."""
    voiced = {place(pitch + 12 * round((centre - pitch) / 12), low, high) for pitch in pitches}
    if rng.random() < 0.3:
        voiced.add(place(pitches[0] + 12 * ((centre - 12 - pitches[0]) // 12), low, high))
    return sorted(voiced)


def comping(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Chords in a repeated rhythm."""
    centre = int(rng.integers(low + 6, max(low + 7, high - 8)))
    density = float(rng.uniform(0.1, 0.5))
    velocity = draw_velocity(rng)
    offbeat = rng.random() < 0.15
    rolled = float(rng.uniform(0.01, 0.06)) if rng.random() < 0.2 else 0.0
    voicings = {
        chord.degree: _voicing(rng, song.chord_pitches(chord), centre, low, high) for chord in song.chords
    }

    def motif() -> list[float]:
        return (
            [beat + 0.5 for beat in range(song.beats_per_bar)] if offbeat else draw_onsets(rng, song, density)
        )

    onsets = [Note(start + onset, 0.0, 0, 0.0) for start, bar in arrange(rng, song, motif) for onset in bar]
    fill_lengths(onsets, song)
    return [
        Note(onset.start + rolled * voice, onset.length, pitch, velocity)
        for onset in onsets
        for voice, pitch in enumerate(voicings[song.chord_at(onset.start).degree])
    ]


def pad(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Hold each chord."""
    centre = int(rng.integers(low + 6, max(low + 7, high - 8)))
    velocity = draw_velocity(rng)
    return [
        Note(chord.start, (chord.stop - chord.start) * max(song.gate, 0.8), pitch, velocity)
        for chord in song.chords
        for pitch in _voicing(rng, song.chord_pitches(chord), centre, low, high)
    ]


def two_hands(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Bass or broken chords in the left hand, chords or a line in the right."""
    split = (low + high) // 2
    left: Pattern = (bass_roots, arpeggio, pad, bass_octaves)[rng.integers(4)]
    right: Pattern = (melody, comping, melody, arpeggio)[rng.integers(4)]
    return left(rng, song, low, max(split, low + 13)) + right(rng, song, min(split, high - 13), high)


def sustained(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """A few long notes: drones, swells, effects."""
    scale = song.line_pitches(low, high)
    step = float(rng.choice([song.beats_per_bar, 2 * song.beats_per_bar, 2]))
    return [
        Note(float(beat), step * max(song.gate, 0.7), scale[rng.integers(len(scale))], draw_velocity(rng))
        for beat in np.arange(0, song.n_beats, step)
    ]


def repeated(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """One or two pitches in a rhythm: tuned percussion, stabs, ostinati."""
    scale = song.line_pitches(low, high)
    chosen = [scale[rng.integers(len(scale))] for _ in range(int(rng.integers(1, 4)))]
    velocity = draw_velocity(rng)
    density = float(rng.uniform(0.2, 0.8))

    def motif() -> list[tuple[float, int]]:
        return [(onset, chosen[rng.integers(len(chosen))]) for onset in draw_onsets(rng, song, density)]

    notes = [
        Note(start + onset, 0.0, pitch, velocity + rng.uniform(-15, 15))
        for start, steps in arrange(rng, song, motif)
        for onset, pitch in steps
    ]
    fill_lengths(notes, song)
    return notes


# Basses


def bass_roots(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Chord roots in a rhythm, with some fifths and octaves."""
    density = float(rng.uniform(0.15, 0.9))
    colour = float(rng.uniform(0, 0.5))
    velocity = draw_velocity(rng)

    def motif() -> list[tuple[float, int]]:
        return [
            (onset, int(rng.choice([4, 7, 2])) if rng.random() < colour and onset > 0 else 0)
            for onset in draw_onsets(rng, song, density)
        ]

    notes = [
        Note(
            start + onset,
            0.0,
            place(song.step_pitch(song.chord_at(start + onset).degree + step), low, high),
            velocity,
        )
        for start, steps in arrange(rng, song, motif)
        for onset, step in steps
    ]
    fill_lengths(notes, song)
    return notes


def bass_steady(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Eighths, sixteenths or quarters on the root."""
    step = float(rng.choice([0.25, 0.5, 0.5, 1.0]))
    velocity = draw_velocity(rng)
    return [
        Note(float(beat), step * song.gate, place(song.step_pitch(song.chord_at(beat).degree), low, high),
             velocity + (10 if beat % 1 == 0 else 0))
        for beat in np.arange(0, song.n_beats, step)
    ]  # fmt: skip


def bass_octaves(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Root and octave in turn (disco, house)."""
    step = float(rng.choice([0.5, 0.25]))
    velocity = draw_velocity(rng)
    notes: list[Note] = []
    for index, beat in enumerate(np.arange(0, song.n_beats, step)):
        root = place(song.step_pitch(song.chord_at(beat).degree), low, low + 11)
        notes.append(Note(float(beat), step * song.gate, min(root + 12 * (index % 2), high), velocity))
    return notes


def bass_walking(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Quarters that walk by steps to the next chord's root, skipping at times."""
    scale = song.line_pitches(low, high)
    velocity = draw_velocity(rng)
    notes: list[Note] = []
    index = int(rng.integers(len(scale)))
    for beat in range(song.n_beats):
        chord = song.chord_at(beat)
        if abs(beat - chord.start) < 0.5:
            root = place(song.step_pitch(chord.degree), low, high)
            index = min(range(len(scale)), key=lambda i: abs(scale[i] - root))
        else:
            index = int(np.clip(index + rng.choice([-2, -1, 1, 2]), 0, len(scale) - 1))
        notes.append(Note(float(beat), max(song.gate, 0.6), scale[index], velocity))
        if rng.random() < 0.15:
            notes.append(Note(beat + 0.5, 0.4 * song.gate, scale[index], velocity - 15))
    return notes


def bass_slap(rng: np.random.Generator, song: Song, low: int, high: int) -> list[Note]:
    """Syncopated funk: loud roots, popped octaves and dead notes."""
    velocity = float(rng.uniform(80, 112))

    def motif() -> list[tuple[float, str]]:
        kinds = ["root", "pop", "dead", "rest", "scale"]
        slots = np.arange(0, song.beats_per_bar, 0.25)
        drawn = [(float(slot), str(rng.choice(kinds, p=[0.25, 0.15, 0.15, 0.35, 0.1]))) for slot in slots]
        return [(0.0, "root"), *[(slot, kind) for slot, kind in drawn if kind != "rest" and slot > 0]]

    scale = song.line_pitches(low, high)
    notes: list[Note] = []
    for start, kinds in arrange(rng, song, motif):
        for slot, kind in kinds:
            root = place(song.step_pitch(song.chord_at(start + slot).degree), low, low + 11)
            pitch = {"pop": min(root + 12, high), "scale": scale[rng.integers(len(scale))]}.get(kind, root)
            dead = kind == "dead"
            notes.append(
                Note(
                    start + slot,
                    0.05 if dead else 0.25 * max(song.gate, 0.5),
                    pitch,
                    velocity * (0.5 if dead else 1),
                )
            )
    return notes


BASS_PATTERNS: dict[Pattern, float] = {
    bass_roots: 0.26, bass_steady: 0.13, bass_octaves: 0.07, bass_walking: 0.09, bass_slap: 0.12,
    riff: 0.15, arpeggio: 0.06, melody: 0.07, sustained: 0.03, comping: 0.02,
}  # fmt: skip
KEYS_PATTERNS: dict[Pattern, float] = {
    comping: 0.3, two_hands: 0.24, melody: 0.16, arpeggio: 0.15, pad: 0.1, riff: 0.05,
}  # fmt: skip
SYNTH_PATTERNS: dict[Pattern, float] = {
    melody: 0.24, arpeggio: 0.24, pad: 0.22, riff: 0.12, comping: 0.1, sustained: 0.08,
}  # fmt: skip
ENSEMBLE_PATTERNS: dict[Pattern, float] = {
    melody: 0.4,
    pad: 0.28,
    comping: 0.12,
    arpeggio: 0.1,
    riff: 0.06,
    sustained: 0.04,
}
SOLO_PATTERNS: dict[Pattern, float] = {
    melody: 0.68,
    riff: 0.14,
    arpeggio: 0.1,
    sustained: 0.05,
    comping: 0.03,
}
PERCUSSION_PATTERNS: dict[Pattern, float] = {repeated: 0.8, melody: 0.2}
EFFECT_PATTERNS: dict[Pattern, float] = {sustained: 0.6, repeated: 0.4}


def choose_pattern(rng: np.random.Generator, patterns: dict[Pattern, float]) -> Pattern:
    """Draw a pattern by its weight."""
    weights = np.array(list(patterns.values()))
    return list(patterns)[rng.choice(len(weights), p=weights / weights.sum())]
