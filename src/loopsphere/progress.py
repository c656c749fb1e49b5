"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, n_done, n_total)`."""


def silent(what: str, n_done: int, n_total: int) -> None:
    """Report progress to nobody."""
