"""The commands that compare answers with the truth: `demo` and `benchmark`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from loopsphere.cli import destinations, options
from loopsphere.cli.console import console, emit_json, is_stdout, plain, progress_bar, reports_errors
from loopsphere.wording import is_or_are


@reports_errors
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Gets the loops and the results.")] = Path(
        "demo"
    ),
    n_loops: Annotated[int, typer.Option(min=60, help="How many loops to render.")] = 300,
    alpha: options.Alpha = options.ALPHA,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    top: options.Top = 24,
    json: options.Json = None,
) -> None:
    """Render loops, plant odd ones, scan, and count the catch."""
    from loopsphere.cli.tables import oddest_table, terminal_width
    from loopsphere.verbs.demo import run_demo

    destinations.check_places(folders=(out,), files=(json,))
    with progress_bar() as progress:
        found = run_demo(out, n_loops=n_loops, alpha=alpha, seed=seed, device=device, progress=progress)
    report = console(stderr=is_stdout(json))
    planted = {
        path: f"{label.fault}, {label.magnitude}" for path, label in found.labels.items() if label.is_odd
    }
    report.print(
        oddest_table(found.result, top, planted, str(found.loops_folder), width=terminal_width(report))
    )
    report.print(
        f"\ncaught {found.n_caught} of {found.n_planted} planted odd loops at a false-alarm rate of "
        f"{found.n_false_alarms}/{found.n_normal} = {100 * found.n_false_alarms / found.n_normal:.1f} % "
        f"(alpha {100 * alpha:g} %); {found.n_on_top} of the oddest {found.n_planted} "
        f"{is_or_are(found.n_on_top)} planted"
    )
    page = found.results_folder / "report" / "index.html"
    report.print(plain(f"loops in {found.loops_folder}, results in {found.results_folder}; open {page}"))
    emit_json(json, found.result.to_dict())


@reports_errors
def benchmark(
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="DIR", help="Loops of your own to plant faults in.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Gets RESULTS.md, tables and figures.")] = Path(
        "benchmark"
    ),
    embeddings: Annotated[
        Path | None, typer.Option(help="An .npz whose folders take turns to be normal and odd.")
    ] = None,
    group: Annotated[str, typer.Option(help="The array of --embeddings that names the folders.")] = "folder",
    array: Annotated[
        str | None, typer.Option(help="The array of --embeddings to use, if it has several.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A CSV with path, is_odd (0 or 1), perhaps group and fault.")
    ] = None,
    planted: Annotated[
        bool,
        typer.Option("--planted", help="Plant faults in synthesised loops, beside what else is asked for."),
    ] = False,
    detectors: Annotated[
        list[str] | None, typer.Option("--detector", help="Compare only this one; may be repeated.")
    ] = None,
    encoder: options.Encoder = options.ENCODER,
    seeds: Annotated[int, typer.Option(min=1, help="Splits and detectors drawn anew.")] = 5,
    splits: Annotated[
        int, typer.Option(min=0, help="Splits of the false-alarm test; 0 leaves it out.")
    ] = 100,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep embeddings of synthesised loops there for the next run."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Compare detectors on planted faults, labelled loops, folders."""
    from loopsphere.benchmarking import BenchmarkRequest, run_benchmark
    from loopsphere.cli.tables import print_skipped

    destinations.check_places(folders=(out, cache))
    request = BenchmarkRequest(
        dirs=sources or (),
        embeddings=embeddings,
        group=group,
        array=array,
        labels=labels,
        planted=planted,
        encoder=encoder,
        device=device,
        n_seeds=seeds,
        cache=cache,
    )
    with progress_bar() as progress:
        found = run_benchmark(
            request,
            out,
            command=shlex.join(["loopsphere", *sys.argv[1:]]),
            detectors=detectors,
            n_splits=splits,
            progress=progress,
        )
    report = console()
    report.print(plain(f"compared on {len(found.trials)} trials; wrote {found.results}"))
    print_skipped(report, found.skipped)
