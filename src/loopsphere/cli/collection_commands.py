"""The commands about a collection's loops among themselves: `duplicates` and `similar`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loopsphere.cli import destinations, options
from loopsphere.cli.console import console, emit_json, is_stdout, progress_bar, reports_errors
from loopsphere.cli.libraries import chosen_library, print_usage, searched_library
from loopsphere.wording import counted


@reports_errors
def duplicates(
    sources: options.Sources,
    related: Annotated[
        bool,
        typer.Option(
            "--related/--no-related",
            help="Also look for loops that are another moved in time or pitch.",
        ),
    ] = True,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    top: Annotated[int, typer.Option(min=0, help="How many lines to print.")] = 50,
    json: options.Json = None,
) -> None:
    """List copies in any format, near-duplicates and loops moved."""
    from loopsphere.cli.tables import print_duplicates, print_skipped
    from loopsphere.verbs.duplicates import duplicates as find_duplicates

    destinations.check_places(files=(json,))
    report = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=report, make=True)
    with progress_bar() as progress:
        found = find_duplicates(sources, related=related, library=known, progress=progress)
    print_duplicates(report, found, top)
    print_usage(report, known)
    print_skipped(report, found.skipped)
    emit_json(json, found.to_dict())


@reports_errors
def similar(
    loop: Annotated[Path, typer.Argument(metavar="LOOP", help="The loop to compare with.")],
    within: Annotated[
        Path | None,
        typer.Option("--in", metavar="FOLDER", help="Search this folder; what is new is heard."),
    ] = None,
    library: Annotated[
        str | None, typer.Option("--library", metavar="FOLDER", help="Search what this library remembers.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many loops to list.")] = 10,
    bpm: Annotated[str | None, typer.Option(metavar="FROM-TO", help="Only loops of this tempo.")] = None,
    key: Annotated[str | None, typer.Option(help="Only loops in this key, such as Am.")] = None,
    encoder: options.Encoder = options.ENCODER,
    device: options.Device = "auto",
    precision: options.Precision = options.PRECISION,
    json: options.Json = None,
) -> None:
    """List the loops that sound most like one loop."""
    from loopsphere.cli.tables import similar_table, terminal_width
    from loopsphere.verbs.similar import similar as find_similar
    from loopsphere.verbs.similar import wish_from

    destinations.check_places(files=(json,))
    wish_from(bpm, key)  # before the folder gets a library
    report = console(stderr=is_stdout(json))
    known = searched_library(loop, within, library, report)
    with progress_bar() as progress:
        found = find_similar(
            loop,
            within,
            bpm=bpm,
            key=key,
            n_loops=top,
            encoder=encoder,
            device=device,
            precision=precision,
            library=known,
            progress=progress,
        )
    if found.loops:
        report.print(similar_table(found, width=terminal_width(report)))
    else:
        report.print(
            f"none of {counted(found.n_searched, 'loop', 'loops')} is of the tempo and key asked for"
        )
    emit_json(json, found.to_dict())
