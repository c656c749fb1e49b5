"""What the encoder is asked in training."""

from __future__ import annotations

import numpy as np
import torch
from pretraining.objective import Heads, Labels, losses
from pretraining.pool import TAUGHT_DIM, Item

NO_STATISTICS = torch.stack([torch.zeros(TAUGHT_DIM), torch.ones(TAUGHT_DIM)])


def _item(instrument: str, family: str, taught: np.ndarray | None) -> Item:
    return Item(0, ((0, 1),), 1.0, instrument, family, 120.0, None, (1.0, 1.0, 1.0, 0.5, 0.0), (), taught)


def _items(n_items: int, *, taught: bool) -> tuple[Item, ...]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n_items, TAUGHT_DIM)).astype(np.float16)
    names = [("fender", "bass") if index % 2 else ("rhodes", "keys") for index in range(n_items)]
    return tuple(_item(*name, row if taught else None) for name, row in zip(names, rows, strict=True))


def _terms(embedding: torch.Tensor, items: tuple[Item, ...]) -> dict[str, torch.Tensor]:
    labels = Labels(["fender", "rhodes"], ["bass", "keys"], NO_STATISTICS)
    torch.manual_seed(0)
    heads = Heads(embedding.shape[1], labels)
    return losses(heads(embedding), labels(items))


def test_loops_that_no_teacher_heard_ask_for_nothing() -> None:
    embedding = torch.randn(16, 32, requires_grad=True)
    assert _terms(embedding, _items(8, taught=False))["teacher"].item() == 0.0


def test_every_term_is_finite_and_reaches_the_embedding() -> None:
    embedding = torch.randn(16, 32, requires_grad=True)
    for name, term in _terms(embedding, _items(8, taught=True)).items():
        if name == "chroma":  # these items have no pitch
            continue
        (gradient,) = torch.autograd.grad(term, embedding, retain_graph=True)
        assert torch.isfinite(term), name
        assert gradient.abs().sum() > 0, name
