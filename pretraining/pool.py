"""The rendered pool as training batches: shards of quantised log-mels and their labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loopsphere.features.config import BUNDLED
from loopsphere.features.fusion import fuse_mel
from pretraining.quantise import to_db

N_FRAMES = BUNDLED.n_frames
FX = (
    "amp", "band_pass", "bit_crush", "chorus", "compressor", "delay", "direct_input", "equaliser", "mp3",
    "noise", "phaser", "resample", "reverb", "room", "saturation",
)  # fmt: skip
TAUGHT_DIM = 200
REGRESSED = ("density", "polyphony", "articulation", "swing", "midi_mean")


@dataclass(frozen=True)
class Item:
    """Where one loop's log-mel lies, and its labels; NaN or None where a sound has no such label."""

    shard: int
    segments: tuple[tuple[int, int], ...]
    loop_frames: float
    instrument: str
    family: str
    bpm: float
    chroma: tuple[float, ...] | None
    regressed: tuple[float, ...]
    fx: tuple[str, ...]
    taught: npt.NDArray[np.float16] | None = None
    """What the teacher makes of the loop, (200,); None where the pool was rendered without one."""


def _item(shard: int, record: dict[str, Any], taught: npt.NDArray[np.float16] | None) -> Item:
    segments = [(record["start"], record["stop"])]
    if record["twin_start"] is not None:
        segments.append((record["twin_start"], record["twin_stop"]))
    # What a sound does not have, such as the tempo of a knock, is None in the file and NaN here.
    known = {name: np.nan if record[name] is None else record[name] for name in (*REGRESSED, "bpm")}
    regressed = (
        np.log2(1.0 + known["density"]),
        np.log2(1.0 + known["polyphony"]),
        np.log2(0.1 + known["articulation"]),
        known["swing"],
        (known["midi_mean"] - 60.0) / 12.0,
    )
    return Item(
        shard=shard,
        segments=tuple(segments),
        loop_frames=record["n_samples"] / BUNDLED.hop_length,
        instrument=record["instrument"],
        family=record["family"],
        bpm=known["bpm"],
        chroma=None if record["chroma"] is None else tuple(record["chroma"]),
        regressed=tuple(float(value) for value in regressed),
        fx=tuple(record["fx"]),
        taught=taught,
    )


class Pool:
    """All finished shards of a folder; shards that finish later join at the next `refresh`.

    Parameters
    ----------
    folder : Path
        Written by `pretraining.render`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[Item] = []
        self._mels: dict[int, npt.NDArray[np.uint8]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in the shards that have been finished since."""
        for labels in sorted(self.folder.glob("shard-*.jsonl")):
            shard = int(labels.stem.removeprefix("shard-"))
            if shard in self._mels:
                continue
            self._mels[shard] = np.load(labels.with_suffix(".mel.npy"), mmap_mode="r")
            records = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
            path = labels.with_suffix(".teacher.npy")
            taught = list(np.load(path)) if path.exists() else [None] * len(records)
            self.items += [_item(shard, *pair) for pair in zip(records, taught, strict=True)]

    def draw(self, n_loops: int, n_longer: int, rng: np.random.Generator) -> list[Item]:
        """Draw loops without repetition, at least `n_longer` of them longer than the encoder's window."""
        longer = [index for index, item in enumerate(self.items) if item.loop_frames > N_FRAMES]
        chosen = dict.fromkeys(rng.choice(longer, size=n_longer, replace=False))
        chosen |= dict.fromkeys(rng.choice(len(self.items), size=n_loops, replace=False))
        return [self.items[index] for index in list(chosen)[:n_loops]]

    def taught(self) -> npt.NDArray[np.float32]:
        """Return what the teacher makes of all loops that it has heard, (n_loops, 200)."""
        rows = [item.taught for item in self.items if item.taught is not None]
        return np.array(rows, dtype=np.float32).reshape(-1, TAUGHT_DIM)

    def mel(self, item: Item, segment: int = 0) -> npt.NDArray[np.float32]:
        """Return the log-mel in dB, (n_total_frames, n_mels), of a loop or of its twin (segment 1)."""
        start, stop = item.segments[segment]
        return to_db(self._mels[item.shard][start:stop])


def shifted(mel: npt.NDArray[np.float32], loop_frames: float, shift: float) -> npt.NDArray[np.float32]:
    """Start a loop `shift` of its length later; what was before the new start follows the end."""
    position = (np.arange(len(mel)) + shift * loop_frames) % loop_frames
    return mel[np.minimum(position.astype(np.int64), len(mel) - 1)]


def coloured(mel: npt.NDArray[np.float32], curve_db: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Apply an equaliser curve of shape (n_mels,) and bring the level back."""
    changed = mel + curve_db
    level = 10.0 * np.log10(np.mean(10.0 ** (mel / 10.0)) / np.mean(10.0 ** (changed / 10.0)))
    return np.maximum(changed + np.float32(level), np.float32(BUNDLED.floor_db))


def random_curve(rng: np.random.Generator, depth_db: float) -> npt.NDArray[np.float32]:
    """Draw a smooth equaliser curve: a few knots over the bands, joined by straight lines."""
    knots = rng.normal(0.0, depth_db, size=6)
    bands = np.arange(BUNDLED.n_mels)
    return np.interp(bands, np.linspace(0, BUNDLED.n_mels - 1, 6), knots).astype(np.float32)


def masked(mel: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Hide one stretch of time and one of frequency behind the clip's mean (Park et al. 2019)."""
    mel = mel.copy()
    mean = mel.mean()
    start = rng.integers(0, len(mel) - 40)
    mel[start : start + rng.integers(8, 40)] = mean
    band = rng.integers(0, BUNDLED.n_mels - 14)
    mel[:, band : band + rng.integers(3, 14)] = mean
    return mel


@dataclass(frozen=True)
class Batch:
    """Two views of each loop (first all first views, then all second views) and the loops' labels."""

    view: npt.NDArray[np.float32]
    is_longer: npt.NDArray[np.bool_]
    local_views: npt.NDArray[np.float32]
    items: tuple[Item, ...]


def make_batch(pool: Pool, items: list[Item], rng: np.random.Generator) -> Batch:
    """Cut, shift and colour two views of each loop.

    Both views share a strong equaliser curve (another pickup, another room); the second differs from the
    first by where the loop starts, by a mild curve and, where the pool has one, by a codec: what an
    embedding must not notice.
    """
    curves = [random_curve(rng, 4.0) * np.float32(rng.random() < 0.6) for _ in items]
    views: list[npt.NDArray[np.float32]] = []
    for second in (False, True):
        for item, curve in zip(items, curves, strict=True):
            mel = pool.mel(item, segment=int(second and len(item.segments) > 1))
            mel = shifted(mel, item.loop_frames, rng.random())
            mel = coloured(mel, curve + random_curve(rng, 0.7 if second else 0.2))
            if not second and rng.random() < 0.3:
                mel = masked(mel, rng)
            if not second and len(mel) > N_FRAMES and rng.random() < 0.3:
                start = rng.integers(0, len(mel) - N_FRAMES)
                mel = mel[start : start + N_FRAMES]
            views.append(fuse_mel(mel, n_frames=N_FRAMES, rng=None if second else rng))
    is_longer = np.array([len(view) > 1 for view in views])
    local = [view[1:] for view in views if len(view) > 1]
    empty = np.zeros((0, 3, N_FRAMES, BUNDLED.n_mels), dtype=np.float32)
    return Batch(
        view=np.stack([view[0] for view in views]),
        is_longer=is_longer,
        local_views=np.stack(local) if local else empty,
        items=tuple(items),
    )
