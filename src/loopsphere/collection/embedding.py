"""The verb `embed`: paths to embeddings, all cores busy with files of their own."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import soxr

from loopsphere.audio import AUDIO_EXTENSIONS, find_loops, load_clip
from loopsphere.audio.tags import container_tags
from loopsphere.encoders.identity import EncoderIdentity, identity_key
from loopsphere.encoders.precision import DEFAULT_PRECISION
from loopsphere.errors import AudioError, FeatureError, LoopsphereError, NothingUsableError, surprise
from loopsphere.library.memory import Memory
from loopsphere.library.records import FileRecord
from loopsphere.library.store import Library, now
from loopsphere.matching.fingerprint import (
    FINGERPRINT_DIM,
    FINGERPRINT_KIND,
    FINGERPRINT_RATE_HZ,
    fingerprint,
)
from loopsphere.progress import Progress, silent
from loopsphere.room import ROOM
from loopsphere.settings import Settings
from loopsphere.threads import n_cores, threads_each
from loopsphere.types import Clip, EmbedResult, Float32Array, SkippedFile

if TYPE_CHECKING:
    from loopsphere.encoders import Encoder
    from loopsphere.encoders.front_end import Views

DEFAULT_ENCODER = "bundled"
_GROUP_SIZE = 16
"""Files that a worker takes through together: what the network is fast with, and soon done on few files."""
_N_TRIED = 8
"""Changed files that are tried before the networks are loaded; one that is no audio must not cost them."""
_IDENTITIES = "identities"
_MAX_WORKERS = 8
"""Beyond, Python's lock is the bottleneck, and each worker's network gets more cores instead."""

Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class _Read:
    """One loop that could be read."""

    file: FileRecord
    is_unchanged: bool


@dataclass(frozen=True)
class _Group:
    """Files that a worker took from the file to the embedding; `new` has the vectors of new audio by hash."""

    reads: list[_Read]
    skipped: list[SkippedFile]
    new: dict[str, tuple[Float32Array, ...]]


def embed(
    sources: Sources,
    *,
    encoder: str | None = DEFAULT_ENCODER,
    device: str = "auto",
    precision: str = DEFAULT_PRECISION,
    library: Library | None = None,
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> EmbedResult:
    """Turn loops into embeddings.

    Parameters
    ----------
    sources : path or iterable of paths
        Files, folders, globs; '-' reads a list of paths from `stdin`. Waveforms that are at hand already are
        embedded by `loopsphere.load_encoder(encoder).embed`.
    encoder : str or None, default='bundled'
        See `loopsphere.encoders.load_encoder`. None takes fingerprints alone, which is a third of the work
        and all that `loopsphere.collection.copies` needs; embeddings then have no columns.
    device : str, default='auto'
    precision : {'float32', 'bfloat16', 'auto'}
        Of the networks. In float32 all machines agree; 'auto' takes bfloat16 where the device computes in it.
    library : Library or None
        Files that it knows and that have not changed are not opened, audio that it knows is not embedded
        again, and what is new is added; the result is the same. See `loopsphere.library.open_library`.
    progress : callable
        Called as `progress(what, n_done, n_total)`.
    stdin : text file or None
        None is the process's own.

    Returns
    -------
    result : EmbedResult
        Loops in the order in which they were found; what could not be used, with the reason.

    Raises
    ------
    NothingUsableError
        No loop could be read.
    CheckpointError
        The encoder cannot be loaded.
    LibraryError
        The library cannot be read. That it cannot be written is no error: `library.usage.problem` says so.
    TypeError
        `sources` are waveforms, or something else that is no path.

    Examples
    --------
    >>> import loopsphere as ls
    >>> ls.embed("loops/bass").embedding.shape  # doctest: +SKIP
    (40, 512)

    References
    ----------
    arXiv 2505.23784, section 3.1.
    """
    settings = Settings(device=device, precision=precision, library=library, progress=progress)
    return embed_with(sources, encoder, settings, stdin=stdin)


def embed_with(
    sources: Sources, encoder: str | None, settings: Settings, *, stdin: TextIO | None = None
) -> EmbedResult:
    """Turn loops into embeddings; see `embed`."""
    library, progress = settings.library, settings.progress
    named = as_list(sources)
    paths, skipped = find_loops(named, stdin=stdin or sys.stdin)
    if not paths:
        where = ", ".join(os.fspath(source) or "''" for source in named) or "an empty list"
        # Where a reason is known, as that there is no such folder, it is not for want of the right endings.
        known = "" if skipped else f"; what is read ends in {', '.join(sorted(AUDIO_EXTENSIONS))}"
        raise NothingUsableError(_nothing_usable(f"no audio files found in {where}{known}", skipped))
    identity = None if encoder is None else encoder_identity(encoder, settings)
    memory, loaded = Memory(library, _dims(identity)), None
    if encoder is not None and identity is not None and _holds_new(paths, identity.sample_rate, memory):
        loaded = cached_encoder(encoder, settings.device, settings.precision)
        if loaded.hash != identity.hash:  # 'auto' takes something else by now
            identity = _remembered_identity(loaded, encoder, settings)
            memory = Memory(library, _dims(identity))
    dims = _dims(identity)
    loops: list[FileRecord] = []
    # What is new is kept once: `memory` holds the rows of these.
    matrices = {kind: np.empty((len(paths), dim), dtype=np.float32) for kind, dim in dims.items()}
    n_done = 0
    progress("reading loops", 0, len(paths))
    try:
        with closing(_work_through(paths, loaded, identity, memory)) as groups:
            for group in groups:
                skipped += group.skipped
                for read in group.reads:
                    _remember(read, group, memory, matrices, len(loops))
                    loops.append(read.file)
                n_done += len(group.reads) + len(group.skipped)
                progress("reading loops", n_done, len(paths))
    finally:
        # Also when interrupted: what has been embedded need not be embedded again.
        memory.write()
    memory.finish(paths, [os.fspath(source) for source in named if Path(source).is_dir()])
    if not loops:
        raise NothingUsableError(_nothing_usable("none of the files can be used", skipped))
    *embedding, prints = (matrix[: len(loops)] for matrix in matrices.values())
    return EmbedResult(
        encoder="" if identity is None else identity.name,
        encoder_hash="" if identity is None else identity.hash,
        paths=tuple(file.path for file in loops),
        durations_s=np.array([file.duration_s for file in loops]),
        audio_hashes=tuple(file.audio_hash for file in loops),
        embedding=embedding[0] if embedding else np.empty((len(loops), 0), dtype=np.float32),
        fingerprints=prints,
        skipped=tuple(skipped),
    )


def encoder_identity(name: str, settings: Settings) -> EncoderIdentity:
    """Tell which encoder a name stands for, from the library where it was loaded before; else load it.

    Parameters
    ----------
    name : str
        As for `loopsphere.encoders.load_encoder`.
    settings : Settings
        Its library remembers it.

    Raises
    ------
    CheckpointError
        It cannot be loaded.
    """
    device, precision, library = settings.device, settings.precision, settings.library
    key = None if library is None else identity_key(name, device, precision)
    found = library.made(_IDENTITIES, {key}).get(key) if library is not None and key is not None else None
    if found is not None:
        return EncoderIdentity.from_bytes(found)
    return _remembered_identity(cached_encoder(name, device, precision), name, settings)


def _remembered_identity(encoder: Encoder, name: str, settings: Settings) -> EncoderIdentity:
    identity, library = EncoderIdentity.of(encoder), settings.library
    key = None if library is None else identity_key(name, settings.device, settings.precision)
    if library is not None and key is not None:
        content = {key: identity.to_bytes()}
        library.try_to(partial(library.put_made, _IDENTITIES, content))
    return identity


def _dims(identity: EncoderIdentity | None) -> dict[str, int]:
    """Return the kinds of vectors that are needed, and how long each is; fingerprints last."""
    embedding = {} if identity is None else {embedding_kind(identity.hash): identity.embedding_dim}
    return {**embedding, FINGERPRINT_KIND: FINGERPRINT_DIM}


def _holds_new(paths: Iterable[str], sample_rate: int, memory: Memory) -> bool:
    """Tell whether some of the files have to be embedded, as far as the first few that changed tell."""
    changed = (path for path in paths if memory.recall(path) is None)
    for path in islice(changed, _N_TRIED):
        try:
            clip = load_clip(path, sample_rate)
        except Exception:  # said where it is read in earnest
            continue
        if not memory.knows(clip.audio_hash):
            return True
    return next(changed, None) is not None


def embedding_kind(encoder_hash: str) -> str:
    """Return the name under which a library keeps the embeddings of one encoder."""
    digest, _, precision = encoder_hash.partition("-")
    return "-".join(filter(None, ("embedding", digest[:16], precision)))


def _remember(
    read: _Read, group: _Group, memory: Memory, matrices: dict[str, Float32Array], row: int
) -> None:
    """Fill a row of each kind of vector, and remember the file; audio that several files hold is new once."""
    audio_hash = read.file.audio_hash
    is_new = not memory.knows(audio_hash)
    if is_new:
        for matrix, vector in zip(matrices.values(), group.new[audio_hash], strict=True):
            matrix[row] = vector
        memory.add(audio_hash, {kind: matrix[row] for kind, matrix in matrices.items()})
    else:
        for kind, matrix in matrices.items():
            matrix[row] = memory.vector(kind, audio_hash)
    if read.is_unchanged:
        memory.keep_unchanged(read.file)
    else:
        memory.keep(read.file, is_new=is_new)


def cached_encoder(name: str, device: str, precision: str = DEFAULT_PRECISION) -> Encoder:
    """Return an encoder, loaded once for the calls that follow each other."""
    return _loaded(name, device, precision)


@lru_cache(maxsize=2)
def _loaded(name: str, device: str, precision: str) -> Encoder:
    from loopsphere.encoders import load_encoder

    return load_encoder(name, device=device, precision=precision)


def as_list(sources: Sources) -> list[str | os.PathLike[str]]:
    """Return one path or several as a list.

    Raises
    ------
    TypeError
        They are no paths.
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    for source in given:
        if not isinstance(source, str | os.PathLike):
            raise TypeError(
                f"loops are given as files and folders, not waveforms or others ({type(source).__name__}); "
                "loopsphere.load_encoder(name).embed takes mono waveforms at its own rate"
            )
    return given


