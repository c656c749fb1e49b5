"""musicnn: a small convolutional network, trained on recorded music, that hears what is played.

The published network hears windows of three seconds, with zeros before and behind. Here it hears a loop as a
ring: every filter goes on from the loop's end to its beginning, each frame is computed once, and only then
are windows laid over the ring, many of them, so that where the loop starts does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional

REACH = 3
"""Frames on either side of what a filter for timbre, or a layer behind, looks at."""
_BLOCKS_A_WINDOW = 8
_FRAMES_AT_ONCE = 64
"""Frames are computed in multiples of so many: for each new number, oneDNN has to prepare itself."""
_STEPS = 8


@dataclass(frozen=True)
class MusicnnConfig:
    """Shape of the network.

    Attributes
    ----------
    n_frames, n_mels : int
        Of one window; loops may have any number of frames.
    bands : tuple of int
        Height of the filters that look at timbre; they are 7 frames long.
    frames : tuple of int
        Length of those that look at rhythm; they are one band high.
    n_filters : tuple of int
        How many of each, first those for timbre. The published network has 204 and 51, most of which answer
        the same to every sound: those are left out and their constants are part of what follows.
    n_middle : int
        Channels of each of the three layers behind.
    n_features : int
        Of the last layer but one.
    n_tags : int
        The most frequent tags of MagnaTagATune.
    """

    n_frames: int = 187
    n_mels: int = 96
    bands: tuple[int, ...] = (38, 67)
    frames: tuple[int, ...] = (128, 64, 32)
    n_filters: tuple[int, ...] = (204, 204, 51, 51, 51)
    n_middle: int = 64
    n_features: int = 200
    n_tags: int = 50


class Affine(nn.Module):
    """Batch normalisation with its statistics folded in: a scale and a shift for each channel."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_channels))
        self.shift = nn.Parameter(torch.zeros(n_channels))

    def forward(self, values: Tensor) -> Tensor:
        """Return (n, n_channels, ...) scaled and shifted."""
        shape = (-1,) + (1,) * (values.ndim - 2)
        return values * self.scale.view(shape) + self.shift.view(shape)


