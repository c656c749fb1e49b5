"""From files, embeddings and scores to explanations: measure what is needed, compare, put into words."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from loopsphere.audio import load_recording
from loopsphere.audio.tags import read_music_tags
from loopsphere.embedding import Progress, silent
from loopsphere.errors import AudioError
from loopsphere.explain import (
    ATTRIBUTES,
    ATTRIBUTES_VERSION,
    Attributes,
    Reference,
    faults,
    hints_from,
    measure,
    top_reasons,
    with_hints,
)
from loopsphere.explain.neighbours import nearest
from loopsphere.explain.prototypes import modes, typical
from loopsphere.types import EmbedResult, Explanation, Neighbour, Normality, NormalMode

MAX_MEASURED = 500
"""Normal loops whose attributes are measured, at most; of more, a seeded sample."""
N_EXPLAINED = 20
"""The oddest loops that are explained, whether or not they are odd."""
_SAVE_EVERY = 200

Record = dict[str, float | str | None]


class AttributeCache(Protocol):
    """Remembers attributes by audio hash; `loopsphere.library` has one."""

    def attributes(self, version: str) -> Mapping[str, Mapping[str, Any]]:
        """Return what is known by one version of the code."""
        ...

    def put_attributes(self, version: str, attributes: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep more."""
        ...


def attributes_of(
    paths: Sequence[str],
    audio_hashes: Sequence[str],
    *,
    cache: AttributeCache | None = None,
    progress: Progress = silent,
) -> list[Record | None]:
    """Measure loops, those that the cache does not know yet, in parallel.

    Parameters
    ----------
    paths, audio_hashes : sequence of str
    cache : AttributeCache or None
        Gets what is measured, some hundred at a time, so that an interruption loses little.
    progress : callable
        Called as `progress(what, n_done, n_total)`.

    Returns
    -------
    records : list of dict or None
        `Attributes.to_dict()` with what name and tags say; None where the file has become unreadable.
    """
    heard = _sounds_of(paths, audio_hashes, cache, progress)
    with ThreadPoolExecutor(_n_workers()) as pool:
        hints = list(pool.map(lambda path, of: None if of is None else _hints(path), paths, heard))
    return [
        None if of is None or hint is None else with_hints(of, hint).to_dict()
        for of, hint in zip(heard, hints, strict=True)
    ]


def _sounds_of(
    paths: Sequence[str], audio_hashes: Sequence[str], cache: AttributeCache | None, progress: Progress
) -> list[Attributes | None]:
    known: dict[str, Attributes | None] = {}
    if cache is not None:
        wanted = set(audio_hashes)
        remembered = cache.attributes(ATTRIBUTES_VERSION)
        known = {key: Attributes.from_dict(of) for key, of in remembered.items() if key in wanted}
    missing = {key: path for path, key in zip(paths, audio_hashes, strict=True) if key not in known}
    n_done, unsaved = 0, {}
    progress("measuring loops", 0, len(missing))
    with ThreadPoolExecutor(_n_workers()) as pool:
        for key, found in zip(missing, pool.map(_measured, missing.values()), strict=True):
            known[key] = found
            if found is not None:
                unsaved[key] = found.to_dict()
            n_done += 1
            progress("measuring loops", n_done, len(missing))
            if cache is not None and unsaved and (len(unsaved) == _SAVE_EVERY or n_done == len(missing)):
                cache.put_attributes(ATTRIBUTES_VERSION, unsaved)
                unsaved = {}
    return [known[key] for key in audio_hashes]


def _n_workers() -> int:
    return min(8, os.cpu_count() or 1)


def _measured(path: str) -> Attributes | None:
    try:
        return measure(load_recording(path))
    except AudioError:  # it was readable when it was embedded
        return None


def _hints(path: str) -> Any:
    tags = read_music_tags(path)
    return hints_from(Path(path).stem, tempo_tag=tags.tempo_bpm, key_tag=tags.key)


