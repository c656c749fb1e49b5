"""Answers as tables for people."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from loopsphere.cli.console import plain, printable
from loopsphere.wording import counted, is_or_are, shown_p

if TYPE_CHECKING:
    from rich.console import Console

    from loopsphere.collection.copies import DuplicateResult
    from loopsphere.types import Explanation, LoopScore, ScoreResult, SkippedFile
    from loopsphere.verbs.similar import SimilarResult

_SHOWN_SKIPPED = 20
_NARROW = 100
"""Columns of a terminal below which reasons stand under their loops."""


def oddest_table(
    result: ScoreResult,
    n_rows: int,
    remarks: Mapping[str, str] | None = None,
    base: str | None = None,
    *,
    width: int | None = None,
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
    width : int or None
        Columns of the terminal, which paths are shortened for, and where it is narrow, reasons and remarks
        stand below them. None keeps them whole.
    """
    loops = result.loops[:n_rows]
    paths = [os.path.relpath(loop.path, base) if base else loop.path for loop in loops]
    more = {}  # columns behind the path
    if result.explanations:
        why = {explanation.path: _first_reason(explanation) for explanation in result.explanations}
        more["why"] = [why.get(loop.path, "") for loop in loops]
    if remarks is not None:
        more["planted"] = [remarks.get(loop.path, "") for loop in loops]
    figures = {
        "": [str(rank) for rank in range(1, len(loops) + 1)],
        "p": [_p(loop) for loop in loops],
        "seconds": [f"{loop.duration_s:.1f}" for loop in loops],
    }
    is_narrow = width is not None and width < _NARROW
    if width is not None:
        room = width - _width_of(figures)
        if more and not is_narrow:  # half of it, the columns behind and the spaces between get the rest
            room = room // 2 - 2
        paths = [shortened(printable(path), room) for path in paths]
    table = _table(figures, "loop", *(() if is_narrow else more))
    for loop, numbers, *texts in zip(
        loops, zip(*figures.values(), strict=True), paths, *more.values(), strict=True
    ):
        cells = [plain(text) for text in texts]
        if is_narrow:
            cells = [Text("\n").join(cell for cell in cells if cell)]
        table.add_row(*numbers, *cells, style="bold" if loop.is_odd else "dim")
    return table


def _table(figures: Iterable[str], *texts: str) -> Table:
    """Return an empty table with columns of figures and, behind them, of texts."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in figures:
        table.add_column(name, justify="right")
    for name in texts:
        table.add_column(name, overflow="fold")
    return table


def _width_of(figures: Mapping[str, Sequence[str]]) -> int:
    """Return how wide columns are, with the two spaces behind each."""
    return sum(max(map(len, (name, *cells))) + 2 for name, cells in figures.items())


def terminal_width(console: Console) -> int | None:
    """Return the columns of a terminal; None where a pipe or a file takes whole paths."""
    return console.width if console.file.isatty() else None


def shortened(text: str, n_cells: int) -> str:
    """Return text without its middle where it is wider than `n_cells`; twice as much of its end is kept."""
    if cell_len(text) <= n_cells:
        return text
    n_head = max(0, (n_cells - 1) // 3)
    n_tail = max(0, n_cells - 1 - n_head)
    head, tail = 0, len(text)
    while cell_len(text[: head + 1]) <= n_head:
        head += 1
    while cell_len(text[tail - 1 :]) <= n_tail:
        tail -= 1
    return f"{text[:head]}…{text[tail:]}"


def _first_reason(explanation: Explanation) -> str:
    return explanation.reasons[0].text if explanation.reasons else "nothing stands out"


def _p(loop: LoopScore) -> str:
    return f"{shown_p(loop.p_value)}{'*' if loop.is_odd else ' '}"


def print_result(console: Console, result: ScoreResult, n_rows: int) -> None:
    """Print the oddest loops, the count, what was skipped and what to know."""
    n_odd = sum(loop.is_odd for loop in result.loops)
    if n_rows and result.loops:
        console.print(oddest_table(result, n_rows, width=terminal_width(console)))
    console.print(
        plain(
            f"{n_odd:,} of {counted(len(result.loops), 'loop', 'loops')} {is_or_are(n_odd)} odd (*) "
            f"at a false-alarm rate of {100 * result.alpha:g} % ({result.detector} on {result.encoder})"
        )
    )
    for note in result.notes:
        console.print(plain(f"Note: {note}."))
    print_skipped(console, result.skipped)


def print_duplicates(console: Console, result: DuplicateResult, n_rows: int) -> None:
    """Print each group of copies below its first loop, then the other pairs, with reasons; and the count."""
    from loopsphere.matching.verdicts import DUPLICATES

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
        console.print(f"and {counted(len(lines) - n_rows, 'more line', 'more lines')} (see --json)")
    n_kinds = Counter(pair.kind for pair in result.pairs)
    moved = n_kinds["time-shifted"] + n_kinds["transposed"]
    console.print(
        f"{result.n_superfluous:,} of {counted(result.n_loops, 'loop', 'loops')} "
        f"{'is a copy' if result.n_superfluous == 1 else 'are copies'} of another, in "
        f"{counted(len(result.groups), 'group', 'groups')}; "
        f"{counted(n_kinds['near-duplicate'], 'pair is', 'pairs are')} nearly the same, "
        f"{moved} the same loop moved"
    )


def similar_table(result: SimilarResult, *, width: int | None = None) -> Table:
    """Return the nearest loops as a table; see `oddest_table`."""
    figures = {
        "": [str(rank) for rank in range(1, len(result.loops) + 1)],
        "similarity": [f"{loop.similarity:.3f}" for loop in result.loops],
    }
    if any(loop.tempo_bpm is not None or loop.key is not None for loop in result.loops):
        figures["bpm"] = ["" if loop.tempo_bpm is None else f"{loop.tempo_bpm:g}" for loop in result.loops]
        figures["key"] = [loop.key or "" for loop in result.loops]
    table = _table(figures, "loop")
    for loop, numbers in zip(result.loops, zip(*figures.values(), strict=True), strict=True):
        path, more = printable(loop.path), ""
        if loop.copies:
            more = f" (and {counted(len(loop.copies), 'exact copy', 'exact copies')})"
        if width is not None:
            path = shortened(path, width - _width_of(figures) - len(more))
        table.add_row(*numbers, plain(path + more))
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
