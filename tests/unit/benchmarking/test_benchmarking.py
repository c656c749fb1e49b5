import csv
import filecmp
import io
import shutil
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf

from loopsphere.benchmarking import ROSTER, BenchmarkRequest, run_benchmark
from loopsphere.benchmarking.arrays import read_npz
from loopsphere.benchmarking.bars import Bar, false_alarm_bars
from loopsphere.benchmarking.cache import cached_planted
from loopsphere.benchmarking.gather import gather, pooled_normals
from loopsphere.benchmarking.report import results_markdown
from loopsphere.benchmarking.roster import make_roster
from loopsphere.benchmarking.sources import read_embeddings, read_labels, synthesise_planted
from loopsphere.encoders import load_encoder
from loopsphere.errors import MissingExtraError, NothingUsableError, UnknownNameError
from loopsphere.evaluate import figures
from loopsphere.evaluate.false_alarms import FalseAlarms
from loopsphere.evaluate.intervals import Interval
from loopsphere.evaluate.planted import MAGNITUDES, PlantedSet, planted_faults
from loopsphere.evaluate.protocols import run_tasks
from loopsphere.learning.features import N_ATTRIBUTES
from loopsphere.synth import FAULTS, faults_for
from loopsphere.types import EmbedResult
from random_networks import save_small_checkpoint


def silent(what, n_done, n_total):
    """Report to nobody."""


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory):
    """Two folders of 40 loops and a small one, far apart but for a few."""
    rng = np.random.default_rng(0)
    folder = np.repeat(["bass", "guitar", "few"], [40, 40, 8])
    embedding = rng.normal(size=(88, 12)) + np.repeat([0.0, 1.5, 3.0], [40, 40, 8])[:, None]
    path = tmp_path_factory.mktemp("embeddings") / "loops.npz"
    np.savez(path, embedding=embedding.astype(np.float32), folder=folder, tempo=rng.random(88))
    return path


@pytest.fixture(scope="module")
def small_checkpoint(tmp_path_factory):
    """An encoder with random weights."""
    return save_small_checkpoint(tmp_path_factory.mktemp("checkpoint") / "small.safetensors")


@pytest.fixture(scope="module")
def loops(tmp_path_factory):
    """Twenty short tones of two packs, five of them noise, and a table that says so."""
    folder = tmp_path_factory.mktemp("loops")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(20):
        is_odd = i % 4 == 3
        time_s = np.arange(4000) / 8000
        waveform = 0.5 * np.sin(2 * np.pi * (110 + 5 * i) * time_s) * np.exp(-3 * (time_s % 0.25))
        waveform = rng.uniform(-0.5, 0.5, 4000) if is_odd else waveform
        sf.write(folder / f"{i:02d}.wav", waveform, 8000)
        rows.append([f"{i:02d}.wav", int(is_odd), "noise" if is_odd else ""])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "is_odd", "fault"], *rows])
    return folder


def test_the_same_request_gives_the_same_bytes(tmp_path, embeddings):
    request = BenchmarkRequest(embeddings=embeddings, n_seeds=1)
    for name in ("first", "again"):
        run_benchmark(
            request,
            tmp_path / name,
            command="loopsphere benchmark",
            detectors=["pca", "deep-svdd"],
            n_splits=0,
            progress=silent,
        )
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert {"RESULTS.md", "trials.csv", "timings.csv", "space.png", "training.png"} <= set(names)
    names.remove("timings.csv")
    _, different, unreadable = filecmp.cmpfiles(tmp_path / "first", tmp_path / "again", names, shallow=False)
    assert (different, unreadable) == ([], [])


