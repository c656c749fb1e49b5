"""What loops sound like, in a word."""

from __future__ import annotations

import numpy as np
import pytest

from loopsphere.encoders import load_encoder
from loopsphere.encoders.joining import taken_apart
from loopsphere.explain.sounds import SOUNDS, sounds_of
from loopsphere.synth import LoopSpec, render


def test_the_strongest_tag_decides_whatever_its_unit():
    tags = np.full((3, 50), 0.1)
    tags[0, 0], tags[1, 41], tags[2, 43] = 0.9, 0.9, 0.9
    assert sounds_of(tags) == sounds_of(7 * tags) == ["a guitar", "drums", "strings"]


def test_where_nothing_is_clearly_ahead_nothing_is_said():
    tags = np.zeros((2, 50))
    tags[1, [0, 5]] = 0.5, 0.45
    assert sounds_of(tags) == [None, None]


def test_tags_of_style_do_not_count():
    tags = np.zeros((1, 50))
    tags[0, [2, 7, 42]] = 0.9, 0.8, 0.3  # slow, rock, harp
    assert sounds_of(tags) == ["a harp"]


def test_each_tag_stands_for_one_word():
    places = [place for several in SOUNDS.values() for place in several]
    assert len(places) == len(set(places))
    assert set(places) <= set(range(50))


@pytest.mark.parametrize(
    ("instrument", "style", "sound"),
    [("acoustic_kit", "rock", "drums"), ("steel_guitar", "fingerpicked", "a guitar")],
)
def test_rendered_instruments_are_heard_as_what_they_are(instrument: str, style: str, sound: str):
    specs = [
        LoopSpec(instrument=instrument, style=style, bars=2, seed=seed, sample_rate=32_000)
        for seed in range(5)
    ]
    *_, tags = taken_apart(load_encoder(device="cpu").embed(map(render, specs)))
    heard = sounds_of(tags)
    assert heard.count(sound) >= 4, heard
