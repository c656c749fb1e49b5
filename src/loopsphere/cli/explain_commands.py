"""The command `explain`: all that is known of one loop, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from loopsphere.cli import destinations, options
from loopsphere.cli.console import console, emit_json, is_stdout, plain, progress_bar, reports_errors
from loopsphere.cli.libraries import chosen_library
from loopsphere.wording import shown_p

if TYPE_CHECKING:
    from rich.table import Table

    from loopsphere.types import LoopExplanation


@reports_errors
def explain(
    loop: Annotated[str, typer.Argument(metavar="LOOP", help="The audio file.")],
    against: Annotated[
        str, typer.Argument(metavar="DIR_OR_MODEL", help="A folder of loops, or what `loopsphere fit` wrote.")
    ],
    encoder: Annotated[
        str | None, typer.Option(help="The bundled one, or the model's own, if not given.")
    ] = None,
    detector: options.Detector = options.SCAN_DETECTOR,
    alpha: options.ModelAlpha = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = options.PRECISION,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
) -> None:
    """Tell all of one loop: how odd, why, like what, what is usual."""
    from loopsphere.verbs.explain_loop import explain_loop

    destinations.check_places(files=(json,))
    report = console(stderr=is_stdout(json))
    known = chosen_library([against], library, none=no_library, report=report)
    with progress_bar() as progress:
        found = explain_loop(
            loop,
            against,
            encoder=encoder,
            detector=detector,
            alpha=alpha,
            seed=seed,
            device=device,
            precision=precision,
            library=known,
            progress=progress,
        )
    for line in story(found):
        report.print(plain(line))
    report.print(attributes_table(found))
    emit_json(json, found.to_dict())


def story(found: LoopExplanation) -> list[str]:
    """Return how odd a loop is, why, and which loops are like it, line by line."""
    verdict = "odd" if found.score.is_odd else "not odd"
    lines = [
        f"{found.score.path}",
        f"{verdict} at a false-alarm rate of {100 * found.alpha:g} % "
        f"(p {shown_p(found.score.p_value)}; {found.detector} on {found.encoder})",
    ]
    reasons = found.explanation.reasons
    others = [fault for fault in found.explanation.faults if fault not in reasons]
    lines += [f"  {reason.kind}: {reason.text}" for reason in [*reasons, *others]]
    if not reasons:
        lines.append("  no fault was found")
    if found.explanation.neighbours:
        lines.append("nearest normal loops (cosine distance)")
        lines += [
            f"  {neighbour.distance:.3f}  {neighbour.path}" for neighbour in found.explanation.neighbours
        ]
    return [*lines, *(f"Note: {note}." for note in found.notes)]


def attributes_table(found: LoopExplanation) -> Table:
    """Return each attribute with its value, its source if it has one, and what is usual."""
    from rich.table import Table

    from loopsphere.explain import ATTRIBUTES

    record, usual = found.explanation.attributes, found.normal.usual if found.normal else {}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("attribute", "value", "usually"):
        table.add_column(name)
    table.add_row("sounds like", str(record.get("sound") or "nothing clear"), "")
    table.add_row("key", _sourced(str(record.get("key") or "none"), record.get("key_source")), "")
    for name, spec in ATTRIBUTES.items():
        value = record.get(name)
        if not isinstance(value, int | float):
            continue
        source = record.get("tempo_source") if name == "tempo_bpm" else None
        low_high = usual.get(name)
        between = spec.between(*low_high, value) if low_high is not None else ""
        table.add_row(spec.label, _sourced(spec.shown(value), source), between)
    return table


def _sourced(text: str, source: object) -> str:
    return f"{text} (by {source})" if source else text
