"""Thousands of damaged files: whatever they hold, the error is ours, and no damaged model is believed.

Every mutant is drawn from its seed; to see one again, call `mutant` with the number that the failure names.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopsphere.benchmarking.sources import read_embeddings
from loopsphere.detect import PoorFitWarning, make_detector
from loopsphere.errors import LoopsphereError
from loopsphere.export.tables import write_embeddings
from loopsphere.learning.model import Model, load_model
from loopsphere.scale.cached import score_cached
from loopsphere.scale.listing import list_entries
from loopsphere.types import EmbedResult
from scars import scarred

N_MUTANTS = 2000
DIM = 12
GOLDEN = Path(__file__).parents[1] / "golden" / "model_format_1.loopsphere"
NEW = np.random.default_rng(1).normal(size=(5, DIM)).astype(np.float32)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("error"),  # a warning would reach the user's terminal
    pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning"),
]


STRANGE = [
    *(None, True, -1, 0, 2**70, 1e308, -0.0, float("nan"), float("inf")),
    *("", "\udc80", "ä", [], {}, [[]], {"a": {}}),
]


def strange_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Change, add or leave out one value somewhere in a JSON text."""
    record = json.loads(data)
    place, steps = record, int(rng.integers(1, 4))
    for step in range(steps):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = keys[rng.integers(len(keys))]
        if step < steps - 1 and isinstance(place[key], dict | list) and place[key]:
            place = place[key]
        elif rng.integers(5) == 0:
            del place[key]
            break
        else:
            place[key] = STRANGE[rng.integers(len(STRANGE))]
            break
    return json.dumps(record).encode()


def scarred_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage the parts of a zip and pack them anew, so that its own sums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(info, archive.read(info)) for info in archive.infolist()]
    chosen = rng.integers(len(parts))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, (info, part) in enumerate(parts):
            if number == chosen:
                is_json = info.filename.endswith(".json") and rng.integers(2)
                part = strange_json(part, rng) if is_json else scarred(part, rng)
            archive.writestr(zipfile.ZipInfo(info.filename), part, info.compress_type)
    return packed.getvalue()


