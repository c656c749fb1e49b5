"""The figures of the benchmark, as PNG files on white, in colours that the colour-blind can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopsphere.errors import MissingExtraError
from loopsphere.evaluate.planted import by_magnitude
from loopsphere.evaluate.protocols import Trial
from loopsphere.evaluate.summary import summarise
from loopsphere.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

# Okabe and Ito's palette: blue, bluish green, vermilion, orange, reddish purple, sky blue.
_BLUE, _GREEN, _RED, _ORANGE, _PURPLE, _SKY = "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9"
_KINDS = {"learnt": _BLUE, "held out": _GREEN, "odd": _RED}
_MARKERS = {"learnt": "o", "held out": "s", "odd": "^"}
_DPI = 150
_N_COLUMNS = 3


def check_can_draw() -> None:
    """Refuse to draw without Matplotlib; before hours of work, not after.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib is needed for figures: pip install 'loopsphere[plots]'")


def box_plots(path: Path, trials: Sequence[Trial]) -> list[str]:
    """Draw the scores of learnt, held-out and odd loops in units of the threshold, on a log axis.

    Parameters
    ----------
    path : Path
        PNG file to write, unless all detectors are left out.
    trials : sequence of Trial
        Of one protocol; those of its first seed are pooled over tasks.

    Returns
    -------
    list of str
        Detectors left out because their scores are not all above zero and so have no logarithm.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    """
    scores = {name: _relative_scores(trials, name) for name in _detectors(trials)}
    shown = [name for name, kinds in scores.items() if all(values.min() > 0 for values in kinds.values())]
    left_out = [name for name in scores if name not in shown]
    if not shown:
        return left_out
    figure, axes = _panels(1, 1, width=8.0, height=0.8 + 0.5 * len(shown))
    axis = axes[0]
    for offset, (kind, color) in zip((-0.25, 0.0, 0.25), _KINDS.items(), strict=True):
        boxes = axis.boxplot(
            [scores[name][kind] for name in shown],
            positions=np.arange(len(shown)) + offset,
            orientation="horizontal",
            widths=0.2,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black"},
            boxprops={"facecolor": color, "alpha": 0.7},
        )
        boxes["boxes"][0].set_label(kind)
    axis.axvline(1.0, color="black", linestyle="--", linewidth=1, label="threshold")
    axis.set_xscale("log")
    axis.set_yticks(np.arange(len(shown)), shown)
    axis.invert_yaxis()
    axis.set_xlabel("anomaly score / threshold (95 % quantile of learnt loops); whiskers 5 to 95 %")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    _save(figure, path)
    return left_out


def histograms(path: Path, trials: Sequence[Trial]) -> None:
    """Draw, a panel per detector, how scores spread for learnt, held-out and odd loops.

    Parameters
    ----------
    path : Path
        PNG file to write.
    trials : sequence of Trial
        Of one protocol; the first trial of each detector is drawn, so one threshold applies.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    """
    first = {name: next(trial for trial in trials if trial.detector == name) for name in _detectors(trials)}
    n_rows = -(-len(first) // _N_COLUMNS)
    figure, axes = _panels(n_rows, _N_COLUMNS, width=9.0, height=0.9 + 2.1 * n_rows)
    for axis, (name, trial) in zip(axes, first.items(), strict=False):
        kinds = dict(zip(_KINDS, (trial.train_scores, trial.normal_scores, trial.odd_scores), strict=True))
        pooled = np.concatenate(list(kinds.values()))
        is_log = _suits_log_axis(pooled)
        edges = _bin_edges(pooled, is_log=is_log)
        for kind, values in kinds.items():
            share = np.full(values.size, 1 / values.size)
            axis.hist(values, edges, weights=share, color=_KINDS[kind], alpha=0.25)
            axis.hist(values, edges, weights=share, color=_KINDS[kind], histtype="step", label=kind)
        axis.axvline(trial.threshold, color="black", linestyle="--", linewidth=1, label="threshold")
        if is_log:
            axis.set_xscale("log")
            axis.tick_params(axis="x", which="minor", labelbottom=False)
        axis.set_title(name, fontsize="medium")
    for axis in axes[len(first) :]:
        axis.set_visible(False)
    figure.supxlabel("anomaly score, in the detector's own unit", fontsize="medium")
    figure.supylabel("share of loops", fontsize="medium")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    _save(figure, path)


def auroc_by_magnitude(path: Path, trials: Sequence[Trial]) -> None:
    """Draw the AUROC of each detector at each magnitude of the planted faults.

    Parameters
    ----------
    path : Path
        PNG file to write.
    trials : sequence of Trial
        Of the planted protocol. Faults are averaged; the bars are 95 % intervals over seeds.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    """
    table = by_magnitude(trials)
    ranked = [summary.detector for summary in summarise(trials)]
    figure, axes = _panels(1, 1, width=7.5, height=1.2 + 0.32 * len(ranked))
    axis = axes[0]
    styles = zip((_SKY, _ORANGE, _PURPLE), ("o", "s", "^"), (-0.2, 0.0, 0.2), strict=True)
    for (magnitude, row), (color, marker, offset) in zip(table.items(), styles, strict=True):
        intervals = [row[name] for name in ranked]
        axis.errorbar(
            [value.mean for value in intervals],
            np.arange(len(ranked)) + offset,
            xerr=[np.nan_to_num(value.high - value.mean) for value in intervals],
            color=color,
            marker=marker,
            markeredgecolor="black",
            linestyle="none",
            capsize=2,
            label=magnitude,
        )
    axis.set_yticks(np.arange(len(ranked)), ranked)
    axis.invert_yaxis()
    axis.grid(axis="x", color="#DDDDDD")
    axis.set_axisbelow(True)
    axis.set_xlabel("AUROC, mean over faults; bars: 95 % interval over seeds")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, title="magnitude of the fault")
    _save(figure, path)


