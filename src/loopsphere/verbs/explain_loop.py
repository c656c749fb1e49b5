"""The verb `explain_loop`: all that is known of one loop, against a collection or a model."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from loopsphere.audio import load_recording
from loopsphere.collection.attributes import attributes_of
from loopsphere.collection.embedding import DEFAULT_ENCODER, embed_with
from loopsphere.detect import SCAN_DETECTOR
from loopsphere.encoders.precision import DEFAULT_PRECISION
from loopsphere.errors import AudioError, NothingUsableError
from loopsphere.explain import Reference, faults
from loopsphere.explain.reasons import N_REASONS
from loopsphere.learning.from_embeddings import DEFAULT_ALPHA, chosen_detector, scan_embeddings
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.settings import Settings
from loopsphere.types import EmbedResult, Explanation, LoopExplanation, LoopScore, ScoreResult
from loopsphere.verbs.score import score


def explain_loop(
    loop: str | os.PathLike[str],
    against: str | os.PathLike[str],
    *,
    encoder: str | None = None,
    detector: str = SCAN_DETECTOR,
    alpha: float | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = DEFAULT_PRECISION,
    library: Library | None = None,
    progress: Progress = silent,
) -> LoopExplanation:
    """Tell all that is known of one loop.

    Parameters
    ----------
    loop : path
    against : path
        A folder of loops: the loop is judged as `scan` would if it lay there, whether or not it does. Or a
        model file, which knows no attributes of other loops: then only faults can be named.
    encoder : str or None
        None is the model's own, or the bundled one.
    detector : str, default='deep-svdd+attributes'
        Not used with a model.
    alpha : float or None
        None is the model's own, or 5 %.
    seed, device, progress
        As for `scan`.
    precision : {'float32', 'bfloat16', 'auto'}
        Not used with a model, which has its own.
    library : Library or None
        Of the folder; a loop from elsewhere is not added to it.

    Returns
    -------
    result : LoopExplanation

    Raises
    ------
    NothingUsableError
        The loop, or none of the folder, can be read.
    CalibrationError, ModelFileError, UnknownNameError
        As for `scan` and `score`.

    Examples
    --------
    >>> import loopsphere as ls
    >>> found = ls.explain_loop("loops/bass/b07.wav", "loops/bass")  # doctest: +SKIP
    >>> [reason.text for reason in found.explanation.reasons]  # doctest: +SKIP
    ['clipped for 1.20 % of its length']
    """
    if Path(against).is_file():
        return _against_model(loop, against, encoder, alpha, device, library, progress)
    rate = DEFAULT_ALPHA if alpha is None else alpha
    chosen_detector(detector, rate)
    settings = Settings(device, precision, seed, library, progress)
    audio_hash = _audio_hash(loop)
    chosen = encoder or DEFAULT_ENCODER
    embedded = embed_with(against, chosen, settings)
    if audio_hash not in embedded.audio_hashes:
        # Beside the library, which is the folder's: a loop that was asked about once does not belong in it.
        beside = replace(settings, library=None, progress=silent)
        embedded = _joined(embedded, embed_with(loop, chosen, beside))
    if audio_hash not in embedded.audio_hashes:
        raise _changed(loop)
    path = embedded.paths[embedded.audio_hashes.index(audio_hash)]
    result = scan_embeddings(embedded, detector=detector, alpha=rate, explain=[path], settings=settings)
    if not result.explanations:
        raise _changed(loop)
    judged = next(judged for judged in result.loops if judged.path == path)
    return _answer(result, judged, result.explanations[0])


def _changed(loop: str | os.PathLike[str]) -> NothingUsableError:
    return NothingUsableError(f"{os.fspath(loop)}: it has gone or changed since it was heard; try again")


def _joined(first: EmbedResult, second: EmbedResult) -> EmbedResult:
    """Return the loops of two results of one encoder as one."""
    prints = (first.fingerprints, second.fingerprints)
    return replace(
        first,
        paths=first.paths + second.paths,
        durations_s=np.concatenate([first.durations_s, second.durations_s]),
        audio_hashes=first.audio_hashes + second.audio_hashes,
        embedding=np.vstack([first.embedding, second.embedding]),
        fingerprints=None if prints[0] is None or prints[1] is None else np.vstack([prints[0], prints[1]]),
        skipped=first.skipped + second.skipped,
    )


def _audio_hash(loop: str | os.PathLike[str]) -> str:
    try:
        return load_recording(loop).audio_hash
    except AudioError as error:
        raise NothingUsableError(f"{os.fspath(loop)}: {error}") from error


def _against_model(
    loop: str | os.PathLike[str],
    model: str | os.PathLike[str],
    encoder: str | None,
    alpha: float | None,
    device: str,
    library: Library | None,
    progress: Progress,
) -> LoopExplanation:
    audio_hash = _audio_hash(loop)
    result = score(
        model, loop, alpha=alpha, encoder=encoder, device=device, library=library, progress=progress
    )
    (record,) = attributes_of([os.fspath(loop)], [audio_hash], library=library)
    if record is None:
        raise NothingUsableError(f"{os.fspath(loop)}: it has changed or become unreadable")
    found = faults(record, Reference.of([]))
    note = "a model remembers no attributes: give the folder it was learnt from to hear what is unusual"
    return _answer(
        replace(result, notes=(*result.notes, note)),
        result.loops[0],
        Explanation(result.loops[0].path, found[:N_REASONS], found, (), record),
    )


def _answer(result: ScoreResult, judged: LoopScore, explanation: Explanation) -> LoopExplanation:
    return LoopExplanation(
        encoder=result.encoder,
        detector=result.detector,
        alpha=result.alpha,
        threshold=result.threshold,
        score=judged,
        explanation=explanation,
        normal=result.normal,
        notes=result.notes,
    )
