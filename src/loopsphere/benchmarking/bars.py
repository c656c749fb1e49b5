"""What the project asks of itself, against what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loopsphere.benchmarking.roster import UNTRAINED
from loopsphere.detect.registry import SCAN_DETECTOR, WITH_ATTRIBUTES
from loopsphere.evaluate.false_alarms import FalseAlarms
from loopsphere.evaluate.intervals import Interval
from loopsphere.evaluate.planted import by_magnitude
from loopsphere.evaluate.protocols import ONE_NORMAL_FOLDER, ONE_ODD_FOLDER, Trial
from loopsphere.evaluate.summary import summarise

RESIDUAL, AUTOENCODER = "deep-svdd", "deep-svdd-autoencoder"
BASELINES = ("isolation-forest", "pca")
FOLDER_GOALS = {ONE_NORMAL_FOLDER: 0.970, ONE_ODD_FOLDER: 0.75}
PLANTED_GOALS = {"medium": 0.90, "large": 0.98}
FALSE_ALARM_ALPHA, FALSE_ALARM_TOLERANCE, FALSE_ALARM_LOOPS = 0.05, 0.01, 200


@dataclass(frozen=True)
class Bar:
    """One demand: `measured` is to be at least `asked`, or at most with `is_ceiling`."""

    name: str
    measured: float
    asked: float
    is_ceiling: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether it is, without rounding in its favour."""
        return self.measured <= self.asked if self.is_ceiling else self.measured >= self.asked


def folder_bars(trials: Sequence[Trial]) -> Iterator[Bar]:
    """Yield what is asked of Deep SVDD in one folder protocol on one data set."""
    auroc = {summary.detector: summary.metrics["auroc"].mean for summary in summarise(trials)}
    if RESIDUAL not in auroc:
        return
    where = f"{trials[0].dataset}, {trials[0].protocol}"
    for other in BASELINES:
        if other in auroc:
            yield Bar(f"{where}: {RESIDUAL} against {other}", auroc[RESIDUAL], auroc[other])
    yield Bar(f"{where}: {RESIDUAL} against its goal", auroc[RESIDUAL], FOLDER_GOALS[trials[0].protocol])


def planted_bars(trials: Sequence[Trial]) -> Iterator[Bar]:
    """Yield what is asked of Deep SVDD on planted faults."""
    for magnitude, row in by_magnitude(trials).items():
        yield from _magnitude_bars(magnitude, row)
        yield from _default_bars(magnitude, row)


def false_alarm_bars(results: Sequence[FalseAlarms]) -> Iterator[Bar]:
    """Yield what is asked of cross-conformal calibration: how far the false alarms are from alpha."""
    for result in results:
        is_judged = result.alpha == FALSE_ALARM_ALPHA and result.n_learnt >= FALSE_ALARM_LOOPS
        if is_judged and result.calibrator.endswith("cross-conformal"):
            yield Bar(
                f"{result.calibrator}, {result.n_learnt} loops: distance from 5 % false alarms",
                abs(result.per_loop.mean - FALSE_ALARM_ALPHA),
                FALSE_ALARM_TOLERANCE,
                is_ceiling=True,
            )


def _magnitude_bars(magnitude: str, row: Mapping[str, Interval]) -> Iterator[Bar]:
    if RESIDUAL not in row:
        return
    residual = row[RESIDUAL].mean
    for other in (AUTOENCODER, RESIDUAL + UNTRAINED, *BASELINES):
        if other in row:
            yield Bar(f"planted, {magnitude}: {RESIDUAL} against {other}", residual, row[other].mean)
    if {AUTOENCODER, AUTOENCODER + UNTRAINED} <= set(row):
        yield Bar(
            f"planted, {magnitude}: {AUTOENCODER} against itself untrained",
            row[AUTOENCODER].mean,
            row[AUTOENCODER + UNTRAINED].mean,
        )
    if magnitude in PLANTED_GOALS:
        yield Bar(f"planted, {magnitude}: {RESIDUAL} against its goal", residual, PLANTED_GOALS[magnitude])


def _default_bars(magnitude: str, row: Mapping[str, Interval]) -> Iterator[Bar]:
    """Yield what is asked of the default of `scan`, against others that use attributes too."""
    if SCAN_DETECTOR not in row:
        return
    measured = row[SCAN_DETECTOR].mean
    for other in (RESIDUAL, *(name + WITH_ATTRIBUTES for name in (AUTOENCODER, *BASELINES))):
        if other in row:
            yield Bar(f"planted, {magnitude}: {SCAN_DETECTOR} against {other}", measured, row[other].mean)
    if magnitude in PLANTED_GOALS:
        goal = PLANTED_GOALS[magnitude]
        yield Bar(f"planted, {magnitude}: {SCAN_DETECTOR} against its goal", measured, goal)
