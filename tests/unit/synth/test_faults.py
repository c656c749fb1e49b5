"""Planted faults: as strong as they say, where they say, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from loopsphere.synth import FAULTS, MAGNITUDES, SCALES, LoopSpec, faults_for, plant, render
from loopsphere.synth.damage import time_stretch
from loopsphere.synth.dsp import rms
from loopsphere.synth.misfits import wrong_instrument
from loopsphere.synth.patterns import play

SPEC = LoopSpec(
    "clean_guitar", "guitar_riff", 5, 3, bpm=120.0, bars=1, root=9, density=0.5, sample_rate=16000
)
RATE = SPEC.sample_rate
LOCAL = ("dropouts", "silence_gap", "reversed")
# Faults whose larger strength leaves a larger difference from the same samples of the original.
ADDITIVE = (
    "brightness",
    "distortion",
    "clipping",
    "bit_depth",
    "noise",
    "hum",
    "dropouts",
    "silence_gap",
    "reversed",
    "phase_cancellation",
    "speech",
    "environment",
)


@pytest.fixture(scope="module")
def loop():
    """The loop at a level that leaves room, so that nothing has to be turned down to stay in full scale."""
    waveform = render(SPEC)
    return (0.1 * waveform / np.max(np.abs(waveform))).astype(np.float32)


def tone(frequency_hz, seconds=2.0):
    return (0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def strongest_hz(waveform, rate):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 8 * len(waveform)))
    return np.argmax(spectrum) * rate / (8 * len(waveform))


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_every_fault_changes_the_loop_and_is_repeatable(name, magnitude):
    planted = plant(name, magnitude, spec=SPEC, seed=2)
    again = plant(name, magnitude, spec=SPEC, seed=2)
    assert planted.waveform.tobytes() == again.waveform.tobytes()
    assert planted.waveform.dtype == np.float32
    assert np.all(np.isfinite(planted.waveform)) and np.max(np.abs(planted.waveform)) <= 1.0
    original = render(SPEC)
    is_other_length = len(planted.waveform) != len(original) or planted.sample_rate != RATE
    assert is_other_length or rms(planted.waveform - original) > 1e-3 * rms(original)
    fault = planted.fault
    assert (fault.name, fault.magnitude) == (name, magnitude)
    assert fault.value == FAULTS[name].levels[MAGNITUDES.index(magnitude)]
    duration_s = len(planted.waveform) / planted.sample_rate
    edges = np.ravel(fault.ranges_s)
    assert np.all(np.diff(edges) > 0) and edges[0] >= 0 and edges[-1] <= duration_s + 1e-9
    if name not in (*LOCAL, "cut_tail"):
        assert fault.ranges_s == ((0.0, duration_s),)


@pytest.mark.parametrize("name", ADDITIVE)
def test_larger_faults_of_the_recording_change_it_more(name, loop):
    for seed in range(3):
        changes = [
            rms(plant(name, size, waveform=loop, sample_rate=RATE, seed=seed).waveform - loop)
            for size in MAGNITUDES
        ]
        assert changes[0] < changes[1] < changes[2]


def scale_distance(spec):
    return len(set(SCALES[spec.scale]) ^ set(SCALES[SPEC.scale]))


@pytest.mark.parametrize(
    ("name", "distance"),
    [
        ("wrong_register", lambda spec: abs(spec.transpose)),
        ("detuned", lambda spec: abs(spec.tuning_cents)),
        ("tempo", lambda spec: abs(np.log(spec.bpm / SPEC.bpm))),
        ("off_grid", lambda spec: spec.humanise_s),
        ("other_scale", scale_distance),
        ("other_density", lambda spec: abs(len(play(spec)) - len(play(SPEC)))),
    ],
)
def test_larger_faults_of_the_music_change_it_more(name, distance):
    kind = FAULTS[name]
    for seed in range(3):
        moved = [distance(kind.respec(SPEC, level, np.random.default_rng(seed))) for level in kind.levels]
        assert 0 < moved[0] < moved[1] < moved[2]


def test_wrong_instruments_come_from_ever_farther_families():
    families = [wrong_instrument(SPEC, step, np.random.default_rng(0)).family for step in (1, 2, 3)]
    assert families == ["guitar", "keys", "drums"]


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("seed", range(4))
def test_local_faults_touch_their_ranges_and_nothing_else(name, magnitude, seed, loop):
    planted = plant(name, magnitude, waveform=loop, sample_rate=RATE, seed=seed)
    inside = np.zeros(len(loop), dtype=bool)
    for start_s, end_s in planted.fault.ranges_s:
        start, end = round(start_s * RATE), round(end_s * RATE)
        inside[start:end] = True
        assert np.any(planted.waveform[start:end] != loop[start:end])
        if name != "reversed":
            assert np.all(planted.waveform[start + RATE // 500 : end - RATE // 500] == 0)
    np.testing.assert_array_equal(planted.waveform[~inside], loop[~inside])
    assert inside.mean() == pytest.approx(planted.fault.value, abs=0.01)


@pytest.mark.parametrize(("magnitude", "snr_db"), [("small", 40), ("medium", 20), ("large", 6)])
def test_noise_has_exactly_the_ratio_asked_for(magnitude, snr_db, loop):
    noisy = plant("noise", magnitude, waveform=loop, sample_rate=RATE, seed=1).waveform
    assert 20 * np.log10(rms(loop) / rms(noisy - loop)) == pytest.approx(snr_db, abs=0.01)


def test_hum_lies_on_multiples_of_the_mains_frequency(loop):
    added = plant("hum", "large", waveform=loop, sample_rate=RATE, seed=0).waveform - loop
    mains_hz = strongest_hz(added, RATE)
    assert min(abs(mains_hz - 50), abs(mains_hz - 60)) < 0.5
    assert 20 * np.log10(rms(added) / rms(loop)) == pytest.approx(-6, abs=0.01)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_clipping_puts_its_share_at_full_scale(magnitude, loop):
    planted = plant("clipping", magnitude, waveform=loop, sample_rate=RATE)
    share = np.mean(np.abs(planted.waveform) >= 1 - 1e-6)
    assert share == pytest.approx(planted.fault.value, rel=0.1)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_bit_depth_leaves_so_many_levels(magnitude, loop):
    planted = plant("bit_depth", magnitude, waveform=loop, sample_rate=RATE)
    assert 2 ** (planted.fault.value - 1) < len(np.unique(planted.waveform)) <= 2**planted.fault.value + 1


def test_brightness_tilts_by_its_slope_and_keeps_the_level():
    loop = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32) * 0.05
    tilted = plant("brightness", "medium", waveform=loop, sample_rate=RATE, seed=0).waveform
    assert rms(tilted) == pytest.approx(rms(loop), rel=1e-4)
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(tilted)) / np.abs(np.fft.rfft(loop)))
    octaves = [np.median(gain_db[4 * hz - 40 : 4 * hz + 40]) for hz in (200, 400, 800, 1600)]
    np.testing.assert_allclose(np.abs(np.diff(octaves)), 4.0, atol=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_distortion_adds_odd_harmonics_and_keeps_the_level(seed):
    clean = tone(200.0)
    levels = []
    for magnitude in MAGNITUDES:
        driven = plant("distortion", magnitude, waveform=clean, sample_rate=RATE, seed=seed).waveform
        assert rms(driven) == pytest.approx(rms(clean), rel=1e-4)
        spectrum = np.abs(np.fft.rfft(driven))
        levels.append(spectrum[1200] / spectrum[400])
    assert 0 < levels[0] < levels[1] < levels[2] < 0.35


@pytest.mark.parametrize(("magnitude", "cents"), [("small", 10), ("medium", 50), ("large", 150)])
@pytest.mark.parametrize("seed", range(3))
def test_detuned_recordings_are_off_by_so_many_cents(magnitude, cents, seed):
    planted = plant("detuned", magnitude, waveform=tone(441.0), sample_rate=RATE, seed=seed)
    assert abs(1200 * np.log2(strongest_hz(planted.waveform, RATE) / 441.0)) == pytest.approx(cents, abs=0.5)


@pytest.mark.parametrize("speed", [1 / 1.4, 1.02, 1.4])
def test_time_stretch_changes_length_and_keeps_pitch_and_rhythm(speed):
    clicks = tone(330.0, 2.0) * (np.arange(2 * RATE) % (RATE // 2) < RATE // 4)
    stretched = time_stretch(clicks.astype(np.float32), RATE, speed)
    assert len(stretched) == round(len(clicks) / speed)
    assert strongest_hz(stretched, RATE) == pytest.approx(330.0, rel=0.004)
    envelope = np.convolve(np.abs(stretched), np.ones(320) / 320, mode="same")
    is_on = envelope > 0.5 * envelope.max()
    starts_s = np.flatnonzero(np.diff(is_on.astype(int)) == 1) / RATE
    np.testing.assert_allclose(np.diff(starts_s), 0.5 / speed, atol=0.03)


def test_time_stretch_by_one_is_the_identity(loop):
    np.testing.assert_allclose(time_stretch(loop, RATE, 1.0), loop, atol=1e-5)


def test_wrong_sample_rate_keeps_the_samples_and_claims_another_rate(loop):
    planted = plant("wrong_sample_rate", "large", waveform=loop, sample_rate=RATE, seed=0)
    np.testing.assert_array_equal(planted.waveform, loop)
    assert planted.sample_rate in (RATE // 2, 2 * RATE)
    assert planted.fault.ranges_s == ((0.0, len(loop) / planted.sample_rate),)


@pytest.mark.parametrize(("magnitude", "share"), [("small", 0.02), ("medium", 0.1), ("large", 0.35)])
def test_cut_tail_is_shorter_and_named_at_its_end(magnitude, share, loop):
    planted = plant("cut_tail", magnitude, waveform=loop, sample_rate=RATE)
    assert len(planted.waveform) == round((1 - share) * len(loop))
    np.testing.assert_array_equal(planted.waveform, loop[: len(planted.waveform)])
    assert planted.fault.ranges_s[0][1] == pytest.approx(len(planted.waveform) / RATE)


def test_phase_cancellation_eats_the_bass_more_than_the_treble():
    low, high = (
        rms(plant("phase_cancellation", "large", waveform=tone(hz), sample_rate=RATE, seed=3).waveform)
        for hz in (60.0, 800.0)
    )
    assert low < 0.5 * high


def test_speech_is_syllabic_and_voiced():
    speech = plant("speech", "large", waveform=tone(100.0, 8.0), sample_rate=RATE, seed=1).waveform
    frames = np.sqrt(np.mean(speech[: 8 * RATE].reshape(-1, RATE // 100) ** 2, axis=1))
    modulation = np.abs(np.fft.rfft(frames - frames.mean()))
    rates_hz = np.arange(len(modulation)) * 100 / len(frames)
    # Speech's envelope has its power at 2 to 10 syllables a second.
    is_syllabic = (rates_hz > 2) & (rates_hz < 10)
    assert np.sum(modulation[is_syllabic] ** 2) > 0.4 * np.sum(modulation[1:] ** 2)
    spectrum = np.abs(np.fft.rfft(speech)) ** 2
    edges = [int(hz * len(speech) / RATE) for hz in (80, 4000)]
    assert np.sum(spectrum[edges[0] : edges[1]]) > 0.8 * np.sum(spectrum)


def test_a_loop_louder_than_full_scale_is_left_at_its_level(loop):
    loud = 20 * loop
    planted = plant("dropouts", "small", waveform=loud, sample_rate=RATE, seed=0)
    start = round(planted.fault.ranges_s[0][0] * RATE)
    np.testing.assert_array_equal(planted.waveform[:start], loud[:start])


def test_drums_have_no_scale_and_recordings_take_no_musical_faults(loop):
    kit = LoopSpec("acoustic_kit", "rock", bars=1, sample_rate=RATE)
    assert set(faults_for(SPEC)) == set(FAULTS)
    assert set(FAULTS) - set(faults_for(kit)) == {"other_scale"}
    assert set(FAULTS) - set(faults_for()) == {name for name in FAULTS if FAULTS[name].damage is None}
    with pytest.raises(ValueError, match="does not apply to acoustic_kit"):
        plant("other_scale", "large", spec=kit)
    with pytest.raises(ValueError, match="needs the spec"):
        plant("off_grid", "large", waveform=loop, sample_rate=RATE)


def test_a_loop_of_nothing_but_its_tonic_moves_to_another_key():
    drone = LoopSpec("electric_bass", "rock_bass", 0, 0, bars=1, density=0.3, sample_rate=RATE)
    assert {note.midi_pitch % 12 for note in play(drone)} == {drone.root}
    planted = plant("other_scale", "large", spec=drone)
    np.testing.assert_array_equal(planted.waveform, render(replace(drone, root=(drone.root + 6) % 12)))


def test_wrong_use_is_explained(loop):
    with pytest.raises(ValueError, match="no fault is called 'flutter'; there are wrong_instrument"):
        plant("flutter", "large", spec=SPEC)
    with pytest.raises(ValueError, match="magnitude cannot be 'huge'"):
        plant("noise", "huge", spec=SPEC)
    with pytest.raises(ValueError, match="either a spec, or a waveform and its sample_rate"):
        plant("noise", "large", waveform=loop)
    with pytest.raises(ValueError, match="mono waveform with sound"):
        plant("noise", "large", waveform=np.zeros(100, dtype=np.float32), sample_rate=RATE)
