"""How fast loops become embeddings, beside `transformers` and LAION's own code on the same weights.

All take turns in one process, so that whatever else the machine does falls on all; each figure is the median
of the rounds, each ratio the median of the rounds' ratios. The rate at which the machine multiplies matrices
is measured in each round too. The weights of HTSAT-tiny are drawn at random and saved in the format of the
published checkpoints: the time does not depend on their values.

    pip install 'loopsphere[dev]'; pip install --no-deps laion-clap==1.1.7 torchlibrosa
    python benchmarks/throughput.py > benchmarks/throughput.md

An older processor can be tried on a newer one, here with the bundled encoder alone:

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell \
        python benchmarks/throughput.py --only-bundled
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile as sf
import soxr
import torch
from torch.utils.flop_counter import FlopCounterMode

from loopsphere.audio import load_clip
from loopsphere.collection.embedding import cached_encoder, embed
from loopsphere.encoders import Encoder
from loopsphere.encoders.torch_runtime import runtime_summary
from loopsphere.evaluate.tables import markdown_table
from loopsphere.matching.fingerprint import FINGERPRINT_RATE_HZ, fingerprint
from loopsphere.threads import n_cores, threads_each
from loopsphere.types import Clip
from loopsphere.versions import library_versions
from peers_on_disk import laion_network, save_clap, transformers_clap, transformers_network

FILE_RATE_HZ = 44_100
DURATIONS_S = (2.0, 8.0, 30.0)
MATRIX_SIZE = 2048
BAR_RATIO, BAR_SHARE, BAR_LOOPS_PER_S = 4.0, 0.7, 60.0
BAR_AVX2 = "with AVX2 alone, 35 loops of 2 s and 20 of 8 s"
CAPS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE")
"""Variables that keep libraries below what the processor has."""

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Turn:
    """Wall and processor time of one turn, in ms a loop."""

    wall_ms: float
    cpu_ms: float


def timed(work: Callable[[], object], n_loops: int) -> Turn:
    """Return what a piece of work takes for each loop."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Turn(1000 * wall_s / n_loops, 1000 * cpu_s / n_loops)


def write_loops(folder: Path, n_loops: int, duration_s: float, seed: int) -> list[str]:
    """Write stereo 16-bit loops, each its own: decaying tones over noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * FILE_RATE_HZ)) / FILE_RATE_HZ
    paths = []
    for index in range(n_loops):
        level = np.exp(-((time_s * rng.uniform(1, 4)) % 1.0) * 4)
        tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in rng.uniform(60, 6000, 4)) * level
        mono = 0.1 * tones + 0.003 * rng.standard_normal(time_s.size)
        path = folder / f"loop {index:05d}.wav"
        sf.write(path, np.stack([mono, 0.8 * mono], axis=1), FILE_RATE_HZ, subtype="PCM_16")
        paths.append(str(path))
    return paths


def matrix_rate(dtype: torch.dtype) -> float:
    """Return GFLOP/s of one matrix product."""
    left, right = (torch.randn(MATRIX_SIZE, MATRIX_SIZE).to(dtype) for _ in range(2))
    seconds = []
    with torch.inference_mode():
        for _ in range(4):
            started = time.perf_counter()
            left @ right
            seconds.append(time.perf_counter() - started)
    return 2 * MATRIX_SIZE**3 / min(seconds) / 1e9


def ours(encoder: str, precision: str, batch_size: int | None) -> Embed:
    """Return our verb: all files at once, or one call a file."""

    def run(paths: Sequence[str]) -> np.ndarray:
        step = batch_size or len(paths)
        calls = [paths[start : start + step] for start in range(0, len(paths), step)]
        return np.concatenate(
            [embed(call, encoder=encoder, device="cpu", precision=precision).embedding for call in calls]
        )

    return run


def alternate(contenders: dict[str, Embed], paths: Sequence[str], n_rounds: int) -> dict[str, list[Turn]]:
    """Let all have their turns, round by round, after one that warms them."""
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    for work in contenders.values():
        work(paths[:2])
    for _ in range(n_rounds):
        for name, work in contenders.items():
            turns[name].append(timed(lambda work=work: work(paths), len(paths)))
    return turns


def beside_peers(n_loops: int, n_rounds: int, folder: Path) -> list[str]:
    """File to embedding on HTSAT-tiny: ours and the peers', by length of the loops."""
    checkpoint = save_clap(folder / "clap")
    transformers = transformers_clap(checkpoint)
    name = str(checkpoint)
    contenders: dict[str, Embed] = {
        "loopsphere, one call a file": ours(name, "auto", 1),
        "loopsphere": ours(name, "auto", None),
        "loopsphere, float32": ours(name, "float32", None),
        "transformers, batch 1": lambda paths: transformers(paths, 1),
        "transformers, batch 8": lambda paths: transformers(paths, 8),
    }
    lines = []
    for duration_s in DURATIONS_S:
        paths = write_loops(folder / f"{duration_s:g}s", n_loops, duration_s, seed=1)
        turns = alternate(contenders, paths, n_rounds)
        rows = [
            [
                who,
                f"{median(turn.wall_ms for turn in of):.1f}",
                f"{median(turn.cpu_ms for turn in of):.1f}",
                _ratios(
                    of, turns["loopsphere, one call a file"] if "batch 1" in who else turns["loopsphere"]
                ),
            ]
            for who, of in turns.items()
        ]
        header = ["", "ms a loop", "processor ms a loop", "times slower than ours (wall, processor)"]
        lines += [f"### Loops of {duration_s:g} s", "", markdown_table(header, rows), ""]
    return lines


