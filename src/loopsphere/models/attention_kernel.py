"""Attention in bfloat16 by compiled code: `attention_kernel.c`, if it was built and the processor fits."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor


def has_kernel(area: int, width: int) -> bool:
    """Tell whether `attend` works here for windows of `area` tokens and heads of `width` channels."""
    library = _library()
    return library is not None and bool(library.loopsphere_can_attend(area, width))


def attend(qkv: Tensor, bias: Tensor, n_heads: int) -> Tensor:
    """Return softmax attention inside windows: scores and sums in float32, weights rounded to bfloat16.

    Parameters
    ----------
    qkv : bfloat16 Tensor of shape (n_windows * area, 3 * dim)
        Queries, keys and values of all heads; on the CPU, the windows one after another.
    bias : bfloat16 Tensor of shape (n_bias_windows * n_heads, area, area)
        Of key and query, added to the scores. The windows of a clip have one each, or all have the same.
    n_heads : int

    Returns
    -------
    mixed : bfloat16 Tensor of shape (n_windows * area, dim)

    Raises
    ------
    ValueError
        There is no kernel for this shape, or it is no such Tensor.
    """
    area, dim = bias.shape[-1], qkv.shape[1] // 3
    width, n_windows = dim // n_heads, len(qkv) // area
    as_described = (
        all(part.dtype == torch.bfloat16 and part.device.type == "cpu" for part in (qkv, bias))
        and qkv.shape == (n_windows * area, 3 * n_heads * width)
        and bias.shape[1:] == (area, area)
        and len(bias) % n_heads == 0
        and n_windows % (len(bias) // n_heads) == 0
    )
    if not (as_described and has_kernel(area, width)):
        raise ValueError(f"no attention kernel for {tuple(qkv.shape)} and a bias of {tuple(bias.shape)}")
    library = _library()
    assert library is not None
    qkv, bias = qkv.contiguous(), bias.contiguous()
    mixed = torch.empty(len(qkv), dim, dtype=torch.bfloat16, device="cpu")
    library.loopsphere_attend(
        *(part.data_ptr() for part in (qkv, bias, mixed)),
        *(n_windows, len(bias) // n_heads, n_heads, area, width),
        *(torch.get_num_threads(), _parallel()),
    )
    return mixed


@cache
def _library() -> ctypes.CDLL | None:
    spec = find_spec("loopsphere.models._attention_kernel")
    if spec is None or spec.origin is None:
        return None
    try:
        library = ctypes.CDLL(spec.origin)
    except OSError:  # compiled for another machine
        return None
    library.loopsphere_can_attend.argtypes = [ctypes.c_int] * 2
    pointers, counts = [ctypes.c_void_p] * 3, [ctypes.c_long] * 3
    sizes = [ctypes.c_int] * 2
    library.loopsphere_attend.argtypes = [*pointers, *counts, *sizes, ctypes.c_uint, ctypes.c_void_p]
    library.loopsphere_attend.restype = None
    return library


@cache
def _parallel() -> ctypes.c_void_p | None:
    """Return what starts a parallel region in the OpenMP that torch runs on; None where that is not GNU's."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p)
    except (OSError, AttributeError):
        return None
