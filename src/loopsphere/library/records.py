"""What a library gives and takes, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class FileRecord:
    """One file, as it was when it was last read.

    Attributes
    ----------
    path : str
        Relative to the library's root with forward slashes where it lies below it, else absolute.
    size : int
        Bytes.
    mtime_ns : int
        Modification time in nanoseconds, from before the file was read.
    recorded_at : datetime
        When it was read, in UTC.
    audio_hash : str
        As in `Clip`.
    duration_s : float
    sample_rate : int
        Hz, as stored in the file.
    n_channels : int
    tags : mapping of str to str
        What the container says of itself: title, artist, comment ...
    missing_since : datetime or None
        When the file was first found to be gone; the row stays.
    """

    path: str
    size: int
    mtime_ns: int
    recorded_at: datetime
    audio_hash: str
    duration_s: float
    sample_rate: int
    n_channels: int
    tags: Mapping[str, str] = field(default_factory=dict)
    missing_since: datetime | None = None


@dataclass(frozen=True)
class RunRecord:
    """The scores of one scan.

    Attributes
    ----------
    key : str
        Digest of everything that decides the scores.
    made_at : datetime
        UTC.
    encoder, encoder_hash, detector : str
    seed : int
    notes : tuple of str
    paths, audio_hashes : tuple of str
        One a loop, in the order of the scan.
    anomaly_scores, p_values : float64 ndarray of shape (n_loops,)
    """

    key: str
    made_at: datetime
    encoder: str
    encoder_hash: str
    detector: str
    seed: int
    notes: tuple[str, ...]
    paths: tuple[str, ...]
    audio_hashes: tuple[str, ...]
    anomaly_scores: npt.NDArray[np.float64]
    p_values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class NearAudio:
    """A near loop: its audio, and the cosine similarity of the embeddings, at most 1."""

    audio_hash: str
    similarity: float


@dataclass(frozen=True)
class Usage:
    """What a run found of what the library knew.

    Attributes
    ----------
    n_unchanged : int
        Files that were not opened.
    n_recognised : int
        Files that were read and hold known audio: moved, renamed, retagged, copies.
    n_new : int
        Files that were read and hold new audio.
    n_moved : int
        Recognised files whose audio was in a file that is gone.
    n_gone : int
        Files that this run was the first to miss.
    problem : str or None
        Why nothing more is remembered, in the user's words.
    """

    n_unchanged: int = 0
    n_recognised: int = 0
    n_new: int = 0
    n_moved: int = 0
    n_gone: int = 0
    problem: str | None = None
