"""Results as tables that are written, and what is told of them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopsphere.scale.work import Answer
from loopsphere.types import LoopScore, SkippedFile

if TYPE_CHECKING:
    import pyarrow as pa

_N_KEPT = 1000


@dataclass(frozen=True)
class ScaleResult:
    """The answer of `embed_to_shards`, `score_to_shards` and `score_cached`; the rows are in the files.

    Attributes
    ----------
    encoder, encoder_hash : str
    n_loops : int
        Loops that this run did.
    n_skipped : int
        Of them, those that could not be used; their rows hold the reason.
    n_odd : int
        Of them, those that are odd; 0 where no scores were asked for.
    n_shards : int
        Files that this run wrote.
    n_finished : int
        Files of an earlier run that were left as they are.
    skipped : tuple of SkippedFile
        The first thousand.
    oddest : tuple of LoopScore
        The thousand oddest, the oddest first.
    """

    encoder: str
    encoder_hash: str
    n_loops: int
    n_skipped: int
    n_odd: int
    n_shards: int
    n_finished: int
    skipped: tuple[SkippedFile, ...]
    oddest: tuple[LoopScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, ready for JSON."""
        return {
            **asdict(self),
            "skipped": list(map(asdict, self.skipped)),
            "oddest": list(map(asdict, self.oddest)),
        }


@dataclass
class Tally:
    """What a run has done so far.

    Attributes
    ----------
    alpha : float
        From which p-value downwards a loop is odd.
    n_total, n_done : int
        Loops that are known to be there, and those that have come back.
    """

    alpha: float
    n_total: int = 0
    n_done: int = 0
    n_loops: int = 0
    n_odd: int = 0
    n_skipped: int = 0
    n_shards: int = 0
    n_finished: int = 0
    skipped: list[SkippedFile] = field(default_factory=list)
    oddest: list[tuple[float, float, str, float]] = field(default_factory=list)

    def count(self, table: pa.Table) -> None:
        """Count a shard that was written."""
        import pyarrow.compute as pc

        self.n_shards += 1
        self.n_loops += table.num_rows
        bad = table.filter(pc.is_valid(table["reason"]))
        self.n_skipped += bad.num_rows
        for row in bad.slice(0, max(0, _N_KEPT - len(self.skipped))).to_pylist():
            self.skipped.append(SkippedFile(row["path"], row["reason"]))
        if "is_odd" in table.column_names:
            self.n_odd += pc.sum(table["is_odd"]).as_py() or 0
            columns = [table[name].to_pylist() for name in ("anomaly_score", "p_value", "path", "duration_s")]
            rows = (row for row in zip(*columns, strict=True) if row[0] is not None)
            self.oddest = heapq.nlargest(_N_KEPT, [*self.oddest, *rows])

    def result(self, encoder: str, encoder_hash: str) -> ScaleResult:
        """Return what is told of the run."""
        return ScaleResult(
            encoder=encoder,
            encoder_hash=encoder_hash,
            n_loops=self.n_loops,
            n_skipped=self.n_skipped,
            n_odd=self.n_odd,
            n_shards=self.n_shards,
            n_finished=self.n_finished,
            skipped=tuple(self.skipped),
            oddest=tuple(
                LoopScore(path, duration_s, score, p_value, is_odd=p_value <= self.alpha)
                for score, p_value, path, duration_s in self.oddest
            ),
        )


def table_of(answers: Sequence[Answer], *, embedding_dim: int, alpha: float | None) -> pa.Table:
    """Return the rows of a shard, one a loop in the order of the listing.

    Parameters
    ----------
    answers : sequence of Answer
        All of the shard.
    embedding_dim : int
    alpha : float or None
        The false-alarm rate of scores; None where embeddings were asked for.

    Returns
    -------
    table : pyarrow.Table
        Columns `path`, `duration_s`, `audio_hash` and `reason` (null where the loop could be used); and
        `embedding`, or `anomaly_score`, `p_value` and `is_odd` (null where it could not).
    """
    import pyarrow as pa

    ordered = sorted(answers, key=lambda answer: answer.piece.start)
    reads = [read for answer in ordered for read in answer.reads]
    paths = [entry.path for answer in ordered for entry in answer.piece.entries]
    columns = {
        "path": pa.array([path.encode("utf-8", "backslashreplace").decode() for path in paths], pa.string()),
        "duration_s": pa.array([read.duration_s for read in reads], pa.float64()),
        "audio_hash": pa.array([read.audio_hash for read in reads], pa.string()),
        "reason": pa.array([read.reason for read in reads], pa.string()),
    }
    is_missing = np.array([read.reason is not None for read in reads], dtype=np.bool_)
    if alpha is None:
        columns["embedding"] = _embeddings(ordered, is_missing, embedding_dim)
        return pa.table(columns)
    scores, p_values = np.zeros(len(reads)), np.ones(len(reads))
    for rows, answer in _usable(ordered):
        scores[rows], p_values[rows] = answer.scores, answer.p_values
    return pa.table({**columns, **score_columns(scores, p_values, is_missing, alpha)})


def score_columns(
    scores: npt.NDArray[np.float64],
    p_values: npt.NDArray[np.float64],
    is_missing: npt.NDArray[np.bool_],
    alpha: float,
) -> dict[str, pa.Array]:
    """Return the columns `anomaly_score`, `p_value` and `is_odd`, null where a loop could not be used."""
    import pyarrow as pa

    return {
        "anomaly_score": pa.array(scores, mask=is_missing),
        "p_value": pa.array(p_values, mask=is_missing),
        "is_odd": pa.array(p_values <= alpha, mask=is_missing),
    }


def _embeddings(ordered: Sequence[Answer], is_missing: npt.NDArray[np.bool_], dim: int) -> pa.Array:
    import pyarrow as pa

    values = np.zeros((len(is_missing), dim), dtype=np.float32)
    for rows, answer in _usable(ordered):
        values[rows] = answer.embedding
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), dim, mask=pa.array(is_missing))


def _usable(ordered: Sequence[Answer]) -> list[tuple[npt.NDArray[np.int64], Answer]]:
    """Return the rows of the shard that the usable loops of each answer are."""
    return [(answer.piece.start + answer.rows, answer) for answer in ordered if len(answer.rows)]
