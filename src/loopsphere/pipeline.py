"""The verbs: files to embeddings, a learnt collection, scores. The only module that composes the parts."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, TextIO

import numpy as np
import numpy.typing as npt

from loopsphere.audio import find_loops, load_clip
from loopsphere.calibrate import conformal_threshold, cross_conformal, too_few_note
from loopsphere.detect import DEFAULT_DETECTOR, make_detector
from loopsphere.detect.registry import detector_spec
from loopsphere.errors import (
    AudioError,
    CalibrationError,
    FeatureError,
    ModelFileError,
    NothingUsableError,
)
from loopsphere.model import Model, load_model
from loopsphere.types import EmbedResult, Float32Array, LoopScore, ScoreResult, SkippedFile

if TYPE_CHECKING:
    from loopsphere.embed import Encoder

DEFAULT_ENCODER = "bundled"
DEFAULT_ALPHA = 0.05
N_FOLDS = 5
MIN_LOOPS = 5
"""Different loops that a collection needs before anything can be called normal."""
_BATCH_SIZE = 32
_N_READERS = 2

Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
Progress = Callable[[str, int, int], None]
"""Called as `progress(what, n_done, n_total)`."""


def _silent(what: str, n_done: int, n_total: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class _Prepared:
    """One loop on its way to the network."""

    path: str
    duration_s: float
    audio_hash: str
    views: Float32Array


def embed(
    sources: Sources,
    *,
    encoder: str = DEFAULT_ENCODER,
    device: str = "auto",
    progress: Progress = _silent,
    stdin: TextIO | None = None,
) -> EmbedResult:
    """Turn loops into embeddings.

    Parameters
    ----------
    sources : path or iterable of paths
        Files, folders, globs; '-' reads a list of paths from `stdin`.
    encoder : str, default='bundled'
        See `loopsphere.embed.load_encoder`.
    device : str, default='auto'
    progress : callable
        Called as `progress(what, n_done, n_total)`.
    stdin : text file or None
        None is the process's own.

    Returns
    -------
    result : EmbedResult
        Loops in the order in which they were found; what could not be used, with the reason.

    Raises
    ------
    NothingUsableError
        No loop could be read.
    CheckpointError
        The encoder cannot be loaded.

    References
    ----------
    arXiv 2505.23784, section 3.1.
    """
    paths, skipped = find_loops(_as_list(sources), stdin=stdin or sys.stdin)
    if not paths:
        raise NothingUsableError(_nothing_usable("no audio files found", skipped))
    loaded = _load_encoder(encoder, device)
    prepared: list[_Prepared] = []
    rows: list[Float32Array] = []
    stream = _prepare_all(paths, loaded, skipped)
    n_done = 0
    progress("reading loops", 0, len(paths))
    while batch := list(islice(stream, _BATCH_SIZE)):
        usable = [loop for loop in batch if loop is not None]
        rows.extend(loaded.embed_views([loop.views for loop in usable]))
        # The views are large; what is kept of a loop is its embedding.
        prepared += [
            _Prepared(loop.path, loop.duration_s, loop.audio_hash, loop.views[:0]) for loop in usable
        ]
        n_done += len(batch)
        progress("reading loops", n_done, len(paths))
    if not prepared:
        raise NothingUsableError(_nothing_usable("none of the files can be used", skipped))
    return EmbedResult(
        encoder=loaded.name,
        encoder_hash=loaded.hash,
        paths=tuple(loop.path for loop in prepared),
        durations_s=np.array([loop.duration_s for loop in prepared]),
        audio_hashes=tuple(loop.audio_hash for loop in prepared),
        embedding=np.stack(rows),
        skipped=tuple(skipped),
    )


def fit(
    sources: Sources,
    *,
    encoder: str = DEFAULT_ENCODER,
    detector: str = DEFAULT_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = _silent,
    stdin: TextIO | None = None,
) -> Model:
    """Learn what is normal in a collection.

    The detector is fitted on all loops; its calibration scores come from detectors that were fitted on the
    other folds, because a detector underrates the oddness of what it has seen.

    Parameters
    ----------
    sources, encoder, device, progress, stdin
        As for `embed`.
    detector : str, default='deep-svdd'
        A key of `loopsphere.detect.DETECTORS`.
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
    """
    _check(detector, alpha)
    embedded = embed(sources, encoder=encoder, device=device, progress=progress, stdin=stdin)
    return fit_embeddings(
        embedded, detector=detector, alpha=alpha, seed=seed, device=device, progress=progress
    )


def fit_embeddings(
    embedded: EmbedResult,
    *,
    detector: str = DEFAULT_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = _silent,
) -> Model:
    """Learn what is normal from embeddings; see `fit`."""
    groups = _groups(embedded)
    crossed = cross_conformal(
        _FoldScorer(embedded.embedding, detector, seed, device, progress), groups, n_folds=N_FOLDS, seed=seed
    )
    fitted = make_detector(detector, random_state=seed, device=_torch_device(device))
    fitted.fit(embedded.embedding)
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
    )


def score(
    model: Model | str | os.PathLike[str],
    sources: Sources,
    *,
    alpha: float | None = None,
    encoder: str | None = None,
    device: str = "auto",
    progress: Progress = _silent,
    stdin: TextIO | None = None,
) -> ScoreResult:
    """Score new loops against a learnt collection.

    Parameters
    ----------
    model : Model or path
    sources, device, progress, stdin
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
    _check(learnt.detector_name, rate)
    loaded = _load_encoder(encoder or learnt.encoder, device)
    if loaded.hash != learnt.encoder_hash:
        raise ModelFileError(
            f"this model was made with encoder {learnt.encoder!r} ({learnt.encoder_hash[:12]}), but "
            f"{loaded.name!r} here is {loaded.hash[:12]}; fit again, or give the encoder it was made with"
        )
    embedded = embed(
        sources, encoder=encoder or learnt.encoder, device=device, progress=progress, stdin=stdin
    )
    judged = learnt.judge(embedded.embedding, rate)
    return _result(
        embedded,
        judged.anomaly_scores,
        judged.p_values,
        detector=learnt.detector_name,
        alpha=rate,
        threshold=judged.threshold,
        note=learnt.note(rate),
    )


