"""What the workers do with a piece of a shard: read it, embed it, and perhaps score it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loopsphere.audio import load_clip
from loopsphere.collection.attributes import attributes_of
from loopsphere.collection.embedding import cached_encoder
from loopsphere.detect.registry import detector_spec
from loopsphere.errors import AudioError, FeatureError, surprise
from loopsphere.learning.features import attribute_columns
from loopsphere.scale.listing import Entry
from loopsphere.scale.storage import local_file

if TYPE_CHECKING:
    from loopsphere.encoders.front_end import FrontEnd, Views
    from loopsphere.learning.model import Model


@dataclass(frozen=True)
class Piece:
    """Neighbouring loops of one shard that travel together.

    Attributes
    ----------
    shard : int
    start : int
        Row of the shard that the first is.
    entries : tuple of Entry
    """

    shard: int
    start: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Read:
    """One loop that was read, or the reason why it was not."""

    reason: str | None = None
    duration_s: float | None = None
    audio_hash: str | None = None
    views: Views | None = None
    attributes: Mapping[str, float | str | None] | None = None
    """What was measured of it, where the model judges that too."""


@dataclass(frozen=True)
class ReadPiece:
    """A piece whose loops were read."""

    piece: Piece
    reads: tuple[Read, ...]


@dataclass(frozen=True)
class Answer:
    """The results of a piece.

    Attributes
    ----------
    piece : Piece
    reads : tuple of Read
        Without views.
    rows : int64 ndarray of shape (n_usable,)
        Which loops of the piece `embedding` and `scores` are about.
    embedding : float32 ndarray of shape (n_usable, embedding_dim), or None where scores were asked for
    scores, p_values : float64 ndarray of shape (n_usable,), or None
    """

    piece: Piece
    reads: tuple[Read, ...]
    rows: npt.NDArray[np.int64]
    embedding: npt.NDArray[np.float32] | None = None
    scores: npt.NDArray[np.float64] | None = None
    p_values: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Task:
    """What is to be done with every loop; the same on all workers.

    Attributes
    ----------
    encoder, device : str
        As for `loopsphere.embed`.
    precision : {'float32', 'bfloat16'}
        Never 'auto', which may differ from one worker to the next.
    front_end : FrontEnd
        Of the encoder: those who read need no more of it.
    model : Model or None
        Scores by this instead of embeddings.
    alpha : float
        The false-alarm rate of the scores.
    """

    encoder: str
    device: str
    precision: str
    front_end: FrontEnd
    model: Model | None = None
    alpha: float = 0.05

    def read(self, piece: Piece) -> ReadPiece:
        """Decode the loops of a piece and make them views; what cannot be used gets its reason."""
        measures = self.model is not None and detector_spec(self.model.detector_name).uses_attributes
        return ReadPiece(piece, tuple(_read(entry, self.front_end, measures) for entry in piece.entries))

    def embed(self, read: ReadPiece) -> Answer:
        """Embed the loops that were read, and score them if there is a model."""
        encoder = cached_encoder(self.encoder, self.device, self.precision)
        rows = np.array([row for row, loop in enumerate(read.reads) if loop.reason is None], dtype=np.int64)
        usable = [read.reads[row] for row in rows]
        embedding = encoder.embed_views([loop.views for loop in usable if loop.views is not None])
        reads = tuple(Read(loop.reason, loop.duration_s, loop.audio_hash) for loop in read.reads)
        if self.model is None:
            return Answer(read.piece, reads, rows, embedding=embedding)
        if not len(rows):
            return Answer(read.piece, reads, rows, scores=np.empty(0), p_values=np.empty(0))
        if detector_spec(self.model.detector_name).uses_attributes:
            embedding = np.hstack([embedding, attribute_columns([loop.attributes for loop in usable])])
        judged = self.model.judge(embedding, self.alpha)
        return Answer(read.piece, reads, rows, scores=judged.anomaly_scores, p_values=judged.p_values)


def _read(entry: Entry, front_end: FrontEnd, measures: bool) -> Read:
    if entry.reason is not None:
        return Read(entry.reason)
    try:
        with local_file(entry.path) as path:
            clip = load_clip(path, front_end.mel.sample_rate)
            attributes = attributes_of([path], [clip.audio_hash])[0] if measures else None
        return Read(None, clip.duration_s, clip.audio_hash, front_end.views(clip.waveform), attributes)
    except (AudioError, FeatureError) as error:
        return Read(str(error))
    except Exception as error:  # one file of millions that trips a decoder must not end the run
        return Read(f"cannot be read ({surprise(error)})")


def answer_for_lost(piece: Piece, reason: str) -> Answer:
    """Return the answer for loops of which no worker came back."""
    return Answer(piece, tuple(Read(reason) for _ in piece.entries), np.empty(0, dtype=np.int64))
