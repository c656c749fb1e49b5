"""Writing files so that an interruption leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters of a name that lines break at, that terminals obey, or that turn the direction of writing."""
_MAX_NAME_BYTES = 255
"""Of one name, in UTF-8, on the file systems of all systems; those that count UTF-16 take longer ones."""
_MAX_SUFFIX_BYTES = 16
_FORBIDDEN = re.compile(r'[<>:"/|?*\\\x00-\x1f]')


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends without an error.

    Parameters
    ----------
    path : str or PathLike
        Its folder is made if it does not exist. An existing file is replaced; of a symbolic link, the file
        that it leads to. What is no regular file, such as a FIFO, a device or standard output, is written to
        and stays what it is.

    Yields
    ------
    file : binary file, open for writing

    Raises
    ------
    OSError
        The file cannot be written; nothing is left behind.
    """
    try:
        if _is_written_through(path):
            with tempfile.TemporaryFile() as file:
                yield file
                file.seek(0)
                with _opened_in_place(path) as target:
                    shutil.copyfileobj(file, target)
        else:
            with _replacing(Path(os.path.realpath(path))) as replacement:
                yield replacement
    except OSError as error:
        if error.filename is None:  # as of a full disk, which only the descriptor met
            error.filename = os.fspath(path)
        raise


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `target` and move it there when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beginning = target.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")
    temporary = target.with_name(f".{beginning}.{secrets.token_hex(6)}.part")
    try:  # before the file is made: an interrupt in between would leave it behind
        with temporary.open("xb") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        if error.filename == os.fspath(temporary):  # a name that says nothing to the user
            error.filename, error.filename2 = os.fspath(target), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_written_through(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path leads to something that another file could not take the place of."""
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not stat.S_ISREG(status.st_mode) or _standard_stream(status) is not None


def _standard_stream(status: os.stat_result) -> int | None:
    """Return the descriptor of standard output or error if it is this file, as /dev/stdout is."""
    for descriptor in (1, 2):
        with suppress(OSError):  # closed
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


def _opened_in_place(path: str | os.PathLike[str]) -> BinaryIO:
    stream = _standard_stream(Path(path).stat())
    if stream is None:
        return Path(path).open("wb")
    # Opened by its name, a file that the shell made for it would be cut off and begun again.
    for text in (sys.stdout, sys.stderr):
        text.flush()
    return os.fdopen(os.dup(stream), "wb")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that could not be written, before the work and without a trace.

    Raises
    ------
    OSError
        It is a folder; or what should be its folder, or is the nearest thing above, is none or cannot be
        written. Of what is written through (see `whole_file`): it cannot be written itself.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if _is_written_through(path):
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "cannot be written", os.fspath(path))
        return
    above = Path(os.path.realpath(path)).parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(above))
    if not os.access(above, os.W_OK):
        raise PermissionError(errno.EACCES, "cannot be written", os.fspath(above))


def portable_name(name: str) -> str:
    """Return a file's name with "_" for each character that Windows forbids in one."""
    return _FORBIDDEN.sub("_", name)


def fitting_name(name: str, number: str = "") -> str:
    """Return a file's name with a number before its extension, shortened to what file systems take.

    Parameters
    ----------
    name : str
    number : str, default=""
        Such as " (2)".

    Returns
    -------
    name : str
        At most 255 bytes of UTF-8; the extension and the number are kept, the end of the rest is cut off.
    """
    stem, suffix = Path(name).stem, Path(name).suffix
    if len(suffix.encode()) > _MAX_SUFFIX_BYTES:  # a dot somewhere in a long name
        stem, suffix = name, ""
    room = _MAX_NAME_BYTES - len((number + suffix).encode())
    return stem.encode()[:room].decode(errors="ignore") + number + suffix
