"""How soon the command line answers: `--help`, `score` of one loop, a second `scan` of an unchanged folder.

Each run is a process of its own, from its start to its end.

    python benchmarks/startup.py > benchmarks/startup.md
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from loopsphere.evaluate.tables import markdown_table
from loopsphere.synth import render_collection
from loopsphere.threads import n_cores
from loopsphere.versions import library_versions
from throughput import write_loops

N_LEARNT, DURATION_S = 20, 8.0
N_SCANNED = 45
BARS_S = {"--help": 0.5, "score of one loop": 2.0, "second scan": 3.5, "second scan with --out": 5.0}


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Return how long one run of `loopsphere` takes, by the clock and in time of processors."""
    started, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "loopsphere", *arguments], check=True, capture_output=True)
    after = os.times()
    of_processors = after.children_user + after.children_system
    return time.perf_counter() - started, of_processors - before.children_user - before.children_system


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--precision", default="float32", help="of the networks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loopsphere-startup-") as name:
        folder = Path(name)
        loops = write_loops(folder / "loops", N_LEARNT, DURATION_S, seed=4)
        model = str(folder / "loops.loopsphere")
        precision = ["--precision", arguments.precision]
        seconds(["fit", str(folder / "loops"), "-o", model, *precision])
        scanned = folder / "scanned"
        render_collection(scanned, n_loops=N_SCANNED, seed=4)
        scan = ["scan", str(scanned), *precision]
        with_page = [*scan, "--out", str(folder / "out")]
        first = seconds(with_page)
        commands = {
            "--help": ["--help"],
            "score of one loop": ["score", model, loops[0]],
            "second scan": scan,
            "second scan with --out": with_page,
        }
        taken = {what: [seconds(words) for _ in range(arguments.runs)] for what, words in commands.items()}
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# How soon a command answers")
    print(f"\n`python {' '.join(sys.argv)}`, {arguments.runs} runs, {n_cores()} cores; {versions}.\n")
    rows = []
    for what, runs in taken.items():
        by_clock, of_processors = zip(*runs, strict=True)
        spread = f"{min(by_clock):.2f} to {max(by_clock):.2f}"
        rows.append(
            [what, f"{median(by_clock):.2f}", spread, f"{median(of_processors):.2f}", f"{BARS_S[what]:g}"]
        )
    print(markdown_table(["", "seconds, median", "all runs", "of processors, median", "bar"], rows))
    print(
        f"\nScanned are {N_SCANNED} rendered loops that have not changed; "
        f"the first scan, with --out, took {first[0]:.1f} s."
    )


if __name__ == "__main__":
    main()
