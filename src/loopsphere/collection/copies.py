"""What is known of a collection beyond its scores: copies of one loop, and loops alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopsphere.audio import waveform_again
from loopsphere.library.store import Library
from loopsphere.matching.comparison import COMPARISON_RATE_HZ
from loopsphere.matching.moved import MOVED_KIND, have_equals, moved_candidates, moved_sketch
from loopsphere.matching.verdicts import (
    DUPLICATES,
    VERDICTS_VERSION,
    Judge,
    Pair,
    Question,
    Verdict,
    connected,
    copy_candidates,
)
from loopsphere.progress import Progress, silent
from loopsphere.room import ROOM
from loopsphere.tabular import frame, html_table
from loopsphere.threads import workers
from loopsphere.types import EmbedResult, Float32Array, SkippedFile

if TYPE_CHECKING:
    import pandas as pd

_KINDS = ("same audio", "near-duplicate", "time-shifted", "transposed")
"""Of pairs that are not the very same samples, the nearest first."""
_PAIRS_PER_WRITE = 2_000
_AT_A_TIME = 128
"""Loops or pairs that are given to the workers together; an interrupted run waits for no more."""
_HEARD_GAIN_DB = 0.5
_SEEN_DELAY_S = 0.002

Judged = tuple[Pair, Verdict]


@dataclass(frozen=True)
class LikePair:
    """Two loops and what they have to do with each other.

    Attributes
    ----------
    first, second : str
        Paths.
    kind : str
        "exact", "same audio", "near-duplicate", "time-shifted" or "transposed".
    reason : str
        For people.
    gain_db, shift_s : float
        By which the second is louder, and later.
    semitones : int
        By which the second is higher.
    coherence : float
        0 to 1, of the aligned waveforms; of their pitches, if transposed.
    """

    first: str
    second: str
    kind: str
    reason: str
    gain_db: float
    shift_s: float
    semitones: int
    coherence: float


@dataclass(frozen=True)
class DuplicateResult:
    """The answer of `duplicates`; `len` counts its groups, iterating yields them.

    Attributes
    ----------
    n_loops : int
    groups : tuple of tuple of str
        Paths of loops that are one and the same; only groups of two and more.
    pairs : tuple of LikePair
        All pairs that were found, the nearest kind first, then in the order of the loops.
    skipped : tuple of SkippedFile
    """

    n_loops: int
    groups: tuple[tuple[str, ...], ...]
    pairs: tuple[LikePair, ...]
    skipped: tuple[SkippedFile, ...] = ()

    def __len__(self) -> int:
        """Return how many groups of copies there are."""
        return len(self.groups)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """Yield the groups, each the paths of one loop's copies."""
        return iter(self.groups)

    def __repr__(self) -> str:
        return (
            f"DuplicateResult(n_loops={self.n_loops}, n_groups={len(self)}, "
            f"n_superfluous={self.n_superfluous}, n_pairs={len(self.pairs)}, n_skipped={len(self.skipped)})"
        )

    def _repr_html_(self) -> str:
        return html_table(repr(self), [asdict(pair) for pair in self.pairs], ("first", "second", "reason"))

    @property
    def n_superfluous(self) -> int:
        """Loops that could go without anything being lost."""
        return sum(len(group) - 1 for group in self.groups)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, ready for JSON."""
        return {
            "n_loops": self.n_loops,
            "n_superfluous": self.n_superfluous,
            "groups": [list(group) for group in self.groups],
            "pairs": [asdict(pair) for pair in self.pairs],
            "skipped": [asdict(file) for file in self.skipped],
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row a pair as a pandas frame, with the columns of `LikePair`.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return frame([asdict(pair) for pair in self.pairs], [of.name for of in fields(LikePair)])


def duplicate_groups(
    embedded: EmbedResult, *, library: Library | None = None, progress: Progress = silent
) -> npt.NDArray[np.int64]:
    """Number the loops so that those of one recording share a number, whatever their format, rate and gain.

    Parameters
    ----------
    embedded : EmbedResult
        Without fingerprints, only files of the very same samples are one.
    library : Library or None
        Remembers what comparing came to.
    progress : callable
        Called as `progress(what, n_done, n_total)`.

    Returns
    -------
    groups : int64 ndarray of shape (n_loops,)
    """
    return _grouped(embedded, _copies(embedded, library, progress))


def find_duplicates(
    embedded: EmbedResult,
    *,
    related: bool = True,
    library: Library | None = None,
    progress: Progress = silent,
) -> DuplicateResult:
    """Find copies of one loop, near-duplicates, and loops that are another one moved.

    Parameters
    ----------
    embedded : EmbedResult
    related : bool, default=True
        Also look for loops that are another one shifted in time or pitch.
    library, progress
        As for `duplicate_groups`.

    Returns
    -------
    result : DuplicateResult
    """
    found = _copies(embedded, library, progress)
    recordings = _grouped(embedded, found)
    if related:
        found += _related(embedded, recordings, {pair for pair, _ in found}, library, progress)
    paths_of = _paths_of(embedded)
    pairs = [
        _described(paths[0], other, Verdict("exact", coherence=1.0))
        for paths in paths_of.values()
        for other in paths[1:]
    ]
    pairs += _in_order(embedded, paths_of, found)
    members: dict[int, list[str]] = {}
    for path, group in zip(embedded.paths, recordings, strict=True):
        members.setdefault(int(group), []).append(path)
    groups = tuple(tuple(paths) for paths in members.values() if len(paths) > 1)
    return DuplicateResult(len(embedded.paths), groups, tuple(pairs), embedded.skipped)


def _in_order(
    embedded: EmbedResult, paths_of: dict[str, list[str]], found: Iterable[Judged]
) -> list[LikePair]:
    """Describe pairs by kind, the loop that was found later by the one found earlier.

    Within a kind they come in the order in which the loops were found, not by coherence: its last digit is
    another one on another processor.
    """
    place = {path: index for index, path in enumerate(embedded.paths)}
    by_kind: dict[str, list[tuple[int, int, LikePair]]] = {kind: [] for kind in _KINDS}
    for (one, other), verdict in found:
        first, second = paths_of[one][0], paths_of[other][0]
        if place[first] > place[second]:
            first, second, verdict = second, first, verdict.turned()
        described = _described(first, second, verdict)
        by_kind[verdict.kind].append((place[first], place[second], described))
    return [pair for kind in _KINDS for *_, pair in sorted(by_kind[kind], key=lambda item: item[:2])]


def _copies(embedded: EmbedResult, library: Library | None, progress: Progress) -> list[Judged]:
    """Return the pairs of different audio that are one recording, whole or for the most part."""
    if embedded.fingerprints is None:
        return []
    hashes, rows = _unique(embedded)
    pairs = copy_candidates(hashes, embedded.fingerprints[rows])
    return _judged(pairs, "copies", embedded, library, progress)


def _related(
    embedded: EmbedResult,
    recordings: npt.NDArray[np.int64],
    copies: set[Pair],
    library: Library | None,
    progress: Progress,
) -> list[Judged]:
    """Return the pairs of loops of which one is the other moved in time or pitch."""
    # One loop of each recording: its copies would be each other's nearest and hide what is related.
    rows = np.unique(recordings, return_index=True)[1]
    rows = rows[have_equals(embedded.durations_s[rows])]
    sketches = _moved_sketches(embedded.subset(rows), library, progress)
    rows = np.array([row for row in rows if embedded.audio_hashes[row] in sketches], dtype=np.int64)
    if not len(rows):
        return []
    hashes = [embedded.audio_hashes[row] for row in rows]
    matrix = np.stack([sketches[audio_hash] for audio_hash in hashes])
    pairs = moved_candidates(hashes, embedded.durations_s[rows], matrix)
    found: list[Judged] = []
    questions: tuple[Question, ...] = ("turned", "transposed")
    for question, candidates in zip(questions, pairs, strict=True):
        told = copies | {pair for pair, _ in found}
        unknown = [pair for pair in candidates if pair not in told]
        found += _judged(unknown, question, embedded, library, progress)
    return found


def _moved_sketches(
    loops: EmbedResult, library: Library | None, progress: Progress
) -> dict[str, Float32Array]:
    """Return a sketch of each loop, by audio hash; not of those that can no longer be read."""
    wanted = dict(zip(loops.audio_hashes, loops.paths, strict=True))
    sketches = {} if library is None else library.vectors(MOVED_KIND, set(wanted))
    missing = [audio_hash for audio_hash in wanted if audio_hash not in sketches]

    def sketch(audio_hash: str) -> Float32Array | None:
        with ROOM.one_loop():
            waveform = waveform_again(wanted[audio_hash], COMPARISON_RATE_HZ, audio_hash)
            return None if waveform is None else moved_sketch(waveform)

    what = "looking for loops moved"
    with workers() as pool:
        for start in range(0, len(missing), _AT_A_TIME):
            progress(what, start, len(missing))
            some = missing[start : start + _AT_A_TIME]
            made = zip(some, pool.map(sketch, some), strict=True)
            new = {audio_hash: of for audio_hash, of in made if of is not None}
            sketches |= new
            if library is not None:
                library.try_to(partial(library.put_vectors, MOVED_KIND, new))
    if missing:
        progress(what, len(missing), len(missing))
    return sketches


def _judged(
    pairs: list[Pair], question: Question, embedded: EmbedResult, library: Library | None, progress: Progress
) -> list[Judged]:
    """Look at pairs, remember what that came to, and return those that have to do with each other."""
    version = f"{question}-{VERDICTS_VERSION}"
    path_of = dict(zip(embedded.audio_hashes, embedded.paths, strict=True))
    known = {} if library is None else library.verdicts(version)

    def read(audio_hash: str) -> Float32Array | None:
        return waveform_again(path_of[audio_hash], COMPARISON_RATE_HZ, audio_hash)

    def judged_one(pair: Pair) -> Verdict:
        with ROOM.one_loop():
            return judge.verdict(pair)

    judge = Judge(question, read, known)
    found: list[Judged] = []
    what = f"comparing loops ({question})"
    with workers() as pool:
        for start in range(0, len(pairs), _AT_A_TIME):
            progress(what, start, len(pairs))
            some = pairs[start : start + _AT_A_TIME]
            judged = zip(some, pool.map(judged_one, some), strict=True)
            found += [(pair, verdict) for pair, verdict in judged if verdict.kind != "different"]
            if len(judge.new) >= _PAIRS_PER_WRITE:
                _remember(library, version, judge)
    _remember(library, version, judge)
    if pairs:
        progress(what, len(pairs), len(pairs))
    return found


def _remember(library: Library | None, version: str, judge: Judge) -> None:
    if library is not None and judge.new:
        library.try_to(
            lambda: library.put_verdicts(version, {pair: asdict(new) for pair, new in judge.new.items()})
        )
    judge.new.clear()


def _grouped(embedded: EmbedResult, judged: Iterable[Judged]) -> npt.NDArray[np.int64]:
    """Number the loops by recording."""
    hashes, _ = _unique(embedded)
    place = {audio_hash: index for index, audio_hash in enumerate(hashes)}
    pairs = [
        (place[first], place[second]) for (first, second), verdict in judged if verdict.kind in DUPLICATES
    ]
    groups = connected(len(hashes), pairs)[[place[audio_hash] for audio_hash in embedded.audio_hashes]]
    # By the loops' order, not by that of their hashes: a sample that was rendered or decoded to another last
    # digit on another processor must not shuffle the folds, which go by these numbers.
    _, first_rows, numbers = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_rows))[numbers]


def _unique(embedded: EmbedResult) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the different audio hashes, in order, and a row of each."""
    hashes, rows = np.unique(np.array(embedded.audio_hashes), return_index=True)
    return hashes.tolist(), rows.astype(np.int64)


