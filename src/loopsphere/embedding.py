"""The verb `embed`: paths to embeddings, decoding ahead of the network."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, TextIO

import numpy as np

from loopsphere.audio import find_loops, load_clip
from loopsphere.errors import AudioError, FeatureError, NothingUsableError
from loopsphere.types import EmbedResult, Float32Array, SkippedFile

if TYPE_CHECKING:
    from loopsphere.encoders import Encoder

DEFAULT_ENCODER = "bundled"
_BATCH_SIZE = 32
_N_READERS = 2

Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
Progress = Callable[[str, int, int], None]
"""Called as `progress(what, n_done, n_total)`."""


def silent(what: str, n_done: int, n_total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class _Prepared:
    """One loop on its way to the network."""

    path: str
    duration_s: float
    audio_hash: str
    views: Float32Array


def embed(
    sources: Sources,
    *,
    encoder: str = DEFAULT_ENCODER,
    device: str = "auto",
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> EmbedResult:
    """Turn loops into embeddings.

    Parameters
    ----------
    sources : path or iterable of paths
        Files, folders, globs; '-' reads a list of paths from `stdin`.
    encoder : str, default='bundled'
        See `loopsphere.encoders.load_encoder`.
    device : str, default='auto'
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

    References
    ----------
    arXiv 2505.23784, section 3.1.
    """
    paths, skipped = find_loops(_as_list(sources), stdin=stdin or sys.stdin)
    if not paths:
        raise NothingUsableError(_nothing_usable("no audio files found", skipped))
    loaded = cached_encoder(encoder, device)
    prepared: list[_Prepared] = []
    rows: list[Float32Array] = []
    stream = _prepare_all(paths, loaded, skipped)
    n_done = 0
    progress("reading loops", 0, len(paths))
    while batch := list(islice(stream, _BATCH_SIZE)):
        usable = [loop for loop in batch if loop is not None]
        rows.extend(loaded.embed_views([loop.views for loop in usable]))
        # The views are large; what is kept of a loop is its embedding.
        prepared += [
            _Prepared(loop.path, loop.duration_s, loop.audio_hash, loop.views[:0]) for loop in usable
        ]
        n_done += len(batch)
        progress("reading loops", n_done, len(paths))
    if not prepared:
        raise NothingUsableError(_nothing_usable("none of the files can be used", skipped))
    return EmbedResult(
        encoder=loaded.name,
        encoder_hash=loaded.hash,
        paths=tuple(loop.path for loop in prepared),
        durations_s=np.array([loop.duration_s for loop in prepared]),
        audio_hashes=tuple(loop.audio_hash for loop in prepared),
        embedding=np.stack(rows),
        skipped=tuple(skipped),
    )


@lru_cache(maxsize=2)
def cached_encoder(name: str, device: str) -> Encoder:
    """Return an encoder, loaded once for the calls that follow each other."""
    from loopsphere.encoders import load_encoder

    return load_encoder(name, device=device)


def _as_list(sources: Sources) -> list[str | os.PathLike[str]]:
    return [sources] if isinstance(sources, str | os.PathLike) else list(sources)


def _prepare_all(
    paths: list[str], encoder: Encoder, skipped: list[SkippedFile]
) -> Iterator[_Prepared | None]:
    """Decode ahead of the network, a bounded number of files; None for a file that was skipped."""

    def prepare(path: str) -> _Prepared:
        clip = load_clip(path, encoder.mel.sample_rate)
        return _Prepared(path, clip.duration_s, clip.audio_hash, encoder.views(clip.waveform))

    waiting: deque[tuple[str, Future[_Prepared]]] = deque()
    remaining = iter(paths)
    with ThreadPoolExecutor(_N_READERS) as readers:
        try:
            for path in islice(remaining, 2 * _BATCH_SIZE):
                waiting.append((path, readers.submit(prepare, path)))
            while waiting:
                path, future = waiting.popleft()
                for following in islice(remaining, 1):
                    waiting.append((following, readers.submit(prepare, following)))
                try:
                    yield future.result()
                except (AudioError, FeatureError) as error:
                    skipped.append(SkippedFile(path, str(error)))
                    yield None
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


def _nothing_usable(what: str, skipped: list[SkippedFile]) -> str:
    reasons = [f"{file.path}: {file.reason}" for file in skipped[:3]]
    more = [f"and {len(skipped) - 3} more"] if len(skipped) > 3 else []
    return "; ".join([what, *reasons, *more])
