"""LanceDB tables in a folder that several processes may use: opened, locked, read and written.

Everything that can go wrong on the disk comes out of here as a `LibraryError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopsphere.errors import LibraryError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

LOCK_WAIT_S = 60.0
_FORMAT_KEY = b"loopsphere library format"
_FORMAT = b"1"
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
    the process that holds it, however that ends.

    Parameters
    ----------
    location : str
        A folder, or a URI that LanceDB understands, such as `s3://bucket/prefix`.
    wait_s : float
        How long to wait for another process.
    """

    def __init__(self, location: str, *, wait_s: float = LOCK_WAIT_S) -> None:
        import lancedb
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
        with self._reported("opened"):
            self._db = lancedb.connect(location)

    def read(
        self, name: str, *, columns: list[str] | None = None, where: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table, none if there is no such table."""
        with self._held("read"):
            table = self._table(name)
            if table is None:
                return
            query = table.search()
            if columns is not None:
                query = query.select(columns)
            if where is not None:
                query = query.where(where)
            yield from query.to_batches()

    def rows(
        self, name: str, *, columns: list[str] | None = None, where: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a table as dicts, none if there is no such table."""
        return [row for batch in self.read(name, columns=columns, where=where) for row in batch.to_pylist()]

    def nearest(
        self, name: str, vector: Any, n_rows: int, *, columns: list[str], where: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows whose `vector` has the smallest cosine distance, nearest first."""
        with self._held("read"):
            table = self._table(name)
            if table is None:
                return []
            query = table.search(vector, vector_column_name="vector").distance_type("cosine")
            if where is not None:
                query = query.where(where, prefilter=True)
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

    def delete(self, name: str, where: str) -> None:
        """Remove rows."""
        with self._held("written"):
            table = self._table(name)
            if table is not None:
                table.delete(where)

    def tidy(self) -> None:
        """Merge the many small files that many small writes leave."""
        with self._held("written"):
            for table in self._opened.values():
                self._compact(table, _FEW_FRAGMENTS)

    def _compact(self, table: Any, n_allowed: int) -> None:
        if table.stats()["fragment_stats"]["num_fragments"] <= n_allowed:
            return
        if self.is_local:
            # Under the lock nobody reads an older version, and what no version names is a dead write's.
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        else:
            table.optimize()

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
