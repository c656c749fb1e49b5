"""Loops that someone has named odd or normal, set apart from those that are judged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from loopsphere.collection.embedding import DEFAULT_ENCODER, Sources, as_list, embed_with
from loopsphere.detect.registry import DEFAULT_DETECTOR, SCAN_DETECTOR, WITH_ATTRIBUTES
from loopsphere.errors import NamedLoopError
from loopsphere.settings import Settings
from loopsphere.types import EmbedResult

ODD, NORMAL = -1, 1
LEARNS_FROM_NAMES = {DEFAULT_DETECTOR: "deep-sad", SCAN_DETECTOR: "deep-sad" + WITH_ATTRIBUTES}

PathLike = str | os.PathLike[str]
_DEFAULTS = Settings()


@dataclass(frozen=True)
class NamedLoops:
    """Loops whose verdict is known: every detector learns from them, none judges them.

    Attributes
    ----------
    loops : EmbedResult
    labels : int64 ndarray of shape (n_named,)
        -1 odd, 1 normal.
    """

    loops: EmbedResult
    labels: npt.NDArray[np.int64]

    @property
    def note(self) -> str:
        """One sentence for the reader."""
        n_odd = int((self.labels == ODD).sum())
        n_normal = len(self.labels) - n_odd
        loops = "loop" if n_odd == 1 else "loops"
        return f"{n_odd} {loops} named odd and {n_normal} named normal were learnt from and are not ranked"


def detector_for(detector: str, odd: Sequence[PathLike], normal: Sequence[PathLike]) -> str:
    """Return the detector to use: Deep SAD where loops are named and no other was asked for.

    Raises
    ------
    NamedLoopError
        Another detector was asked for, which would ignore the names.
    """
    if not odd and not normal:
        return detector
    learns = LEARNS_FROM_NAMES.get(detector, detector)
    if learns not in LEARNS_FROM_NAMES.values():
        raise NamedLoopError(
            f"{detector} cannot learn from loops named odd or normal; "
            f"{' and '.join(LEARNS_FROM_NAMES.values())} can"
        )
    return learns


def embed_named(
    sources: Sources,
    odd: Sequence[PathLike],
    normal: Sequence[PathLike],
    *,
    encoder: str = DEFAULT_ENCODER,
    settings: Settings = _DEFAULTS,
    stdin: TextIO | None = None,
) -> tuple[EmbedResult, NamedLoops | None]:
    """Embed a collection and the loops that were named, and set these apart.

    Parameters
    ----------
    sources, encoder, stdin
        As for `loopsphere.embed`.
    settings : Settings
    odd, normal : sequence of paths
        Files, of the collection or from elsewhere. Copies of them, with the very same audio, are named too.

    Returns
    -------
    judged : EmbedResult
        All loops of the collection that were not named.
    named : NamedLoops or None
        None where nothing was named.

    Raises
    ------
    NothingUsableError
        No loop could be read.
    NamedLoopError
        A named file could not be read, or is named both odd and normal.
    """
    embedded = embed_with([*as_list(sources), *odd, *normal], encoder, settings, stdin=stdin)
    if not odd and not normal:
        return embedded, None
    hash_of = {
        Path(path).resolve(): audio_hash
        for path, audio_hash in zip(embedded.paths, embedded.audio_hashes, strict=True)
    }
    label_of: dict[str, int] = {}
    for paths, label in ((odd, ODD), (normal, NORMAL)):
        for path in paths:
            audio_hash = hash_of.get(Path(path).resolve())
            if audio_hash is None:
                raise NamedLoopError(f"{os.fspath(path)} is named, but is no file that can be read as a loop")
            if label_of.setdefault(audio_hash, label) != label:
                raise NamedLoopError(f"{os.fspath(path)} is named both odd and normal")
    labels = np.array([label_of.get(audio_hash, 0) for audio_hash in embedded.audio_hashes])
    is_named = labels != 0
    named = NamedLoops(embedded.subset(np.flatnonzero(is_named)), labels[is_named].astype(np.int64))
    return embedded.subset(np.flatnonzero(~is_named)), named