@dataclass(frozen=True)
class Verdicts:
    """What is known of a collection's loops when they are explained.

    Attributes
    ----------
    scores : float64 ndarray of shape (n_loops,)
        Anomaly scores.
    is_odd : bool ndarray of shape (n_loops,)
    is_normal : bool ndarray of shape (n_loops,)
        Those that may be compared with.
    groups : int64 ndarray of shape (n_loops,)
        Duplicates share a number.
    """

    scores: npt.NDArray[np.float64]
    is_odd: npt.NDArray[np.bool_]
    is_normal: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64]


def explain_collection(
    embedded: EmbedResult,
    verdicts: Verdicts,
    *,
    n_explained: int = N_EXPLAINED,
    max_measured: int = MAX_MEASURED,
    seed: int = 0,
    cache: AttributeCache | None = None,
    progress: Progress = silent,
) -> tuple[tuple[Explanation, ...], Normality]:
    """Explain the odd and the oddest loops of a collection, and tell what is normal in it.

    Parameters
    ----------
    embedded : EmbedResult
    verdicts : Verdicts
        Of its loops, in its order.
    n_explained : int, default=20
        So many of the oddest are explained even if they are not odd.
    max_measured : int, default=500
    seed : int, default=0
        Of the sample and of the modes.
    cache, progress
        As for `attributes_of`.

    Returns
    -------
    explanations : tuple of Explanation
        The oddest first.
    normal : Normality
    """
    order = np.argsort(-verdicts.scores, kind="stable")
    subjects = order[verdicts.is_odd[order] | (np.arange(len(order)) < n_explained)]
    # Of each group one loop: copies would make what they share look usual.
    normal = np.flatnonzero(verdicts.is_normal)
    normal = np.sort(normal[np.unique(verdicts.groups[normal], return_index=True)[1]])
    compared = normal
    if len(normal) > max_measured:
        compared = np.sort(np.random.default_rng(seed).choice(normal, max_measured, replace=False))
    rows = np.union1d(subjects, compared)
    measured = attributes_of(
        [embedded.paths[row] for row in rows],
        [embedded.audio_hashes[row] for row in rows],
        cache=cache,
        progress=progress,
    )
    records = {int(row): record for row, record in zip(rows, measured, strict=True) if record is not None}
    reference = Reference.of([records[row] for row in compared if row in records])
    near, distances = nearest(
        embedded.embedding[subjects],
        verdicts.groups[subjects],
        embedded.embedding[normal],
        verdicts.groups[normal],
    )
    explanations = []
    for k, subject in enumerate(subjects):
        record = records.get(int(subject))
        if record is None:
            continue
        is_other = verdicts.groups[compared] != verdicts.groups[subject]
        own = reference
        if not is_other.all():
            own = Reference.of([records[row] for row in compared[is_other] if row in records])
        explanations.append(
            Explanation(
                path=embedded.paths[subject],
                reasons=top_reasons(record, own),
                faults=faults(record, own),
                neighbours=tuple(
                    Neighbour(embedded.paths[normal[row]], round(float(distance), 6))
                    for row, distance in zip(near[k], distances[k], strict=True)
                    if row >= 0
                ),
                attributes=record,
            )
        )
    return tuple(explanations), _normality(embedded, normal, reference, seed)


def _normality(
    embedded: EmbedResult, normal: npt.NDArray[np.int64], reference: Reference, seed: int
) -> Normality:
    vectors = embedded.embedding[normal]
    return Normality(
        n_loops=len(normal),
        n_measured=reference.n_loops,
        typical=tuple(embedded.paths[normal[row]] for row in typical(vectors, seed=seed)),
        modes=tuple(
            NormalMode(embedded.paths[normal[mode.prototype]], len(mode.members))
            for mode in modes(vectors, seed=seed)
        ),
        usual=dict(_usual(reference)),
    )


def _usual(reference: Reference) -> Iterable[tuple[str, tuple[float, float]]]:
    for name in ATTRIBUTES:
        usual = reference.usual(name)
        if usual is not None:
            yield name, usual
