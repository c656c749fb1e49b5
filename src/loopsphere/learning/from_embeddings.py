"""From embeddings to a learnt collection and to ranked loops; what the verbs `fit` and `scan` stand on."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from loopsphere.collection.copies import duplicate_groups
from loopsphere.collection.explanations import Verdicts, explain_collection, oddest
from loopsphere.collection.labelled import NamedLoops, detector_for
from loopsphere.detect import DEFAULT_DETECTOR, SCAN_DETECTOR
from loopsphere.detect.registry import detector_spec
from loopsphere.errors import CalibrationError
from loopsphere.learning.calibrate import check_alpha, conformal_threshold, too_few_note
from loopsphere.learning.cross_fit import TRIMMED_SHARES, Learner, labelled_features, without_oddest
from loopsphere.learning.features import features_of, measured_for
from loopsphere.learning.model import Model
from loopsphere.learning.run_cache import recall_run, remember_run, run_key
from loopsphere.settings import Settings
from loopsphere.types import EmbedResult, LoopScore, ScoreResult

DEFAULT_ALPHA = 0.05
MIN_LOOPS = 5
"""Different loops that a collection needs before anything can be called normal."""
_DEFAULTS = Settings()


def chosen_detector(
    detector: str,
    alpha: float,
    odd: Sequence[str | os.PathLike[str]] = (),
    normal: Sequence[str | os.PathLike[str]] = (),
) -> str:
    """Return the detector to use, and refuse wrong arguments before hours of work, not after.

    Parameters
    ----------
    detector : str
    alpha : float
    odd, normal : sequence of paths
        Loops that are named, as for `loopsphere.collection.labelled.detector_for`.

    Raises
    ------
    UnknownNameError
        There is no such detector.
    CalibrationError
        `alpha` is not in (0, 1).
    NamedLoopError
        The detector cannot learn from named loops.
    """
    detector_spec(detector)
    check_alpha(alpha)
    return detector_for(detector, odd, normal)


def fit_embeddings(
    embedded: EmbedResult,
    *,
    named: NamedLoops | None = None,
    detector: str = DEFAULT_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    settings: Settings = _DEFAULTS,
) -> Model:
    """Learn what is normal from embeddings; see `loopsphere.fit`."""
    library, progress = settings.library, settings.progress
    groups = _groups(embedded, settings)
    features = features_of(embedded, measured_for(embedded, detector, library=library, progress=progress))
    lesson = labelled_features(named, detector, library)
    learner = Learner(features, lesson, detector, settings, holds_odd=False)
    crossed = learner.cross_fitted(groups)
    fitted = learner.fit(slice(None))
    return Model(
        encoder=embedded.encoder,
        encoder_hash=embedded.encoder_hash,
        embedding_dim=embedded.embedding.shape[1],
        detector_name=detector,
        detector=fitted,
        calibration_scores=crossed.scores,
        calibration_groups=groups,
        alpha=alpha,
        seed=settings.seed,
        skipped=embedded.skipped,
        notes=learner.notes(named),
    )


def scan_embeddings(
    embedded: EmbedResult,
    *,
    named: NamedLoops | None = None,
    detector: str = SCAN_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    explain: bool | Collection[str] = False,
    settings: Settings = _DEFAULTS,
) -> ScoreResult:
    """Rank embedded loops by how odd they are; see `loopsphere.scan`.

    `explain` may also name the paths to explain, odd or not. To explain, and for detectors that use
    attributes, files are read again.
    """
    library, progress, seed = settings.library, settings.progress, settings.seed
    groups = _groups(embedded, settings)
    key = run_key(embedded, groups, detector, seed, settings.device)
    # A run's key does not tell which loops were named.
    runs = library if named is None else None
    remembered = recall_run(runs, key, groups)
    measured = None
    if remembered is None:
        measured = measured_for(embedded, detector, library=library, progress=progress)
        lesson = labelled_features(named, detector, library)
        features = features_of(embedded, measured)
        # What a scan looks for is among what it learns from.
        learner = Learner(features, lesson, detector, settings, holds_odd=True)
        crossed = learner.trimmed(groups)
        fit_notes = learner.notes(named)
        if measured is None or all(measured):  # else a file was replaced meanwhile, and may come back
            remember_run(runs, key, embedded, crossed, fit_notes, detector=detector, seed=seed)
    else:
        crossed, fit_notes = remembered
    too_few = too_few_note(crossed.n_groups - 1, alpha, "other loops")
    odd_scores = crossed.scores[crossed.p_values <= alpha]
    threshold = (
        float(odd_scores.min()) if len(odd_scores) else conformal_threshold(crossed.scores, alpha, groups)
    )
    result = ranked(
        embedded,
        crossed.scores,
        crossed.p_values,
        detector=detector,
        alpha=alpha,
        threshold=threshold,
        notes=(*fit_notes, *([too_few] if too_few else [])),
    )
    if not explain:
        return result
    verdicts = _verdicts(crossed.scores, crossed.p_values <= alpha, groups)
    subjects = (
        oddest(verdicts)
        if explain is True
        else np.array([row for row, path in enumerate(embedded.paths) if path in explain], dtype=np.int64)
    )
    explanations, normal = explain_collection(
        embedded, verdicts, subjects, measured=measured, seed=seed, library=library, progress=progress
    )
    return replace(result, explanations=explanations, normal=normal)


def _verdicts(
    scores: npt.NDArray[np.float64], is_odd: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64]
) -> Verdicts:
    """Tell the loops to compare with: those that the last detectors of `scan` may learn from."""
    is_normal = ~is_odd & without_oddest(scores, TRIMMED_SHARES[-1])
    return Verdicts(scores, is_odd, is_normal, groups)


def _groups(embedded: EmbedResult, settings: Settings) -> npt.NDArray[np.int64]:
    """Number the loops so that duplicates share a number."""
    groups = duplicate_groups(embedded, library=settings.library, progress=settings.progress)
    n_groups = len(np.unique(groups))
    if n_groups < MIN_LOOPS:
        raise CalibrationError(
            f"at least {MIN_LOOPS} different loops are needed to learn what is normal; found {n_groups}"
        )
    return groups


def ranked(
    embedded: EmbedResult,
    scores: npt.NDArray[np.float64],
    p_values: npt.NDArray[np.float64],
    *,
    detector: str,
    alpha: float,
    threshold: float,
    notes: tuple[str, ...],
) -> ScoreResult:
    """Return scored loops, most odd first.

    Parameters
    ----------
    embedded : EmbedResult
    scores, p_values : float64 ndarray of shape (n_loops,)
    detector : str
    alpha, threshold : float
    notes : tuple of str
    """
    order = np.argsort(-scores, kind="stable")
    loops = tuple(
        LoopScore(
            path=embedded.paths[i],
            duration_s=round(float(embedded.durations_s[i]), 3),
            anomaly_score=float(scores[i]),
            p_value=float(p_values[i]),
            is_odd=bool(p_values[i] <= alpha),
        )
        for i in order
    )
    return ScoreResult(
        encoder=embedded.encoder,
        detector=detector,
        alpha=alpha,
        threshold=threshold,
        loops=loops,
        skipped=embedded.skipped,
        notes=notes,
    )
