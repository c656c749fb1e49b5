"""What a second machine brings: loops a second on a Ray cluster of one and of two nodes of one core each.

Real Ray nodes on one Linux machine, each held to a core of its own, the driver on a head without cores; the
sizes take turns. A rate is that of the loops by which a long run exceeds a short one, so that starting the
workers, and what is read ahead meanwhile, does not count.

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
from loopsphere.scale.jobs import embed_to_shards
from loopsphere.versions import library_versions

FILE_RATE_HZ = 44_100
BAR_RATIO = 1.7
N_FIRST = 128
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


def seconds(paths: list[Path], output: Path, n_nodes: int) -> float:
    """Return how long a run takes on a fresh cluster, from its start to its last shard."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cores = os.sched_getaffinity(0)
    for core in sorted(cores)[:n_nodes]:
        os.sched_setaffinity(0, {core})  # what the node starts inherits it: Ray counts cores, and holds none
        cluster.add_node(num_cpus=1, object_store_memory=_NODE_MEMORY)
    os.sched_setaffinity(0, cores)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    started = time.perf_counter()
    try:
        embed_to_shards(paths, output)
        return time.perf_counter() - started
    finally:
        ray.shutdown()
        cluster.shutdown()


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    rates: dict[int, list[float]] = {1: [], 2: []}
    wholes: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="loopsphere-ray-") as name:
        folder = Path(name)
        write_loops(folder / "loops", arguments.loops + N_FIRST)
        paths = sorted((folder / "loops").iterdir())
        for round_ in range(arguments.rounds):
            for n_nodes in rates:
                short_s = seconds(paths[:N_FIRST], folder / f"short {round_} {n_nodes}", n_nodes)
                long_s = seconds(paths, folder / f"long {round_} {n_nodes}", n_nodes)
                rates[n_nodes].append(arguments.loops / (long_s - short_s))
                wholes[n_nodes].append(long_s)
                found = f"{rates[n_nodes][-1]:.1f} loops/s, {short_s:.0f} and {long_s:.0f} s"
                print(f"round {round_}, {n_nodes} nodes: {found}", file=sys.stderr, flush=True)
    ratio = median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# One and two workers of one core on Ray\n")
    print(f"`python {' '.join(sys.argv)}` on {os.cpu_count()} cores; {versions}.\n")
    print(
        f"{arguments.loops} loops of 2 to 6 s beyond the first {N_FIRST}, {arguments.rounds} rounds, "
        f"medians. Bar: {BAR_RATIO:g} times.\n"
    )
    rows = [
        [str(n_nodes), f"{median(of):.1f}", f"{median(wholes[n_nodes]):.0f}"] for n_nodes, of in rates.items()
    ]
    print(markdown_table(["nodes of one core", "loops a second", "seconds of a long run"], rows))
    print(f"\nTwo are {ratio:.2f} times as fast as one.")


if __name__ == "__main__":
    main()
