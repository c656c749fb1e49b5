"""Work in shards without a cluster: listings, folders of shards, pieces, lost workers, cached embeddings."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import loopsphere as ls
from loopsphere.collection.embedding import cached_encoder
from loopsphere.detect import make_detector
from loopsphere.errors import AudioError, LoopsphereError, ModelFileError
from loopsphere.export.tables import write_embeddings
from loopsphere.files import whole_file
from loopsphere.learning.model import Model
from loopsphere.scale import cached, jobs
from loopsphere.scale.cached import score_cached
from loopsphere.scale.listing import Entry, list_entries
from loopsphere.scale.ray_engine import ClusterEncoder
from loopsphere.scale.results import Tally, table_of
from loopsphere.scale.shards import Shard, ShardFolder, cut
from loopsphere.scale.storage import Folder, file_system, local_file, parquet_batches
from loopsphere.scale.work import Answer, Piece, Task
from loopsphere.types import EmbedResult

ENCODER = cached_encoder("bundled", "cpu", "float32")
TASK = Task("bundled", "cpu", "float32", ENCODER.front_end)


@pytest.fixture
def loops(collection: Path, tmp_path: Path) -> Path:
    """Ten loops, of which one is broken."""
    folder = tmp_path / "loops"
    folder.mkdir()
    for path in sorted(collection.rglob("*.wav"))[:9]:
        shutil.copy(path, folder)
    (folder / "broken.wav").write_bytes(b"RIFF nothing")
    return folder


class HereEngine:
    """Runs pieces in this process, and loses those that hold a deadly file, as Ray does."""

    def __init__(self, deadly: str = "none") -> None:
        self.deadly = deadly
        self.n_pieces = 0

    def run(self, pieces: Sequence[Piece], task: Task) -> Iterator[Answer]:
        for piece in reversed(pieces):
            self.n_pieces += 1
            if not any(self.deadly in entry.path for entry in piece.entries):
                yield task.embed(task.read(piece))


def run(folder: Path, engine: HereEngine, output: Path, shard_size: int = 4, hash_: str = "h"):
    encoder = ClusterEncoder("bundled", hash_, "float32", ENCODER.embedding_dim, ENCODER.front_end)
    shards = ShardFolder(str(output), {"encoder_hash": hash_})
    return jobs._run(engine, list_entries([folder]), shards, TASK, encoder, shard_size, lambda *_: None)


def rows(output: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted(output.glob("part-*.parquet")))


# listings


def test_a_listing_takes_folders_parquet_and_uris_in_order(loops, tmp_path):
    names = sorted(path.name for path in loops.iterdir())
    paths = [str(loops / name) for name in names]
    (loops / "notes.txt").write_text("no loop")
    (loops / ".hidden.wav").write_bytes(b"")
    listing = tmp_path / "listing.parquet"
    pq.write_table(pa.table({"path": [*paths[:2], None], "licence": ["a", "b", "c"]}), listing)
    entries = list(list_entries([loops, listing, loops.as_uri(), tmp_path / "absent"]))
    uris = [f"{loops.as_uri()}/{name}" for name in names]
    assert [entry.path for entry in entries] == [*paths, *paths[:2], *uris, str(tmp_path / "absent")]
    assert [entry.reason for entry in entries] == [None] * (len(entries) - 1) + ["no such file or folder"]


def test_a_parquet_file_without_paths_is_no_listing(tmp_path):
    pq.write_table(pa.table({"file": ["a.wav"]}), tmp_path / "listing.parquet")
    with pytest.raises(LoopsphereError, match="no column 'path'"):
        list(list_entries([tmp_path / "listing.parquet"]))


def test_an_unknown_store_is_named():
    with pytest.raises(LoopsphereError, match="nosuch://bucket"):
        file_system("nosuch://bucket/loops")


def test_object_stores_hold_loops_and_shards(loops):
    import fsspec

    store = fsspec.filesystem("memory")
    one = sorted(loops.glob("*.wav"))[1]
    store.pipe("/bucket/in/ä loop.wav", one.read_bytes())
    assert [entry.path for entry in list_entries(["memory://bucket/in"])] == ["memory://bucket/in/ä loop.wav"]
    with local_file("memory://bucket/in/ä loop.wav") as path:
        assert Path(path).read_bytes() == one.read_bytes()
    assert not Path(path).exists()
    with pytest.raises(AudioError, match="no such file"), local_file("memory://bucket/in/absent.wav"):
        pass
    folder = Folder("memory://bucket/out")
    assert folder.names() == []
    folder.write("part-1.parquet", pa.table({"path": ["a"]}).replace_schema_metadata({"key": "value"}))
    assert folder.names() == ["part-1.parquet"]
    assert folder.metadata("part-1.parquet")[b"key"] == b"value"
    store.rm("/bucket", recursive=True)


# shards


def test_a_run_goes_on_where_it_was(loops, tmp_path):
    first, again = HereEngine(), HereEngine()
    run(loops, first, tmp_path / "out")
    before = rows(tmp_path / "out")
    (tmp_path / "out" / "part-00000001.parquet").unlink()
    result = run(loops, again, tmp_path / "out")
    assert (first.n_pieces, again.n_pieces) == (3, 1)
    assert (result.n_shards, result.n_finished, result.n_loops) == (1, 2, 4)
    assert rows(tmp_path / "out").equals(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda loops, out: (loops / "broken.wav").rename(loops / "a new name.wav"), "another listing"),
        (lambda loops, out: [path.unlink() for path in sorted(loops.iterdir())[4:]], "longer listing"),
        (lambda loops, out: (out / "thesis.docx").write_bytes(b""), "holds other files"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_alone(loops, tmp_path, change, message):
    out = tmp_path / "out"
    run(loops, HereEngine(), out)
    change(loops, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(LoopsphereError, match=message):
        run(loops, HereEngine(), out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_a_killed_run_leaves_half_written_is_no_foreign_file(tmp_path):
    with whole_file(tmp_path / "part-00000000.parquet"):
        assert len(list(tmp_path.iterdir())) == 1
        ShardFolder(str(tmp_path), {})


def test_shards_of_another_encoder_are_refused(loops, tmp_path):
    run(loops, HereEngine(), tmp_path / "out", hash_="one")
    with pytest.raises(LoopsphereError, match="was made with encoder_hash one, not two"):
        run(loops, HereEngine(), tmp_path / "out", hash_="two")


def test_a_listing_is_cut_without_loss():
    entries = [Entry(f"{i}.wav") for i in range(10)]
    shards = list(cut(entries, 4))
    assert [len(shard.entries) for shard in shards] == [4, 4, 2]
    assert [entry for shard in shards for entry in shard.entries] == entries
    assert Shard(3, ()).name == "part-00000003.parquet"


# pieces


def test_rows_are_those_of_embed(loops, tmp_path):
    result = run(loops, HereEngine(), tmp_path / "out")
    table = rows(tmp_path / "out")
    assert table["path"].to_pylist() == sorted(map(str, loops.iterdir()))
    plain = ls.embed(loops, precision="float32")
    usable = table.filter(pa.compute.is_null(table["reason"]))
    assert usable["path"].to_pylist() == list(plain.paths)
    assert usable["audio_hash"].to_pylist() == list(plain.audio_hashes)
    vectors = np.stack(usable["embedding"].to_numpy())
    np.testing.assert_allclose(vectors, plain.embedding, atol=2e-4)
    bad = table.filter(pa.compute.is_valid(table["reason"])).to_pylist()
    assert [Path(row["path"]).name for row in bad] == ["broken.wav"]
    assert bad[0]["reason"] == plain.skipped[0].reason
    assert bad[0]["embedding"] is None
    assert (result.n_loops, result.n_skipped) == (10, 1)
    assert result.skipped[0].path == bad[0]["path"]


def test_a_file_that_kills_its_worker_costs_only_itself(loops, tmp_path):
    deadly = sorted(loops.glob("*.wav"))[5]
    result = run(loops, HereEngine(deadly.name), tmp_path / "out")
    table = rows(tmp_path / "out")
    assert table.num_rows == 10
    reasons = dict(zip(table["path"].to_pylist(), table["reason"].to_pylist(), strict=True))
    assert reasons[str(deadly)] == "the process that read or embedded it died, again and again"
    assert result.n_skipped == 2  # and the broken one


def test_workers_that_all_die_are_an_error_not_a_result(loops, tmp_path):
    with pytest.raises(LoopsphereError, match="no worker came back"):
        run(loops, HereEngine(".wav"), tmp_path / "out", shard_size=10)
    assert not (tmp_path / "out").exists()


def test_a_listing_reason_and_a_decoder_that_trips_become_rows(monkeypatch):
    def trips(path: str, sample_rate: int) -> None:
        raise ZeroDivisionError("frames")

    monkeypatch.setattr("loopsphere.scale.work.load_clip", trips)
    piece = Piece(0, 0, (Entry("gone.wav", "no such file or folder"), Entry("odd.wav")))
    answer = TASK.embed(TASK.read(piece))
    first, second = (read.reason for read in answer.reads)
    assert first == "no such file or folder"
    assert re.fullmatch(
        r"cannot be read \(unexpected ZeroDivisionError at test_scale.py:\d+: frames\)", second
    )
    assert table_of([answer], embedding_dim=3, alpha=None)["embedding"].null_count == 2


# scores


@pytest.fixture(scope="module")
def model(collection: Path):
    return ls.fit(collection, detector="mahalanobis", alpha=0.1)


def test_pieces_are_scored_as_score_does(loops, model):
    precision = model.encoder_hash.partition("-")[2] or "float32"
    front_end = cached_encoder("bundled", "cpu", precision).front_end
    task = Task("bundled", "cpu", precision, front_end, model, 0.1)
    piece = Piece(0, 0, tuple(list_entries([loops])))
    table = table_of([task.embed(task.read(piece))], embedding_dim=1, alpha=0.1)
    by_path = {row["path"]: row for row in table.to_pylist()}
    for loop in ls.score(model, loops).loops:
        row = by_path.pop(loop.path)
        assert row["anomaly_score"] == pytest.approx(loop.anomaly_score, rel=1e-2)
        assert row["is_odd"] == (row["p_value"] <= 0.1)
    (broken,) = by_path.values()
    assert (broken["anomaly_score"], broken["p_value"], broken["is_odd"]) == (None, None, None)


def test_cached_embeddings_are_scored_as_a_stream(collection, model, tmp_path, monkeypatch):
    monkeypatch.setattr(cached, "_ROWS_PER_BATCH", 7)
    embedded = ls.embed(collection)
    write_embeddings(tmp_path / "loops.parquet", embedded)
    result = score_cached(model, tmp_path / "loops.parquet", tmp_path / "scores.parquet")
    table = pq.read_table(tmp_path / "scores.parquet")
    judged = model.judge(embedded.embedding, 0.1)
    assert table["path"].to_pylist() == list(embedded.paths)
    np.testing.assert_allclose(table["anomaly_score"].to_numpy(), judged.anomaly_scores, rtol=1e-6)
    np.testing.assert_allclose(table["p_value"].to_numpy(), judged.p_values)
    assert result.n_odd == (judged.p_values <= 0.1).sum() == sum(table["is_odd"].to_pylist())
    assert [loop.path for loop in result.oddest[:3]] == [
        embedded.paths[row] for row in np.argsort(-judged.anomaly_scores)[:3]
    ]


def test_a_long_file_is_read_one_row_group_at_a_time(tmp_path):
    path, n_rows = tmp_path / "long.parquet", 50_000
    numbers = np.random.default_rng(0).standard_normal((n_rows, 64)).astype(np.float32)
    embedded = EmbedResult(
        "bundled", "0" * 64, tuple(map(str, range(n_rows))), np.ones(n_rows), ("",) * n_rows, numbers
    )
    write_embeddings(path, embedded)
    assert pq.read_metadata(path).num_row_groups == 7
    before, most, seen = pa.total_allocated_bytes(), 0, []
    for batch in parquet_batches(str(path), 1000):
        most = max(most, pa.total_allocated_bytes() - before)
        seen += batch.column("path").to_pylist()
    assert seen == list(embedded.paths)
    assert most < numbers.nbytes / 2


def test_shards_can_be_scored_later(loops, model, tmp_path):
    run(loops, HereEngine(), tmp_path / "out", hash_=model.encoder_hash)
    result = score_cached(model, tmp_path / "out", tmp_path / "scores.parquet", alpha=0.2)
    table = pq.read_table(tmp_path / "scores.parquet")
    assert (result.n_loops, result.n_skipped) == (10, 1)
    assert table["anomaly_score"].null_count == table["p_value"].null_count == 1
    assert table["path"].to_pylist() == rows(tmp_path / "out")["path"].to_pylist()


def test_embeddings_by_another_encoder_are_refused(loops, model, tmp_path):
    run(loops, HereEngine(), tmp_path / "out", hash_="another")
    with pytest.raises(ModelFileError, match="another"):
        score_cached(model, tmp_path / "out", tmp_path / "scores.parquet")
    assert not (tmp_path / "scores.parquet").exists()
    with pytest.raises(LoopsphereError, match="neither"):
        score_cached(model, loops, tmp_path / "scores.parquet")


def test_embeddings_are_never_replaced_by_their_scores(loops, model, tmp_path):
    run(loops, HereEngine(), tmp_path / "out", hash_=model.encoder_hash)
    shard = min((tmp_path / "out").iterdir())
    whole = shard.read_bytes()
    with pytest.raises(LoopsphereError, match="would replace the embeddings"):
        score_cached(model, tmp_path / "out", shard)
    assert shard.read_bytes() == whole


def test_a_file_of_other_columns_is_refused(loops, model, tmp_path):
    run(loops, HereEngine(), tmp_path / "out", hash_=model.encoder_hash)
    table = rows(tmp_path / "out")
    for name in ("path", "duration_s", "audio_hash", "embedding"):
        pq.write_table(table.drop_columns([name]), tmp_path / "other.parquet")
        with pytest.raises(LoopsphereError, match=f"no column '{name}'; loopsphere embed writes it"):
            score_cached(model, tmp_path / "other.parquet", tmp_path / "scores.parquet")


def written(file: Path, model, embedding: pa.Array, /, **columns: pa.Array) -> Path:
    """Write embeddings as `loopsphere embed` does, except for what is given."""
    n_rows = len(embedding)
    usual = {
        "path": pa.array([f"{row}.wav" for row in range(n_rows)], pa.string()),
        "embedding": embedding,
        "duration_s": pa.array([2.0] * n_rows, pa.float64()),
        "audio_hash": pa.array(["0"] * n_rows, pa.string()),
    }
    table = pa.table({**usual, **columns})
    pq.write_table(table.replace_schema_metadata({"encoder_hash": model.encoder_hash}), file)
    return file


def test_rows_that_arrow_passes_over_are_missed(small_model, tmp_path):
    source = written(tmp_path / "loops.parquet", small_model, pa.array([[0.0] * D] * 3, LIST))
    whole = source.read_bytes()
    # What kind of page it is, first of all in a page's header: data becomes index, which is passed over.
    damaged = whole.replace(b"\x15\x00\x15", b"\x15\x02\x15")
    assert damaged.count(b"\x15\x02\x15") >= 4
    source.write_bytes(damaged)
    with pytest.raises(LoopsphereError, match="3 rows are missing"):
        score_cached(small_model, source, tmp_path / "scores.parquet")
    with pytest.raises(LoopsphereError, match="3 rows are missing"):
        list(list_entries([source]))


def test_no_rows_give_an_empty_file_with_the_same_columns(model, tmp_path):
    numbers = np.zeros((3, model.embedding_dim), np.float32)
    full = pa.FixedSizeListArray.from_arrays(numbers.reshape(-1), model.embedding_dim)
    for name, rows_there in (("full", full), ("none", full[:0])):
        result = score_cached(
            model,
            written(tmp_path / f"{name}.parquet", model, rows_there),
            tmp_path / f"{name}-scores.parquet",
        )
        assert (result.n_loops, result.n_shards) == (len(rows_there), 1)
    empty = pq.read_table(tmp_path / "none-scores.parquet")
    assert empty.num_rows == 0
    assert empty.schema == pq.read_table(tmp_path / "full-scores.parquet").schema


D = 4
LIST = pa.list_(pa.float32())
FOREIGN = {
    "ragged": (pa.array([[0.0] * D, [0.0] * (D - 1)], LIST), "differ in length"),
    "empty lists": (pa.array([[], []], LIST), "judges 4 numbers a loop"),
    "text": (pa.array(["a", "b"]), "holds string"),
    "scalar": (pa.array([1.0, 2.0]), "holds double"),
    "nested": (pa.array([[[0.0] * D], [[0.0] * D]], pa.list_(LIST)), r"holds list<element: list<"),
    "lists of text": (pa.array([["a"] * D] * 2, pa.list_(pa.string())), r"holds list<element: string>"),
    "null inside": (pa.array([[0.0, None, 0.0, 0.0], [0.0] * D], LIST), "NaN, missing or infinite"),
    "too large": (pa.array([[1e300] * D] * 2, pa.list_(pa.float64())), "NaN, missing or infinite"),
}


@pytest.fixture(scope="module")
def small_model():
    numbers = np.random.default_rng(0).normal(size=(40, D)).astype(np.float32)
    detector = make_detector("mahalanobis").fit(numbers)
    scores = -detector.score_samples(numbers)
    return Model("bundled", "0" * 64, D, "mahalanobis", detector, scores, np.arange(40), alpha=0.1, seed=0)


@pytest.mark.parametrize(("embedding", "message"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.filterwarnings("error")
def test_what_are_no_embeddings_is_refused(small_model, tmp_path, embedding, message):
    source = written(tmp_path / "loops.parquet", small_model, embedding)
    with pytest.raises(LoopsphereError, match=message):
        score_cached(small_model, source, tmp_path / "scores.parquet")
    assert not (tmp_path / "scores.parquet").exists()


@pytest.mark.parametrize(
    "list_type", [LIST, pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float16(), D)]
)
def test_other_writers_lists_are_taken(small_model, tmp_path, list_type):
    numbers = np.random.default_rng(1).normal(size=(3, D)).astype(np.float16)
    embedding = pa.array([*map(list, numbers), None], list_type)
    source = written(
        tmp_path / "loops.parquet", small_model, embedding,
        path=pa.array(["a", "b", "c", "d"]).dictionary_encode(),
        audio_hash=pa.array(["0"] * 4, pa.large_string()),
        reason=pa.array([None, None, None, "silent"]),
    )  # fmt: skip
    score_cached(small_model, source, tmp_path / "scores.parquet")
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table["path"].to_pylist() == ["a", "b", "c", "d"]
    assert table["reason"].to_pylist() == [None, None, None, "silent"]
    judged = small_model.judge(numbers.astype(np.float32), 0.1)
    np.testing.assert_array_equal(table["anomaly_score"][:3].to_numpy(), judged.anomaly_scores)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("path", pa.array([["a"], ["b"]]), "'path' holds list"),
        ("path", pa.array(["a", None]), "a row without path"),
        ("duration_s", pa.array(["long", "short"]), "'duration_s' holds string"),
        ("duration_s", pa.array([1.0, None]), "no duration_s"),
        ("duration_s", pa.array([1.0, np.inf]), "no duration_s"),
        ("audio_hash", pa.array([{"a": 1}, {"a": 2}]), "'audio_hash' holds struct"),
        ("reason", pa.array([1, 2]), "'reason' holds int64"),
    ],
)  # fmt: skip
def test_columns_of_another_type_are_refused(small_model, tmp_path, name, values, message):
    embedding = pa.array([[0.0] * D] * 2, LIST)
    source = written(tmp_path / "loops.parquet", small_model, embedding, **{name: values})
    with pytest.raises(LoopsphereError, match=message):
        score_cached(small_model, source, tmp_path / "scores.parquet")


@pytest.mark.parametrize("name", ["path", "embedding"])
def test_a_column_that_is_there_twice_is_refused(small_model, tmp_path, name):
    table = pq.read_table(written(tmp_path / "loops.parquet", small_model, pa.array([[0.0] * D] * 2, LIST)))
    pq.write_table(table.append_column(name, table[name]), tmp_path / "twice.parquet")
    with pytest.raises(LoopsphereError, match=f"column '{name}' twice"):
        score_cached(small_model, tmp_path / "twice.parquet", tmp_path / "scores.parquet")


def test_damaged_parquet_is_told_in_a_sentence(loops, model, tmp_path):
    run(loops, HereEngine(), tmp_path / "out", hash_=model.encoder_hash)
    pq.write_table(rows(tmp_path / "out"), tmp_path / "loops.parquet", compression="none")
    whole = (tmp_path / "loops.parquet").read_bytes()
    name = rows(tmp_path / "out")["path"][0].as_py().encode()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "no UTF-8": whole.replace(name, b"\xff" * len(name)),
        "a text that is too long": whole.replace(len(name).to_bytes(4, "little") + name, b"\xff" * 4 + name),
    }
    for kind, data in damaged.items():
        assert data != whole, kind
        (tmp_path / "damaged.parquet").write_bytes(data)
        with pytest.raises(LoopsphereError, match=r"damaged\.parquet cannot be read as Parquet: \w"):
            score_cached(model, tmp_path / "damaged.parquet", tmp_path / "scores.parquet")
        with pytest.raises(LoopsphereError, match=r"damaged\.parquet cannot be read as Parquet: \w"):
            list(list_entries([tmp_path / "damaged.parquet"]))
    assert not (tmp_path / "scores.parquet").exists()


@pytest.mark.filterwarnings("error")
def test_an_interrupted_stream_leaves_nothing(loops, model, tmp_path):
    def interrupt(what, n_done, n_total):
        raise KeyboardInterrupt

    run(loops, HereEngine(), tmp_path / "out", hash_=model.encoder_hash)
    with pytest.raises(KeyboardInterrupt):
        score_cached(model, tmp_path / "out", tmp_path / "scores.parquet", progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loops", "out"]


def test_the_oddest_are_kept_in_order():
    tally = Tally(0.1)
    for start in (0, 50):
        scores = [float((37 * i) % 100) for i in range(start, start + 50)]
        columns = {
            "path": [f"{score:g}.wav" for score in scores],
            "duration_s": [1.0] * 50,
            "reason": pa.nulls(50, pa.string()),
            "anomaly_score": scores,
            "p_value": [1 - score / 100 for score in scores],
            "is_odd": [score >= 90 for score in scores],
        }
        tally.count(pa.table(columns))
    result = tally.result("bundled", "h")
    assert [loop.anomaly_score for loop in result.oddest] == list(range(99, -1, -1))
    assert result.n_odd == 10
    assert all(loop.is_odd == (loop.p_value <= 0.1) for loop in result.oddest)


def test_models_that_judge_attributes_get_them(loops, collection):
    model = ls.fit(collection, detector="mahalanobis+attributes", alpha=0.1)
    precision = model.encoder_hash.partition("-")[2] or "float32"
    front_end = cached_encoder("bundled", "cpu", precision).front_end
    task = Task("bundled", "cpu", precision, front_end, model, 0.1)
    piece = Piece(0, 0, tuple(list_entries([loops])))
    table = table_of([task.embed(task.read(piece))], embedding_dim=1, alpha=0.1)
    by_path = {row["path"]: row["anomaly_score"] for row in table.to_pylist()}
    for loop in ls.score(model, loops).loops:
        assert by_path[loop.path] == pytest.approx(loop.anomaly_score, rel=1e-2)
