"""How well `loopsphere scan` finds strangers among real loops: AUROC, by collection and detector.

The loops of one class, or of a few, are the collection; each of twelve draws mixes other real loops into it,
and a scan ranks them all without being told. Reads ../shared/data/loops beside the repository, or
$LOOPSPHERE_DATA/loops.

    python benchmarks/strangers.py [DETECTOR ...] > benchmarks/strangers.md
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from loopsphere.collection.embedding import embed
from loopsphere.detect import SCAN_DETECTOR
from loopsphere.evaluate.tables import markdown_table
from loopsphere.learning.from_embeddings import scan_embeddings
from loopsphere.types import EmbedResult
from loopsphere.versions import library_versions

N_DRAWS = 12
DETECTORS = (SCAN_DETECTOR, "deep-svdd", "pca", "knn", "isolation-forest")
MUSIC = ("guitar_loop", "drum_loop", "synth_loop", "bass_loop", "keys_loop")
_DATA = Path(os.environ.get("LOOPSPHERE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Collection:
    """Classes that belong to a collection, and how many loops of others are mixed into it."""

    name: str
    normal: tuple[str, ...]
    strangers: Mapping[str, int]


COLLECTIONS = (
    Collection("guitars", ("guitar_loop",), {"drum_loop": 5, "environmental": 5}),
    Collection("guitars, strangers of one kind", ("guitar_loop",), {"drum_loop": 6}),
    Collection("guitars, few strangers", ("guitar_loop",), {"environmental": 2, "synth_loop": 1}),
    Collection("drums", ("drum_loop",), {"guitar_loop": 3, "environmental": 3}),
    Collection("synths", ("synth_loop",), {"drum_loop": 3, "environmental": 2}),
    Collection(
        "guitars and drums", ("guitar_loop", "drum_loop"), {"environmental": 4, "vocal_or_ambient": 2}
    ),
    Collection("five kinds of instruments", MUSIC, {"environmental": 5, "vocal_or_ambient": 3}),
)


def draws(collection: Collection, classes: npt.NDArray[np.str_]) -> list[npt.NDArray[np.int64]]:
    """Return the rows of the collection with its strangers, once a draw."""
    rng = np.random.default_rng(0)
    normal = np.flatnonzero(np.isin(classes, collection.normal))
    return [
        np.concatenate(
            [
                normal,
                *(
                    rng.choice(np.flatnonzero(classes == name), count, replace=False)
                    for name, count in collection.strangers.items()
                ),
            ]
        )
        for _ in range(N_DRAWS)
    ]


def auroc_of_scan(embedded: EmbedResult, detector: str, is_stranger: Mapping[str, bool]) -> float:
    """Return how well the scores of a scan tell strangers from the others."""
    loops = scan_embeddings(embedded, detector=detector).loops
    truth = [is_stranger[loop.path] for loop in loops]
    return float(roc_auc_score(truth, [loop.anomaly_score for loop in loops]))


def main() -> None:
    """Scan every draw with every detector, and print a table as Markdown."""
    folder = _DATA / "loops"
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        class_of = {str(folder / row["path"]): row["class"] for row in csv.DictReader(file)}
    wanted = {name for collection in COLLECTIONS for name in (*collection.normal, *collection.strangers)}
    embedded = embed([path for path, name in class_of.items() if name in wanted])
    classes = np.array([class_of[path] for path in embedded.paths])
    detectors = sys.argv[1:] or DETECTORS
    table = []
    for collection in COLLECTIONS:
        drawn = draws(collection, classes)
        is_stranger = {path: class_of[path] not in collection.normal for path in embedded.paths}
        n_strangers = sum(collection.strangers.values())
        cells = [collection.name, f"{len(drawn[0]) - n_strangers} + {n_strangers}"]
        for detector in detectors:
            aurocs = [auroc_of_scan(embedded.subset(rows), detector, is_stranger) for rows in drawn]
            cells.append(f"{np.mean(aurocs):.3f} ({min(aurocs):.2f})")
        table.append(cells)
    print("# Strangers among real loops\n")
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print(f"`python {' '.join(sys.argv)}`; {versions}.\n")
    print(f"AUROC of `scan`, mean of {N_DRAWS} draws of the strangers and the lowest. Chance is 0.5.\n")
    print(markdown_table(["collection", "loops + strangers", *detectors], table))


if __name__ == "__main__":
    main()
