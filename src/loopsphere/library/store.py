"""The store of a collection: what is known of its files, its audio and its runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopsphere.errors import LibraryError
from loopsphere.library.records import FileRecord, NearAudio, RunRecord, Usage
from loopsphere.library.tables import LOCK_WAIT_S, Tables, plain_columns
from loopsphere.types import Float32Array

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_NAME = ".loopsphere"
"""The library's folder inside a collection; hidden, so no loop is looked for in it."""

KEPT_BYTES = 32_000_000
"""Of one kind of what `put_made` keeps."""
_KEPT_RUNS = 20
_FILES, _ATTRIBUTES, _VERDICTS, _RUNS, _SCORES = "files", "attributes", "verdicts", "runs", "scores"


class Library:
    """What loopsphere remembers of a collection, in one folder of LanceDB tables; made by `open_library`.

    Audio is known by its hash, so a moved file is recognised and copies share what was computed. Each
    method is one transaction: a process that dies leaves the rows from before or after it.

    Parameters
    ----------
    tables : Tables
    root : str or None
        Absolute path; files below it are stored relative to it, so that the whole may be moved.
    """

    def __init__(self, tables: Tables, root: str | None) -> None:
        self._tables = tables
        self._root = root
        self.usage = Usage()
        """Of the last run that used it."""

    @property
    def location(self) -> str:
        """The folder or URI."""
        return self._tables.location

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be added."""
        return self._tables.is_read_only

    # --- files ---------------------------------------------------------------------------------------

    def stored_path(self, path: str | os.PathLike[str]) -> str:
        """Return a path as the library spells it."""
        absolute = os.path.abspath(path)  # noqa: PTH100  not `resolve`: links are entries of their own
        if self._root is not None:
            prefix = self._root if self._root.endswith(os.sep) else self._root + os.sep
            if absolute.startswith(prefix):
                return absolute[len(prefix) :].replace(os.sep, "/")
        return absolute

    def real_path(self, stored: str) -> str:
        """Return the absolute path of a file that the library knows."""
        return stored if self._root is None else os.path.normpath(Path(self._root) / stored)

    def files(self) -> dict[str, FileRecord]:
        """Return all files that were ever seen, by stored path."""
        found: dict[str, FileRecord] = {}
        for batch in self._tables.read(_FILES):
            columns = plain_columns(batch)
            columns["tags"] = [json.loads(tags) if tags else {} for tags in columns["tags"]]
            names = list(columns)
            for values in zip(*columns.values(), strict=True):
                record = FileRecord(**dict(zip(names, values, strict=True)))
                found[record.path] = record
        return found

    def put_files(self, files: Iterable[FileRecord]) -> None:
        """Add files or replace what is known of them."""
        import pyarrow as pa

        rows = [{**vars(file), "tags": json.dumps(dict(file.tags)) if file.tags else ""} for file in files]
        self._tables.upsert(_FILES, "path", pa.Table.from_pylist(rows, schema=_files_schema()))

    # --- vectors -------------------------------------------------------------------------------------

    def vectors(self, kind: str, wanted: set[str]) -> dict[str, Float32Array]:
        """Return vectors of one kind, by audio hash.

        Parameters
        ----------
        kind : str
            As given to `put_vectors`.
        wanted : set of str
            Audio hashes.

        Returns
        -------
        vectors : dict of str to float32 ndarray
            Only of those that are known.
        """
        found: dict[str, Float32Array] = {}
        if not wanted:
            return found
        for batch in self._tables.read(_vector_table(kind)):
            flat = np.from_dlpack(batch.column("vector").flatten())  # `to_numpy` would import pandas
            matrix = flat.reshape(batch.num_rows, -1)
            # Chosen rows are copied, so that one of them does not keep a whole batch alive.
            for row, audio_hash in enumerate(batch.column("audio_hash").to_pylist()):
                if audio_hash in wanted:
                    found[audio_hash] = matrix[row].astype(np.float32, copy=True)
        return found

    def put_vectors(self, kind: str, vectors: Mapping[str, Float32Array]) -> None:
        """Add vectors by audio hash; all of one kind have one length."""
        import pyarrow as pa

        if not vectors:
            return
        matrix = np.stack(list(vectors.values())).astype(np.float32, copy=False)
        schema = pa.schema([("audio_hash", pa.string()), ("vector", pa.list_(pa.float32(), matrix.shape[1]))])
        column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
        hashes = pa.array(list(vectors), pa.string())
        self._tables.upsert(_vector_table(kind), "audio_hash", pa.table([hashes, column], schema=schema))

    def nearest(
        self, kind: str, vector: Float32Array, n_loops: int, among: Iterable[str] | None = None
    ) -> list[NearAudio]:
        """Return the audio whose vectors point most nearly the same way, nearest first.

        Parameters
        ----------
        kind : str
        vector : float32 ndarray of shape (n_dimensions,)
        n_loops : int
        among : iterable of str or None
            Audio hashes to choose from; None is all.

        Returns
        -------
        neighbours : list of NearAudio
        """
        where = None if among is None else {"audio_hash": list(among)}
        rows = self._tables.nearest(_vector_table(kind), vector, n_loops, columns=["audio_hash"], where=where)
        return [NearAudio(row["audio_hash"], 1.0 - float(row["_distance"])) for row in rows]

    # --- attributes and verdicts ---------------------------------------------------------------------

    def attributes(self, version: str, wanted: set[str]) -> dict[str, dict[str, Any]]:
        """Return named values of the audio that is asked for, as computed by one version of the code."""
        found: dict[str, dict[str, Any]] = {}
        where = {"version": [version]}
        for batch in self._tables.read(_ATTRIBUTES, columns=["audio_hash", "content"], where=where):
            texts = batch.column("content")
            for row, audio_hash in enumerate(batch.column("audio_hash").to_pylist()):
                if audio_hash in wanted:
                    found[audio_hash] = json.loads(texts[row].as_py())
        return found

    def put_attributes(self, version: str, attributes: Mapping[str, Mapping[str, Any]]) -> None:
        """Add named values by audio hash; JSON must be able to hold them."""
        rows = [
            {"audio_hash": audio_hash, "version": version, "content": json.dumps(dict(values))}
            for audio_hash, values in attributes.items()
        ]
        table = _strings(rows, ["audio_hash", "version", "content"])
        self._tables.upsert(_ATTRIBUTES, ["audio_hash", "version"], table)

    def verdicts(self, version: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what comparing two audio hashes (the smaller first) came to, by one version of the code."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        where = {"version": [version]}
        for batch in self._tables.read(_VERDICTS, columns=["hash_a", "hash_b", "content"], where=where):
            columns = batch.to_pydict()
            pairs = zip(columns["hash_a"], columns["hash_b"], strict=True)
            found.update(zip(pairs, map(json.loads, columns["content"]), strict=True))
        return found

    def put_verdicts(self, version: str, verdicts: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Add what comparing pairs came to."""
        rows = [
            {"hash_a": first, "hash_b": second, "version": version, "content": json.dumps(dict(values))}
            for (first, second), values in verdicts.items()
        ]
        table = _strings(rows, ["hash_a", "hash_b", "version", "content"])
        self._tables.upsert(_VERDICTS, ["hash_a", "hash_b", "version"], table)

    # --- what was made -------------------------------------------------------------------------------

    def made(self, kind: str, wanted: Collection[str]) -> dict[str, bytes]:
        """Return what was made before and kept by `put_made`, of the keys that are asked for."""
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        for batch in self._tables.read(_made_table(kind), columns=["key", "content"]):
            contents = batch.column("content")
            for row, key in enumerate(batch.column("key").to_pylist()):
                if key in wanted:
                    found[key] = contents[row].as_py()
        return found

    def put_made(self, kind: str, contents: Mapping[str, bytes]) -> None:
        """Keep what takes long to make; of one kind, the oldest beyond `KEPT_BYTES` go.

        Parameters
        ----------
        kind : str
        contents : mapping of str to bytes
            By keys that tell all that decides the content, the version of the code that makes it too.
        """
        import pyarrow as pa

        made_at = now()
        rows = [
            {"key": key, "content": content, "size": len(content), "made_at": made_at}
            for key, content in contents.items()
        ]
        table = _made_table(kind)
        self._tables.upsert(table, "key", pa.Table.from_pylist(rows, schema=_made_schema()))
        self._drop_old_made(table)

    def _drop_old_made(self, table: str) -> None:
        rows = self._tables.rows(table, columns=["key", "size", "made_at"])
        rows.sort(key=lambda row: row["made_at"], reverse=True)
        sizes = np.cumsum([row["size"] for row in rows])
        old = [row["key"] for row, size in zip(rows, sizes, strict=True) if size > KEPT_BYTES]
        if old:
            self._tables.delete(table, {"key": old})

    # --- runs ----------------------------------------------------------------------------------------

    def run(self, key: str) -> RunRecord | None:
        """Return the scores of an earlier scan, or None."""
        heads = self._tables.rows(_RUNS, where={"run_key": [key]})
        if not heads:
            return None
        head = heads[0]
        rows = self._tables.rows(_SCORES, where={"run_key": [key]})
        rows.sort(key=lambda row: row["row"])
        # The scores are written before their head, so they are whole.
        return RunRecord(
            key=key,
            made_at=head["made_at"],
            encoder=head["encoder"],
            encoder_hash=head["encoder_hash"],
            detector=head["detector"],
            seed=head["seed"],
            notes=tuple(json.loads(head["notes"])),
            paths=tuple(row["path"] for row in rows),
            audio_hashes=tuple(row["audio_hash"] for row in rows),
            anomaly_scores=np.array([row["anomaly_score"] for row in rows]),
            p_values=np.array([row["p_value"] for row in rows]),
        )

    def put_run(self, run: RunRecord) -> None:
        """Add the scores of a scan; the oldest beyond twenty go."""
        import pyarrow as pa

        n_loops = len(run.audio_hashes)
        scores: dict[str, Sequence[Any] | npt.NDArray[np.float64]] = {
            "run_key": [run.key] * n_loops,
            "row": range(n_loops),
            "path": run.paths,
            "audio_hash": run.audio_hashes,
            "anomaly_score": run.anomaly_scores,
            "p_value": run.p_values,
        }
        head = {**vars(run), "run_key": run.key, "notes": json.dumps(run.notes)}
        self._tables.upsert(_SCORES, ["run_key", "row"], pa.table(scores, schema=_scores_schema()))
        self._tables.upsert(_RUNS, "run_key", pa.Table.from_pylist([head], schema=_runs_schema()))
        self._drop_old_runs()

    def _drop_old_runs(self) -> None:
        runs = self._tables.rows(_RUNS, columns=["run_key", "made_at"])
        runs.sort(key=lambda row: row["made_at"])
        old = [row["run_key"] for row in runs[:-_KEPT_RUNS]]
        if old:
            self._tables.delete(_RUNS, {"run_key": old})
            self._tables.delete(_SCORES, {"run_key": old})

    def try_to(self, write: Callable[[], None]) -> None:
        """Write what can be done without; the first failure is left in `usage`, and ends all trying."""
        if self.is_read_only or self.usage.problem is not None:
            return
        try:
            write()
        except LibraryError as error:
            self.usage = replace(self.usage, problem=f"{error}; nothing more is remembered")

    def tidy(self) -> None:
        """Merge the many small files that many small writes leave."""
        self._tables.tidy()


