"""Results as CSV with every digit, and as Markdown for people."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from loopsphere.evaluate.false_alarms import FalseAlarms
from loopsphere.evaluate.intervals import Interval, PairedComparison
from loopsphere.evaluate.protocols import Trial
from loopsphere.evaluate.summary import METRICS, Summary
from loopsphere.files import whole_file

MISSING = "–"
_TITLES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "partial_auroc_10": "partial AUROC, 10 % FA",
    "detection_1": "detected at 1 % FA",
    "detection_5": "detected at 5 % FA",
    "separation": "separation",
    "odd_median_over_threshold": "odd median / threshold",
}
Cell = str | int | float


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a CSV file with floats to the last digit, so equal results are equal bytes.

    Parameters
    ----------
    path : Path
        Overwritten.
    header : sequence of str
    rows : iterable of sequences of str, int or float
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([repr(float(cell)) if isinstance(cell, float) else cell for cell in row] for row in rows)
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """Write one CSV row per trial: data set, protocol, task, detector, seed, sizes and every metric."""
    header = ["dataset", "protocol", "task", "detector", "seed", "n_train", "n_normal", "n_odd", *METRICS]
    rows: list[list[Cell]] = [
        [
            trial.dataset,
            trial.protocol,
            trial.name,
            trial.detector,
            trial.seed,
            trial.train_scores.size,
            trial.normal_scores.size,
            trial.odd_scores.size,
            *(trial.metrics[metric] for metric in METRICS),
        ]
        for trial in trials
    ]
    write_csv(path, header, rows)


def write_false_alarms(path: Path, by_dataset: Mapping[str, Sequence[FalseAlarms]]) -> None:
    """Write one CSV row per data set, calibrator, size and alpha; shares, not per cent."""
    header = ["dataset", "calibrator", "n_learnt", "alpha", "per_loop", "per_loop_low", "per_loop_high"]
    header += ["per_loop_sd", "pack_share", "per_loop_in_pack", "n_splits"]
    rows: list[list[Cell]] = [
        [
            dataset,
            result.calibrator,
            result.n_learnt,
            result.alpha,
            result.per_loop.mean,
            result.per_loop.low,
            result.per_loop.high,
            result.per_loop_sd,
            result.pack_share.mean,
            result.per_loop_in_pack,
            result.per_loop.n,
        ]
        for dataset, results in by_dataset.items()
        for result in results
    ]
    write_csv(path, header, rows)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, all others to the right.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequences of str

    Returns
    -------
    str
        Ends with a line feed.
    """
    lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def summary_table(summaries: Sequence[Summary]) -> str:
    """Return a Markdown table of detectors by metric, means with 95 % intervals."""
    header = ["detector", *(_TITLES[metric] for metric in METRICS)]
    rows = [
        [summary.detector, *(interval(summary.metrics[metric]) for metric in METRICS)]
        for summary in summaries
    ]
    return markdown_table(header, rows)


def comparison_table(reference: str, comparisons: Mapping[str, PairedComparison]) -> str:
    """Return a Markdown table of the AUROC differences between one detector and the others."""
    rows = [
        [
            f"{reference} minus {other}",
            interval(comparison.difference, signed=True),
            f"{comparison.n_won} won, {comparison.n_lost} lost of {comparison.n_tasks}",
            number(comparison.p_value),
        ]
        for other, comparison in comparisons.items()
    ]
    return markdown_table(["pair", "AUROC difference", "tasks", "Wilcoxon p"], rows)


def task_table(table: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Return a Markdown table of tasks by detector; `table[task][detector]` as `by_task` makes it."""
    detectors = list(next(iter(table.values())))
    rows = [[task, *(number(row[detector]) for detector in detectors)] for task, row in table.items()]
    return markdown_table([title, *detectors], rows)


def false_alarm_table(results: Iterable[FalseAlarms]) -> str:
    """Return a Markdown table of realised false alarms, in per cent."""
    rows = [
        [
            result.calibrator,
            str(result.n_learnt),
            percent(result.alpha, 0),
            percent_interval(result.per_loop),
            percent(result.per_loop_sd),
            percent(result.pack_share.mean),
            percent(result.per_loop_in_pack),
        ]
        for result in results
    ]
    header = [
        "calibration",
        "loops learnt",
        "asked for",
        "flagged per loop",
        "SD over splits",
        "BH: packs with any",
        "BH: loops",
    ]
    return markdown_table(header, rows)


def number(value: float) -> str:
    """Return a figure with three decimals, or a dash for NaN."""
    return MISSING if math.isnan(value) else f"{value:.3f}"


def percent(value: float, decimals: int = 2) -> str:
    """Return a share as a percentage, or a dash for NaN."""
    return MISSING if math.isnan(value) else f"{100 * value:.{decimals}f} %"


def percent_interval(value: Interval) -> str:
    """Return ``mean [low, high]`` in per cent, or the mean alone where there is no interval."""
    if math.isnan(value.low):
        return percent(value.mean)
    return f"{percent(value.mean)} [{percent(value.low)}, {percent(value.high)}]"


def interval(value: Interval, *, signed: bool = False) -> str:
    """Return ``mean [low, high]``, the mean alone where there is no interval, or a dash for NaN."""
    mean = f"{value.mean:+.3f}" if signed and not math.isnan(value.mean) else number(value.mean)
    if math.isnan(value.low):
        return mean
    return (
        f"{mean} [{value.low:+.3f}, {value.high:+.3f}]"
        if signed
        else f"{mean} [{value.low:.3f}, {value.high:.3f}]"
    )
