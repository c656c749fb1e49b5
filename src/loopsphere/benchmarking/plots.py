"""Which trials are drawn in which figure."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from loopsphere.benchmarking.gather import Question
from loopsphere.benchmarking.roster import UNTRAINED
from loopsphere.evaluate import figures
from loopsphere.evaluate.protocols import PLANTED, DetectorFactory, Task, Trial

_MAX_DRAWN = 400


def draw_figures(
    folder: Path,
    questions: Sequence[Question],
    trials: Sequence[Trial],
    roster: Mapping[str, DetectorFactory],
) -> list[tuple[str, str]]:
    """Draw what a paper would show of a run.

    Parameters
    ----------
    folder : Path
        Gets the PNG files.
    questions : sequence of Question
    trials : sequence of Trial
    roster : mapping of str to callable
        Networks in it are fitted once more on the first task for their training curves.

    Returns
    -------
    list of (file name, caption)

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    """
    drawn: list[tuple[str, str]] = []
    for number, (dataset, protocol) in enumerate(
        dict.fromkeys((trial.dataset, trial.protocol) for trial in trials), start=1
    ):
        part = [trial for trial in trials if (trial.dataset, trial.protocol) == (dataset, protocol)]
        name = f"scores-{number}.png"
        left_out = figures.box_plots(folder / name, part)
        if len(left_out) < len({trial.detector for trial in part}):
            caption = f"{dataset}, {protocol}: scores of learnt, held-out and odd loops, first seed."
            if left_out:
                caption += f" Not shown, as their scores are not all positive: {', '.join(left_out)}."
            drawn.append((name, caption))
        name = f"histograms-{number}.png"
        figures.histograms(folder / name, part)
        drawn.append((name, f"{dataset}, {protocol}: scores and thresholds of the task {part[0].name!r}."))
    planted = [trial for trial in trials if trial.protocol == PLANTED]
    if planted:
        figures.auroc_by_magnitude(folder / "magnitudes.png", planted)
        drawn.append(("magnitudes.png", "AUROC by magnitude of the planted fault."))
    return [*drawn, *_draw_first_task(folder, questions[0], roster)]


def _draw_first_task(
    folder: Path, question: Question, roster: Mapping[str, DetectorFactory]
) -> list[tuple[str, str]]:
    """Draw the space and the training of the first task."""
    task = question.tasks[0]
    rows = _rows_by_kind(question, task)
    length = {kind: np.linalg.norm(values, axis=1, keepdims=True) for kind, values in rows.items()}
    spaces = {
        "embedding": rows,
        "embedding, L2-normalised": {kind: values / length[kind] for kind, values in rows.items()},
    }
    figures.latent_space(folder / "space.png", spaces)
    drawn = [("space.png", f"{question.dataset}, first task: the space in which detectors learn.")]
    curves: dict[str, dict[str, list[float]]] = {}
    for name, make in roster.items():
        if name.endswith(UNTRAINED):
            continue
        detector = make(task.seed)
        if hasattr(detector, "max_epochs"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the report counts the warnings of the same fit already
                detector.fit(question.embedding[task.train])
            losses = getattr(detector, "loss_curve_", [])
            curves[name] = {f"network {i}": list(loss) for i, loss in enumerate(losses, start=1) if len(loss)}
    curves = {name: losses for name, losses in curves.items() if losses}
    if curves:
        figures.training_curves(folder / "training.png", curves)
        drawn.append(("training.png", f"{question.dataset}, first task: training loss of the networks."))
    return drawn


def _rows_by_kind(question: Question, task: Task) -> dict[str, figures.FloatArray]:
    odd = np.concatenate(list(task.odd.values()))
    # Evenly through all odd sets: thousands of dots hide each other.
    odd = odd[:: max(1, odd.size // _MAX_DRAWN)]
    parts = {"learnt": task.train, "held out": task.normal, "odd": odd}
    return {kind: question.embedding[rows].astype(np.float64) for kind, rows in parts.items()}
