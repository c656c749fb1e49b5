"""From files, folders, globs and a list on standard input to the loops to read, always in the same order."""

from __future__ import annotations

import fnmatch
import glob
import os
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import TextIO

from loopsphere.types import SkippedFile

AUDIO_EXTENSIONS = frozenset(
    [
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd"),
        *(".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".m4b", ".mp4", ".aac", ".wma"),
    ]
)
"""What is taken from a folder, in lower case; a file that is named itself is taken whatever it is called."""


def _name_key(name: str) -> tuple[str, str]:
    """Order names alike on systems that compose accents and those that do not."""
    return unicodedata.normalize("NFC", name), name


def _path_key(path: PurePath) -> list[tuple[str, str]]:
    return [_name_key(part) for part in path.parts]


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return f"cannot be read ({error.strerror})"


class _Finder:
    """What has been found so far, in the order of the sources."""

    def __init__(self) -> None:
        self.loops: list[str] = []
        self.skipped: list[SkippedFile] = []
        self._seen: set[str] = set()

    def _is_new(self, path: str) -> bool:
        # Not `resolve`: a symlink and its target are two entries of a collection.
        key = os.path.normcase(os.path.abspath(path))  # noqa: PTH100
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new

    def _skip(self, path: str, reason: str) -> None:
        if self._is_new(path):
            printable = path.encode("utf-8", "backslashreplace").decode("utf-8")
            self.skipped.append(SkippedFile(printable, reason))

    def _take(self, path: str) -> None:
        if not _is_utf8(path):
            self._skip(path, "its name is not UTF-8; rename it")
        elif self._is_new(path):
            self.loops.append(path)

    def add(self, source: str, *, may_be_glob: bool) -> None:
        """Take what the user named: a file, a folder, or a pattern where nothing has that very name."""
        if not source:  # which `Path` would take for the working directory
            self._skip("''", "an empty name; is a variable of your shell not set?")
            return
        if may_be_glob and glob.has_magic(source) and not os.path.lexists(source):
            self._add_glob(source)
            return
        try:
            is_folder = stat.S_ISDIR(Path(source).stat().st_mode)
        except FileNotFoundError:
            is_link = Path(source).is_symlink()
            self._skip(source, "a broken symlink" if is_link else "no such file or folder")
        except ValueError:  # a NUL, or a surrogate that no file name can hold
            self._skip(source, "no such file or folder")
        except OSError as error:
            self._skip(source, _reason(error))
        else:
            if is_folder:
                self._add_folder(Path(source))
            else:
                self._take(source)

    def _add_folder(self, folder: Path) -> None:
        loops = [loop for _, inside in self._walk(folder) for loop in inside]
        for loop in sorted(loops, key=_path_key):
            self._take(str(loop))

    def _add_glob(self, pattern: str) -> None:
        parts = Path(pattern).parts
        n_literal = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        root = Path(*parts[:n_literal])
        matches = set(self._expand(root, parts[n_literal:])) if root.exists() else set()
        if not matches:
            self._skip(pattern, "no loop matches this pattern")
        for match in sorted(matches, key=_path_key):
            self.add(str(match), may_be_glob=False)

    def _expand(self, folder: Path, pattern: tuple[str, ...]) -> Iterator[Path]:
        """Yield the loops and folders below `folder` that match; unlike `glob`, stops at symlink loops."""
        head, rest = pattern[0], pattern[1:]
        if head == "**":
            for subfolder, _ in self._walk(folder):
                if rest:
                    yield from self._expand(subfolder, rest)
                else:
                    yield subfolder
            return
        subfolders, loops = self._list(folder)
        for path in subfolders if rest else subfolders + loops:
            if fnmatch.fnmatch(path.name, head):
                if rest:
                    yield from self._expand(path, rest)
                else:
                    yield path

    def _walk(self, folder: Path) -> Iterator[tuple[Path, list[Path]]]:
        """Yield every folder from `folder` down with the loops directly inside it."""
        # Device and inode of the folders above tell whether a symlink has led back to one of them.
        stack: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
        while stack:
            path, above = stack.pop()
            try:
                status = path.stat()
            except OSError as error:
                self._skip(str(path), _reason(error))
                continue
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                self._skip(str(path), "a folder loop through symlinks")
                continue
            subfolders, loops = self._list(path)
            yield path, loops
            stack.extend((subfolder, above | {identity}) for subfolder in reversed(subfolders))

    def _list(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Return the folders and the loops directly inside a folder, by name; skip what cannot be read."""
        subfolders: list[Path] = []
        loops: list[Path] = []
        try:
            entries = sorted(folder.iterdir(), key=lambda entry: _name_key(entry.name))
        except OSError as error:
            self._skip(str(folder), _reason(error))
            return subfolders, loops
        for entry in entries:
            if _is_hidden(entry.name):
                continue
            try:
                is_folder = stat.S_ISDIR(entry.stat().st_mode)
            except FileNotFoundError:
                self._skip(str(entry), "a broken symlink")
            except OSError as error:
                self._skip(str(entry), _reason(error))
            else:
                if is_folder:
                    subfolders.append(entry)
                elif entry.suffix.lower() in AUDIO_EXTENSIONS:
                    loops.append(entry)
        return subfolders, loops


def holds_loops(folder: Path) -> bool:
    """Tell whether `find_loops` would find any in a folder; looks no further than to the first."""
    return any(loops for _, loops in _Finder()._walk(folder))


def _read_list(stdin: TextIO) -> list[str]:
    """Read paths, one a line, or ended by NUL where there is one (as `find -print0` writes them)."""
    buffer = getattr(stdin, "buffer", None)
    # As bytes where possible: a name that is not UTF-8 must not stop the whole list.
    text = stdin.read() if buffer is None else os.fsdecode(buffer.read())
    separator = "\0" if "\0" in text else "\n"
    paths = text.split(separator)
    return [path for path in (paths if separator == "\0" else [line.rstrip("\r") for line in paths]) if path]


def find_loops(
    sources: Iterable[str | os.PathLike[str]], *, stdin: TextIO | None = None
) -> tuple[list[str], list[SkippedFile]]:
    """List the loops that the sources stand for.

    Folders are walked in the order of their names, the same on every system; hidden entries and
    `__MACOSX` are passed over, and only files with a known extension (`AUDIO_EXTENSIONS`) are taken.
    Symlinks are followed. A path given twice is taken once.

    Parameters
    ----------
    sources : iterable of str or path-like
        Files, folders, patterns such as `loops/**/*.wav` (tried where no such path exists), or `-` for a list
        of files and folders on standard input, one a line or separated by NUL.
    stdin : text file or None
        Stands in for standard input; None uses `sys.stdin`.

    Returns
    -------
    loops : list of str
        Paths as the user wrote them, or joined to the folder that the user wrote. Not opened yet.
    skipped : list of SkippedFile
        What does not exist, cannot be listed, loops through symlinks or has a name that is not UTF-8. The
        path is printable.

    Examples
    --------
    >>> loops, skipped = find_loops(["loops", "more/*.wav"])  # doctest: +SKIP
    """
    finder = _Finder()
    for source in sources:
        path = os.fspath(source)
        if path == "-":
            for line in _read_list(sys.stdin if stdin is None else stdin):
                finder.add(line, may_be_glob=False)
        else:
            finder.add(path, may_be_glob=True)
    return finder.loops, finder.skipped
