"""Write the averaged weights of a run as the bundled checkpoint: `python -m pretraining.export`.

The last layer norm is rescaled so that, over the training pool, every dimension of an embedding has mean 0
and variance 1. This is exact, as an embedding is a mean of normalised tokens, and it makes distances between
embeddings mean something before a detector has seen enough loops to standardise them itself.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from loopsphere.features.config import BUNDLED
from loopsphere.features.fusion import fuse_mel
from loopsphere.models.checkpoints import save_checkpoint
from loopsphere.models.htsat import HTSAT, HTSAT_LOOPS
from pretraining.pool import N_FRAMES, Item, Pool

_N_REFERENCE = 2048
_BATCH_SIZE = 32


def reference_embeddings(network: HTSAT, pool: Pool, n_loops: int, seed: int = 0) -> Tensor:
    """Embed loops of the pool as they are; float32 Tensor of shape (n_loops, embedding_dim)."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(pool.items), size=min(n_loops, len(pool.items)), replace=False)
    items = [pool.items[index] for index in chosen]
    batches = [items[start : start + _BATCH_SIZE] for start in range(0, len(items), _BATCH_SIZE)]
    with torch.inference_mode():
        return torch.cat([_embed(network.eval(), pool, batch) for batch in batches])


def _embed(network: HTSAT, pool: Pool, items: list[Item]) -> Tensor:
    views = [fuse_mel(pool.mel(item), n_frames=N_FRAMES) for item in items]
    local = [torch.from_numpy(view[1:]) for view in views if len(view) > 1]
    return network(
        torch.from_numpy(np.stack([view[0] for view in views])),
        torch.tensor([len(view) > 1 for view in views]),
        torch.stack(local) if local else None,
    )


def standardise(network: HTSAT, reference: Tensor) -> None:
    """Fold the reference's mean and standard deviation into the last layer norm."""
    scale = reference.std(0).clamp_min(1e-3)
    with torch.no_grad():
        network.norm.weight /= scale
        network.norm.bias.copy_((network.norm.bias - reference.mean(0)) / scale)


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("pretraining/runs/main"))
    parser.add_argument("--pool", type=Path, default=Path("pretraining/pool"))
    parser.add_argument("--out", type=Path, default=Path("src/loopsphere/weights/htsat-loops.safetensors"))
    arguments = parser.parse_args()
    state = torch.load(arguments.run / "last.pt", weights_only=True)
    network = HTSAT(HTSAT_LOOPS)
    network.load_state_dict(state["average"])
    standardise(network, reference_embeddings(network, Pool(arguments.pool), _N_REFERENCE))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(arguments.out, network, asdict(BUNDLED))
    size = arguments.out.stat().st_size / 1e6
    minutes = state["seconds"] / 60
    print(f"step {state['step']}, {minutes:.0f} minutes of training: {arguments.out}, {size:.1f} MB")


if __name__ == "__main__":
    main()
