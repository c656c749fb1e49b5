"""One run of the benchmark: gather what is compared, run the protocols, write tables and figures."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from loopsphere.benchmarking.calibrators import calibrators
from loopsphere.benchmarking.gather import (
    BenchmarkRequest,
    Question,
    gather,
    pooled_normals,
    without_attributes,
)
from loopsphere.benchmarking.plots import draw_figures
from loopsphere.benchmarking.report import results_markdown
from loopsphere.benchmarking.roster import default_roster, make_roster, uses_attributes
from loopsphere.detect import DEFAULT_DETECTOR, SCAN_DETECTOR
from loopsphere.errors import NothingUsableError
from loopsphere.evaluate.false_alarms import FalseAlarms, false_alarm_rates
from loopsphere.evaluate.figures import check_can_draw
from loopsphere.evaluate.protocols import DetectorFactory, Trial, run_tasks
from loopsphere.evaluate.tables import write_csv, write_false_alarms, write_trials
from loopsphere.files import whole_file
from loopsphere.learning.calibrate import benjamini_hochberg
from loopsphere.progress import Progress
from loopsphere.types import SkippedFile
from loopsphere.versions import library_versions

RESULTS_NAME = "RESULTS.md"
N_SPLITS = 100
# Cheap to fit a thousand times, so the effect of the collection's size is shown with it.
_QUICK_DETECTOR = "pca"
_SIZES = (20, 50, 100)


@dataclass(frozen=True)
class BenchmarkResult:
    """What a run measured and wrote.

    Attributes
    ----------
    results : Path
        RESULTS.md; beside it are the tables as CSV and the figures.
    trials : tuple of Trial
    false_alarms : mapping of str to sequence of FalseAlarms
        By data set.
    skipped : tuple of SkippedFile
        Loops that could not be used.
    """

    results: Path
    trials: tuple[Trial, ...]
    false_alarms: Mapping[str, Sequence[FalseAlarms]]
    skipped: tuple[SkippedFile, ...]


def run_benchmark(
    request: BenchmarkRequest,
    out: str | os.PathLike[str],
    *,
    command: str,
    detectors: Sequence[str] | None = None,
    n_splits: int = N_SPLITS,
    progress: Progress,
) -> BenchmarkResult:
    """Compare detectors with ground truth and write tables and figures.

    The same request gives the same bytes, but for timings.csv.

    Parameters
    ----------
    request : BenchmarkRequest
        What to compare on.
    out : path
        Folder for RESULTS.md, trials.csv, false_alarms.csv, timings.csv and the figures.
    command : str
        What to type to get the results again.
    detectors : sequence of str or None
        Of `loopsphere.benchmarking.roster.ROSTER`; None is all that can run here.
    n_splits : int
        Of the false-alarm test; 0 leaves it out.
    progress : callable
        Called as `progress(what, n_done, n_total)`.

    Returns
    -------
    BenchmarkResult

    Raises
    ------
    NothingUsableError
        A file or folder holds nothing to compare on.
    UnknownNameError, MissingExtraError, CheckpointError
        A detector, a package or an encoder is not there.
    """
    roster = make_roster(default_roster() if detectors is None else detectors)
    check_can_draw()
    folder = Path(out)
    skipped: list[SkippedFile] = []
    questions = list(gather(request, skipped=skipped, progress=progress))
    trials = [trial for question in questions for trial in _answers(question, roster, progress)]
    if not trials:
        raise NothingUsableError("of embeddings alone no attributes are known: name a detector without them")
    false_alarms = _count_false_alarms(questions, roster, n_splits, progress)
    figures = draw_figures(folder, questions, trials, roster)
    text = results_markdown(
        command=command,
        facts=_facts(request, n_splits),
        trials=trials,
        false_alarms=false_alarms,
        figures=figures,
    )
    write_trials(folder / "trials.csv", trials)
    write_false_alarms(folder / "false_alarms.csv", false_alarms)
    _write_timings(folder / "timings.csv", trials)
    with whole_file(folder / RESULTS_NAME) as file:
        file.write(text.encode())
    return BenchmarkResult(folder / RESULTS_NAME, tuple(trials), false_alarms, tuple(skipped))


def _answers(question: Question, roster: Mapping[str, DetectorFactory], progress: Progress) -> list[Trial]:
    """Put a question to the detectors that can answer it."""
    hearing = {name: make for name, make in roster.items() if not uses_attributes(name)}
    views = [(question.embedding, hearing, "comparing detectors on")]
    if question.n_attributes:
        measuring = {name: make for name, make in roster.items() if uses_attributes(name)}
        views.append((question.features, measuring, "comparing detectors with attributes on"))
    return [
        trial
        for features, detectors, what in views
        for trial in run_tasks(
            features,
            question.tasks,
            detectors,
            dataset=question.dataset,
            progress=partial(progress, f"{what} {question.dataset}"),
        )
    ]


def _count_false_alarms(
    questions: Sequence[Question], roster: Mapping[str, DetectorFactory], n_splits: int, progress: Progress
) -> dict[str, list[FalseAlarms]]:
    """Count them with the default detectors, and with a quick one on smaller collections too."""
    counted: dict[str, list[FalseAlarms]] = {}
    if n_splits == 0:
        return counted
    plans = {_QUICK_DETECTOR: _SIZES, DEFAULT_DETECTOR: (), SCAN_DETECTOR: ()}
    for dataset, (features, n_attributes) in pooled_normals(questions).items():
        for detector, sizes in plans.items():
            if detector in roster and (n_attributes or not uses_attributes(detector)):
                seen = features if uses_attributes(detector) else without_attributes(features, n_attributes)
                counted.setdefault(dataset, []).extend(
                    false_alarm_rates(
                        seen,
                        calibrators(detector, roster[detector]),
                        reject=benjamini_hochberg,
                        sizes=sizes,
                        n_splits=n_splits,
                        progress=partial(progress, f"counting false alarms of {detector} on {dataset}"),
                    )
                )
    return counted


def _facts(request: BenchmarkRequest, n_splits: int) -> dict[str, str]:
    versions = {"Python": platform.python_version(), **library_versions()}
    try:
        versions["pyod"] = version("pyod")
    except PackageNotFoundError:
        versions["pyod"] = "not installed"
    facts = {
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "seeds": f"0 to {request.n_seeds - 1}",
        "splits for false alarms": str(n_splits),
    }
    if request.embeddings is not None:
        facts["embeddings"] = Path(request.embeddings).name
    if request.labels is not None or request.plants_faults:
        facts["encoder"] = request.encoder
    if request.plants_faults:
        facts["planted"] = f"{request.n_versions} versions of each fault and magnitude"
        if not request.dirs:
            facts["planted"] += f", {request.n_loops} normal loops a collection"
    return facts


def _write_timings(path: Path, trials: Sequence[Trial]) -> None:
    """Write the seconds of each fit."""
    of_fit = {trial.fit: trial for trial in trials}
    write_csv(
        path,
        ["dataset", "protocol", "detector", "seed", "n_train", "fit_s"],
        [
            [trial.dataset, trial.protocol, trial.detector, trial.seed, trial.train_scores.size, fit.seconds]
            for fit, trial in of_fit.items()
        ],
    )
