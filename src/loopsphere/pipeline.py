"""The verbs `fit`, `score` and `scan`: embeddings to a learnt collection and to ranked loops."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TextIO

import numpy as np
import numpy.typing as npt

from loopsphere.calibrate import conformal_threshold, too_few_note
from loopsphere.collection import duplicate_groups
from loopsphere.detect import DEFAULT_DETECTOR, SCAN_DETECTOR
from loopsphere.detect.registry import detector_spec
from loopsphere.embedding import DEFAULT_ENCODER, Progress, Sources, embed, encoder_identity, silent
from loopsphere.encoders.precision import DEFAULT_PRECISION, precision_of
from loopsphere.errors import CalibrationError, ModelFileError
from loopsphere.explaining import Verdicts, explain_collection, oddest
from loopsphere.learning import TRIMMED_SHARES, Learner, named_lesson, without_oddest
from loopsphere.library.store import Library
from loopsphere.measuring import features_of, measured_for
from loopsphere.model import Model, load_model
from loopsphere.naming import NamedLoops, detector_for, embed_named
from loopsphere.runs import recall_run, remember_run, run_key
from loopsphere.types import EmbedResult, LoopScore, ScoreResult

DEFAULT_ALPHA = 0.05
MIN_LOOPS = 5
"""Different loops that a collection needs before anything can be called normal."""


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
    """
    check_arguments(detector, alpha)
    chosen = detector_for(detector, odd, normal)
    judged, named = embed_named(
        sources,
        odd,
        normal,
        encoder=encoder,
        device=device,
        precision=precision,
        library=library,
        progress=progress,
        stdin=stdin,
    )
    return fit_embeddings(
        judged,
        named=named,
        detector=chosen,
        alpha=alpha,
        seed=seed,
        device=device,
        library=library,
        progress=progress,
    )


def fit_embeddings(
    embedded: EmbedResult,
    *,
    named: NamedLoops | None = None,
    detector: str = DEFAULT_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    device: str = "auto",
    library: Library | None = None,
    progress: Progress = silent,
) -> Model:
    """Learn what is normal from embeddings; see `fit`."""
    groups = _groups(embedded, library, progress)
    features = features_of(embedded, measured_for(embedded, detector, library=library, progress=progress))
    lesson = named_lesson(named, detector, library)
    learner = Learner(features, lesson, detector, seed, device, progress, holds_odd=False)
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
        seed=seed,
        skipped=embedded.skipped,
        notes=learner.notes(named),
    )


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
) -> ScoreResult:
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
    result : ScoreResult
        Most odd first.

    Raises
    ------
    ModelFileError
        The model cannot be read, or was made with another encoder.
    NothingUsableError
        No loop could be read.
    """
    learnt = model if isinstance(model, Model) else load_model(model)
    rate = learnt.alpha if alpha is None else alpha
    check_arguments(learnt.detector_name, rate)
    # In the precision of the model, whatever this machine is fastest in: p-values compare like with like.
    precision = precision_of(learnt.encoder_hash)
    loaded = encoder_identity(encoder or learnt.encoder, device, precision, library)
    if loaded.hash != learnt.encoder_hash:
        raise ModelFileError(
            f"this model was made with encoder {learnt.encoder!r} ({learnt.encoder_hash[:12]}), but "
            f"{loaded.name!r} here is {loaded.hash[:12]}; fit again, or give the encoder it was made with"
        )
    embedded = embed(
        sources,
        encoder=encoder or learnt.encoder,
        device=device,
        precision=precision,
        library=library,
        progress=progress,
        stdin=stdin,
    )
    measured = measured_for(embedded, learnt.detector_name, library=library, progress=progress)
    judged = learnt.judge(features_of(embedded, measured), rate)
    return _result(
        embedded,
        judged.anomaly_scores,
        judged.p_values,
        detector=learnt.detector_name,
        alpha=rate,
        threshold=judged.threshold,
        notes=learnt.caveats(rate),
    )


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
) -> ScoreResult:
    """Rank a collection's own loops by how odd they are, without labels, and say why.

    Each loop is scored by a detector that never saw it or its duplicates (cross-fitting). As the collection
    holds the odd loops too, and several of a kind would vouch for each other, the oddest are then left out
    of what is learnt from (`TRIMMED_SHARES`) and all are scored again.

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
    result : ScoreResult
        Most odd first.

    Raises
    ------
    NothingUsableError, CalibrationError, UnknownNameError, NamedLoopError
        As for `fit`.
    """
    check_arguments(detector, alpha)
    chosen = detector_for(detector, odd, normal)
    judged, named = embed_named(
        sources,
        odd,
        normal,
        encoder=encoder,
        device=device,
        precision=precision,
        library=library,
        progress=progress,
        stdin=stdin,
    )
    return scan_embeddings(
        judged,
        named=named,
        detector=chosen,
        alpha=alpha,
        seed=seed,
        explain=explain,
        device=device,
        library=library,
        progress=progress,
    )


def scan_embeddings(
    embedded: EmbedResult,
    *,
    named: NamedLoops | None = None,
    detector: str = SCAN_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    explain: bool | Collection[str] = False,
    device: str = "auto",
    library: Library | None = None,
    progress: Progress = silent,
) -> ScoreResult:
    """Rank embedded loops by how odd they are; see `scan`.

    `explain` may also name the paths to explain, odd or not. To explain, and for detectors that use
    attributes, files are read again.
    """
    groups = _groups(embedded, library, progress)
    key = run_key(embedded, groups, detector, seed, device)
    # A run's key does not tell which loops were named.
    runs = library if named is None else None
    remembered = recall_run(runs, key, groups)
    measured = None
    if remembered is None:
        measured = measured_for(embedded, detector, library=library, progress=progress)
        lesson = named_lesson(named, detector, library)
        features = features_of(embedded, measured)
        # What a scan looks for is among what it learns from.
        learner = Learner(features, lesson, detector, seed, device, progress, holds_odd=True)
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
    result = _result(
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


def check_arguments(detector: str, alpha: float) -> None:
    """Refuse wrong arguments before hours of work, not after.

    Raises
    ------
    UnknownNameError
        There is no such detector.
    CalibrationError
        `alpha` is not in (0, 1).
    """
    detector_spec(detector)
    if not 0.0 < alpha < 1.0:
        raise CalibrationError(f"alpha is a false-alarm rate between 0 and 1, not {alpha}")


def _groups(embedded: EmbedResult, library: Library | None, progress: Progress) -> npt.NDArray[np.int64]:
    """Number the loops so that duplicates share a number."""
    groups = duplicate_groups(embedded, library=library, progress=progress)
    n_groups = len(np.unique(groups))
    if n_groups < MIN_LOOPS:
        raise CalibrationError(
            f"at least {MIN_LOOPS} different loops are needed to learn what is normal; found {n_groups}"
        )
    return groups


def _result(
    embedded: EmbedResult,
    scores: npt.NDArray[np.float64],
    p_values: npt.NDArray[np.float64],
    *,
    detector: str,
    alpha: float,
    threshold: float,
    notes: tuple[str, ...],
) -> ScoreResult:
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
