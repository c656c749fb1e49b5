"""What the encoder is asked: labels that rendering gives for free, and to ignore what a listener would."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pretraining.pool import FX, REGRESSED, TAUGHT_DIM, Item

TEMPO_HZ = np.geomspace(50.0, 220.0, 48)  # centres of the tempo classes in BPM, 3 % apart
_TEMPERATURE = 0.1
WEIGHTS = {
    "instrument": 1.0,
    "family": 0.5,
    "tempo": 0.15,
    "chroma": 0.5,
    "regressed": 0.5,
    "fx": 0.5,
    "contrast": 0.5,
    "invariance": 0.5,
    "teacher": 1.0,
}


class Labels:
    """Turn items into target tensors.

    Parameters
    ----------
    instruments, families : list of str
        The classes; an instrument that is not among them is not asked for.
    taught : Tensor of shape (2, 200)
        Mean and standard deviation of what the teacher makes of the pool's loops.
    """

    def __init__(self, instruments: list[str], families: list[str], taught: Tensor) -> None:
        self.instruments = instruments
        self.families = families
        self.taught = taught
        self._instrument = {name: index for index, name in enumerate(instruments)}
        self._family = {name: index for index, name in enumerate(families)}

    def __call__(self, items: tuple[Item, ...]) -> dict[str, Tensor]:
        """Return one tensor a term, one row an item; NaN or -100 where an item has no such label."""
        octaves = np.log2(np.array([[item.bpm] for item in items]) / TEMPO_HZ)
        tempo = np.exp(-0.5 * (octaves / 0.04) ** 2)
        unheard = np.full(TAUGHT_DIM, np.nan, dtype=np.float16)
        taught = np.array([unheard if item.taught is None else item.taught for item in items])
        chroma = np.array([item.chroma or [np.nan] * 12 for item in items], dtype=np.float32)
        return {
            "instrument": torch.tensor([self._instrument.get(item.instrument, -100) for item in items]),
            "family": torch.tensor([self._family[item.family] for item in items]),
            "tempo": torch.from_numpy((tempo / tempo.sum(1, keepdims=True)).astype(np.float32)),
            "chroma": torch.from_numpy(chroma),
            "regressed": torch.tensor([item.regressed for item in items]),
            "fx": torch.tensor([[float(name in item.fx) for name in FX] for item in items]),
            "teacher": (torch.from_numpy(taught).float() - self.taught[0]) / self.taught[1],
        }


class Heads(nn.Module):
    """Linear read-outs of an embedding, and the projection in which loops are told apart.

    Shape
    -----
    embedding : (n_views, embedding_dim)
    """

    def __init__(self, embedding_dim: int, labels: Labels) -> None:
        super().__init__()
        sizes = {
            "instrument": len(labels.instruments),
            "family": len(labels.families),
            "tempo": len(TEMPO_HZ),
            "chroma": 12,
            "regressed": len(REGRESSED),
            "fx": len(FX),
            "teacher": TAUGHT_DIM,
        }
        self.norm = nn.BatchNorm1d(embedding_dim, affine=False)
        self.readouts = nn.ModuleDict({name: nn.Linear(embedding_dim, size) for name, size in sizes.items()})
        self.projection = nn.Sequential(nn.Linear(embedding_dim, 256), nn.GELU(), nn.Linear(256, 128))

    def forward(self, embedding: Tensor) -> dict[str, Tensor]:
        """Return one output a term, (n_views, size of the term)."""
        embedding = self.norm(embedding)
        return {
            **{name: readout(embedding) for name, readout in self.readouts.items()},
            "contrast": self.projection(embedding),
            "invariance": embedding,
        }


def losses(output: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return each term's loss; `output` has two rows for each of `target`, all first views first."""
    twice = {name: torch.cat([value, value]) for name, value in target.items()}
    first, second = output["invariance"].chunk(2)
    return {
        "instrument": functional.cross_entropy(
            output["instrument"], twice["instrument"], label_smoothing=0.05
        ),
        "family": functional.cross_entropy(output["family"], twice["family"]),
        "tempo": _soft_label_loss(output["tempo"], twice["tempo"]),
        "chroma": _soft_label_loss(output["chroma"], twice["chroma"]),
        "regressed": _regression_loss(output["regressed"], twice["regressed"]),
        "fx": functional.binary_cross_entropy_with_logits(output["fx"], twice["fx"]),
        "contrast": _contrast_loss(output["contrast"]),
        "invariance": (first - second).square().mean(),
        "teacher": _regression_loss(output["teacher"], twice["teacher"]),
    }


def _soft_label_loss(logits: Tensor, shares: Tensor) -> Tensor:
    known = ~shares.isnan().any(1)
    return functional.cross_entropy(logits[known], shares[known])


def _regression_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    known = ~wanted.isnan()
    if not known.any():
        return predicted.new_zeros(())
    return functional.smooth_l1_loss(predicted[known], wanted[known])


def _contrast_loss(projected: Tensor) -> Tensor:
    """Tell a loop's other view from the batch's other loops (NT-Xent; Chen et al. 2020, arXiv 2002.05709)."""
    unit = functional.normalize(projected, dim=1)
    similarity = unit @ unit.T / _TEMPERATURE
    similarity.fill_diagonal_(-torch.inf)
    n_loops = len(projected) // 2
    partner = torch.arange(2 * n_loops).roll(n_loops)
    return functional.cross_entropy(similarity, partner)
