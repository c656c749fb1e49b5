"""Turn musicnn's published weights into the teacher's file: `python -m pretraining.convert_musicnn`.

Two thirds of its filters answer the same to every sound. They are left out, and their constants and all batch
normalisation are folded into what is next to them; features and tags stay as they were.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pretraining.musicnn import MUSICNN_FILE, REACH, Musicnn, MusicnnConfig, save_musicnn

_EPSILON = 1e-3  # of TensorFlow's batch normalisation
_SILENT = 1e-4  # a filter's standard deviation behind its norm, in which one is usual; below it is constant
_N_BANKS = 5


def converted(variables: Mapping[str, Tensor], silent: float = _SILENT) -> Musicnn:
    """Return the network without its constant filters.

    Parameters
    ----------
    variables : mapping of str to float32 Tensor
        Of the TensorFlow checkpoint, by name.
    silent : float
        Filters whose output has a smaller standard deviation are left out; 0 keeps them all.
    """
    norms = [_folded(variables, number) for number in range(11)]
    spreads = [
        scale.abs() * variables[f"batch_normalization_{bank + 1}/moving_variance"].sqrt()
        for bank, (scale, _) in enumerate(norms[1 : 1 + _N_BANKS])
    ]
    live = [spread >= silent for spread in spreads]
    network = Musicnn(MusicnnConfig(n_filters=tuple(int(bank.sum()) for bank in live)))
    state = {"input_norm.scale": norms[0][0], "input_norm.shift": norms[0][1]}
    for bank, is_live in enumerate(live):
        kernel, bias = (part[is_live] for part in _convolution(variables, bank))
        scale, shift = (part[is_live] for part in norms[1 + bank])
        state |= {f"banks.{bank}.weight": kernel * scale.sign()[:, None, None, None]}
        state |= {f"banks.{bank}.bias": bias * scale.sign()}
        state |= _affine(f"banks.{bank}.norm", scale, shift)
    alive = torch.cat(live)
    constants = torch.where(alive, 0.0, torch.cat([shift for _, shift in norms[1 : 1 + _N_BANKS]]))
    state |= _middle(variables, norms, alive, constants, network.config.n_frames)
    state |= _dense(variables, norms, alive, constants)
    network.load_state_dict(state)
    return network.eval()


def _middle(
    variables: Mapping[str, Tensor],
    norms: list[tuple[Tensor, Tensor]],
    alive: Tensor,
    constants: Tensor,
    n_frames: int,
) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for layer in range(3):
        kernel, bias = _convolution(variables, _N_BANKS + layer)
        weight = kernel[:, 0].transpose(1, 2)  # (n_out, 7, n_in) to Conv1d's order
        if layer == 0:
            image = constants[None, :, None].expand(1, -1, n_frames)
            state["left_out"] = functional.conv1d(image, weight, padding=REACH)[0]
            weight = weight[:, alive]
        state |= {f"middle.{layer}.weight": weight, f"middle.{layer}.bias": bias}
        state |= _affine(f"middle_norms.{layer}", *norms[1 + _N_BANKS + layer])
    return state


def _dense(
    variables: Mapping[str, Tensor], norms: list[tuple[Tensor, Tensor]], alive: Tensor, constants: Tensor
) -> dict[str, Tensor]:
    scale, shift = norms[9]
    kernel, bias = variables["dense/kernel"].T, variables["dense/bias"]
    # Maximum and mean over time of each channel lie side by side; of a constant both are the constant.
    n_behind = (len(scale) - 2 * len(alive)) // 2
    kept = torch.cat([alive, torch.ones(n_behind, dtype=torch.bool)]).repeat_interleave(2)
    pooled_constants = torch.cat([constants, torch.zeros(n_behind)]).repeat_interleave(2)
    bias = bias + kernel @ (shift + scale * pooled_constants)
    return {
        "dense.weight": (kernel * scale)[:, kept],
        "dense.bias": bias,
        **_affine("feature_norm", *norms[10]),
        "tags.weight": variables["dense_1/kernel"].T,
        "tags.bias": variables["dense_1/bias"],
    }


def _folded(variables: Mapping[str, Tensor], number: int) -> tuple[Tensor, Tensor]:
    """Return a batch normalisation as scale and shift."""
    layer = f"batch_normalization_{number}" if number else "batch_normalization"
    gamma, beta, mean, variance = (
        variables[f"{layer}/{name}"] for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / (variance + _EPSILON).sqrt()
    return scale, beta - mean * scale


def _convolution(variables: Mapping[str, Tensor], number: int) -> tuple[Tensor, Tensor]:
    layer = f"conv2d_{number}" if number else "conv2d"
    return variables[f"{layer}/kernel"].permute(3, 2, 0, 1), variables[f"{layer}/bias"]


def _affine(name: str, scale: Tensor, shift: Tensor) -> dict[str, Tensor]:
    return {f"{name}.scale": scale, f"{name}.shift": shift}


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variables", type=Path, help="from pretraining/fetch_musicnn.sh")
    parser.add_argument("--out", type=Path, default=MUSICNN_FILE)
    arguments = parser.parse_args()
    with np.load(arguments.variables) as arrays:
        variables = {name.replace("|", "/"): torch.from_numpy(arrays[name]) for name in arrays.files}
    network = converted(variables)
    save_musicnn(arguments.out, network)
    size = arguments.out.stat().st_size / 1e6
    print(f"{sum(network.config.n_filters)} of 561 filters kept: {arguments.out}, {size:.1f} MB")


if __name__ == "__main__":
    main()
