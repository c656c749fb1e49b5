"""`embed` and `score` past one memory and past one machine, and what `info` says of this one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from loopsphere.cli.commands import app

RUN = CliRunner()


@pytest.fixture(scope="module")
def model(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "loops.loopsphere"
    done = RUN.invoke(app, ["fit", str(collection), "-o", str(path), "--detector", "mahalanobis"])
    assert done.exit_code == 0, done.output
    return path


def test_info_says_what_this_machine_runs_on():
    done = RUN.invoke(app, ["info", "--json", "-"])
    said = json.loads(done.stdout)
    assert set(said) == {"runtime", "device", "precision", "fastest_precision", "attention", "threads"}
    assert said["runtime"].startswith("torch ")
    assert said["precision"] == "float32"
    assert said["fastest_precision"] in ("float32", "bfloat16")
    assert said["attention"] in ("compiled kernel", "torch")
    assert said["threads"] >= 1


def test_precision_is_told_by_the_hash(collection, tmp_path):
    for precision, suffix in (("float32", ""), ("bfloat16", "-bfloat16")):
        out = tmp_path / f"{precision}.parquet"
        one = str(sorted(collection.rglob("*.wav"))[0])
        done = RUN.invoke(app, ["embed", one, "-o", str(out), "--precision", precision])
        assert done.exit_code == 0, done.output
        encoder_hash = pq.read_schema(out).metadata[b"encoder_hash"].decode()
        assert encoder_hash[64:] == suffix
    assert RUN.invoke(app, ["embed", one, "-o", str(out), "--precision", "half"]).exit_code == 2


def test_cached_embeddings_are_scored_into_a_file(collection, model, tmp_path):
    loops, scores = tmp_path / "loops.parquet", tmp_path / "scores.parquet"
    assert RUN.invoke(app, ["embed", str(collection), "-o", str(loops)]).exit_code == 0
    done = RUN.invoke(app, ["score", str(model), str(loops), "-o", str(scores), "--top", "2"])
    assert done.exit_code == 0, done.output
    assert re.search(r"of 36 loops (is|are) odd \(\*\); wrote 1 file", done.output)
    assert pq.read_table(scores).num_rows == 36
    plain = json.loads(RUN.invoke(app, ["score", str(model), str(collection), "--json", "-"]).stdout)
    first = plain["loops"][0]["path"]
    assert Path(first).name in done.output


def test_what_goes_nowhere_is_refused(model, collection, tmp_path):
    done = RUN.invoke(app, ["score", str(model), str(collection), "--engine", "ray"])
    assert done.exit_code == 2
    assert "--output" in done.stderr
    parquet = tmp_path / "a.parquet"
    done = RUN.invoke(app, ["score", str(model), str(collection), "-o", str(parquet), "--playlist", "a.m3u8"])
    assert done.exit_code == 2
    done = RUN.invoke(app, ["score", str(model), str(collection), "-o", str(parquet)])
    assert done.exit_code == 2
    assert "neither a .parquet file of embeddings nor a folder of shards" in done.stderr


@pytest.mark.slow
def test_ray_on_this_machine(collection, model, tmp_path):
    pytest.importorskip("ray")
    done = RUN.invoke(
        app, ["embed", str(collection), "-o", str(tmp_path / "shards"), "--engine", "ray", "--json", "-"]
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["n_loops"], said["n_skipped"], said["n_shards"]) == (36, 0, 1)
    assert pq.read_table(tmp_path / "shards" / "part-00000000.parquet").num_rows == 36
