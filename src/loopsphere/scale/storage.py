"""Where listings, loops and shards lie: a local path, or a URI of an object store."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from loopsphere.errors import AudioError, LoopsphereError, first_line
from loopsphere.files import portable_name, whole_file

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: `C:` is a drive
_MAX_FILE_BYTES = 2 << 30
"""Ten minutes of eight channels at 96 kHz in 32 bits are 1.8 GB."""
_COPY_BYTES = 1 << 20
_WRITING: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}
"""A dictionary of numbers that hardly repeat makes a row of embeddings half as large again."""


def is_uri(path: str) -> bool:
    """Tell whether a path is a URI such as `s3://bucket/loops`."""
    return _URI.match(path) is not None


def file_system(uri: str) -> tuple[Any, str]:
    """Return the pyarrow file system of a URI and the path in it.

    Parameters
    ----------
    uri : str
        What pyarrow knows (`file`, `s3`, `gs`, `hdfs`, ...) or, where fsspec is installed, what fsspec knows.

    Raises
    ------
    LoopsphereError
        Neither knows the scheme, or the store cannot be reached.
    """
    scheme, _, rest = uri.partition("://")
    try:
        return _system(scheme, rest.partition("/")[0]), _path_in(uri)
    except (ValueError, OSError, ImportError) as error:
        raise LoopsphereError(f"{uri} cannot be opened: {first_line(error)}") from error


def _path_in(uri: str) -> str:
    from pyarrow import fs

    try:
        return str(fs.FileSystem.from_uri(uri)[1])
    except (ValueError, OSError):
        return uri.partition("://")[2]


@lru_cache(maxsize=32)
def _system(scheme: str, bucket: str) -> Any:
    """Return one file system a bucket: making one may ask the store for the bucket's region."""
    from pyarrow import fs

    try:
        return fs.FileSystem.from_uri(f"{scheme}://{bucket}/" if bucket else f"{scheme}:///")[0]
    except (ValueError, OSError):
        import fsspec

        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))


def list_files(uri: str) -> Iterator[str]:
    """Yield the URIs of the files below a URI, in the order of their names.

    Raises
    ------
    LoopsphereError
        There is nothing there, or it cannot be listed.
    """
    from pyarrow import fs

    system, path = file_system(uri)
    try:
        info = system.get_file_info(path)
        if info.type == fs.FileType.File:
            yield uri
            return
        found = system.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise LoopsphereError(f"{uri} cannot be listed: {error}") from error
    below = PurePosixPath("/", path)  # some stores root what they list, and some do not
    names = sorted(
        PurePosixPath("/", info.path).relative_to(below).as_posix()
        for info in found
        if info.type == fs.FileType.File
    )
    for name in names:
        yield f"{uri.rstrip('/')}/{name}"


@contextmanager
def local_file(path: str) -> Iterator[str]:
    """Give the path of a local copy of a file; a local file is its own.

    Raises
    ------
    AudioError
        The file of a URI is missing, cannot be read or is absurdly large.
    """
    if not is_uri(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="loopsphere-") as folder:
        # Its name is kept: tempo and key may stand in it.
        copy = Path(folder) / portable_name(PurePosixPath(path).name)
        try:
            system, inside = file_system(path)
            with system.open_input_stream(inside) as source, copy.open("wb") as target:
                n_bytes = 0
                while block := source.read(_COPY_BYTES):
                    n_bytes += len(block)
                    if n_bytes > _MAX_FILE_BYTES:
                        raise AudioError(f"larger than {_MAX_FILE_BYTES >> 30} GiB")
                    target.write(block)
        except FileNotFoundError as error:
            raise AudioError("no such file") from error
        except AudioError:
            raise
        except (OSError, LoopsphereError) as error:
            raise AudioError(f"cannot be read ({first_line(error)})") from error
        yield str(copy)


@contextmanager
def _parquet(source: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, local or of a URI; what is wrong with it becomes an error of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if is_uri(source):
            system, path = file_system(source)
            with system.open_input_file(path) as file:
                yield pq.ParquetFile(file)
        else:
            with pq.ParquetFile(source) as file:
                yield file
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise LoopsphereError(f"{source} cannot be read as Parquet: {first_line(error)}") from error


def parquet_footer(source: str) -> pq.FileMetaData:
    """Return what a Parquet file says of its columns, rows and writer, without reading its rows.

    Raises
    ------
    LoopsphereError
        It cannot be read.
    """
    with _parquet(source) as file:
        return file.metadata


def parquet_batches(
    source: str, n_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, at most `n_rows` at a time, all columns or some.

    One row group of the file is in memory at a time.

    Raises
    ------
    LoopsphereError
        It cannot be read, or is damaged.
    """
    with _parquet(source) as file:
        for group in range(file.num_row_groups):  # all at once, Arrow keeps those that it has read
            n_missing = file.metadata.row_group(group).num_rows
            for batch in file.iter_batches(n_rows, row_groups=[group], columns=columns):
                batch.validate(full=True)  # text that is no UTF-8 would be found much later
                n_missing -= len(batch)
                yield batch
            if n_missing:  # of which Arrow says nothing where a page header is damaged
                raise ValueError(f"{n_missing} rows are missing")


@dataclass(frozen=True)
class Folder:
    """A folder of results, local or in an object store.

    Attributes
    ----------
    location : str
        Path or URI.
    """

    location: str

    def names(self) -> list[str]:
        """Return the names of the files in it; none where it does not exist yet."""
        if not is_uri(self.location):
            folder = Path(self.location)
            return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        from pyarrow import fs

        system, path = file_system(self.location)
        selector = fs.FileSelector(path, allow_not_found=True)
        return sorted(info.base_name for info in system.get_file_info(selector))

    def path_of(self, name: str) -> str:
        """Return the path or URI of a file in it."""
        return (
            f"{self.location.rstrip('/')}/{name}"
            if is_uri(self.location)
            else str(Path(self.location) / name)
        )

    def metadata(self, name: str) -> dict[bytes, bytes]:
        """Return what the writer of a Parquet file in it noted, without reading its rows."""
        return dict(parquet_footer(self.path_of(name)).metadata or {})

    def write(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file whole or not at all.

        Object stores show a file once it is complete; on a disk it is moved to its name when it is.
        """
        import pyarrow.parquet as pq

        if not is_uri(self.location):
            with whole_file(self.path_of(name)) as file:
                pq.write_table(table, file, **_WRITING)
            return
        system, path = file_system(self.path_of(name))
        system.create_dir(str(PurePosixPath(path).parent), recursive=True)
        buffer = _parquet_bytes(table)
        with system.open_output_stream(path) as stream:
            stream.write(buffer)


def _parquet_bytes(table: pa.Table) -> pa.Buffer:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_WRITING)
    return sink.getvalue()
