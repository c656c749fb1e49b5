"""Whether every machine gives the same answer: one scan under several processors, emulated on this one.

Three collections (the demo's rendered loops, 38 real guitars with strangers, 200 real loops) are rendered,
embedded and scanned from scratch in a process of its own for each way to compute: bfloat16 and float32, newer
and older instruction sets, one thread and two. Then each pair of ways is compared. The real loops are those
of ../shared/data/loops beside the repository, or $LOOPSPHERE_DATA/loops; without them the demo alone is run.

    python benchmarks/portability.py [WAY ...] > benchmarks/portability.md
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from loopsphere.evaluate.tables import markdown_table

LEAST_SPEARMAN, LARGEST_CHANGE, N_ODDEST = 0.999, 0.02, 10
N_REAL = 200
_DATA = Path(os.environ.get("LOOPSPHERE_DATA", Path(__file__).parents[2] / "shared" / "data"))
_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
_OLDEST = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
}


@dataclass(frozen=True)
class Way:
    """One way to compute: a precision, how many threads, and what the libraries are told of the processor."""

    precision: str
    n_threads: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)


WAYS = {
    "bfloat16": Way("bfloat16"),
    "bfloat16, 1 thread": Way("bfloat16", 1),
    "float32": Way("float32"),
    "float32, 1 thread": Way("float32", 1),
    "AVX2": Way("float32", environment=_AVX2),
    "AVX2, 1 thread": Way("float32", 1, _AVX2),
    "torch alone on AVX2": Way("float32", environment={"ATEN_CPU_CAPABILITY": "avx2"}),
    "oneDNN alone on AVX2": Way("float32", environment={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "SSE4": Way("float32", environment=_OLDEST),
}

Scores = dict[str, tuple[float, bool]]
"""By name of the loop: its score, and whether it is marked."""


def collections(folder: Path, seed: int) -> dict[str, list[str]]:
    """Render the demo's loops, and name the real ones; paths by collection."""
    from loopsphere.synth import render_collection

    labels = render_collection(folder, n_loops=300, seed=seed)
    found = {"demo": sorted(str(folder / label.path) for label in labels)}
    manifest = _DATA / "loops" / "manifest.csv"
    if not manifest.exists():
        return found
    with manifest.open(encoding="utf-8") as file:
        rows = [(str(manifest.parent / row["path"]), row["class"]) for row in csv.DictReader(file)]
    rng = np.random.default_rng(seed)
    guitars = [path for path, name in rows if name == "guitar_loop"]
    for name in ("drum_loop", "environmental"):
        guitars += rng.choice([path for path, of in rows if of == name], 5, replace=False).tolist()
    real = rng.choice([path for path, _ in rows], N_REAL, replace=False).tolist()
    return found | {"guitars": sorted(guitars), "real loops": sorted(real)}


def scan_here(precision: str, n_threads: int, seed: int, keep: Path | None) -> dict[str, Scores]:
    """Scan the collections in this process."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_threads])
    from loopsphere.collection.embedding import embed
    from loopsphere.learning.from_embeddings import scan_embeddings
    from loopsphere.settings import Settings

    answers = {}
    with tempfile.TemporaryDirectory(prefix="loopsphere-portability-") as folder:
        for name, paths in collections(Path(folder), seed).items():
            embedded = embed(paths, precision=precision)
            result = scan_embeddings(embedded, settings=Settings(seed=seed))
            if keep is not None:
                np.savez(keep / f"{name}.npz", embedding=embedded.embedding, path=embedded.paths)
            answers[name] = {Path(loop.path).name: (loop.anomaly_score, loop.is_odd) for loop in result.loops}
    return answers


def scan_as(way: Way, seed: int, keep: Path | None) -> dict[str, Scores]:
    """Scan the collections in a process that computes in another way."""
    words = ["--here", way.precision, str(way.n_threads), "--seed", str(seed)]
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        words += ["--keep", str(keep)]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env={**os.environ, **way.environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    return {
        name: {path: tuple(of) for path, of in scores.items()}
        for name, scores in json.loads(done.stdout).items()
    }


def compared(first: Scores, second: Scores) -> tuple[float, int, float]:
    """Return Spearman's correlation, how many loops only one marks, and the largest change of the oddest."""
    names = sorted(first)
    a, b = (np.array([of[name][0] for name in names]) for of in (first, second))
    n_differ = sum(first[name][1] != second[name][1] for name in names)
    oddest = np.argsort(-a)[:N_ODDEST]
    change = np.max(np.abs(b[oddest] - a[oddest]) / np.abs(a[oddest]))
    return float(spearmanr(a, b).statistic), n_differ, float(change)


def main() -> None:
    """Scan in every way, and print how pairs of ways compare as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"of {', '.join(WAYS)}; all unless named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the embeddings")
    parser.add_argument("--here", nargs=2, metavar=("PRECISION", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        precision, n_threads = arguments.here
        answers = scan_here(precision, int(n_threads), arguments.seed, arguments.keep)
        json.dump(answers, sys.stdout)
        return
    chosen = arguments.ways or list(WAYS)
    answers = {
        name: scan_as(WAYS[name], arguments.seed, arguments.keep and arguments.keep / name) for name in chosen
    }
    names = list(answers[chosen[0]])
    rows, n_missed = [], 0
    for one, other in combinations(chosen, 2):
        found = [compared(answers[one][name], answers[other][name]) for name in names]
        is_met = [rho >= LEAST_SPEARMAN and not n and change <= LARGEST_CHANGE for rho, n, change in found]
        cells = [f"{rho:.5f}, {n}, {100 * change:.2f} %" for rho, n, change in found]
        rows.append([one, other, *cells, "met" if all(is_met) else "missed"])
        n_missed += not all(is_met)
    print("# The same answer on every machine\n")
    print(f"`python {' '.join(sys.argv)}`; {versions_and_processor()}.\n")
    print(
        "For each pair of ways to compute and each collection: Spearman's correlation of the scores, loops "
        "that only one of the two marks, and the largest relative change among the ten oddest scores. "
        f"Bar: {LEAST_SPEARMAN:g}, 0, {100 * LARGEST_CHANGE:g} %.\n"
    )
    print(markdown_table(["", "", *names, "bar"], rows))
    print(f"\n{n_missed} of {len(rows)} pairs miss the bar.")


def versions_and_processor() -> str:
    """Name the versions and the processor that the ways are emulated on."""
    import torch

    from loopsphere.versions import library_versions

    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return f"{versions}; on a processor with {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    main()