def scan(
    sources: Sources,
    *,
    encoder: str = DEFAULT_ENCODER,
    detector: str = DEFAULT_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = _silent,
    stdin: TextIO | None = None,
) -> ScoreResult:
    """Rank a collection's own loops by how odd they are, without labels.

    Each loop is scored by a detector that never saw it or its duplicates (cross-fitting).

    Parameters
    ----------
    sources, encoder, detector, alpha, seed, device, progress, stdin
        As for `fit`.

    Returns
    -------
    result : ScoreResult
        Most odd first.

    Raises
    ------
    NothingUsableError, CalibrationError, UnknownNameError
        As for `fit`.
    """
    _check(detector, alpha)
    embedded = embed(sources, encoder=encoder, device=device, progress=progress, stdin=stdin)
    return scan_embeddings(
        embedded, detector=detector, alpha=alpha, seed=seed, device=device, progress=progress
    )


def scan_embeddings(
    embedded: EmbedResult,
    *,
    detector: str = DEFAULT_DETECTOR,
    alpha: float = DEFAULT_ALPHA,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = _silent,
) -> ScoreResult:
    """Rank embedded loops by how odd they are; see `scan`."""
    groups = _groups(embedded)
    crossed = cross_conformal(
        _FoldScorer(embedded.embedding, detector, seed, device, progress), groups, n_folds=N_FOLDS, seed=seed
    )
    odd_scores = crossed.scores[crossed.p_values <= alpha]
    threshold = (
        float(odd_scores.min()) if len(odd_scores) else conformal_threshold(crossed.scores, alpha, groups)
    )
    return _result(
        embedded,
        crossed.scores,
        crossed.p_values,
        detector=detector,
        alpha=alpha,
        threshold=threshold,
        note=too_few_note(crossed.n_groups - 1, alpha, "other loops"),
    )


