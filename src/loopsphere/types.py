"""The records that travel between the parts: frozen, typed, free of behaviour beyond reshaping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopsphere.tabular import frame, html_table

if TYPE_CHECKING:
    import pandas as pd

Float32Array = npt.NDArray[np.float32]


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None where it is infinite or NaN, which JSON cannot hold."""
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Clip:
    """One loop, decoded.

    Attributes
    ----------
    path : str
        Where it came from, as the user wrote it.
    waveform : float32 ndarray of shape (n_samples,)
        Mono (mean of the channels), resampled to `sample_rate`, not normalised.
    sample_rate : int
        Hz, of `waveform`.
    duration_s : float
        Seconds, of the file.
    file_sample_rate : int
        Hz, as stored in the file.
    n_channels : int
        Channels stored in the file.
    audio_hash : str
        SHA-256 hex digest of the decoded samples, rate and channel count; headers and tags do not count.
    """

    path: str
    waveform: Float32Array
    sample_rate: int
    duration_s: float
    file_sample_rate: int
    n_channels: int
    audio_hash: str


@dataclass(frozen=True)
class Recording:
    """One loop as it is stored: what a mono mix at another rate no longer tells.

    Attributes
    ----------
    path : str
        As the user wrote it.
    samples : float32 ndarray of shape (n_samples, n_kept)
        The first channel, or the first two where there are more; full scale is 1.
    sample_rate : int
        Hz, of `samples`.
    n_channels : int
        Channels stored in the file.
    audio_hash : str
        As for `Clip`.
    file_sample_rate : int or None
        Hz, as stored in the file, where `samples` had to be lowered; None is the same.
    """

    path: str
    samples: Float32Array
    sample_rate: int
    n_channels: int
    audio_hash: str
    file_sample_rate: int | None = None


@dataclass(frozen=True)
class TokenGrid:
    """What an encoder made of the moments and bands of one clip, in windows that cover it.

    A clip that is shorter than the window was repeated to fill it, so that one moment of the clip may have
    been seen several times: second `t` of a window that starts at `s` is second `(s + t) % duration_s`.

    Attributes
    ----------
    tokens : float32 ndarray of shape (n_windows, n_steps, n_bands, dim)
        Steps from first to last, bands from low to high.
    window_starts_s : float64 ndarray of shape (n_windows,)
        Seconds at which each window's first step begins.
    step_s : float
        Seconds from a step to the next.
    band_edges_hz : float64 ndarray of shape (n_bands + 1,)
    duration_s : float
        Of the clip.
    filled_s : float
        Seconds that hold sound, repeats included; what follows in a window is padding.
    """

    tokens: Float32Array
    window_starts_s: npt.NDArray[np.float64]
    step_s: float
    band_edges_hz: npt.NDArray[np.float64]
    duration_s: float
    filled_s: float


@dataclass(frozen=True)
class SkippedFile:
    """A path that could not be used, and the reason in the user's words."""

    path: str
    reason: str


@dataclass(frozen=True)
class Reason:
    """One thing that sets a loop apart from the normal ones.

    Attributes
    ----------
    attribute : str
        A field of `loopsphere.explain.Attributes`, "sound", or "nearest_distance": the mean distance of the
        neighbours.
    kind : str
        "fault" where something went wrong, "style" where it is merely unlike the others.
    text : str
        The sentence, without a capital and a full stop.
    strength : float
        In standard deviations, large ones compressed; at least 1.65, or 0 where nothing stands out.
    value : float or str
        The loop's own.
    usual : (low, high) or None
        Nine tenths of the normal loops lie between; None for words, and for faults where too few loops tell.
    """

    attribute: str
    kind: str
    text: str
    strength: float
    value: float | str
    usual: tuple[float, float] | None


@dataclass(frozen=True)
class Neighbour:
    """A normal loop that is like another one.

    Attributes
    ----------
    path : str
    distance : float
        Cosine distance of the embeddings: 0 to 2.
    """

    path: str
    distance: float


