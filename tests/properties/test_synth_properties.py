"""What holds for every spec, and for every waveform that a fault is planted into."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopsphere.synth import FAULTS, INSTRUMENTS, MAGNITUDES, faults_for, plant, random_spec, render
from loopsphere.synth.patterns import play

SEEDS = st.integers(0, 2**31)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_any_drawn_loop_is_exact_finite_and_within_its_peak(seed):
    spec = random_spec(seed, bars=1, sample_rate=8000)
    waveform = render(spec)
    assert waveform.shape == (round(240 / spec.bpm * spec.meter[0] / spec.meter[1] * 8000),)
    assert np.all(np.isfinite(waveform))
    assert 10 ** (-9 / 20) - 1e-4 <= np.max(np.abs(waveform)) <= 10 ** (-0.5 / 20) + 1e-4
    assert abs(np.mean(waveform)) < 0.01


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_notes_start_within_the_loop_and_sound(seed):
    spec = replace(random_spec(seed), humanise_s=0.0)
    duration_s = spec.n_samples / spec.sample_rate
    for note in play(spec):
        assert 0 <= note.start_s < duration_s + 0.05  # the strings of a strummed chord follow each other
        assert note.duration_s > 0 and 0 < note.velocity <= 1


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, low=st.floats(0.05, 1.0), high=st.floats(0.05, 1.0))
def test_a_denser_loop_keeps_every_onset_of_a_sparser_one(seed, low, high):
    spec = replace(random_spec(seed, bars=2), humanise_s=0.0)
    low, high = sorted((low, high))
    sparse, dense = (
        {(round(note.start_s, 6), note.midi_pitch if spec.family == "drums" else 0) for note in play(s)}
        for s in (replace(spec, density=low), replace(spec, density=high))
    )
    assert sparse <= dense


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    name=st.sampled_from(faults_for()),
    magnitude=st.sampled_from(MAGNITUDES),
    n_samples=st.integers(500, 12000),
    peak=st.floats(1e-4, 1.0),
)
def test_any_waveform_takes_any_fault_of_the_recording(seed, name, magnitude, n_samples, peak):
    noise = np.random.default_rng(seed).standard_normal(n_samples)
    waveform = (peak * noise / np.max(np.abs(noise))).astype(np.float32)
    before = waveform.copy()
    planted = plant(name, magnitude, waveform=waveform, sample_rate=8000, seed=seed)
    np.testing.assert_array_equal(waveform, before)
    assert planted.waveform.dtype == np.float32 and planted.waveform.ndim == 1 and len(planted.waveform)
    assert np.all(np.isfinite(planted.waveform)) and np.max(np.abs(planted.waveform)) <= 1.0
    edges = np.ravel(planted.fault.ranges_s)
    assert np.all(np.diff(edges) >= 0) and edges[0] >= 0
    assert edges[-1] <= len(planted.waveform) / planted.sample_rate + 1e-9


@pytest.mark.parametrize("name", [name for name in FAULTS if FAULTS[name].respec is not None])
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, instrument=st.sampled_from(sorted(INSTRUMENTS)), magnitude=st.sampled_from(MAGNITUDES))
def test_faults_of_the_music_always_change_the_score_or_the_sound(name, seed, instrument, magnitude):
    spec = random_spec(seed, instrument=instrument)
    if name not in faults_for(spec):
        return
    level = FAULTS[name].levels[MAGNITUDES.index(magnitude)]
    changed = FAULTS[name].respec(spec, level, np.random.default_rng(seed))
    same_sound = all(
        getattr(changed, field) == getattr(spec, field)
        for field in ("instrument", "preset", "bpm", "transpose", "tuning_cents")
    )
    assert not same_sound or play(changed) != play(spec)
