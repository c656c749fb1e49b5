"""Train the bundled encoder on a rendered pool: `python -m pretraining.train`.

Warm-up, constant rate, then a linear decay over the last part of `--steps`; a run can be stopped at any step
and goes on from its last checkpoint, also with more steps. What is exported is an exponential average of the
weights.
"""

from __future__ import annotations

import argparse
import copy
import csv
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from loopsphere.models.checkpoints import read_checkpoint
from loopsphere.models.htsat import HTSAT, HTSAT_LOOPS
from pretraining.catalogue import FAMILIES
from pretraining.objective import WEIGHTS, Heads, Labels, losses
from pretraining.pool import TAUGHT_DIM, Batch, Pool, make_batch

log = logging.getLogger("pretraining")
_WARM_UP = 200
_DECAY = 0.25  # share of the steps over which the rate falls to zero
_AVERAGE = 0.995


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """Return the rate of a step: linear warm-up, constant, linear decay to zero."""
    start = n_steps * (1.0 - _DECAY)
    return peak * min(1.0, (step + 1) / _WARM_UP, max(0.0, (n_steps - step) / (n_steps - start)))


def _mean_and_deviation(taught: npt.NDArray[np.float32]) -> Tensor:
    if not len(taught):  # no target will be known, and none be standardised
        return torch.stack([torch.zeros(TAUGHT_DIM), torch.ones(TAUGHT_DIM)])
    return torch.from_numpy(np.stack([taught.mean(0), taught.std(0) + 1e-3]))


class Run:
    """One training run: networks, optimiser, position, and the checkpoint on disk."""

    def __init__(
        self,
        folder: Path,
        pool: Pool,
        *,
        seed: int,
        peak_rate: float,
        begin_from: Path | None = None,
        bfloat16: bool = False,
    ) -> None:
        torch.manual_seed(seed)
        self.path = folder / "last.pt"
        self.step, self.seconds, self.seed, self.peak_rate = 0, 0.0, seed, peak_rate
        self.bfloat16 = bfloat16
        state = torch.load(self.path, weights_only=True) if self.path.exists() else None
        names = state["instruments"] if state else sorted({item.instrument for item in pool.items})
        taught = state["taught"] if state else _mean_and_deviation(pool.taught())
        self.labels = Labels(names, list(FAMILIES), taught)
        self.encoder = HTSAT(HTSAT_LOOPS)
        if begin_from is not None:
            self.encoder.load_state_dict(dict(read_checkpoint(begin_from).state))
        self.average = copy.deepcopy(self.encoder).requires_grad_(False)
        self.heads = Heads(HTSAT_LOOPS.embedding_dim, self.labels)
        self.optimiser = torch.optim.AdamW(self._parameters(), lr=peak_rate, betas=(0.9, 0.98))
        if state:
            self.step, self.seconds = state["step"], state["seconds"]
            for name in ("encoder", "average", "heads", "optimiser"):
                getattr(self, name).load_state_dict(state[name])

    def _parameters(self) -> list[dict]:
        parameters = [*self.encoder.parameters(), *self.heads.parameters()]
        decayed = [parameter for parameter in parameters if parameter.ndim > 1]
        plain = [parameter for parameter in parameters if parameter.ndim <= 1]
        return [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]

    def save(self) -> None:
        """Write the checkpoint beside the old one, then put it in its place."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "instruments": self.labels.instruments,
            "taught": self.labels.taught,
            **{
                name: getattr(self, name).state_dict()
                for name in ("encoder", "average", "heads", "optimiser")
            },
        }
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)

    def take_step(self, batch: Batch, n_steps: int, weights: dict[str, float]) -> dict[str, float]:
        """Train on one batch; return each term's loss."""
        started = time.monotonic()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, n_steps, self.peak_rate)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            embedding = self.encoder(
                torch.from_numpy(batch.view),
                torch.from_numpy(batch.is_longer),
                torch.from_numpy(batch.local_views),
            )
        terms = losses(self.heads(embedding.float()), self.labels(batch.items))
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        self.seconds += time.monotonic() - started
        return {"total": total.item(), **{name: term.item() for name, term in terms.items()}}

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average would remember the initial weights; let it follow faster at first.
        keep = min(_AVERAGE, (1 + self.step) / (10 + self.step))
        average: dict[str, Tensor] = self.average.state_dict()
        for name, value in self.encoder.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1 - keep)
            else:
                average[name].copy_(value)


def train(
    run: Run, pool: Pool, *, n_steps: int, batch_size: int, weights: dict[str, float], log_path: Path
) -> None:
    """Go on from the run's position to `n_steps`; step i sees the same loops and views whenever it runs."""

    def batch_of(step: int) -> Batch:
        rng = np.random.default_rng((run.seed, step))
        # Feature fusion learns from the longer loops alone, and its batch norms need several of them.
        return make_batch(pool, pool.draw(batch_size, batch_size // 8, rng), rng)

    with log_path.open("a", newline="") as file, ThreadPoolExecutor(1) as ahead:
        table = csv.writer(file)
        if file.tell() == 0:
            table.writerow(["step", "seconds", "n_loops", "total", *WEIGHTS])
        pending = ahead.submit(batch_of, run.step)
        recent: list[dict[str, float]] = []
        while run.step < n_steps:
            batch = pending.result()
            if run.step % 100 == 99:
                pool.refresh()
            pending = ahead.submit(batch_of, run.step + 1)
            recent.append(run.take_step(batch, n_steps, weights))
            if run.step % 25 == 0 or run.step == n_steps:
                mean = {name: float(np.mean([terms[name] for terms in recent])) for name in recent[0]}
                recent.clear()
                row = [
                    run.step,
                    round(run.seconds, 1),
                    len(pool.items),
                    *(round(v, 4) for v in mean.values()),
                ]
                table.writerow(row)
                file.flush()
                log.info("step %d, %.2f s a step: %s", run.step, run.seconds / run.step, row[2:])
            if run.step % 100 == 0 or run.step == n_steps:
                run.save()


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, default=Path("pretraining/pool"))
    parser.add_argument(
        "--run", type=Path, default=Path("pretraining/runs/main"), help="folder of the checkpoint and log"
    )
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=32, help="loops; each is seen in two views")
    parser.add_argument("--peak-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--without", choices=sorted(WEIGHTS), action="append", default=[], help="leave a term out"
    )
    parser.add_argument("--begin-from", type=Path, help="exported weights of an earlier run to start with")
    parser.add_argument(
        "--bfloat16", action="store_true", help="three times as fast on processors with AVX512-BF16"
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    pool = Pool(arguments.pool)
    run = Run(
        arguments.run,
        pool,
        seed=arguments.seed,
        peak_rate=arguments.peak_rate,
        begin_from=arguments.begin_from,
        bfloat16=arguments.bfloat16,
    )
    weights = {name: weight * (name not in arguments.without) for name, weight in WEIGHTS.items()}
    train(
        run,
        pool,
        n_steps=arguments.steps,
        batch_size=arguments.batch_size,
        weights=weights,
        log_path=arguments.run / "log.csv",
    )


if __name__ == "__main__":
    main()
