"""Memory that workers share: a long loop waits until there is room for it, a short one never does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

ROOM_BYTES = 384 << 20
"""For all loops that are worked on at a time, beside the program, its networks and what short loops take."""
_SHORT_BYTES = 32 << 20
"""What needs no more than this is not counted: with the usual workers, they have room beside the others."""


class Room:
    """So many bytes for all threads.

    Parameters
    ----------
    n_bytes : int
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._free = n_bytes
        self._changed = threading.Condition()
        self._held = threading.local()

    @contextmanager
    def one_loop(self) -> Iterator[None]:
        """Work on one loop in this thread; what it needed is free again afterwards."""
        self._held.n_bytes = 0
        try:
            yield
        finally:
            self._give_back()
            del self._held.n_bytes

    def need(self, n_bytes: int) -> None:
        """Wait until there is room for what this thread's loop needs from now on, all in all.

        A loop that needs more than before gives back first what it had, so that no two wait for each other.
        One that needs more than there is gets all. Outside `one_loop` nothing is counted and nobody waits.
        """
        held = getattr(self._held, "n_bytes", None)
        wanted = min(n_bytes, self._n_bytes)
        if held is None or wanted <= max(held, _SHORT_BYTES):
            return
        self._give_back()
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        self._held.n_bytes = wanted

    def _give_back(self) -> None:
        with self._changed:
            self._free += self._held.n_bytes
            self._changed.notify_all()
        self._held.n_bytes = 0


ROOM = Room(ROOM_BYTES)
"""That of this process."""
