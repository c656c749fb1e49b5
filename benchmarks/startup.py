"""How soon the command line answers: `--help`, and `score` of one loop with the bundled encoder.

Each run is a process of its own, from its start to its end.

    python benchmarks/startup.py > benchmarks/startup.md
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from loopsphere.evaluate.tables import markdown_table
from loopsphere.model import library_versions
from loopsphere.threads import n_cores
from throughput import write_loops

N_LEARNT, DURATION_S = 20, 8.0
BARS_S = {"--help": 0.5, "score of one loop": 3.0}


def seconds(arguments: list[str]) -> float:
    """Return how long one run of `loopsphere` takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "loopsphere", *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loopsphere-startup-") as name:
        folder = Path(name)
        loops = write_loops(folder / "loops", N_LEARNT, DURATION_S, seed=4)
        model = str(folder / "loops.loopsphere")
        seconds(["fit", str(folder / "loops"), "-o", model])
        commands = {"--help": ["--help"], "score of one loop": ["score", model, loops[0]]}
        taken = {what: [seconds(words) for _ in range(arguments.runs)] for what, words in commands.items()}
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# How soon a command answers")
    print(f"\n`python {' '.join(sys.argv)}`, {arguments.runs} runs, {n_cores()} cores; {versions}.\n")
    rows = [
        [what, f"{median(of):.2f}", f"{min(of):.2f} to {max(of):.2f}", f"{BARS_S[what]:g}"]
        for what, of in taken.items()
    ]
    print(markdown_table(["", "seconds, median", "all runs", "bar"], rows))


if __name__ == "__main__":
    main()
