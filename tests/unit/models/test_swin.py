"""The order of tokens, and that bfloat16 on the CPU computes what torch's own layers do."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from loopsphere.models import swin
from loopsphere.models.swin import Linear, PatchMerging, Stage, quarters, window_order
from random_networks import randomise, small_network


def stage(depth: int = 4, side: int = 8) -> Stage:
    """Windows of 4 x 4 tokens, two heads; every weight random."""
    return randomise(Stage(16, 2, depth, side, 4, 2.0, torch.arange(side * side)), seed=0)


@pytest.mark.parametrize("shift", [0, 2])
def test_windows_lie_one_after_another(shift: int) -> None:
    image = torch.arange(64).view(8, 8)
    windows = image.flatten()[window_order(8, 4, shift)].view(2, 2, 4, 4)
    rolled = image.roll((-shift, -shift), (0, 1))
    for row in range(2):
        for column in range(2):
            expected = rolled[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert windows[row, column].equal(expected)


def test_four_neighbours_become_one() -> None:
    """In Swin's order: down first, then to the right."""
    order = window_order(4, 2, 0)
    image = torch.arange(64).view(8, 8)
    found = image.flatten()[quarters(order, 4)].view(16, 4)
    for place, four in zip(order.tolist(), found.tolist(), strict=True):
        corner = image[2 * (place // 4) :, 2 * (place % 4) :]
        assert four == [corner[0, 0], corner[1, 0], corner[0, 1], corner[1, 1]]


def test_patch_merging_takes_four_neighbours() -> None:
    merging = PatchMerging(4, quarters(torch.arange(9), 3))
    tokens = torch.randn(1, 6, 6, 4)
    changed = tokens.clone()
    changed[:, 2:4, 2:4] += torch.randn(2, 2, 4)
    with torch.inference_mode():
        difference = merging(changed.flatten(1, 2)) - merging(tokens.flatten(1, 2))
    assert difference.abs().sum(-1)[0].nonzero().ravel().tolist() == [4]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_token_is_heard_inside_the_windows_around_it(depth: int) -> None:
    """A change in the corner reaches its window, and what shifted windows carry on, but never wraps round."""
    network = stage(depth)
    tokens, other = torch.randn(2, 1, 64, 16, generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[0, 0] = other[0, 0]
    with torch.inference_mode():
        difference = network.in_image(network(changed)) - network.in_image(network(tokens))
    moved = difference[0].abs().sum(-1) > 1e-6
    reach = {1: 4, 2: 6, 3: 8}[depth]
    assert moved[0, 0]
    assert moved[:reach, :reach].sum() == moved.sum()
    assert moved[reach - 1].any() and moved[:, reach - 1].any()


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_rows", [1, 70, 3000])
def test_the_fused_linear_layer_is_the_plain_one(gelu: bool, bias: bool, n_rows: int) -> None:
    layer = randomise(Linear(96, 40, bias=bias), seed=0)
    rows = torch.randn(n_rows, 96, generator=torch.Generator().manual_seed(1)).bfloat16()
    layer.bfloat16().pack()
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 on this processor")
    assert layer.packed is not None
    exact = functional.linear(rows.float(), layer.weight.float(), layer.bias.float() if bias else None)
    with torch.inference_mode():
        fused = layer(rows, gelu=gelu)
        assert layer(rows[:1], gelu=gelu).equal(fused[:1])
    exact = (functional.gelu(exact) if gelu else exact).detach()
    assert fused.dtype == torch.bfloat16
    torch.testing.assert_close(fused.float(), exact, rtol=2**-8, atol=1e-4)


def test_a_torch_without_the_fused_layer_gets_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    view = 10 * torch.randn(2, 201, 16, generator=torch.Generator().manual_seed(0)) - 40
    fused, plain = small_network(), small_network()
    fused.run_stages_in(torch.bfloat16)
    monkeypatch.setattr(swin, "has_onednn", lambda *wanted: False)
    plain.run_stages_in(torch.bfloat16)
    with torch.inference_mode():
        assert functional.cosine_similarity(fused(view), plain(view)).min() > 0.9999


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_how_many_clips_a_stage_takes_at_once_does_not_count(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, tokens = stage().to(dtype), torch.randn(5, 64, 16).to(dtype)
    with torch.inference_mode():
        together = network(tokens)
        monkeypatch.setattr(swin, "_BYTES_AT_ONCE", 2 * tokens[0].nbytes)
        assert network(tokens).equal(together)


def test_bfloat16_can_be_trained() -> None:
    network, tokens = stage().bfloat16().train(), torch.randn(2, 64, 16).bfloat16()
    network(tokens).float().square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
