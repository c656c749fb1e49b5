"""Work that is shared out between processes, one core each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any


def share_out(work: Callable[..., None], shards: Sequence[int], n_workers: int, *arguments: Any) -> None:
    """Call `work(worker, shards of its own, *arguments)` in each of some processes.

    Raises
    ------
    SystemExit
        One of them failed.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=work, args=(worker, shards[worker::n_workers], *arguments))
        for worker in range(min(n_workers, len(shards)))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a worker failed; run the command again to resume")
