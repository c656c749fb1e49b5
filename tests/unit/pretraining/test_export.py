"""What is exported of a training run."""

from __future__ import annotations

import torch
from pretraining.export import standardise

from loopsphere.models.htsat import HTSAT, HTSAT_LOOPS


def test_exported_embeddings_have_mean_0_and_variance_1() -> None:
    torch.manual_seed(0)
    network = HTSAT(HTSAT_LOOPS).eval()
    views = torch.randn(12, 512, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        standardise(network, network(views, torch.zeros(12, dtype=torch.bool), None))
        embedding = network(views, torch.zeros(12, dtype=torch.bool), None)
    assert torch.allclose(embedding.mean(0), torch.zeros(256), atol=1e-3)
    assert torch.allclose(embedding.std(0), torch.ones(256), atol=1e-3)