def strange_array(data: bytes, rng: np.random.Generator) -> bytes:
    """Change the header of one array of an .npz, which a few scarred bytes seldom leave readable."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    name = list(arrays)[rng.integers(len(arrays))]
    shapes = [(), (0,), (10**11,), (3, -1), (2**40, 2**40), (1,) * 70, (5,), (5, 12), (True,), "x"]
    kinds = ["<f8", ">f4", "|O", "<U0", "<U99999999", "<c16", "<M8[D]", "|V7", [("a", "<f4")], "nonsense", 3]
    header = {"descr": kinds[rng.integers(len(kinds))], "fortran_order": bool(rng.integers(2))}
    text = repr({**header, "shape": shapes[rng.integers(len(shapes))]}).encode() + b"\n"
    arrays[name] = b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + rng.bytes(240)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
    return packed.getvalue()


def strange_table(data: bytes, rng: np.random.Generator) -> bytes:
    """Put another type or other values into one column of a Parquet file, or the column in twice."""
    table = pq.read_table(io.BytesIO(data))
    n_rows = table.num_rows
    values = [
        pa.nulls(n_rows),
        pa.array(["text"] * n_rows),
        pa.array([b"\xff"] * n_rows),
        pa.array([float("nan"), float("inf"), None, 1e300, 0.0][:n_rows], pa.float64()),
        pa.array(list(range(n_rows))),
        pa.array([{"a": 1}] * n_rows),
        pa.array([[[1.0]]] * n_rows),
        pa.array([[], None, [1.0] * DIM, [None] * DIM, [1e300] * DIM][:n_rows], pa.list_(pa.float64())),
        pa.array([[1.0] * 3] * n_rows, pa.list_(pa.float32(), 3)),
        pa.array([[]] * n_rows, pa.list_(pa.float32(), 0)),
        pa.array(["text"] * n_rows).dictionary_encode(),
    ]
    column = int(rng.integers(table.num_columns))
    changed = table.set_column(column, table.column_names[column], values[rng.integers(len(values))])
    if rng.integers(8) == 0:
        changed = table.append_column(table.column_names[column], table.column(column))
    if rng.integers(8) == 0:
        changed = changed.slice(0, 0)
    written = io.BytesIO()
    pq.write_table(changed, written)
    return written.getvalue()


def mutant(whole: bytes, number: int, *strange: Callable[[bytes, np.random.Generator], bytes]) -> bytes:
    """Return the damaged file of this number: half of them are scarred, the others well formed and wrong."""
    rng = np.random.default_rng([18, number])
    kinds = [scarred] * len(strange) + list(strange)
    return kinds[rng.integers(len(kinds))](whole, rng)


def survives(use: Callable[[Path], object], path: Path, data: bytes, number: int) -> bool:
    """Use a damaged file; tell whether it was taken, and fail where the error is not ours."""
    path.write_bytes(data)
    try:
        use(path)
    except LoopsphereError:
        return False
    except Exception as error:
        raise AssertionError(f"mutant {number} raised {type(error).__name__}: {error}") from error
    return True


def use_model(path: Path) -> np.ndarray:
    model = load_model(path)
    json.dumps(model.summary(), allow_nan=False, ensure_ascii=False).encode()
    judged = model.judge(NEW, 0.1)
    model.save(path.with_suffix(".again"))
    return np.concatenate([judged.anomaly_scores, judged.p_values, [judged.threshold]])


@pytest.fixture(scope="module", params=["mahalanobis", "isolation-forest", "knn", "ensemble"])
def model_bytes(request, tmp_path_factory):
    rng = np.random.default_rng(0)
    learnt, fresh = rng.normal(size=(2, 40, DIM)).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=PoorFitWarning):  # there is nothing to learn
        detector = make_detector(request.param, random_state=1).fit(learnt)
    scores = -detector.score_samples(fresh)
    path = tmp_path_factory.mktemp("model") / "m.loopsphere"
    Model("bundled", "0" * 64, DIM, request.param, detector, scores, np.arange(40), alpha=0.1, seed=1).save(
        path
    )
    return path.read_bytes()


def test_no_damaged_model_is_believed(model_bytes, tmp_path):
    path = tmp_path / "damaged.loopsphere"
    path.write_bytes(model_bytes)
    wanted, n_harmless = use_model(path), 0

    def use(damaged: Path) -> None:
        np.testing.assert_array_equal(use_model(damaged), wanted)

    for number in range(N_MUTANTS):
        data = mutant(model_bytes, number, scarred_zip)
        n_harmless += survives(use, path, data, number)
    assert n_harmless < N_MUTANTS / 10  # dates and flags of the zip, which say nothing


def test_a_damaged_model_of_the_format_without_checksums_raises_errors_of_ours_alone(tmp_path):
    whole, taken = GOLDEN.read_bytes(), 0
    for number in range(N_MUTANTS):
        data = mutant(whole, number, scarred_zip)
        taken += survives(use_model, tmp_path / "damaged.loopsphere", data, number)
    assert 0 < taken < N_MUTANTS / 2


def test_damaged_embeddings_in_parquet_raise_errors_of_ours_alone(tmp_path):
    model = load_model(GOLDEN)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(5, DIM)).astype(np.float32)
    paths = tuple(f"loop {i}.wav" for i in range(5))
    embedded = EmbedResult("bundled", model.encoder_hash, paths, np.ones(5), ("0" * 64,) * 5, numbers)
    write_embeddings(tmp_path / "whole.parquet", embedded)

    def use(path: Path) -> None:
        score_cached(model, path, tmp_path / "scores.parquet")
        assert pq.read_table(tmp_path / "scores.parquet").num_rows == pq.read_metadata(path).num_rows
        list(list_entries([path]))

    whole, taken = (tmp_path / "whole.parquet").read_bytes(), 0
    for number in range(N_MUTANTS):
        data = mutant(whole, number, strange_table)
        taken += survives(use, tmp_path / "damaged.parquet", data, number)
    assert taken < N_MUTANTS / 2


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_npz_raise_errors_of_ours_alone(tmp_path, save):
    whole, taken = io.BytesIO(), 0
    save(whole, embedding=np.eye(5, DIM, dtype=np.float32), folder=np.array(list("aabbc")), n=np.arange(5))

    def use(path: Path) -> None:
        for found in read_embeddings(path, group="folder"):
            assert len(found.embedding) == len(found.folders)
            assert np.isfinite(found.embedding).all()

    for number in range(N_MUTANTS):
        data = mutant(whole.getvalue(), number, scarred_zip, strange_array)
        taken += survives(use, tmp_path / "damaged.npz", data, number)
    assert taken < N_MUTANTS / 2
