"""Work on a real Ray cluster of two nodes, one of which is killed half-way."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import loopsphere as ls
from loopsphere.scale import jobs
from loopsphere.scale.jobs import embed_to_shards, score_to_shards
from loopsphere.scale.listing import list_entries
from loopsphere.scale.ray_engine import connected
from loopsphere.scale.shards import ShardFolder
from loopsphere.scale.work import Piece, ReadPiece, Task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("ray")

_COPIES = 6
_NOTICE_DEATH_MS = 2000
_NODE_MEMORY = 300 << 20


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    """A head without cores, and two nodes of one core each."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 starves on a machine that does something else
    # On a machine that is busy, the default of 15 s to notice a dead node becomes minutes.
    health = {
        "health_check_initial_delay_ms": _NOTICE_DEATH_MS,
        "health_check_period_ms": _NOTICE_DEATH_MS,
        "health_check_timeout_ms": _NOTICE_DEATH_MS,
        "health_check_failure_threshold": 3,
    }
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": health})
    nodes = [made.add_node(num_cpus=1, object_store_memory=_NODE_MEMORY) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield made, nodes
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def many(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """216 loops of six packs, and one broken file."""
    folder = tmp_path_factory.mktemp("many")
    for copy in range(_COPIES):
        shutil.copytree(collection, folder / f"pack {copy}", ignore=shutil.ignore_patterns(".loopsphere"))
    (folder / "pack 3" / "broken.wav").write_bytes(b"RIFF nothing")
    return folder


def rows(output: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted(output.glob("part-*.parquet")))


def test_a_node_killed_half_way_loses_nothing(cluster, many, tmp_path):
    made, nodes = cluster
    killed = []

    def kill_half_way(what: str, n_done: int, n_total: int) -> None:
        if n_done >= n_total / 3 and not killed:
            made.remove_node(nodes[1], allow_graceful=False)
            killed.append(n_done)

    result = embed_to_shards(many, tmp_path / "out", shard_size=50, progress=kill_half_way)
    plain = ls.embed(many)
    assert 0 < killed[0] < result.n_loops
    table = rows(tmp_path / "out")
    assert table["path"].to_pylist() == sorted([*plain.paths, *(file.path for file in plain.skipped)])
    assert (result.n_loops, result.n_skipped, result.n_shards) == (217, 1, 5)
    usable = table.filter(pa.compute.is_null(table["reason"]))
    assert usable["path"].to_pylist() == list(plain.paths)
    assert usable["audio_hash"].to_pylist() == list(plain.audio_hashes)
    vectors = np.stack(usable["embedding"].to_numpy())
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(plain.embedding, axis=1)
    assert ((vectors * plain.embedding).sum(axis=1) / norms).min() > 0.9999
    again = embed_to_shards(many, tmp_path / "out", shard_size=50)
    assert (again.n_shards, again.n_finished) == (0, 5)


@dataclass(frozen=True)
class _DeadlyTask(Task):
    """Dies of one file as a decoder that crashes does."""

    deadly: str = ""

    def read(self, piece: Piece) -> ReadPiece:
        if any(self.deadly in entry.path for entry in piece.entries):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(piece)


def test_a_file_that_kills_its_worker_costs_only_itself(cluster, many, tmp_path):
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers do not have this file
    pack = many / "pack 1"
    deadly = sorted(path for path in pack.rglob("*.wav"))[17]
    with connected(None) as engine:
        known = engine.describe("bundled", "cpu", "auto")
        task = _DeadlyTask("bundled", "cpu", known.precision, known.front_end, deadly=deadly.name)
        folder = ShardFolder(str(tmp_path / "out"), {})
        jobs._run(engine, list_entries([pack]), folder, task, known, 20, lambda *_: None)
    table = rows(tmp_path / "out")
    plain = ls.embed(pack)
    assert sorted(table["path"].to_pylist()) == sorted(plain.paths)
    bad = table.filter(pa.compute.is_valid(table["reason"]))["path"].to_pylist()
    assert bad == [str(deadly)]


def test_scores_are_those_of_one_machine(cluster, collection, many, tmp_path):
    model = ls.fit(collection, detector="mahalanobis", alpha=0.1)
    result = score_to_shards(model, many / "pack 3", tmp_path / "out", shard_size=20)
    plain = ls.score(model, many / "pack 3")
    by_path = {row["path"]: row for row in rows(tmp_path / "out").to_pylist()}
    assert len(by_path) == len(plain.loops) + len(plain.skipped)
    for loop in plain.loops:
        row = by_path[loop.path]
        assert row["anomaly_score"] == pytest.approx(loop.anomaly_score, rel=2e-2)
        assert row["is_odd"] == (row["p_value"] <= 0.1)
    assert result.n_skipped == 1
