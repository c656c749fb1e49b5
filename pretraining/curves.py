"""Plot a run's log: `python -m pretraining.curves` writes `curves.png` beside it."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

_NOT_TERMS = ("step", "seconds", "n_loops", "total")


def read_log(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Return a log's columns by name, each of shape (n_rows,).

    A run that was stopped between checkpoints has repeated some steps; their last rows count.
    """
    with path.open(newline="", encoding="utf-8") as file:
        by_step = {int(row["step"]): row for row in csv.DictReader(file)}
    if not by_step:
        raise SystemExit(f"{path} has no rows yet")
    rows = [by_step[step] for step in sorted(by_step)]
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def plot(columns: dict[str, npt.NDArray[np.float64]], out: Path) -> None:
    """Draw the total loss, each term, and the size of the pool against the step."""
    from matplotlib.figure import Figure

    terms = [name for name in columns if name not in _NOT_TERMS]
    panels = ["total", *terms, "n_loops"]
    n_rows = -(-len(panels) // 4)
    figure = Figure(figsize=(14, 2.8 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, 4, squeeze=False).ravel()
    for axis, name in zip(axes, panels, strict=False):
        axis.plot(columns["step"], columns[name], linewidth=1.2)
        axis.set_title("loops in the pool" if name == "n_loops" else name)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    for axis in axes[len(panels) :]:
        axis.remove()
    hours = columns["seconds"][-1] / 3600
    figure.suptitle(f"{columns['step'][-1]:.0f} steps, {hours:.1f} hours of training")
    figure.savefig(out, dpi=110)


def main() -> None:
    """Parse the command line and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("pretraining/runs/main"))
    arguments = parser.parse_args()
    out = arguments.run / "curves.png"
    plot(read_log(arguments.run / "log.csv"), out)
    print(out)


if __name__ == "__main__":
    main()
