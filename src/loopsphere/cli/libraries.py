"""Which library a command uses, and what it says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loopsphere.cli.console import plain
from loopsphere.errors import LibraryError, UnknownNameError
from loopsphere.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from loopsphere.library import Library


def chosen_library(
    sources: Sequence[str], location: str | None, *, none: bool, report: Console, make: bool = False
) -> Library | None:
    """Open the library that a command is to use.

    Parameters
    ----------
    sources : sequence of str
        As the user gave them.
    location : str or None
        `--library`.
    none : bool
        `--no-library`.
    report : Console
        Told where there can be no library, so that the work goes on without.
    make : bool, default=False
        Whether a folder gets a library of its own if it has none.

    Returns
    -------
    library : Library or None
        The one asked for; else the one inside the folder, if `sources` is one folder; else None.

    Raises
    ------
    LibraryError
        The one asked for cannot be opened.
    UnknownNameError
        Both options were given.
    """
    if none and location is not None:
        raise UnknownNameError("--library and --no-library exclude each other")
    if none:
        return None
    from loopsphere.audio import holds_loops
    from loopsphere.library import DEFAULT_NAME, open_library

    if location is not None:
        return open_library(location)
    if len(sources) != 1 or sources[0] in ("", "-") or not Path(sources[0]).is_dir():
        return None
    own = Path(sources[0]) / DEFAULT_NAME
    # A folder without loops has nothing to remember, and stays as it is.
    if not own.is_dir() and not (make and holds_loops(own.parent)):
        return None
    try:
        return open_library(own)
    except LibraryError as error:
        report.print(plain(f"Note: {error}; nothing is remembered."))
        return None


def searched_library(
    loop: Path, within: Path | None, location: str | None, report: Console
) -> Library | None:
    """Open the library to search: the one named, the folder's own, or the nearest above the loop.

    Returns
    -------
    library : Library or None
        None where the folder can be given none.

    Raises
    ------
    LibraryError
        There is none, and no folder to search either.
    """
    from loopsphere.library import DEFAULT_NAME, open_library

    if location is not None:
        return open_library(location)
    if within is not None:
        own = chosen_library([str(within)], None, none=False, report=report, make=True)
        return None if own is None or own.is_read_only else own
    for above in loop.absolute().parents:
        if (above / DEFAULT_NAME).is_dir():
            return open_library(above / DEFAULT_NAME)
    raise LibraryError(
        f"{loop}: no folder above it has been scanned; say where to search: --in FOLDER or --library FOLDER"
    )


def print_usage(report: Console, library: Library | None) -> None:
    """Say what a run recalled and what it added."""
    if library is None:
        return
    usage = library.usage
    n_files = usage.n_unchanged + usage.n_recognised + usage.n_new
    parts = [f"{usage.n_unchanged:,} of {counted(n_files, 'file', 'files')} unchanged"]
    if usage.n_new:
        parts.append(f"{usage.n_new} new")
    if usage.n_recognised:
        moved = f", {usage.n_moved} of them moved" if usage.n_moved else ""
        parts.append(f"{usage.n_recognised} read and recognised{moved}")
    if usage.n_gone:
        parts.append(f"{usage.n_gone} gone")
    report.print(plain(f"library {library.location}: {', '.join(parts)}"))
    if usage.problem is not None:
        report.print(plain(f"Note: {usage.problem}."))
