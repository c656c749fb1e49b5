"""The sound of the training loops; skipped where FluidSynth, its soundfonts or pedalboard are missing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("pedalboard", reason="pedalboard is not installed (dependency group 'pretraining')")
pytest.importorskip("fluidsynth", reason="FluidSynth is not installed", exc_type=ImportError)

from pretraining.drumkits import HYDROGEN
from pretraining.drums import GROOVES
from pretraining.effects import MEDIUM, PRODUCTION, amp, direct_input, mild_change, sweep, swell
from pretraining.music import TimedNote
from pretraining.render import FETCHED_NOTES, SPLITS, Studio, render_shard
from pretraining.sources import SAMPLE_RATE, SOUNDFONTS, RecordedNotes, SoundFont, play_synth

from loopsphere.features.config import BUNDLED

EFFECTS = [amp, sweep, *(effect for effect, _ in (*PRODUCTION, *MEDIUM))]


@pytest.fixture(scope="module")
def fluidr3() -> SoundFont:
    if not SOUNDFONTS["fluidr3"].exists():
        pytest.skip("the soundfont FluidR3 GM is not installed (Debian package fluid-soundfont-gm)")
    return SoundFont(SOUNDFONTS["fluidr3"])


@pytest.fixture
def studio(real_loops: Path) -> Studio:
    for name in SPLITS["train"]:
        if not SOUNDFONTS[name].exists():
            pytest.skip(f"the soundfont {name} is not installed")
    if not HYDROGEN.exists():
        pytest.skip("the drum kits are not installed (Debian package hydrogen-drumkits)")
    if not FETCHED_NOTES.exists():
        pytest.skip("the recorded instruments are not there (pretraining/fetch.sh)")
    return Studio("train", real_loops)


def _pitch_hz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 4 * len(audio)))
    return float(np.argmax(spectrum) * SAMPLE_RATE / (4 * len(audio)))


def test_a_soundfont_sounds_the_pitch_at_the_time(fluidr3: SoundFont) -> None:
    audio = fluidr3.play([TimedNote(0.5, 1.5, 69, 100)], 0, 73, 2 * SAMPLE_RATE, 0.0)
    assert np.abs(audio[: SAMPLE_RATE // 2 - 64]).max() == 0
    assert _pitch_hz(audio) == pytest.approx(440, rel=0.01)
    sharp = fluidr3.play([TimedNote(0.5, 1.5, 69, 100)], 0, 73, 2 * SAMPLE_RATE, 50.0)
    assert _pitch_hz(sharp) / _pitch_hz(audio) == pytest.approx(2 ** (50 / 1200), rel=0.004)


def test_nothing_rings_into_the_next_loop(fluidr3: SoundFont) -> None:
    bell = [TimedNote(0.0, 0.2, 60, 120)]
    first = fluidr3.play(bell, 0, 14, SAMPLE_RATE // 2, 0.0)
    assert np.abs(fluidr3.play([], 0, 14, SAMPLE_RATE, 0.0)).max() == 0
    np.testing.assert_array_equal(fluidr3.play(bell, 0, 14, SAMPLE_RATE // 2, 0.0), first)


@pytest.fixture
def recorded_sine(tmp_path: Path) -> Path:
    """A 'recorded' group of one note: 220 Hz, MIDI 57."""
    seconds = np.arange(44_100) / 44_100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 220 * seconds), 44_100)
    row = {
        "path": "a.wav", "class": "bass_note", "group": "sine", "use": "train or evaluate",
        "midi_pitch": "57.0", "note": "vel=mf",
    }  # fmt: skip
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows([row, row | {"group": "sonicpi"}, row | {"group": "other", "use": "evaluate only"}])
    return tmp_path


@pytest.mark.parametrize(("pitch", "expected_hz"), [(57, 220.0), (60, 261.63), (52, 164.81)])
def test_the_sampler_repitches(recorded_sine: Path, pitch: int, expected_hz: float) -> None:
    notes = RecordedNotes(recorded_sine, evaluation=False)
    assert notes.groups() == {"sine": ("bass", 57, 57)}
    audio = notes.play([TimedNote(0.1, 0.6, pitch, 100)], "sine", SAMPLE_RATE, 0.0, np.random.default_rng(0))
    assert _pitch_hz(audio) == pytest.approx(expected_hz, rel=0.003)
    assert np.abs(audio[: SAMPLE_RATE // 10]).max() == 0
    assert np.abs(audio[int(0.8 * SAMPLE_RATE) :]).max() == 0


@pytest.fixture
def kits(recorded_sine: Path) -> RecordedNotes:
    if not HYDROGEN.exists():
        pytest.skip("the drum kits are not installed (Debian package hydrogen-drumkits)")
    return RecordedNotes(recorded_sine, kits=HYDROGEN, evaluation=False)


def _hit(kits: RecordedNotes, key: int) -> np.ndarray:
    hit = [TimedNote(0.1, 0.3, key, 100)]
    return kits.play(hit, "kit:rumpf", SAMPLE_RATE, 0.0, np.random.default_rng(0))


def _centroid_hz(audio: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(audio)) ** 2
    return float(np.average(np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE), weights=power))


def test_a_kit_sounds_every_key_of_a_groove_and_kicks_are_low(kits: RecordedNotes) -> None:
    for key in sorted({key for lanes in GROOVES.values() for key in lanes}):
        hit = _hit(kits, key)
        assert np.abs(hit[: SAMPLE_RATE // 10 - 200]).max() == 0
        assert 0.03 < np.abs(hit).max() < 2
    kick, snare, hat = (_centroid_hz(_hit(kits, key)) for key in (36, 38, 42))
    assert kick < 250 < snare < hat
    assert hat > 3000


def test_a_loop_keeps_one_kick_and_loops_differ(kits: RecordedNotes) -> None:
    notes = [TimedNote(0.0, 0.2, 36, 100), TimedNote(1.0, 1.2, 36, 100)]
    audio, other = (
        kits.play(notes, "kit:rumpf", 2 * SAMPLE_RATE, 0.0, np.random.default_rng(seed)) for seed in (0, 1)
    )
    np.testing.assert_array_equal(audio[:SAMPLE_RATE], audio[SAMPLE_RATE:])
    assert np.abs(audio - other).max() > 0.01


def test_the_evaluation_hears_no_kit(recorded_sine: Path) -> None:
    groups = RecordedNotes(recorded_sine, kits=HYDROGEN, evaluation=True).groups()
    assert not [group for group in groups if group.startswith("kit:")]


def test_two_presets_of_a_synthesised_guitar_differ() -> None:
    notes = [TimedNote(0.0, 0.5, 52, 100)]
    one, same, other = (
        play_synth(notes, "clean_guitar", preset, SAMPLE_RATE, 0.0, muted=False) for preset in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_effects_change_the_sound_and_keep_the_length(effect) -> None:
    audio = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32) * np.float32(0.1)
    changed = effect(np.random.default_rng(1), audio)
    assert changed.shape == audio.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert np.abs(changed / np.abs(changed).max() - audio / np.abs(audio).max()).max() > 1e-3


def test_direct_input_keeps_the_length() -> None:
    audio = np.sin(np.arange(SAMPLE_RATE) * 0.05).astype(np.float32)
    changed = direct_input(np.random.default_rng(0), audio, [TimedNote(0.2, 0.5, 50, 90)])
    assert changed.shape == audio.shape
    assert np.isfinite(changed).all()


@pytest.mark.parametrize("seed", range(8))
def test_held_notes_swell(seed: int) -> None:
    notes = [TimedNote(start, start + 1.0, 60, 90) for start in (0.0, 1.0, 2.0)]
    seconds = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    held = np.sin(2 * np.pi * 220 * seconds).astype(np.float32)
    swelled = swell(np.random.default_rng(seed), held, notes)
    assert swelled.shape == held.shape
    first, second = np.square(swelled.reshape(3, 2, -1)).sum(axis=(0, 2))
    assert first < 0.8 * second


@pytest.mark.parametrize("seed", range(8))
def test_of_chords_that_swell_no_attack_is_left(seed: int) -> None:
    starts = (0.0, 1.0, 2.0)
    attacks = np.zeros(3 * SAMPLE_RATE, dtype=np.float32)
    for start in starts:
        attacks[int(start * SAMPLE_RATE) :][: SAMPLE_RATE // 1000] = 1.0
    swelled = swell(np.random.default_rng(seed), attacks, [TimedNote(start, 3.0, 60, 90) for start in starts])
    assert np.square(swelled).sum() < 0.01 * np.square(attacks).sum()


@pytest.mark.parametrize("seed", range(8))
def test_a_twin_is_a_mild_change(seed: int) -> None:
    seconds = np.arange(3 * SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    audio = np.sin(2 * np.pi * 220 * seconds) * np.exp(-(seconds % 0.5) * 4)
    changed, kind = mild_change(np.random.default_rng(seed), audio.astype(np.float32))
    moved = int(0.5 * SAMPLE_RATE)
    assert abs(len(changed) - len(audio)) <= moved
    if kind in ("mp3", "eq", "resample"):
        assert np.corrcoef(changed, audio)[0, 1] > 0.98


@pytest.mark.slow
def test_a_shard_is_determined_by_its_seed_and_described_by_its_labels(
    studio: Studio, tmp_path: Path
) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    for folder in (first, again):
        folder.mkdir()
        render_shard(studio, None, 7, 3, 6, folder)
    assert sorted(path.name for path in first.iterdir()) == ["shard-00003.jsonl", "shard-00003.mel.npy"]
    for path in first.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()

    mel = np.load(first / "shard-00003.mel.npy")
    rows = [json.loads(line) for line in (first / "shard-00003.jsonl").read_text().splitlines()]
    assert mel.dtype == np.uint8
    assert mel.shape == (rows[-1]["twin_stop"] or rows[-1]["stop"], BUNDLED.n_mels)
    position = 0
    for row in rows:
        assert row["start"] == position
        assert row["stop"] - row["start"] >= BUNDLED.n_frames
        assert row["is_longer"] == (row["n_samples"] > BUNDLED.window_samples)
        assert row["chroma"] is None or sum(row["chroma"]) == pytest.approx(1, abs=0.01)
        position = row["twin_stop"] or row["stop"]