def latent_space(path: Path, spaces: Mapping[str, Mapping[str, FloatArray]]) -> None:
    """Draw spaces side by side, each projected on its two leading principal components.

    Parameters
    ----------
    path : Path
        PNG file to write.
    spaces : mapping of str to mapping of str to float ndarray of shape (n_loops, n_dimensions)
        ``spaces[title][kind]`` with the kinds ``learnt``, ``held out`` and ``odd``. The components are
        those of all loops of a space.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    """
    figure, axes = _panels(1, len(spaces), width=1.0 + 4.0 * len(spaces), height=4.3)
    for axis, (title, kinds) in zip(axes, spaces.items(), strict=True):
        pooled = np.concatenate(list(kinds.values()))
        mean = pooled.mean(axis=0)
        _, singular, components = np.linalg.svd(pooled - mean, full_matrices=False)
        share = 100 * singular**2 / np.sum(singular**2)
        for kind, rows in kinds.items():
            x, y = ((rows - mean) @ components[:2].T).T
            axis.scatter(
                x, y, s=16, c=_KINDS[kind], marker=_MARKERS[kind], alpha=0.6, linewidths=0, label=kind
            )
        axis.set_title(title, fontsize="medium")
        axis.set_xlabel(f"component 1 ({share[0]:.0f} % of the variance)")
        axis.set_ylabel(f"component 2 ({share[1]:.0f} %)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    _save(figure, path)


def training_curves(path: Path, curves: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draw, a panel per detector, its losses over the epochs of training.

    Parameters
    ----------
    path : Path
        PNG file to write.
    curves : mapping of str to mapping of str to sequence of float
        ``curves[detector][loss]``, one value per epoch.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    """
    n_columns = min(len(curves), 2)
    n_rows = -(-len(curves) // n_columns)
    figure, axes = _panels(n_rows, n_columns, width=4.2 * n_columns, height=0.5 + 2.6 * n_rows)
    for axis, (name, losses) in zip(axes, curves.items(), strict=False):
        styles = zip(losses.items(), (_BLUE, _RED, _GREEN, _ORANGE), ("-", "--", "-.", ":"), strict=False)
        for (loss, values), color, line in styles:
            axis.plot(np.arange(1, len(values) + 1), values, color=color, linestyle=line, label=loss)
        axis.set_title(name, fontsize="medium")
        axis.set_xlabel("epoch")
        axis.set_ylabel("loss")
        if _suits_log_axis(np.concatenate([np.asarray(values) for values in losses.values()])):
            axis.set_yscale("log")
        axis.legend(frameon=False)
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    _save(figure, path)


def _panels(n_rows: int, n_columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure without pyplot's global state, and its axes row by row; sizes in inches."""
    check_can_draw()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes: Any = figure.subplots(n_rows, n_columns, squeeze=False)
    return figure, list(axes.reshape(-1))


def _save(figure: Figure, path: Path) -> None:
    # Without the version of matplotlib in the file, equal figures are equal bytes wherever they are drawn.
    with whole_file(path) as file:
        figure.savefig(file, dpi=_DPI, format="png", metadata={"Software": None})


def _detectors(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(trial.detector for trial in trials))


def _relative_scores(trials: Sequence[Trial], detector: str) -> dict[str, FloatArray]:
    """Return the scores of one detector over its thresholds, by kind of loop, for the first seed."""
    chosen = [trial for trial in trials if trial.detector == detector and trial.seed == trials[0].seed]
    if any(trial.threshold <= 0 for trial in chosen):
        return {kind: np.zeros(1) for kind in _KINDS}
    parts = ("train_scores", "normal_scores", "odd_scores")
    return {
        kind: np.concatenate([getattr(trial, part) / trial.threshold for trial in chosen])
        for kind, part in zip(_KINDS, parts, strict=True)
    }


def _suits_log_axis(values: FloatArray) -> bool:
    """Say whether values are positive and span enough for a power of ten to be marked."""
    return bool(values.min() > 0 and values.max() > 20 * values.min())


def _bin_edges(values: FloatArray, *, is_log: bool) -> list[float]:
    low, high = float(values.min()), float(values.max())
    if is_log:
        return [float(edge) for edge in np.geomspace(low, high, 31)]
    margin = 0.5 if high == low else 0.0
    return [float(edge) for edge in np.linspace(low - margin, high + margin, 31)]