def test_the_report_holds_every_protocol_and_shows_the_bars(tmp_path, embeddings):
    calls = []
    result = run_benchmark(
        BenchmarkRequest(embeddings=embeddings, n_seeds=2),
        tmp_path,
        command="loopsphere benchmark --embeddings loops.npz",
        detectors=["pca", "knn"],
        n_splits=3,
        progress=lambda *call: calls.append(call),
    )
    text = result.results.read_text(encoding="utf-8")
    for wanted in (
        "Made by `loopsphere benchmark --embeddings loops.npz`",
        "## embedding: one folder is normal",
        "## embedding: one folder is odd",
        "### Paired comparison",
        "pca, cross-conformal | 62 | 5 %",
        "](scores-1.png)",
    ):
        assert wanted in text
    assert ("comparing detectors on embedding", 20, 20) in calls
    assert {trial.detector for trial in result.trials} == {"pca", "knn"}
    with (tmp_path / "trials.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(result.trials) == 2 * 2 * (2 + 3)


def test_labelled_loops_are_compared(tmp_path, loops, small_checkpoint):
    result = run_benchmark(
        BenchmarkRequest(labels=loops / "labels.csv", encoder=str(small_checkpoint), n_seeds=2),
        tmp_path,
        command="",
        detectors=["distance-to-mean"],
        n_splits=0,
        progress=silent,
    )
    assert [(trial.dataset, trial.name) for trial in result.trials] == [("labels.csv", "noise")] * 2
    assert [trial.odd_scores.size for trial in result.trials] == [5, 5]
    # Even a network with random weights tells noise from tones.
    assert all(trial.metrics["auroc"] > 0.9 for trial in result.trials)


def test_faults_are_planted_in_own_loops(tmp_path, loops, small_checkpoint):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    skipped = []
    (question,) = gather(
        BenchmarkRequest(dirs=[loops, tmp_path], encoder=str(small_checkpoint), n_seeds=1, n_versions=20),
        skipped=skipped,
        progress=silent,
    )
    assert question.dataset == "own loops"
    assert question.normal.shape == (20, question.embedding.shape[1] + 2 * N_ATTRIBUTES)
    is_known = question.features[:, -N_ATTRIBUTES:]
    assert set(np.unique(is_known)) == {0.0, 1.0} and (is_known.sum(axis=1) > 10).all()
    assert set(question.tasks[0].odd) == {
        f"{fault}, {level}" for fault in faults_for() for level in MAGNITUDES
    }
    assert [file.path for file in skipped] == [str(tmp_path / "broken.wav")]
    versions = question.embedding[question.tasks[0].odd["noise, large"]]
    normal = question.embedding[question.tasks[0].normal]
    # In order of their sources, so row by row each differs from the loop that it was made from.
    assert versions.shape == normal.shape
    assert (np.abs(versions - normal).max(axis=1) > 0).all()


@pytest.mark.slow
def test_faults_are_planted_in_a_synthesised_collection(small_checkpoint):
    encoder = load_encoder(str(small_checkpoint), device="cpu")
    calls = []
    planted = synthesise_planted(
        "drums", encoder, n_loops=3, n_versions=2, seed=0, progress=lambda *call: calls.append(call)
    )
    assert planted.features.shape == (3, encoder.embedding_dim + 2 * N_ATTRIBUTES)
    assert {magnitude for _, magnitude in planted.versions} == set(MAGNITUDES)
    faults = {fault for fault, _ in planted.versions}
    assert {"wrong_instrument", "off_grid", "reversed"} <= faults <= set(FAULTS) - {"other_scale"}
    assert calls[-1] == ("planting faults in drums", 3 + len(faults) * 3 * 2, 3 + len(faults) * 3 * 2)
    for (fault, magnitude), source in planted.sources.items():
        # The same loops at every magnitude, each of them changed.
        np.testing.assert_array_equal(source, planted.sources[fault, "small"])
        change = np.abs(planted.versions[fault, magnitude] - planted.features[source]).max(axis=1)
        assert (change > 0).all(), (fault, magnitude)


def test_planted_faults_are_reported_by_magnitude_and_by_fault():
    rng = np.random.default_rng(0)
    trials = []
    for dataset in ("bass", "drums"):
        loops = rng.normal(size=(60, 5))
        sources = {
            (fault, magnitude): np.arange(60) for fault in ("hum", "noise") for magnitude in MAGNITUDES
        }
        versions = {key: loops + 1 + 2 * MAGNITUDES.index(key[1]) for key in sources}
        embedding, tasks = planted_faults(PlantedSet(loops, None, sources, versions), seeds=[0, 1])
        roster = make_roster(["distance-to-mean", "pca"])
        roster["deep-svdd"] = roster["distance-to-mean"]  # the report goes by names; a quick one will do
        trials += run_tasks(embedding, tasks, roster, dataset=dataset)
    text = results_markdown(
        command="x", facts={}, trials=trials, false_alarms={}, figures=[("magnitudes.png", "By magnitude.")]
    )
    assert "## planted faults (bass, drums)" in text
    assert "### AUROC by magnitude" in text and "![By magnitude.](magnitudes.png)" in text
    table = text.split("### AUROC of deep-svdd by fault")[1]
    assert "| hum | " in table and "| noise | " in table
    for bar in (
        "small: deep-svdd against pca",
        "medium: deep-svdd against its goal",
        "large: deep-svdd against its goal",
    ):
        assert f"| planted, {bar} |" in table


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            {"embedding": np.zeros((4, 2))},
            {"group": "folder"},
            "no array .* called 'folder'; there are embedding",
        ),
        ({"folder": np.array(["a"] * 4)}, {"group": "folder"}, "no finite embedding of 4 loops is there"),
        (
            {"folder": np.array(["a"] * 4), "embedding": np.zeros((3, 2))},
            {"group": "folder"},
            "no finite embedding of 4 loops",
        ),
        (
            {"folder": np.array(["a"] * 4), "embedding": np.full((4, 2), np.nan)},
            {"group": "folder", "array": "embedding"},
            "is called 'embedding'; there are folder, embedding",
        ),
    ],
)
def test_unusable_embeddings_are_refused(tmp_path, arrays, options, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(NothingUsableError, match=message):
        read_embeddings(tmp_path / "x.npz", **options)


def test_pickled_or_foreign_files_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", folder=np.array([{"a": 1}], dtype=object))
    (tmp_path / "text.npz").write_text("no zip")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez_compressed(tmp_path / "folded.npz", folder=np.arange(1000))
    folded = bytearray((tmp_path / "folded.npz").read_bytes())
    folded[60:80] = b"\xff" * 20
    (tmp_path / "folded.npz").write_bytes(folded)
    for name in ("objects.npz", "text.npz", "empty.npz", "folded.npz", "absent.npz"):
        with pytest.raises(NothingUsableError, match=r"cannot be read as \.npz"):
            read_embeddings(tmp_path / name, group="folder")
    np.save(tmp_path / "alone.npy", np.eye(6))
    with pytest.raises(NothingUsableError, match="a single array"):
        read_embeddings(tmp_path / "alone.npy", group="folder")


def npz_with(path, header, data=b"", *, size=None, deflated=False):
    """Write an .npz of one array of this header and these bytes; the zip says that it unfolds to `size`."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive.writestr("folder.npy", member.getvalue() + data)
    if size is not None:
        whole = path.read_bytes()
        directory = whole.index(b"PK\x01\x02") + 24  # where the central directory has the size
        path.write_bytes(whole[:directory] + size.to_bytes(4, "little") + whole[directory + 4 :])


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("size", [None, 2**32 - 2**20])
@pytest.mark.parametrize("n_values", [10**11, 2**29 - 2**17, 11])
def test_an_array_that_claims_more_than_is_there_is_refused(tmp_path, n_values, size, deflated):
    header = {"descr": "<f8", "fortran_order": False, "shape": (n_values,)}
    npz_with(tmp_path / "x.npz", header, bytes(80), size=size, deflated=deflated)
    tracemalloc.start()
    with pytest.raises(NothingUsableError, match=r"cannot be read as \.npz"):
        read_embeddings(tmp_path / "x.npz", group="folder")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"{'descr': '<f8'",
        b"(" * 3000,
        b"9" * 5000,
        b"{'descr': '<f8', 'fortran_order': 0, 'shape': (-1,)}",
        b"{'descr': [('a',)], 'fortran_order': False, 'shape': ()}",
        b"\xff" * 20,
        b"{'a': 'b\n",
        b"if\n  a\n b",
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3, 9])
def test_a_damaged_array_header_is_refused(tmp_path, header, version):
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("folder.npy", b"\x93NUMPY" + bytes([version, 0]) + length + header)
    with pytest.raises(NothingUsableError, match=r"cannot be read as \.npz"):
        read_embeddings(tmp_path / "x.npz", group="folder")


def test_arrays_are_read_whatever_their_dtype_and_order(tmp_path):
    arrays = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(3.5),
        "text": np.array(["ä", "bcd"]),
        "big": np.arange(5, dtype=">i4"),
        "flags": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **arrays)
        read = read_npz(tmp_path / "x.npz")
        assert list(read) == list(arrays)
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)


def test_what_cannot_be_drawn_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "find_spec", lambda name: None)  # as where the extra is not installed
    request = BenchmarkRequest(embeddings=tmp_path / "absent.npz")
    with pytest.raises(MissingExtraError, match=r"pip install 'loopsphere\[plots\]'"):
        run_benchmark(request, tmp_path / "out", command="", progress=silent)


def test_folders_too_small_for_the_protocol_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", embedding=np.eye(6), folder=np.repeat(["a", "b"], 3))
    with pytest.raises(NothingUsableError, match="one folder of 30 loops or more"):
        list(gather(BenchmarkRequest(embeddings=tmp_path / "x.npz"), skipped=[], progress=silent))


def embedded(paths, hashes):
    n = len(paths)
    rng = np.random.default_rng(0)
    return EmbedResult(
        "e", "h", tuple(paths), np.ones(n), tuple(hashes), rng.random((n, 3), dtype=np.float32)
    )


def test_labels_are_joined_by_path_and_copies_share_an_embedding(tmp_path):
    (tmp_path / "labels.csv").write_text("path,is_odd,group,fault\nb.wav,1,p,hum\na.wav,0,p,\nd.wav,0,q,\n")
    loops = embedded([str(tmp_path / name) for name in ("a.wav", "b.wav", "c.wav", "d.wav")], "xyzx")
    marked = read_labels(tmp_path / "labels.csv", loops, loops.embedding, tmp_path)
    assert marked.is_odd.tolist() == [False, True, False]
    assert marked.kinds.tolist() == ["odd", "hum", "odd"]
    assert marked.groups.tolist() == ["p", "p", "q"]
    np.testing.assert_array_equal(marked.features[2], marked.features[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,odd\na.wav,1\n", "column is_odd is missing"),
        ("path,is_odd\na.wav,0\na.wav,maybe\n", "line 3: is_odd is 'maybe'"),
        ("path,is_odd\nelsewhere.wav,1\n", "none of its paths is among the 1 loops"),
        ("", "column is_odd, path is missing"),
    ],
)
def test_unusable_labels_are_refused(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(NothingUsableError, match=message):
        loops = embedded([str(tmp_path / "a.wav")], "x")
        read_labels(tmp_path / "labels.csv", loops, loops.embedding, tmp_path)


def test_an_unknown_detector_is_refused():
    with pytest.raises(UnknownNameError, match="no detector 'magic' to compare; there are deep-svdd"):
        make_roster(["pca", "magic"])


@pytest.mark.parametrize(
    "name", [name for name in ROSTER if name in ("pyod-ecod", "pyod-lof", "pyod-deep-svdd")]
)
def test_peers_have_scikit_learns_signs(name):
    pytest.importorskip("pyod")
    rng = np.random.default_rng(0)
    detector = make_roster([name])[name](0)
    detector.fit(rng.normal(size=(60, 5)))
    normal, odd = (
        detector.score_samples(rng.normal(size=(30, 5))),
        detector.score_samples(np.full((3, 5), 9.0)),
    )
    assert normal.min() > odd.max()


def test_the_untrained_network_is_not_trained():
    rng = np.random.default_rng(0)
    loops = rng.normal(size=(40, 6))
    untrained = make_roster(["deep-svdd (untrained)"])["deep-svdd (untrained)"](0)
    assert untrained.get_params()["max_epochs"] == 0
    assert np.ptp(untrained.fit(loops).score_samples(loops)) > 0


def test_bars_are_neither_rounded_nor_turned():
    assert Bar("", 0.98, 0.98).is_reached
    assert not Bar("", 0.97999, 0.98).is_reached
    assert Bar("", 0.009, 0.01, is_ceiling=True).is_reached
    assert not Bar("", 0.011, 0.01, is_ceiling=True).is_reached


def test_false_alarms_are_judged_at_5_percent_for_200_loops():
    def result(n, alpha, rate, way="pca, cross-conformal"):
        return FalseAlarms(way, n, alpha, Interval(rate, rate, rate, 2), 0.0, Interval(0, 0, 0, 2), 0.0)

    results = [
        result(100, 0.05, 0.5),
        result(274, 0.01, 0.5),
        result(274, 0.05, 0.9, "pca, quantile of training scores"),
        result(274, 0.05, 0.062),
    ]
    (bar,) = false_alarm_bars(results)
    assert bar.measured == pytest.approx(0.012)
    assert not bar.is_reached


def test_normals_of_the_synthesised_collections_are_pooled(embeddings, tmp_path):
    shutil.copy(embeddings, tmp_path / "x.npz")
    (question,) = gather(
        BenchmarkRequest(embeddings=tmp_path / "x.npz", n_seeds=1), skipped=[], progress=silent
    )
    families = [replace(question, dataset=name) for name in ("bass", "guitar", "drums")]
    pooled = pooled_normals([question, *families])
    assert {name: (len(rows), n_attributes) for name, (rows, n_attributes) in pooled.items()} == {
        "embedding": (88, 0),
        "bass and guitar and drums": (264, 0),
    }


def test_detectors_that_use_attributes_answer_where_there_are_any(
    tmp_path, loops, embeddings, small_checkpoint
):
    names = ["pca", "pca+attributes"]
    labelled = BenchmarkRequest(labels=loops / "labels.csv", encoder=str(small_checkpoint), n_seeds=2)
    result = run_benchmark(labelled, tmp_path / "a", command="", detectors=names, n_splits=0, progress=silent)
    assert [trial.detector for trial in result.trials] == ["pca"] * 2 + ["pca+attributes"] * 2
    arrays = BenchmarkRequest(embeddings=embeddings, n_seeds=1)
    result = run_benchmark(arrays, tmp_path / "b", command="", detectors=names, n_splits=0, progress=silent)
    assert {trial.detector for trial in result.trials} == {"pca"}
    with pytest.raises(NothingUsableError, match="of embeddings alone no attributes are known"):
        run_benchmark(arrays, tmp_path / "c", command="", detectors=names[1:], n_splits=0, progress=silent)


def test_a_cached_collection_is_the_one_that_was_made_and_a_damaged_file_is_made_again(tmp_path):
    rng = np.random.default_rng(0)
    keys = [("noise", "small"), ("noise", "large")]
    made = PlantedSet(
        features=rng.normal(size=(6, 4)),
        groups=None,
        sources={key: rng.permutation(6)[:3] for key in keys},
        versions={key: rng.normal(size=(3, 4)) for key in keys},
    )
    calls = []

    def cached(seed):
        return cached_planted(tmp_path / "cache", {"seed": seed}, lambda: calls.append(seed) or made)

    assert cached(0) is made
    (kept,) = (tmp_path / "cache").iterdir()
    for _ in range(2):
        found = cached(0)
        assert np.array_equal(found.features, made.features)
        assert list(found.versions) == keys
        assert all(np.array_equal(found.versions[key], made.versions[key]) for key in keys)
        assert all(np.array_equal(found.sources[key], made.sources[key]) for key in keys)
    assert calls == [0]
    cached(1)
    kept.write_bytes(kept.read_bytes()[:100])
    assert cached(0) is made
    assert calls == [0, 1, 0]