@dataclass(frozen=True)
class Explanation:
    """Why one loop is odd and what it is compared with.

    Attributes
    ----------
    path : str
    reasons : tuple of Reason
        The strongest first, each about another side of the loop, and behind them how far the neighbours are.
    faults : tuple of Reason
        Everything audible that went wrong, whether or not it is among `reasons`.
    neighbours : tuple of Neighbour
        The nearest normal loops.
    attributes : dict of str to float, str or None
        `loopsphere.explain.Attributes` by name, and "sound", what the loop sounds like in a word.
    """

    path: str
    reasons: tuple[Reason, ...]
    faults: tuple[Reason, ...]
    neighbours: tuple[Neighbour, ...]
    attributes: dict[str, float | str | None]


@dataclass(frozen=True)
class NormalMode:
    """One kind of normal loop in a collection.

    Attributes
    ----------
    prototype : str
        Path of the most central one.
    n_loops : int
        Normal loops of the kind.
    """

    prototype: str
    n_loops: int


@dataclass(frozen=True)
class Normality:
    """What is normal in a collection.

    Attributes
    ----------
    n_loops : int
        Normal loops: those that the last detectors learnt from.
    n_measured : int
        Of them, those whose attributes were measured.
    typical : tuple of str
        Paths of the most typical loops, the most typical first.
    modes : tuple of NormalMode
        The largest first.
    usual : dict of str to (low, high)
        By attribute: nine tenths of the normal loops lie between.
    """

    n_loops: int
    n_measured: int
    typical: tuple[str, ...]
    modes: tuple[NormalMode, ...]
    usual: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class LoopScore:
    """How odd one loop is.

    Attributes
    ----------
    path : str
    duration_s : float
        Seconds.
    anomaly_score : float
        Higher is odder: the negative of scikit-learn's `score_samples`.
    p_value : float
        Conformal rank in (0, 1]; small is odd.
    is_odd : bool
        `p_value <= alpha`.
    """

    path: str
    duration_s: float
    anomaly_score: float
    p_value: float
    is_odd: bool


SCORE_COLUMNS = ("path", "duration_s", "anomaly_score", "p_value", "is_odd", "reasons")
"""Of the tables of scored loops."""


@dataclass(frozen=True)
class ScoreResult:
    """How odd loops are: the loops, most odd first, and what was skipped.

    Attributes
    ----------
    encoder, detector : str
        Names, as the commands spell them.
    alpha : float
        The false-alarm rate asked for.
    threshold : float
        The anomaly score from which a loop is odd at `alpha`; infinite where too few
        calibration loops exist for `alpha`.
    loops : tuple of LoopScore
    skipped : tuple of SkippedFile
    notes : tuple of str
        What the reader must know to trust the figures, such as too few calibration loops.
    explanations : tuple of Explanation
        Of the odd and the oddest loops, in the order of `loops`; empty where none were asked for.
    normal : Normality or None
        What is normal in the collection, where explanations were asked for.
    """

    encoder: str
    detector: str
    alpha: float
    threshold: float
    loops: tuple[LoopScore, ...]
    skipped: tuple[SkippedFile, ...] = ()
    notes: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    normal: Normality | None = None

    def __len__(self) -> int:
        """Return how many loops were scored."""
        return len(self.loops)

    def __iter__(self) -> Iterator[LoopScore]:
        """Yield the loops, most odd first."""
        return iter(self.loops)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(n_loops={len(self)}, n_odd={len(self.odd)}, alpha={self.alpha:g}, "
            f"detector={self.detector!r}, encoder={self.encoder!r}, n_skipped={len(self.skipped)})"
        )

    def _repr_html_(self) -> str:
        return html_table(repr(self), self.to_rows(), SCORE_COLUMNS, played="path")

    @property
    def odd(self) -> tuple[LoopScore, ...]:
        """The loops that are odd at `alpha`, most odd first."""
        return tuple(loop for loop in self.loops if loop.is_odd)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, ready for JSON; an infinite threshold becomes None."""
        # Of this class alone: what a subclass remembers beside is not of the answer.
        record = asdict(ScoreResult(**{of.name: getattr(self, of.name) for of in fields(ScoreResult)}))
        record["loops"] = list(record["loops"])
        record["skipped"] = list(record["skipped"])
        record["notes"] = list(record["notes"])
        record["threshold"] = finite_or_none(self.threshold)
        return record

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one row per scored loop, most odd first, with the columns `SCORE_COLUMNS`."""
        why = {of.path: "; ".join(reason.text for reason in of.reasons) for of in self.explanations}
        return [{**asdict(loop), "reasons": why.get(loop.path, "")} for loop in self.loops]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per scored loop as a pandas frame, most odd first.

        Returns
        -------
        frame : pandas.DataFrame
            Columns `path`, `duration_s`, `anomaly_score`, `p_value`, `is_odd`, and `reasons`: text, empty
            where a loop was not explained.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return frame(self.to_rows(), SCORE_COLUMNS)


