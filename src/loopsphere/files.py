"""Writing files so that an interruption leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_FORBIDDEN = re.compile(r'[<>:"/|?*\\\x00-\x1f]')


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` and move it there when the block ends without an error.

    Parameters
    ----------
    path : str or PathLike
        Its folder is made if it does not exist; an existing file is replaced.

    Yields
    ------
    file : binary file, open for writing

    Raises
    ------
    OSError
        The folder cannot be written; nothing is left behind.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:  # before the file is made: an interrupt in between would leave it behind
        with temporary.open("xb") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        if error.filename is None:  # as of a full disk, which only the descriptor met
            error.filename = os.fspath(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that could not be written, before the work and without a trace.

    Raises
    ------
    OSError
        It is a folder; or what should be its folder, or is the nearest thing above, is none or cannot be
        written.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    above = Path(path).absolute().parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(above))
    if not os.access(above, os.W_OK):
        raise PermissionError(errno.EACCES, "cannot be written", os.fspath(above))


def portable_name(name: str) -> str:
    """Return a file's name with "_" for each character that Windows forbids in one."""
    return _FORBIDDEN.sub("_", name)
