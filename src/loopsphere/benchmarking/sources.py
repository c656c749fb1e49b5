"""What the detectors are compared on: embeddings from a file, labelled loops, planted faults."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from loopsphere.audio import find_loops, load_clip
from loopsphere.benchmarking.arrays import read_npz
from loopsphere.encoders import Encoder
from loopsphere.errors import AudioError, NothingUsableError
from loopsphere.evaluate.planted import PlantedSet
from loopsphere.evaluate.splits import Embedding
from loopsphere.explain import Attributes, measure
from loopsphere.learning.features import attribute_columns
from loopsphere.progress import Progress
from loopsphere.synth import MAGNITUDES, faults_for, plant, render
from loopsphere.synth.collection import DEMO_PACKS, vary
from loopsphere.types import EmbedResult, Float32Array, Recording, SkippedFile

Key = tuple[str, str]
FAMILIES = ("bass", "guitar", "drums")


@dataclass(frozen=True)
class Made:
    """One loop of a planted set: which version it is of which normal loop, and its sound."""

    key: Key | None
    source: int
    waveform: Float32Array
    sample_rate: int


@dataclass(frozen=True)
class FolderSet:
    """Embeddings with a folder for each loop."""

    name: str
    embedding: Embedding
    folders: npt.NDArray[np.str_]


@dataclass(frozen=True)
class LabelledSet:
    """Embeddings of normal and odd loops.

    Attributes
    ----------
    name : str
    features : float ndarray of shape (n_loops, embedding_dim + 2 * N_ATTRIBUTES)
        Embeddings and attributes; see `loopsphere.learning.features`.
    is_odd : bool ndarray of shape (n_loops,)
    kinds : str ndarray of shape (n_loops,)
        What is odd about a loop; 'odd' where the labels do not say.
    groups : str ndarray of shape (n_loops,)
    """

    name: str
    features: Embedding
    is_odd: npt.NDArray[np.bool_]
    kinds: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]


def read_embeddings(path: str | os.PathLike[str], *, group: str, array: str | None = None) -> list[FolderSet]:
    """Read embeddings and their folders from a NumPy file.

    Parameters
    ----------
    path : path
        `.npz` without pickled objects.
    group : str
        The array (n_loops,) that names the folder of each loop.
    array : str or None
        The array (n_loops, embedding_dim); None takes every one of that shape, each a set of its own.

    Returns
    -------
    list of FolderSet
        Named by array.

    Raises
    ------
    NothingUsableError
        The file cannot be read, or an array is missing or misshapen; the message names those there are.
    """
    arrays = read_npz(path)
    there_are = f"there are {', '.join(arrays)}"
    if group not in arrays or arrays[group].ndim != 1:
        raise NothingUsableError(f"{os.fspath(path)}: no array (n_loops,) is called {group!r}; {there_are}")
    n_loops = arrays[group].size
    wanted = [array] if array is not None else [name for name in arrays if arrays[name].ndim == 2]
    fitting = [name for name in wanted if name in arrays and _is_embedding(arrays[name], n_loops)]
    if not fitting or fitting != wanted:
        named = "is there" if array is None else f"is called {array!r}"
        raise NothingUsableError(
            f"{os.fspath(path)}: no finite embedding of {n_loops} loops {named}; {there_are}"
        )
    return [FolderSet(name, arrays[name], arrays[group].astype(np.str_)) for name in fitting]


def read_labels(
    path: str | os.PathLike[str], embedded: EmbedResult, features: Float32Array, folder: Path
) -> LabelledSet:
    """Join a table of labels with embedded loops.

    Parameters
    ----------
    path : path
        CSV with the columns `path` and `is_odd` (0 or 1), and if there are any `group` and `fault`.
    embedded : EmbedResult
    features : float32 ndarray of shape (n_loops, n_features)
        Of its loops; see `loopsphere.learning.features`.
    folder : Path
        What the paths in the table are relative to.

    Returns
    -------
    LabelledSet
        The loops that were embedded and have a label.

    Raises
    ------
    NothingUsableError
        The table cannot be read, lacks a column, holds another label, or names none of the loops.
    """
    shown = os.fspath(path)
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NothingUsableError(f"{shown}: cannot be read as CSV ({error})") from error
    missing = {"path", "is_odd"} - set(rows[0] if rows else ())
    if missing:
        raise NothingUsableError(f"{shown}: column {', '.join(sorted(missing))} is missing")
    for line, row in enumerate(rows, start=2):
        if row["is_odd"] not in ("0", "1"):
            raise NothingUsableError(f"{shown}, line {line}: is_odd is {row['is_odd']!r}, not 0 or 1")
    by_path = {(folder / row["path"]).resolve(): row for row in rows}
    found = [(i, by_path.get(Path(loop).resolve())) for i, loop in enumerate(embedded.paths)]
    kept = [(i, row) for i, row in found if row is not None]
    if not kept:
        raise NothingUsableError(f"{shown}: none of its paths is among the {len(found)} loops")
    index = [i for i, _ in kept]
    # Copies of a loop get the same features to the last bit, by which the protocols know them.
    first = {embedded.audio_hashes[i]: i for i in reversed(index)}
    copies = [first[embedded.audio_hashes[i]] for i in index]
    names = [row.get("group") or embedded.audio_hashes[i] for i, row in kept]
    return LabelledSet(
        name=Path(path).name,
        features=features[copies],
        is_odd=np.array([row["is_odd"] == "1" for _, row in kept]),
        kinds=np.array([row.get("fault") or "odd" for _, row in kept]),
        groups=np.array(names),
    )


def synthesise_planted(
    family: str, encoder: Encoder, *, n_loops: int, n_versions: int, seed: int, progress: Progress
) -> PlantedSet:
    """Render a collection of four packs of one family of instruments, and broken versions of its loops.

    Parameters
    ----------
    family : {"bass", "guitar", "drums"}
    encoder : Encoder
    n_loops : int
        Normal loops.
    n_versions : int
        Broken versions of each fault and magnitude, each of another loop.
    seed : int
    progress : callable
        Called as `progress(what, n_done, n_total)`.

    Returns
    -------
    PlantedSet
    """
    packs = [pack for pack in DEMO_PACKS if pack.name.startswith(f"{family}/")]
    specs = [vary(packs[i % len(packs)].spec, seed=seed * 1_000_003 + i) for i in range(n_loops)]
    plan = _plan(faults_for(specs[0]), n_loops, n_versions, seed)

    def waveforms() -> Iterator[Made]:
        for i, spec in enumerate(specs):
            yield Made(None, i, render(spec), spec.sample_rate)
            for fault, magnitude in plan[i]:
                broken = plant(fault, magnitude, spec=spec, seed=spec.seed)
                yield Made((fault, magnitude), i, broken.waveform, broken.sample_rate)

    what = f"planting faults in {family}"
    return _embed_planted(waveforms(), encoder, what, n_loops, plan, progress, groups=None)


def plant_in_folder(
    sources: Sequence[str | os.PathLike[str]],
    encoder: Encoder,
    *,
    n_versions: int,
    seed: int,
    progress: Progress,
) -> tuple[PlantedSet, list[SkippedFile]]:
    """Break loops of the user's own; those faults that need no score of the music.

    Parameters
    ----------
    sources : sequence of paths
        Taken to be normal.
    encoder, n_versions, seed, progress
        As for `synthesise_planted`.

    Returns
    -------
    planted : PlantedSet
    skipped : list of SkippedFile

    Raises
    ------
    NothingUsableError
        Fewer than ten loops can be read.
    """
    paths, skipped = find_loops(sources)
    rate = encoder.mel.sample_rate
    hashes: list[str] = []
    usable: list[str] = []
    for n_done, path in enumerate(paths, start=1):
        try:
            hashes.append(load_clip(path, rate).audio_hash)
            usable.append(path)
        except AudioError as error:
            skipped.append(SkippedFile(path, str(error)))
        progress("reading loops", n_done, len(paths))
    if len(usable) < 10:
        raise NothingUsableError(f"planting faults takes 10 loops or more; {len(usable)} can be read")
    plan = _plan(faults_for(), len(usable), min(n_versions, len(usable)), seed)

    def waveforms() -> Iterator[Made]:
        for i, path in enumerate(usable):
            waveform = load_clip(path, rate).waveform
            yield Made(None, i, waveform, rate)
            for fault, magnitude in plan[i]:
                broken = plant(
                    fault, magnitude, waveform=waveform, sample_rate=rate, seed=seed * 1_000_003 + i
                )
                yield Made((fault, magnitude), i, broken.waveform, broken.sample_rate)

    planted = _embed_planted(
        waveforms(), encoder, "planting faults", len(usable), plan, progress, groups=np.array(hashes)
    )
    return planted, skipped


def _is_embedding(array: npt.NDArray[np.generic], n_loops: int) -> bool:
    is_float = np.issubdtype(array.dtype, np.floating)
    return is_float and array.ndim == 2 and len(array) == n_loops and bool(np.isfinite(array).all())


def _plan(faults: Iterable[str], n_loops: int, n_versions: int, seed: int) -> list[list[Key]]:
    """Choose which loops get which fault; the same loops at every magnitude, so magnitudes compare."""
    rng = np.random.default_rng([seed, 22])
    plan: list[list[Key]] = [[] for _ in range(n_loops)]
    for fault in faults:
        for source in rng.choice(n_loops, min(n_versions, n_loops), replace=False):
            plan[source].extend((fault, magnitude) for magnitude in MAGNITUDES)
    return plan


def _resampled(waveform: Float32Array, sample_rate: int, wanted: int) -> Float32Array:
    if sample_rate == wanted:
        return waveform
    resampled: Float32Array = soxr.resample(waveform, sample_rate, wanted, quality="HQ")
    return resampled


def _embed_planted(
    waveforms: Iterable[Made],
    encoder: Encoder,
    what: str,
    n_loops: int,
    plan: Sequence[Sequence[Key]],
    progress: Progress,
    *,
    groups: npt.NDArray[np.str_] | None,
) -> PlantedSet:
    """Embed and measure a stream of normal loops and versions, and sort the rows by what they are."""
    n_total = n_loops + sum(map(len, plan))
    marks: list[tuple[Key | None, int]] = []

    measured: list[Future[Attributes]] = []
    rows: list[Float32Array] = []
    with ThreadPoolExecutor(1) as beside:

        def stream() -> Iterator[Float32Array]:
            for made in waveforms:
                marks.append((made.key, made.source))
                measured.append(beside.submit(_measured, made))
                yield _resampled(made.waveform, made.sample_rate, encoder.mel.sample_rate)

        for row in encoder.embed_iter(stream()):
            rows.append(row)
            progress(what, len(rows), n_total)
    columns = attribute_columns([attributes.result().to_dict() for attributes in measured])
    keys = list(dict.fromkeys(key for keys in plan for key in keys))
    of_key = {key: [i for i, mark in enumerate(marks) if mark[0] == key] for key in [None, *keys]}
    features = np.hstack([np.stack(rows), columns])
    return PlantedSet(
        features=features[of_key[None]],
        groups=groups,
        sources={key: np.array([marks[i][1] for i in of_key[key]], dtype=np.intp) for key in keys},
        versions={key: features[of_key[key]] for key in keys},
    )


def _measured(made: Made) -> Attributes:
    return measure(Recording("", made.waveform[:, None], made.sample_rate, 1, ""))
