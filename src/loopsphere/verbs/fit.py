"""The verb `fit`: learn what is normal in a collection."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from loopsphere.collection.embedding import DEFAULT_ENCODER, Sources
from loopsphere.collection.labelled import embed_named
from loopsphere.detect import DEFAULT_DETECTOR
from loopsphere.encoders.precision import DEFAULT_PRECISION
from loopsphere.learning.from_embeddings import DEFAULT_ALPHA, chosen_detector, fit_embeddings
from loopsphere.learning.model import Model
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.settings import Settings


def fit(
    sources: Sources,
    *,
    odd: Sequence[str | os.PathLike[str]] = (),
    normal: Sequence[str | os.PathLike[str]] = (),
    encoder: str = DEFAULT_ENCODER,
    detector: str = DEFAULT_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    device: str = "auto",
    precision: str = DEFAULT_PRECISION,
    library: Library | None = None,
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> Model:
    """Learn what is normal in a collection.

    The detector is fitted on all loops; its calibration scores come from detectors that were fitted on the
    other folds, because a detector underrates the oddness of what it has seen.

    Parameters
    ----------
    sources, encoder, device, precision, library, progress, stdin
        As for `embed`.
    odd, normal : sequence of paths
        Files, of the collection or from elsewhere, that are known to be odd or normal: they are learnt from
        (by Deep SAD) and not judged.
    detector : str, default='deep-svdd'
        A key of `loopsphere.detect.DETECTORS`, or one with "+attributes" behind it.
    alpha : float, default=0.05
        The false-alarm rate that `score` uses unless it is asked for another.
    seed : int, default=0

    Returns
    -------
    model : Model

    Raises
    ------
    NothingUsableError
        No loop could be read.
    CalibrationError
        There are fewer than `MIN_LOOPS` different loops, or `alpha` is not in (0, 1).
    UnknownNameError
        There is no such detector.
    NamedLoopError
        A named loop cannot be read, or the detector cannot learn from it.

    Examples
    --------
    >>> import loopsphere as ls
    >>> ls.fit("loops/bass").save("bass.loopsphere")  # doctest: +SKIP
    """
    chosen = chosen_detector(detector, alpha, odd, normal)
    settings = Settings(device, precision, seed, library, progress)
    judged, named = embed_named(sources, odd, normal, encoder=encoder, settings=settings, stdin=stdin)
    return fit_embeddings(judged, named=named, detector=chosen, alpha=alpha, settings=settings)
