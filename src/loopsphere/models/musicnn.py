"""musicnn: a small convolutional network, trained on recorded music, that hears what is played."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

REACH = 3
"""Frames on either side of what a filter for timbre, or a layer behind, looks at."""


@dataclass(frozen=True)
class MusicnnConfig:
    """Shape of the network.

    Attributes
    ----------
    n_frames, n_mels : int
        Of one window.
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
        self.weight = nn.Parameter(torch.zeros(n_filters, 1, n_frames, n_bands))
        self.bias = nn.Parameter(torch.zeros(n_filters))
        self.norm = Affine(n_filters)
        # An even length reaches one frame further ahead than back, as TensorFlow pads.
        self._padding = (0, 0, (n_frames - 1) // 2, n_frames // 2)

    def forward(self, image: Tensor) -> Tensor:
        """Take (n_windows, 1, n_frames, n_mels), return float32 (n_windows, n_filters, n_frames).

        The filters, nearly all of the work, run in the image's dtype.
        """
        # Channels last: all filters' responses lie side by side while the largest are picked.
        padded = functional.pad(image, self._padding).contiguous(memory_format=torch.channels_last)
        weight = self.weight.to(dtype=image.dtype, memory_format=torch.channels_last)
        responses = functional.conv2d(padded, weight, self.bias.to(image.dtype))
        largest = functional.max_pool2d(responses, (1, responses.shape[3]))[..., 0].float()
        normed: Tensor = self.norm(functional.relu(largest * self.norm.scale.sign()[:, None]))
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
        shapes = [(2 * REACH + 1, n_bands) for n_bands in config.bands] + [(n, 1) for n in config.frames]
        self.banks = nn.ModuleList(
            FilterBank(n_filters, *shape) for n_filters, shape in zip(config.n_filters, shapes, strict=True)
        )
        n_front, n_middle = sum(config.n_filters), config.n_middle
        self.middle = nn.ModuleList(
            nn.Conv1d(n_channels, n_middle, 2 * REACH + 1, padding=REACH)
            for n_channels in (n_front, n_middle, n_middle)
        )
        self.middle_norms = nn.ModuleList(Affine(n_middle) for _ in self.middle)
        # What the filters that were left out add to the first layer; it differs only at the window's ends.
        self.left_out = nn.Parameter(torch.zeros(n_middle, config.n_frames))
        self.dense = nn.Linear(2 * (n_front + len(self.middle) * n_middle), config.n_features)
        self.feature_norm = Affine(config.n_features)
        self.tags = nn.Linear(config.n_features, config.n_tags)
        self._filter_dtype = torch.float32

    def run_filters_in(self, dtype: torch.dtype) -> None:
        """Run the filters in `dtype`; what is behind them stays float32."""
        self._filter_dtype = dtype

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is heard in windows.

        Parameters
        ----------
        log_mel : float32 Tensor of shape (n_windows, n_frames, n_mels)
            log10(1 + 10000 * power) of Slaney mel bands up to 8 kHz, a frame every 16 ms.

        Returns
        -------
        features : float32 Tensor of shape (n_windows, n_features)
            The last layer but one.
        tags : float32 Tensor of shape (n_windows, n_tags)
            Probability of each.
        """
        image = self.input_norm(log_mel[:, None]).to(self._filter_dtype)
        front = torch.cat([bank(image) for bank in self.banks], dim=1)
        heard = self.middle_norms[0](functional.relu(self.middle[0](front) + self.left_out))
        levels = [front, heard]
        for layer in range(1, len(self.middle)):
            more = self.middle_norms[layer](functional.relu(self.middle[layer](levels[-1])))
            levels.append(levels[-1] + more)
        over_time = torch.cat(levels, dim=1)
        pooled = torch.stack([over_time.amax(2), over_time.mean(2)], dim=2).flatten(1)
        # In float64, so that what comes of a window does not depend on how many there are.
        features = self.feature_norm(functional.relu(_in_float64(self.dense, pooled)))
        return features.float(), torch.sigmoid(_in_float64(self.tags, features)).float()


def _in_float64(layer: nn.Linear, rows: Tensor) -> Tensor:
    dtype = torch.float32 if rows.device.type == "mps" else torch.float64  # Apple's GPU has no float64
    return functional.linear(rows.to(dtype), layer.weight.to(dtype), layer.bias.to(dtype))