@dataclass(frozen=True)
class _Frames:
    """How many frames a clip has, and what lies beyond them: the clip again, or zeros."""

    n_frames: int
    wraps: bool

    @property
    def n_computed(self) -> int:
        """At least `n_frames`; those that are too many count for nothing."""
        return -(-self.n_frames // _FRAMES_AT_ONCE) * _FRAMES_AT_ONCE

    def extended(self, values: Tensor, before: int, after: int) -> Tensor:
        """Return (n, channels, before + n_computed + after, ...) of (n, channels, n_frames or more, ...)."""
        if self.wraps:
            places = torch.arange(-before, self.n_computed + after, device=values.device)
            return values.index_select(2, places % self.n_frames)
        after += self.n_computed - self.n_frames
        return functional.pad(values[:, :, : self.n_frames], (*(0, 0) * (values.ndim - 3), before, after))


class FilterBank(nn.Module):
    """Filters over time and bands; of each, the largest response among the bands.

    A filter whose norm has a negative scale is stored negated, so that the largest response is what counts
    for all of them.
    """

    def __init__(self, n_filters: int, n_frames: int, n_bands: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_filters, 1, n_frames, n_bands))
        self.bias = nn.Parameter(torch.zeros(n_filters))
        self.norm = Affine(n_filters)
        # An even length reaches one frame further ahead than back, as TensorFlow pads.
        self._reach = ((n_frames - 1) // 2, n_frames // 2)
        self._prepared: Tensor | None = None

    def prepare(self, dtype: torch.dtype) -> None:
        """Keep the weights, which are final now, as `forward` wants them."""
        self._prepared = self._arranged(self.weight.detach().to(dtype))

    def forward(self, image: Tensor, frames: _Frames) -> Tensor:
        """Take (1, 1, n_frames, n_mels) of the dtype prepared for, return float32 (1, n_filters, n_computed).

        The filters, nearly all of the work, run in that dtype.
        """
        assert self._prepared is not None
        largest = self._largest(frames.extended(image, *self._reach), self._prepared).float()
        answers = functional.relu((largest + self.bias[:, None]) * self.norm.scale.sign()[:, None])
        normed: Tensor = self.norm(answers)
        return normed

    def _arranged(self, weight: Tensor) -> Tensor:
        # Channels last: all filters' responses lie side by side while the largest are picked.
        return weight.to(memory_format=torch.channels_last)

    def _largest(self, image: Tensor, weight: Tensor) -> Tensor:
        responses = functional.conv2d(image.contiguous(memory_format=torch.channels_last), weight)
        return functional.max_pool2d(responses, (1, responses.shape[3]))[..., 0]


class RhythmBank(FilterBank):
    """Filters one band high, many frames long: a matrix product gives eight frames of each band at once.

    Its matrix holds every filter eight times, one frame further each time, and zeros. oneDNN's convolution
    of one channel is slower, though it multiplies less.
    """

    def _arranged(self, weight: Tensor) -> Tensor:
        n_filters, _, length, _ = weight.shape
        steps = weight.new_zeros(length + _STEPS - 1, _STEPS, n_filters)
        for step in range(_STEPS):
            steps[step : step + length, step] = weight[:, 0, :, 0].T
        return steps.flatten(1)

    def _largest(self, image: Tensor, weight: Tensor) -> Tensor:
        pieces = image[0, 0].T.contiguous().unfold(1, len(weight), _STEPS)
        responses = pieces.flatten(0, 1) @ weight
        return responses.view(len(pieces), -1).amax(0).view(1, -1, len(self.bias)).mT


class Musicnn(nn.Module):
    """musicnn: tall and long filters, three layers over time, pooling, features, tags.

    Parameters
    ----------
    config : MusicnnConfig

    References
    ----------
    Pons and Serra 2019, arXiv 1909.06654; the layers as in their TensorFlow code (ISC).
    """

    def __init__(self, config: MusicnnConfig) -> None:
        super().__init__()
        self.config = config
        self.input_norm = Affine(1)
        n_timbre = len(config.bands)
        self.banks = nn.ModuleList(
            [
                *map(FilterBank, config.n_filters[:n_timbre], repeat(2 * REACH + 1), config.bands),
                *map(RhythmBank, config.n_filters[n_timbre:], config.frames, repeat(1)),
            ]
        )
        n_front, n_middle = sum(config.n_filters), config.n_middle
        self.middle = nn.ModuleList(
            nn.Conv1d(n_channels, n_middle, 2 * REACH + 1) for n_channels in (n_front, n_middle, n_middle)
        )
        self.middle_norms = nn.ModuleList(Affine(n_middle) for _ in self.middle)
        # What the filters that were left out add to the first layer; it differs only at the window's ends.
        self.left_out = nn.Parameter(torch.zeros(n_middle, config.n_frames))
        self.dense = nn.Linear(2 * (n_front + len(self.middle) * n_middle), config.n_features)
        self.feature_norm = Affine(config.n_features)
        self.tags = nn.Linear(config.n_features, config.n_tags)
        self._filter_dtype = torch.float32

    def run_filters_in(self, dtype: torch.dtype) -> None:
        """Run the filters in `dtype`; what is behind them stays float32.

        To be called before `forward`, on a network that is trained and on its device.
        """
        self._filter_dtype = dtype
        for bank in self.banks:
            assert isinstance(bank, FilterBank)
            bank.prepare(dtype)

    def forward(self, log_mel: Tensor, *, wraps: bool = True) -> tuple[Tensor, Tensor]:
        """Return what is heard of one clip, the mean over windows that lie all around it.

        Parameters
        ----------
        log_mel : float32 Tensor of shape (n_frames, n_mels)
            log10(1 + 10000 * power) of Slaney mel bands up to 8 kHz, a frame every 16 ms.
        wraps : bool, default=True
            Whether the clip is a ring. Without, and with as many frames as a window, this is the published
            network.

        Returns
        -------
        features : float32 Tensor of shape (n_features,)
            The last layer but one.
        tags : float32 Tensor of shape (n_tags,)
            Probability of each.
        """
        frames = _Frames(len(log_mel), wraps)
        pooled = _over_windows(self._over_time(log_mel, frames), self.config.n_frames)
        features = self.feature_norm(functional.relu(self.dense(pooled)))
        return features.mean(0), torch.sigmoid(self.tags(features)).mean(0)

    def _over_time(self, log_mel: Tensor, frames: _Frames) -> Tensor:
        """Return what the filters and the layers behind say of each frame, (n_channels, n_frames)."""
        image = self.input_norm(log_mel[None, None]).to(self._filter_dtype)
        front = torch.cat([bank(image, frames) for bank in self.banks], dim=1)
        middle = self.config.n_frames // 2
        left_out = self.left_out[None, :, middle : middle + 1]
        if not frames.wraps:
            left_out = frames.extended(self.left_out[None], 0, 0)
        heard = self.middle[0](frames.extended(front, REACH, REACH)) + left_out
        levels = [front, self.middle_norms[0](functional.relu(heard))]
        for layer, norm in zip(self.middle[1:], self.middle_norms[1:], strict=True):
            more = layer(frames.extended(levels[-1], REACH, REACH))
            levels.append(levels[-1] + norm(functional.relu(more)))
        return torch.cat(levels, dim=1)[0, :, : frames.n_frames]


def _over_windows(over_time: Tensor, window: int) -> Tensor:
    """Return each channel's largest value and mean in windows all around a ring, (n_windows, 2 * n_channels).

    A ring no longer than a window is one window. A longer one is cut into blocks of an eighth of a window,
    the last of which goes on into the first; a window begins at each block.
    """
    n_channels, n_frames = over_time.shape
    if n_frames <= window:
        return torch.stack([over_time.amax(1), over_time.mean(1)], dim=1).view(1, -1)
    length = window // _BLOCKS_A_WINDOW
    n_blocks = -(-n_frames // length)
    n_missing = n_blocks * length - n_frames
    blocks = torch.cat([over_time, over_time[:, :n_missing]], dim=1).view(n_channels, n_blocks, length)
    around = torch.arange(n_blocks + _BLOCKS_A_WINDOW - 1, device=over_time.device) % n_blocks
    largest, mean = (
        block[:, around].unfold(1, _BLOCKS_A_WINDOW, 1) for block in (blocks.amax(2), blocks.mean(2))
    )
    return torch.stack([largest.amax(2).T, mean.mean(2).T], dim=2).flatten(1)
