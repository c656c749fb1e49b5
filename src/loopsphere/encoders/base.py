"""The encoder: waveforms to log-mel views to embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from loopsphere.encoders.front_end import FrontEnd, Views, even_windows
from loopsphere.encoders.joining import JOINT_DIM, join
from loopsphere.errors import FeatureError
from loopsphere.features.config import MelConfig
from loopsphere.features.mel import MelPower, band_edges_hz, log_mel, mel_power
from loopsphere.types import Float32Array, TokenGrid

if TYPE_CHECKING:
    from loopsphere.models.htsat import HTSATConfig

BATCH_SIZE = 32
TOKEN_STAGES = (0, 1, 2)
"""Stages that are fine enough in time to point at a moment."""


class Runtime(Protocol):
    """Something that runs an HTS-AT; see `loopsphere.encoders.torch_runtime.TorchRuntime`."""

    @property
    def device(self) -> Any:
        """What it runs on; its `str` is shown to people."""

    @property
    def precision(self) -> str:
        """'float32' or 'bfloat16'."""

    def __call__(
        self, view: Float32Array, is_longer: npt.NDArray[np.bool_], local_views: Float32Array
    ) -> Float32Array:
        """Return the embeddings of one batch, (n_clips, embedding_dim)."""

    def tokens(self, view: Float32Array, stages: Sequence[int]) -> tuple[Float32Array, ...]:
        """Return the tokens of some stages, each (n_windows, n_steps, n_bands, dim)."""


class Tagger(Protocol):
    """Something that runs a YAMNet; see `loopsphere.encoders.torch_runtime.TorchTagger`."""

    def __call__(self, rings: Sequence[Float32Array]) -> tuple[Float32Array, Float32Array]:
        """Return of clips the probabilities of classes, (n_clips, 521), and features, (n_clips, 1024)."""


@dataclass(frozen=True)
class Encoder:
    """A trained encoder with its front end; made by `loopsphere.encoders.load_encoder`.

    The same clip has the same embedding alone, in any batch, in any order and on every run: crops
    are fixed, nothing is drawn at random, and whether a clip is long depends on this clip alone.
    With HTS-AT alone, embeddings are its output before any projection, and not L2-normalised; with a
    tagger beside it they are of unit length, see `loopsphere.encoders.joining.join`.

    No part of a long clip is cut away. With fusion, its whole-clip view covers all of it. Without,
    it is cut into as few evenly spaced windows as cover it, and their embeddings are averaged.

    Attributes
    ----------
    name : str
        As it was asked for; the file's name for a path.
    hash : str
        SHA-256 hex digest of settings and weights, with '-bfloat16' behind it where the network runs in that;
        two encoders with the same give the same embeddings.
    mel : MelConfig
    config : HTSATConfig
    runtime : Runtime
    tagger : Tagger or None
        A second network that listens beside HTS-AT, as the bundled encoder has.
    power_of : callable
        Computes spectra: on the CPU, or beside the network on a GPU.

    References
    ----------
    Wu et al. 2023, arXiv 2211.06687, section 3.2; Chen et al. 2022, arXiv 2202.00874.
    """

    name: str
    hash: str
    mel: MelConfig
    config: HTSATConfig
    runtime: Runtime
    tagger: Tagger | None = None
    power_of: MelPower = mel_power

    @property
    def embedding_dim(self) -> int:
        """Columns of an embedding."""
        return self.config.embedding_dim if self.tagger is None else JOINT_DIM

    @property
    def device(self) -> str:
        """What it runs on, as torch names it."""
        return str(self.runtime.device)

    @property
    def precision(self) -> str:
        """What its network computes in: 'float32' or 'bfloat16'."""
        return self.runtime.precision

    @property
    def front_end(self) -> FrontEnd:
        """What is before the networks; other processes can have it without them."""
        return FrontEnd(self.mel, fusion=self.config.fusion, listens=self.tagger is not None)

    def views(self, waveform: Float32Array) -> Views:
        """Return what the networks see of one clip; see `FrontEnd.views`."""
        return self.front_end.views(waveform, power_of=self.power_of)

    def token_grids(
        self, waveform: Float32Array, stages: Sequence[int] = TOKEN_STAGES
    ) -> tuple[TokenGrid, ...]:
        """Return what the encoder makes of a clip's moments and bands, before it is pooled.

        A clip that is longer than the window is cut into as few evenly spaced windows as cover it, with
        fusion too: its local views leave gaps, and its whole-clip view is too coarse to point at a moment.

        Parameters
        ----------
        waveform : float32 ndarray of shape (n_samples,)
            Mono, at `mel.sample_rate`.
        stages : sequence of int
            Of the network, from 0. Those of the bundled encoder have steps of 0.16, 0.32, 0.64 and 1.28 s.

        Returns
        -------
        grids : tuple of TokenGrid
            First the log-mel itself, in pieces half as long as a patch of the network and as high; then one
            grid a stage.

        Raises
        ------
        FeatureError
            `waveform` is not 1-D, is empty or is not finite.
        """
        mel = log_mel(waveform, self.mel)
        windows, starts = even_windows(mel, self.mel.n_frames)
        batches = [
            self.runtime.tokens(windows[start : start + BATCH_SIZE], stages)
            for start in range(0, len(windows), BATCH_SIZE)
        ]
        frame_s = self.mel.hop_length / self.mel.sample_rate
        # The network stretches the window's frames to its image, first onto first and last onto last.
        pixel_s = frame_s * (self.mel.n_frames - 1) / (self.config.n_frames - 1)
        n_frames, n_mels = max(1, self.config.patch_stride // 2), self.config.patch_stride
        grids = [self._grid(_pieces(windows, n_frames, n_mels), starts, waveform.size, frame_s, n_frames)]
        for tokens in map(np.concatenate, zip(*batches, strict=True)):
            n_pixels = self.config.n_frames // tokens.shape[1]
            grids.append(self._grid(tokens, starts, waveform.size, pixel_s, n_pixels))
        return tuple(grids)

    def _grid(
        self,
        tokens: Float32Array,
        starts: npt.NDArray[np.int64],
        n_samples: int,
        column_s: float,
        n_columns: int,
    ) -> TokenGrid:
        """Put tokens on the clip's axes; a step is `n_columns` columns, each `column_s` long."""
        duration_s = n_samples / self.mel.sample_rate
        n_repeats = self.mel.window_samples // n_samples if self.mel.short_clip == "repeatpad" else 0
        return TokenGrid(
            tokens=tokens,
            window_starts_s=starts.astype(np.float64) * (self.mel.hop_length / self.mel.sample_rate)
            - column_s / 2,
            step_s=column_s * n_columns,
            band_edges_hz=band_edges_hz(self.mel, tokens.shape[2]),
            duration_s=duration_s,
            filled_s=n_repeats * duration_s if n_repeats else max(duration_s, self.mel.window_s),
        )

    def embed_views(self, views: Sequence[Views]) -> Float32Array:
        """Embed clips that are views already.

        Parameters
        ----------
        views : sequence of Views
            One a clip, from `views`.

        Returns
        -------
        embedding : float32 ndarray of shape (n_clips, embedding_dim)
            Of unit length with a tagger, not L2-normalised without.

        Raises
        ------
        FeatureError
            They are not views of this encoder.
        """
        if not views:
            return np.empty((0, self.embedding_dim), dtype=np.float32)
        htsat, *heard = self.parts(views)
        return join(htsat, *heard) if heard else htsat

    def parts(self, views: Sequence[Views]) -> list[Float32Array]:
        """Return what the networks say of clips: HTS-AT's output and, with a tagger, classes and features.

        Parameters
        ----------
        views : sequence of Views
            One a clip, at least one.

        Returns
        -------
        parts : list of one or three float32 ndarrays of shape (n_clips, n_columns)
            HTS-AT's output; probabilities of classes, features.

        Raises
        ------
        FeatureError
            They are not views of this encoder.
        """
        htsat = self._embed_spectra([clip.spectra for clip in views])
        if self.tagger is None:
            return [htsat]
        rings = [clip.ring for clip in views if clip.ring is not None]
        if len(rings) != len(views):
            raise FeatureError("these are not views of this encoder: they have no ring for its tagger")
        return [htsat, *self.tagger(rings)]

    def _embed_spectra(self, spectra: Sequence[Float32Array]) -> Float32Array:
        for clip in spectra:
            fits = clip.ndim == 3 and clip.shape[1:] == (self.mel.n_frames, self.mel.n_mels)
            if not fits or len(clip) == 0 or (self.config.fusion and len(clip) not in (1, 4)):
                raise FeatureError(f"these are not views of this encoder: shape {clip.shape}")
        # What the network takes as one clip: all views with fusion, each window without.
        units = spectra if self.config.fusion else [window[None] for clip in spectra for window in clip]
        batches = [self._run(units[start : start + BATCH_SIZE]) for start in range(0, len(units), BATCH_SIZE)]
        embedding = np.concatenate(batches)
        return embedding if self.config.fusion else _mean_by_clip(embedding, [len(clip) for clip in spectra])

    def embed_iter(self, waveforms: Iterable[Float32Array]) -> Iterator[Float32Array]:
        """Embed a stream of clips, a batch at a time.

        Parameters
        ----------
        waveforms : iterable of float32 ndarray of shape (n_samples,)
            Mono, at `mel.sample_rate`; taken as they are needed.

        Yields
        ------
        embedding : float32 ndarray of shape (embedding_dim,)
            One a clip, in order.

        Raises
        ------
        FeatureError
            A waveform is not 1-D, is empty or is not finite.
        """
        stream = iter(waveforms)
        while batch := [self.views(waveform) for waveform in islice(stream, BATCH_SIZE)]:
            yield from self.embed_views(batch)

    def embed(self, waveforms: Iterable[Float32Array]) -> Float32Array:
        """Embed clips.

        Parameters
        ----------
        waveforms : iterable of float32 ndarray of shape (n_samples,)
            Mono, at `mel.sample_rate`.

        Returns
        -------
        embedding : float32 ndarray of shape (n_clips, embedding_dim)
            Of unit length with a tagger, not L2-normalised without.

        Raises
        ------
        FeatureError
            A waveform is not 1-D, is empty or is not finite.
        """
        rows = list(self.embed_iter(waveforms))
        return np.stack(rows) if rows else self.embed_views([])

    def _run(self, clips: Sequence[Float32Array]) -> Float32Array:
        is_longer = np.array([len(clip) > 1 for clip in clips])
        local_views = [clip[1:] for clip in clips if len(clip) > 1]
        no_local_views = np.empty((0, 3, self.mel.n_frames, self.mel.n_mels), dtype=np.float32)
        return self.runtime(
            np.stack([clip[0] for clip in clips]),
            is_longer,
            np.stack(local_views) if local_views else no_local_views,
        )


def _mean_by_clip(rows: Float32Array, sizes: Sequence[int]) -> Float32Array:
    """Average the rows of each clip; `sizes` are how many each has."""
    return np.stack([part.mean(axis=0) for part in np.split(rows, np.cumsum(sizes)[:-1])])


def _pieces(windows: Float32Array, n_frames: int, n_mels: int) -> Float32Array:
    """Cut windows, (n, n_frames * steps, n_mels * bands), to (n, steps, bands, n_frames * n_mels)."""
    n_missing = -windows.shape[1] % n_frames
    padded = np.pad(windows, ((0, 0), (0, n_missing), (0, 0)), mode="edge")
    n_windows, n_all, n_bands = len(padded), padded.shape[1] // n_frames, padded.shape[2] // n_mels
    pieces = padded.reshape(n_windows, n_all, n_frames, n_bands, n_mels).transpose(0, 1, 3, 2, 4)
    return pieces.reshape(n_windows, n_all, n_bands, n_frames * n_mels)
