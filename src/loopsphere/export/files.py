"""Ways out of a result into a producer's tools: a playlist, label tracks, and folders of copies or links.

Nothing is ever moved, overwritten or deleted: a name that is taken gets a number, one that is too long is
shortened. A file that cannot be written costs none of the others.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from loopsphere.explain.localise import OddRange
from loopsphere.files import CONTROL, fitting_name, portable_name, whole_file
from loopsphere.types import LoopScore, SkippedFile
from loopsphere.wording import shown_p


@dataclass(frozen=True)
class Placed:
    """What was written into a folder.

    Attributes
    ----------
    paths : list of Path
        Of the new files, in the order of the loops.
    failed : list of SkippedFile
        Loops for which none could be written, with the reason.
    """

    paths: list[Path] = field(default_factory=list)
    failed: list[SkippedFile] = field(default_factory=list)


def write_playlist(path: str | os.PathLike[str], loops: Sequence[LoopScore]) -> None:
    """Write loops as an extended M3U playlist in UTF-8.

    Parameters
    ----------
    path : str or PathLike
        Conventionally `.m3u8`.
    loops : sequence of LoopScore
        In the order in which they play; paths are written relative to the playlist where they can be. One
        with a line break or another control character, which a line cannot hold, is written as an address
        (`file://`).

    Raises
    ------
    OSError
        The file cannot be written.
    """
    folder = Path(path).absolute().parent
    lines = ["#EXTM3U"]
    for loop in loops:
        name = CONTROL.sub(" ", Path(loop.path).name)
        lines.append(f"#EXTINF:{round(loop.duration_s)},{name} (p {shown_p(loop.p_value)})")
        lines.append(_from_folder(loop.path, folder))
    with whole_file(path) as file:
        file.write(("\n".join(lines) + "\n").encode())


def write_labels(folder: str | os.PathLike[str], ranges: Mapping[str, Sequence[OddRange]]) -> Placed:
    """Write one Audacity label track a loop, with the stretches in which it is odd.

    Parameters
    ----------
    folder : str or PathLike
        Made if it does not exist.
    ranges : mapping of path to sequence of OddRange

    Returns
    -------
    placed : Placed
        Tracks are named like the loop, ending in `.txt`; loops without a stretch get none.

    Raises
    ------
    OSError
        The folder cannot be made.

    References
    ----------
    Audacity's manual, 'Importing and exporting labels', with its extension for spectral selections.
    """
    target, placed = Path(folder), Placed()
    target.mkdir(parents=True, exist_ok=True)
    for path, found in ranges.items():
        if not found:
            continue
        lines = []
        for odd in found:
            lines.append(f"{odd.start_s:.6f}\t{odd.end_s:.6f}\todd ({odd.oddness:.1f})")
            lines.append(f"\\\t{odd.low_hz:.6f}\t{odd.high_hz:.6f}")
        text = "\n".join(lines) + "\n"
        make = partial(_write_new, text=text)
        _place(placed, path, target / f"{Path(path).name}.txt", make, "its labels cannot be written to")
    return placed


def copy_loops(folder: str | os.PathLike[str], loops: Sequence[LoopScore]) -> Placed:
    """Copy loops into a folder, numbered from the oddest.

    Parameters
    ----------
    folder : str or PathLike
        Made if it does not exist.
    loops : sequence of LoopScore

    Returns
    -------
    placed : Placed
        The copies, and the loops that are gone or could not be copied.

    Raises
    ------
    OSError
        The folder cannot be made.
    """
    return _place_all(folder, loops, _copy_new, "cannot be copied to")


def link_loops(folder: str | os.PathLike[str], loops: Sequence[LoopScore]) -> Placed:
    """Link loops into a folder, numbered from the oddest.

    Symbolic links; where the system allows none, as Windows does without a privilege, hard links; where the
    folder lies on another drive, copies.

    Parameters
    ----------
    folder : str or PathLike
        Made if it does not exist.
    loops : sequence of LoopScore

    Returns
    -------
    placed : Placed
        The links, and the loops that are gone or could not be linked.

    Raises
    ------
    OSError
        The folder cannot be made.
    """
    return _place_all(folder, loops, _link_new, "cannot be linked at")


def _place_all(
    folder: str | os.PathLike[str],
    loops: Sequence[LoopScore],
    make: Callable[[Path, Path], None],
    cannot: str,
) -> Placed:
    target, placed = Path(folder), Placed()
    target.mkdir(parents=True, exist_ok=True)
    digits = len(str(len(loops)))
    for rank, loop in enumerate(loops, start=1):
        source = Path(loop.path).absolute()
        name = f"{rank:0{digits}d} {portable_name(source.name)}"
        _place(placed, loop.path, target / name, partial(make, source), cannot)
    return placed


def _place(placed: Placed, loop: str, path: Path, make: Callable[[Path], None], cannot: str) -> None:
    """Make a file at this path, or with the next number behind its name that is free; never over another."""
    number = 1
    while True:
        free = path.with_name(fitting_name(path.name, f" ({number})" if number > 1 else ""))
        try:
            make(free)
        except FileExistsError:
            number += 1
        except OSError as error:
            placed.failed.append(SkippedFile(loop, f"{cannot} {free} ({error.strerror or error})"))
            return
        else:
            placed.paths.append(free)
            return


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            file.close()
            path.unlink()
            raise


def _copy_new(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            shutil.copyfileobj(reading, writing)
        except BaseException:
            # Half a copy looks like a loop; this file was made a moment ago, by us.
            writing.close()
            target.unlink()
            raise
    with suppress(OSError):  # a copy without its date is a copy
        shutil.copystat(source, target)


def _link_new(source: Path, target: Path) -> None:
    if not source.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    try:
        target.symlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:
            _copy_new(source, target)


def _from_folder(path: str, folder: Path) -> str:
    if CONTROL.search(path):  # a line break would begin another entry
        return Path(path).absolute().as_uri()
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return str(Path(path).absolute())
    # A line that begins with a hash is a comment.
    return f"./{relative}" if relative.startswith("#") else relative
