"""The renderer: exact, seamless, in tune, in time, and shaped like the instruments it is named after."""

import librosa
import numpy as np
import pytest
from scipy import fft

from loopsphere.synth import INSTRUMENTS, LoopSpec, random_spec, render, styles_of
from loopsphere.synth.dsp import add_circular, filter_circular, low_pass, varispeed
from loopsphere.synth.instruments import draw_player
from loopsphere.synth.patterns import play
from loopsphere.synth.strings import StringVoice

SAMPLE_RATE = 32000
STRINGS = ("electric_bass", "nylon_guitar", "steel_guitar", "clean_guitar", "crunch_guitar")


def spec_of(instrument, seed=0, **fixed):
    settings = {"bpm": 96.0, "bars": 1, "meter": (4, 4), "sample_rate": SAMPLE_RATE} | fixed
    return random_spec(seed, instrument=instrument, **settings)


def fundamental_hz(waveform, sample_rate, near_hz):
    """Frequency of the spectral peak within a semitone of `near_hz`, by a parabola through its logarithm."""
    n_fft = fft.next_fast_len(16 * len(waveform))
    window = np.exp(-0.5 * np.square(np.linspace(-4, 4, len(waveform))))
    spectrum = np.log(np.abs(fft.rfft(waveform * window, n_fft)) + 1e-30)
    low, high = (int(near_hz * 2 ** (s / 12) * n_fft / sample_rate) for s in (-1, 1))
    peak = low + int(np.argmax(spectrum[low:high]))
    left, middle, right = spectrum[peak - 1 : peak + 2]
    return (peak + 0.5 * (left - right) / (left - 2 * middle + right)) * sample_rate / n_fft


def cents(measured_hz, true_hz):
    return 1200 * np.log2(measured_hz / true_hz)


def third_octave_profile_db(waveform):
    power = np.abs(fft.rfft(waveform)) ** 2
    edges_hz = 50 * 2 ** (np.arange(25) / 3)
    bins = (edges_hz * len(waveform) / SAMPLE_RATE).astype(int)
    profile = 10 * np.log10(np.add.reduceat(power, bins)[:-1] + 1e-30)
    return np.maximum(profile, profile.max() - 60)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_same_spec_same_bytes_and_exact_length(instrument):
    spec = spec_of(instrument, seed=5, bpm=97.3)
    waveform = render(spec)
    assert waveform.dtype == np.float32
    assert waveform.shape == (round(4 * 60 / 97.3 * SAMPLE_RATE),)
    assert np.all(np.isfinite(waveform))
    assert waveform.tobytes() == render(spec).tobytes()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_the_seam_is_no_step(instrument):
    for seed in range(3):
        waveform = render(spec_of(instrument, seed))
        steps = np.abs(np.diff(waveform))
        assert abs(waveform[0] - waveform[-1]) <= steps.max()


def test_tails_wrap_into_the_head():
    # A pad swells: what is heard in the first 6 ms is the release of the last chord.
    spec = LoopSpec(
        "pad", "sustained", 1, 2, density=0.06, articulation="legato", humanise_s=0.0, sample_rate=SAMPLE_RATE
    )
    waveform = render(spec)
    assert np.sqrt(np.mean(waveform[:200] ** 2)) > 0.01


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_two_players_differ_in_timbre_over_the_same_notes(instrument):
    one, other = (third_octave_profile_db(render(spec_of(instrument, preset=preset))) for preset in (1, 2))
    assert np.mean(np.abs(one - other)) > 1.0


@pytest.mark.parametrize("family", ["bass", "guitar", "keys", "synth", "drums"])
def test_every_style_of_a_family_renders(family):
    instrument = next(name for name, kind in INSTRUMENTS.items() if kind.family == family)
    rendered = [render(spec_of(instrument, style=style, density=0.5)) for style in styles_of(family)]
    assert all(np.max(np.abs(waveform)) > 0.3 for waveform in rendered)
    profiles = {waveform.tobytes() for waveform in rendered}
    assert len(profiles) == len(rendered)


def test_spectral_centroids_are_those_of_the_families():
    def centroid_hz(instrument):
        centroids = []
        for seed in range(4):
            power = np.abs(fft.rfft(render(spec_of(instrument, seed, articulation="normal")))) ** 2
            frequencies = np.linspace(0, SAMPLE_RATE / 2, len(power))
            centroids.append(np.sum(power * frequencies) / np.sum(power))
        return np.median(centroids)

    basses = [centroid_hz(name) for name in ("electric_bass", "synth_bass", "fm_bass")]
    guitars = [centroid_hz(name) for name in STRINGS[1:]]
    assert min(basses) > 60 and max(basses) < 500
    assert min(guitars) > 250 and max(guitars) < 2500
    assert max(basses) < np.median(guitars) < centroid_hz("bell")
    assert centroid_hz("acoustic_kit") > 700