def _ratios(theirs: Sequence[Turn], own: Sequence[Turn]) -> str:
    pairs = list(zip(theirs, own, strict=True))
    wall = median(their.wall_ms / our.wall_ms for their, our in pairs)
    cpu = median(their.cpu_ms / our.cpu_ms for their, our in pairs)
    return f"{wall:.2f}, {cpu:.2f}"


def network_share(
    source: str, precision: str, name: str, batch_sizes: Sequence[int], n_rounds: int
) -> list[list[str]]:
    """Return how much of the matrix rate HTS-AT reaches, from log-mel to embedding."""
    encoder = cached_encoder(source, "cpu", precision)
    views = log_mels(encoder, max(batch_sizes))
    none = np.empty((0, 3, *views.shape[1:]), dtype=np.float32)
    # In float32, because torch does not count what oneDNN does in bfloat16; both do the same.
    with FlopCounterMode(display=False) as counter:
        cached_encoder(source, "cpu", "float32").runtime(views[:1], np.zeros(1, dtype=np.bool_), none)
    gflop = counter.get_total_flops() / 1e9
    dtype = torch.bfloat16 if encoder.precision == "bfloat16" else torch.float32
    rows = []
    for n_views in batch_sizes:
        batch, is_longer = views[:n_views], np.zeros(n_views, dtype=np.bool_)
        turns, shares = [], []
        for _ in range(n_rounds + 1):
            rate = matrix_rate(dtype)
            turns.append(timed(lambda b=batch, il=is_longer: encoder.runtime(b, il, none), n_views).wall_ms)
            shares.append(gflop / (turns[-1] / 1000) / rate)
        cells = [f"{median(turns[1:]):.2f}", f"{gflop:.2f}", f"{100 * median(shares[1:]):.0f} %"]
        rows.append([name, encoder.precision, str(n_views), *cells])
    return rows


def log_mels(encoder: Encoder, n_views: int) -> np.ndarray:
    """Return windows of noise as log-mel."""
    shape = (n_views, encoder.mel.n_frames, encoder.mel.n_mels)
    return (np.random.default_rng(0).standard_normal(shape) * 10 - 20).astype(np.float32)


