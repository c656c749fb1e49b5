"""The options that commands share, each spelled and explained once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

ENCODER, DETECTOR, SCAN_DETECTOR, ALPHA = "bundled", "deep-svdd", "deep-svdd+attributes", 0.05
PRECISION: Literal["float32"] = "float32"
"""The defaults, spelled here so that `--help` imports no network."""

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH", help="Files, folders or globs; '-' reads a list of paths from standard input."
    ),
]
Encoder = Annotated[
    str, typer.Option(help="A name of `loopsphere encoders`, a checkpoint's path or a hub id.")
]
Odd = Annotated[
    list[Path] | None,
    typer.Option("--odd", metavar="FILE", help="A loop known to be odd, to learn from; may be repeated."),
]
Normal = Annotated[
    list[Path] | None,
    typer.Option("--normal", metavar="FILE", help="A loop known to be normal; may be repeated."),
]
Detector = Annotated[
    str,
    typer.Option(
        help="Such as deep-svdd, isolation-forest, pca, knn, ensemble; with +attributes behind it, what is "
        "measured of a loop counts beside what the encoder hears."
    ),
]


def alpha_share(given: str | float) -> float:
    """Return a false-alarm rate as it was meant, or say how to write it."""
    text = str(given).strip()
    with suppress(ValueError):
        if 0 <= (share := float(text)) <= 1:
            return share
    hint = "such as 0.05"
    with suppress(ValueError):
        if 1 < (percent := float(text.removesuffix("%"))) <= 100 or (
            text.endswith("%") and 0 <= percent <= 1
        ):
            hint = f"for {percent:g} % write {percent / 100:g}"
    separator = "," if hint.startswith("such") else ";"
    raise typer.BadParameter(f"{text!r}: alpha is a share between 0 and 1{separator} {hint}")


Alpha = Annotated[
    float,
    typer.Option(
        parser=alpha_share,
        metavar="SHARE",
        help="False-alarm rate: the share of normal loops that may be called odd.",
    ),
]
ModelAlpha = Annotated[
    float | None,
    typer.Option(
        parser=alpha_share, metavar="SHARE", help="False-alarm rate; the model's own, or 0.05, if not given."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same answer.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(
        help="Precision of the networks. float32 gives the same scores on every machine; auto takes bfloat16 "
        "where the processor has it: faster, and scores differ a little from other machines'."
    ),
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option(help="ray works past one machine, into a folder of shards.")
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Of a Ray cluster; without, --engine ray starts one of this machine."
    ),
]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write the answer as JSON; '-' is standard output."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with status 1 if any file had to be skipped.")]
Top = Annotated[int, typer.Option(min=0, help="How many of the oddest loops to print.")]
Library = Annotated[
    str | None,
    typer.Option(
        "--library",
        metavar="FOLDER",
        help="What is heard is remembered there. Without, DIR/.loopsphere, which scan and duplicates make.",
    ),
]
NoLibrary = Annotated[bool, typer.Option("--no-library", help="Remember nothing and recall nothing.")]


def examples(*lines: str) -> str:
    """Return the examples below a command's help."""
    return "Example:\n\n" + "\n\n".join(f"  {line}" for line in lines)
