"""Results in shards: which loops belong to one, which are finished, and how they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from loopsphere.errors import LoopsphereError
from loopsphere.scale.listing import Entry
from loopsphere.scale.storage import Folder

if TYPE_CHECKING:
    import pyarrow as pa

_PREFIX, _SUFFIX = "part-", ".parquet"
_KEY = b"loopsphere.shard"


@dataclass(frozen=True)
class Shard:
    """Loops whose results are one file.

    Attributes
    ----------
    index : int
        From 0, in the order of the listing.
    entries : tuple of Entry
    """

    index: int
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{_PREFIX}{self.index:08d}{_SUFFIX}"


def cut(entries: Iterable[Entry], size: int) -> Iterator[Shard]:
    """Cut a listing into shards of `size` loops; the last may be smaller."""
    stream, index = iter(entries), 0
    while batch := tuple(islice(stream, size)):
        yield Shard(index, batch)
        index += 1


class ShardFolder:
    """A folder of shards, of which some may be finished.

    Parameters
    ----------
    location : str
        Path or URI; made when the first shard is written.
    maker : mapping of str to str
        All that decides the results besides the loops: encoder, model, false-alarm rate. Kept in each shard.

    Raises
    ------
    LoopsphereError
        The folder holds files that are no shards.
    """

    def __init__(self, location: str, maker: Mapping[str, str]) -> None:
        self._folder = Folder(location)
        self._maker = {key.encode(): value.encode() for key, value in maker.items()}
        names = self._folder.names()
        foreign = [name for name in names if not (name.startswith((_PREFIX, f".{_PREFIX}")))]
        if foreign:
            raise LoopsphereError(
                f"{location} holds other files ({foreign[0]}); name a new folder, or one of an earlier run"
            )
        self._finished = {name for name in names if name.startswith(_PREFIX)}

    def is_finished(self, shard: Shard) -> bool:
        """Tell whether a shard was written by an earlier run.

        Raises
        ------
        LoopsphereError
            It was, but from other loops or by another encoder or model.
        """
        if shard.name not in self._finished:
            return False
        noted = self._folder.metadata(shard.name)
        self._finished.discard(shard.name)
        if noted.get(_KEY) != _digest(shard):
            raise LoopsphereError(
                f"{self._folder.path_of(shard.name)} was made from another listing, or in another size; "
                "name a new folder"
            )
        for key, value in self._maker.items():
            if noted.get(key) != value:
                was = noted.get(key, b"nothing").decode()
                raise LoopsphereError(
                    f"{self._folder.path_of(shard.name)} was made with {key.decode()} {was}, not "
                    f"{value.decode()}; name a new folder"
                )
        return True

    def check_all_known(self) -> None:
        """Raise LoopsphereError if there are shards beyond those of the listing; call it at the end."""
        if self._finished:
            raise LoopsphereError(
                f"{self._folder.location} also holds {len(self._finished)} shards of a longer listing, such "
                f"as {min(self._finished)}; remove them, or name a new folder"
            )

    def write(self, shard: Shard, table: pa.Table) -> None:
        """Write the rows of a shard, whole or not at all."""
        notes = {**self._maker, _KEY: _digest(shard)}
        self._folder.write(shard.name, table.replace_schema_metadata(notes))


def _digest(shard: Shard) -> bytes:
    digest = hashlib.sha256()
    for entry in shard.entries:
        digest.update(entry.path.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest().encode()
