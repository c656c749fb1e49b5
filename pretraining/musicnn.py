"""musicnn: a small convolutional network, trained on recorded music, that hears what is played.

The published network hears windows of three seconds, with zeros before and behind. Here it hears a loop as a
ring: every filter goes on from the loop's end to its beginning, each frame is computed once, and only then
are windows laid over the ring, many of them, so that where the loop starts does not count.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from loopsphere.models.tensor_files import open_safetensors

MUSICNN_FILE = Path(__file__).with_name("musicnn-mtt.safetensors")
REACH = 3
"""Frames on either side of what a filter for timbre, or a layer behind, looks at."""
_BLOCKS_A_WINDOW = 8
_CONFIG = "musicnn_config"


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


class FilterBank(nn.Module):
    """Filters over time and bands; of each, the largest response among the bands.

    A filter whose norm has a negative scale is stored negated, so that the largest response is what counts
    for all of them.
    """

    def __init__(self, n_filters: int, n_frames: int, n_bands: int) -> None:
        super().__init__()
        # Channels last: all filters' responses lie side by side while the largest are picked.
        weight = torch.zeros(n_filters, 1, n_frames, n_bands).to(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_filters))
        self.norm = Affine(n_filters)
        # An even length reaches one frame further ahead than back, as TensorFlow pads.
        self._reach = ((n_frames - 1) // 2, n_frames // 2)

    def forward(self, image: Tensor, *, wraps: bool) -> Tensor:
        """Take (1, 1, n_frames, n_mels), return (1, n_filters, n_frames)."""
        image = _extended(image, *self._reach, wraps=wraps)
        responses = functional.conv2d(image.contiguous(memory_format=torch.channels_last), self.weight)
        largest = functional.max_pool2d(responses, (1, responses.shape[3]))[..., 0]
        answers = functional.relu((largest + self.bias[:, None]) * self.norm.scale.sign()[:, None])
        normed: Tensor = self.norm(answers)
        return normed


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
        sizes = [*((2 * REACH + 1, n_bands) for n_bands in config.bands), *((n, 1) for n in config.frames)]
        self.banks = nn.ModuleList(
            FilterBank(n_filters, *size) for n_filters, size in zip(config.n_filters, sizes, strict=True)
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

    def forward(self, log_mel: Tensor, *, wraps: bool = True) -> tuple[Tensor, Tensor]:
        """Return what is heard of one clip, the mean over windows that lie all around it.

        Parameters
        ----------
        log_mel : float32 Tensor of shape (n_frames, n_mels)
            log10(1 + 10000 * power) of Slaney mel bands up to 8 kHz, a frame every 16 ms.
        wraps : bool, default=True
            Whether the clip is a ring. Without, it must have as many frames as a window, and this is the
            published network.

        Returns
        -------
        features : float32 Tensor of shape (n_features,)
            The last layer but one.
        tags : float32 Tensor of shape (n_tags,)
            Probability of each.
        """
        pooled = _over_windows(self.over_time(log_mel, wraps=wraps), self.config.n_frames)
        features = self.feature_norm(functional.relu(self.dense(pooled)))
        return features.mean(0), torch.sigmoid(self.tags(features)).mean(0)

    def over_time(self, log_mel: Tensor, *, wraps: bool) -> Tensor:
        """Return what the filters and the layers behind say of each frame, (n_channels, n_frames)."""
        image = self.input_norm(log_mel[None, None])
        front = torch.cat([bank(image, wraps=wraps) for bank in self.banks], dim=1)
        middle = self.config.n_frames // 2
        left_out = self.left_out[:, middle : middle + 1] if wraps else self.left_out
        heard = self.middle[0](_extended(front, REACH, REACH, wraps=wraps)) + left_out
        levels = [front, self.middle_norms[0](functional.relu(heard))]
        for layer, norm in zip(self.middle[1:], self.middle_norms[1:], strict=True):
            more = layer(_extended(levels[-1], REACH, REACH, wraps=wraps))
            levels.append(levels[-1] + norm(functional.relu(more)))
        return torch.cat(levels, dim=1)[0]


def save_musicnn(path: Path, network: Musicnn) -> None:
    """Write a network as fp16 safetensors that carry their own settings."""
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    path.write_bytes(save(state, {_CONFIG: json.dumps(dataclasses.asdict(network.config))}))


def read_musicnn(path: Path = MUSICNN_FILE) -> Musicnn:
    """Read a network, in float32 and ready to listen."""
    file = open_safetensors(path)
    settings = json.loads(file.metadata[_CONFIG])
    shape: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    network = Musicnn(MusicnnConfig(**shape))
    network.load_state_dict({name: file.read(name) for name in file.shapes})
    return network.eval()


def _extended(values: Tensor, before: int, after: int, *, wraps: bool) -> Tensor:
    """Return (n, channels, n_frames, ...) with what lies beyond: the clip again, or zeros."""
    if not wraps:
        return functional.pad(values, (*(0, 0) * (values.ndim - 3), before, after))
    # Not `pad` with 'circular', which goes around once at most: a filter may be longer than the clip.
    n_frames = values.shape[2]
    return values.index_select(2, torch.arange(-before, n_frames + after) % n_frames)


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
    around = torch.arange(n_blocks + _BLOCKS_A_WINDOW - 1) % n_blocks
    largest, mean = (
        block[:, around].unfold(1, _BLOCKS_A_WINDOW, 1) for block in (blocks.amax(2), blocks.mean(2))
    )
    return torch.stack([largest.amax(2).T, mean.mean(2).T], dim=2).flatten(1)
