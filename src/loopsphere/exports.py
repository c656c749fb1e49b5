"""Ways out of a result into a producer's tools: a playlist, label tracks, and folders of copies or links.

Nothing is ever moved, overwritten or deleted: a name that is taken gets a number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from loopsphere.explain.localise import OddRange
from loopsphere.files import portable_name, whole_file
from loopsphere.types import LoopScore


def write_playlist(path: str | os.PathLike[str], loops: Sequence[LoopScore]) -> None:
    """Write loops as an extended M3U playlist in UTF-8.

    Parameters
    ----------
    path : str or PathLike
        Conventionally `.m3u8`.
    loops : sequence of LoopScore
        In the order in which they play; paths are written relative to the playlist where they can be.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    folder = Path(path).absolute().parent
    lines = ["#EXTM3U"]
    for loop in loops:
        # A line break in a name would begin another entry.
        name = " ".join(Path(loop.path).name.split("\n"))
        lines.append(f"#EXTINF:{round(loop.duration_s)},{name} (score {loop.anomaly_score:.3g})")
        lines.append(_from_folder(loop.path, folder))
    with whole_file(path) as file:
        file.write(("\n".join(lines) + "\n").encode())


def write_labels(folder: str | os.PathLike[str], ranges: Mapping[str, Sequence[OddRange]]) -> list[Path]:
    """Write one Audacity label track a loop, with the stretches in which it is odd.

    Parameters
    ----------
    folder : str or PathLike
        Made if it does not exist.
    ranges : mapping of path to sequence of OddRange

    Returns
    -------
    paths : list of Path
        Named like the loop, ending in `.txt`; loops without a stretch get none.

    Raises
    ------
    OSError
        The folder cannot be written.

    References
    ----------
    Audacity's manual, 'Importing and exporting labels', with its extension for spectral selections.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for path, found in ranges.items():
        if not found:
            continue
        lines = []
        for odd in found:
            lines.append(f"{odd.start_s:.6f}\t{odd.end_s:.6f}\todd ({odd.oddness:.1f})")
            lines.append(f"\\\t{odd.low_hz:.6f}\t{odd.high_hz:.6f}")
        text = "\n".join(lines) + "\n"
        written.append(_place(target, f"{Path(path).name}.txt", partial(_write_new, text=text)))
    return written


def copy_loops(folder: str | os.PathLike[str], loops: Sequence[LoopScore]) -> list[Path]:
    """Copy loops into a folder, numbered from the oddest.

    Parameters
    ----------
    folder : str or PathLike
        Made if it does not exist.
    loops : sequence of LoopScore

    Returns
    -------
    paths : list of Path
        Of the copies.

    Raises
    ------
    OSError
        A loop cannot be read or the folder cannot be written; copies made before stay.
    """
    return _place_all(folder, loops, _copy_new)


def link_loops(folder: str | os.PathLike[str], loops: Sequence[LoopScore]) -> list[Path]:
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
    paths : list of Path
        Of the links.

    Raises
    ------
    OSError
        A loop is gone or the folder cannot be written; links made before stay.
    """
    return _place_all(folder, loops, _link_new)


def _place_all(
    folder: str | os.PathLike[str], loops: Sequence[LoopScore], make: Callable[[Path, Path], None]
) -> list[Path]:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    digits = len(str(len(loops)))
    placed = []
    for rank, loop in enumerate(loops, start=1):
        source = Path(loop.path).absolute()
        name = f"{rank:0{digits}d} {portable_name(source.name)}"
        placed.append(_place(target, name, partial(make, source)))
    return placed


def _place(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Make a file of this name, or of the next one with a number that is free; never over another one."""
    stem, suffix = Path(name).stem, Path(name).suffix
    number = 1
    while True:
        free = folder / (name if number == 1 else f"{stem} ({number}){suffix}")
        try:
            make(free)
        except FileExistsError:
            number += 1
        else:
            return free


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _copy_new(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            shutil.copyfileobj(reading, writing)
        except BaseException:
            # Half a copy looks like a loop; this file was made a moment ago, by us.
            writing.close()
            target.unlink()
            raise
    shutil.copystat(source, target)


def _link_new(source: Path, target: Path) -> None:
    if not source.exists():
        raise FileNotFoundError(2, "no such file", str(source))
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
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return str(Path(path).absolute())
    # A line that begins with a hash is a comment.
    return f"./{relative}" if relative.startswith("#") else relative
