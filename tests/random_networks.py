"""Networks with random weights, for tests of formats and shapes; never for results."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from loopsphere.features.config import MelConfig
from loopsphere.models.checkpoints import save_checkpoint
from loopsphere.models.htsat import HTSAT, HTSATConfig

SMALL_MEL = MelConfig(
    sample_rate=8000, n_fft=256, hop_length=80, n_mels=16, fmax=4000.0, n_frames=201, short_clip="repeat"
)
SMALL_HTSAT = HTSATConfig(image_size=64, n_mels=16, width=8, depths=(2, 2), n_heads=(2, 4))


def randomise(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fill every weight, bias and running statistic, so that no zero or one hides a mix-up."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point() or name.endswith(("attn_mask", "melW")) or "stft" in name:
                continue  # counters, and constants of the architecture
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith("running_mean"):
                value.copy_(noise)
            elif name.endswith("running_var"):
                value.copy_(noise.square() + 0.5)
            elif value.ndim <= 1:
                value.copy_(0.3 * noise + (1.0 if name.endswith("weight") else 0.0))
            else:
                # Keeps the signal's level through a layer.
                value.copy_(noise / max(1, value[0].numel()) ** 0.5)
    return module.eval()


def small_network(*, fusion: bool = True, seed: int = 0) -> HTSAT:
    """Return a small HTS-AT whose random weights are as they come back from fp16."""
    network = HTSAT(dataclasses.replace(SMALL_HTSAT, fusion=fusion))
    randomise(network, seed)
    network.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    return network


def save_small_checkpoint(path: Path, *, fusion: bool = True, seed: int = 0) -> Path:
    """Save `small_network` in the bundled format."""
    save_checkpoint(path, small_network(fusion=fusion, seed=seed), dataclasses.asdict(SMALL_MEL))
    return path
