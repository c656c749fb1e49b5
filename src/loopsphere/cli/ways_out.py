"""Where the answers of `scan` and `score` go besides the terminal: files, a page, a playlist, folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopsphere.cli.console import is_stdout
from loopsphere.errors import UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

    from loopsphere.types import LoopScore, ScoreResult

Playlist = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the odd loops as a playlist, such as odd.m3u8.")
]
Labels = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write an Audacity label track of each odd loop's odd stretches."),
]
CopyTo = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Copy the odd loops there; replaces nothing.")
]
LinkTo = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Link the odd loops there; replaces nothing.")
]


def check_places(*, folders: Iterable[Path | None] = (), files: Iterable[Path | None] = ()) -> None:
    """Refuse what cannot be written before hours of work, not after.

    Raises
    ------
    OSError
        One of them cannot be written.
    UnknownNameError
        A file is named like a loop: `fit -o loops/*.wav` would put a model in the place of the first.
    """
    from loopsphere.audio import AUDIO_EXTENSIONS
    from loopsphere.files import check_writable

    for folder in folders:
        if folder is not None:
            check_writable(folder / "results.csv")
    for file in files:
        if file is None or is_stdout(file):
            continue
        if file.suffix.lower() in AUDIO_EXTENSIONS:
            raise UnknownNameError(f"{file}: named like a loop, and loops are never replaced; name another")
        check_writable(file)


def odd_loops(result: ScoreResult) -> list[LoopScore]:
    """Return the odd loops, the oddest first."""
    return [loop for loop in result.loops if loop.is_odd]


def write_odd(
    result: ScoreResult, *, playlist: Path | None, copy_to: Path | None, link_to: Path | None
) -> list[str]:
    """Write the odd loops where they are asked for; return what was written, for people."""
    from loopsphere.cli.tables import counted
    from loopsphere.exports import copy_loops, link_loops, write_playlist

    odd = odd_loops(result)
    written = []
    if playlist is not None:
        write_playlist(playlist, odd)
        written.append(str(playlist))
    if copy_to is not None:
        written.append(f"{counted(len(copy_loops(copy_to, odd)), 'copy', 'copies')} in {copy_to}")
    if link_to is not None:
        written.append(f"{counted(len(link_loops(link_to, odd)), 'link', 'links')} in {link_to}")
    return written


def print_written(report: Console, written: list[str]) -> None:
    """Say what was written, a line each, which no terminal's width breaks: paths are there to be copied."""
    for what in written:
        report.print(f"wrote {what}", markup=False, soft_wrap=True)
