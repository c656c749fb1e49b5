"""The commands about learnt collections: `fit`, `score` and `info`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

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
from loopsphere.errors import UnknownNameError

_MODEL_SUFFIX = ".loopsphere"
"""As models are conventionally named."""


@reports_errors
def fit(
    sources: options.Sources,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The model file to write.")],
    odd: options.Odd = None,
    normal: options.Normal = None,
    encoder: options.Encoder = options.ENCODER,
    detector: options.Detector = options.DETECTOR,
    alpha: options.Alpha = options.ALPHA,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = options.PRECISION,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Learn what is normal in a collection, to score others later."""
    from loopsphere.cli.tables import print_skipped
    from loopsphere.verbs.fit import fit as learn

    destinations.check_places(files=(output, json))
    report = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=report)
    with progress_bar() as progress:
        model = learn(
            sources,
            odd=odd or (),
            normal=normal or (),
            encoder=encoder,
            detector=detector,
            alpha=alpha,
            seed=seed,
            device=device,
            precision=precision,
            library=known,
            progress=progress,
        )
    model.save(output)
    n_loops = len(model.calibration_scores)
    learnt = f"learnt {n_loops} loops ({model.detector_name} on {model.encoder})"
    report.print(plain(f"{learnt}; wrote {output}"))
    for note in model.caveats(alpha):
        report.print(plain(f"Note: {note}."))
    print_usage(report, known)
    print_skipped(report, model.skipped)
    emit_json(json, model.summary())
    exit_if_skipped(strict, len(model.skipped))


@reports_errors
def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="What `loopsphere fit` wrote.")],
    sources: options.Sources,
    encoder: Annotated[
        str | None, typer.Option(help="Where the model's encoder lies, if not where it was at fit.")
    ] = None,
    alpha: options.ModelAlpha = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="For embeddings a .parquet file, for --engine ray a folder or URI: gets all scores.",
        ),
    ] = None,
    playlist: destinations.Playlist = None,
    copy_to: destinations.CopyTo = None,
    link_to: destinations.LinkTo = None,
    device: options.Device = "auto",
    engine: options.Engine = "local",
    address: options.Address = None,
    top: options.Top = 20,
    library: options.Library = None,
    no_library: options.NoLibrary = False,
    json: options.Json = None,
    strict: options.Strict = False,
) -> None:
    """Score new loops, or embeddings of loops, against a learnt collection."""
    from loopsphere.cli import scale_commands
    from loopsphere.cli.tables import print_result
    from loopsphere.verbs.score import score as judge

    _check_order(model, sources)
    destinations.check_places(folders=(copy_to, link_to), files=(playlist, json))
    has_embeddings = any(Path(source).suffix.lower() == ".parquet" for source in sources)
    if engine == "ray" or output is not None or has_embeddings:
        if playlist or copy_to or link_to:
            raise UnknownNameError("--playlist, --copy-to and --link-to do not go with --output or Parquet")
        scale_commands.score_far(
            model,
            sources,
            output,
            encoder=encoder,
            alpha=alpha,
            device=device,
            on_ray=engine == "ray",
            address=address,
            top=top,
            json=json,
            strict=strict,
        )
        return

    report = console(stderr=is_stdout(json))
    known = chosen_library(sources, library, none=no_library, report=report)
    with progress_bar() as progress:
        result = judge(
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
    emit_json(json, result.to_dict())
    extras = destinations.Extras(report)
    extras.write_odd(result, playlist=playlist, copy_to=copy_to, link_to=link_to)
    extras.exit_if_failed()
    exit_if_skipped(strict, len(result.skipped))


def _check_order(model: Path, sources: list[str]) -> None:
    """Refuse loops in the place of the model and the model in theirs."""
    swapped = [source for source in sources if Path(source).suffix.lower() == _MODEL_SUFFIX]
    if swapped and model.suffix.lower() != _MODEL_SUFFIX:
        right = shlex.join(["loopsphere", "score", swapped[0], str(model)])
        raise UnknownNameError(f"the model comes first, then the loops: {right}")


@reports_errors
def info(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="What `loopsphere fit` wrote; without, this machine."),
    ] = None,
    json: options.Json = None,
) -> None:
    """Say what a model file holds, or what this machine runs on."""
    if model is None:
        from loopsphere.encoders.torch_runtime import runtime_summary

        summary: dict[str, Any] = runtime_summary()
    else:
        from loopsphere.learning.model import load_model

        summary = load_model(model).summary()
        del summary["skipped"]  # `fit` told, and the file does not keep it
    report = console(stderr=is_stdout(json))
    for name, value in summary.items():
        report.print(plain(f"{name.replace('_', ' '):26} {_shown(value)}"))
    emit_json(json, summary)


def _shown(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{key} {item}" for key, item in value.items())
        case list():
            return "; ".join(map(str, value)) or "none"
        case float():
            return f"{value:.4g}"
        case _:
            return "none" if value is None else str(value)
