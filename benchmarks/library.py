"""How fast and how lean a library is: `python benchmarks/library.py --out benchmarks/library.md`.

How many loops a second the second look at 10,000 unchanged files takes, and the memory that a library of
100,000 rows needs. The files are real and short; their embeddings are drawn, so that the network's time does
not count. The memory is that of a process of its own, with all that `embed` imports.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from loopsphere.audio import load_clip
from loopsphere.collection.embedding import cached_encoder, embed, embedding_kind
from loopsphere.library import FileRecord, open_library
from loopsphere.library.memory import Memory
from loopsphere.library.store import now
from loopsphere.matching.fingerprint import FINGERPRINT_DIM, FINGERPRINT_KIND
from loopsphere.verbs.scan import scan

ROWS_PER_WRITE = 512
N_REPEATS = 3


@dataclass(frozen=True)
class Looks:
    """Seconds, and of processor time, of the first look and of repeated second ones."""

    n_files: int
    first: tuple[float, float]
    embeds: tuple[tuple[float, float], ...]
    scans: tuple[tuple[float, float], ...]

    def rates(self, *times: tuple[float, float]) -> tuple[str, str]:
        """Return loops a second, and a second of processor time."""
        seconds, processor = (
            ", ".join(f"{self.n_files / each:,.0f}" for each in of) for of in zip(*times, strict=True)
        )
        return seconds, processor


@dataclass(frozen=True)
class Filled:
    """What a library of many rows takes."""

    n_rows: int
    written_s: float
    recalled_s: float
    nearest_ms: float
    disk_mib: float
    peak_gib: float


def unit_vectors(rng: np.random.Generator, names: list[str], dim: int) -> dict[str, np.ndarray]:
    """Return a vector of norm 1 for each name."""
    matrix = rng.normal(size=(len(names), dim)).astype(np.float32)
    return dict(zip(names, matrix / np.linalg.norm(matrix, axis=1, keepdims=True), strict=True))


def write_files(folder: Path, n_files: int) -> None:
    """Write short, different loops, a hundred a folder."""
    rng = np.random.default_rng(0)
    for number in range(n_files):
        path = folder / f"pack {number // 100:03d}" / f"loop {number:05d}.wav"
        path.parent.mkdir(exist_ok=True)
        sf.write(path, 0.1 * rng.normal(size=1_000), 16_000)


def remember(folder: Path, kind: str, dim: int) -> None:
    """Read all files and remember them with drawn vectors, as a first scan does."""
    memory = Memory(open_library(folder / ".loopsphere"), (kind, FINGERPRINT_KIND))
    rng = np.random.default_rng(1)
    paths = sorted(str(path) for path in folder.rglob("*.wav"))
    for path in paths:
        status, read_at = Path(path).stat(), now()
        clip = load_clip(path, 16_000)
        name = clip.audio_hash
        vectors = {
            kind: unit_vectors(rng, [name], dim)[name],
            FINGERPRINT_KIND: unit_vectors(rng, [name], FINGERPRINT_DIM)[name],
        }
        memory.add(name, vectors)
        record = FileRecord(
            path, status.st_size, status.st_mtime_ns, read_at, name, clip.duration_s, 16_000, 1
        )
        memory.keep(record, is_new=True)
    memory.finish(paths, [str(folder)])


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that some work takes, and its processor time."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def time_looks(n_files: int) -> Looks:
    """Time the first look and the second ones at unchanged files."""
    encoder = cached_encoder("bundled", "auto")
    kind = embedding_kind(encoder.hash)
    embeds, scans = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, n_files)
        time.sleep(2.5)  # a file younger than two seconds when it is read is read again the next time
        first = timed(lambda: remember(folder, kind, encoder.embedding_dim))
        # What is recalled does not depend on the detector, and this one learns in a minute.
        look = partial(scan, folder, detector="pca+attributes")
        look(library=open_library(folder / ".loopsphere"))
        for _ in range(N_REPEATS):
            library = open_library(folder / ".loopsphere")
            embeds.append(timed(partial(embed, folder, library=library)))
            assert library.usage.n_unchanged == n_files
            scans.append(timed(partial(look, library=library)))
        return Looks(n_files, first, tuple(embeds), tuple(scans))


def fill_and_recall(location: str, n_rows: int) -> Filled:
    """Write `n_rows` rows of each table and recall all of them."""
    start, rng = time.perf_counter(), np.random.default_rng(0)
    library = open_library(location)
    for first in range(0, n_rows, ROWS_PER_WRITE):
        names = [f"{number:064x}" for number in range(first, min(first + ROWS_PER_WRITE, n_rows))]
        library.put_vectors("embedding", unit_vectors(rng, names, 256))
        library.put_vectors(FINGERPRINT_KIND, unit_vectors(rng, names, FINGERPRINT_DIM))
        library.put_files(FileRecord(f"{name}.wav", 1, 1, now(), name, 1.0, 44_100, 1) for name in names)
    library.tidy()
    written_s = time.perf_counter() - start
    start = time.perf_counter()
    memory = Memory(open_library(location), ("embedding", FINGERPRINT_KIND))
    names = [f"{number:064x}" for number in range(n_rows)]
    matrix = np.stack([memory.vector("embedding", name) for name in names])
    recalled_s = time.perf_counter() - start
    near = library.nearest("embedding", matrix[7], 10)
    searched_s = time.perf_counter() - start - recalled_s
    assert near[0].audio_hash == names[7]
    # Linux counts kilobytes, macOS bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    on_disk = sum(path.stat().st_size for path in Path(location).rglob("*") if path.is_file())
    return Filled(n_rows, written_s, recalled_s, 1000 * searched_s, on_disk / 2**20, peak / 2**30)


def filled_alone(n_rows: int) -> Filled:
    """Fill a library in a process of its own, whose memory is its own too."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "--fill", str(Path(name) / "library"), "--rows", str(n_rows)]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Filled(**json.loads(run.stdout))


def as_markdown(looks: Looks, filled: Filled) -> str:
    """Put both into words."""
    scans, embeds, first = (
        " | ".join(looks.rates(*times)) for times in (looks.scans, looks.embeds, (looks.first,))
    )
    return f"""# How fast and how lean a library is

`python benchmarks/library.py` on {os.cpu_count()} cores. Bars: 2,000 loops a second at the second look,
100,000 rows under 1.5 GB.

| loops a second, {looks.n_files:,} files | measured | by processor time |
|---|---|---|
| second `scan` of unchanged files, reasons and all | {scans} |
| its part that finds and recalls files, `embed` | {embeds} |
| first look, without the network | {first} |

| what | measured |
|---|---|
| {filled.n_rows:,} rows of every table: peak memory of the process | **{filled.peak_gib:.2f} GiB** |
| written in batches of {ROWS_PER_WRITE}, as a scan does | {filled.written_s:.0f} s |
| recalled whole | {filled.recalled_s:.1f} s |
| the ten nearest of one loop | {filled.nearest_ms:.0f} ms |
| on disk | {filled.disk_mib:.0f} MiB |
"""


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path, help="Markdown; else it is printed.")
    parser.add_argument("--fill", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.fill is not None:
        print(json.dumps(asdict(fill_and_recall(chosen.fill, chosen.rows))))
        return
    text = as_markdown(time_looks(chosen.files), filled_alone(chosen.rows))
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
