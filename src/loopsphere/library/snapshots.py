"""Copies of small tables, from which what has not changed is read without LanceDB.

Importing LanceDB takes longer than all that a second look at a small collection asks of it. A snapshot states
the names, sizes and times of its table's files: it counts only as long as they are what they were when it was
taken, so whatever happens to a table, and to whoever wrote to it, an old snapshot is not believed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BYTES = 48_000_000
"""Of a table's files. Larger ones have no snapshot: to read them takes longer than to import LanceDB."""
_VERSION = "1"
_STATE_KEY = b"loopsphere snapshot of"
_DIGEST_SIZE = hashlib.sha256().digest_size


def read_snapshot(folder: Path, name: str) -> pa.Table | None:
    """Return the rows of a table, or None where there is no snapshot of it as it is now.

    Parameters
    ----------
    folder : Path
        The library's.
    name : str
        The table's.
    """
    state = _state(folder, name)
    try:
        content = _path(folder, name).read_bytes()
    except OSError:
        return None
    body = memoryview(content)[_DIGEST_SIZE:]
    if state is None or hashlib.sha256(body).digest() != content[:_DIGEST_SIZE]:
        return None
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
        if (stream.schema.metadata or {}).get(_STATE_KEY) != state:
            return None
        return stream.read_all()


def is_small(folder: Path, name: str) -> bool:
    """Tell whether a table may have a snapshot."""
    return 0 < sum(size for _, size, _ in _files(folder / f"{name}.lance")) <= MAX_BYTES


def write_snapshot(folder: Path, name: str, rows: pa.Table) -> None:
    """Keep the rows of a table as it is now; only under the library's lock.

    A disk that refuses costs the snapshot alone.
    """
    state = _state(folder, name)
    if state is None:
        return
    import pyarrow as pa

    marked = rows.replace_schema_metadata({_STATE_KEY: state})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, marked.schema) as stream:
        stream.write_table(marked)
    body = sink.getvalue()
    path = _path(folder, name)
    # One name for all, not one for each process as of other files: what a killed one leaves is overwritten.
    unfinished = path.with_suffix(".part")
    with suppress(OSError):
        with unfinished.open("wb") as file:
            file.write(hashlib.sha256(body).digest())
            file.write(body)
        unfinished.replace(path)


def drop_snapshot(folder: Path, name: str) -> None:
    """Remove a snapshot, if there is one, of a table that has outgrown it."""
    with suppress(OSError):
        _path(folder, name).unlink(missing_ok=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.snapshot"


def _state(folder: Path, name: str) -> bytes | None:
    """Return all that tells whether a table has changed; None where there is no such table."""
    files = sorted(_files(folder / f"{name}.lance"))
    return json.dumps([_VERSION, files]).encode() if files else None


def _files(folder: Path, below: str = "") -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of each file of a table."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        name = below + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder / entry.name, name + "/")
        else:
            status = Path(entry.path).stat()
            yield name, status.st_size, status.st_mtime_ns
