"""Rows of results as a pandas frame and as the table that a notebook shows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from loopsphere.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 20
"""Rows of a table in a notebook; the others are counted."""


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a pandas frame.

    Raises
    ------
    MissingExtraError
        pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas is needed for this: pip install 'loopsphere[tables]'") from error
    return pd.DataFrame(rows, columns=list(columns))


def html_table(
    caption: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, played: str | None = None
) -> str:
    """Return the first rows as HTML.

    Parameters
    ----------
    caption : str
    rows : sequence of mapping
    columns : sequence of str
        Those to show.
    played : str or None
        The column with the path of a loop, which gets a player where the loop lies below the working folder:
        notebooks play nothing from elsewhere.

    Returns
    -------
    html : str
    """
    names = [*columns, *([] if played is None else [""])]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = []
    for row in rows[:MAX_SHOWN]:
        cells = [escape(_shown(row[name])) for name in columns]
        if played is not None:
            cells.append(_player(str(row[played])))
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    more = f"<p>and {len(rows) - MAX_SHOWN:,} more</p>" if len(rows) > MAX_SHOWN else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f"<div><p>{escape(caption)}</p>{table}{more}</div>"


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case float():
            return f"{value:.3g}"
        case _:
            return str(value)


def _player(path: str) -> str:
    try:
        below = Path(os.path.relpath(path)).as_posix()
    except ValueError:  # on Windows, another drive
        return ""
    if below.startswith("../"):
        return ""
    return f'<audio controls preload="none" src="{escape(quote(below))}"></audio>'
