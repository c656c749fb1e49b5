"""Judge the bundled encoder on loops of your own: `python -m pretraining.other_collection FOLDER`.

The folder has a `manifest.csv` with the columns path, class, group (a player, an instrument, a pattern) and,
where loops come from several, source_repo. Each class in turn is normal and all the rest is odd. Its normal
loops are divided so that no source lies on both sides, where it has several, else no group. As in
`pretraining.evaluate`, the score is the mean distance to the five nearest on standardised features.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from loopsphere.encoders import load_encoder
from pretraining.evaluate import FAMILIES, Bench, auroc_table
from pretraining.material import RealLoops
from pretraining.report import auroc_lines
from pretraining.tasks import Task, tasks_of

_MIN_TRAIN, _MIN_TEST = 3, 1


def collection_tasks(loops: RealLoops, normal: Sequence[str], *, by_group: bool = False) -> list[Task]:
    """Make the tasks of each class that is to be normal and can be divided."""
    rng = np.random.default_rng(0)
    labels, sources = np.array(loops.labels), np.array(loops.sources)
    tasks = []
    for name in normal:
        has_sources = not by_group and len(np.unique(sources[labels == name])) > 1
        divided = loops.sources if has_sources else loops.groups
        tasks += tasks_of(name, labels == name, divided, rng, min_train=_MIN_TRAIN, min_test=_MIN_TEST)
    return tasks


def main() -> None:
    """Parse the command line, judge, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the loops and their manifest.csv")
    parser.add_argument(
        "--normal",
        action="append",
        metavar="CLASS",
        help="a class to take as normal; may be repeated; else each of instruments, or else each",
    )
    parser.add_argument("--by-group", action="store_true", help="divide by group whatever the sources")
    parser.add_argument("--encoder", default="bundled", help="path of a checkpoint, or 'bundled'")
    parser.add_argument("--cache", type=Path, default=Path("pretraining/runs/evaluation-cache"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    if not (arguments.folder / "manifest.csv").exists():
        raise SystemExit(f"no manifest.csv in {arguments.folder}")
    loops = RealLoops(arguments.folder)
    there = sorted(set(loops.labels))
    normal = arguments.normal or [family for family in FAMILIES if family in there] or there
    tasks = collection_tasks(loops, normal, by_group=arguments.by_group)
    undivided = [name for name in normal if name not in {task.name for task in tasks}]
    if undivided:
        print(f"cannot be divided, for want of loops or of sources and groups: {', '.join(undivided)}")
    if not tasks:
        raise SystemExit(f"nothing to judge; the classes of {arguments.folder} are {', '.join(there)}")
    bench = Bench(load_encoder(arguments.encoder, device="cpu"), (), arguments.cache)
    table = auroc_table(tasks, bench.feature_sets(loops))
    print(auroc_lines(table, {"mean of the classes": table}))


if __name__ == "__main__":
    main()
