"""The feature fusion mechanism: one whole-clip and three local views become one map of patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _attention(channels: int, hidden: int, *, pooled: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)] if pooled else []
    layers += [
        nn.Conv2d(channels, hidden, 1),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, 1),
        nn.BatchNorm2d(channels),
    ]
    return nn.Sequential(*layers)


class AttentionalFeatureFusion(nn.Module):
    """Weigh two feature maps against each other, position by position.

    Parameters
    ----------
    channels : int
    reduction : int
        The attention's hidden layer has `channels // reduction` channels.

    Shape
    -----
    whole, local : (n_clips, channels, height, width)
    output : (n_clips, channels, height, width)

    References
    ----------
    Dai et al. 2021, 'Attentional Feature Fusion', arXiv 2009.14082, section 3.3.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = channels // reduction
        self.local_attention = _attention(channels, hidden, pooled=False)
        self.global_attention = _attention(channels, hidden, pooled=True)

    def forward(self, whole: Tensor, local: Tensor) -> Tensor:
        """Return the weighted sum of both."""
        both = whole + local
        weight = torch.sigmoid(self.local_attention(both) + self.global_attention(both))
        return 2 * torch.lerp(local, whole, weight)


class FeatureFusion(nn.Module):
    """Embed three local views as patches and fuse them with the patches of the whole clip.

    The local views are embedded at a third of the time resolution and laid side by side, so that
    front, middle and back cover the same width as the whole-clip view.

    Parameters
    ----------
    channels : int
        Of the patch embedding.
    patch_size, patch_stride : int
        Pixels, of the patch embedding.
    reduction : int
        See `AttentionalFeatureFusion`.

    Shape
    -----
    whole : (n_clips, channels, height, width), patches of the whole-clip view
    local_images : (n_clips, 3, image_height, image_width)
    output : (n_clips, channels, height, width)

    References
    ----------
    Wu et al. 2023, arXiv 2211.06687, section 3.2.
    """

    def __init__(self, channels: int, patch_size: int, patch_stride: int, reduction: int = 4) -> None:
        super().__init__()
        padding = (patch_size - patch_stride) // 2
        self.local_patches = nn.Conv2d(
            1, channels, (patch_size, 3 * patch_size), (patch_stride, 3 * patch_stride), padding
        )
        self.fuse = AttentionalFeatureFusion(channels, reduction)

    def forward(self, whole: Tensor, local_images: Tensor) -> Tensor:
        """Return the patches of the whole clip with those of its local views fused in."""
        n_clips, n_views = local_images.shape[:2]
        patches = self.local_patches(local_images.flatten(0, 1)[:, None])
        patches = patches.unflatten(0, (n_clips, n_views)).permute(0, 2, 3, 1, 4).flatten(3)
        # A third of the width, rounded down three times, can fall short of the whole.
        patches = nn.functional.pad(patches, (0, whole.shape[-1] - patches.shape[-1]))
        fused: Tensor = self.fuse(whole, patches)
        return fused
