"""The command `scan`: a collection's own loops, the oddest first, and every way out."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopsphere.cli import options, ways_out
from loopsphere.cli.console import (
    console,
    emit_json,
    exit_if_skipped,
    is_stdout,
    progress_bar,
    reports_errors,
)
from loopsphere.cli.libraries import chosen_library, print_usage

if TYPE_CHECKING:
    from loopsphere.embedding import Progress
    from loopsphere.library import Library
    from loopsphere.locating import LoadEncoder
    from loopsphere.types import EmbedResult, ScoreResult


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
    playlist: ways_out.Playlist = None,
    labels: ways_out.Labels = None,
    copy_to: ways_out.CopyTo = None,
    link_to: ways_out.LinkTo = None,
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
    from loopsphere import naming, pipeline
    from loopsphere.cli.tables import print_result
    from loopsphere.embedding import cached_encoder
    from loopsphere.outputs import write_results

    ways_out.check_places(folders=(out, labels, copy_to, link_to), files=(playlist, json))
    pipeline.check_arguments(detector, alpha)
    chosen = naming.detector_for(detector, odd or (), normal or ())
    terminal = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=terminal, make=True)
    started = time.monotonic()
    with progress_bar() as progress:
        embedded, named = naming.embed_named(
            sources,
            odd or (),
            normal or (),
            encoder=encoder,
            device=device,
            precision=precision,
            library=known,
            progress=progress,
        )
        result = pipeline.scan_embeddings(
            embedded,
            named=named,
            detector=chosen,
            alpha=alpha,
            seed=seed,
            explain=explain,
            device=device,
            library=known,
            progress=progress,
        )
    took_s = time.monotonic() - started
    print_result(terminal, result, top)
    print_usage(terminal, known)
    if out is not None:
        for path in write_results(out, result):
            ways_out.print_written(terminal, str(path))
    emit_json(json, result.to_dict())
    extras = ways_out.Extras(terminal)
    extras.write_odd(result, playlist=playlist, copy_to=copy_to, link_to=link_to)
    page = out / "report" if out is not None and report else None
    if labels is not None or page is not None:
        with progress_bar() as progress:
            _write_moments(
                extras,
                result,
                embedded,
                partial(cached_encoder, encoder, device, precision),
                page=page,
                labels=labels,
                library=known,
                seconds=took_s,
                seed=seed,
                progress=progress,
            )
    extras.exit_if_failed()
    exit_if_skipped(strict, len(result.skipped))


def _write_moments(
    extras: ways_out.Extras,
    result: ScoreResult,
    embedded: EmbedResult,
    encoder: LoadEncoder,
    *,
    page: Path | None,
    labels: Path | None,
    library: Library | None,
    seconds: float,
    seed: int,
    progress: Progress,
) -> None:
    """Write what shows where loops are odd: the label tracks and the page, if they are asked for."""
    from loopsphere.exports import write_labels
    from loopsphere.locating import locate_odd, ranges_of
    from loopsphere.reporting import write_report

    located = locate_odd(result, embedded, encoder, seed=seed, library=library, progress=progress)
    if labels is not None:
        with extras.attempt():
            tracks = write_labels(labels, ranges_of(result, located))
            extras.wrote_folder(labels, tracks, "label track", "label tracks")
    if page is not None:
        with extras.attempt():
            index = write_report(
                page,
                result,
                embedded,
                encoder,
                located=located,
                library=library,
                seconds=seconds,
                seed=seed,
                progress=progress,
            )
            extras.wrote_file(index)
