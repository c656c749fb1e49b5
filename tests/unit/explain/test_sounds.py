"""What loops sound like, in a word."""

from __future__ import annotations

import numpy as np
import pytest

from loopsphere.encoders import load_encoder
from loopsphere.encoders.joining import parts_of
from loopsphere.explain.sounds import SOUNDS, by_register, sounds_of
from loopsphere.synth import LoopSpec, render

MUSIC, GUITAR, BASS_GUITAR, DRUM_KIT, FLUTE = 132, 135, 137, 157, 191
N_CLASSES = 521


def heard(*rows: dict[int, float]) -> np.ndarray:
    """Return rows of square roots of these probabilities of classes, and of nothing else."""
    classes = np.zeros((len(rows), N_CLASSES))
    for row, probabilities in zip(classes, rows, strict=True):
        row[list(probabilities)] = np.sqrt(list(probabilities.values()))
    return classes


def test_the_strongest_word_decides_whatever_its_unit():
    classes = heard({MUSIC: 0.9, GUITAR: 0.3}, {MUSIC: 0.9, DRUM_KIT: 0.3}, {MUSIC: 0.9, FLUTE: 0.3})
    units = np.array([[0.01], [1.0], [7.0]])
    assert sounds_of(classes) == sounds_of(units * classes) == ["a guitar", "drums", "a flute"]


def test_a_row_recovered_with_small_errors_says_the_same():
    classes = heard({MUSIC: 0.9, GUITAR: 0.3}, {MUSIC: 0.9, DRUM_KIT: 0.3})
    errors = np.random.default_rng(0).normal(size=classes.shape)
    errors *= 0.08 / np.linalg.norm(errors, axis=1, keepdims=True)
    assert sounds_of(classes + errors) == ["a guitar", "drums"]


def test_where_nothing_is_clearly_ahead_nothing_is_said():
    assert sounds_of(heard({}, {GUITAR: 0.5, DRUM_KIT: 0.45})) == [None, None]


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (37.7, 52.7, "a bass"),
        (37.7, 65.0, "a guitar"),  # tuned down
        (40.0, 52.7, "a guitar"),
        (None, None, "a guitar"),
    ],
)
def test_what_plays_where_only_a_bass_does_is_one(low, high, word):
    assert by_register("a guitar", low, high) == word
    assert by_register("a synth", low, high) == "a synth"
    assert by_register(None, low, high) is None


def test_the_classes_of_a_word_count_together():
    one, several = {FLUTE: 0.3, 157: 0.2}, {FLUTE: 0.3, 157: 0.2, 159: 0.2, 160: 0.2}  # kit, drum, snare drum
    assert sounds_of(heard(one, several)) == [None, "drums"]


def test_a_guitar_and_a_bass_need_not_be_clear_of_each_other():
    assert sounds_of(heard({GUITAR: 0.5, BASS_GUITAR: 0.45}, {GUITAR: 0.45, BASS_GUITAR: 0.5})) == [
        "a guitar",
        "a bass",
    ]
    assert sounds_of(heard({GUITAR: 0.5, BASS_GUITAR: 0.45, DRUM_KIT: 0.45})) == [None]


def test_classes_that_name_no_sound_do_not_count():
    music, small_room, rock, happy = 132, 500, 214, 271
    assert sounds_of(heard({music: 0.9, small_room: 0.3, rock: 0.4, happy: 0.4, 194: 0.3})) == ["a harp"]


def test_what_is_only_faintly_heard_is_not_said():
    burping = 53
    assert sounds_of(heard({MUSIC: 0.99, FLUTE: 0.01}, {burping: 0.9, FLUTE: 0.05})) == [None, None]


def test_each_class_stands_for_one_word():
    places = [place for several in SOUNDS.values() for place in several]
    assert len(places) == len(set(places))
    assert set(places) <= set(range(N_CLASSES))
    assert all(SOUNDS.values())


@pytest.mark.parametrize(
    ("instrument", "style", "sound"),
    [("acoustic_kit", "rock", "drums"), ("clean_guitar", "strummed", "a guitar")],
)
def test_rendered_instruments_are_heard_as_what_they_are(instrument: str, style: str, sound: str):
    specs = [
        LoopSpec(instrument=instrument, style=style, bars=2, seed=seed, sample_rate=32_000)
        for seed in range(5)
    ]
    _, classes, _ = parts_of(load_encoder(device="cpu").embed(map(render, specs)))
    sounds = sounds_of(classes)
    assert sounds.count(sound) >= 4, sounds
