"""The commands, one line each; what they do stands in the modules they come from."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from loopsphere.cli import (
    benchmark_commands,
    collection_commands,
    encoder_commands,
    explain_commands,
    model_commands,
    options,
    scan_command,
)

app = typer.Typer(
    name="loopsphere",
    help="Learn what is normal in a collection of musical loops; find and rank the loops that are not.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"loopsphere {metadata.version('loopsphere')}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None: ...


def _offer(command: Callable[..., None], *examples: str) -> None:
    app.command(epilog=options.examples(*examples))(command)


_offer(scan_command.scan, "loopsphere scan loops/bass --out results")
_offer(explain_commands.explain, "loopsphere explain loops/bass/b07.wav loops/bass")
_offer(collection_commands.duplicates, "loopsphere duplicates loops/bass --json -")
_offer(collection_commands.similar, "loopsphere similar kick.wav --in loops/drums --bpm 90-110 --top 5")
_offer(model_commands.fit, "loopsphere fit loops/bass -o bass.loopsphere")
_offer(model_commands.score, "loopsphere score bass.loopsphere new/ --json scores.json")
_offer(model_commands.info, "loopsphere info bass.loopsphere")
_offer(encoder_commands.embed, "loopsphere embed loops -o loops.npz")
_offer(encoder_commands.encoders, "loopsphere encoders")
_offer(benchmark_commands.demo, "loopsphere demo")
_offer(
    benchmark_commands.benchmark,
    "loopsphere benchmark loops/bass --out results",
    "loopsphere benchmark --planted --out results",
)
