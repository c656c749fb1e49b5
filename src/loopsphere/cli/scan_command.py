"""The command `scan`: a collection's own loops, the oddest first, and every way out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loopsphere.cli import destinations, options
from loopsphere.cli.console import (
    console,
    emit_json,
    exit_if_skipped,
    is_stdout,
    progress_bar,
    reports_errors,
)
from loopsphere.cli.libraries import chosen_library, print_usage


@reports_errors
def scan(
    sources: options.Sources,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write results.csv, results.json and report/index.html there, a page to hear.",
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Whether --out gets the page; without, it is faster.")
    ] = True,
    playlist: destinations.Playlist = None,
    labels: destinations.Labels = None,
    copy_to: destinations.CopyTo = None,
    link_to: destinations.LinkTo = None,
    odd: options.Odd = None,
    normal: options.Normal = None,
    encoder: options.Encoder = options.ENCODER,
    detector: options.Detector = options.SCAN_DETECTOR,
    alpha: options.Alpha = options.ALPHA,
    seed: options.Seed = 0,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Say why a loop is odd; without, it is faster.")
    ] = True,
    device: options.Device = "auto",
    precision: options.Precision = options.PRECISION,
    top: options.Top = 20,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Rank a collection's own loops, the oddest first; say why."""
    from loopsphere.cli.tables import print_result
    from loopsphere.learning import from_embeddings as pipeline
    from loopsphere.verbs.scan import scan as find_odd

    destinations.check_places(folders=(out, labels, copy_to, link_to), files=(playlist, json))
    # Before the folder gets a library.
    pipeline.chosen_detector(detector, alpha, odd or (), normal or ())
    terminal = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=terminal, make=True)
    with progress_bar() as progress:
        found = find_odd(
            sources,
            odd=odd or (),
            normal=normal or (),
            encoder=encoder,
            detector=detector,
            alpha=alpha,
            seed=seed,
            explain=explain,
            device=device,
            precision=precision,
            library=known,
            progress=progress,
        )
    print_result(terminal, found, top)
    print_usage(terminal, known)
    if out is not None:
        for path in found.write_tables(out):
            destinations.print_written(terminal, str(path))
    emit_json(json, found.to_dict())
    extras = destinations.Extras(terminal)
    extras.write_odd(found, playlist=playlist, copy_to=copy_to, link_to=link_to)
    with progress_bar() as progress:
        if labels is not None:
            with extras.attempt():
                tracks = found.write_labels(labels, progress=progress)
                extras.wrote_folder(labels, tracks, "label track", "label tracks")
        if out is not None and report:
            with extras.attempt():
                extras.wrote_file(found.write_report(out / "report", progress=progress))
    extras.exit_if_failed()
    exit_if_skipped(strict, len(found.skipped))
