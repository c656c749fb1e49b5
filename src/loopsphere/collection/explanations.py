"""From attributes, embeddings and scores to explanations: compare with the normal loops, put into words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from loopsphere.collection.attributes import Record, attributes_of
from loopsphere.encoders.joining import parts_of
from loopsphere.explain import (
    ATTRIBUTES,
    Reference,
    faults,
    top_reasons,
    with_nearest,
)
from loopsphere.explain.neighbours import nearest
from loopsphere.explain.prototypes import modes, typical
from loopsphere.explain.sounds import by_register, sounds_of
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.types import EmbedResult, Explanation, Float32Array, Neighbour, Normality, NormalMode
from loopsphere.versions import code_digest, library_versions

MAX_MEASURED = 500
"""Normal loops whose attributes are measured, at most; of more, a seeded sample."""
N_EXPLAINED = 20
"""The oddest loops that are explained, whether or not they are odd."""
_KINDS = "kinds"


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


def oddest(verdicts: Verdicts, n_explained: int = N_EXPLAINED) -> npt.NDArray[np.int64]:
    """Return the rows of the odd loops, and of so many of the oddest even if they are not; oddest first."""
    order = np.argsort(-verdicts.scores, kind="stable")
    return order[verdicts.is_odd[order] | (np.arange(len(order)) < n_explained)]


def explain_collection(
    embedded: EmbedResult,
    verdicts: Verdicts,
    subjects: npt.NDArray[np.int64],
    *,
    measured: Sequence[Record | None] | None = None,
    max_measured: int = MAX_MEASURED,
    seed: int = 0,
    library: Library | None = None,
    progress: Progress = silent,
) -> tuple[tuple[Explanation, ...], Normality]:
    """Explain loops of a collection, and tell what is normal in it.

    Parameters
    ----------
    embedded : EmbedResult
    verdicts : Verdicts
        Of its loops, in its order.
    subjects : int64 ndarray of shape (n_subjects,)
        Rows of the loops to explain, such as `oddest`.
    measured : sequence of dict or None, optional
        What `attributes_of` returned of all loops, where they have been measured before.
    max_measured : int, default=500
    seed : int, default=0
        Of the sample and of the modes.
    library, progress
        As for `attributes_of`.

    Returns
    -------
    explanations : tuple of Explanation
        In the order of `subjects`; a loop whose file has become unreadable or another is left out.
    normal : Normality
    """
    # Of each group one loop: copies would make what they share look usual.
    normal = np.flatnonzero(verdicts.is_normal)
    normal = np.sort(normal[np.unique(verdicts.groups[normal], return_index=True)[1]])
    compared = normal
    if len(normal) > max_measured:
        compared = np.sort(np.random.default_rng(seed).choice(normal, max_measured, replace=False))
    rows = np.union1d(subjects, compared)
    if measured is None:
        paths, audio_hashes = ([of[row] for row in rows] for of in (embedded.paths, embedded.audio_hashes))
        records = attributes_of(paths, audio_hashes, library=library, progress=progress)
    else:
        records = [measured[row] for row in rows]
    sounds = heard_as(embedded, rows)
    known = {
        int(row): record | {"sound": _in_register(sound, record)}
        for row, record, sound in zip(rows, records, sounds, strict=True)
        if record is not None
    }
    company = _NormalLoops(
        embedded, verdicts.groups, normal, [row for row in compared.tolist() if row in known], known
    )
    explanations = company.explain([row for row in subjects.tolist() if row in known])
    return explanations, company.normality(seed, library)


def heard_as(embedded: EmbedResult, rows: npt.NDArray[np.int64]) -> list[str | None]:
    """Return what loops sound like, in a word of `SOUNDS`; None where the encoder does not tell."""
    if embedded.encoder != "bundled":
        return [None] * len(rows)
    _, classes, _ = parts_of(embedded.embedding[rows])
    return sounds_of(classes)


def _in_register(sound: str | None, record: Record) -> str | None:
    low, high = (
        value if isinstance(value := record.get(name), float) else None
        for name in ("pitch_low_midi", "pitch_high_midi")
    )
    return by_register(sound, low, high)


@dataclass(frozen=True)
class _NormalLoops:
    """The normal loops that others are compared with."""

    embedded: EmbedResult
    groups: npt.NDArray[np.int64]
    normal: npt.NDArray[np.int64]
    compared: list[int]
    records: Mapping[int, Record]

    def reference(self, without_group: int | None = None) -> Reference:
        """Return the attributes of the normal loops, less a loop's own duplicates."""
        rows = [row for row in self.compared if self.groups[row] != without_group]
        return Reference.of([self.records[row] for row in rows])

    def explain(self, subjects: list[int]) -> tuple[Explanation, ...]:
        """Explain rows of the collection."""
        everyone = self.reference()
        vectors = self.embedded.embedding
        near, distances = nearest(
            vectors[subjects], self.groups[subjects], vectors[self.normal], self.groups[self.normal]
        )
        usual_distances, groups = self._distances(), self.groups[self.compared]
        explanations = []
        for k, row in enumerate(subjects):
            group, record = int(self.groups[row]), self.records[row]
            reference = self.reference(group) if group in groups else everyone
            neighbours = tuple(
                Neighbour(self.embedded.paths[self.normal[at]], round(float(distance), 6))
                for at, distance in zip(near[k], distances[k], strict=True)
                if at >= 0
            )
            explanations.append(
                Explanation(
                    path=self.embedded.paths[row],
                    reasons=with_nearest(
                        top_reasons(record, reference),
                        neighbours,
                        usual_distances[groups != group],
                        sound if isinstance(sound := record.get("sound"), str) else None,
                    ),
                    faults=faults(record, reference),
                    neighbours=neighbours,
                    attributes=record,
                )
            )
        return tuple(explanations)

    def _distances(self) -> npt.NDArray[np.float64]:
        """Return how far the neighbours of each loop that is compared with are from it, on average."""
        vectors, rows = self.embedded.embedding, self.compared
        _, distances = nearest(
            vectors[rows], self.groups[rows], vectors[self.normal], self.groups[self.normal]
        )
        return np.asarray(distances.mean(axis=1))

    def normality(self, seed: int, library: Library | None) -> Normality:
        """Tell what is normal."""
        typical, modes = _kinds(self.embedded.embedding[self.normal], seed, library)
        reference = self.reference()
        usual = {name: reference.usual(name) for name in ATTRIBUTES}
        return Normality(
            n_loops=len(self.normal),
            n_measured=reference.n_loops,
            typical=tuple(self.embedded.paths[self.normal[row]] for row in typical),
            modes=tuple(NormalMode(self.embedded.paths[self.normal[row]], n_loops) for row, n_loops in modes),
            usual={name: ends for name, ends in usual.items() if ends is not None},
        )


def _kinds(
    vectors: Float32Array, seed: int, library: Library | None
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the rows of the most typical loops; and of each kind of loop, the prototype's and how many."""
    digest = hashlib.sha256(np.ascontiguousarray(vectors).data)
    made_by = [code_digest("explain/prototypes.py", "explain/neighbours.py"), library_versions()]
    digest.update(json.dumps([vectors.shape, seed, made_by]).encode())
    key = digest.hexdigest()
    if library is not None and (found := library.made(_KINDS, {key})):
        known = json.loads(found[key])
        return known["typical"], [(row, n_loops) for row, n_loops in known["modes"]]
    rows = typical(vectors, seed=seed).tolist()
    kinds = [(mode.prototype, len(mode.members)) for mode in modes(vectors, seed=seed)]
    if library is not None:
        content = {key: json.dumps({"typical": rows, "modes": kinds}).encode()}
        library.try_to(partial(library.put_made, _KINDS, content))
    return rows, kinds
