"""Write the averaged weights of a run as the bundled checkpoint: `python -m pretraining.export`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from loopsphere.features.config import BUNDLED
from loopsphere.models.checkpoints import save_checkpoint
from loopsphere.models.htsat import HTSAT, HTSAT_LOOPS


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("pretraining/runs/main"))
    parser.add_argument("--out", type=Path, default=Path("src/loopsphere/weights/htsat-loops.safetensors"))
    arguments = parser.parse_args()
    state = torch.load(arguments.run / "last.pt", weights_only=True)
    network = HTSAT(HTSAT_LOOPS)
    network.load_state_dict(state["average"])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(arguments.out, network, asdict(BUNDLED))
    size = arguments.out.stat().st_size / 1e6
    print(f"step {state['step']}, {state['seconds'] / 60:.0f} minutes of training: {arguments.out}, {size:.1f} MB")


if __name__ == "__main__":
    main()
