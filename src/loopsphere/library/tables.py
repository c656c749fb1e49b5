"""LanceDB tables in a folder that several processes may use: opened, locked, read and written.

Everything that can go wrong on the disk comes out of here as a `LibraryError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loopsphere.errors import LibraryError, first_line
from loopsphere.library.snapshots import drop_snapshot, is_small, read_snapshot, write_snapshot

if TYPE_CHECKING:
    import pyarrow as pa

Where = Mapping[str, Collection[str]]
"""Which rows: those that have one of some values in each of some columns."""

LOCK_WAIT_S = 60.0
_FORMAT_KEY = b"loopsphere library format"
_FORMAT = b"1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEW_FRAGMENTS = 12
"""Each write adds a fragment and a version; beyond this many, a table is rewritten as one."""

_PLAIN_REASONS = (
    ("No space left on device", "the disk is full"),
    ("Disk quota exceeded", "the disk quota is used up"),
    ("Read-only file system", "the file system is read-only"),
    ("Permission denied", "no permission to write there"),
    ("File too large", "the file system refuses a file of this size"),
    ("Input/output error", "the disk reports an error"),
)


class Tables:
    """The tables of one library.

    On a local disk each operation holds the library's lock, so that a reader never sees a version that a
    writer is about to remove, and two writers take turns. The lock is the operating system's: it ends with
    the process that holds it, however that ends. Small tables there also have a snapshot, so that LanceDB is
    imported only where something is written or has changed.

    Parameters
    ----------
    location : str
        A folder, or a URI that LanceDB understands, such as `s3://bucket/prefix`.
    wait_s : float
        How long to wait for another process.
    """

    def __init__(self, location: str, *, wait_s: float = LOCK_WAIT_S) -> None:
        from filelock import FileLock

        self.location = location
        self.is_local = "://" not in location
        self.is_read_only = False
        self._wait_s = wait_s
        # Any: LanceDB's own annotations leave out what its objects do.
        self._opened: dict[str, Any] = {}
        if self.is_local:
            folder = Path(location)
            self.is_read_only = not _make_writable(folder)
            self._lock = FileLock(folder / "lock", timeout=wait_s)
        else:
            with self._reported("opened"):
                _ = self._db  # an address that is wrong is told at once

    @cached_property
    def _db(self) -> Any:
        import lancedb

        return lancedb.connect(self.location)

    def read(
        self, name: str, *, columns: list[str] | None = None, where: Where | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table, none if there is no such table."""
        with self._held("read"):
            if self.is_local and not self._holds(name):
                return
            small = self._small(name)
            if small is not None:
                yield from _chosen(small, columns, where).to_batches()
                return
            table = self._table(name)
            if table is None:
                return
            query = table.search()
            if columns is not None:
                query = query.select(columns)
            if where is not None:
                query = query.where(_sql(where))
            yield from query.to_batches()

    def rows(
        self, name: str, *, columns: list[str] | None = None, where: Where | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a table as dicts, none if there is no such table."""
        found: list[dict[str, Any]] = []
        for batch in self.read(name, columns=columns, where=where):
            values = plain_columns(batch)
            found += [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        return found

    def nearest(
        self, name: str, vector: Any, n_rows: int, *, columns: list[str], where: Where | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows whose `vector` has the smallest cosine distance, nearest first."""
        with self._held("read"):
            table = self._table(name)
            if table is None:
                return []
            query = table.search(vector, vector_column_name="vector").distance_type("cosine")
            if where is not None:
                query = query.where(_sql(where), prefilter=True)
            rows: list[dict[str, Any]] = query.select([*columns, "_distance"]).limit(n_rows).to_list()
            return rows

    def upsert(self, name: str, key: str | list[str], rows: pa.Table) -> None:
        """Insert rows, replacing those of the same key; all of them or none."""
        if not rows.num_rows:
            return
        with self._held("written"):
            table = self._made(name, rows.schema)
            table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all().execute(rows)
            self._compact(table, _FEW_FRAGMENTS * 4)
            self._snap(name, table)

    def delete(self, name: str, where: Where) -> None:
        """Remove rows."""
        with self._held("written"):
            table = self._table(name)
            if table is not None:
                table.delete(_sql(where))
                self._snap(name, table)

    def tidy(self) -> None:
        """Merge the many small files that many small writes leave."""
        with self._held("written"):
            for name, table in self._opened.items():
                if self._compact(table, _FEW_FRAGMENTS):
                    self._snap(name, table)

    def _holds(self, name: str) -> bool:
        """Tell, on a local disk, whether there is anything of a table."""
        return (Path(self.location) / f"{name}.lance").is_dir()

    def _small(self, name: str) -> pa.Table | None:
        """Return all rows of a small table on a local disk; None where it is not one."""
        if not self.is_local:
            return None
        rows = read_snapshot(Path(self.location), name)
        if rows is None and is_small(Path(self.location), name) and (table := self._table(name)) is not None:
            rows = self._snap(name, table)
        return rows

    def _snap(self, name: str, table: Any) -> pa.Table | None:
        """Take a snapshot of a table if it is small, and return its rows."""
        if not self.is_local:
            return None
        folder = Path(self.location)
        if not is_small(folder, name):
            drop_snapshot(folder, name)
            return None
        rows = table.to_arrow()
        if not self.is_read_only:
            write_snapshot(folder, name, rows)
        return rows

    def _compact(self, table: Any, n_allowed: int) -> bool:
        """Rewrite a table that is in more than so many pieces; return whether it was."""
        if table.stats()["fragment_stats"]["num_fragments"] <= n_allowed:
            return False
        if self.is_local:
            # Under the lock nobody reads an older version, and what no version names is a dead write's.
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        else:
            table.optimize()
        return True

    def _table(self, name: str) -> Any:
        table = self._opened.get(name)
        if table is not None:
            table.checkout_latest()
            return table
        try:
            table = self._db.open_table(name)
        except ValueError as error:
            # Also a table whose making was interrupted before its first version was whole.
            if "was not found" in str(error):
                return None
            raise
        written_by = (table.schema.metadata or {}).get(_FORMAT_KEY)
        if written_by != _FORMAT:
            raise LibraryError(
                f"{self.location}: made by another version of loopsphere; update, or delete it to start again"
            )
        self._opened[name] = table
        return table

    def _made(self, name: str, schema: pa.Schema) -> Any:
        table = self._table(name)
        if table is None:
            marked = schema.with_metadata({_FORMAT_KEY: _FORMAT})
            table = self._db.create_table(name, schema=marked, exist_ok=True)
            self._opened[name] = table
        return table

    @contextmanager
    def _held(self, done: str) -> Iterator[None]:
        """Hold the lock while something is read or written."""
        if done == "written" and self.is_read_only:
            raise LibraryError(f"{self.location}: cannot be written (no permission to write there)")
        with self._reported(done):
            if not self.is_local or self.is_read_only:
                yield
                return
            from filelock import Timeout

            try:
                self._lock.acquire()
            except Timeout as error:
                raise LibraryError(
                    f"{self.location}: in use by another process for over {self._wait_s:.0f} s; "
                    "try again later"
                ) from error
            try:
                yield
            finally:
                self._lock.release()

    @contextmanager
    def _reported(self, done: str) -> Iterator[None]:
        """Turn the many exceptions of LanceDB and the disk into one in the user's words."""
        try:
            yield
        # RuntimeError is what goes wrong in Rust, ValueError an address or a table that it does not know.
        except (OSError, RuntimeError, ValueError) as error:
            reason = _plain_reason(error)
            advice = ""
            if not self.is_local:
                advice = "; check the address and the credentials, or go on without it: --no-library"
            elif reason not in dict(_PLAIN_REASONS).values():
                advice = (
                    "; delete this folder to start again (only what loopsphere remembers is lost), "
                    "or go on without it: --no-library"
                )
            raise LibraryError(f"{self.location}: cannot be {done} ({reason}){advice}") from error


def plain_columns(batch: pa.RecordBatch) -> dict[str, list[Any]]:
    """Return columns as Python values, as `to_pydict` does."""
    import pyarrow as pa

    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_timestamp(column.type):  # for which pyarrow would import pandas
            times = column.view(pa.int64()).to_pylist()
            columns[name] = [None if us is None else _EPOCH + timedelta(microseconds=us) for us in times]
        else:
            columns[name] = column.to_pylist()
    return columns


def _chosen(rows: pa.Table, columns: list[str] | None, where: Where | None) -> pa.Table:
    """Return some rows and columns of a table, as LanceDB would."""
    import pyarrow as pa

    for column, values in (where or {}).items():
        is_wanted = np.array([value in values for value in rows[column].to_pylist()], dtype=np.bool_)
        # Made of its bits, because to make an array of anything else pyarrow imports pandas.
        bits = pa.py_buffer(np.packbits(is_wanted, bitorder="little").tobytes())
        rows = rows.filter(pa.Array.from_buffers(pa.bool_(), len(is_wanted), [None, bits]))
    return rows if columns is None else rows.select(columns)


def _sql(where: Where) -> str:
    parts = [f"{column} IN ({', '.join(map(_quoted, values))})" for column, values in where.items()]
    return " AND ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _make_writable(folder: Path) -> bool:
    """Make the library's folder; return whether it can be written, if it is there at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Append: the lock of another process stays what it is.
        with (folder / "lock").open("ab"):
            return True
    except OSError as error:
        if folder.is_dir():
            return False
        reason = error.strerror or str(error)
        raise LibraryError(f"{os.fspath(folder)}: the library's folder cannot be made ({reason})") from error


def _plain_reason(error: Exception) -> str:
    text = str(error)
    for sign, reason in _PLAIN_REASONS:
        if sign in text:
            return reason
    # What follows is a path on the machine that compiled LanceDB.
    return re.split(r", /[^ ]*\.rs:", first_line(error))[0][:300]
