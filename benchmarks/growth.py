"""What more loops cost: memory of `embed`, where the time of a `scan` goes, detectors, a million embeddings.

Each figure comes from a process of its own. The loops of the first part are drawn and short, no two alike;
those that are scanned are rendered as for the demo; the embeddings of the detectors' part are drawn too.

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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf

from loopsphere.collection.copies import duplicate_groups
from loopsphere.collection.embedding import cached_encoder, embed
from loopsphere.detect import SCAN_DETECTOR
from loopsphere.evaluate.tables import markdown_table
from loopsphere.export.tables import ROWS_PER_GROUP, write_results
from loopsphere.learning.features import measured_for
from loopsphere.learning.from_embeddings import fit_embeddings, scan_embeddings
from loopsphere.library import open_library
from loopsphere.report.from_scan import write_report
from loopsphere.report.moments import locate_odd
from loopsphere.scale.cached import score_cached
from loopsphere.settings import Settings
from loopsphere.synth import render_collection
from loopsphere.types import EmbedResult
from loopsphere.versions import library_versions

FILE_RATE_HZ = 22_050
LOOP_S = 0.5
DETECTORS = ("deep-svdd", "knn", "isolation-forest")
DIM = 512
N_LEARNT = 1000
BAR_GROWTH = 0.10
BAR_SCAN = 1.5
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


def measure_scan(folder: str, library: str, out: str, precision: str) -> dict[str, list[float]]:
    """Take the steps of a scan one by one; each finds in the library what those before it made."""
    known = open_library(library)
    settings = Settings(precision=precision, library=known)
    encoder = partial(cached_encoder, "bundled", "auto", precision)
    taken: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter(), time.process_time()
        made = work()
        taken[stage] = [time.perf_counter() - started[0], time.process_time() - started[1]]
        return made

    embedded = timed("embed", lambda: embed(folder, precision=precision, library=known))
    timed("compare copies", lambda: duplicate_groups(embedded, library=known))
    timed("measure", lambda: measured_for(embedded, SCAN_DETECTOR, library=known))
    timed("learn and score", lambda: scan_embeddings(embedded, settings=settings))
    result = timed("explain", lambda: scan_embeddings(embedded, explain=True, settings=settings))
    timed("write tables", lambda: write_results(out, result))
    located = timed("locate", lambda: locate_odd(result, embedded, encoder, settings))
    page = Path(out) / "report"
    timed("page", lambda: write_report(page, result, embedded, located, settings=settings))
    return taken


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


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "embed": measure_embed,
    "scan": measure_scan,
    "detector": measure_detector,
    "write": write_embeddings,
    "stream": measure_stream,
}


def in_its_own_process(*arguments: str | int | Path) -> dict[str, Any]:
    """Run one measure in a new process and return its figures."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_command(*arguments: str | Path) -> dict[str, float]:
    """Run a command of loopsphere in a new process; return its seconds, by the clock and of processors."""
    started, before = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "loopsphere", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": time.perf_counter() - started, "cpu_s": cpu_s}


def print_scan(folder: Path, n_loops: int, precision: str) -> None:
    """Measure where the time of a whole scan goes, beside `embed` alone, and print it."""
    loops = folder / "rendered"
    render_collection(loops, n_loops=n_loops, seed=1)
    options = ["--precision", precision]
    alone = run_command("embed", loops, "-o", folder / "loops.npz", "--no-library", *options)
    whole, again = (run_command("scan", loops, "--out", folder / "out", *options) for _ in range(2))
    stages = in_its_own_process("scan", loops, folder / "library", folder / "steps", precision)
    total = sum(seconds for seconds, _ in stages.values())
    print(f"\n## A whole `scan`, page included, of {n_loops:,} rendered loops, precision {precision}\n")
    print(f"Bar: at most {BAR_SCAN:g} times as long as `embed` alone. By command:\n")
    rows = [("embed", alone), ("scan", whole), ("the same scan again", again)]
    cells = [
        [name, f"{of['seconds']:.1f}", f"{of['cpu_s']:.1f}", f"{of['seconds'] / alone['seconds']:.2f}"]
        for name, of in rows
    ]
    print(markdown_table(["", "seconds", "of processors", "times embed"], cells))
    print("\nBy step, all in one process:\n")
    cells = [
        [stage, f"{seconds:.1f}", f"{cpu_s:.1f}", f"{100 * seconds / total:.0f} %"]
        for stage, (seconds, cpu_s) in stages.items()
    ]
    print(markdown_table(["step", "seconds", "of processors", "share"], cells))


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("--embed", type=int, nargs="*", default=[100, 1000, 10_000], metavar="N")
    parser.add_argument("--scan", type=int, nargs="*", default=[1000], metavar="N")
    parser.add_argument("--precision", default="float32", help="of the scans")
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
        for n_loops in arguments.scan:
            print_scan(folder / str(n_loops), n_loops, arguments.precision)
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
