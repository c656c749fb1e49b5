"""Notes: where the spec says, in the key it says, as many as it says."""

from dataclasses import replace

import numpy as np
import pytest

from loopsphere.synth import SCALES, LoopSpec, random_spec, styles_of
from loopsphere.synth.drums import KICK
from loopsphere.synth.patterns import play

STRAIGHT = LoopSpec("electric_bass", "funk_bass", bpm=120.0, bars=4, density=0.5, humanise_s=0.0)


def starts_in_steps(spec):
    return np.array([note.start_s for note in play(spec)]) / spec.step_s


def test_straight_notes_lie_on_sixteenths_and_density_counts_them():
    steps = starts_in_steps(STRAIGHT)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert len(steps) == 4 * 16 * 0.5


def test_swing_delays_every_second_sixteenth_only():
    straight, swung = starts_in_steps(STRAIGHT), starts_in_steps(replace(STRAIGHT, swing=1 / 3))
    np.testing.assert_allclose(swung - straight, np.where(np.round(straight) % 2 == 1, 1 / 3, 0), atol=1e-9)


def test_humanise_is_the_standard_deviation_of_the_timing():
    spec = replace(STRAIGHT, bars=16, density=1.0, humanise_s=0.002)
    error_s = (
        starts_in_steps(spec) * spec.step_s - starts_in_steps(replace(spec, humanise_s=0.0)) * spec.step_s
    )
    assert np.std(error_s) == pytest.approx(0.002, rel=0.15)


@pytest.mark.parametrize("style", [s for f in ("bass", "guitar", "keys", "synth") for s in styles_of(f)])
@pytest.mark.parametrize("scale", ["major", "blues", "whole_tone"])
def test_pitches_belong_to_the_key(style, scale):
    family_instrument = {"bass": "fm_bass", "guitar": "nylon_guitar", "keys": "organ", "synth": "pad"}
    instrument = next(i for f, i in family_instrument.items() if style in styles_of(f))
    notes = play(LoopSpec(instrument, style, seed=9, root=3, scale=scale, bars=4, density=0.6))
    allowed = {(3 + step) % 12 for step in SCALES[scale]}
    if style == "power_chords":
        allowed |= {(pitch + 7) % 12 for pitch in allowed}
    assert {note.midi_pitch % 12 for note in notes} <= allowed


@pytest.mark.parametrize("meter", [(3, 4), (6, 8), (7, 8), (5, 4)])
def test_other_meters_fill_their_bars(meter):
    spec = LoopSpec("steel_guitar", "fingerpicked", meter=meter, bars=2, density=1.0, humanise_s=0.0)
    steps = np.unique(np.round(starts_in_steps(replace(spec, swing=0.0))))
    assert steps.max() == 2 * 16 * meter[0] // meter[1] - 1
    assert spec.n_samples == round(2 * 4 * meter[0] / meter[1] * 60 / spec.bpm * spec.sample_rate)


def test_house_has_four_kicks_on_the_floor():
    notes = play(LoopSpec("analogue_kit", "house", bpm=120.0, bars=1, density=0.5, humanise_s=0.0))
    kicks = [note.start_s for note in notes if note.midi_pitch == KICK]
    assert {0.0, 0.5, 1.0, 1.5} <= set(kicks)


def test_a_drummer_who_is_told_to_be_busy_hits_more():
    counts = [
        len(play(LoopSpec("acoustic_kit", "funk", bars=4, density=density))) for density in (0.2, 0.5, 0.8)
    ]
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_random_spec_keeps_what_is_given():
    spec = random_spec(4, instrument="organ", bpm=77.0, sample_rate=16000)
    assert (spec.instrument, spec.bpm, spec.sample_rate) == ("organ", 77.0, 16000)
    assert spec == random_spec(4, instrument="organ", bpm=77.0, sample_rate=16000)
    assert spec != random_spec(5, instrument="organ", bpm=77.0, sample_rate=16000)
