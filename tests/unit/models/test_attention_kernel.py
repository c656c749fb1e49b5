"""The compiled attention against torch's own, in float32."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from loopsphere.models import attention_kernel
from loopsphere.models.attention_kernel import attend, has_kernel
from loopsphere.models.htsat import HTSAT, HTSAT_LOOPS
from loopsphere.models.swin import WindowAttention
from random_networks import randomise

SHAPES = [(8, 24), (8, 32), (8, 16), (4, 16)]
"""Side of a window and width of a head: those of HTSAT-tiny, HTSAT-base and the bundled encoder."""

CAN_RUN = has_kernel(64, 24)
needs_kernel = pytest.mark.skipif(not CAN_RUN, reason="no AVX512-BF16 here, or the kernel was not compiled")


def attention_and_tokens(
    window: int, width: int, shift: int, level: float
) -> tuple[WindowAttention, torch.Tensor]:
    """Three heads, four windows a clip, three clips."""
    layer = randomise(WindowAttention(3 * width, 3, 2 * window, window, shift), seed=shift)
    tokens = torch.randn(3, 4 * window**2, 3 * width, generator=torch.Generator().manual_seed(0))
    return layer, (level * tokens).bfloat16()


@needs_kernel
@pytest.mark.parametrize("level", [0.1, 2.0, 30.0])
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("window", "width"), SHAPES)
def test_the_kernel_is_torchs_attention(window: int, width: int, shift: int, level: float) -> None:
    layer, tokens = attention_and_tokens(window, width, shift, level)
    layer.bfloat16()
    with torch.inference_mode():
        by_torch = layer(tokens, layer.bias(tokens)).float()
        layer.pack()
        ours = layer(tokens, layer.bias(tokens)).float()
        layer.float()
        exact = layer(tokens.float(), layer.bias(tokens.float()))
    error, usual = (ours - exact).norm(), (by_torch - exact).norm()
    assert 0 < error < 1.1 * usual


@needs_kernel
@pytest.mark.parametrize(("window", "width"), SHAPES)
def test_the_kernel_alone_rounds_once(window: int, width: int) -> None:
    """Before and behind it there are linear layers; without them the result is that of float32, rounded."""
    area, generator = window**2, torch.Generator().manual_seed(0)
    qkv = (2 * torch.randn(6 * area, 3 * 3 * width, generator=generator)).bfloat16()
    bias = torch.randn(2 * 3, area, area, generator=generator).bfloat16()
    query, key, value = qkv.float().view(3, 2, area, 3, 3, width).permute(3, 0, 1, 4, 2, 5)
    scores = query @ key.mT * width**-0.5 + bias.float().view(2, 3, area, area).mT
    exact = (scores.softmax(-1) @ value).transpose(2, 3).reshape(6 * area, -1)
    # Weights and results are rounded to 8 bits; so a mix of values has at most these errors.
    torch.testing.assert_close(
        attend(qkv, bias, 3).float(), exact, rtol=2**-8, atol=2**-9 * value.abs().max()
    )


@needs_kernel
def test_threads_batches_and_repeats_give_the_same() -> None:
    layer, tokens = attention_and_tokens(8, 24, 4, 2.0)
    layer.bfloat16().pack()
    with torch.inference_mode():
        bias = layer.bias(tokens)
        together = layer(tokens, bias)
        assert torch.cat([layer(one, bias) for one in tokens.split(1)]).equal(together)
        before = torch.get_num_threads()
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            assert layer(tokens, bias).equal(together)
        torch.set_num_threads(before)


def test_a_library_of_another_machine_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "_attention_kernel.so"
    foreign.write_bytes(b"MZ, of no use here")
    monkeypatch.setattr(attention_kernel, "find_spec", lambda name: SimpleNamespace(origin=str(foreign)))
    attention_kernel._library.cache_clear()
    assert not has_kernel(64, 24)
    attention_kernel._library.cache_clear()


@needs_kernel
def test_what_is_no_number_stays_none() -> None:
    qkv, bias = torch.ones(2 * 64, 3 * 24).bfloat16(), torch.zeros(1, 64, 64).bfloat16()
    qkv[5, 0] = torch.nan
    mixed = attend(qkv, bias, 1)
    assert mixed[5].isnan().all() and mixed[:64].isnan().any(1).sum() == 1
    assert mixed[64:].equal(torch.ones(64, 24).bfloat16())


@needs_kernel
@pytest.mark.parametrize(
    ("qkv", "bias", "n_heads"),
    [
        (torch.zeros(64, 72), torch.zeros(1, 64, 64).bfloat16(), 1),
        (torch.zeros(64, 72).bfloat16(), torch.zeros(1, 64, 64), 1),
        (torch.zeros(63, 72).bfloat16(), torch.zeros(1, 64, 64).bfloat16(), 1),
        (torch.zeros(64, 71).bfloat16(), torch.zeros(1, 64, 64).bfloat16(), 1),
        (torch.zeros(64, 72).bfloat16(), torch.zeros(1, 64, 32).bfloat16(), 1),
        (torch.zeros(64, 72).bfloat16(), torch.zeros(2, 64, 64).bfloat16(), 1),
        (torch.zeros(64, 72).bfloat16(), torch.zeros(1, 64, 64).bfloat16(), 2),
        (torch.zeros(32, 72).bfloat16(), torch.zeros(1, 32, 32).bfloat16(), 1),
    ],
)
def test_other_shapes_and_types_never_reach_it(qkv: torch.Tensor, bias: torch.Tensor, n_heads: int) -> None:
    with pytest.raises(ValueError, match="no attention kernel for"):
        attend(qkv, bias, n_heads)


def test_without_the_kernel_embeddings_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that could not compile it: torch does all of HTSAT-loops."""
    view = 10 * torch.randn(2, 512, 128, generator=torch.Generator().manual_seed(0)) - 40
    usual, without = (randomise(HTSAT(HTSAT_LOOPS), seed=0) for _ in range(2))
    usual.run_stages_in(torch.bfloat16)
    attention_kernel._library.cache_clear()
    monkeypatch.setattr(attention_kernel, "find_spec", lambda name: None)
    without.run_stages_in(torch.bfloat16)
    assert not has_kernel(64, 16)
    monkeypatch.undo()
    attention_kernel._library.cache_clear()
    with torch.inference_mode():
        usual, without = usual(view), without(view)
    assert usual.equal(without) != CAN_RUN
    assert torch.nn.functional.cosine_similarity(usual, without).min() > 0.9999
