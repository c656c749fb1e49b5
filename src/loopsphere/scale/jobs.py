"""Embed or score more loops than one machine has time for, shard by shard; a restart goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TextIO

import numpy as np

from loopsphere.collection.embedding import DEFAULT_ENCODER, Sources, as_list
from loopsphere.encoders.precision import DEFAULT_PRECISION, precision_of
from loopsphere.errors import LoopsphereError, NothingUsableError
from loopsphere.learning.model import Model, admitted
from loopsphere.progress import Progress, silent
from loopsphere.scale.listing import Entry, list_entries
from loopsphere.scale.ray_engine import ClusterEncoder, RayEngine, connected
from loopsphere.scale.results import ScaleResult, Tally, table_of
from loopsphere.scale.shards import Shard, ShardFolder, cut
from loopsphere.scale.work import Answer, Piece, Task, answer_for_lost

DEFAULT_SHARD_SIZE = 4096
"""Loops in a file: 4 MB of embeddings."""
_PIECE = 64
"""Loops that travel together: 17 MB of log-mel, a second of work, two batches of the network."""
_LOOPS_PER_WAVE = 1_000_000
"""What the driver and Ray keep books of at a time."""
_DIED = "the process that read or embedded it died, again and again"


def embed_to_shards(
    sources: Sources,
    output: str | os.PathLike[str],
    *,
    encoder: str = DEFAULT_ENCODER,
    device: str = "auto",
    precision: str = DEFAULT_PRECISION,
    address: str | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> ScaleResult:
    """Embed loops on a Ray cluster; rows as of `Answer`, one Parquet file a shard.

    A run that was interrupted goes on where it was when it is started again; shards that are there are not
    made again. A worker that dies is replaced and its loops are done again; a file that cannot be used, or
    that kills what reads it, becomes a row with its reason.

    Parameters
    ----------
    sources : path or iterable of paths
        See `list_entries`. Paths must mean the same on all nodes.
    output : path or URI
        A folder for the shards.
    encoder, precision, progress, stdin
        As for `loopsphere.embed`.
    device : {'auto', 'cpu', 'cuda'}
        What the networks run on; 'auto' takes the GPUs of a cluster that has some, one a network.
    address : str or None
        Of a Ray cluster, as for `ray.init`; None starts one of this machine.
    shard_size : int

    Returns
    -------
    result : ScaleResult

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    NothingUsableError
        The listing is empty.
    LoopsphereError
        There is no cluster, the encoder cannot be loaded there, or `output` holds something else.
    """
    entries = list_entries(as_list(sources), stdin=stdin)
    with connected(address) as engine:
        device = engine.device(device)
        known = engine.describe(encoder, device, precision)
        folder = ShardFolder(os.fspath(output), _maker(known))
        task = Task(encoder, device, known.precision, known.front_end)
        return _run(engine, entries, folder, task, known, shard_size, progress)


def score_to_shards(
    model: Model | str | os.PathLike[str],
    sources: Sources,
    output: str | os.PathLike[str],
    *,
    alpha: float | None = None,
    encoder: str | None = None,
    device: str = "auto",
    address: str | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> ScaleResult:
    """Score loops against a learnt collection on a Ray cluster; see `embed_to_shards` and `loopsphere.score`.

    Raises
    ------
    ModelFileError
        The model cannot be read, or was made with another encoder.
    MissingExtraError, NothingUsableError, LoopsphereError
        As for `embed_to_shards`.
    """
    learnt, rate = admitted(model, alpha)
    name = encoder or learnt.encoder
    entries = list_entries(as_list(sources), stdin=stdin)
    with connected(address) as engine:
        device = engine.device(device)
        known = engine.describe(name, device, precision_of(learnt.encoder_hash))
        learnt.check_encoder(known.hash, f"{known.name!r} on the cluster is")
        folder = ShardFolder(
            os.fspath(output), {**_maker(known), "model": _digest(learnt), "alpha": f"{rate:g}"}
        )
        task = Task(name, device, known.precision, known.front_end, learnt, rate)
        return _run(engine, entries, folder, task, known, shard_size, progress)


def _digest(model: Model) -> str:
    """Return what tells two models apart: SHA-256 of all that decides a score."""
    state, arrays = model.detector.get_state()
    digest = hashlib.sha256(json.dumps([model.detector_name, state], sort_keys=True).encode())
    arrays = {**arrays, "scores": model.calibration_scores, "groups": model.calibration_groups}
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _maker(known: ClusterEncoder) -> dict[str, str]:
    return {"encoder": known.name, "encoder_hash": known.hash}


def _run(
    engine: RayEngine,
    entries: Iterable[Entry],
    folder: ShardFolder,
    task: Task,
    known: ClusterEncoder,
    shard_size: int,
    progress: Progress,
) -> ScaleResult:
    """Do what is not finished, a wave at a time."""
    tally = Tally(task.alpha)
    alpha = None if task.model is None else task.alpha
    shards = cut(entries, shard_size)
    while wave := list(islice(shards, max(1, _LOOPS_PER_WAVE // shard_size))):
        left = [shard for shard in wave if not folder.is_finished(shard)]
        tally.n_finished += len(wave) - len(left)
        tally.n_total += sum(len(shard.entries) for shard in left)
        for shard, answers in _complete(engine, left, task, tally, progress):
            table = table_of(answers, embedding_dim=known.embedding_dim, alpha=alpha)
            folder.write(shard, table)
            tally.count(table)
    folder.check_all_known()
    if not tally.n_shards + tally.n_finished:
        raise NothingUsableError("the listing names no audio files")
    return tally.result(known.name, known.hash)


def _complete(
    engine: RayEngine, shards: Sequence[Shard], task: Task, tally: Tally, progress: Progress
) -> Iterator[tuple[Shard, list[Answer]]]:
    """Yield shards as they are complete, in any order.

    Pieces that did not come back are tried again loop by loop, which leaves the loop that kills its worker.
    """
    waiting = {shard.index: _Waiting(shard) for shard in shards}
    for piece_size in (_PIECE, 1):
        pieces = [piece for shard in waiting.values() for piece in shard.missing(piece_size)]
        if not pieces:
            return
        for answer in engine.run(pieces, task):
            tally.n_done += len(answer.reads)
            progress("reading loops", tally.n_done, tally.n_total)
            shard = waiting[answer.piece.shard]
            shard.take(answer)
            if not shard.n_missing:
                del waiting[answer.piece.shard]
                yield shard.shard, shard.answers
    if sum(shard.n_missing for shard in waiting.values()) == sum(len(shard.entries) for shard in shards):
        raise LoopsphereError("no worker came back with a single loop; see the logs of the Ray cluster")
    for shard in waiting.values():
        lost = [answer_for_lost(piece, _DIED) for piece in shard.missing(1)]
        yield shard.shard, [*shard.answers, *lost]


class _Waiting:
    """A shard and the answers that have come for it."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.answers: list[Answer] = []
        self._is_missing = [True] * len(shard.entries)
        self.n_missing = len(shard.entries)

    def take(self, answer: Answer) -> None:
        """Add an answer."""
        start, n_loops = answer.piece.start, len(answer.reads)
        self._is_missing[start : start + n_loops] = [False] * n_loops
        self.n_missing -= n_loops
        self.answers.append(answer)

    def missing(self, piece_size: int) -> Iterator[Piece]:
        """Yield the pieces that have not come back; they are cut as before, or into single loops."""
        entries = self.shard.entries
        for start in range(0, len(entries), piece_size):
            if self._is_missing[start]:
                yield Piece(self.shard.index, start, entries[start : start + piece_size])
