"""Turn YAMNet's published weights into the file that is bundled: `python -m pretraining.convert_yamnet`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from loopsphere.encoders.loading import YAMNET_FILE
from loopsphere.models.yamnet import Yamnet, YamnetConfig
from loopsphere.models.yamnet_file import save_yamnet


def converted(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names, and in the order of axes, of `Yamnet`.

    Parameters
    ----------
    arrays : dict of str to Tensor
        From `read_yamnet_tflite.py`: weights as (n_out, height, width, n_in), of filters on every channel as
        (1, height, width, n_channels).
    """
    n_layers = len(Yamnet(YamnetConfig()).layers)
    quantised: dict[str, Tensor] = {}
    for number in range(n_layers + 1):
        name = "classes" if number == n_layers else f"layers.{number}"
        weight, step = arrays[f"{number}.weight"], arrays[f"{number}.step"]
        if weight.ndim == 4:
            is_depthwise = weight.shape[0] == 1
            weight = weight.permute(3, 0, 1, 2) if is_depthwise else weight.permute(0, 3, 1, 2)
        quantised[f"{name}.weight"] = weight
        quantised[f"{name}.weight.step"] = step
        quantised[f"{name}.bias"] = arrays[f"{number}.bias"]
    return quantised


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", type=Path, help="from pretraining/fetch_yamnet.sh")
    parser.add_argument("--out", type=Path, default=YAMNET_FILE)
    arguments = parser.parse_args()
    with np.load(arguments.arrays) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    save_yamnet(arguments.out, converted(arrays))
    print(f"{arguments.out}, {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