def networks(checkpoint: Path, n_views: int, n_rounds: int) -> list[list[str]]:
    """Let the networks alone take turns on the same log-mel: ours and the peers'."""
    encoders = {name: cached_encoder(str(checkpoint), "cpu", name) for name in ("auto", "float32")}
    views = log_mels(encoders["auto"], n_views)
    is_longer, none = np.zeros(n_views, dtype=np.bool_), np.empty((0, 3, *views.shape[1:]), dtype=np.float32)
    # Both peers want four views of every clip, and look at the first where it is short.
    four = torch.from_numpy(np.repeat(views[:, None], 4, axis=1))
    longer = torch.zeros(n_views, 1, dtype=torch.bool)
    theirs, laion = transformers_network(checkpoint), laion_network()
    works: dict[str, Callable[[], object]] = {
        f"loopsphere, {encoder.precision}": lambda encoder=encoder: encoder.runtime(views, is_longer, none)
        for encoder in encoders.values()
    }
    works["transformers"] = lambda: theirs(input_features=four, is_longer=longer)
    if laion is not None:
        works["laion-clap"] = lambda: laion({"mel_fusion": four, "longer": longer}, device="cpu")
    turns: dict[str, list[Turn]] = {name: [] for name in works}
    with torch.inference_mode():
        for _ in range(n_rounds + 1):
            for name, work in works.items():
                turns[name].append(timed(work, n_views))
    first = next(iter(turns.values()))[1:]
    return [
        [name, str(n_views), f"{median(turn.wall_ms for turn in of[1:]):.1f}", _ratios(of[1:], first)]
        for name, of in turns.items()
    ]


def bundled(n_loops: int, n_rounds: int, folder: Path) -> list[str]:
    """Return loops a second of the bundled encoder, files to embeddings, by length."""
    rows = []
    for duration_s in DURATIONS_S:
        paths = write_loops(folder / f"bundled {duration_s:g}s", n_loops, duration_s, seed=2)
        # Where 'auto' is float32, once.
        names = dict.fromkeys((cached_encoder("bundled", "cpu", "auto").precision, "float32"))
        turns = alternate({name: ours("bundled", name, None) for name in names}, paths, n_rounds)
        for precision, of in turns.items():
            wall, cpu = (median(getattr(turn, name) for turn in of) for name in ("wall_ms", "cpu_ms"))
            rows.append(
                [f"{duration_s:g} s", precision, f"{1000 / wall:.1f}", f"{cpu:.1f}", f"{cpu / wall:.2f}"]
            )
    header = ["loops of", "precision", "loops a second", "processor ms a loop", "cores busy"]
    return [markdown_table(header, rows)]


def where_time_goes(n_loops: int, n_rounds: int, folder: Path) -> str:
    """Return the processor time of each step of the bundled encoder on one core, as its workers run it."""
    encoder = cached_encoder("bundled", "cpu", "auto")
    assert encoder.tagger is not None
    columns = []
    for duration_s in DURATIONS_S:
        paths = write_loops(folder / f"steps {duration_s:g}s", n_loops, duration_s, seed=3)
        rounds = []
        with threads_each(1):
            for _ in range(n_rounds + 1):
                clips, decoded = kept(
                    lambda of=paths: [load_clip(path, encoder.mel.sample_rate) for path in of]
                )
                _, printed = kept(lambda of=clips: [fingerprinted(clip) for clip in of])
                views, seen = kept(lambda of=clips: [encoder.views(clip.waveform) for clip in of])
                _, both = kept(lambda of=views: encoder.embed_views(of))
                _, tagged = kept(lambda of=views: encoder.tagger([clip.ring for clip in of]))
                rounds.append((decoded, printed, seen, both - tagged, tagged))
        columns.append([median(times) / n_loops for times in zip(*rounds[1:], strict=True)])
    names = ("decode, resample, hash", "fingerprint", "log-mels", "HTS-AT, joining", "YAMNet")
    rows = [
        [name, *(f"{ms:.1f}" for ms in times)]
        for name, *times in zip((*names, "sum"), *([*of, sum(of)] for of in columns), strict=True)
    ]
    return markdown_table(["ms a loop", *(f"{duration_s:g} s" for duration_s in DURATIONS_S)], rows)


