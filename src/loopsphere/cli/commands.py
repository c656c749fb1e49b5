"""The commands; each is a face over one verb of `loopsphere.pipeline`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from loopsphere.cli import collection_commands, explain_commands, options, ways_out
from loopsphere.cli.console import (
    EXIT_NOTHING_USABLE,
    console,
    emit_json,
    is_stdout,
    progress_bar,
    reports_errors,
)
from loopsphere.cli.libraries import chosen_library, print_usage

app = typer.Typer(
    name="loopsphere",
    help="Learn what is normal in a collection of musical loops; find and rank the loops that are not.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_ENCODER, _DETECTOR, _ALPHA = "bundled", "deep-svdd", 0.05


@app.command(epilog=options.examples("loopsphere scan loops/bass --out results"))
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
    encoder: options.Encoder = _ENCODER,
    detector: options.Detector = _DETECTOR,
    alpha: options.Alpha = _ALPHA,
    seed: options.Seed = 0,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Say why a loop is odd; without, it is faster.")
    ] = True,
    device: options.Device = "auto",
    top: options.Top = 20,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Rank a collection's own loops by how odd they are, without labels, and say why."""
    from loopsphere import embedding, locating, naming, pipeline, reporting
    from loopsphere.cli.tables import print_result
    from loopsphere.exports import write_labels
    from loopsphere.outputs import write_results

    terminal = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=terminal, make=True)
    pipeline.check_arguments(detector, alpha)
    written: list[str] = []
    started = time.monotonic()
    with progress_bar() as progress:
        embedded, named = naming.embed_named(
            sources,
            odd or (),
            normal or (),
            encoder=encoder,
            device=device,
            library=known,
            progress=progress,
        )
        result = pipeline.scan_embeddings(
            embedded,
            named=named,
            detector=naming.detector_for(detector, odd or (), normal or ()),
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
    with progress_bar() as progress:
        loaded, located = embedding.cached_encoder(encoder, device), None
        if labels is not None or (out is not None and report):
            located = locating.locate_odd(result, loaded, seed=seed, progress=progress)
        if out is not None:
            written += map(str, write_results(out, result))
        if out is not None and report:
            page = reporting.write_report(
                out / "report",
                result,
                embedded,
                loaded,
                located=located,
                library=known,
                seconds=took_s,
                seed=seed,
                progress=progress,
            )
            written.append(str(page))
    if labels is not None and located is not None:
        tracks = write_labels(labels, locating.ranges_of(result, located))
        written.append(f"{len(tracks)} label tracks in {labels}")
    written += ways_out.write_odd(result, playlist=playlist, copy_to=copy_to, link_to=link_to)
    if written:
        terminal.print("wrote " + ", ".join(written), markup=False)
    emit_json(json, result.to_dict())
    _finish(strict, len(result.skipped))


@app.command(epilog=options.examples("loopsphere fit loops/bass -o bass.loopsphere"))
@reports_errors
def fit(
    sources: options.Sources,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The model file to write.")],
    odd: options.Odd = None,
    normal: options.Normal = None,
    encoder: options.Encoder = _ENCODER,
    detector: options.Detector = _DETECTOR,
    alpha: options.Alpha = _ALPHA,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Learn what is normal in a collection, for scoring other loops later."""
    from loopsphere import pipeline
    from loopsphere.cli.tables import print_skipped

    report = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=report)
    with progress_bar() as progress:
        model = pipeline.fit(
            sources,
            odd=odd or (),
            normal=normal or (),
            encoder=encoder,
            detector=detector,
            alpha=alpha,
            seed=seed,
            device=device,
            library=known,
            progress=progress,
        )
    model.save(output)
    n_loops = len(model.calibration_scores)
    learnt = f"learnt {n_loops} loops ({model.detector_name} on {model.encoder})"
    report.print(f"{learnt}; wrote {output}", markup=False)
    for note in model.caveats(alpha):
        report.print(f"Note: {note}.", markup=False)
    print_usage(report, known)
    print_skipped(report, model.skipped)
    emit_json(json, model.summary())
    _finish(strict, len(model.skipped))


@app.command(epilog=options.examples("loopsphere score bass.loopsphere new/ --json scores.json"))
@reports_errors
def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="What `loopsphere fit` wrote.")],
    sources: options.Sources,
    encoder: Annotated[
        str | None, typer.Option(help="Where the model's encoder lies, if not where it was at fit.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="False-alarm rate; the model's own if not given.")
    ] = None,
    playlist: ways_out.Playlist = None,
    copy_to: ways_out.CopyTo = None,
    link_to: ways_out.LinkTo = None,
    device: options.Device = "auto",
    top: options.Top = 20,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Score new loops against a learnt collection."""
    from loopsphere import pipeline
    from loopsphere.cli.tables import print_result

    report = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=report)
    with progress_bar() as progress:
        result = pipeline.score(
            model,
            sources,
            alpha=alpha,
            encoder=encoder,
            device=device,
            library=known,
            progress=progress,
        )
    print_result(report, result, top)
    print_usage(report, known)
    written = ways_out.write_odd(result, playlist=playlist, copy_to=copy_to, link_to=link_to)
    if written:
        report.print("wrote " + ", ".join(written), markup=False)
    emit_json(json, result.to_dict())
    _finish(strict, len(result.skipped))


@app.command(epilog=options.examples("loopsphere embed loops -o loops.npz"))
@reports_errors
def embed(
    sources: options.Sources,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="An .npz or .parquet file to write.")
    ],
    encoder: options.Encoder = _ENCODER,
    device: options.Device = "auto",
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Write the embeddings of loops, to use elsewhere."""
    from loopsphere import embedding
    from loopsphere.cli.tables import print_skipped
    from loopsphere.outputs import check_embeddings_path, write_embeddings

    check_embeddings_path(output)
    report = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=report)
    with progress_bar() as progress:
        result = embedding.embed(sources, encoder=encoder, device=device, library=known, progress=progress)
    write_embeddings(output, result)
    n_loops, dim = result.embedding.shape
    report.print(
        f"embedded {n_loops} loops in {dim} dimensions ({result.encoder}); wrote {output}", markup=False
    )
    print_usage(report, known)
    print_skipped(report, result.skipped)
    emit_json(json, result.summary())
    _finish(strict, len(result.skipped))


@app.command(epilog=options.examples("loopsphere info bass.loopsphere"))
@reports_errors
def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="What `loopsphere fit` wrote.")],
    json: options.Json = None,
) -> None:
    """Say what a model file holds."""
    from loopsphere.model import load_model

    summary = load_model(model).summary()
    report = console(stderr=is_stdout(json))
    for name, value in summary.items():
        shown = (
            ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        )
        report.print(f"{name.replace('_', ' '):26} {shown}", markup=False)
    emit_json(json, summary)


@app.command(epilog=options.examples("loopsphere encoders"))
@reports_errors
def encoders(json: options.Json = None) -> None:
    """List the encoders that have a name."""
    from dataclasses import asdict

    from rich.table import Table

    from loopsphere.encoders.registry import ENCODERS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "dimensions", "fusion", "licence", "download", "what it is"):
        table.add_column(name)
    for record in ENCODERS.values():
        size = f"{record.size_mb} MB" if record.size_mb else "none"
        fused = "yes" if record.fused else "no"
        table.add_row(record.name, str(record.embedding_dim), fused, record.licence, size, record.note)
    console(stderr=is_stdout(json)).print(table)
    emit_json(json, {"encoders": [asdict(record) for record in ENCODERS.values()]})


@app.command(epilog=options.examples("loopsphere demo"))
@reports_errors
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Gets the loops and the results.")] = Path(
        "demo"
    ),
    n_loops: Annotated[int, typer.Option(min=60, help="How many loops to render.")] = 300,
    alpha: options.Alpha = _ALPHA,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    top: options.Top = 24,
    json: options.Json = None,
) -> None:
    """Render a labelled collection with planted odd loops, scan it, and count how many were caught."""
    from loopsphere.cli.tables import oddest_table
    from loopsphere.demo import run_demo

    with progress_bar() as progress:
        found = run_demo(out, n_loops=n_loops, alpha=alpha, seed=seed, device=device, progress=progress)
    report = console(stderr=is_stdout(json))
    planted = {
        path: f"{label.fault}, {label.magnitude}" for path, label in found.labels.items() if label.is_odd
    }
    report.print(oddest_table(found.result, top, planted, str(found.loops_folder)))
    report.print(
        f"\ncaught {found.n_caught} of {found.n_planted} planted odd loops at a false-alarm rate of "
        f"{found.n_false_alarms}/{found.n_normal} = {100 * found.n_false_alarms / found.n_normal:.1f} % "
        f"(alpha {100 * alpha:g} %); {found.n_on_top} of the oddest {found.n_planted} are planted"
    )
    page = found.results_folder / "report" / "index.html"
    report.print(
        f"loops in {found.loops_folder}, results in {found.results_folder}; open {page}", markup=False
    )
    emit_json(json, found.result.to_dict())


@app.command(
    epilog=options.examples(
        "loopsphere benchmark loops/bass --out results", "loopsphere benchmark --planted --out results"
    )
)
@reports_errors
def benchmark(
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="DIR...", help="Loops of your own to plant faults in.")
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
    labels: Annotated[Path | None, typer.Option(help="A CSV with path, is_odd and perhaps group.")] = None,
    planted: Annotated[
        bool,
        typer.Option("--planted", help="Plant faults in synthesised loops, beside what else is asked for."),
    ] = False,
    detectors: Annotated[
        list[str] | None, typer.Option("--detector", help="Compare only this one; may be repeated.")
    ] = None,
    encoder: options.Encoder = _ENCODER,
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
    """Compare detectors where the truth is known: planted faults, labelled loops, or folders."""
    from loopsphere.benchmarking import BenchmarkRequest, run_benchmark
    from loopsphere.cli.tables import print_skipped

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
    report.print(f"compared on {len(found.trials)} trials; wrote {found.results}", markup=False)
    print_skipped(report, found.skipped)


app.command(epilog=options.examples("loopsphere explain loops/bass/b07.wav loops/bass"))(
    explain_commands.explain
)
app.command(epilog=options.examples("loopsphere duplicates loops/bass --json -"))(
    collection_commands.duplicates
)
app.command(epilog=options.examples("loopsphere similar kick.wav --in loops/drums --bpm 90-110 --top 5"))(
    collection_commands.similar
)


def _finish(strict: bool, n_skipped: int) -> None:
    if strict and n_skipped:
        raise typer.Exit(EXIT_NOTHING_USABLE)
