"""Whether torch's private ways to oneDNN are there; `swin` and `yamnet` have a plain way beside each."""

from __future__ import annotations

from functools import cache

import torch

ROWS = 1024
"""About how many go through a linear layer at once: what `_reorder_linear_weight` wants to know."""
_NEEDED = (
    "_convolution_pointwise",
    "_is_mkldnn_bf16_supported",
    "_linear_pointwise",
    "_reorder_convolution_weight",
    "_reorder_linear_weight",
)


@cache
def has_onednn(dtype: torch.dtype) -> bool:
    """Tell whether this torch has the operations of oneDNN, and a processor for them in `dtype`."""
    return all(hasattr(torch.ops.mkldnn, name) for name in _NEEDED) and (
        dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
