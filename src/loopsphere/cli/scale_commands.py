"""`embed` and `score` where the answer is too long to hold: on a Ray cluster, or from embeddings at hand."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from loopsphere.cli.console import console, emit_json, exit_if_skipped, is_stdout, plain, progress_bar
from loopsphere.cli.destinations import check_places
from loopsphere.cli.tables import oddest_table, print_skipped, terminal_width
from loopsphere.errors import UnknownNameError
from loopsphere.types import ScoreResult
from loopsphere.wording import counted, is_or_are

if TYPE_CHECKING:
    from loopsphere.scale.results import ScaleResult


def embed_on_ray(
    sources: list[str],
    output: str,
    *,
    encoder: str,
    device: str,
    precision: str,
    address: str | None,
    json: Path | None,
    strict: bool,
) -> None:
    """Embed on a cluster, into a folder of shards."""
    from loopsphere.scale.jobs import embed_to_shards

    with progress_bar() as progress:
        result = embed_to_shards(
            sources,
            output,
            encoder=encoder,
            device=device,
            precision=precision,
            address=address,
            progress=progress,
        )
    _tell(result, f"embedded {_loops(result)} ({result.encoder})", output, 0, json)
    exit_if_skipped(strict, result.n_skipped)


def score_far(
    model: Path,
    sources: list[str],
    output: str | None,
    *,
    encoder: str | None,
    alpha: float | None,
    device: str,
    on_ray: bool,
    address: str | None,
    top: int,
    json: Path | None,
    strict: bool,
) -> None:
    """Score on a cluster, into a folder of shards; or embeddings that are there, into one file."""
    from loopsphere.scale.cached import score_cached
    from loopsphere.scale.jobs import score_to_shards

    if output is None:
        raise UnknownNameError(
            "so many scores go into files: name them with --output, a folder for --engine ray, a .parquet "
            "file for embeddings"
        )
    if not on_ray:
        check_places(files=(Path(output),))
    with progress_bar() as progress:
        if on_ray:
            result = score_to_shards(
                model,
                sources,
                output,
                alpha=alpha,
                encoder=encoder,
                device=device,
                address=address,
                progress=progress,
            )
        else:
            result = score_cached(model, sources, output, alpha=alpha, progress=progress)
    said = f"{result.n_odd:,} of {_loops(result)} {is_or_are(result.n_odd)} odd (*)"
    _tell(result, said, output, top, json)
    exit_if_skipped(strict, result.n_skipped)


def _loops(result: ScaleResult) -> str:
    return counted(result.n_loops - result.n_skipped, "loop", "loops")


def _tell(
    result: ScaleResult, said: str, output: str | os.PathLike[str], top: int, json: Path | None
) -> None:
    report = console(stderr=is_stdout(json))
    if top and result.oddest:
        shown = ScoreResult(result.encoder, detector="", alpha=0.0, threshold=math.inf, loops=result.oddest)
        report.print(oddest_table(shown, top, width=terminal_width(report)))
    finished = f" ({result.n_finished} were there)" if result.n_finished else ""
    written = counted(result.n_shards, "file", "files")
    report.print(plain(f"{said}; wrote {written}{finished}: {os.fspath(output)}"))
    n_unshown = result.n_skipped - len(result.skipped)
    print_skipped(report, result.skipped)
    if n_unshown > 0:
        report.print(f"and {n_unshown} more; the reason stands in their rows")
    emit_json(json, result.to_dict())
