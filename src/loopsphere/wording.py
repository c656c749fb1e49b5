"""Numbers as they are told to people, the same everywhere."""

from __future__ import annotations

import math


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many}"


def shown_p(p_value: float) -> str:
    """Return a p-value in (0, 1] with three decimals, a smaller one with its first digit."""
    return f"{p_value:.{max(3, -math.floor(math.log10(p_value)))}f}"


def is_or_are(number: int) -> str:
    """Return the verb of so many."""
    return "is" if number == 1 else "are"
