"""Fit detectors on parts of a collection, so that each loop is judged by one that never saw it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loopsphere.collection.labelled import NamedLoops
from loopsphere.detect import make_detector
from loopsphere.learning.calibrate import CrossConformal, FitScore, cross_conformal
from loopsphere.learning.features import N_ATTRIBUTES, features_of, measured_for
from loopsphere.library.store import Library
from loopsphere.settings import Settings
from loopsphere.threads import n_cores, threads_each
from loopsphere.types import Float32Array

if TYPE_CHECKING:
    from loopsphere.detect import Detector

N_FOLDS = 5
TRIMMED_SHARES = (0.1, 0.2)
"""`scan` learns once from all loops, then again without the oddest tenth, then without the oddest fifth."""
_SLACK = 0.3
"""By which the number of loops left out may differ from such a share, to find a gap between scores."""

LabelledFeatures = tuple[Float32Array, npt.NDArray[np.int64]]
"""Features of named loops, and their labels."""


def without_oddest(scores: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.bool_]:
    """Tell which loops are left when about a share of them, the oddest, is left out.

    The cut lies in a wide gap between scores, so that neither copies, which score alike, nor loops whose
    order hangs on the last digit end up on two sides of it. Gaps widen towards the odd end, in proportion to
    1 / rank where scores fall off exponentially, so each counts times its rank (Renyi 1953, 'On the theory of
    order statistics').

    Parameters
    ----------
    scores : float64 ndarray of shape (n_loops,)
        Higher is odder.
    share : float
        In (0, 1); the number left out differs by less than a third from it, or by one loop.

    Returns
    -------
    is_left : bool ndarray of shape (n_loops,)

    Examples
    --------
    >>> without_oddest(np.array([1.0, 9.0, 2.0, 8.9, 1.5, 1.2]), 0.2).tolist()
    [True, False, True, False, True, True]
    """
    n_loops = len(scores)
    n_out = math.ceil(share * (n_loops - 1))
    slack = max(1, round(_SLACK * n_out))
    fewest, most = max(1, n_out - slack), min(n_out + slack, n_loops - 1)
    if fewest > most:
        return np.ones(n_loops, dtype=np.bool_)
    descending = np.sort(scores)[::-1]
    gaps = descending[fewest - 1 : most] - descending[fewest : most + 1]
    n_cut = fewest + int(np.argmax(gaps * np.arange(fewest, most + 1)))
    return np.asarray(scores <= descending[n_cut])


def labelled_features(
    named: NamedLoops | None, detector: str, library: Library | None
) -> LabelledFeatures | None:
    """Return what a detector sees of the named loops, and their labels."""
    if named is None:
        return None
    return features_of(named.loops, measured_for(named.loops, detector, library=library)), named.labels


class Learner:
    """Fit detectors on parts of a collection, count the fits, and keep what they warned of."""

    def __init__(
        self,
        features: Float32Array,
        named: LabelledFeatures | None,
        detector: str,
        settings: Settings,
        *,
        holds_odd: bool,
    ) -> None:
        self._features = features
        self._named = named
        self._detector = detector
        self._seed = settings.seed
        # Networks of this size train faster on the CPU unless a device is asked for.
        self._device = "cpu" if settings.device == "auto" else settings.device
        self._progress = settings.progress
        self._holds_odd = holds_odd
        # Where odd loops are expected, `trimmed` follows; else `cross_fitted`, and one fit on all loops.
        self._n_fits = N_FOLDS * (1 + len(TRIMMED_SHARES)) if holds_odd else N_FOLDS + 1
        self._n_done = 0
        self._warnings: list[str] = []
        self.trusted = np.ones(len(features), dtype=np.bool_)
        """Which loops may be learnt from; all may be scored."""
        self._progress("learning", 0, self._n_fits)

    def fit(self, rows: npt.NDArray[np.int64] | slice) -> Detector:
        """Return a detector fitted on some rows."""
        with self._noted_warnings():
            fitted = self._fitted(rows)
        self._count_fit()
        return fitted

    def _fitted(self, rows: npt.NDArray[np.int64] | slice) -> Detector:
        detector = make_detector(
            self._detector,
            random_state=self._seed,
            device=self._device,
            n_attributes=N_ATTRIBUTES,
            holds_odd=self._holds_odd,
        )
        return detector.fit(*self._lesson(rows))

    def _count_fit(self) -> None:
        self._n_done += 1
        self._progress("learning", self._n_done, self._n_fits)

    @contextmanager
    def _noted_warnings(self) -> Iterator[None]:
        # Imported here, so that whoever remembers all scores does without torch and scikit-learn.
        from loopsphere.detect import NothingLearntWarning, PoorFitWarning

        # Around all that runs side by side: what warns is the process's, not a thread's.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            if issubclass(warning.category, NothingLearntWarning):
                continue  # the scores stand; `loopsphere benchmark` shows researchers what training added
            if issubclass(warning.category, PoorFitWarning):
                self._warnings.append(str(warning.message))
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def _lesson(
        self, rows: npt.NDArray[np.int64] | slice
    ) -> tuple[Float32Array, npt.NDArray[np.int64] | None]:
        """Return the loops to learn from and, where some are named, all labels."""
        loops = self._features[rows]
        if self._named is None:
            return loops, None
        named, labels = self._named
        unknown = np.zeros(len(loops), dtype=np.int64)
        return np.vstack([loops, named]), np.concatenate([unknown, labels])

    def cross_fitted(self, groups: npt.NDArray[np.int64]) -> CrossConformal:
        """Score each loop by a detector that saw neither it nor its duplicates."""
        with self._noted_warnings():
            return cross_conformal(
                self._score_fold, groups, n_folds=N_FOLDS, seed=self._seed, run_folds=self._side_by_side
            )

    def trimmed(self, groups: npt.NDArray[np.int64]) -> CrossConformal:
        """Do so again and again, the later times without the oddest among what is learnt from."""
        crossed = self.cross_fitted(groups)
        for share in TRIMMED_SHARES:
            self.trusted = without_oddest(crossed.scores, share)
            crossed = self.cross_fitted(groups)
        return crossed

    def _score_fold(
        self, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Return the anomaly scores of `test` by a detector that saw only `train`."""
        return -self._fitted(train[self.trusted[train]]).score_samples(self._features[test])

    def _side_by_side(
        self,
        score_fold: FitScore,
        trained: Sequence[npt.NDArray[np.int64]],
        tested: Sequence[npt.NDArray[np.int64]],
    ) -> Iterator[npt.ArrayLike]:
        """Yield the scores of folds, each learnt by a core of its own; on a GPU one after the other."""
        import torch  # noqa: F401  before its threads are counted, and not by all workers at once

        n_workers = min(n_cores(), len(trained)) if self._device == "cpu" else 1
        with threads_each(max(1, n_cores() // n_workers)), ThreadPoolExecutor(n_workers) as pool:
            try:
                for scores in pool.map(score_fold, trained, tested):
                    self._count_fit()
                    yield scores
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def notes(self, named: NamedLoops | None) -> tuple[str, ...]:
        """Return what the reader must know of the fits, in a sentence each."""
        notes = [] if named is None else [named.note]
        if self._warnings:
            notes.append(f"in {len(self._warnings)} of {self._n_done} fits, {min(self._warnings)}")
        return tuple(notes)
