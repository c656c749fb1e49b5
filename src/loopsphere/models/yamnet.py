"""YAMNet: what a second of sound is, among the 521 classes of AudioSet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from loopsphere.models.onednn import ROWS, has_onednn

_LOWEST, _HIGHEST = -6.9, 5.33
"""What eight bits can say of a log-mel in the release for phones."""
_LARGEST = 6.0
_EXACT_FIRST, _EXACT_LAST = 3, 6
"""Layers that stay in float32: much of what bfloat16 loses is lost there, and little of the time is spent."""


@dataclass(frozen=True)
class YamnetConfig:
    """Shape of the network.

    Attributes
    ----------
    n_frames, n_mels : int
        Of one window.
    n_filters : int
        Of the first layer.
    blocks : tuple of (int, int)
        Channels and stride of each block: filters of 3 by 3 on every channel, then a product across channels.
    n_classes : int
        Of AudioSet.
    """

    n_frames: int = 96
    n_mels: int = 64
    n_filters: int = 32
    blocks: tuple[tuple[int, int], ...] = (
        *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
        *((512, 1),) * 5,
        *((1024, 2), (1024, 1)),
    )
    n_classes: int = 521


class Convolution(nn.Conv2d):
    """A convolution as TensorFlow pads it, whose responses are kept between 0 and 6.

    oneDNN adds the bias and keeps the range while it writes the responses, and reads weights faster in an
    order of its own; torch offers that to its compiler only, so there is a plain way beside it. A convolution
    of side 1 is a product of rows, which is fast everywhere: where processors have AVX2 alone, oneDNN's own
    convolution takes twenty times as long for the last layers.
    """

    packed: Tensor | None = None

    def __init__(self, n_in: int, n_out: int, side: int, *, stride: int = 1, groups: int = 1) -> None:
        # An image of even size, where every other response counts, gets zeros behind it only: see `forward`.
        super().__init__(n_in, n_out, side, stride, side // 2 if stride == 1 else 0, groups=groups)

    def run_in(self, dtype: torch.dtype) -> None:
        """Compute in `dtype` with the weights, which are final now; biases stay float32."""
        weight = self.weight.detach().to(dtype)
        self.weight = nn.Parameter(weight, requires_grad=False)
        if weight.device.type != "cpu" or not has_onednn(dtype):
            return
        if self._is_product():
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1), ROWS)
        else:
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._how())

    def forward(self, image: Tensor) -> Tensor:
        """Return (n, n_out, height / stride, width / stride) of (n, n_in, height, width)."""
        image = image.to(self.weight.dtype)
        if self.stride[0] == 2:
            image = functional.pad(image, (0, 1, 0, 1))
        if self.packed is None:
            assert self.bias is not None
            plain: Tensor = self._conv_forward(image, self.weight, None)
            return plain.add_(self.bias.view(-1, 1, 1)).clamp_(0.0, _LARGEST)
        in_range = ("hardtanh", [0.0, _LARGEST], "")
        if self._is_product():
            rows = image.permute(0, 2, 3, 1)
            product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, *in_range)
            return product.permute(0, 3, 1, 2)
        around: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, self.packed, self.bias, *self._how(), *in_range
        )
        return around

    def _is_product(self) -> bool:
        return self.kernel_size == (1, 1)

    def _how(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
        assert not isinstance(self.padding, str)
        return self.padding, self.stride, self.dilation, self.groups


class Yamnet(nn.Module):
    """YAMNet, a MobileNet of version 1, with its batch normalisation folded into the layers.

    The weights that are bundled are those of the release for phones: stored in eight bits, with responses
    kept between 0 and 6. Here they are computed with in float32 or bfloat16, and responses are not rounded
    to eight bits.

    Parameters
    ----------
    config : YamnetConfig

    References
    ----------
    Howard et al. 2017, arXiv 1704.04861 (MobileNet); Gemmeke et al. 2017, ICASSP (AudioSet); Plakal and
    Ellis, YAMNet, in TensorFlow's model garden (Apache-2.0).
    """

    def __init__(self, config: YamnetConfig) -> None:
        super().__init__()
        self.config = config
        layers = [Convolution(1, config.n_filters, 3, stride=2)]
        n_channels = config.n_filters
        for n_out, stride in config.blocks:
            layers += [
                Convolution(n_channels, n_channels, 3, stride=stride, groups=n_channels),
                Convolution(n_channels, n_out, 1),
            ]
            n_channels = n_out
        self.layers = nn.ModuleList(layers)
        self.classes = nn.Linear(n_channels, config.n_classes)

    def run_layers_in(self, dtype: torch.dtype) -> None:
        """Run the layers in `dtype`, but for the first ones and the last.

        To be called before `forward`, on a network that is trained and on its device.
        """
        # Channels last: a product across channels then reads what lies side by side.
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Convolution)
            is_exact = not _EXACT_FIRST <= number < len(self.layers) - _EXACT_LAST
            layer.run_in(torch.float32 if is_exact else dtype)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return how probable each class is in each window, and what that is told from.

        Parameters
        ----------
        windows : float32 Tensor of shape (n_windows, n_frames, n_mels)
            ln(0.001 + magnitude) of mel bands from 125 to 7500 Hz, a frame every 10 ms.

        Returns
        -------
        probabilities : float32 Tensor of shape (n_windows, n_classes)
            Each from 0 to 1; a sound may be of several classes.
        features : float32 Tensor of shape (n_windows, 1024)
            The last layer's responses, averaged over the window; 0 to 6.
        """
        image = windows[:, None].clamp(_LOWEST, _HIGHEST).contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            image = layer(image)
        features = image.float().mean(dim=(2, 3))
        return torch.sigmoid(self.classes(features)), features