def fingerprinted(clip: Clip) -> np.ndarray:
    """Return what tells copies of a loop, as `embed` takes it."""
    return fingerprint(soxr.resample(clip.waveform, clip.sample_rate, FINGERPRINT_RATE_HZ))


def kept(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a piece of work returns, and its processor time in ms."""
    results: list[Any] = []
    turn = timed(lambda: results.append(work()), 1)
    return results[0], turn.cpu_ms


def machine(rates: dict[str, list[float]]) -> str:
    """Return what it was measured on: cores, instructions, the rate of products, load."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    caps = ", ".join(f"{name}={os.environ[name]}" for name in CAPS if name in os.environ)
    of_each = " and ".join(f"{median(of):.0f} GFLOP/s in {name}" for name, of in rates.items())
    return (
        f"{n_cores()} cores of {platform.machine()}, {torch.get_num_threads()} threads; torch uses "
        f"{torch.backends.cpu.get_cpu_capability()}{f' (emulated: {caps})' if caps else ''}; one product of "
        f"{MATRIX_SIZE} x {MATRIX_SIZE} matrices runs at {of_each} (median). "
        f"Load of the machine at the end: {load}.\n"
    )


def print_beside_peers(n_loops: int, n_rounds: int, folder: Path) -> None:
    """Measure HTSAT-tiny, ours and the peers', and the networks' share of the matrix rate; print it."""
    lines = beside_peers(n_loops, n_rounds, folder)
    alone = [row for size in (1, 8) for row in networks(folder / "clap", size, n_rounds)]
    shares = [
        row
        for name, source in (("bundled", "bundled"), ("HTSAT-tiny", str(folder / "clap")))
        for precision in ("auto", "float32")
        for row in network_share(source, precision, name, (1, 8, 32), n_rounds)
    ]
    print("## HTSAT-tiny with feature fusion, the same weights, file to embedding\n")
    print(f"Bar: {BAR_RATIO:g} times as fast as transformers.\n")
    print("\n".join(lines))
    print("\n## HTSAT-tiny alone, from log-mel\n")
    header = ["", "batch", "ms a window", "times slower than ours (wall, processor)"]
    print(markdown_table(header, alone))
    print("\n## The network's share of the matrix rate\n")
    print(f"HTS-AT from log-mel to embedding, the rate of its own precision. Bar: {100 * BAR_SHARE:g} %.\n")
    header = ["encoder", "precision", "batch", "ms a window", "GFLOP a window", "share of the rate"]
    print(markdown_table(header, shares))


def main() -> None:
    """Measure, and print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, default=16, help="of each length, beside the peers")
    parser.add_argument("--bundled-loops", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only-bundled", action="store_true", help="leave out HTSAT-tiny and the peers")
    arguments = parser.parse_args()
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print("# From files to embeddings")
    print(f"\n`python {' '.join(sys.argv)}`, {arguments.rounds} rounds; {versions}.\n")
    # Without instructions for bfloat16, such a product takes minutes.
    rates = {
        name: [matrix_rate(getattr(torch, name)) for _ in range(arguments.rounds)]
        for name in dict.fromkeys(("float32", runtime_summary("cpu")["fastest_precision"]))
    }
    with tempfile.TemporaryDirectory(prefix="loopsphere-throughput-") as name:
        if not arguments.only_bundled:
            print_beside_peers(arguments.loops, arguments.rounds, Path(name))
        print(f"\n## The bundled encoder\n\nBar: {BAR_LOOPS_PER_S:g} loops a second; {BAR_AVX2}.\n")
        print("\n".join(bundled(arguments.bundled_loops, arguments.rounds, Path(name))))
        print("\n### Where its time goes\n\nProcessor time on one core, in `auto`.\n")
        print(where_time_goes(arguments.loops, arguments.rounds, Path(name)))
    print("\n## The machine\n")
    print(machine(rates))


if __name__ == "__main__":
    main()
