"""Which loops are copies of each other: candidates by fingerprint, then a second look on the audio."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from loopsphere.matching.comparison import compare
from loopsphere.matching.fingerprint import similar_pairs
from loopsphere.matching.relation import pitch_map, transposed, turned
from loopsphere.room import ROOM
from loopsphere.types import Float32Array

VERDICTS_VERSION = "3"
"""Raise it when a verdict may come out otherwise; libraries keep verdicts."""

Kind = Literal["exact", "same audio", "near-duplicate", "time-shifted", "transposed", "different"]
DUPLICATES: tuple[Kind, ...] = ("exact", "same audio")
"""What counts as one loop wherever loops are counted."""

_CANDIDATE_COSINE = 0.72
_SAME_COHERENCE, _SAME_WORST = 0.85, 0.7
_NEAR_COHERENCE = 0.65
_BYTES_PER_SAMPLE = 16  # that comparing takes; measured on ten minutes
_KEPT_BYTES = 1 << 28  # of waveforms that were heard


@dataclass(frozen=True)
class Verdict:
    """What comparing the audio of two loops came to.

    Attributes
    ----------
    kind : str
    coherence : float
        0 to 1, of the aligned waveforms.
    gain_db : float
        By which the second is louder.
    shift_s : float
        By which the second is later; of a time-shifted one, around the loop.
    semitones : int
        By which the second is higher, if transposed.
    """

    kind: Kind
    coherence: float = 0.0
    gain_db: float = 0.0
    shift_s: float = 0.0
    semitones: int = 0

    def turned(self) -> Verdict:
        """Return the same verdict with the second loop first."""
        # Not the negative: of zero it would be written as -0.0.
        return replace(
            self, gain_db=0.0 - self.gain_db, shift_s=0.0 - self.shift_s, semitones=-self.semitones
        )


Question = Literal["copies", "turned", "transposed"]
Pair = tuple[str, str]
Read = Callable[[str], Float32Array | None]
"""From an audio hash to its waveform at `COMPARISON_RATE_HZ`; None where it can no longer be read."""


class Judge:
    """Answer one question about pairs of loops, for each pair once; several threads may ask.

    Parameters
    ----------
    question : "copies", "turned" or "transposed"
        Whether two loops are one recording, whole or for the most part; or of two loops of one length,
        whether one is the other begun elsewhere, or has the notes of the other at another pitch.
    read : callable
    known : mapping of (str, str) to dict
        Verdicts of earlier runs as plain values; the smaller hash comes first.
    """

    def __init__(self, question: Question, read: Read, known: Mapping[Pair, Mapping[str, Any]]) -> None:
        self._way = _COMPARISONS[question]
        self._read = read
        self._known = known
        self._heard: OrderedDict[str, Float32Array | None] = OrderedDict()
        self._lock = Lock()
        self.new: dict[Pair, Verdict] = {}
        """Verdicts that were not known before; may be emptied when they are kept elsewhere."""

    def verdict(self, pair: Pair) -> Verdict:
        """Return the answer for a pair; "different" where a file can no longer be read."""
        known = self._known.get(pair)
        if known is not None:
            return Verdict(**known)
        first, second = self._hear(pair[0]), self._hear(pair[1])
        if first is None or second is None:
            return Verdict("different")
        ROOM.need(_BYTES_PER_SAMPLE * (first.size + second.size))
        self.new[pair] = self._way.look(first, second)
        return self.new[pair]

    def _hear(self, audio_hash: str) -> Float32Array | None:
        with self._lock:
            if audio_hash in self._heard:
                self._heard.move_to_end(audio_hash)
                return self._heard[audio_hash]
        waveform = self._read(audio_hash)
        heard = None if waveform is None else self._way.hear(waveform)
        with self._lock:
            self._heard[audio_hash] = heard
            while len(self._heard) > self._way.n_kept or self._n_bytes() > _KEPT_BYTES:
                self._heard.popitem(last=False)
        return heard

    def _n_bytes(self) -> int:
        return sum(heard.nbytes for heard in self._heard.values() if heard is not None)


def copy_candidates(audio_hashes: Sequence[str], fingerprints: Float32Array) -> list[Pair]:
    """Return the pairs of different audio that may be one recording.

    Parameters
    ----------
    audio_hashes : sequence of str
        All different.
    fingerprints : float32 ndarray of shape (n_loops, fingerprint_dim)

    Returns
    -------
    pairs : list of (str, str)
        The smaller hash first.
    """
    pairs = similar_pairs(fingerprints, _CANDIDATE_COSINE)
    return [ordered(audio_hashes[i], audio_hashes[j]) for i, j in pairs]


def ordered(first: str, second: str) -> Pair:
    """Return two audio hashes as a pair is spelled."""
    return (first, second) if first < second else (second, first)


def connected(n_items: int, pairs: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Number the items so that those that pairs connect, directly or not, share a number.

    Returns
    -------
    groups : int64 ndarray of shape (n_items,)
    """
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(n_items, n_items))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _look_for_copies(first: Float32Array, second: Float32Array) -> Verdict:
    likeness = compare(first, second)
    kind: Kind = "different"
    if likeness.coherence >= _SAME_COHERENCE and likeness.worst_coherence >= _SAME_WORST:
        kind = "same audio"
    elif likeness.coherence >= _NEAR_COHERENCE:
        kind = "near-duplicate"
    return Verdict(kind, round(likeness.coherence, 3), round(likeness.gain_db, 1), round(likeness.delay_s, 4))


def _look_for_turn(first: Float32Array, second: Float32Array) -> Verdict:
    turn = turned(first, second)
    if turn is None:
        return Verdict("different")
    return Verdict("time-shifted", round(turn.coherence, 3), shift_s=round(turn.shift_s, 3))


def _look_for_transposition(first: Float32Array, second: Float32Array) -> Verdict:
    transposition = transposed(first, second)
    if transposition is None:
        return Verdict("different")
    return Verdict("transposed", round(transposition.coherence, 3), semitones=transposition.semitones)


def _as_it_is(waveform: Float32Array) -> Float32Array:
    return waveform


@dataclass(frozen=True)
class _Comparison:
    """How a question is answered: what is heard of a loop and kept of the last few, and compared."""

    hear: Callable[[Float32Array], Float32Array | None]
    n_kept: int
    look: Callable[[Float32Array, Float32Array], Verdict]


_COMPARISONS: dict[Question, _Comparison] = {
    "copies": _Comparison(_as_it_is, 64, _look_for_copies),
    "turned": _Comparison(_as_it_is, 64, _look_for_turn),
    "transposed": _Comparison(pitch_map, 1024, _look_for_transposition),
}
