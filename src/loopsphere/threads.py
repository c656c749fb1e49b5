"""How many workers compute side by side, and how many threads each library may use meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

_MAX_WORKERS = 8


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads_each(n_threads: int) -> Iterator[None]:
    """Let torch and the matrix library use `n_threads` in every thread that starts inside, and restore both.

    Their own choice is all cores for each call. Two workers that do so wait for each other at every product:
    measured on 2 cores, a loop then takes half as much processor time again. Whoever computes with torch
    inside imports it before: to import it here would take seconds from those who do not.
    """
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads, user_api="blas"):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Provide a thread for each core, up to eight, for loops of their own; their products have one thread."""
    with threads_each(1), ThreadPoolExecutor(min(_MAX_WORKERS, n_cores())) as pool:
        yield pool
