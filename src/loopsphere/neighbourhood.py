"""The verb `similar`: the loops of a library that sound most like one loop."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from loopsphere.embedding import DEFAULT_ENCODER, Progress, embed, embedding_kind, silent
from loopsphere.errors import LibraryError, UnknownNameError
from loopsphere.explain.names import Key, key_in_tag
from loopsphere.explaining import attributes_of
from loopsphere.library.records import FileRecord, NearAudio
from loopsphere.library.store import Library

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
    """The answer of `similar`: nearest first, and how many loops there were to choose from."""

    loop: str
    n_searched: int
    loops: tuple[SimilarLoop, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, ready for JSON."""
        return {**asdict(self), "loops": [asdict(loop) for loop in self.loops]}


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
    library: Library,
    *,
    among: Iterable[str] | None = None,
    wish: Wish | None = None,
    n_loops: int = 10,
    encoder: str = DEFAULT_ENCODER,
    device: str = "auto",
    progress: Progress = silent,
) -> SimilarResult:
    """Find the loops of a library that sound most like one loop, which need not be in it.

    Parameters
    ----------
    loop : path
        It is not added to the library; other files of the same samples are not listed.
    library : Library
    among : iterable of paths or None
        Files to choose from; None is all that the library knows and that are still there.
    wish : Wish or None
        Tempo and key of the loops that are wanted. They are measured where they are not known yet.
    n_loops : int, default=10
    encoder, device, progress
        As for `embed`.

    Returns
    -------
    result : SimilarResult

    Raises
    ------
    NothingUsableError
        The loop cannot be read.
    LibraryError
        The library cannot be read or holds no loop embedded by this encoder.
    """
    asked = embed([loop], encoder=encoder, device=device)
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
    return SimilarResult(os.fspath(loop), len(files_of), tuple(found[:n_loops]))


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
