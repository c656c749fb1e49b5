"""The results of `pretraining.evaluate` as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loopsphere.evaluate.tables import markdown_table

_MAIN = ("bass", "guitar", "drums", "synth", "keys")


def _cell(interval: dict[str, Any]) -> str:
    if "low" not in interval:
        return f"{interval['mean']:.3f}"
    return f"{interval['mean']:.3f} ± {interval['high'] - interval['mean']:.3f}"


def _range(counts: list[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)}–{max(counts)}"


def auroc_lines(table: dict[str, Any], means: dict[str, Iterable[str]]) -> str:
    """Return the table of `pretraining.evaluate.auroc_table`, and below it a row for each of the means."""
    columns = list(next(iter(table.values()))["auroc"])
    rows = [
        [
            name,
            str(row["n_divisions"]),
            f"{_range(row['n_train'])} / {_range(row['n_normal'])} / {row['n_odd']}",
            *(_cell(row["auroc"][column]) for column in columns),
        ]
        for name, row in table.items()
    ]
    for title, names in means.items():
        present = [table[name]["auroc"] for name in names if name in table]
        mean = (sum(row[column]["mean"] for row in present) / len(present) for column in columns)
        rows.append([title, "", "", *(f"**{value:.3f}**" for value in mean)])
    return markdown_table(["normal", "divisions", "train / normal / odd", *columns], rows)


def _neighbour_lines(table: dict[str, Any]) -> str:
    parts = ("rendered across sources", "real, neighbours rendered")
    rows = [
        [column]
        + [f"{table[part][column][key]:.3f}" for part in parts for key in ("accuracy", "mean_over_families")]
        for column in table[parts[0]]
    ]
    header = [f"{part}{suffix}" for part in parts for suffix in ("", ", mean over families")]
    return markdown_table(["features", *header], rows)


def _stability_lines(table: dict[str, Any], percentile: str) -> str:
    rows = [
        [name, *(f"{cells[column][key]:.4f}" for column in cells for key in ("median", percentile))]
        for name, cells in table.items()
    ]
    edge = {"p5": "5th percentile", "p95": "95th percentile"}[percentile]
    columns = [f"{column}, {kind}" for column in next(iter(table.values())) for kind in ("median", edge)]
    return markdown_table(["loop", *columns], rows)


def as_markdown(results: dict[str, Any]) -> str:
    """Return the report.

    Parameters
    ----------
    results : dict
        As `pretraining.evaluate.evaluate` returns it.
    """
    neighbours, stability = results["neighbours"], results["stability"]
    return f"""# Evaluation of the encoder `{results["encoder"]["name"]}` ({results["encoder"]["hash"][:12]})

One-class AUROC of 5-NN on standardised features; the normal loops of training and test share no source. Cells
are means over the divisions of the sources, with Student's 95 % half-width where there are several; the
divisions overlap, so the half-widths are too narrow for a claim about new sources. 'random weights' is the
mean of several seeds of the same network, its input normalised by the rendered loops' band statistics.
Hand-made features and PyOD see the loops at the level that the encoder's front end brings them to.

## Real loops ({results["n_real"]}), one class against all the rest

Not testable on their own here, for all their loops come from one source: {
        ", ".join(results["not_testable_on_real"]) or "none"
    }.

{auroc_lines(results["real"], {"mean of the classes": _MAIN})}
## Rendered loops of instruments and sources that training never heard ({results["n_rendered"]})

{auroc_lines(results["rendered"], {"mean of the five main": _MAIN, "mean of all": results["rendered"]})}
## Learnt on rendered loops, tested on real ones

{auroc_lines(results["learnt on rendered, tested on real"], {"mean": _MAIN})}
## Family of the nearest neighbour from another source

{neighbours["n_rendered"]} rendered loops of {neighbours["n_families"]} families; {
        neighbours["n_real"]
    } real loops of five families with rendered neighbours of any.

{_neighbour_lines(neighbours)}
## Stability: cosine to the embedding of the unchanged loop ({stability["n_loops"]} real loops)

{_stability_lines(stability["changes"], "p5")}
For contrast, what should lower it (rendered on a soundfont that training never heard):

{_stability_lines(stability["contrasts"], "p95")}"""
