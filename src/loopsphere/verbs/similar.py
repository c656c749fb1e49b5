"""The verb `similar`: the loops that sound most like one loop."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from loopsphere.collection.attributes import attributes_of
from loopsphere.collection.embedding import DEFAULT_ENCODER, Sources, embed_with, embedding_kind
from loopsphere.encoders.precision import DEFAULT_PRECISION
from loopsphere.errors import LibraryError, UnknownNameError
from loopsphere.explain.filename_hints import Key, key_in_tag
from loopsphere.library.records import FileRecord, NearAudio
from loopsphere.library.store import Library, open_library
from loopsphere.progress import Progress, silent
from loopsphere.settings import Settings
from loopsphere.tabular import frame, html_table
from loopsphere.types import EmbedResult

if TYPE_CHECKING:
    import pandas as pd

_FIRST_POOL = 4  # times as many as asked for are looked at first where tempo or key choose among them


@dataclass(frozen=True)
class SimilarLoop:
    """One near loop.

    Attributes
    ----------
    path : str
    copies : tuple of str
        Other files of the very same samples.
    similarity : float
        Cosine of the embeddings, at most 1.
    tempo_bpm : float or None
    key : str or None
        Both None where they were not asked about.
    """

    path: str
    copies: tuple[str, ...]
    similarity: float
    tempo_bpm: float | None = None
    key: str | None = None


@dataclass(frozen=True)
class SimilarResult:
    """The answer of `similar`; `len` counts the loops, iterating yields them.

    Attributes
    ----------
    loop : str
        The path that was asked about.
    n_searched : int
        Different loops that there were to choose from.
    loops : tuple of SimilarLoop
        Nearest first.
    """

    loop: str
    n_searched: int
    loops: tuple[SimilarLoop, ...]

    def __len__(self) -> int:
        """Return how many loops were found."""
        return len(self.loops)

    def __iter__(self) -> Iterator[SimilarLoop]:
        """Yield the loops, nearest first."""
        return iter(self.loops)

    def __repr__(self) -> str:
        return f"SimilarResult(loop={self.loop!r}, n_loops={len(self)}, n_searched={self.n_searched})"

    def _repr_html_(self) -> str:
        rows = [asdict(loop) for loop in self.loops]
        return html_table(repr(self), rows, ("path", "similarity", "tempo_bpm", "key"), played="path")

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, ready for JSON."""
        return {**asdict(self), "loops": [asdict(loop) for loop in self.loops]}

    def to_frame(self) -> pd.DataFrame:
        """Return one row a loop as a pandas frame, with the columns of `SimilarLoop`.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return frame([asdict(loop) for loop in self.loops], [of.name for of in fields(SimilarLoop)])


@dataclass(frozen=True)
class Wish:
    """Which loops are wanted; None is any.

    Attributes
    ----------
    tempo_bpm : (float, float) or None
        From, to.
    key : Key or None
        A root without a mode takes both modes.
    """

    tempo_bpm: tuple[float, float] | None = None
    key: Key | None = None

    def is_met(self, tempo_bpm: float | None, key: str | None) -> bool:
        """Tell whether a loop of this tempo and key is wanted; one without is not."""
        if self.tempo_bpm is not None:
            low, high = self.tempo_bpm
            if tempo_bpm is None or not low <= tempo_bpm <= high:
                return False
        if self.key is None:
            return True
        own = None if key is None else key_in_tag(key)
        return own is not None and own.tonic == self.key.tonic and own.is_minor in (self.key.is_minor, None)


def wish_from(bpm: str | None, key: str | None) -> Wish:
    """Read what a user wants.

    Parameters
    ----------
    bpm : str or None
        '90-110', or '100' for 99 to 101.
    key : str or None
        'Am', 'F# minor', '8A'.

    Raises
    ------
    UnknownNameError
        Either cannot be read.
    """
    tempo_bpm = None
    if bpm is not None:
        low, dash, high = bpm.partition("-")
        try:
            tempo_bpm = (float(low), float(high)) if dash else (float(low) - 1.0, float(low) + 1.0)
        except ValueError as error:
            raise UnknownNameError(f"a tempo is such as 100 or 90-110, not {bpm!r}") from error
        if not tempo_bpm[0] <= tempo_bpm[1]:
            raise UnknownNameError(f"tempos go from the slower to the faster, such as 90-110, not {bpm!r}")
    wanted = None if key is None else key_in_tag(key)
    if key is not None and wanted is None:
        raise UnknownNameError(f"a key is such as Am, 'F# minor' or 8A, not {key!r}")
    return Wish(tempo_bpm, wanted)


def similar(
    loop: str | os.PathLike[str],
    within: Sources | None = None,
    *,
    bpm: str | None = None,
    key: str | None = None,
    n_loops: int = 10,
    encoder: str = DEFAULT_ENCODER,
    device: str = "auto",
    precision: str = DEFAULT_PRECISION,
    library: Library | None = None,
    progress: Progress = silent,
) -> SimilarResult:
    """Find the loops that sound most like one loop.

    Parameters
    ----------
    loop : path
        It need not be among the others, and is not added to the library; other files of the same samples are
        not listed.
    within : path or iterable of paths, or None
        Where to search, as for `embed`. None is all that the library knows and that is still there.
    bpm : str or None
        Only loops of this tempo: '90-110', or '100' for 99 to 101. Measured where it is not known yet.
    key : str or None
        Only loops in this key: 'Am', 'F# minor', '8A'; a root without a mode takes both modes.
    n_loops : int, default=10
    encoder, device, precision, progress
        As for `embed`.
    library : Library or None
        Remembers what is heard; None remembers nothing.

    Returns
    -------
    result : SimilarResult

    Raises
    ------
    NothingUsableError
        The loop, or none of those to search, can be read.
    LibraryError
        There is nothing to search, or no loop embedded by this encoder.
    UnknownNameError
        The tempo or the key cannot be read.

    Examples
    --------
    >>> import loopsphere as ls
    >>> for near in ls.similar("kick.wav", "loops/drums", bpm="90-110"):  # doctest: +SKIP
    ...     print(near.similarity, near.path)
    """
    wish = wish_from(bpm, key) if bpm is not None or key is not None else None
    asked = embed_with([loop], encoder, Settings(device, precision))
    with ExitStack() as stack:
        if library is None:
            if within is None:
                raise LibraryError(f"{os.fspath(loop)}: say where to search, a folder or the library of one")
            # Searching needs an index, here one that is gone when this ends.
            library = open_library(stack.enter_context(TemporaryDirectory()))
        settings = Settings(device, precision, library=library, progress=progress)
        among = None if within is None else embed_with(within, encoder, settings).paths
        return _nearest(os.fspath(loop), asked, library, among, wish, n_loops, progress)


def _nearest(
    loop: str,
    asked: EmbedResult,
    library: Library,
    among: Iterable[str] | None,
    wish: Wish | None,
    n_loops: int,
    progress: Progress,
) -> SimilarResult:
    """Search a library for what is near one embedded loop and as wished."""
    kind = embedding_kind(asked.encoder_hash)
    files_of = _files_by_audio(library, among)
    files_of.pop(asked.audio_hashes[0], None)
    if not files_of:
        raise LibraryError(
            f"{library.location}: holds no other loop; scan a folder first, or give --in FOLDER"
        )
    found: list[SimilarLoop] = []
    n_seen, n_pool = 0, n_loops if wish is None else _FIRST_POOL * n_loops
    while len(found) < n_loops and n_seen < len(files_of):
        near = library.nearest(kind, asked.embedding[0], n_pool, among=files_of)[n_seen:]
        if not near:
            if n_seen:
                break
            raise LibraryError(
                f"{library.location}: none of its loops was heard by this encoder; give --in FOLDER"
            )
        n_seen, n_pool = n_seen + len(near), 4 * n_pool
        loops = [_described(one, files_of[one.audio_hash], library) for one in near]
        if wish is not None:
            loops = _wanted(loops, [one.audio_hash for one in near], wish, library, progress)
        found += loops
    return SimilarResult(loop, len(files_of), tuple(found[:n_loops]))


def _files_by_audio(library: Library, among: Iterable[str] | None) -> dict[str, list[FileRecord]]:
    """Return the files that are there, by audio hash."""
    chosen = None if among is None else {library.stored_path(path) for path in among}
    files_of: dict[str, list[FileRecord]] = {}
    for stored, file in sorted(library.files().items()):
        if file.missing_since is None and (chosen is None or stored in chosen):
            files_of.setdefault(file.audio_hash, []).append(file)
    return files_of


def _described(near: NearAudio, files: list[FileRecord], library: Library) -> SimilarLoop:
    first, *copies = [library.real_path(file.path) for file in files]
    return SimilarLoop(first, tuple(copies), round(near.similarity, 4))


def _wanted(
    loops: list[SimilarLoop], hashes: list[str], wish: Wish, library: Library, progress: Progress
) -> list[SimilarLoop]:
    """Return the loops whose tempo and key are as wished, with both."""
    measured = attributes_of([loop.path for loop in loops], hashes, library=library, progress=progress)
    wanted = []
    for loop, record in zip(loops, measured, strict=True):
        if record is None:
            continue
        tempo_bpm, key = record["tempo_bpm"], record["key"]
        known = replace(
            loop,
            tempo_bpm=round(tempo_bpm, 1) if isinstance(tempo_bpm, float) else None,
            key=key if isinstance(key, str) else None,
        )
        if wish.is_met(known.tempo_bpm, known.key):
            wanted.append(known)
    return wanted
