"""The commands about encoders: `embed` and `encoders`."""

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
    plain,
    progress_bar,
    reports_errors,
)
from loopsphere.cli.libraries import chosen_library, print_usage
from loopsphere.wording import counted


@reports_errors
def embed(
    sources: options.Sources,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="An .npz or .parquet file; for --engine ray a folder or URI.",
        ),
    ],
    encoder: options.Encoder = options.ENCODER,
    device: options.Device = "auto",
    precision: options.Precision = options.PRECISION,
    engine: options.Engine = "local",
    address: options.Address = None,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Write the embeddings of loops, to use elsewhere."""
    from loopsphere.cli import scale_commands
    from loopsphere.cli.tables import print_skipped
    from loopsphere.collection import embedding
    from loopsphere.export.tables import check_embeddings_path, write_embeddings

    destinations.check_places(files=(json,))
    if engine == "ray":
        scale_commands.embed_on_ray(
            sources,
            output,
            encoder=encoder,
            device=device,
            precision=precision,
            address=address,
            json=json,
            strict=strict,
        )
        return
    check_embeddings_path(output)
    destinations.check_places(files=(Path(output),))
    report = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=report)
    with progress_bar() as progress:
        result = embedding.embed(
            sources,
            encoder=encoder,
            device=device,
            precision=precision,
            library=known,
            progress=progress,
        )
    write_embeddings(output, result)
    n_loops, dim = result.embedding.shape
    told = f"embedded {counted(n_loops, 'loop', 'loops')} in {dim} dimensions ({result.encoder})"
    report.print(plain(f"{told}; wrote {output}"))
    print_usage(report, known)
    print_skipped(report, result.skipped)
    emit_json(json, result.summary())
    exit_if_skipped(strict, len(result.skipped))


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
