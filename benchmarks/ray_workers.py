"""What a second machine brings: loops a second on a Ray cluster of one and of two nodes of one core each.

Real Ray nodes on one machine, the driver on a head without cores; the sizes take turns. A run's rate is that
between its first answers and its last, so that starting the workers does not count.

    pip install 'loopsphere[ray]'
    python benchmarks/ray_workers.py > benchmarks/ray_workers.md
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import soundfile as sf

from loopsphere.evaluate.tables import markdown_table
from loopsphere.model import library_versions
from loopsphere.scale.jobs import embed_to_shards

FILE_RATE_HZ = 44_100
BAR_RATIO = 1.7
N_WARM_PIECES = 4
_NODE_MEMORY = 512 << 20


def write_loops(folder: Path, n_loops: int) -> None:
    """Write loops of two to six seconds."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(n_loops):
        time_s = np.arange(round(rng.uniform(2, 6) * FILE_RATE_HZ)) / FILE_RATE_HZ
        tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in rng.uniform(60, 6000, 3))
        mono = 0.1 * tones + 0.003 * rng.standard_normal(time_s.size)
        sf.write(folder / f"loop {index:05d}.wav", mono, FILE_RATE_HZ, subtype="PCM_16")


def rate(folder: Path, output: Path, n_nodes: int) -> tuple[float, float]:
    """Return loops a second between the first answers and the last, and the seconds of the whole run."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(n_nodes):
        cluster.add_node(num_cpus=1, object_store_memory=_NODE_MEMORY)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    marks: list[tuple[float, int]] = []
    started = time.perf_counter()
    try:
        embed_to_shards(
            folder, output, progress=lambda what, n_done, n_total: marks.append((time.perf_counter(), n_done))
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    (first_s, first), (last_s, last) = marks[N_WARM_PIECES], marks[-1]
    return (last - first) / (last_s - first_s), last_s - started


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    rates: dict[int, list[float]] = {1: [], 2: []}
    wholes: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="loopsphere-ray-") as name:
        write_loops(Path(name) / "loops", arguments.loops)
        for round_ in range(arguments.rounds):
            for n_nodes in rates:
                found, whole = rate(Path(name) / "loops", Path(name) / f"out {round_} {n_nodes}", n_nodes)
                rates[n_nodes].append(found)
                wholes[n_nodes].append(whole)
                print(f"round {round_}, {n_nodes} nodes: {found:.1f} loops/s", file=sys.stderr, flush=True)
    ratio = median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# One and two workers of one core on Ray\n")
    print(f"`python {' '.join(sys.argv)}` on {os.cpu_count()} cores; {versions}.\n")
    print(
        f"{arguments.loops} loops of 2 to 6 s, {arguments.rounds} rounds, medians. "
        f"Bar: {BAR_RATIO:g} times.\n"
    )
    rows = [
        [str(n_nodes), f"{median(of):.1f}", f"{median(wholes[n_nodes]):.0f}"] for n_nodes, of in rates.items()
    ]
    print(markdown_table(["nodes of one core", "loops a second", "seconds, with starting all"], rows))
    print(f"\nTwo are {ratio:.2f} times as fast as one.")


if __name__ == "__main__":
    main()
