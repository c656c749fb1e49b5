"""The network's shapes, what it attends to, and that it can be trained."""

from __future__ import annotations

import pytest
import torch

from loopsphere.errors import FeatureError
from loopsphere.models.ffm import AttentionalFeatureFusion, FeatureFusion
from loopsphere.models.htsat import HTSAT, HTSAT_BASE, HTSAT_LOOPS, HTSAT_TINY, HTSATConfig
from random_networks import SMALL_HTSAT, small_network


def views(*shape: int, seed: int = 0) -> torch.Tensor:
    return 10 * torch.randn(*shape, 201, 16, generator=torch.Generator().manual_seed(seed)) - 40


@pytest.mark.parametrize(
    ("config", "n_frames", "embedding_dim"),
    [(HTSAT_TINY, 1024, 768), (HTSAT_BASE, 1024, 1024), (HTSAT_LOOPS, 512, 8 * HTSAT_LOOPS.width)],
)
def test_derived_sizes(config: HTSATConfig, n_frames: int, embedding_dim: int) -> None:
    assert (config.n_frames, config.embedding_dim) == (n_frames, embedding_dim)


def test_htsat_tiny_has_as_many_weights_as_published() -> None:
    """27.5 M in transformers' and LAION's encoder without heads; fusion adds 0.02 M."""
    with torch.device("meta"):
        n_weights = sum(weight.numel() for weight in HTSAT(HTSAT_TINY).parameters())
    assert 27.4e6 < n_weights < 27.7e6


@pytest.mark.parametrize("n_frames", [1, 100, 256])
def test_tokens_and_their_mean(n_frames: int) -> None:
    network = small_network()
    view = views(3)[:, :n_frames] if n_frames <= 201 else torch.zeros(3, n_frames, 16)
    with torch.inference_mode():
        (tokens,), embedding = network.tokens(view), network(view)
    # 64 pixels / patches of 4 / 2 stages = 8 rows of tokens, folded back by 4.
    assert tokens.shape == (3, 16, 2, 32)
    torch.testing.assert_close(embedding, tokens.mean((2, 3)))


def test_tokens_are_in_the_order_of_time() -> None:
    """A click moves the steps around it, not those at the other end of the clip."""
    network = small_network(fusion=False)
    # A shallow network: deeper ones mix all windows.
    network.stages = network.stages[:1]
    network.norm = torch.nn.Identity()
    quiet = torch.full((1, 256, 16), -80.0)
    for step, frame in enumerate(range(8, 256, 16)):
        click = quiet.clone()
        click[:, frame] = 0.0
        with torch.inference_mode():
            (with_click,), (without,) = network.tokens(click), network.tokens(quiet)
            moved = (with_click - without).abs().sum((0, 1, 2))
        steps = moved.nonzero().ravel()
        assert steps.min() <= 4 * step + 2 <= steps.max()
        assert len(steps) < 64


@pytest.mark.parametrize("shape", [(1, 257, 16), (1, 100, 15)])
def test_other_mels_are_refused(shape) -> None:
    with pytest.raises(FeatureError, match="takes up to 256 frames of 16 bands; got"):
        small_network()(torch.zeros(shape))


def test_long_clips_are_refused_without_fusion() -> None:
    with pytest.raises(FeatureError, match="no feature fusion"):
        small_network(fusion=False)(views(1), torch.tensor([True]), views(1, 3))


def test_only_long_clips_are_fused() -> None:
    network, whole, local = small_network(), views(3), views(1, 3, seed=1)
    with torch.inference_mode():
        plain = network(whole)
        fused = network(whole, torch.tensor([False, True, False]), local)
    torch.testing.assert_close(fused[[0, 2]], plain[[0, 2]])
    assert (fused[1] - plain[1]).abs().max() > 1e-2


@pytest.mark.parametrize("view", [0, 1, 2])
def test_every_local_view_counts(view: int) -> None:
    network, whole, local = small_network(), views(1), views(1, 3, seed=1)
    changed = local.clone()
    changed[:, view] = changed[:, view].flip(1)
    longer = torch.tensor([True])
    with torch.inference_mode():
        assert (network(whole, longer, local) - network(whole, longer, changed)).abs().max() > 1e-3


def test_fusion_keeps_equal_maps() -> None:
    """Both weights sum to one, twice: equal maps come out doubled, whatever the attention says."""
    fusion = AttentionalFeatureFusion(8).eval()
    patches = torch.randn(2, 8, 4, 4)
    with torch.inference_mode():
        torch.testing.assert_close(fusion(patches, patches), 2 * patches)


def test_local_patches_fill_up_the_width() -> None:
    fusion = FeatureFusion(channels=8, patch_size=4, patch_stride=4).eval()
    with torch.inference_mode():
        assert fusion(torch.zeros(1, 8, 16, 16), torch.zeros(1, 3, 64, 64)).shape == (1, 8, 16, 16)


def test_every_weight_has_a_gradient() -> None:
    network = HTSAT(SMALL_HTSAT).train()
    network(views(4), torch.tensor([True, False, True, False]), views(2, 3)).square().sum().backward()
    without = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert without == []


def test_training_fits_a_target() -> None:
    torch.manual_seed(0)
    network = HTSAT(SMALL_HTSAT).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    view, target = views(8), torch.arange(8).float() % 2
    losses = []
    for _ in range(30):
        loss = (network(view)[:, 0] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_norms_keep_their_weights_in_float32_on_the_cpu() -> None:
    """Rounding these to bfloat16 costs more than rounding all others."""
    exact, ours, rounded = small_network(), small_network(), small_network()
    ours.run_stages_in(torch.bfloat16)
    for norm in rounded.stages.modules():
        if isinstance(norm, torch.nn.LayerNorm):
            norm.bfloat16().float()
    rounded.run_stages_in(torch.bfloat16)
    with torch.inference_mode():
        expected, *found = (network(views(4)) for network in (exact, ours, rounded))
    error, usual = ((embedding - expected).norm() for embedding in found)
    assert error < 0.8 * usual
