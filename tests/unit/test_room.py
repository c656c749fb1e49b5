"""Long loops wait for room, short ones never do, and no two wait for each other."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from loopsphere.room import Room

MB = 1 << 20


def test_no_more_is_in_use_than_there_is() -> None:
    room, lock, in_use, most = Room(500 * MB), threading.Lock(), 0, 0

    def work(n_mb: int) -> None:
        nonlocal in_use, most
        with room.one_loop():
            room.need(n_mb * MB)
            with lock:
                in_use += n_mb
                most = max(most, in_use)
            time.sleep(0.002)
            with lock:
                in_use -= n_mb

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [100, 200, 300, 400, 500] * 12))
    assert 300 <= most <= 500


def test_a_short_loop_does_not_wait_and_one_that_is_too_large_gets_all() -> None:
    room = Room(100 * MB)
    with room.one_loop():
        room.need(10**12)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_hold, room, MB).result(timeout=5)
            waiting = pool.submit(_hold, room, 90 * MB)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.1)
            room._give_back()
            waiting.result(timeout=5)


def _hold(room: Room, n_bytes: int) -> None:
    with room.one_loop():
        room.need(n_bytes)


def test_loops_that_turn_out_to_need_more_do_not_wait_for_each_other() -> None:
    room, both = Room(100 * MB), threading.Barrier(2)

    def grow() -> None:
        with room.one_loop():
            room.need(50 * MB)
            both.wait(timeout=5)
            room.need(80 * MB)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(grow) for _ in range(2)]:
            done.result(timeout=10)


def test_an_error_gives_back_and_outside_nobody_waits() -> None:
    room = Room(100 * MB)
    with pytest.raises(ValueError, match="damaged"), room.one_loop():
        room.need(100 * MB)
        raise ValueError("damaged")
    _hold(room, 100 * MB)
    for _ in range(3):
        room.need(100 * MB)
