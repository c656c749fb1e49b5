"""Whether torch's private ways to oneDNN are there; `swin` and `yamnet` have a plain way beside each."""

from __future__ import annotations

from functools import cache

import torch


@cache
def has_onednn(dtype: torch.dtype, *names: str) -> bool:
    """Tell whether this torch has operations of oneDNN, and a processor for them in `dtype`."""
    needed = (*names, "_is_mkldnn_bf16_supported")
    return all(hasattr(torch.ops.mkldnn, name) for name in needed) and (
        dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
