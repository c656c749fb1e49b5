"""The record and the page's parts put into one HTML file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from loopsphere.files import whole_file
from loopsphere.report.data import ReportData

_SCRIPTS = ("drawing.js", "page.js")


def page_html(data: ReportData) -> str:
    """Return a page that opens from disk and asks no network for anything.

    Parameters
    ----------
    data : ReportData

    Returns
    -------
    html : str
        UTF-8 text with its style, its scripts and its data inside.

    Raises
    ------
    ValueError
        The record holds a number that is not finite.
    """
    record = json.dumps(asdict(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # No name of a file can end the script or begin a comment in it: "<" is the same in JSON as \u003c.
    safe = record.replace("<", "\\u003c")
    style, scripts = _part("page.css"), "\n".join(map(_part, _SCRIPTS))
    before_style, rest = _part("page.html").split("/*{{css}}*/")
    before_data, rest = rest.split("{{data}}")
    before_script, end = rest.split("/*{{js}}*/")
    return "".join([before_style, style, before_data, safe, before_script, scripts, end])


def write_page(folder: str | os.PathLike[str], data: ReportData) -> Path:
    """Write `index.html` into a folder, which is made if it does not exist.

    Returns
    -------
    path : Path

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    path = Path(folder) / "index.html"
    with whole_file(path) as file:
        file.write(page_html(data).encode())
    return path


def _part(name: str) -> str:
    return files("loopsphere.report").joinpath(name).read_text(encoding="utf-8")