def _work_through(
    paths: list[str], encoder: Encoder | None, identity: EncoderIdentity | None, memory: Memory
) -> Generator[_Group, None, None]:
    """Yield groups of files in order, while workers take the following ones from the file to the embedding.

    Each worker decodes, resamples, makes mels and runs the network for a group of its own, so that all cores
    are busy whatever the shares of these are; a bounded number of groups is in memory.
    """
    size = max(1, min(_GROUP_SIZE, -(-len(paths) // n_cores())))
    groups = [paths[start : start + size] for start in range(0, len(paths), size)]
    n_workers = min(n_cores(), _MAX_WORKERS, len(groups))
    # One network at a time on a GPU, while the other workers decode; on a CPU each runs its own.
    turn = nullcontext() if encoder is None or encoder.device == "cpu" else Lock()
    waiting: deque[Future[_Group]] = deque()
    with threads_each(max(1, n_cores() // n_workers)), ThreadPoolExecutor(n_workers) as workers:
        try:
            for group in groups:
                waiting.append(workers.submit(_take_through, group, encoder, identity, memory, turn))
                if len(waiting) > 2 * n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            workers.shutdown(wait=False, cancel_futures=True)


def _take_through(
    paths: list[str],
    encoder: Encoder | None,
    identity: EncoderIdentity | None,
    memory: Memory,
    turn: AbstractContextManager[Any],
) -> _Group:
    """Recall or decode files, and embed the audio that is new; `encoder` is None where there was none."""
    reads: list[_Read] = []
    skipped: list[SkippedFile] = []
    views: dict[str, Views] = {}
    prints: dict[str, Float32Array] = {}
    sample_rate = FINGERPRINT_RATE_HZ if identity is None else identity.sample_rate
    for path in paths:
        try:
            with ROOM.one_loop():
                read, clip = _read(path, sample_rate, memory)
                if clip is not None:
                    if encoder is None and identity is not None:
                        raise AudioError("changed while the others were looked at")
                    prints.setdefault(clip.audio_hash, _fingerprint(clip))
                    if encoder is not None:
                        views.setdefault(clip.audio_hash, encoder.views(clip.waveform))
                    del clip  # its waveform, before the next is read
        except (AudioError, FeatureError) as error:
            skipped.append(SkippedFile(path, str(error)))
            continue
        except LoopsphereError:  # of the library or the encoder, so of every file
            raise
        except Exception as error:
            skipped.append(SkippedFile(path, f"cannot be used ({surprise(error)})"))
            continue
        reads.append(read)
    if encoder is None:
        return _Group(reads, skipped, {audio_hash: (of,) for audio_hash, of in prints.items()})
    with turn:
        embedding = encoder.embed_views(list(views.values()))
    rows = zip(views, embedding, strict=True)
    return _Group(reads, skipped, {audio_hash: (row, prints[audio_hash]) for audio_hash, row in rows})


def _fingerprint(clip: Clip) -> Float32Array:
    waveform = clip.waveform
    if clip.sample_rate != FINGERPRINT_RATE_HZ:
        waveform = soxr.resample(waveform, clip.sample_rate, FINGERPRINT_RATE_HZ)
    return fingerprint(waveform)


def _read(path: str, sample_rate: int, memory: Memory) -> tuple[_Read, Clip | None]:
    """Recall a file, or decode it; the clip is None where the audio is known."""
    known = memory.recall(path)
    if known is not None:
        return _Read(replace(known, path=path), is_unchanged=True), None
    size, mtime_ns = _status(path)
    checked_at = now()
    clip = load_clip(path, sample_rate)
    file = FileRecord(
        path=path,
        size=size,
        mtime_ns=mtime_ns,
        recorded_at=checked_at,
        audio_hash=clip.audio_hash,
        duration_s=clip.duration_s,
        sample_rate=clip.file_sample_rate,
        n_channels=clip.n_channels,
        tags=container_tags(path),
    )
    return _Read(file, is_unchanged=False), None if memory.knows(clip.audio_hash) else clip


def _status(path: str) -> tuple[int, int]:
    """Return size and modification time; zeros where there is no such file, as reading it will say."""
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _nothing_usable(what: str, skipped: list[SkippedFile]) -> str:
    reasons = [f"{file.path}: {file.reason}" for file in skipped[:3]]
    more = [f"and {len(skipped) - 3} more"] if len(skipped) > 3 else []
    return "; ".join([what, *reasons, *more])