def open_library(location: str | os.PathLike[str], *, wait_s: float = LOCK_WAIT_S) -> Library:
    """Open a library, or make one.

    Parameters
    ----------
    location : path or URI
        A folder, made if it does not exist, or what LanceDB understands, such as `s3://bucket/prefix`.
    wait_s : float, default=60
        How long an operation waits for another process that uses the library.

    Returns
    -------
    library : Library
        Read-only where the folder is there but cannot be written.

    Raises
    ------
    LibraryError
        The folder cannot be made.
    """
    shown = os.fspath(location)
    if "://" in shown:
        return Library(Tables(shown, wait_s=wait_s), None)
    absolute = os.path.abspath(shown)  # noqa: PTH100
    return Library(Tables(absolute, wait_s=wait_s), str(Path(absolute).parent))


def now() -> datetime:
    """Return the time as the library stores it."""
    return datetime.now(UTC)


def _vector_table(kind: str) -> str:
    return f"vectors-{kind}"


def _made_table(kind: str) -> str:
    return f"made-{kind}"


def _strings(rows: list[dict[str, str]], names: list[str]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in names]))


def _files_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("path", pa.string()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("recorded_at", pa.timestamp("us", "UTC")),
            ("audio_hash", pa.string()),
            ("duration_s", pa.float64()),
            ("sample_rate", pa.int32()),
            ("n_channels", pa.int32()),
            ("tags", pa.string()),
            ("missing_since", pa.timestamp("us", "UTC")),
        ]
    )


def _made_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("key", pa.string()),
            ("content", pa.binary()),
            ("size", pa.int64()),
            ("made_at", pa.timestamp("us", "UTC")),
        ]
    )


def _runs_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("run_key", pa.string()),
            ("made_at", pa.timestamp("us", "UTC")),
            ("encoder", pa.string()),
            ("encoder_hash", pa.string()),
            ("detector", pa.string()),
            ("seed", pa.int64()),
            ("notes", pa.string()),
        ]
    )


def _scores_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("run_key", pa.string()),
            ("row", pa.int64()),
            ("path", pa.string()),
            ("audio_hash", pa.string()),
            ("anomaly_score", pa.float64()),
            ("p_value", pa.float64()),
        ]
    )
