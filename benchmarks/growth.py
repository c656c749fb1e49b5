"""What more loops cost: memory of `embed`, seconds of fit, scan and score, and a million cached embeddings.

Each figure comes from a process of its own. The loops are drawn and short, no two alike; the embeddings of
the detectors' part are drawn too.

    python benchmarks/growth.py > benchmarks/growth.md
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf

from loopsphere.embedding import cached_encoder, embed
from loopsphere.evaluate.tables import markdown_table
from loopsphere.model import library_versions
from loopsphere.outputs import ROWS_PER_GROUP
from loopsphere.pipeline import fit_embeddings, scan_embeddings
from loopsphere.scale.cached import score_cached
from loopsphere.types import EmbedResult

FILE_RATE_HZ = 22_050
LOOP_S = 0.5
DETECTORS = ("deep-svdd", "knn", "isolation-forest")
DIM = 512
N_LEARNT = 1000
BAR_GROWTH = 0.10
_CHUNK = 50_000


def write_loops(folder: Path, n_loops: int) -> None:
    """Write short loops of coloured noise, each its own."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(n_loops):
        noise = rng.standard_normal(round(LOOP_S * FILE_RATE_HZ))
        path = folder / f"loop {index:05d}.wav"
        sf.write(path, 0.1 * noise * np.linspace(1, 0, noise.size), FILE_RATE_HZ, subtype="PCM_16")


def drawn(n_loops: int, seed: int) -> np.ndarray:
    """Return embeddings around forty centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(40, DIM))
    rows = centres[rng.integers(40, size=n_loops)] + 0.5 * rng.normal(size=(n_loops, DIM))
    return rows.astype(np.float32)


def as_result(embedding: np.ndarray) -> EmbedResult:
    """Return embeddings as `embed` does, under made-up names."""
    names = tuple(f"{index:07d}.wav" for index in range(len(embedding)))
    encoder = cached_encoder("bundled", "cpu")
    return EmbedResult("bundled", encoder.hash, names, np.ones(len(names)), names, embedding)


def peak_mib() -> float:
    """Return the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measure_embed(folder: str, n_loops: str) -> dict[str, float]:
    """Embed the first loops of a folder."""
    paths = sorted(Path(folder).iterdir())[: int(n_loops)]
    embed(paths, device="cpu")
    return {"peak_mib": peak_mib()}


def measure_detector(detector: str, n_loops: str) -> dict[str, float]:
    """Fit, scan and score."""
    embedded, fresh = as_result(drawn(int(n_loops), 0)), drawn(1000, 2)
    seconds = []
    for work in (
        lambda: fit_embeddings(embedded, detector=detector),
        lambda: scan_embeddings(embedded, detector=detector),
    ):
        started = time.perf_counter()
        made = work()
        seconds.append(time.perf_counter() - started)
        if len(seconds) == 1:
            model = made
    started = time.perf_counter()
    model.judge(fresh, 0.05)
    return {
        "fit_s": seconds[0],
        "scan_s": seconds[1],
        "score_us": 1e6 * (time.perf_counter() - started) / len(fresh),
        "peak_mib": peak_mib(),
    }


def write_embeddings(path: str, n_loops: str) -> dict[str, float]:
    """Write drawn embeddings as `loopsphere embed -o loops.parquet` does."""
    writer, encoder_hash, n_rows = None, cached_encoder("bundled", "cpu").hash, int(n_loops)
    for start in range(0, n_rows, _CHUNK):
        rows = drawn(min(_CHUNK, n_rows - start), start)
        names = pa.array([f"{start + index:07d}.wav" for index in range(len(rows))])
        columns = {
            "path": names,
            "duration_s": pa.array(np.ones(len(rows))),
            "audio_hash": names,
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), DIM),
        }
        table = pa.table(columns).replace_schema_metadata({"encoder_hash": encoder_hash})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=ROWS_PER_GROUP)
    if writer is not None:
        writer.close()
    return {}


def measure_stream(detector: str, path: str) -> dict[str, float]:
    """Score embeddings on disk."""
    model = fit_embeddings(as_result(drawn(N_LEARNT, 0)), detector=detector)
    before, started = peak_mib(), time.perf_counter()
    score_cached(model, path, Path(path).with_suffix(".scores.parquet"))
    return {"seconds": time.perf_counter() - started, "before_mib": before, "peak_mib": peak_mib()}


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "embed": measure_embed,
    "detector": measure_detector,
    "write": write_embeddings,
    "stream": measure_stream,
}


def in_its_own_process(*arguments: str | int | Path) -> dict[str, float]:
    """Run one measure in a new process and return its figures."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--embed", type=int, nargs="*", default=[100, 1000, 10_000], metavar="N")
    parser.add_argument("--detect", type=int, nargs="*", default=[100, 1000, 3000], metavar="N")
    parser.add_argument("--stream", type=int, nargs="*", default=[10_000, 1_000_000], metavar="N")
    arguments = parser.parse_args()
    if arguments.measure:
        name, *rest = arguments.measure
        print(json.dumps(MEASURES[name](*rest)))
        return
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# What more loops cost\n")
    print(f"`python {' '.join(sys.argv)}` on {os.cpu_count()} cores; {versions}.")
    with tempfile.TemporaryDirectory(prefix="loopsphere-growth-") as name:
        folder = Path(name)
        if arguments.embed:
            write_loops(folder / "loops", max(arguments.embed))
            rows = [
                (n_loops, in_its_own_process("embed", folder / "loops", n_loops))
                for n_loops in arguments.embed
            ]
            cells = [[f"{n_loops:,}", f"{found['peak_mib']:.0f}"] for n_loops, found in rows]
            print(f"\n## Memory of `embed`, loops of {LOOP_S:g} s\n")
            print(f"Bar: from the last but one to the last row, at most {100 * BAR_GROWTH:g} % more.\n")
            print(markdown_table(["loops", "peak MiB"], cells))
        if arguments.detect:
            cells = []
            for detector in DETECTORS:
                for n_loops in arguments.detect:
                    found = in_its_own_process("detector", detector, n_loops)
                    cells.append(
                        [
                            detector,
                            f"{n_loops:,}",
                            f"{found['fit_s']:.1f}",
                            f"{found['scan_s']:.1f}",
                            f"{found['score_us']:.0f}",
                            f"{found['peak_mib']:.0f}",
                        ]
                    )
            print(f"\n## Detectors, from embeddings of {DIM} numbers\n")
            print(
                markdown_table(["detector", "loops", "fit s", "scan s", "score µs a loop", "peak MiB"], cells)
            )
        if arguments.stream:
            cells = []
            for n_loops in arguments.stream:
                path = folder / f"{n_loops}.parquet"
                in_its_own_process("write", path, n_loops)
                found = in_its_own_process("stream", DETECTORS[0], path)
                per_s = n_loops / found["seconds"]
                cells.append(
                    [
                        f"{n_loops:,}",
                        f"{found['seconds']:.1f}",
                        f"{per_s:,.0f}",
                        f"{found['before_mib']:.0f}",
                        f"{found['peak_mib']:.0f}",
                    ]
                )
            print(f"\n## Scoring cached embeddings with {DETECTORS[0]}, learnt from {N_LEARNT:,} loops\n")
            print(markdown_table(["loops", "seconds", "loops a second", "MiB before", "peak MiB"], cells))


if __name__ == "__main__":
    main()
