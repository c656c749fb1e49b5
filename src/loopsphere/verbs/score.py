"""The verb `score`: new loops against a learnt collection, and what to do with the odd ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from loopsphere.collection.embedding import Sources, embed_with, encoder_identity
from loopsphere.encoders.precision import precision_of
from loopsphere.export.files import Placed, copy_loops, link_loops, write_playlist
from loopsphere.export.tables import write_results
from loopsphere.learning.features import features_of, measured_for
from loopsphere.learning.from_embeddings import ranked
from loopsphere.learning.model import Model, admitted
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.settings import Settings
from loopsphere.types import ScoreResult


@dataclass(frozen=True, repr=False)
class Scores(ScoreResult):
    """The answer of `score`: loops, most odd first, and the ways out of it.

    Attributes are those of `ScoreResult`. `len` counts the loops, iterating yields them.
    """

    def write_tables(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write `results.csv` and `results.json`; see `loopsphere.export.tables.write_results`."""
        return write_results(folder, self)

    def write_playlist(self, path: str | os.PathLike[str]) -> None:
        """Write the odd loops as a playlist; see `loopsphere.export.files.write_playlist`."""
        write_playlist(path, self.odd)

    def copy_odd(self, folder: str | os.PathLike[str]) -> Placed:
        """Copy the odd loops; see `loopsphere.export.files.copy_loops`."""
        return copy_loops(folder, self.odd)

    def link_odd(self, folder: str | os.PathLike[str]) -> Placed:
        """Link the odd loops; see `loopsphere.export.files.link_loops`."""
        return link_loops(folder, self.odd)


def score(
    model: Model | str | os.PathLike[str],
    sources: Sources,
    *,
    alpha: float | None = None,
    encoder: str | None = None,
    device: str = "auto",
    library: Library | None = None,
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> Scores:
    """Score new loops against a learnt collection.

    Parameters
    ----------
    model : Model or path
    sources, device, library, progress, stdin
        As for `embed`.
    alpha : float or None
        The false-alarm rate; None takes the one of the model.
    encoder : str or None
        None takes the one that the model names. Another path to the same weights works, other weights do not.

    Returns
    -------
    scores : Scores
        Most odd first.

    Raises
    ------
    ModelFileError
        The model cannot be read, or was made with another encoder.
    NothingUsableError
        No loop could be read.
    CalibrationError
        `alpha` is not in (0, 1).

    Examples
    --------
    >>> import loopsphere as ls
    >>> scores = ls.score("bass.loopsphere", "new/")  # doctest: +SKIP
    >>> [loop.path for loop in scores.odd]  # doctest: +SKIP
    ['new/hiss.wav']
    """
    learnt, rate = admitted(model, alpha)
    # In the precision of the model, whatever this machine is fastest in: p-values compare like with like.
    settings = Settings(device, precision_of(learnt.encoder_hash), library=library, progress=progress)
    name = encoder or learnt.encoder
    identity = encoder_identity(name, settings)
    learnt.check_encoder(identity.hash, f"{identity.name!r} here is")
    embedded = embed_with(sources, name, settings, stdin=stdin)
    measured = measured_for(embedded, learnt.detector_name, library=library, progress=progress)
    judged = learnt.judge(features_of(embedded, measured), rate)
    found = ranked(
        embedded,
        judged.anomaly_scores,
        judged.p_values,
        detector=learnt.detector_name,
        alpha=rate,
        threshold=judged.threshold,
        notes=learnt.caveats(rate),
    )
    return Scores(**vars(found))
