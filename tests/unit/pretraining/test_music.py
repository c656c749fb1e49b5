"""The music of the training loops: songs, timing, patterns, grooves, and the split of the instruments."""

import numpy as np
import pytest
from pretraining.catalogue import (
    FAMILY_WEIGHTS,
    HELD_OUT_KITS,
    HELD_OUT_PROGRAMS,
    PATTERNS,
    draw_instrument,
    note_instruments,
    soundfont_instruments,
)
from pretraining.drums import drum_groove
from pretraining.guitars import GUITAR_PATTERNS
from pretraining.music import Note, make_song, perform, swing_beats
from pretraining.patterns import BASS_PATTERNS, KEYS_PATTERNS, SOLO_PATTERNS, SYNTH_PATTERNS

REGISTERS = {"guitar": (40, 79), "bass": (26, 52), "other": (48, 84)}
EVERY_PATTERN = [
    *((pattern, "guitar") for pattern in GUITAR_PATTERNS),
    *((pattern, "bass") for pattern in BASS_PATTERNS),
    *((pattern, "other") for pattern in {**KEYS_PATTERNS, **SYNTH_PATTERNS, **SOLO_PATTERNS}),
]


@pytest.mark.parametrize("seed", range(40))
def test_songs_last_from_two_to_twenty_five_seconds(seed: int) -> None:
    song = make_song(np.random.default_rng(seed))
    assert 2.0 <= song.n_beats * song.beat_s <= 25.0
    assert 1 <= song.n_bars <= 16
    assert 59.9 <= song.bpm <= 200.1
    assert song.chords[0].start == 0
    assert song.chords[-1].stop == song.n_beats


def test_a_tenth_of_the_songs_exceeds_the_window() -> None:
    songs = [make_song(np.random.default_rng([1, seed])) for seed in range(400)]
    share = np.mean([song.n_beats * song.beat_s > 10.24 for song in songs])
    assert 0.07 < share < 0.2


@pytest.mark.parametrize(
    ("pattern", "role"), EVERY_PATTERN, ids=lambda value: getattr(value, "__name__", value)
)
def test_patterns_stay_in_the_register_and_in_the_song(pattern, role: str) -> None:
    low, high = REGISTERS[role]
    for seed in range(25):
        rng = np.random.default_rng(seed)
        song = make_song(rng)
        notes = pattern(rng, song, low, high)
        assert notes
        assert all(low <= note.pitch <= high for note in notes)
        assert all(0 <= note.start < song.n_beats + 0.5 and note.length > 0 for note in notes)


def test_the_same_seed_plays_the_same_notes_and_another_seed_others() -> None:
    def play(seed: int) -> list[Note]:
        rng = np.random.default_rng(seed)
        song = make_song(rng)
        return next(iter(GUITAR_PATTERNS))(rng, song, 40, 79)

    assert play(5) == play(5)
    assert play(5) != play(6)


def test_swing_moves_the_off_beats_and_nothing_else() -> None:
    beats = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(swing_beats(beats, 2 / 3, 0.5), [0, 2 / 3, 1, 5 / 3, 2], atol=1e-12)
    np.testing.assert_allclose(swing_beats(beats, 0.5, 0.5), beats, atol=1e-12)
    fine = np.linspace(0, 4, 200)
    assert np.all(np.diff(swing_beats(fine, 0.64, 0.25)) > 0)


def test_a_performance_is_in_order_and_in_time() -> None:
    rng = np.random.default_rng(0)
    song = make_song(rng)
    notes = [Note(float(beat), 0.5, 60, 90) for beat in range(song.n_beats)][::-1]
    timed = perform(rng, song, notes, looseness_s=0.0)
    np.testing.assert_allclose(
        [note.start_s for note in timed], np.arange(song.n_beats) * song.beat_s, atol=1e-9
    )
    assert all(note.stop_s > note.start_s and 1 <= note.velocity <= 127 for note in timed)


def test_grooves_are_many_and_stay_in_the_song() -> None:
    styles = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        song = make_song(rng)
        style, notes = drum_groove(rng, song)
        styles.add(style)
        assert all(0 <= note.start < song.n_beats and 27 <= note.pitch <= 87 for note in notes)
    assert len(styles) > 25


@pytest.mark.parametrize("font", ["fluidr3", "musescore"])
def test_training_never_hears_what_is_held_out(font: str) -> None:
    training = {instrument.id for instrument in soundfont_instruments(font, evaluation=False)}
    held_out = {instrument.id for instrument in soundfont_instruments(font, evaluation=True)}
    assert not training & held_out
    assert {f"gm:{program:03d}" for program in HELD_OUT_PROGRAMS} <= held_out
    assert {f"drums:{kit:03d}" for kit in HELD_OUT_KITS} <= held_out


def test_recorded_groups_are_split_too() -> None:
    groups = {"swagbass": ("bass", 21, 69), "discordgm:034": ("bass", 24, 69)}
    assert [one.group for one in note_instruments(groups, evaluation=False)] == ["swagbass"]
    assert [one.group for one in note_instruments(groups, evaluation=True)] == ["discordgm:034"]


def test_every_family_has_patterns_and_something_to_play_them() -> None:
    instruments = soundfont_instruments("fluidr3", evaluation=False)
    for family in FAMILY_WEIGHTS:
        if family != "mix":
            assert draw_instrument(np.random.default_rng(0), instruments, family).family == family
            assert family in PATTERNS or family == "drums"
