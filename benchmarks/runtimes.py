"""Which runtime is fastest for the networks: torch as loopsphere runs it, OpenVINO or ONNX Runtime.

Log-mel to embedding, all in turns in one process, one thread each, as `embed` runs a network on each core.
None but torch is a dependency of loopsphere; install the others beside it to run this:

    pip install openvino onnxruntime onnx onnxscript
    python benchmarks/runtimes.py > benchmarks/runtimes.md
"""

from __future__ import annotations

import argparse
import copy
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from loopsphere.collection.embedding import cached_encoder
from loopsphere.evaluate.tables import markdown_table
from loopsphere.versions import library_versions
from peers_on_disk import save_clap
from throughput import Turn, matrix_rate, timed

Network = Callable[[], np.ndarray]


class OneView(nn.Module):
    """HTS-AT for clips within the window: one tensor in, one out, as exporters want it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, view: torch.Tensor) -> torch.Tensor:
        """Return embeddings of log-mel."""
        with torch.enable_grad():  # which keeps the stages from taking a few clips at a time
            return self.network(view)


def in_torch(source: str, precision: str, views: np.ndarray) -> Network:
    """Return our own runtime."""
    runtime = cached_encoder(source, "cpu", precision).runtime
    is_longer = np.zeros(len(views), dtype=np.bool_)
    none = np.empty((0, 3, *views.shape[1:]), dtype=np.float32)
    return lambda: runtime(views, is_longer, none)


def in_openvino(network: nn.Module, precision: str, views: np.ndarray, n_threads: int) -> Network:
    """Return the network compiled by OpenVINO for this very batch."""
    import openvino

    model = openvino.convert_model(
        OneView(network), example_input=torch.from_numpy(views), input=[tuple(views.shape)]
    )
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": n_threads}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda: compiled(views)[0]


def in_onnxruntime(network: nn.Module, views: np.ndarray, n_threads: int, folder: Path) -> Network:
    """Return the network exported to ONNX and run by ONNX Runtime."""
    import onnxruntime

    path = folder / f"{len(views)}.onnx"
    with redirect_stdout(io.StringIO()):
        # Not by dynamo: that exporter stumbles over the strides of torch's attention.
        torch.onnx.export(OneView(network), (torch.from_numpy(views),), path, dynamo=False, opset_version=17)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: views})[0]


def compare(name: str, source: str, batch_size: int, n_rounds: int, folder: Path) -> list[list[str]]:
    """Let the runtimes take turns on one network and batch."""
    encoder = cached_encoder(source, "cpu", "float32")
    shape = (batch_size, encoder.mel.n_frames, encoder.mel.n_mels)
    views = (np.random.default_rng(0).standard_normal(shape) * 10 - 20).astype(np.float32)
    # A copy: what the converters leave behind in a network makes it slow, and wrong.
    network, n_threads = copy.deepcopy(encoder.runtime._network), torch.get_num_threads()
    folder.mkdir()
    works = {
        "torch float32": in_torch(source, "float32", views),
        "torch bfloat16": in_torch(source, "bfloat16", views),
        "OpenVINO float32": in_openvino(network, "f32", views, n_threads),
        "OpenVINO bfloat16": in_openvino(network, "bf16", views, n_threads),
        "ONNX Runtime float32": in_onnxruntime(network, views, n_threads, folder),
    }
    exact = works["torch float32"]()
    turns: dict[str, list[Turn]] = {who: [] for who in works}
    for _ in range(n_rounds + 1):
        for who, work in works.items():
            turns[who].append(timed(work, batch_size))
    rows = []
    for who, work in works.items():
        made = work()
        cosine = (made * exact).sum(axis=1) / np.linalg.norm(made, axis=1) / np.linalg.norm(exact, axis=1)
        pairs = list(zip(turns[who], turns["torch bfloat16"], strict=True))[1:]
        rows.append(
            [
                name,
                str(batch_size),
                who,
                f"{median(turn.wall_ms for turn in turns[who][1:]):.2f}",
                f"{median(turn.cpu_ms for turn in turns[who][1:]):.2f}",
                f"{median(turn.cpu_ms / own.cpu_ms for turn, own in pairs):.2f}",
                f"{cosine.min():.6f}",
            ]
        )
    return rows


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loopsphere-runtimes-") as name:
        folder = Path(name)
        sources = {"bundled HTS-AT": "bundled", "HTSAT-tiny": str(save_clap(folder / "clap"))}
        rows = [
            row
            for number, (network, source) in enumerate(sources.items())
            for batch_size in (1, 8)
            for row in compare(
                network, source, batch_size, arguments.rounds, folder / f"{number} {batch_size}"
            )
        ]
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# Runtimes\n")
    print(f"`python {' '.join(sys.argv)}`, {arguments.rounds} rounds; {versions}.\n")
    print(
        f"{os.cpu_count()} cores, one thread; matrix products at "
        f"{matrix_rate(torch.float32):.0f} GFLOP/s in float32 and {matrix_rate(torch.bfloat16):.0f} in "
        "bfloat16.\n"
    )
    header = [
        "network",
        "batch",
        "runtime",
        "ms a window",
        "processor ms",
        "processor time by torch bfloat16's",
        "cosine",
    ]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
