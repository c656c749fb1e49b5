"""How long Deep SVDD takes to learn 4,294 loops of 1,024 numbers, beside PyOD's Deep SVDD, and how well.

The loops are drawn: thirty packs with centres of their own, each spread with falling variance along twelve of
forty directions, and a little noise in all. Odd are the loops of packs that were not learnt.
The two detectors take turns, so that whatever else the machine does falls on both; each has its own defaults.

    pip install 'loopsphere[peers]'
    python benchmarks/detector_speed.py > benchmarks/detector_speed.md
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from loopsphere.benchmarking.roster import make_roster
from loopsphere.evaluate.tables import markdown_table
from loopsphere.versions import library_versions

N_LEARNT, N_JUDGED, DIMENSION = 4294, 500, 1024
N_PACKS, N_ODD_PACKS = 30, 6
N_DIRECTIONS, N_COMMON_DIRECTIONS = 12, 40
NOISE = 0.15
OURS, THEIRS = "deep-svdd", "pyod-deep-svdd"
BAR_S, BAR_RATIO = 10.0, 5.0


@dataclass(frozen=True)
class Turn:
    """One detector on one draw."""

    fit_s: float
    fit_cpu_s: float
    score_s: float
    auroc: float


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return loops to learn from, as normal ones, and odd ones; float32, L2-normalised."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=DIMENSION)
    pool = rng.normal(size=(N_COMMON_DIRECTIONS, DIMENSION))
    n_all = N_PACKS + N_ODD_PACKS
    centres = common + rng.normal(size=(n_all, N_COMMON_DIRECTIONS)) @ pool * 0.05
    spreads = np.geomspace(0.5, 0.05, N_DIRECTIONS)
    chosen = [rng.permutation(N_COMMON_DIRECTIONS)[:N_DIRECTIONS] for _ in range(n_all)]
    directions = pool[np.stack(chosen)] * spreads[:, None]

    def loops(n_loops: int, packs: range) -> np.ndarray:
        pack = rng.integers(packs.start, packs.stop, size=n_loops)
        within = np.einsum("lk,lkd->ld", rng.normal(size=(n_loops, N_DIRECTIONS)), directions[pack])
        drawn = centres[pack] + within + NOISE * rng.normal(size=(n_loops, DIMENSION))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn.astype(np.float32)

    known = range(N_PACKS)
    return loops(N_LEARNT, known), loops(N_JUDGED, known), loops(N_JUDGED, range(N_PACKS, len(centres)))


def take_turns(n_runs: int) -> Iterator[tuple[str, Turn]]:
    """Yield the detectors' turns, one after the other, each run on a draw of its own."""
    for seed in range(n_runs):
        learnt, normal, odd = draw(seed)
        is_odd = np.repeat([False, True], N_JUDGED)
        for name, make in make_roster([OURS, THEIRS]).items():
            detector = make(seed)
            started, cpu_started = time.perf_counter(), time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                detector.fit(learnt)
            fitted, cpu_s = time.perf_counter(), time.process_time() - cpu_started
            scores = -detector.score_samples(np.concatenate([normal, odd]))
            scored = time.perf_counter()
            yield name, Turn(fitted - started, cpu_s, scored - fitted, float(roc_auc_score(is_odd, scores)))
            print(f"run {seed + 1} of {n_runs}: {name} {fitted - started:.1f} s", file=sys.stderr)


def main() -> None:
    """Print the medians, every turn, and the bars."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    n_runs = parser.parse_args().runs
    turns: dict[str, list[Turn]] = {OURS: [], THEIRS: []}
    for name, turn in take_turns(n_runs):
        turns[name].append(turn)
    fit_s = {name: float(np.median([turn.fit_s for turn in of])) for name, of in turns.items()}
    auroc = {name: float(np.mean([turn.auroc for turn in of])) for name, of in turns.items()}
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# Speed of the detectors\n")
    command = f"python benchmarks/detector_speed.py --runs {n_runs}"
    print(f"Made by `{command}` on {os.cpu_count()} cores, {torch.get_num_threads()} used;\n{versions}.")
    print("Processor time adds up the cores: it tells what a fit costs on a machine with other work too.")
    print(f"{N_LEARNT:,} x {DIMENSION:,} learnt, {2 * N_JUDGED:,} judged.\n")
    print(
        markdown_table(
            [
                "detector",
                "fit, median",
                "fit, each run",
                "processor time of a fit, median",
                "score, median",
                "AUROC, mean",
            ],
            [
                [
                    name,
                    f"{fit_s[name]:.2f} s",
                    " ".join(f"{turn.fit_s:.1f}" for turn in of),
                    f"{np.median([turn.fit_cpu_s for turn in of]):.2f} s",
                    f"{np.median([turn.score_s for turn in of]):.2f} s",
                    f"{auroc[name]:.3f}",
                ]
                for name, of in turns.items()
            ],
        )
    )
    ratio = fit_s[THEIRS] / fit_s[OURS]
    bars = [
        ["fit in at most", f"{BAR_S:.0f} s", f"{fit_s[OURS]:.2f} s", fit_s[OURS] <= BAR_S],
        ["faster than PyOD's at least", f"{BAR_RATIO:.0f} times", f"{ratio:.1f} times", ratio >= BAR_RATIO],
        ["AUROC at least PyOD's", f"{auroc[THEIRS]:.3f}", f"{auroc[OURS]:.3f}", auroc[OURS] >= auroc[THEIRS]],
    ]
    print(
        markdown_table(
            ["bar", "asked", "measured", "reached"],
            [[*cells, "yes" if is_reached else "no"] for *cells, is_reached in bars],
        )
    )


if __name__ == "__main__":
    main()
