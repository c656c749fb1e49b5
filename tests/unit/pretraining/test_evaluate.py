"""The pure parts of the encoder's evaluation: divisions, scores, cosines, changes, the log and the report."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from pretraining.curves import read_log
from pretraining.features73 import handmade_features, log_mel_statistics
from pretraining.tasks import FeatureSet, Task, auroc, divisions, five_nn, neighbour_accuracy, tasks_of
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler


def test_divisions_of_few_sources_are_all_of_them() -> None:
    sources = ["a", "b", "a", "c"]
    found = divisions(sources, np.random.default_rng(0))
    assert len(found) == 6
    assert len({tuple(train) for train, _ in found}) == 6
    for train, test in found:
        assert {sources[index] for index in train}.isdisjoint(sources[index] for index in test)
        assert sorted([*train, *test]) == [0, 1, 2, 3]


def test_divisions_of_many_sources_share_none_and_follow_the_seed() -> None:
    sources = np.repeat([f"player {number}" for number in range(12)], 3).tolist()
    drawn = divisions(sources, np.random.default_rng(4))
    again = divisions(sources, np.random.default_rng(4))
    assert len(drawn) == 30
    for (train, test), (train_again, _) in zip(drawn, again, strict=True):
        assert np.array_equal(train, train_again)
        assert {sources[index] for index in train}.isdisjoint(sources[index] for index in test)


def test_one_source_gives_no_task() -> None:
    is_normal = np.array([True, True, True, False])
    assert tasks_of("keys", is_normal, ["a"] * 4, np.random.default_rng(0), min_train=1, min_test=1) == []


def test_tasks_leave_out_divisions_with_too_few_loops() -> None:
    is_normal = np.array([True, True, True, True, False])
    tasks = tasks_of(
        "synth", is_normal, ["a", "a", "a", "b", "a"], np.random.default_rng(0), min_train=2, min_test=1
    )
    assert len(tasks) == 1
    assert tasks[0].train.tolist() == [0, 1, 2]
    assert tasks[0].normal.tolist() == [3]
    assert tasks[0].odd.tolist() == [4]


@pytest.mark.parametrize("n_train", [3, 40])
def test_five_nn_agrees_with_scikit_learn(n_train: int) -> None:
    rng = np.random.default_rng(n_train)
    train, queries = rng.normal(2.0, [1, 50, 0.01], (n_train, 3)), rng.normal(2.0, [1, 50, 0.01], (9, 3))
    scaler = StandardScaler().fit(train)
    peer = NearestNeighbors(n_neighbors=min(5, n_train)).fit(scaler.transform(train))
    distance, _ = peer.kneighbors(scaler.transform(queries))
    np.testing.assert_allclose(five_nn(train, queries), distance.mean(axis=1), rtol=1e-6)


def test_auroc_is_one_for_odd_loops_far_away_and_averages_over_seeds() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4))
    features[40:] += 30.0
    task = Task("bass", np.arange(20), np.arange(20, 40), np.arange(40, 60))
    assert auroc(FeatureSet("apart", (features,)), task) == 1.0
    reversed_ = features.copy()
    reversed_[20:40], reversed_[40:] = features[40:], features[20:40]
    assert auroc(FeatureSet("both", (features, reversed_)), task) == 0.5


def test_neighbours_of_the_same_source_do_not_count() -> None:
    features = np.array([[0.0], [0.1], [5.0], [1.0]])
    labels, sources = ["bass", "bass", "keys", "drums"], np.array(["a", "a", "b", "b"])
    apart = sources[:, None] != sources
    everything = np.ones((4, 4), dtype=bool) & ~np.eye(4, dtype=bool)
    near, _ = neighbour_accuracy(features, labels, features, labels, everything)
    across, balanced = neighbour_accuracy(features, labels, features, labels, apart)
    assert near == 0.5
    assert across == 0.0
    assert balanced == 0.0


def test_handmade_features_tell_what_they_are_made_of() -> None:
    pytest.importorskip("librosa")
    time_s = np.arange(32_000, dtype=np.float32) / 32_000
    tone = handmade_features(0.3 * np.sin(2 * np.pi * 440 * time_s), 32_000)
    assert tone.shape == (73,)
    assert np.isfinite(tone).all()
    assert tone[40:52].argmax() == 9  # A among the chroma bins
    assert tone[71] == pytest.approx(440, rel=0.05)  # centroid in Hz
    assert tone[72] == pytest.approx(2 * 440 / 22_050, rel=0.05)  # crossings a sample


def test_log_mel_statistics_are_mean_and_deviation() -> None:
    mel = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    np.testing.assert_allclose(log_mel_statistics(mel), np.r_[mel.mean(0), mel.std(0)], rtol=1e-6)


def test_log_keeps_the_last_row_of_a_repeated_step(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,seconds,total\n25,10,3.0\n50,20,2.0\n25,11,2.9\n50,21,1.9\n75,31,1.5\n")
    columns = read_log(path)
    assert columns["step"].tolist() == [25, 50, 75]
    assert columns["total"].tolist() == [2.9, 1.9, 1.5]


@pytest.fixture(scope="module")
def stability() -> ModuleType:
    pytest.importorskip("fluidsynth", reason="FluidSynth is not installed", exc_type=ImportError)
    return importlib.import_module("pretraining.stability")


def test_lmms_loops_join_those_of_the_manifest_and_each_has_one_class(tmp_path: Path) -> None:
    pytest.importorskip("fluidsynth", reason="FluidSynth is not installed", exc_type=ImportError)
    material = importlib.import_module("pretraining.material")
    manifest = (
        "path,class,group,source_repo\na.flac,guitar_loop,player,here\nb.flac,guitar_note,player,here\n"
    )
    (tmp_path / "manifest.csv").write_text(manifest)
    names = ("bassloops/rave_bass01", "bassloops/techno_synth01", "beats/break01", "latin/latin_guitar01")
    for name in (*names, "latin/latin_brass01"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.ogg").touch()
    loops = material.RealLoops(tmp_path, lmms=tmp_path)
    assert sorted(loops.labels) == ["bass", "drums", "guitar", "guitar", "synth"]
    assert sorted(set(loops.sources)) == ["LMMS/lmms", "here"]
    assert len(material.RealLoops(tmp_path)) == 1


@pytest.fixture(scope="module")
def audio() -> npt.NDArray[np.float32]:
    time_s = np.arange(88_200)[:, None] / 44_100
    return (0.3 * np.sin(2 * np.pi * np.array([220.0, 330.0]) * time_s)).astype(np.float32)


def test_cosines_are_to_the_first_of_each_block(stability: ModuleType) -> None:
    embedding = np.array([[1.0, 0], [2, 0], [0, 3], [0, 1], [1, 1], [0, -2]])
    np.testing.assert_allclose(stability.cosines(embedding, 3), [[1, 0], [np.sqrt(0.5), -1]], atol=1e-12)


def test_mp3_is_lossy_but_the_same_sound(stability: ModuleType, audio: npt.NDArray[np.float32]) -> None:
    coded = stability.through_mp3(audio, 128)
    assert coded.shape[1] == 2
    for channel, original in zip(coded.T, audio.T, strict=True):
        n_samples = min(len(channel), len(original))
        assert 0.99 < np.corrcoef(channel[:n_samples], original[:n_samples])[0, 1] < 1
        # LAME lowers the level by 5 % against clipping.
        assert channel.std() == pytest.approx(0.95 * original.std(), rel=0.01)


@pytest.mark.parametrize(
    ("name", "n_samples"), [("cyclic shift by 1/2", 88_200), ("lead-in of 0.5 s", 110_250)]
)
def test_changes_keep_the_samples(
    stability: ModuleType, audio: npt.NDArray[np.float32], name: str, n_samples: int
) -> None:
    change, rate = stability.CHANGES[name]
    changed = change(audio)
    assert rate == 44_100
    assert changed.shape == (n_samples, 2)
    np.testing.assert_allclose(np.sum(changed**2), np.sum(audio**2), rtol=1e-5)


def test_gain_alone_scales_what_is_heard(stability: ModuleType, audio: npt.NDArray[np.float32]) -> None:
    for name in ("gain of +6 dB", "gain of -6 dB"):
        change, rate = stability.CHANGES[name]
        quieter = change(audio)
        np.testing.assert_allclose(
            20 * np.log10(np.abs(quieter).max() / np.abs(audio).max()),
            6 if "+" in name else -6,
            atol=1e-4,
        )
        heard, before = stability.as_heard(quieter, rate), stability.as_heard(audio, 44_100)
        np.testing.assert_allclose(heard, before * 10 ** (6 / 20 if "+" in name else -6 / 20), atol=1e-5)


def test_another_collection_is_divided_by_source_or_by_group(tmp_path: Path) -> None:
    pytest.importorskip("pedalboard", reason="pedalboard is not installed (dependency group 'pretraining')")
    pytest.importorskip("fluidsynth", reason="FluidSynth is not installed", exc_type=ImportError)
    material = importlib.import_module("pretraining.material")
    other_collection = importlib.import_module("pretraining.other_collection")
    rows = ["path,class,group,source_repo"]
    rows += [f"bass {n}.wav,bass_loop,player {n % 4},repository {n % 2}" for n in range(16)]
    rows += [f"drums {n}.wav,drum_loop,player {n % 4},one repository" for n in range(16)]
    rows += [f"hit {n}.wav,drum_hit,player {n % 4},one repository" for n in range(16)]
    (tmp_path / "manifest.csv").write_text("\n".join(rows), encoding="utf-8")
    loops = material.RealLoops(tmp_path)
    assert len(loops) == 32
    for by_group, n_bass in ((False, 2), (True, 14)):
        tasks = other_collection.collection_tasks(loops, ["bass", "drums"], by_group=by_group)
        assert [task.name for task in tasks] == ["bass"] * n_bass + ["drums"] * 14
        groups = np.array(loops.groups)
        for task in tasks:
            assert set(groups[task.train]).isdisjoint(groups[task.normal])
            assert len(task.train) + len(task.normal) == len(task.odd) == 16
