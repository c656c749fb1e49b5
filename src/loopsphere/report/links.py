"""Where the page finds loops that it does not carry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote


def common_folder(paths: Sequence[str]) -> str:
    """Return the deepest folder that holds all loops; empty where they share none, as on two drives."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]  # noqa: PTH100, PTH120
    try:
        return os.path.commonpath(folders)
    except ValueError:
        return ""


def loop_urls(
    paths: Sequence[str], page_folder: str | os.PathLike[str]
) -> tuple[str, list[str], dict[int, str]]:
    """Return the root's URL, each loop's path below it, and the URLs of loops that have no common root."""
    common = common_folder(paths)
    if not common:
        whole = [Path(path).absolute() for path in paths]
        return "", [path.as_posix() for path in whole], {i: path.as_uri() for i, path in enumerate(whole)}
    below = [Path(os.path.relpath(path, common)).as_posix() for path in paths]
    try:
        root = quote(Path(os.path.relpath(common, page_folder)).as_posix())
    except ValueError:  # on Windows, another drive than the page's
        root = Path(common).as_uri()
    return root + "/", below, {}
