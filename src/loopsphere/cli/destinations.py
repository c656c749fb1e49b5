"""Where the answers of `scan` and `score` go besides the terminal: files, a page, a playlist, folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopsphere.cli.console import EXIT_NOTHING_USABLE, complain, is_stdout, plain, told
from loopsphere.errors import UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

    from loopsphere.export.files import Placed
    from loopsphere.verbs.score import Scores

_FAILURE = "A file that fails is named and ends the command with status 1; the others are written."
Playlist = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the odd loops as a playlist, such as odd.m3u8.")
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help=f"Write an Audacity label track of each odd loop's odd stretches. {_FAILURE}"
    ),
]
CopyTo = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help=f"Copy the odd loops there; replaces nothing. {_FAILURE}"),
]
LinkTo = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help=f"Link the odd loops there; replaces nothing. {_FAILURE}"),
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


class Extras:
    """What is written beside the results, after them; none that fails keeps another from being written."""

    def __init__(self, report: Console) -> None:
        self._report = report
        self._has_failed = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Tell what could not be written, and go on after the block."""
        try:
            yield
        except BrokenPipeError:  # the reader of this command has left
            raise
        except OSError as error:
            self._fail(told(error))

    def wrote_file(self, path: Path) -> None:
        """Say that a file was written."""
        print_written(self._report, str(path))

    def wrote_folder(self, folder: Path, placed: Placed, one: str, many: str) -> None:
        """Say how many files were written into a folder, and what became of the others."""
        from loopsphere.wording import counted

        print_written(self._report, f"{counted(len(placed.paths), one, many)} in {folder}")
        for file in placed.failed:
            self._fail(f"{file.path}: {file.reason}")

    def write_odd(
        self, found: Scores, *, playlist: Path | None, copy_to: Path | None, link_to: Path | None
    ) -> None:
        """Write the odd loops where they are asked for."""
        if playlist is not None:
            with self.attempt():
                found.write_playlist(playlist)
                self.wrote_file(playlist)
        if copy_to is not None:
            with self.attempt():
                self.wrote_folder(copy_to, found.copy_odd(copy_to), "copy", "copies")
        if link_to is not None:
            with self.attempt():
                self.wrote_folder(link_to, found.link_odd(link_to), "link", "links")

    def exit_if_failed(self) -> None:
        """End with the status of what cannot be written if one has failed."""
        if self._has_failed:
            raise typer.Exit(EXIT_NOTHING_USABLE)

    def _fail(self, message: str) -> None:
        self._has_failed = True
        complain(message)


def print_written(report: Console, what: str) -> None:
    """Say what was written, in a line that no terminal's width breaks: paths are there to be copied."""
    report.print(plain(f"wrote {what}"), soft_wrap=True)
