"""Attributes against signals whose truth is known: each is made to have one, more of it, or none."""

from __future__ import annotations

import json

import numpy as np
import pyloudnorm
import pytest

from loopsphere.explain import ATTRIBUTES, Attributes, Hints, measure, with_hints
from loopsphere.explain.filename_hints import PITCH_NAMES, Key
from loopsphere.synth import LoopSpec, plant, render
from loopsphere.types import Recording

RATE = 44_100


def recording(samples: np.ndarray, rate: int = RATE) -> Recording:
    shaped = np.asarray(samples, dtype=np.float32).reshape(len(samples), -1)
    return Recording("loop.wav", shaped, rate, shaped.shape[1], "")


def tone(hz: float, seconds: float = 3.0, level: float = 0.5, rate: int = RATE) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)


def noise(seconds: float = 3.0, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def clicks(bpm: float, beats: int, level: float = 0.8) -> np.ndarray:
    """A short noise burst on every quarter, quieter ones on the eighths between."""
    samples = np.zeros(round(beats * 60 / bpm * RATE))
    burst = noise(0.03) * np.exp(-np.arange(int(0.03 * RATE)) / 300)
    for k in range(2 * beats):
        start = round(k * 30 / bpm * RATE)
        samples[start : start + len(burst)] += level * burst * (8 if k % 2 == 0 else 3)
    return samples


@pytest.fixture(scope="module")
def bass() -> np.ndarray:
    return render(LoopSpec(bpm=104, root=4, seed=2))


@pytest.fixture(scope="module")
def bass_attributes(bass: np.ndarray) -> Attributes:
    return measure(recording(bass))


def test_every_field_is_described_or_a_word(bass_attributes):
    words = {"key", "key_source", "tempo_source"}
    assert set(bass_attributes.to_dict()) - words == set(ATTRIBUTES)


def test_json_and_back(bass_attributes):
    text = json.dumps(bass_attributes.to_dict(), allow_nan=False)
    assert Attributes.from_dict(json.loads(text)) == bass_attributes


def test_measuring_again_gives_the_same(bass, bass_attributes):
    assert measure(recording(bass.copy())) == bass_attributes


def test_gain_changes_loudness_and_peak_and_nothing_else(bass, bass_attributes):
    quieter = measure(recording(bass * np.float32(0.25))).to_dict()
    gain_db = 20 * np.log10(0.25)
    for name, value in bass_attributes.to_dict().items():
        if name in ("loudness_lufs", "peak_dbfs"):
            assert quieter[name] == pytest.approx(value + gain_db, abs=0.1)
        elif isinstance(value, float):
            assert quieter[name] == pytest.approx(value, rel=0.02, abs=0.02), name
        else:
            assert quieter[name] == value, name


def test_a_sine_is_what_textbooks_say():
    found = measure(recording(tone(1000, level=1.0)))
    assert found.crest_db == pytest.approx(3.01, abs=0.02)
    assert found.peak_dbfs == pytest.approx(0.0, abs=0.01)
    assert found.loudness_lufs == pytest.approx(-3.01, abs=0.1)  # BS.1770: 0 dBFS at 1 kHz, one channel
    assert found.brightness_hz == pytest.approx(1000, rel=0.02)
    assert found.clipped_share == 0.0
    assert found.noisiness < 0.01


def test_a_loop_shorter_than_a_loudness_block_has_the_loudness_of_its_repetition():
    short = tone(1000, seconds=0.2)
    assert measure(recording(short)).loudness_lufs == pytest.approx(
        measure(recording(np.tile(short, 20))).loudness_lufs, abs=0.1
    )


def test_brightness_noise_and_low_end_rise_with_their_cause(bass, bass_attributes):
    noisy = measure(recording(bass + noise(len(bass) / RATE, 0.05)[: len(bass)]))
    assert noisy.noisiness > 3 * bass_attributes.noisiness
    assert noisy.brightness_hz > 2 * bass_attributes.brightness_hz
    boomy = measure(recording(bass + tone(55, len(bass) / RATE, 0.5)[: len(bass)]))
    assert boomy.low_end_share > bass_attributes.low_end_share


def test_more_clipping_is_a_larger_share(bass):
    full = bass / np.abs(bass).max()
    shares = [measure(recording(np.clip(gain * full, -1, 1))).clipped_share for gain in (1, 2, 4, 8)]
    assert shares[0] < 0.001
    assert shares == sorted(shares)
    assert shares[-1] > 0.05


def test_a_clipped_loop_that_was_turned_down_is_still_clipped(bass):
    clipped = np.clip(4 * bass / np.abs(bass).max(), -1, 1)
    assert measure(recording(0.3 * clipped)).clipped_share == pytest.approx(
        measure(recording(clipped)).clipped_share, rel=0.01
    )


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_resolution_is_read_from_the_steps(bass, bits):
    step = 2.0 ** (1 - bits)
    coarse = np.round(bass / np.abs(bass).max() / step) * step
    assert measure(recording(coarse)).resolution_bits == pytest.approx(bits, abs=0.3)


def test_dc_offset_and_hum(bass, bass_attributes):
    assert measure(recording(bass + 0.05)).dc_offset == pytest.approx(0.05, abs=0.002)
    humming = plant("hum", "large", waveform=bass, sample_rate=RATE, seed=1)
    assert measure(recording(humming.waveform)).hum_db == pytest.approx(-7, abs=3)
    assert bass_attributes.hum_db < -60


def test_a_pedal_note_is_no_hum():
    note = sum(tone(49.0 * k, 6.0, 0.3 / k) for k in range(1, 8))
    assert measure(recording(note)).hum_db < -40


def test_silence_at_head_and_tail_and_in_between(bass):
    head, tail, gap = np.zeros(int(0.3 * RATE)), np.zeros(int(0.5 * RATE)), np.zeros(int(0.7 * RATE))
    half = len(bass) // 2
    found = measure(recording(np.concatenate([head, bass[:half], gap, bass[half:], tail])))
    assert found.silence_head_s == pytest.approx(0.3, abs=0.03)
    assert found.silence_tail_s == pytest.approx(0.5, abs=0.1)
    assert found.gap_s == pytest.approx(0.7, abs=0.1)
    assert found.gap_start_s == pytest.approx(0.3 + half / RATE, abs=0.1)
    assert measure(recording(tone(220, 4.0))).gap_start_s is None


def test_only_abrupt_silence_is_a_dropout():
    held = tone(220, 4.0)
    cut, faded = held.copy(), held.copy()
    cut[RATE : RATE + 4410] = 0
    fade = np.linspace(1, 0, 4410)
    faded[RATE - 4410 : RATE] *= fade
    faded[RATE : RATE + 4410] = 0
    cut[2 * RATE : 2 * RATE + 2205] = 0
    found = measure(recording(cut))
    assert found.dropout_s == pytest.approx(0.15, abs=0.01)
    assert found.dropout_start_s == pytest.approx(1.0, abs=0.01)
    assert measure(recording(faded)).dropout_start_s is None
    assert measure(recording(faded)).dropout_s == 0.0
    assert measure(recording(held)).dropout_s == 0.0


def test_the_seam_clicks_where_a_wave_is_cut():
    whole, cut = tone(100, 3.0), tone(100, 3.0025)
    assert measure(recording(whole)).seam_db < 0
    assert measure(recording(cut)).seam_db > 20


def test_a_step_of_16_bits_does_not_move_the_seam():
    time_s = np.arange(2 * RATE) / RATE
    smooth = (0.9 * np.sin(2 * np.pi * 50 * time_s) * np.hanning(len(time_s))).astype(np.float32)
    stepped = smooth.copy()
    stepped[0] += 2.0**-15
    assert abs(measure(recording(smooth)).seam_db - measure(recording(stepped)).seam_db) < 0.5


@pytest.mark.parametrize("bpm", [84.0, 100.0, 128.0])
def test_tempo_of_clicks(bpm):
    found = measure(recording(clicks(bpm, 8)))
    assert found.tempo_bpm == pytest.approx(bpm, rel=0.01)
    assert found.tempo_source == "audio"
    assert found.length_bars == pytest.approx(2.0, abs=0.01)
    assert found.misfit_beats == 0.0
    assert found.onset_density == pytest.approx(2 * bpm / 60, rel=0.1)
    assert found.timing_ms < 5


def test_a_loop_cut_off_the_beat_is_told_from_a_whole_one():
    whole = clicks(112, 16)
    cut = whole[: round(len(whole) * 9.4 / 16)]
    found = measure(recording(cut))
    assert found.tempo_bpm == pytest.approx(112, rel=0.03)
    assert found.misfit_beats == pytest.approx(0.4, abs=0.15)


def test_swing_is_heard():
    swung = [
        measure(
            recording(render(LoopSpec("acoustic_kit", "funk", bpm=100, swing=s, density=0.9, seed=1)))
        ).swing
        for s in (0.0, 0.33)
    ]
    assert swung[0] == pytest.approx(0.0, abs=0.06)
    assert swung[1] == pytest.approx(0.33, abs=0.08)


def test_what_has_no_meaning_is_none():
    one_note = measure(recording(tone(220, 1.0) * np.exp(-np.arange(RATE) / 8000)))
    assert one_note.tempo_bpm is None
    assert one_note.swing is None
    hiss = measure(recording(noise()))
    assert (hiss.pitch_low_midi, hiss.key, hiss.tuning_cents, hiss.polyphony) == (None,) * 4
    assert hiss.stereo_width is None


def test_pitch_tuning_and_voices():
    chord = sum(tone(hz, level=0.2) for hz in (220.0, 277.18, 329.63))  # A3, C#4, E4
    found = measure(recording(chord))
    assert found.pitch_low_midi == pytest.approx(57, abs=0.5)
    assert found.pitch_high_midi == pytest.approx(64, abs=0.5)
    assert found.polyphony == pytest.approx(3, abs=0.5)
    assert found.tuning_cents == pytest.approx(0, abs=3)
    assert found.key == "A major"
    sharp = measure(recording(sum(tone(hz * 2 ** (30 / 1200), level=0.2) for hz in (220.0, 277.18, 329.63))))
    assert sharp.tuning_cents == pytest.approx(30, abs=4)


def test_notes_of_no_common_scale_fit_less():
    def scale(steps):
        return np.concatenate([tone(261.63 * 2 ** (step / 12), 0.4) for step in steps])

    assert measure(recording(scale((0, 2, 4, 5, 7, 9, 11)))).scale_fit == pytest.approx(1.0, abs=0.02)
    assert measure(recording(scale((0, 2, 4, 6, 8, 10)))).scale_fit < 0.85


def test_stereo_width_and_loss_in_mono():
    left, right = noise(seed=1), noise(seed=2)
    assert measure(recording(np.stack([left, left], 1))).stereo_width == 0.0
    wide = measure(recording(np.stack([left, right], 1)))
    assert wide.stereo_width == pytest.approx(0.5, abs=0.02)
    assert wide.mono_loss_db == pytest.approx(0, abs=0.3)
    inverted = measure(recording(np.stack([left, -0.9 * left], 1)))
    assert inverted.stereo_width > 0.95
    assert inverted.mono_loss_db > 10
    assert np.isfinite(measure(recording(np.stack([left, -left], 1))).brightness_hz)


def test_a_codecs_cut_off_is_found_and_a_gentle_slope_is_not():
    spectrum = np.fft.rfft(noise())
    frequencies = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    walled = np.fft.irfft(np.where(frequencies < 11_000, spectrum, 1e-5 * spectrum))
    sloped = np.fft.irfft(spectrum / (1 + (frequencies / 3000) ** 2))
    assert measure(recording(walled)).codec_cutoff_hz == pytest.approx(11_000, rel=0.04)
    assert measure(recording(sloped)).codec_cutoff_hz is None


def test_names_are_believed_before_the_sound(bass_attributes):
    told = with_hints(bass_attributes, Hints(120.0, "name", Key(9, True), "tag"))
    assert (told.tempo_bpm, told.tempo_source, told.tempo_confidence) == (120.0, "name", 1.0)
    assert (told.key, told.key_source) == ("A minor", "tag")
    assert told.length_bars == pytest.approx(told.duration_s * 120 / 240)
    assert told.timing_ms is None  # it was measured on the grid of another tempo
    assert with_hints(bass_attributes, Hints()) == bass_attributes


def test_a_named_root_keeps_the_mode_that_is_heard(bass_attributes):
    assert bass_attributes.key is not None
    tonic = bass_attributes.key.split(" ")[0]
    told = with_hints(bass_attributes, Hints(key=Key(PITCH_NAMES.index(tonic), None), key_source="name"))
    assert told.key == bass_attributes.key
    other = with_hints(
        bass_attributes, Hints(key=Key((PITCH_NAMES.index(tonic) + 1) % 12, None), key_source="name")
    )
    assert " " not in str(other.key)


@pytest.mark.parametrize("rate", [4_000, 8_000, 22_050, 96_000])
@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0])
def test_short_loops_at_any_rate_are_measured(rate, seconds):
    samples = tone(300, seconds, rate=rate) + 0.01 * np.random.default_rng(0).standard_normal(
        int(seconds * rate)
    )
    found = measure(recording(samples, rate)).to_dict()
    assert all(np.isfinite(value) for value in found.values() if isinstance(value, float))


@pytest.mark.parametrize("n_channels", [1, 2])
def test_loudness_is_that_of_pyloudnorm(n_channels):
    channels = [noise(seed=seed) * np.linspace(0.05, 1.0 + seed, 3 * RATE) for seed in range(n_channels)]
    loop = recording(np.stack(channels, axis=1))
    expected = pyloudnorm.Meter(RATE).integrated_loudness(loop.samples)
    assert measure(loop).loudness_lufs == pytest.approx(expected, rel=1e-9)
