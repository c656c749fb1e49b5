"""Answers as tables for people."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from loopsphere.cli.console import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from loopsphere.collection import DuplicateResult
    from loopsphere.neighbourhood import SimilarResult
    from loopsphere.types import Explanation, LoopScore, ScoreResult, SkippedFile

_SHOWN_SKIPPED = 20


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many}"


def oddest_table(
    result: ScoreResult, n_rows: int, remarks: Mapping[str, str] | None = None, base: str | None = None
) -> Table:
    """Return the oddest loops as a table.

    Parameters
    ----------
    result : ScoreResult
    n_rows : int
    remarks : mapping of path to str, or None
        A last column.
    base : str or None
        Folder that paths are shown relative to.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "score", "p", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("loop", overflow="fold")
    why = {explanation.path: explanation for explanation in result.explanations}
    if why:
        table.add_column("why", overflow="fold")
    if remarks is not None:
        table.add_column("planted")
    for rank, loop in enumerate(result.loops[:n_rows], start=1):
        path = os.path.relpath(loop.path, base) if base else loop.path
        cells: list[str | Text] = [
            str(rank),
            f"{loop.anomaly_score:.3g}",
            _p(loop),
            f"{loop.duration_s:.1f}",
            plain(path),
        ]
        if why:
            cells.append(plain(_first_reason(why.get(loop.path))))
        if remarks is not None:
            cells.append(plain(remarks.get(loop.path, "")))
        table.add_row(*cells, style="bold" if loop.is_odd else "dim")
    return table


def _first_reason(explanation: Explanation | None) -> str:
    if explanation is None:
        return ""
    return explanation.reasons[0].text if explanation.reasons else "nothing stands out"


def _p(loop: LoopScore) -> str:
    return f"{loop.p_value:.3f}{'*' if loop.is_odd else ' '}"


def print_result(console: Console, result: ScoreResult, n_rows: int) -> None:
    """Print the oddest loops, the count, what was skipped and what to know."""
    n_odd = sum(loop.is_odd for loop in result.loops)
    if n_rows and result.loops:
        console.print(oddest_table(result, n_rows))
    console.print(
        plain(
            f"{n_odd} of {len(result.loops)} loops are odd (*) at a false-alarm rate of "
            f"{100 * result.alpha:g} % ({result.detector} on {result.encoder})"
        )
    )
    for note in result.notes:
        console.print(plain(f"Note: {note}."))
    print_skipped(console, result.skipped)


def print_duplicates(console: Console, result: DuplicateResult, n_rows: int) -> None:
    """Print each group of copies below its first loop, then the other pairs, with reasons; and the count."""
    from loopsphere.library.duplicates import DUPLICATES

    copies = [pair for pair in result.pairs if pair.kind in DUPLICATES]
    reason_of = {(pair.first, pair.second): pair.reason for pair in copies}
    group_of = {path: number for number, paths in enumerate(result.groups) for path in paths}
    lines: list[str] = []
    for first, *others in result.groups:
        lines.append(first)
        for position, other in enumerate(others):
            # Not every copy need be like the first; an earlier one has led to it.
            earlier = [first, *others[:position]]
            nearest = next((path for path in earlier if (path, other) in reason_of), None)
            reason = reason_of[nearest, other] if nearest is not None else "the same audio"
            of = f", as {nearest}" if nearest not in (None, first) else ""
            lines.append(f"  {other}: {reason}{of}")
    for pair in result.pairs:
        is_listed = pair.first in group_of and group_of[pair.first] == group_of.get(pair.second)
        if pair.kind not in DUPLICATES and not is_listed:
            lines += [pair.first, f"  {pair.second}: {pair.reason}"]
    for line in lines[:n_rows]:
        console.print(plain(line))
    if len(lines) > n_rows:
        console.print(f"and {len(lines) - n_rows} more lines (see --json)")
    n_kinds = Counter(pair.kind for pair in result.pairs)
    moved = n_kinds["time-shifted"] + n_kinds["transposed"]
    console.print(
        f"{result.n_superfluous} of {result.n_loops} loops "
        f"{'is a copy' if result.n_superfluous == 1 else 'are copies'} of another, in "
        f"{counted(len(result.groups), 'group', 'groups')}; "
        f"{counted(n_kinds['near-duplicate'], 'pair is', 'pairs are')} nearly the same, "
        f"{moved} the same loop moved"
    )


def similar_table(result: SimilarResult) -> Table:
    """Return the nearest loops as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    shows_music = any(loop.tempo_bpm is not None or loop.key is not None for loop in result.loops)
    for name in ("", "similarity", *(("bpm", "key") if shows_music else ())):
        table.add_column(name, justify="right")
    table.add_column("loop", overflow="fold")
    for rank, loop in enumerate(result.loops, start=1):
        tempo = "" if loop.tempo_bpm is None else f"{loop.tempo_bpm:g}"
        music = (tempo, loop.key or "") if shows_music else ()
        more = f" (and {len(loop.copies)} exact copies)" if loop.copies else ""
        table.add_row(str(rank), f"{loop.similarity:.3f}", *music, plain(loop.path + more))
    return table


def print_skipped(console: Console, skipped: Sequence[SkippedFile]) -> None:
    """Print what could not be used and why."""
    if not skipped:
        return
    console.print(f"{len(skipped)} skipped:")
    for file in skipped[:_SHOWN_SKIPPED]:
        console.print(plain(f"  {file.path}: {file.reason}"))
    if len(skipped) > _SHOWN_SKIPPED:
        console.print(f"  and {len(skipped) - _SHOWN_SKIPPED} more (see --json)")
