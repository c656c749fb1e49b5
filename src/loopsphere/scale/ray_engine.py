"""Ray Data as the engine: tasks read files, a pool of actors embeds, on all nodes of a cluster."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loopsphere.errors import LoopsphereError, MissingExtraError, first_line
from loopsphere.scale.work import Answer, Piece, ReadPiece, Task

if TYPE_CHECKING:
    from loopsphere.encoders import Encoder
    from loopsphere.encoders.front_end import FrontEnd

_NETWORK_CPUS, _READER_CPUS = 0.9, 0.1
"""Of the core that a reader and a network share: two networks never crowd the readers out of it."""
_N_RETRIES = 2
"""Of a piece whose worker died: the machine may be at fault, or a file that kills what reads it."""


@dataclass(frozen=True)
class ClusterEncoder:
    """What a worker of the cluster says of the encoder."""

    name: str
    hash: str
    precision: str
    embedding_dim: int
    front_end: FrontEnd


@contextmanager
def connected(address: str | None) -> Iterator[RayEngine]:
    """Connect to a cluster, or start one of this machine's cores, and leave it again.

    Parameters
    ----------
    address : str or None
        As for `ray.init`: 'auto', 'host:port' or 'ray://host:port'. None starts a cluster of this machine.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    LoopsphereError
        There is no cluster at that address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unasked
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("more than one machine needs Ray: pip install 'loopsphere[ray]'") from error
    was_connected = ray.is_initialized()
    if not was_connected:
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise LoopsphereError(f"no Ray cluster at {address}: {first_line(error)}") from error
    try:
        yield RayEngine()
    finally:
        if not was_connected:
            ray.shutdown()


class RayEngine:
    """Work on the cluster that this process is connected to; see `connected`."""

    def device(self, asked: str) -> str:
        """Return what the networks run on: 'auto' takes the GPUs of a cluster that has some."""
        import ray

        if asked != "auto":
            return asked
        return "cuda" if ray.cluster_resources().get("GPU", 0) else "cpu"

    def describe(self, encoder: str, device: str, precision: str) -> ClusterEncoder:
        """Load the encoder on one worker, so that 'auto' means what the workers are, and errors show at once.

        Raises
        ------
        LoopsphereError
            The encoder cannot be loaded there.
        """
        import ray

        n_gpus = 1 if device.startswith("cuda") else 0
        look = ray.remote(num_cpus=1, num_gpus=n_gpus, max_retries=_N_RETRIES)(_describe)
        try:
            return ray.get(look.remote(encoder, device, precision))  # type: ignore[no-any-return]
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LoopsphereError):
                raise error.cause from error
            raise LoopsphereError(f"a worker cannot load encoder {encoder!r}: {error.cause}") from error

    def run(self, pieces: Sequence[Piece], task: Task) -> Iterator[Answer]:
        """Yield the answers as they come; pieces whose workers died again and again have none.

        Parameters
        ----------
        pieces : sequence of Piece
        task : Task
        """
        import ray
        from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

        context = DataContext.get_current()
        context.max_errored_blocks = -1  # the caller sees what is missing
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        shares = _shares(ray.cluster_resources(), on_gpu=task.device.startswith("cuda"))
        shared = ray.put(task)
        items = ray.data.from_items([{"piece": piece} for piece in pieces], override_num_blocks=len(pieces))
        with warnings.catch_warnings():
            # Retries have no other name yet; the extra holds Ray below the version that drops this one.
            warnings.simplefilter("ignore", DeprecationWarning)
            answered = items.map_batches(
                _read,
                fn_args=[shared],
                batch_size=None,
                compute=TaskPoolStrategy(size=shares.n_readers),
                num_cpus=shares.reader_cpus,
                max_retries=_N_RETRIES,
            ).map_batches(
                _Network,
                fn_constructor_args=[task],
                batch_size=None,
                compute=ActorPoolStrategy(size=min(shares.n_networks, len(pieces))),
                max_task_retries=_N_RETRIES,
                num_cpus=shares.network_cpus,
                num_gpus=shares.network_gpus,
            )
        for batch in answered.iter_batches(batch_size=None, batch_format="numpy"):
            yield from batch["answer"]


@dataclass(frozen=True)
class _Shares:
    """How readers and networks share a cluster: how many there are, and what each takes."""

    n_readers: int
    reader_cpus: float
    n_networks: int
    network_cpus: float
    network_gpus: int


def _shares(total: Mapping[str, float], *, on_gpu: bool) -> _Shares:
    n_cpus, n_gpus = (max(1, int(total.get(name, 1))) for name in ("CPU", "GPU"))
    if on_gpu:
        return _Shares(n_cpus, 1.0, n_gpus, 1.0, 1)
    return _Shares(n_cpus, _READER_CPUS, n_cpus, _NETWORK_CPUS, 0)


def _describe(encoder: str, device: str, precision: str) -> ClusterEncoder:
    from loopsphere.collection.embedding import cached_encoder

    loaded: Encoder = cached_encoder(encoder, device, precision)
    return ClusterEncoder(loaded.name, loaded.hash, loaded.precision, loaded.embedding_dim, loaded.front_end)


def _read(batch: dict[str, Any], shared: Any) -> dict[str, Any]:
    """Read pieces."""
    import ray

    task: Task = ray.get(shared)
    return {"read": _objects(task.read(piece) for piece in batch["piece"])}


class _Network:
    """Embeds pieces; an actor that keeps its encoder."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        reads: Iterable[ReadPiece] = batch["read"]
        return {"answer": _objects(self._task.embed(read) for read in reads)}


def _objects(values: Iterable[Any]) -> Any:
    listed = list(values)
    column = np.empty(len(listed), dtype=object)
    column[:] = listed
    return column
