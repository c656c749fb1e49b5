"""The Hierarchical Token-Semantic Audio Transformer as an encoder: log-mel views to embeddings.

A Swin transformer over a log-mel that is cut along time into `freq_ratio` pieces, stacked into a
square image (Chen et al. 2022, arXiv 2202.00874). The classification head is left out: the mean of
the last stage's tokens is the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from loopsphere.errors import FeatureError
from loopsphere.models.ffm import FeatureFusion
from loopsphere.models.swin import Linear, Stage, WindowAttention, in_parts


@dataclass(frozen=True)
class HTSATConfig:
    """The shape of one HTS-AT encoder.

    Attributes
    ----------
    image_size : int
        Side of the square image in pixels.
    n_mels : int
        Bands of the log-mel; `image_size` is a multiple of it.
    patch_size, patch_stride : int
        Pixels.
    width : int
        Channels of the first stage; each later stage doubles them.
    depths, n_heads : tuple of int
        Blocks and attention heads of each stage.
    window_size : int
        Side of an attention window in tokens.
    mlp_ratio : float
    fusion : bool
        Whether clips longer than the window go through feature fusion.
    fusion_reduction : int
        See `loopsphere.models.ffm.AttentionalFeatureFusion`.
    """

    image_size: int = 256
    n_mels: int = 64
    patch_size: int = 4
    patch_stride: int = 4
    width: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    n_heads: tuple[int, ...] = (4, 8, 16, 32)
    window_size: int = 8
    mlp_ratio: float = 4.0
    fusion: bool = True
    fusion_reduction: int = 4

    @property
    def freq_ratio(self) -> int:
        """Pieces of time that are stacked along frequency."""
        return self.image_size // self.n_mels

    @property
    def n_frames(self) -> int:
        """Frames that fill the image; shorter input is stretched to it."""
        return self.image_size * self.freq_ratio

    @property
    def embedding_dim(self) -> int:
        """Channels of the last stage."""
        return int(self.width * 2 ** (len(self.depths) - 1))


HTSAT_TINY = HTSATConfig()
HTSAT_BASE = HTSATConfig(width=128, depths=(2, 2, 12, 2))
HTSAT_LOOPS = HTSATConfig(
    n_mels=128, patch_size=8, patch_stride=8, width=32, depths=(2, 2, 4, 2), n_heads=(2, 4, 8, 16)
)


class HTSAT(nn.Module):
    """HTS-AT encoder with optional feature fusion.

    Parameters
    ----------
    config : HTSATConfig

    References
    ----------
    Chen et al. 2022, arXiv 2202.00874; Wu et al. 2023, arXiv 2211.06687.
    """

    def __init__(self, config: HTSATConfig) -> None:
        super().__init__()
        self.config = config
        self.mel_norm = nn.BatchNorm2d(config.n_mels)
        padding = (config.patch_size - config.patch_stride) // 2
        self.patches = nn.Conv2d(1, config.width, config.patch_size, config.patch_stride, padding)
        self.fusion = (
            FeatureFusion(config.width, config.patch_size, config.patch_stride, config.fusion_reduction)
            if config.fusion
            else None
        )
        self.patch_norm = nn.LayerNorm(config.width)
        self.stages = nn.ModuleList(_stages(config))
        self.norm = nn.LayerNorm(config.embedding_dim)
        self._stage_dtype: torch.dtype | None = None
        self.apply(_initialise)

    def run_stages_in(self, dtype: torch.dtype) -> None:
        """Run the stages, nearly all of the work, in `dtype`; what is before and behind stays float32.

        For networks that are trained and on their device: weights that change afterwards may not be seen.
        """
        self._stage_dtype = dtype
        for module in self.stages.modules():
            if isinstance(module, Linear | WindowAttention):
                module.to(dtype).pack()
            elif isinstance(module, nn.LayerNorm) and module.weight.device.type != "cpu":
                # On the CPU, norms take weights in float32 beside tokens in bfloat16. Half of what is lost in
                # bfloat16 was lost by rounding these.
                module.to(dtype)

    def tokens(
        self,
        view: Tensor,
        is_longer: Tensor | None = None,
        local_views: Tensor | None = None,
        *,
        stages: Sequence[int] = (-1,),
    ) -> tuple[Tensor, ...]:
        """Return the tokens of some stages, unfolded along time.

        Parameters
        ----------
        view : float Tensor of shape (n_clips, n_frames, n_mels)
            Log-mel in dB: the window, or the whole clip shrunk to it.
        is_longer : bool Tensor of shape (n_clips,) or None
            Which clips are longer than the window; None means none.
        local_views : float Tensor of shape (n_longer, 3, n_frames, n_mels) or None
            Front, middle and back of the longer clips, in the order of the batch.
        stages : sequence of int
            Which, from 0; -1 is the last. An early stage is finer in time and sees less around a token.

        Returns
        -------
        tokens : tuple of float Tensor of shape (n_clips, dim, n_bands, n_steps)
            One a stage asked for; bands from low to high, steps from first to last. Those of the last stage
            are normalised. Stage k has `width * 2**k` channels and `image_size / patch_stride / 2**k` tokens
            a side of the image.

        Raises
        ------
        FeatureError
            A clip is longer but this encoder has no fusion, or the shapes do not fit.
        """
        wanted = [stage % len(self.stages) for stage in stages]
        image = self._image(view[:, None])
        if is_longer is not None and local_views is not None and len(local_views):
            if self.fusion is None:
                raise FeatureError("this encoder has no feature fusion; give it clips within its window")
            tokens = self._first_tokens(self._fused_patches(image, is_longer, local_views))
        else:
            tokens = in_parts(lambda part: self._first_tokens(self._patches(part)), image, self._n_bytes)
        found: dict[int, Tensor] = {}
        for index, stage in enumerate(self.stages[: max(wanted) + 1]):
            assert isinstance(stage, Stage)
            tokens = stage(tokens)
            if index in wanted:
                exact = stage.in_image(tokens)
                if self._stage_dtype is not None:
                    exact = exact.float()
                found[index] = self._unfold(self.norm(exact) if index == len(self.stages) - 1 else exact)
        return tuple(found[index] for index in wanted)

    def _patches(self, image: Tensor) -> Tensor:
        """Embed patches, (n, 1, side, side) to (n, height, width, dim).

        A convolution as one matrix product, whose result needs no transposing.
        """
        conv, config = self.patches, self.config
        padding = (config.patch_size - config.patch_stride) // 2
        pieces = functional.unfold(image, config.patch_size, padding=padding, stride=config.patch_stride)
        embedded = functional.linear(pieces.transpose(1, 2), conv.weight.flatten(1), conv.bias)
        side = config.image_size // config.patch_stride
        return embedded.view(len(image), side, side, config.width)

    def _fused_patches(self, image: Tensor, is_longer: Tensor, local_views: Tensor) -> Tensor:
        """Embed patches, those of the longer clips fused with their local views."""
        assert self.fusion is not None
        fusion = self.fusion
        patches = self._patches(image).clone()
        whole = patches[is_longer].permute(0, 3, 1, 2)

        def fuse(part: Tensor) -> Tensor:
            fused: Tensor = fusion(whole[part], self._image(local_views[part]))
            return fused.permute(0, 2, 3, 1)

        numbers = torch.arange(len(whole), device=whole.device)
        patches[is_longer] = in_parts(fuse, numbers, self._n_bytes)
        return patches

    @property
    def _n_bytes(self) -> int:
        """Of one clip's patches in float32."""
        side = self.config.image_size // self.config.patch_stride
        return 4 * self.config.width * side**2

    def _first_tokens(self, patches: Tensor) -> Tensor:
        """Normalise patches and make a row of them, as the first stage wants them."""
        normed: Tensor = self.patch_norm(patches)
        return normed.flatten(1, 2).to(self._stage_dtype or normed.dtype)

    def _unfold(self, tokens: Tensor) -> Tensor:
        """Undo `_image`'s folding: (n_clips, height, width, dim) to (n_clips, dim, n_bands, n_steps)."""
        n_clips, height, width, dim = tokens.shape
        n_bands = height // self.config.freq_ratio
        pieces = tokens.view(n_clips, self.config.freq_ratio, n_bands, width, dim)
        return pieces.permute(0, 4, 2, 1, 3).flatten(3)

    def forward(
        self, view: Tensor, is_longer: Tensor | None = None, local_views: Tensor | None = None
    ) -> Tensor:
        """Return embeddings, the mean of the last stage's tokens; float Tensor (n_clips, embedding_dim)."""
        (tokens,) = self.tokens(view, is_longer, local_views)
        return tokens.mean((2, 3))

    def _image(self, views: Tensor) -> Tensor:
        """Normalise bands, stretch to the image's frames, fold time: (n, c, t, m) to (n, c, side, side)."""
        n_frames, n_mels = views.shape[2:]
        if n_mels != self.config.n_mels or n_frames > self.config.n_frames:
            raise FeatureError(
                f"this encoder takes up to {self.config.n_frames} frames of {self.config.n_mels} bands; "
                f"got {n_frames} of {n_mels}"
            )
        views = self.mel_norm(views.transpose(1, 3)).transpose(1, 3)
        if n_frames < self.config.n_frames:
            size = (self.config.n_frames, n_mels)
            views = functional.interpolate(views, size, mode="bicubic", align_corners=True)
        n_clips, n_views = views.shape[:2]
        pieces = views.reshape(n_clips, n_views, self.config.freq_ratio, self.config.image_size, n_mels)
        return pieces.transpose(3, 4).flatten(2, 3)


def _stages(config: HTSATConfig) -> list[Stage]:
    side, dim = config.image_size // config.patch_stride, config.width
    stages: list[Stage] = []
    order = torch.arange(side * side, device="cpu")
    for n_heads, depth in zip(config.n_heads, config.depths, strict=True):
        stages.append(Stage(dim, n_heads, depth, side, config.window_size, config.mlp_ratio, order))
        order, side, dim = stages[-1].order, side // 2, 2 * dim
    return stages


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
