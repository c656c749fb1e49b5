"""Which loops there are to do: folders and files, prefixes of an object store, Parquet files of paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO

from loopsphere.audio import AUDIO_EXTENSIONS, find_loops
from loopsphere.errors import LoopsphereError
from loopsphere.scale.storage import is_uri, list_files, parquet_batches, parquet_footer

_PATH_COLUMN = "path"
_ROWS_PER_READ = 65_536


@dataclass(frozen=True)
class Entry:
    """One loop to do, or one that cannot be done.

    Attributes
    ----------
    path : str
        Local path or URI.
    reason : str or None
        Why it cannot be done, where listing it told already.
    """

    path: str
    reason: str | None = None


def list_entries(
    sources: Iterable[str | os.PathLike[str]], *, stdin: TextIO | None = None
) -> Iterator[Entry]:
    """Yield the loops that the sources stand for, always in the same order.

    Parameters
    ----------
    sources : iterable of paths
        As for `loopsphere.embed`; also URIs such as `s3://bucket/loops`, and `.parquet` files with a column
        `path`, which may hold URIs and are read as a stream.
    stdin : text file or None
        None is the process's own.

    Raises
    ------
    LoopsphereError
        A store cannot be listed, or a Parquet file has no column `path`.
    """
    for source in (os.fspath(source) for source in sources):
        if PurePosixPath(source).suffix.lower() == ".parquet" and (is_uri(source) or Path(source).is_file()):
            yield from map(Entry, _column(source))
        elif is_uri(source):
            yield from map(Entry, filter(_is_loop, list_files(source)))
        else:
            loops, skipped = find_loops([source], stdin=stdin or sys.stdin)
            yield from map(Entry, loops)
            yield from (Entry(file.path, file.reason) for file in skipped)


def _is_loop(uri: str) -> bool:
    path = PurePosixPath(uri)
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts[1:])
    return path.suffix.lower() in AUDIO_EXTENSIONS and not is_hidden


def _column(source: str) -> Iterator[str]:
    if _PATH_COLUMN not in parquet_footer(source).schema.to_arrow_schema().names:
        raise LoopsphereError(f"{source} has no column {_PATH_COLUMN!r} that names the loops")
    for batch in parquet_batches(source, _ROWS_PER_READ, [_PATH_COLUMN]):
        for path in batch.column(0).to_pylist():
            if path is not None:
                yield str(path)
