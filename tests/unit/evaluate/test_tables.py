import csv

import numpy as np
import pytest

from loopsphere.evaluate.false_alarms import FalseAlarms
from loopsphere.evaluate.figures import (
    auroc_by_magnitude,
    box_plots,
    histograms,
    latent_space,
    training_curves,
)
from loopsphere.evaluate.intervals import Interval
from loopsphere.evaluate.metrics import ranking_metrics, separation_metrics
from loopsphere.evaluate.planted import MAGNITUDES
from loopsphere.evaluate.protocols import PLANTED, Fit, Trial
from loopsphere.evaluate.summary import METRICS, by_task, compare_with, summarise
from loopsphere.evaluate.tables import (
    comparison_table,
    false_alarm_table,
    markdown_table,
    summary_table,
    task_table,
    write_csv,
    write_trials,
)


def make_trial(detector, name, seed, shift, offset=0.0):
    rng = np.random.default_rng([seed, len(name)])
    train, normal = rng.gamma(3, 1, 40) + offset, rng.gamma(3, 1, 20) + offset
    odd = rng.gamma(3, 1, 15) + offset + shift
    threshold = float(np.quantile(train, 0.95))
    is_odd, scores = np.repeat([0, 1], [20, 15]), np.r_[normal, odd]
    metrics = ranking_metrics(is_odd, scores) | separation_metrics(is_odd, scores, threshold=threshold)
    return Trial(
        "made up", PLANTED, name, detector, seed, metrics, train, normal, odd, threshold, Fit(0.1, ())
    )


@pytest.fixture(scope="module")
def trials():
    return [
        make_trial(detector, f"{fault}, {magnitude}", seed, strength * (level + 1), offset)
        for seed in (0, 1, 2)
        for detector, strength, offset in (("weak", 0.2, 0.0), ("strong", 3.0, 0.0), ("negative", 1.0, -50.0))
        for fault in ("noise", "hum")
        for level, magnitude in enumerate(MAGNITUDES)
    ]


def test_csv_keeps_every_digit(tmp_path, trials):
    write_trials(tmp_path / "trials.csv", trials)
    with (tmp_path / "trials.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(trials)
    for row, trial in zip(rows, trials, strict=True):
        assert (row["detector"], row["task"], int(row["seed"])) == (trial.detector, trial.name, trial.seed)
        assert [float(row[metric]) for metric in METRICS] == pytest.approx(
            [trial.metrics[metric] for metric in METRICS], rel=0, abs=0, nan_ok=True
        )


def test_csv_quotes_what_needs_it_and_writes_numpy_floats_plainly(tmp_path):
    write_csv(tmp_path / "x.csv", ["a", "b"], [["noise, small", np.float64(0.1)], ["x", 3]])
    assert (tmp_path / "x.csv").read_bytes() == b'a,b\n"noise, small",0.1\nx,3\n'


def test_markdown_table():
    assert markdown_table(["a|b", "c"], [["x", "1"]]) == "| a\\|b | c |\n| --- | ---: |\n| x | 1 |\n"


def test_tables_show_means_intervals_and_what_is_missing(trials):
    summaries = summarise(trials)
    assert [summary.detector for summary in summaries] == ["strong", "negative", "weak"]
    lines = summary_table(summaries).splitlines()
    assert len(lines) == 5
    auroc = summaries[0].metrics["auroc"]
    assert f"| strong | {auroc.mean:.3f} [{auroc.low:.3f}, {auroc.high:.3f}] |" in lines[2]
    assert lines[3].endswith("| – | – |")  # scores below zero have no ratios
    comparison = comparison_table("strong", compare_with(trials, "strong")).splitlines()
    assert comparison[2].startswith("| strong minus weak | +0.")
    assert "6 won, 0 lost of 6" in comparison[2]
    tasks = task_table(by_task(trials), "fault").splitlines()
    assert tasks[0] == "| fault | weak | strong | negative |"
    assert len(tasks) == 2 + 6


def test_false_alarms_are_shown_in_per_cent():
    result = FalseAlarms(
        "plain", 274, 0.05, Interval(0.0512, 0.0498, 0.0526, 100), 0.02, Interval(0.04, 0, 1, 100), 0.001
    )
    assert false_alarm_table([result]).splitlines()[2] == (
        "| plain | 274 | 5 % | 5.12 % [4.98 %, 5.26 %] | 2.00 % | 4.00 % | 0.10 % |"
    )


def test_one_seed_has_a_mean_and_no_interval(trials):
    first = [trial for trial in trials if trial.seed == 0]
    cells = summary_table(summarise(first)).splitlines()[2].split(" | ")
    assert cells[1] == f"{summarise(first)[0].metrics['auroc'].mean:.3f}"


def test_every_figure_is_a_png_and_the_same_twice(tmp_path, trials):
    rng = np.random.default_rng(0)
    kinds = {
        "learnt": rng.normal(size=(30, 5)),
        "held out": rng.normal(size=(9, 5)),
        "odd": rng.normal(3, 1, (9, 5)),
    }
    drawings = {
        "box": lambda path: box_plots(path, trials),
        "histogram": lambda path: histograms(path, trials),
        "magnitude": lambda path: auroc_by_magnitude(path, trials),
        "latent": lambda path: latent_space(path, {"embedding": kinds}),
        "curves": lambda path: training_curves(
            path, {"net": {"loss": [3.0, 1.0, 0.1]}, "other": {"loss": [1, -1]}}
        ),
    }
    for name, draw in drawings.items():
        first, again = tmp_path / f"{name}.png", tmp_path / f"{name}-again.png"
        draw(first)
        draw(again)
        assert first.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert first.read_bytes() == again.read_bytes(), name


def test_box_plots_name_the_detectors_that_have_no_logarithm(tmp_path, trials):
    assert box_plots(tmp_path / "box.png", trials) == ["negative"]


def test_nothing_is_drawn_where_no_detector_has_a_logarithm(tmp_path, trials):
    path = tmp_path / "box.png"
    assert box_plots(path, [trial for trial in trials if trial.detector == "negative"]) == ["negative"]
    assert not path.exists()