def _paths_of(embedded: EmbedResult) -> dict[str, list[str]]:
    paths_of: dict[str, list[str]] = {}
    for path, audio_hash in zip(embedded.paths, embedded.audio_hashes, strict=True):
        paths_of.setdefault(audio_hash, []).append(path)
    return paths_of


def _described(first: str, second: str, verdict: Verdict) -> LikePair:
    return LikePair(
        first=first,
        second=second,
        reason=_reason(first, second, verdict),
        **asdict(verdict),
    )


def _reason(first: str, second: str, verdict: Verdict) -> str:
    """Say what two loops have to do with each other."""
    details = []
    formats = [Path(path).suffix.lower().lstrip(".") for path in (first, second)]
    if formats[0] != formats[1]:
        details.append(f"{formats[1]} instead of {formats[0]}")
    if abs(verdict.gain_db) >= _HEARD_GAIN_DB:
        details.append(f"{abs(verdict.gain_db):.1f} dB {'louder' if verdict.gain_db > 0 else 'quieter'}")
    when = "later" if verdict.shift_s > 0 else "earlier"
    if verdict.kind in ("same audio", "near-duplicate") and abs(verdict.shift_s) >= _SEEN_DELAY_S:
        details.append(f"{1000 * abs(verdict.shift_s):.0f} ms {when}")
    match verdict.kind:
        case "exact":
            said = "the same samples"
        case "same audio":
            said = "the same audio"
        case "near-duplicate":
            said = f"nearly the same audio ({100 * verdict.coherence:.0f} % of it)"
        case "time-shifted":
            return f"the same loop, {abs(verdict.shift_s):.2f} s {when} around its length"
        case _:
            n_steps = abs(verdict.semitones)
            plural = "s" if n_steps > 1 else ""
            return (
                f"the same notes, {n_steps} semitone{plural} {'higher' if verdict.semitones > 0 else 'lower'}"
            )
    return ", ".join([said, *details])
