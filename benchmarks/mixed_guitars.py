"""AUROC of `loopsphere scan` on 28 real guitar loops with 5 drum loops and 5 environmental sounds mixed in.

Usage: python benchmarks/mixed_guitars.py [DETECTOR ...]

The ten strangers are drawn twelve times; all figures are printed. Reads ../shared/data/loops beside the
repository, or $LOOPSPHERE_DATA/loops.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from loopsphere.detect import SCAN_DETECTOR
from loopsphere.embedding import embed
from loopsphere.pipeline import scan_embeddings

N_DRAWS = 12
_DATA = Path(os.environ.get("LOOPSPHERE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main() -> None:
    """Print one line a detector."""
    folder = _DATA / "loops"
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        class_of = {str(folder / row["path"]): row["class"] for row in csv.DictReader(file)}
    wanted = ("guitar_loop", "drum_loop", "environmental")
    embedded = embed([path for path, name in class_of.items() if name in wanted])
    classes = np.array([class_of[path] for path in embedded.paths])
    rng = np.random.default_rng(0)
    guitars, drums, others = (np.flatnonzero(classes == name) for name in wanted)
    draws = [
        np.concatenate([guitars, rng.choice(drums, 5, replace=False), rng.choice(others, 5, replace=False)])
        for _ in range(N_DRAWS)
    ]
    for detector in sys.argv[1:] or [SCAN_DETECTOR]:
        aurocs = []
        for rows in draws:
            loops = scan_embeddings(embedded.subset(rows), detector=detector).loops
            is_stranger = [class_of[loop.path] != "guitar_loop" for loop in loops]
            aurocs.append(roc_auc_score(is_stranger, [loop.anomaly_score for loop in loops]))
        every = " ".join(f"{auroc:.2f}" for auroc in aurocs)
        print(f"{detector}: mean {np.mean(aurocs):.3f}, lowest {min(aurocs):.3f} ({every})")


if __name__ == "__main__":
    main()
