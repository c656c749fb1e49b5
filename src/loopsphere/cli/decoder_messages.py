"""Standard error without what libmpg123 writes there of damaged frames: no path, no file, one line a frame.

It can be told to be quiet only through a handle that libsndfile keeps to itself, so its lines are left out
on the way: what C code writes to the descriptor passes through a pipe, what Python writes goes straight to
where it went before, so that a terminal stays a terminal. Once for the whole process: threads decode side
by side.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OF_A_DECODER = (
    b"[src/libmpg123/",
    b"Note: Illegal Audio-MPEG-Header",
    b"Note: Trying to resync",
    b"Note: Hit end of (available) data",
)
_STDERR = 2
_FAREWELL_S = 2.0  # a process that was started here and is left behind may keep the pipe open


@contextmanager
def left_out() -> Iterator[None]:
    """Leave these lines out of what reaches standard error."""
    try:
        is_usual = sys.stderr.fileno() == _STDERR
        outside = os.dup(_STDERR)
    except (OSError, ValueError, AttributeError):  # closed, or none
        is_usual = False
    if not is_usual:
        yield
        return
    usual = sys.stderr
    usual.flush()
    inlet, outlet = os.pipe()
    os.dup2(outlet, _STDERR)
    os.close(outlet)
    passing_on = threading.Thread(target=_pass_on, args=(inlet, outside), daemon=True)
    passing_on.start()
    sys.stderr = os.fdopen(
        outside, "w", buffering=1, encoding=usual.encoding, errors="backslashreplace", closefd=False
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = usual
        os.dup2(outside, _STDERR)  # closes the last end of the pipe, so that the thread ends
        passing_on.join(_FAREWELL_S)


def _pass_on(inlet: int, outside: int) -> None:
    with os.fdopen(inlet, "rb") as lines:
        for line in lines:
            if not line.startswith(_OF_A_DECODER):
                try:
                    os.write(outside, line)
                except OSError:  # nobody reads any more; what is written must still be taken
                    continue
