"""What one run recalls of its files and what it adds; without a library, nothing outlives the run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from loopsphere.errors import LibraryError
from loopsphere.library.records import FileRecord, Usage
from loopsphere.library.store import Library, now
from loopsphere.types import Float32Array

_LOOPS_PER_WRITE = 512
_SECONDS_PER_WRITE = 20.0
_COARSEST_CLOCK_NS = 2_000_000_000
"""Of file systems (FAT): within it, a file may change again and keep its modification time."""


class Memory:
    """The vectors of a run by audio hash: recalled, added, and written to the library in batches.

    Vectors come in kinds (the embedding by one encoder, the fingerprint); audio is known when all kinds are.
    A disk that fails ends the remembering, not the run; the library's `usage.problem` then holds the reason.

    Parameters
    ----------
    library : Library or None
    kinds : iterable of str
        Kinds of vectors that this run needs.

    Raises
    ------
    LibraryError
        The library cannot be read.
    """

    def __init__(self, library: Library | None, kinds: Iterable[str]) -> None:
        self._library = library
        self._files: dict[str, FileRecord] = {} if library is None else library.files()
        wanted = {file.audio_hash for file in self._files.values()}
        self._vectors = {kind: {} if library is None else library.vectors(kind, wanted) for kind in kinds}
        self._unwritten_files: list[FileRecord] = []
        self._unwritten_hashes: list[str] = []
        self._read_now: list[FileRecord] = []
        self._written_at = time.monotonic()
        self._may_write = library is not None and not library.is_read_only
        problem = None
        if library is not None and library.is_read_only:
            problem = f"{library.location} cannot be written, so nothing new is remembered"
        self.usage = Usage(problem=problem)

    def knows(self, audio_hash: str) -> bool:
        """Tell whether all vectors of this audio are at hand."""
        return all(audio_hash in vectors for vectors in self._vectors.values())

    def vector(self, kind: str, audio_hash: str) -> Float32Array:
        """Return a vector of audio that is known."""
        return self._vectors[kind][audio_hash]

    def recall(self, path: str) -> FileRecord | None:
        """Return what is known of a file that has not changed since it was read; it is not opened."""
        if self._library is None:
            return None
        record = self._files.get(self._library.stored_path(path))
        if record is None or not self.knows(record.audio_hash):
            return None
        try:
            status = Path(path).stat()
        except OSError:
            return None
        is_same = (status.st_size, status.st_mtime_ns) == (record.size, record.mtime_ns)
        recorded_ns = int(record.recorded_at.timestamp() * 1e9)
        return record if is_same and record.mtime_ns < recorded_ns - _COARSEST_CLOCK_NS else None

    def add(self, audio_hash: str, vectors: Mapping[str, Float32Array]) -> None:
        """Add new audio; `vectors` has all kinds."""
        for kind, known in self._vectors.items():
            known[audio_hash] = vectors[kind]
        self._unwritten_hashes.append(audio_hash)

    def keep_unchanged(self, record: FileRecord) -> None:
        """Count a file that was recalled, its path as the user wrote it; a missing one is there again."""
        self.usage = replace(self.usage, n_unchanged=self.usage.n_unchanged + 1)
        if self._library is not None and record.missing_since is not None:
            stored = self._library.stored_path(record.path)
            self._unwritten_files.append(replace(record, path=stored, missing_since=None))

    def keep(self, record: FileRecord, *, is_new: bool) -> None:
        """Count and remember a file that was read, whose audio has been added or was known.

        Parameters
        ----------
        record : FileRecord
            Its path as the user wrote it.
        is_new : bool
            Whether its audio is new.
        """
        if self._library is None:
            return
        usage = self.usage
        self.usage = replace(
            usage,
            n_new=usage.n_new + int(is_new),
            n_recognised=usage.n_recognised + int(not is_new),
        )
        stored = replace(record, path=self._library.stored_path(record.path))
        self._unwritten_files.append(stored)
        self._read_now.append(stored)
        is_due = time.monotonic() - self._written_at > _SECONDS_PER_WRITE
        if is_due or len(self._unwritten_files) >= _LOOPS_PER_WRITE:
            self.write()

    def write(self) -> None:
        """Write what has not been written yet."""
        files, hashes = self._unwritten_files, self._unwritten_hashes
        self._unwritten_files, self._unwritten_hashes = [], []
        if self._library is None or not self._may_write:
            return
        try:
            # Vectors first: a file that is remembered has all of them.
            for kind, known in self._vectors.items():
                self._library.put_vectors(kind, {audio_hash: known[audio_hash] for audio_hash in hashes})
            if files:
                self._library.put_files({file.path: file for file in files}.values())
        except LibraryError as error:
            self._give_up(error)
        self._written_at = time.monotonic()

    def finish(self, found: Iterable[str], folders: Iterable[str]) -> None:
        """Write the rest, mark the files that are gone, and leave `usage` with the library.

        Parameters
        ----------
        found : iterable of str
            Paths of all files that there are, usable or not.
        folders : iterable of str
            Searched in full: a known file below one of them that was not found may be gone.
        """
        library = self._library
        if library is None:
            return
        present = {library.stored_path(path) for path in found}
        prefixes = tuple(os.path.join(os.path.abspath(folder), "") for folder in folders)  # noqa: PTH100, PTH118
        gone = [
            replace(file, missing_since=now())
            for stored, file in self._files.items()
            if stored not in present
            and file.missing_since is None
            and (real := library.real_path(stored)).startswith(prefixes)
            and not os.path.lexists(real)
        ]
        self._unwritten_files += gone
        absent = {file.audio_hash for file in gone}
        absent |= {file.audio_hash for file in self._files.values() if file.missing_since is not None}
        n_moved = sum(file.audio_hash in absent and file.path not in self._files for file in self._read_now)
        self.usage = replace(self.usage, n_moved=n_moved, n_gone=len(gone))
        self.write()
        if self._may_write:
            try:
                library.tidy()
            except LibraryError as error:
                self._give_up(error)
        library.usage = self.usage

    def _give_up(self, error: LibraryError) -> None:
        self._may_write = False
        self.usage = replace(self.usage, problem=f"{error}; nothing more is remembered")
