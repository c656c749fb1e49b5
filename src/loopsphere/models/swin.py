"""Stages of a Swin transformer: attention inside square windows, shifted by half in every second block.

Norms, linear layers and sums treat each token alone, so tokens need not lie in the order of the image. Here
they lie in the order in which attention wants them: window after window, row after row inside a window. Only
where the next block's windows lie elsewhere are they moved, by one gather; and the gather that brings four
neighbours together for patch merging puts them into the windows of the next stage as well. An order is an
integer Tensor that tells the place in the image, counted row by row, of each token.

Where nothing is learnt, a stage takes few clips at once, so that what one layer hands to the next stays in
the processor's cache, and bfloat16 on the CPU has ways of its own (`_is_plain_bfloat16`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from loopsphere.models.attention_kernel import attend, has_kernel
from loopsphere.models.onednn import ROWS, has_onednn

_MASKED = -100.0  # Swin's value for pairs that a shifted window must keep apart
_BYTES_AT_ONCE = 3 * 2**20
"""Of tokens that are worked on together; a few times this is alive at any time."""


def window_order(side: int, window: int, shift: int) -> Tensor:
    """Return the order of windows that begin `shift` tokens down and to the right, (side²,).

    What the shift pushes over an edge comes in at the other (Liu et al. 2021, arXiv 2103.14030, section 3.2).
    """
    # Always computed, also where the network is made without memory, on the meta device.
    image = torch.arange(side * side, device="cpu").view(side, side).roll((-shift, -shift), (0, 1))
    n_windows = side // window
    return image.view(n_windows, window, n_windows, window).transpose(1, 2).flatten()


def quarters(order: Tensor, side: int) -> Tensor:
    """Return where the four tokens lie that become each token of an image of that side, (4 * side²,)."""
    row, column = order // side, order % side
    first = 2 * row * 2 * side + 2 * column
    return torch.stack([first, first + 2 * side, first + 1, first + 2 * side + 1], dim=1).flatten()


def in_parts(work: Callable[[Tensor], Tensor], clips: Tensor, n_bytes: int) -> Tensor:
    """Return `work(clips)`, done for few clips at once on the CPU where nothing is learnt.

    Parameters
    ----------
    work : callable
        Treats each clip alone.
    clips : Tensor of shape (n_clips, ...)
    n_bytes : int
        Of one clip's tokens.
    """
    if clips.device.type != "cpu" or torch.is_grad_enabled():
        return work(clips)
    parts = [work(part) for part in torch.split(clips, max(1, _BYTES_AT_ONCE // n_bytes))]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


class Linear(nn.Linear):
    """A linear layer for rows, with GELU behind it if asked for.

    oneDNN adds the bias and, in bfloat16, applies GELU while it writes the product, and reads weights faster
    in an order of its own; torch offers that to its compiler only, so there is a plain way beside it.
    """

    packed: Tensor | None = None

    def pack(self) -> None:
        """Keep the weights, which are final now, in oneDNN's order too, if this layer will run in it."""
        if self.weight.device.type == "cpu" and has_onednn(self.weight.dtype):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), ROWS)

    def forward(self, rows: Tensor, *, gelu: bool = False) -> Tensor:
        """Return (n, out_features) of (n, in_features)."""
        if self.packed is None or torch.is_grad_enabled():
            product = super().forward(rows)
            return functional.gelu(product) if gelu else product
        # In float32 torch's GELU is the faster one where processors have AVX2 alone.
        is_fused = gelu and rows.dtype == torch.bfloat16
        product = torch.ops.mkldnn._linear_pointwise(
            rows, self.packed, self.bias, "gelu" if is_fused else "none", [], "none"
        )
        return functional.gelu(product) if gelu and not is_fused else product


