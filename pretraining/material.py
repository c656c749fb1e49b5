"""What the encoder is evaluated on: real loops, and rendered loops of instruments kept out of training."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loopsphere.audio import load_clip
from loopsphere.features.config import BUNDLED
from loopsphere.features.mel import log_mel
from pretraining.quantise import to_db
from pretraining.render import Studio

log = logging.getLogger("pretraining")

Mel = npt.NDArray[np.float32]
Waveform = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
INSTRUMENT_CLASSES = {
    "bass_loop": "bass",
    "guitar_loop": "guitar",
    "drum_loop": "drums",
    "synth_loop": "synth",
    "keys_loop": "keys",
}
"""The classes of real loops that serve as normal, and the family of each among rendered ones."""
_NOT_LOOPS = ("bass_note", "guitar_note", "drum_hit", "other_note")
LMMS_SAMPLES = Path("/usr/share/lmms/samples")
"""Where Debian's lmms-common puts its loops (GPL-2 or later); the evaluation alone hears them."""
_LMMS_LOOPS = (
    ("bassloops/*synth*.ogg", "synth_loop"),
    ("bassloops/*.ogg", "bass_loop"),
    ("beats/*.ogg", "drum_loop"),
    ("latin/*guitar*.ogg", "guitar_loop"),
)
_ORIGINS = {"musescore": "fluidr3"}
"""MuseScore General grew out of FluidR3 and shares samples with it: they count as one source."""


def origin(source: str) -> str:
    """Return the source whose samples a source uses."""
    return _ORIGINS.get(source, source)


class RealLoops:
    """The loops of a manifest (single notes and hits are left out), and LMMS's.

    Parameters
    ----------
    folder : Path
        That of the manifest.
    lmms : Path or None
        Folder of LMMS's samples; none of them without.

    Attributes
    ----------
    rows : list of dict
        Rows of the manifest.
    labels, groups, sources : list of str
        Family (or class, where a class is no instrument's), player or pattern, repository; one a loop.
    """

    def __init__(self, folder: Path, lmms: Path | None = None) -> None:
        self.folder = folder
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
            self.rows = [row for row in csv.DictReader(file) if row["class"] not in _NOT_LOOPS]
        if lmms is not None:
            self.rows += _lmms_rows(lmms)
        self.labels = [INSTRUMENT_CLASSES.get(row["class"], row["class"]) for row in self.rows]
        self.groups = [row["group"] for row in self.rows]
        self.sources = [row.get("source_repo") or row["group"] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, indices: range) -> str:
        """Name some of the loops, for the files that are kept of them."""
        return f"real-{_digest(self.rows[index]['path'].encode() for index in indices)}"

    def waveform(self, index: int) -> Waveform:
        """Decode a loop, at the encoder's rate."""
        return load_clip(self.folder / self.rows[index]["path"], BUNDLED.sample_rate).waveform

    def mel(self, index: int) -> Mel:
        """Return a loop's log-mel."""
        return log_mel(self.waveform(index), BUNDLED)


def _lmms_rows(folder: Path) -> list[dict[str, str]]:
    """Return rows as a manifest has them; each loop is of the first class whose pattern it fits."""
    found: dict[Path, str] = {}
    for pattern, label in _LMMS_LOOPS:
        for path in sorted(folder.glob(pattern)):
            found.setdefault(path, label)
    return [
        {"path": str(path), "class": label, "group": f"lmms:{path.stem[:4]}", "source_repo": "LMMS/lmms"}
        for path, label in found.items()
    ]


class RenderedLoops:
    """The loops of a pool that was rendered with `--split eval`.

    Parameters
    ----------
    folder : Path
        The pool.
    recorded_notes : Path
        Folder of the recorded notes that its renderer used.
    n_loops : int
        How many of the pool's loops to take, from its start.
    """

    def __init__(self, folder: Path, recorded_notes: Path, n_loops: int) -> None:
        self._recorded_notes = recorded_notes
        self.rows: list[dict] = []
        self._mels: dict[int, npt.NDArray[np.uint8]] = {}
        for path in sorted(folder.glob("shard-*.jsonl")):
            shard = int(path.stem.removeprefix("shard-"))
            self._mels[shard] = np.load(path.with_suffix(".mel.npy"), mmap_mode="r")
            with path.open(encoding="utf-8") as lines:
                self.rows += [json.loads(line) for line in lines]
        if not self.rows:
            raise SystemExit(f"no rendered loops in {folder}: run `make pretrain-data` first")
        del self.rows[n_loops:]
        self.labels = [row["family"] for row in self.rows]
        self.sources = [origin(row["source"]) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, indices: range) -> str:
        """Name some of the loops, for the files that are kept of them."""
        return f"rendered-{_digest(self._bytes(index).tobytes() for index in indices)}"

    def _bytes(self, index: int) -> npt.NDArray[np.uint8]:
        row = self.rows[index]
        return self._mels[row["seed"][1]][row["start"] : row["stop"]]

    @cached_property
    def _studio(self) -> Studio:
        return Studio("eval", self._recorded_notes)

    def waveform(self, index: int) -> Waveform:
        """Render a loop again, from its seed."""
        row = self.rows[index]
        audio, labels = self._studio.draw(np.random.default_rng(row["seed"]))
        if any(labels[name] != row[name] for name in ("instrument", "n_samples", "bpm", "density")):
            raise SystemExit(
                f"the renderer has changed since loop {row['seed']} was rendered: render the pool again"
            )
        return audio

    def mel(self, index: int) -> Mel:
        """Return a loop's log-mel from the pool."""
        return to_db(self._bytes(index))


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


def kept_matrix(path: Path, make: Callable[[], Iterable[npt.NDArray[np.floating]]]) -> Matrix:
    """Return a matrix from its file, or from its rows, which are then kept in that file."""
    if not path.exists():
        log.info("making %s", path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, lambda part: np.save(part, np.stack(list(make()))))
    return np.load(path).astype(np.float64)


def _put(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under another name first: a run that is stopped leaves no half of one."""
    part = path.with_name(f"part-{path.name}")
    write(part)
    part.replace(path)
