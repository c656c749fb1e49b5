"""RESULTS.md: what was run, what it gave, which bars it reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from loopsphere.benchmarking.bars import RESIDUAL, Bar, false_alarm_bars, folder_bars, planted_bars
from loopsphere.evaluate.false_alarms import FalseAlarms
from loopsphere.evaluate.planted import MAGNITUDES, by_fault, by_magnitude
from loopsphere.evaluate.protocols import LABELLED, PLANTED, Trial
from loopsphere.evaluate.summary import by_task, compare_with, summarise
from loopsphere.evaluate.tables import (
    comparison_table,
    false_alarm_table,
    interval,
    markdown_table,
    number,
    summary_table,
    task_table,
)

_KEY = """\
AUROC and the other ranking metrics: mean over tasks (folders, faults) and seeds, in brackets the 95 % Student
interval over seeds, each with splits and detectors of its own. FA: false alarms. Separation: mean score above
the 95 % quantile of the training scores over the median below it; it depends on the score's unit and compares
no detectors. Tasks won: of those, on which the mean over seeds is higher; Wilcoxon's signed-rank test is over
tasks. A dash: not defined.
"""


def results_markdown(
    *,
    command: str,
    facts: Mapping[str, str],
    trials: Sequence[Trial],
    false_alarms: Mapping[str, Sequence[FalseAlarms]],
    figures: Sequence[tuple[str, str]],
) -> str:
    """Return the whole report; nothing in it depends on the time or the machine's name.

    Parameters
    ----------
    command : str
        What to type to get it again.
    facts : mapping of str to str
        Versions, seeds, encoder.
    trials : sequence of Trial
    false_alarms : mapping of str to sequence of FalseAlarms
        By data set.
    figures : sequence of (file name, caption)

    Returns
    -------
    str
        Markdown.
    """
    parts = ["# Benchmark\n", f"Made by `{command}`; changes by hand are lost.\n"]
    parts.append(markdown_table(["run", ""], list(facts.items())))
    parts.append(_KEY)
    bars: list[Bar] = []
    for dataset, protocol in dict.fromkeys((trial.dataset, trial.protocol) for trial in trials):
        if protocol == PLANTED:
            continue
        part = [trial for trial in trials if (trial.dataset, trial.protocol) == (dataset, protocol)]
        parts += _protocol_section(f"{dataset}: {protocol}", part)
        parts += ["### AUROC by task\n", task_table(by_task(part), "task")]
        if protocol != LABELLED:
            bars += folder_bars(part)
    planted = [trial for trial in trials if trial.protocol == PLANTED]
    if planted:
        parts += _planted_section(planted)
        bars += planted_bars(planted)
    for dataset, results in false_alarms.items():
        parts += [f"## False alarms on fresh normal loops: {dataset}\n", false_alarm_table(results)]
        bars += false_alarm_bars(results)
    parts += [*_warning_section(trials), *_bar_section(bars)]
    parts += [f"![{caption}]({name})\n\n{caption}\n" for name, caption in figures]
    return "\n".join(parts)


def _protocol_section(title: str, trials: Sequence[Trial]) -> list[str]:
    summaries = summarise(trials)
    names = [summary.detector for summary in summaries]
    reference = RESIDUAL if RESIDUAL in names else names[0]
    parts = [f"## {title}\n", summary_table(summaries)]
    if len(names) > 1:
        parts += ["### Paired comparison\n", comparison_table(reference, compare_with(trials, reference))]
    return parts


def _planted_section(trials: Sequence[Trial]) -> list[str]:
    datasets = list(dict.fromkeys(trial.dataset for trial in trials))
    table = by_magnitude(trials)
    ranked = [summary.detector for summary in summarise(trials)]
    rows = [[name, *(interval(table[magnitude][name]) for magnitude in MAGNITUDES)] for name in ranked]
    shown = RESIDUAL if RESIDUAL in ranked else ranked[0]
    faults = by_fault(trials, shown)
    parts = _protocol_section(f"{PLANTED} ({', '.join(datasets)})", trials)
    parts += ["### AUROC by magnitude\n", markdown_table(["detector", *MAGNITUDES], rows)]
    parts += [
        f"### AUROC of {shown} by fault\n",
        markdown_table(
            ["fault", *MAGNITUDES],
            [[fault, *(number(row[magnitude]) for magnitude in MAGNITUDES)] for fault, row in faults.items()],
        ),
    ]
    return parts


def _warning_section(trials: Sequence[Trial]) -> list[str]:
    """Say how many fits warned: a network that learnt nothing must not hide in a mean."""
    detector_of = {trial.fit: trial.detector for trial in trials}
    n_fits = Counter(detector_of.values())
    n_warned = Counter(detector for fit, detector in detector_of.items() if fit.warnings)
    example = {detector: fit.warnings[0] for fit, detector in detector_of.items() if fit.warnings}
    if not n_warned:
        return []
    rows = [[name, f"{n} of {n_fits[name]}", " ".join(example[name].split())] for name, n in n_warned.items()]
    return ["## Fits that warned\n", markdown_table(["detector", "fits", "last warning"], rows)]


def _bar_section(bars: Sequence[Bar]) -> list[str]:
    if not bars:
        return []
    rows = [
        [
            bar.name,
            number(bar.measured),
            f"{'at most' if bar.is_ceiling else 'at least'} {number(bar.asked)}",
            "yes" if bar.is_reached else "no",
        ]
        for bar in bars
    ]
    return ["## Bars\n", markdown_table(["bar", "measured", "asked", "reached"], rows)]