class WindowAttention(nn.Module):
    """Multi-head self-attention inside square windows, with a learnt bias for relative position.

    Parameters
    ----------
    dim, n_heads : int
        Channels and heads.
    side : int
        Of the token map.
    window : int
        Side of a window, in tokens.
    shift : int
        By how many tokens the windows are shifted.

    Shape
    -----
    tokens, output : (n_clips, side², dim), in the order of the windows
    bias : as `bias` returns it
    """

    packed_bias: Tensor | None = None

    def __init__(self, dim: int, n_heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.n_heads, self.width = n_heads, dim // n_heads
        self.area = window * window
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        self.position_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, n_heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.register_buffer("position_index", _position_index(window), persistent=False)
        self.register_buffer("shift_mask", _shift_mask(side, window, shift), persistent=False)

    def pack(self) -> None:
        """Keep the bias, of which the weights are final now, as the kernel wants it: keys before queries."""
        with torch.no_grad():
            if _is_plain_bfloat16(self.position_bias) and has_kernel(self.area, self.width):
                self.packed_bias = self._bias().mT.contiguous()

    def bias(self, tokens: Tensor) -> Tensor:
        """Return what is added to the scores of these tokens, (n_heads, area, area) of query and key.

        Shifted windows differ in it: then (n_windows * n_heads, area, area). Where the kernel will run, keys
        come before queries.
        """
        if self.packed_bias is not None and _is_plain_bfloat16(tokens):
            return self.packed_bias
        return self._bias().to(tokens.dtype)

    def _bias(self) -> Tensor:
        assert isinstance(self.position_index, Tensor)
        bias = self.position_bias[self.position_index].permute(2, 0, 1).contiguous()
        if isinstance(self.shift_mask, Tensor):
            bias = (bias + self.shift_mask[:, None]).flatten(0, 1)
        return bias

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Return the tokens, each a mix of those in its window."""
        # Two axes for linear layers: with more, bfloat16 takes a slow path.
        qkv = self.qkv(tokens.flatten(0, 1))
        by_kernel = bias is self.packed_bias
        mixed: Tensor = self.proj(attend(qkv, bias, self.n_heads) if by_kernel else self._attend(qkv, bias))
        return mixed.view(tokens.shape)

    def _attend(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """Do what the kernel does, by torch."""
        n_windows = len(bias) // self.n_heads
        parts = qkv.view(-1, n_windows, self.area, 3, self.n_heads, self.width)
        # Windows that differ in their bias share an axis with the heads: one bias serves all clips.
        query, key, value = parts.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        attended = functional.scaled_dot_product_attention(query, key, value, bias[None])
        attended = attended.view(-1, n_windows, self.n_heads, self.area, self.width)
        return attended.transpose(2, 3).reshape(len(qkv), -1)


def _is_plain_bfloat16(tokens: Tensor) -> bool:
    """Tell whether these are bfloat16 on a CPU and no gradients are wanted.

    torch's ways for all cases are slow there.
    """
    return tokens.dtype == torch.bfloat16 and tokens.device.type == "cpu" and not torch.is_grad_enabled()


def _position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of tokens in a window, (window², window²)."""
    axis = torch.arange(window, device="cpu")
    coordinates = torch.cartesian_prod(axis, axis)
    offset = coordinates[:, None] - coordinates[None, :] + window - 1
    return offset[..., 0] * (2 * window - 1) + offset[..., 1]


def _shift_mask(side: int, window: int, shift: int) -> Tensor | None:
    """0 where two tokens of a shifted window are neighbours, `_MASKED` where the shift wrapped one."""
    if shift == 0:
        return None
    shifted = window_order(side, window, shift).view(-1, window * window)
    wrapped = (shifted // side < shift).int() * 2 + (shifted % side < shift).int()
    return (wrapped[:, None, :] != wrapped[:, :, None]) * _MASKED


class Block(nn.Module):
    """Attention and a two-layer perceptron, each normalised before and added to its input.

    Parameters
    ----------
    dim, n_heads, side, window, shift
        As for `WindowAttention`.
    hidden : int
        Channels inside the perceptron.
    moves : integer Tensor of shape (side²,) or None
        Where to find each token of this block's windows among those that come in, if not at its place.

    Shape
    -----
    tokens : (n_clips, side², dim), in the order of the block before
    output : the same, in the order of this block's windows
    """

    def __init__(
        self, dim: int, n_heads: int, side: int, window: int, shift: int, hidden: int, moves: Tensor | None
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, n_heads, side, window, shift)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(Linear(dim, hidden), nn.GELU(), Linear(hidden, dim))
        self.register_buffer("moves", moves, persistent=False)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Return the tokens after attention and perceptron."""
        if isinstance(self.moves, Tensor):
            tokens = tokens.index_select(1, self.moves)
        tokens = tokens + self.attention(self.norm1(tokens), bias)
        widen, _, narrow = self.mlp
        hidden = widen(self.norm2(tokens).flatten(0, 1), gelu=True)
        processed: Tensor = narrow(hidden)
        return tokens + processed.view(tokens.shape)


class PatchMerging(nn.Module):
    """Halve height and width: four neighbours become one token of twice the channels.

    Parameters
    ----------
    dim : int
        Channels before.
    moves : integer Tensor of shape (n_tokens,)
        Where to find the four neighbours of each new token among the tokens that come in.

    Shape
    -----
    tokens : (n_clips, n_tokens, dim)
    output : (n_clips, n_tokens // 4, 2 * dim)
    """

    def __init__(self, dim: int, moves: Tensor) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = Linear(4 * dim, 2 * dim, bias=False)
        self.register_buffer("moves", moves, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return a quarter of the tokens."""
        assert isinstance(self.moves, Tensor)
        n_clips, n_tokens, dim = tokens.shape
        joined = self.norm(tokens.index_select(1, self.moves).view(-1, 4 * dim))
        merged: Tensor = self.reduction(joined)
        return merged.view(n_clips, n_tokens // 4, 2 * dim)


class Stage(nn.Sequential):
    """Patch merging, unless the tokens are few enough, and blocks.

    Parameters
    ----------
    dim, n_heads, depth : int
        Channels, heads, and blocks; every second block is shifted.
    side : int
        Of the token map.
    window_size : int
        A map that is no larger is one window.
    mlp_ratio : float
    order : integer Tensor of shape (side²,) or (4 * side²,)
        In which the tokens come in.

    Shape
    -----
    tokens : (n_clips, side², dim) or (n_clips, 4 * side², dim // 2)
    output : (n_clips, side², dim), in the order of the last block's windows; see `in_image`
    """

    def __init__(
        self, dim: int, n_heads: int, depth: int, side: int, window_size: int, mlp_ratio: float, order: Tensor
    ) -> None:
        window = min(window_size, side)
        merging: list[nn.Module] = []
        if len(order) > side * side:
            merged = window_order(side, window, shift=0)
            merging, order = [PatchMerging(dim // 2, order.argsort()[quarters(merged, side)])], merged
        blocks = []
        for index in range(depth):
            shift = window // 2 if index % 2 and side > window else 0
            wanted = window_order(side, window, shift)
            moves = None if wanted.equal(order) else order.argsort()[wanted]
            blocks.append(Block(dim, n_heads, side, window, shift, int(mlp_ratio * dim), moves))
            order = wanted
        super().__init__(*merging, *blocks)
        self.order = order
        self.register_buffer("_back", order.argsort(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens after all blocks."""
        biases = [module.bias(tokens) for module in self.modules() if isinstance(module, WindowAttention)]
        return in_parts(lambda part: self._run(part, biases), tokens, tokens[0].nbytes)

    def _run(self, tokens: Tensor, biases: Sequence[Tensor]) -> Tensor:
        bias = iter(biases)
        for module in self:
            tokens = module(tokens, next(bias)) if isinstance(module, Block) else module(tokens)
        return tokens

    def in_image(self, tokens: Tensor) -> Tensor:
        """Put this stage's tokens into the order of the image, (n_clips, side, side, dim)."""
        assert isinstance(self._back, Tensor)
        side = round(len(self._back) ** 0.5)
        return tokens.index_select(1, self._back).view(len(tokens), side, side, -1)
