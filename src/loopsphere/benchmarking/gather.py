"""From what the user asked for to tasks on embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from loopsphere.benchmarking import sources
from loopsphere.benchmarking.cache import cached_planted
from loopsphere.collection.embedding import DEFAULT_ENCODER, cached_encoder, embed
from loopsphere.detect import SCAN_DETECTOR
from loopsphere.encoders import Encoder
from loopsphere.errors import NothingUsableError
from loopsphere.evaluate.planted import PlantedSet, planted_faults
from loopsphere.evaluate.protocols import Task, labelled_loops, one_normal_folder, one_odd_folder
from loopsphere.evaluate.splits import Embedding
from loopsphere.learning.features import N_ATTRIBUTES, features_of, measured_for
from loopsphere.progress import Progress
from loopsphere.types import SkippedFile

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class BenchmarkRequest:
    """What to compare on.

    Attributes
    ----------
    dirs : sequence of paths
        Loops of the user's own: those that `labels` names, else normal ones to plant faults in.
    embeddings : path or None
        `.npz`; its folders take turns to be the normal one and the odd one.
    group, array : str, and str or None
        The arrays of `embeddings` that hold folders and embeddings; see `sources.read_embeddings`.
    labels : path or None
        CSV; see `sources.read_labels`. Its paths are relative to its folder, where the loops are unless
        `dirs` says otherwise.
    planted : bool
        Plant faults: in `dirs`, if given without `labels`, else in synthesised collections. Also done where
        nothing else is asked for.
    encoder, device : str
        See `loopsphere.encoders.load_encoder`.
    n_seeds : int
        Splits, and detectors, drawn anew.
    n_loops, n_versions : int
        Normal loops of each synthesised collection; broken versions of each fault and magnitude.
    cache : path or None
        Folder that keeps the embeddings of synthesised collections for the next run.
    """

    dirs: Sequence[PathLike] = ()
    embeddings: PathLike | None = None
    group: str = "folder"
    array: str | None = None
    labels: PathLike | None = None
    planted: bool = False
    encoder: str = DEFAULT_ENCODER
    device: str = "auto"
    n_seeds: int = 5
    n_loops: int = 100
    n_versions: int = 30
    cache: PathLike | None = None

    @property
    def plants_faults(self) -> bool:
        """Whether faults are planted."""
        own_loops = bool(self.dirs) and self.labels is None
        return self.planted or own_loops or (self.embeddings is None and self.labels is None)


@dataclass(frozen=True)
class Question:
    """Tasks on one data set, and its normal loops, which must raise no alarm.

    Attributes
    ----------
    dataset : str
    features : float ndarray of shape (n_loops, embedding_dim + 2 * n_attributes)
        Embeddings, followed by attributes where the sound is known; see `loopsphere.learning.features`.
    tasks : list of Task
    normal : float ndarray of shape (n_normal, embedding_dim + 2 * n_attributes)
    n_attributes : int
    """

    dataset: str
    features: Embedding
    tasks: list[Task]
    normal: Embedding
    n_attributes: int = 0

    @property
    def embedding(self) -> Embedding:
        """The features without attributes."""
        return without_attributes(self.features, self.n_attributes)


def without_attributes(features: Embedding, n_attributes: int) -> Embedding:
    """Return the embeddings that features begin with."""
    return features[:, : features.shape[1] - 2 * n_attributes]


def gather(
    request: BenchmarkRequest, *, skipped: list[SkippedFile], progress: Progress
) -> Iterator[Question]:
    """Yield the questions that a request stands for, embedding what has to be.

    Parameters
    ----------
    request : BenchmarkRequest
    skipped : list of SkippedFile
        What cannot be used is added to it.
    progress : callable
        Called as `progress(what, n_done, n_total)`.

    Yields
    ------
    Question

    Raises
    ------
    NothingUsableError
        A file or folder holds nothing to compare on; the message says what is missing.
    """
    try:
        if request.embeddings is not None:
            yield from _folder_questions(request)
        if request.labels is not None:
            yield _labelled_question(request, skipped, progress)
        if request.plants_faults:
            yield from _planted_questions(request, skipped, progress)
    except ValueError as error:  # a protocol says what the data lack
        raise NothingUsableError(str(error)) from error


def _folder_questions(request: BenchmarkRequest) -> Iterator[Question]:
    assert request.embeddings is not None
    seeds = range(request.n_seeds)
    for found in sources.read_embeddings(request.embeddings, group=request.group, array=request.array):
        tasks = [
            *one_normal_folder(found.embedding, found.folders, seeds=seeds),
            *one_odd_folder(found.embedding, found.folders, seeds=seeds),
        ]
        yield Question(found.name, found.embedding, tasks, found.embedding)


def _labelled_question(request: BenchmarkRequest, skipped: list[SkippedFile], progress: Progress) -> Question:
    assert request.labels is not None
    beside = Path(request.labels).parent
    embedded = embed(
        list(request.dirs) or [beside], encoder=request.encoder, device=request.device, progress=progress
    )
    skipped += embedded.skipped
    features = features_of(embedded, measured_for(embedded, SCAN_DETECTOR, progress=progress))
    marked = sources.read_labels(request.labels, embedded, features, beside)
    tasks = labelled_loops(
        marked.features,
        marked.is_odd,
        seeds=range(request.n_seeds),
        groups=marked.groups,
        kinds=marked.kinds,
    )
    normal = marked.features[~marked.is_odd]
    return Question(marked.name, marked.features, tasks, normal, N_ATTRIBUTES)


def _planted_questions(
    request: BenchmarkRequest, skipped: list[SkippedFile], progress: Progress
) -> Iterator[Question]:
    encoder = cached_encoder(request.encoder, request.device)
    collections: dict[str, PlantedSet] = {}
    if request.dirs and request.labels is None:
        planted, unusable = sources.plant_in_folder(
            request.dirs, encoder, n_versions=request.n_versions, seed=0, progress=progress
        )
        collections["own loops"] = planted
        skipped += unusable
    else:
        for family in sources.FAMILIES:
            collections[family] = _synthesised(request, family, encoder, progress)
    for name, planted in collections.items():
        features, tasks = planted_faults(planted, seeds=range(request.n_seeds))
        yield Question(name, features, tasks, planted.features, N_ATTRIBUTES)


def _synthesised(request: BenchmarkRequest, family: str, encoder: Encoder, progress: Progress) -> PlantedSet:
    settings = {"n_loops": request.n_loops, "n_versions": request.n_versions, "seed": 0}
    make = partial(sources.synthesise_planted, family, encoder, **settings, progress=progress)
    if request.cache is None:
        return make()
    recipe = {"family": family, "encoder": encoder.hash, **settings}
    return cached_planted(Path(request.cache), recipe, make)


def pooled_normals(questions: Sequence[Question]) -> dict[str, tuple[Embedding, int]]:
    """Return the normal loops on which false alarms are counted, and their `n_attributes`, by data set.

    Synthesised collections are pooled: a false-alarm rate needs more loops than one of them has.
    """
    families = [question for question in questions if question.dataset in sources.FAMILIES]
    normals = {
        question.dataset: (question.normal, question.n_attributes)
        for question in questions
        if question.dataset not in sources.FAMILIES
    }
    if families:
        name = " and ".join(question.dataset for question in families)
        pooled = np.concatenate([question.normal for question in families])
        normals[name] = (pooled, families[0].n_attributes)
    return normals