@pytest.mark.parametrize("instrument", [*STRINGS, "fm_bass", "electric_piano"])
@pytest.mark.parametrize("midi_pitch", [31, 43, 58])
def test_notes_are_in_tune(instrument, midi_pitch):
    true_hz = 440 * 2 ** ((midi_pitch + 0.25 - 69) / 12)
    for preset in range(4):
        voice, _ = draw_player(instrument, preset, SAMPLE_RATE, False)
        waveform = voice.note(midi_pitch, 0.25, 0.9, SAMPLE_RATE)
        # The steady part: the attack of an FM voice is spread out in frequency.
        measured_hz = fundamental_hz(waveform[SAMPLE_RATE // 10 :], SAMPLE_RATE, true_hz)
        assert abs(cents(measured_hz, true_hz)) < 1.5


@pytest.mark.parametrize("instrument", ["electric_bass", "nylon_guitar", "synth_bass"])
def test_librosa_hears_the_same_pitch(instrument):
    voice, _ = draw_player(instrument, 3, SAMPLE_RATE, False)
    waveform = voice.note(45, 0.0, 0.6, SAMPLE_RATE)
    track_hz = librosa.yin(waveform, fmin=60, fmax=300, sr=SAMPLE_RATE, frame_length=4096)
    assert abs(cents(np.median(track_hz[4:-4]), 110.0)) < 12.0


@pytest.mark.parametrize("decay_s", [0.5, 2.0])
def test_a_string_without_damping_fades_by_60_db_in_its_decay_time(decay_s):
    voice = StringVoice(SAMPLE_RATE, decay_s, 0.0, 0.0, 0.2, 0.0, 3000.0, 0.3, 7)
    waveform = voice.note(45, 0.0, 0.8, SAMPLE_RATE)
    period = round(SAMPLE_RATE / 110)
    level = [
        np.sqrt(np.mean(waveform[start : start + 10 * period] ** 2)) for start in (period, SAMPLE_RATE // 2)
    ]
    elapsed_s = 0.5 - period / SAMPLE_RATE
    assert 20 * np.log10(level[1] / level[0]) == pytest.approx(-60 * elapsed_s / decay_s, rel=0.02)


def test_stiff_strings_have_sharp_partials():
    stiffness = 4e-4
    voice = StringVoice(SAMPLE_RATE, 4.0, 0.5, stiffness, 0.13, 0.0, 6000.0, 0.2, 7)
    waveform = voice.note(45, 0.0, 1.0, 2 * SAMPLE_RATE)
    for partial in (2, 5, 10):
        law = partial * np.sqrt((1 + stiffness * partial**2) / (1 + stiffness))
        assert abs(cents(fundamental_hz(waveform, SAMPLE_RATE, 110 * law), 110 * law)) < 1.5


@pytest.mark.parametrize("bpm", [84.0, 128.0])
def test_onsets_lie_on_the_beat(bpm):
    spec = LoopSpec("electro_kit", "house", 3, bpm=bpm, density=0.05, humanise_s=0.0, sample_rate=SAMPLE_RATE)
    waveform = render(spec)
    # Twice through: an onset at the very start of a recording is not one to a detector.
    onsets_s = librosa.onset.onset_detect(
        y=np.tile(waveform, 2), sr=SAMPLE_RATE, hop_length=128, units="time"
    )
    loop_s = len(waveform) / SAMPLE_RATE
    written_s = np.unique([note.start_s for note in play(spec)])
    assert set(np.round(np.arange(8) * 60 / bpm, 6)) <= set(np.round(written_s, 6))
    second = onsets_s[(onsets_s > loop_s - 0.1) & (onsets_s < 2 * loop_s - 0.1)] - loop_s
    np.testing.assert_allclose(second, written_s, atol=0.02)


@pytest.mark.parametrize("start", [0, 3, 9, -4, 25])
@pytest.mark.parametrize("n_segment", [0, 1, 10, 27])
def test_add_circular_matches_numpys_indexed_add(start, n_segment):
    loop, segment = np.arange(10, dtype=np.float32), np.linspace(1, 2, n_segment, dtype=np.float32)
    expected = loop.copy()
    np.add.at(expected, (start + np.arange(n_segment)) % 10, segment)
    add_circular(loop, segment, start)
    np.testing.assert_allclose(loop, expected, rtol=1e-6)


def test_filtering_a_rotated_loop_rotates_the_result():
    rng = np.random.default_rng(0)
    loop = rng.standard_normal(31991, dtype=np.float32)
    room = (rng.standard_normal(9000) * np.exp(-np.arange(9000) / 1500)).astype(np.float32) * 0.05

    def filtered(waveform):
        return filter_circular(waveform, SAMPLE_RATE, lambda hz: low_pass(hz, 900.0, 2), room)

    np.testing.assert_allclose(filtered(np.roll(loop, 777)), np.roll(filtered(loop), 777), atol=2e-4)


def test_varispeed_keeps_the_seam_and_moves_the_pitch():
    cycles = 100 * np.arange(SAMPLE_RATE) / SAMPLE_RATE
    faster = varispeed(np.sin(2 * np.pi * cycles).astype(np.float32), 2 ** (50 / 1200))
    assert len(faster) == pytest.approx(SAMPLE_RATE / 2 ** (50 / 1200), abs=1)
    assert cents(fundamental_hz(faster, SAMPLE_RATE, 103.0), 100.0) == pytest.approx(50, abs=0.2)
    assert abs(faster[0] - faster[-1]) < 1.5 * np.max(np.abs(np.diff(faster)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bpm", 5.0),
        ("bars", 17),
        ("instrument", "kazoo"),
        ("scale", "lydian"),
        ("density", 0.0),
        ("meter", (4, 3)),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(field, value):
    with pytest.raises(ValueError, match=rf"LoopSpec\.{field} cannot be"):
        LoopSpec(**{field: value})


def test_a_style_of_another_family_is_refused():
    with pytest.raises(ValueError, match="its styles are rock, funk"):
        render(LoopSpec("acoustic_kit", "walking_bass"))