@dataclass(frozen=True)
class LoopExplanation:
    """The answer of `explain_loop`: all that is known of one loop.

    Attributes
    ----------
    encoder, detector : str
    alpha, threshold : float
        As for `ScoreResult`.
    score : LoopScore
    explanation : Explanation
        Against a model alone: without neighbours, and with no reasons but faults.
    normal : Normality or None
        What is normal in the collection; None against a model alone.
    notes : tuple of str
    """

    encoder: str
    detector: str
    alpha: float
    threshold: float
    score: LoopScore
    explanation: Explanation
    normal: Normality | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, ready for JSON; an infinite threshold becomes None."""
        return {**asdict(self), "threshold": finite_or_none(self.threshold)}


@dataclass(frozen=True)
class EmbedResult:
    """The answer of `embed`.

    Attributes
    ----------
    encoder, encoder_hash : str
        Name, and digest of its weights and settings; empty where fingerprints alone were taken.
    paths : tuple of str
    durations_s : float64 ndarray of shape (n_loops,)
    audio_hashes : tuple of str
    embedding : float32 ndarray of shape (n_loops, embedding_dim)
        Not L2-normalised; without columns where fingerprints alone were taken.
    skipped : tuple of SkippedFile
    fingerprints : float32 ndarray of shape (n_loops, fingerprint_dim) or None
        Alike for copies of one recording; None where only embeddings are known.
    """

    encoder: str
    encoder_hash: str
    paths: tuple[str, ...]
    durations_s: npt.NDArray[np.float64]
    audio_hashes: tuple[str, ...]
    embedding: Float32Array
    skipped: tuple[SkippedFile, ...] = ()
    fingerprints: Float32Array | None = None

    def __len__(self) -> int:
        """Return how many loops were embedded."""
        return len(self.paths)

    def __repr__(self) -> str:
        n_loops, dim = self.embedding.shape
        return (
            f"EmbedResult(n_loops={n_loops}, embedding_dim={dim}, encoder={self.encoder!r}, "
            f"n_skipped={len(self.skipped)})"
        )

    def subset(self, rows: npt.NDArray[np.int64]) -> EmbedResult:
        """Return the loops of some rows; what was skipped stays."""
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            durations_s=self.durations_s[rows],
            audio_hashes=tuple(self.audio_hashes[row] for row in rows),
            embedding=self.embedding[rows],
            fingerprints=None if self.fingerprints is None else self.fingerprints[rows],
        )

    def summary(self) -> dict[str, Any]:
        """Return all but the embeddings as plain lists and dicts, ready for JSON."""
        return {
            "encoder": self.encoder,
            "encoder_hash": self.encoder_hash,
            "embedding_dim": self.embedding.shape[1],
            "loops": [
                {"path": path, "duration_s": round(float(duration), 3), "audio_hash": audio_hash}
                for path, duration, audio_hash in zip(
                    self.paths, self.durations_s, self.audio_hashes, strict=True
                )
            ],
            "skipped": [asdict(file) for file in self.skipped],
        }

    def to_frame(self) -> pd.DataFrame:
        """Return columns `path`, `duration_s` and `embedding` (one array a row) as a pandas frame."""
        rows = [
            {"path": path, "duration_s": float(duration), "embedding": row}
            for path, duration, row in zip(self.paths, self.durations_s, self.embedding, strict=True)
        ]
        return frame(rows, ["path", "duration_s", "embedding"])
