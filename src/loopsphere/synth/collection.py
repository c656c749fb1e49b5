"""A labelled demo collection on disk: packs of bass, guitar and drum loops, odd ones planted among them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile as sf

from loopsphere.files import whole_file
from loopsphere.synth.faults import plant
from loopsphere.synth.instruments import INSTRUMENTS
from loopsphere.synth.patterns import styles_of
from loopsphere.synth.render import render
from loopsphere.synth.spec import LoopSpec
from loopsphere.types import Float32Array

LABELS_NAME = "labels.csv"


@dataclass(frozen=True)
class Pack:
    """Loops that belong together: one player, one tempo, one key, one style."""

    name: str
    spec: LoopSpec


@dataclass(frozen=True)
class LabelledLoop:
    """One row of labels.csv; `fault`, `magnitude` and the times are empty for a normal loop.

    Attributes
    ----------
    path : str
        Relative to the folder of labels.csv, with forward slashes.
    group : str
        The pack.
    instrument : str
        What a listener hears, which for some odd loops is not what the pack holds.
    bpm : float
    root, scale : str
        Key of the pack; empty for drums.
    is_odd : int
        1 or 0.
    fault, magnitude : str
        A key of `loopsphere.synth.FAULTS` and its level.
    start_s, end_s : float or None
        First and last second that the fault touches.
    """

    path: str
    group: str
    instrument: str
    bpm: float
    root: str
    scale: str
    is_odd: int
    fault: str = ""
    magnitude: str = ""
    start_s: float | None = None
    end_s: float | None = None


_PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

DEMO_PACKS = (
    Pack("bass/midnight_fingers", LoopSpec("electric_bass", "rock_bass", 11, bpm=104, root=4, scale="minor")),
    Pack(
        "bass/rubber_funk",
        LoopSpec("electric_bass", "funk_bass", 27, bpm=112, root=9, scale="dorian", swing=0.15),
    ),
    Pack("bass/warehouse_saw", LoopSpec("synth_bass", "offbeat_bass", 5, bpm=124, root=7, scale="minor")),
    Pack("bass/glass_dub", LoopSpec("fm_bass", "dub_bass", 8, bpm=92, root=2, scale="minor_pentatonic")),
    Pack("guitar/porch_nylon", LoopSpec("nylon_guitar", "fingerpicked", 3, bpm=96, root=7, scale="major")),
    Pack(
        "guitar/campfire_steel", LoopSpec("steel_guitar", "strummed", 14, bpm=108, root=2, scale="mixolydian")
    ),
    Pack("guitar/clean_chops", LoopSpec("clean_guitar", "funk_guitar", 21, bpm=112, root=9, scale="dorian")),
    Pack("guitar/garage_power", LoopSpec("crunch_guitar", "power_chords", 6, bpm=128, root=4, scale="minor")),
    Pack("drums/tape_rock", LoopSpec("acoustic_kit", "rock", 17, bpm=104)),
    Pack("drums/pocket_funk", LoopSpec("acoustic_kit", "funk", 23, bpm=100, swing=0.2)),
    Pack("drums/club_909", LoopSpec("analogue_kit", "house", 9, bpm=124)),
    Pack("drums/block_boom", LoopSpec("electro_kit", "hip_hop", 4, bpm=92, swing=0.1)),
)

# What goes wrong in real collections, from plain to subtle; most of it a person hears at once.
DEMO_FAULTS = (
    ("speech", "large"),
    ("environment", "large"),
    ("wrong_instrument", "large"),
    ("distortion", "large"),
    ("noise", "large"),
    ("dropouts", "large"),
    ("wrong_sample_rate", "large"),
    ("reversed", "large"),
    ("silence_gap", "large"),
    ("bit_depth", "large"),
    ("hum", "large"),
    ("wrong_sample_rate", "medium"),
    ("brightness", "large"),
    ("noise", "medium"),
    ("clipping", "large"),
    ("phase_cancellation", "large"),
)
# None of these is at home anywhere in the demo.
_FOREIGN_INSTRUMENTS = ("bell", "organ", "lead", "pad")


def render_collection(
    folder: str | Path,
    *,
    n_loops: int = 300,
    odd_share: float = 0.08,
    seed: int = 0,
    sample_rate: int = 44100,
    progress: Callable[[int, int], None] | None = None,
) -> list[LabelledLoop]:
    """Write a labelled collection of loops: `bass`, `guitar` and `drums`, four packs each, and labels.csv.

    The loops of a pack share player, tempo, key and style and differ in their notes, density and touch. A
    file appears only once it is whole, and labels.csv last, so an interrupted run leaves nothing broken.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist; files of the same names are replaced.
    n_loops : int
        Spread evenly over the packs.
    odd_share : float
        Share of the loops that get a fault, to the nearest whole loop.
    seed : int
        Same seed, same bytes.
    sample_rate : int
        Hz, of the 16-bit WAV files.
    progress : callable or None
        Called as `progress(n_done, n_loops)` after each file.

    Returns
    -------
    labels : list of LabelledLoop
        The rows of labels.csv, in its order.

    Raises
    ------
    ValueError
        `n_loops` is below 1 or `odd_share` outside 0 to 1.
    OSError
        The folder cannot be written.
    """
    if n_loops < 1 or not 0.0 <= odd_share <= 1.0:
        raise ValueError(f"n_loops={n_loops} must be at least 1 and odd_share={odd_share} within 0 and 1")
    folder = Path(folder)
    fault_of = _choose_odd(n_loops, round(odd_share * n_loops), seed)
    labels = []
    for position in range(n_loops):
        # Neighbours belong to different packs, so any n_loops fills all the packs evenly.
        pack = DEMO_PACKS[position % len(DEMO_PACKS)]
        path = f"{pack.name}/{pack.name.split('/')[1]}_{position // len(DEMO_PACKS) + 1:03d}.wav"
        spec = vary(replace(pack.spec, sample_rate=sample_rate), seed=seed * 1_000_003 + position)
        waveform, file_rate, label = _make_loop(spec, path, pack.name, fault_of.get(position))
        _write_wav(folder / path, waveform, file_rate)
        labels.append(label)
        if progress is not None:
            progress(position + 1, n_loops)
    labels.sort(key=lambda label: label.path)
    _write_labels(folder / LABELS_NAME, labels)
    return labels


def _choose_odd(n_loops: int, n_odd: int, seed: int) -> dict[int, tuple[str, str]]:
    """Return position -> (fault, magnitude), spread evenly over the packs and the kinds of faults."""
    rng = np.random.default_rng([seed, 11])
    shuffled = rng.permutation(n_loops)
    n_seen = dict.fromkeys(range(len(DEMO_PACKS)), 0)
    turns = []
    for position in shuffled:
        pack = int(position) % len(DEMO_PACKS)
        turns.append((n_seen[pack], int(position)))
        n_seen[pack] += 1
    # Every pack's first, then every pack's second ...; within a turn in shuffled order.
    order = sorted(range(n_loops), key=lambda i: turns[i][0])
    return {turns[i][1]: DEMO_FAULTS[k % len(DEMO_FAULTS)] for k, i in enumerate(order[:n_odd])}


def vary(spec: LoopSpec, *, seed: int) -> LoopSpec:
    """Return another loop of the same pack: other notes, density and touch."""
    rng = np.random.default_rng([seed, 12])
    return replace(
        spec,
        seed=seed,
        bars=int(rng.choice([1, 2, 2, 2])),
        density=float(rng.uniform(0.35, 0.65)),
        humanise_s=float(rng.uniform(0.002, 0.007)),
    )


def _make_loop(
    spec: LoopSpec, path: str, group: str, fault: tuple[str, str] | None
) -> tuple[Float32Array, int, LabelledLoop]:
    """Render one loop, with its fault if it has one."""
    is_pitched = spec.family != "drums"
    label = LabelledLoop(
        path=path,
        group=group,
        instrument=spec.instrument,
        bpm=spec.bpm,
        root=_PITCH_NAMES[spec.root] if is_pitched else "",
        scale=spec.scale if is_pitched else "",
        is_odd=int(fault is not None),
    )
    if fault is None:
        return render(spec), spec.sample_rate, label
    name, magnitude = fault
    label = replace(label, fault=name, magnitude=magnitude)
    if name == "wrong_instrument":
        foreign = _foreign(spec)
        waveform = render(foreign)
        end_s = round(len(waveform) / spec.sample_rate, 4)
        return (
            waveform,
            spec.sample_rate,
            replace(label, instrument=foreign.instrument, start_s=0.0, end_s=end_s),
        )
    planted = plant(name, magnitude, waveform=render(spec), sample_rate=spec.sample_rate, seed=spec.seed)
    start_s, end_s = planted.fault.ranges_s[0][0], planted.fault.ranges_s[-1][1]
    heard = name if name in ("speech", "environment") else spec.instrument
    label = replace(label, instrument=heard, start_s=round(start_s, 4), end_s=round(end_s, 4))
    return planted.waveform, planted.sample_rate, label


def _foreign(spec: LoopSpec) -> LoopSpec:
    """Return the spec of a loop that belongs to none of the demo's packs."""
    rng = np.random.default_rng([spec.seed, 13])
    instrument = str(rng.choice(_FOREIGN_INSTRUMENTS))
    style = str(rng.choice(styles_of(INSTRUMENTS[instrument].family)))
    return replace(spec, instrument=instrument, style=style)


def _write_wav(path: Path, waveform: Float32Array, sample_rate: int) -> None:
    # By descriptor: through a file object soundfile calls back into Python, where Ctrl-C would be lost.
    with whole_file(path) as file:
        form = {"samplerate": sample_rate, "channels": 1, "subtype": "PCM_16", "format": "WAV"}
        with sf.SoundFile(file.fileno(), "w", closefd=False, **form) as sound:
            sound.write(waveform)


def _write_labels(path: Path, labels: list[LabelledLoop]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(asdict(labels[0])))
    writer.writeheader()
    writer.writerows(asdict(label) for label in labels)
    with whole_file(path) as file:
        file.write(text.getvalue().encode())
