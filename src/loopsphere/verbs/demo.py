"""The demo: render a labelled collection, scan it without the labels, then look the labels up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from loopsphere.learning.from_embeddings import DEFAULT_ALPHA
from loopsphere.progress import Progress
from loopsphere.synth import LabelledLoop, render_collection
from loopsphere.verbs.scan import Scan, scan


@dataclass(frozen=True)
class DemoReport:
    """What the demo found, against what was planted.

    Attributes
    ----------
    result : Scan
    labels : dict of str to LabelledLoop
        By path, as in `result`.
    loops_folder, results_folder : Path
    """

    result: Scan
    labels: dict[str, LabelledLoop]
    loops_folder: Path
    results_folder: Path

    @property
    def n_planted(self) -> int:
        """Odd loops that were planted."""
        return sum(label.is_odd for label in self.labels.values())

    @property
    def n_normal(self) -> int:
        """Loops that nothing was done to."""
        return len(self.labels) - self.n_planted

    @property
    def n_caught(self) -> int:
        """Planted loops that were called odd."""
        return sum(loop.is_odd and self.labels[loop.path].is_odd for loop in self.result.loops)

    @property
    def n_false_alarms(self) -> int:
        """Normal loops that were called odd."""
        return sum(loop.is_odd and not self.labels[loop.path].is_odd for loop in self.result.loops)

    @property
    def n_on_top(self) -> int:
        """Planted loops among as many of the oddest as were planted."""
        return sum(self.labels[loop.path].is_odd for loop in self.result.loops[: self.n_planted])


def run_demo(
    folder: str | os.PathLike[str],
    *,
    n_loops: int,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    device: str = "auto",
    progress: Progress,
) -> DemoReport:
    """Render, scan, write the results and their page, compare.

    Parameters
    ----------
    folder : str or PathLike
        Gets `loops/` and `results/`; what an earlier demo left there is replaced.
    n_loops : int
    alpha : float, default=0.05
    seed : int, default=0
        Of the collection and of the detector.
    device : str, default='auto'
    progress : callable
        Called as `progress(what, n_done, n_total)`.

    Returns
    -------
    report : DemoReport
    """
    loops_folder, results_folder = Path(folder) / "loops", Path(folder) / "results"
    labels = render_collection(
        loops_folder,
        n_loops=n_loops,
        seed=seed,
        progress=lambda n_done, n_total: progress("rendering loops", n_done, n_total),
    )
    by_path = {str(loops_folder / label.path): label for label in labels}
    # The labelled files alone, in case the folder holds loops of an earlier, larger demo.
    found = scan(sorted(by_path), alpha=alpha, seed=seed, device=device, progress=progress)
    found.write_tables(results_folder)
    found.write_report(results_folder / "report")
    return DemoReport(found, by_path, loops_folder, results_folder)
