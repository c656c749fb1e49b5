"""The verb `scan`: a collection's own loops, the oddest first, and all that can be made of the answer."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TextIO

from loopsphere.collection.embedding import DEFAULT_ENCODER, Sources, cached_encoder
from loopsphere.collection.labelled import embed_named
from loopsphere.detect import SCAN_DETECTOR
from loopsphere.encoders.precision import DEFAULT_PRECISION
from loopsphere.export.files import Placed, write_labels
from loopsphere.learning.from_embeddings import DEFAULT_ALPHA, chosen_detector, scan_embeddings
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.report.from_scan import write_report
from loopsphere.report.moments import LoadEncoder, Located, locate_odd, ranges_of
from loopsphere.settings import Settings
from loopsphere.types import EmbedResult
from loopsphere.verbs.score import Scores


@dataclass(frozen=True, kw_only=True, repr=False)
class Scan(Scores):
    """The answer of `scan`: loops, most odd first, why they are odd, and the ways out of it.

    `len` counts the loops, iterating yields them. Two scans are equal where their answers are.

    Attributes
    ----------
    encoder, detector, alpha, threshold, loops, skipped, notes, explanations, normal
        As for `ScoreResult`.
    embedded : EmbedResult
        The loops that were judged, in the order in which they were found.
    settings : Settings
        What `scan` was told.
    load_encoder : callable
        Returns the encoder that made the embeddings.
    took_s : float
        Seconds that the scan took.

    Examples
    --------
    >>> import loopsphere as ls
    >>> scan = ls.scan("loops/bass")  # doctest: +SKIP
    >>> scan.to_frame().head()  # doctest: +SKIP
    >>> scan.write_report("results/report")  # doctest: +SKIP
    PosixPath('results/report/index.html')
    """

    embedded: EmbedResult = field(compare=False)
    settings: Settings = field(compare=False)
    load_encoder: LoadEncoder = field(compare=False)
    took_s: float = field(compare=False)
    _located: dict[str, Located] = field(default_factory=dict, init=False, compare=False)

    def located(self, progress: Progress | None = None) -> dict[str, Located]:
        """Tell where the odd loops are odd; the first call looks, by reading them again.

        Parameters
        ----------
        progress : callable or None
            None is the scan's own.

        Returns
        -------
        located : dict of path to Located
            Without files that are gone or changed.
        """
        if not self._located:
            settings = self._telling(progress)
            found = locate_odd(self, self.embedded, self.load_encoder, settings)
            self._located.update(found)
        return self._located

    def write_labels(self, folder: str | os.PathLike[str], *, progress: Progress | None = None) -> Placed:
        """Write an Audacity label track of each odd loop; see `loopsphere.export.files.write_labels`.

        Parameters
        ----------
        folder : path
            Made if it does not exist.
        progress : callable or None
            None is the scan's own.

        Returns
        -------
        placed : Placed
            The tracks, and the loops for which none could be written.

        Raises
        ------
        OSError
            The folder cannot be made.
        """
        return write_labels(folder, ranges_of(self, self.located(progress)))

    def write_report(self, folder: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write the page on which the loops are seen and heard.

        Parameters
        ----------
        folder : path
            Gets `index.html`; made if it does not exist.
        progress : callable or None
            None is the scan's own.

        Returns
        -------
        path : Path
            Of the page.

        Raises
        ------
        OSError
            The folder cannot be written.
        """
        return write_report(
            folder,
            self,
            self.embedded,
            self.located(progress),
            seconds=self.took_s,
            settings=self._telling(progress),
        )

    def _telling(self, progress: Progress | None) -> Settings:
        """Return the scan's settings, with another way to tell of progress if there is one."""
        return self.settings if progress is None else replace(self.settings, progress=progress)


def scan(
    sources: Sources,
    *,
    odd: Sequence[str | os.PathLike[str]] = (),
    normal: Sequence[str | os.PathLike[str]] = (),
    encoder: str = DEFAULT_ENCODER,
    detector: str = SCAN_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    explain: bool = True,
    device: str = "auto",
    precision: str = DEFAULT_PRECISION,
    library: Library | None = None,
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> Scan:
    """Rank a collection's own loops by how odd they are, without labels, and say why.

    Each loop is scored by a detector that never saw it or its duplicates (cross-fitting). As the collection
    holds the odd loops too, and several of a kind would vouch for each other, the oddest are then left out
    of what is learnt from (`loopsphere.learning.cross_fit.TRIMMED_SHARES`) and all are scored again.

    Parameters
    ----------
    sources, odd, normal, encoder, alpha, seed, device, precision, library, progress, stdin
        As for `fit`. A library also keeps the scores, and gives them back where nothing has changed.
    detector : str, default='deep-svdd+attributes'
        As for `fit`; the default also judges what is measured of each loop.
    explain : bool, default=True
        Whether to name what sets the odd loops apart.

    Returns
    -------
    scan : Scan
        Most odd first.

    Raises
    ------
    NothingUsableError, CalibrationError, UnknownNameError, NamedLoopError
        As for `fit`.
    """
    chosen = chosen_detector(detector, alpha, odd, normal)
    settings = Settings(device, precision, seed, library, progress)
    started = time.monotonic()
    judged, named = embed_named(sources, odd, normal, encoder=encoder, settings=settings, stdin=stdin)
    found = scan_embeddings(
        judged, named=named, detector=chosen, alpha=alpha, explain=explain, settings=settings
    )
    return Scan(
        **vars(found),
        embedded=judged,
        settings=settings,
        load_encoder=partial(cached_encoder, encoder, device, precision),
        took_s=time.monotonic() - started,
    )