class _FoldScorer:
    """Fit on some loops, score others: what `cross_conformal` calls once a fold."""

    def __init__(
        self, embedding: Float32Array, detector: str, seed: int, device: str, progress: Progress
    ) -> None:
        self._embedding = embedding
        self._detector = detector
        self._seed = seed
        self._device = _torch_device(device)
        self._progress = progress
        self._n_done = 0
        progress("learning", 0, N_FOLDS)

    def __call__(self, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        fitted = make_detector(self._detector, random_state=self._seed, device=self._device)
        fitted.fit(self._embedding[train])
        self._n_done += 1
        self._progress("learning", self._n_done, N_FOLDS)
        return -fitted.score_samples(self._embedding[test])


def _as_list(sources: Sources) -> list[str | os.PathLike[str]]:
    return [sources] if isinstance(sources, str | os.PathLike) else list(sources)


def _check(detector: str, alpha: float) -> None:
    """Refuse wrong arguments before hours of work, not after."""
    detector_spec(detector)
    if not 0.0 < alpha < 1.0:
        raise CalibrationError(f"alpha is a false-alarm rate between 0 and 1, not {alpha}")


@lru_cache(maxsize=2)
def _load_encoder(name: str, device: str) -> Encoder:
    from loopsphere.embed import load_encoder

    return load_encoder(name, device=device)


def _torch_device(device: str) -> str:
    """Networks of this size train faster on the CPU unless a device is asked for."""
    return "cpu" if device == "auto" else device


def _prepare_all(
    paths: list[str], encoder: Encoder, skipped: list[SkippedFile]
) -> Iterator[_Prepared | None]:
    """Decode ahead of the network, a bounded number of files; None for a file that was skipped."""

    def prepare(path: str) -> _Prepared:
        clip = load_clip(path, encoder.mel.sample_rate)
        return _Prepared(path, clip.duration_s, clip.audio_hash, encoder.views(clip.waveform))

    waiting: deque[tuple[str, Future[_Prepared]]] = deque()
    remaining = iter(paths)
    with ThreadPoolExecutor(_N_READERS) as readers:
        try:
            for path in islice(remaining, 2 * _BATCH_SIZE):
                waiting.append((path, readers.submit(prepare, path)))
            while waiting:
                path, future = waiting.popleft()
                for following in islice(remaining, 1):
                    waiting.append((following, readers.submit(prepare, following)))
                try:
                    yield future.result()
                except (AudioError, FeatureError) as error:
                    skipped.append(SkippedFile(path, str(error)))
                    yield None
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


def _groups(embedded: EmbedResult) -> npt.NDArray[np.int64]:
    """Number the loops so that exact duplicates share a number."""
    _, groups = np.unique(np.array(embedded.audio_hashes), return_inverse=True)
    n_groups = int(groups.max()) + 1
    if n_groups < MIN_LOOPS:
        raise CalibrationError(
            f"at least {MIN_LOOPS} different loops are needed to learn what is normal; found {n_groups}"
        )
    return groups.reshape(-1).astype(np.int64)


def _nothing_usable(what: str, skipped: list[SkippedFile]) -> str:
    reasons = [f"{file.path}: {file.reason}" for file in skipped[:3]]
    more = [f"and {len(skipped) - 3} more"] if len(skipped) > 3 else []
    return "; ".join([what, *reasons, *more])


def _result(
    embedded: EmbedResult,
    scores: npt.NDArray[np.float64],
    p_values: npt.NDArray[np.float64],
    *,
    detector: str,
    alpha: float,
    threshold: float,
    note: str | None,
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
        notes=(note,) if note else (),
    )
