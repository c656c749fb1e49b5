"""Reasons from records that are made up: what stands out is named, as surely as the numbers allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loopsphere.explain import ATTRIBUTES, Reference, faults, reasons, top_reasons, with_nearest
from loopsphere.types import Neighbour

NORMAL = {
    "tempo_bpm": (92.0, 4.0),
    "brightness_hz": (700.0, 150.0),
    "loudness_lufs": (-16.0, 1.5),
    "onset_density": (3.5, 0.5),
    "crest_db": (12.0, 1.5),
    "clipped_share": (0.0, 0.0),
    "dropout_s": (0.0, 0.0),
    "gap_s": (0.0, 0.0),
    "seam_db": (-20.0, 5.0),
    "resolution_bits": (16.0, 0.0),
    "hum_db": (-80.0, 0.0),
    "dc_offset": (0.0, 0.0),
}


def record(rng: np.random.Generator, **planted):
    drawn = {name: float(rng.normal(middle, spread)) for name, (middle, spread) in NORMAL.items()}
    return {**drawn, "key": "E minor", "key_confidence": 0.8, "sound": "a guitar", **planted}


def reference(n_loops: int, **planted) -> Reference:
    rng = np.random.default_rng(0)
    return Reference.of([record(rng, **planted) for _ in range(n_loops)])


def named(n_loops: int = 200, **planted):
    return top_reasons(record(np.random.default_rng(99), **planted), reference(n_loops))


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ({"tempo_bpm": 174.0}, "174 BPM where most are"),
        ({"brightness_hz": 2900.0}, "brighter than any of the 200 normal loops (brightness 2.9 kHz, usually"),
        ({"brightness_hz": 150.0}, "duller"),
        ({"loudness_lufs": -5.0}, "louder"),
        ({"loudness_lufs": -30.0}, "quieter"),
        ({"onset_density": 12.0}, "busier"),
        ({"clipped_share": 0.012}, "clipped for 1.2 % of its length"),
        ({"gap_s": 1.3}, "silent for 1.30 s in between"),
        ({"seam_db": 30.0}, "clicks where it repeats"),
        ({"resolution_bits": 6.0}, "only 6 bits of resolution"),
        ({"hum_db": -10.0}, "hums like the mains"),
        ({"key": "C major"}, "in C major where 100 % of your loops are in E minor"),
        ({"sound": "drums"}, "sounds like drums where 100 % of your loops sound like a guitar"),
    ],
)
def test_the_planted_attribute_comes_first(planted, word):
    reasons = named(**planted)
    assert word in reasons[0].text
    assert reasons[0].attribute in planted


def test_an_ordinary_loop_has_no_fault_and_no_strong_reason():
    rng = np.random.default_rng(5)
    loops = [record(rng) for _ in range(40)]
    normal = reference(200)
    assert not any(faults(loop, normal) for loop in loops)
    assert max(reason.strength for loop in loops for reason in top_reasons(loop, normal)) < 4.0


def test_further_out_is_stronger():
    strengths = [named(brightness_hz=hz)[0].strength for hz in (1500.0, 3000.0, 6000.0, 12000.0)]
    assert strengths == sorted(strengths)
    assert len(set(strengths)) == 4


def test_faults_that_nobody_hears_are_not_named():
    inaudible = {"clipped_share": 0.0005, "dc_offset": 0.004, "seam_db": 3.0, "hum_db": -55.0, "gap_s": 0.2}
    assert faults(record(np.random.default_rng(1), **inaudible), reference(200)) == ()


def test_a_fault_says_where_it_begins_if_that_is_known():
    gap = {"gap_s": 2.7, "gap_start_s": 1.204}
    assert named(**gap)[0].text == "silent for 2.70 s in between, from 1.20 s on"
    dropouts = {"dropout_s": 0.74, "dropout_start_s": 0.5}
    assert named(**dropouts)[0].text == "drops out for 0.74 s in all, first at 0.50 s"
    assert named(gap_s=2.7, gap_start_s=None)[0].text == "silent for 2.70 s in between"


def test_one_silence_is_named_once():
    silence = {"gap_s": 1.2, "gap_start_s": 0.73, "dropout_s": 1.2, "dropout_start_s": 0.73}
    found = faults(record(np.random.default_rng(1), **silence), reference(200))
    assert [fault.attribute for fault in found] == ["dropout_s"]


def test_a_fault_that_all_loops_share_is_not_what_sets_one_apart():
    everywhere = reference(100, gap_s=1.0)
    assert not [
        r for r in top_reasons(record(np.random.default_rng(1), gap_s=1.0), everywhere) if r.kind == "fault"
    ]


def test_all_faults_are_listed_and_reasons_tell_of_different_sides():
    broken = record(
        np.random.default_rng(1), clipped_share=0.05, dropout_s=0.5, gap_s=0.6, hum_db=-5.0, dc_offset=0.2
    )
    found = faults(broken, reference(100))
    assert {fault.attribute for fault in found} == {
        "clipped_share",
        "dropout_s",
        "gap_s",
        "hum_db",
        "dc_offset",
    }
    reasons = top_reasons(broken, reference(100))
    assert len(reasons) == 3
    assert not {"dropout_s", "gap_s"} <= {reason.attribute for reason in reasons}


@pytest.mark.parametrize("n_loops", [5, 8, 19])
def test_an_attribute_that_few_loops_have_is_no_reason(n_loops):
    assert not [r for r in named(n_loops, loudness_lufs=-2.0) if r.attribute == "loudness_lufs"]
    pitched = [{"pitch_low_midi": 40.0 + k} for k in range(n_loops)]
    normal = Reference.of([*pitched, *({"pitch_low_midi": None} for _ in range(100))])
    assert top_reasons({"pitch_low_midi": 90.0}, normal) == ()
    assert normal.usual("pitch_low_midi") is not None


def test_few_loops_give_counts_and_no_per_cent():
    (reason, *_) = named(12, sound="drums")
    assert reason.text == "sounds like drums where 12 of 12 normal loops sound like a guitar"
    assert not [r for r in named(9, sound="drums") if r.attribute == "sound"]


@pytest.mark.parametrize(
    ("attribute", "value", "is_told"),
    [("duration_s", 8.04, False), ("duration_s", 8.2, True), ("brightness_hz", 2230.0, False)],
)
def test_what_reads_like_the_end_of_what_is_usual_is_no_reason(attribute, value, is_told):
    normal = Reference.of([{"duration_s": 8.0, "brightness_hz": 2200.0 - 0.01 * k} for k in range(500)])
    # Told by the spread alone, the loop would be odd.
    narrow = {"duration_s": 0.001, "brightness_hz": 0.001}
    specs = {
        name: replace(spec, noticeable=narrow.get(name, spec.noticeable)) for name, spec in ATTRIBUTES.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reasons, "ATTRIBUTES", specs)
        assert bool(top_reasons({attribute: value}, normal)) == is_told


def near(*distances: float) -> list[Neighbour]:
    return [Neighbour(f"pack/near_{k}.wav", distance) for k, distance in enumerate(distances)]


def test_what_stands_out_in_no_attribute_is_told_by_its_neighbours():
    normal = np.linspace(0.1, 0.2, 41)
    (reason,) = with_nearest((), near(0.38, 0.4, 0.42), normal)
    assert reason.text == (
        "unlike even its nearest loops: near_0.wav and 2 more are 2.1 times as far from it as is usual"
    )
    assert (reason.attribute, reason.kind) == ("nearest_distance", "style")
    assert reason.value == pytest.approx(0.4)
    assert reason.usual == pytest.approx((0.105, 0.195))
    assert reason.strength > 1.65
    (reason,) = with_nearest((), near(1.99), 0.01 * normal)
    assert reason.text == (
        "unlike even its nearest loops: near_0.wav is more than 10 times as far from it as is usual"
    )
    (reason,) = with_nearest((), near(0.22, 0.22), np.concatenate([normal, normal]) / 2 + 0.1)
    assert reason.text.endswith("near_0.wav and 1 more are farther from it than is usual")


def test_neighbours_come_behind_what_can_be_named_and_only_if_they_are_far():
    normal = np.linspace(0.1, 0.2, 41)
    bright = named(brightness_hz=2900.0)[:1]
    assert [r.attribute for r in with_nearest(bright, near(0.4), normal)] == [
        "brightness_hz",
        "nearest_distance",
    ]
    assert with_nearest(bright, near(0.15), normal) == bright
    three = (*bright, *bright, *bright)
    assert with_nearest(three, near(0.4), normal) == three


@pytest.mark.parametrize(
    ("normal", "text"),
    [
        (np.linspace(0.1, 0.2, 41), "nothing stands out by itself; most like near_0.wav"),
        (np.full(19, 0.01), "sounds like water, most like near_0.wav (too few loops to say more)"),
        (np.full(8, np.inf), "sounds like water, most like near_0.wav (too few loops to say more)"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_where_nothing_stands_out_the_nearest_loop_is_named(normal, text):
    (reason,) = with_nearest((), near(0.15, 0.16), normal, "water")
    assert reason.text == text
    assert reason.strength == 0.0
    assert with_nearest((), [], normal) == ()


def test_never_brighter_than_100_per_cent():
    for hz, others in ((1000.0, "97 %"), (1100.0, "99 %"), (1200.0, "99 %"), (1400.0, "any of the 1000")):
        assert named(1000, brightness_hz=hz)[0].text.startswith(f"brighter than {others}")


def test_fewer_loops_make_less_certain():
    def strength(n_loops):
        loops = Reference.of([{"loudness_lufs": value} for value in np.linspace(-18.0, -14.0, n_loops)])
        return top_reasons({"loudness_lufs": -11.0}, loops)[0].strength

    assert strength(20) < strength(60) < strength(500)


def test_without_others_only_faults_are_named():
    reasons = top_reasons(
        record(np.random.default_rng(1), clipped_share=0.1, loudness_lufs=0.0), Reference.of([])
    )
    assert [reason.attribute for reason in reasons] == ["clipped_share"]
    assert reasons[0].usual is None


def test_values_that_are_missing_are_passed_over():
    loops = Reference.of([{"tempo_bpm": None, "brightness_hz": 500.0, "key": None} for _ in range(30)])
    assert loops.usual("tempo_bpm") is None
    assert (
        top_reasons({"tempo_bpm": 120.0, "brightness_hz": None, "loudness_lufs": float("nan")}, loops) == ()
    )


def test_a_collection_in_many_keys_has_no_odd_key():
    rng = np.random.default_rng(0)
    keys = ["C major", "A minor", "E minor", "G major"]
    mixed = Reference.of([record(rng, key=keys[k % 4]) for k in range(100)])
    assert not [r for r in top_reasons(record(rng, key="F# minor"), mixed) if r.attribute == "key"]


def test_what_a_loop_is_comes_before_how_it_is_but_after_what_went_badly_wrong():
    odd = {"sound": "drums", "loudness_lufs": -9.0}
    assert [reason.attribute for reason in named(**odd)][:2] == ["sound", "loudness_lufs"]
    assert named(hum_db=-10.0, **odd)[0].attribute == "hum_db"


def test_a_sound_that_is_not_clear_is_no_reason():
    assert not [reason for reason in named(sound=None) if reason.attribute == "sound"]


def test_an_unsure_key_is_no_reason():
    assert not [reason for reason in named(key="C major", key_confidence=0.05) if reason.attribute == "key"]
