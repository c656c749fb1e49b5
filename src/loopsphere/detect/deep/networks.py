"""The networks of Deep SVDD and their training. No estimator, no files: tensors in, trained modules out.

All randomness comes from the generator that is passed in; torch's global generator is never touched.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

_COSINE_EPOCHS = 1000

LossFunction = Callable[[Tensor], Tensor]


class SeededDropout(nn.Module):
    """Dropout that draws from its own generator.

    Shape:
        (n_loops, width) -> (n_loops, width)
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate = rate
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """Zero a random `rate` of the cells while training and scale up the rest."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator, device=self.generator.device) >= self.rate
        return x * kept.to(x) / (1.0 - self.rate)


class Perceptron(nn.Module):
    """Linear layers without biases, ELU between them, nothing after the last.

    Parameters
    ----------
    widths : sequence of int
        Input, hidden and output widths.
    generator : torch.Generator
        Draws the weights (uniform, He et al. 2015 as in `torch.nn.Linear`) and the dropout.
    batch_norm : bool
        Normalise before each ELU, with affine parameters.
    dropout : float
        Rate after each ELU.

    Shape:
        (n_loops, widths[0]) -> (n_loops, widths[-1])

    References
    ----------
    Ruff et al. 2018, 'Deep One-Class Classification', ICML, proposition 2: with a bias the network could map
    every input onto the centre, so there is none.
    """

    def __init__(
        self,
        widths: Sequence[int],
        generator: torch.Generator,
        *,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Linear(n_in, n_out, generator) for n_in, n_out in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:-1] if batch_norm)
        self.dropout = SeededDropout(dropout, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map loops through all layers."""
        return self.activations(x)[-1]

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the output of every layer, for skip connections."""
        outputs = []
        for index in range(len(self.layers)):
            x = self.layer(index, x)
            outputs.append(x)
        return outputs

    def layer(self, index: int, x: Tensor) -> Tensor:
        """Map the input of one layer to its output."""
        x = self.layers[index](x)
        if index == len(self.layers) - 1:
            return x
        if self.norms:
            x = self.norms[index](x)
        activated: Tensor = self.dropout(nn.functional.elu(x))
        return activated


class Autoencoder(nn.Module):
    """An encoder and its mirror image; `skips` adds each hidden encoder layer to its mirror.

    Shape:
        (n_loops, widths[0]) -> (n_loops, widths[0])

    References
    ----------
    arXiv 2505.23784: the autoencoder (AE) and the residual autoencoder (AEwRES).
    """

    def __init__(
        self,
        widths: Sequence[int],
        generator: torch.Generator,
        *,
        skips: bool,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.skips = skips
        self.encoder = Perceptron(widths, generator, batch_norm=batch_norm, dropout=dropout)
        self.decoder = Perceptron(widths[::-1], generator, batch_norm=batch_norm, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct loops."""
        encoded = self.encoder.activations(x)
        hidden = encoded[-1]
        mirrors = encoded[-2::-1] if self.skips else []
        for index in range(len(self.decoder.layers)):
            hidden = self.decoder.layer(index, hidden)
            if index < len(mirrors):
                hidden = hidden + mirrors[index]
        return hidden


class ResidualEncoder(nn.Module):
    """The part of a loop that the leading principal components leave over, minus what they predict of it.

    z = B x + f(P x) with P the scaled leading components, B orthonormal axes of everything else and f a
    perceptron whose last layer starts at zero. An untrained encoder therefore measures PCA's reconstruction
    error, and training can lower it only by learning how the leading components determine the others (a
    curved surface instead of a flat one). f never sees what it has to predict, so it cannot collapse the
    sphere.

    Parameters
    ----------
    components : Tensor of shape (n_components, embedding_dim)
        Orthonormal rows, or rows of zeros, which leave everything over.
    component_scale : float
        Root mean square of the loops along the components.
    n_hidden : int
    generator : torch.Generator

    Shape:
        (n_loops, n_components + n_left_over), from `split` -> (n_loops, n_left_over)
    """

    def __init__(
        self,
        components: Tensor,
        component_scale: float,
        n_hidden: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_components, dimension = components.shape
        n_taken = self.n_components if bool(components.any()) else 0
        axes = (
            torch.linalg.qr(components.T.to("cpu", torch.float64), mode="complete").Q[:, n_taken:]
            if n_taken
            else None
        )
        self.left_over: Tensor
        left_over = torch.eye(dimension) if axes is None else axes.T.float()
        self.register_buffer("left_over", left_over.to(components.device))
        self.components: Tensor
        self.register_buffer("components", components)
        self.component_scale = component_scale
        self.correction = Perceptron([self.n_components, n_hidden, len(left_over)], generator)
        nn.init.zeros_(self._last().weight)

    def split(self, x: Tensor) -> Tensor:
        """Return what loops have along the components, scaled, and beside it what is left over.

        It does not change while training, so it is computed once.
        """
        return torch.cat([x @ self.components.T / self.component_scale, x @ self.left_over.T], dim=1)

    def forward(self, split: Tensor) -> Tensor:
        """Map split loops into the latent space."""
        leading, rest = split.tensor_split([self.n_components], dim=1)
        corrected: Tensor = rest + self.correction(leading)
        return corrected

    @torch.no_grad()
    def solve(self, split: Tensor) -> None:
        """Set the last layer to what leaves the smallest squared distance, given the others.

        Ridge regression, the stronger the fewer loops there are; descent then goes on from there.
        """
        leading, rest = split.tensor_split([self.n_components], dim=1)
        # On the CPU: Apple's GPU has no float64.
        hidden = self.correction.activations(leading)[-2].to("cpu", torch.float64)
        products = hidden.T @ hidden
        n_loops, n_hidden = hidden.shape
        ridge = products.diagonal().mean().clamp(min=1e-12) * n_hidden / n_loops
        products.diagonal().add_(ridge)
        solved = torch.linalg.solve(products, hidden.T @ (rest - rest.mean(dim=0)).to(hidden))
        self._last().weight.copy_(-solved.T)

    def flat(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return `flat_layers` of the correction as one of the loops themselves, not of their coordinates."""
        first, last = (
            layer.state_dict()["weight"].to("cpu", torch.float64) for layer in self.correction.layers
        )
        corrections = self.in_loops(last.T).T
        weights = np.concatenate([first.numpy().ravel(), corrections.ravel()])
        return weights, np.zeros(len(first) + len(corrections))

    def in_loops(self, latent: Tensor) -> npt.NDArray[np.float64]:
        """Return latent positions, (n, n_left_over), as the loops they are, (n, embedding_dim)."""
        return (latent.to("cpu", torch.float64) @ self.left_over.to("cpu", torch.float64)).numpy()

    def _last(self) -> nn.Linear:
        last = self.correction.layers[-1]
        assert isinstance(last, nn.Linear)
        return last


class _Linear(nn.Linear):
    """Without bias; torch's own draws from the global generator, and its `skip_init` imports sympy."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator) -> None:
        self._generator = generator
        super().__init__(n_in, n_out, bias=False, device=generator.device)

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        bound = 1.0 / math.sqrt(max(self.in_features, 1))
        with torch.no_grad():
            self.weight.uniform_(-bound, bound, generator=self._generator)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes
    ----------
    max_epochs, patience, batch_size : int
        Training stops after `patience` epochs in a row without a better held-out value.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls to half over 1,000 epochs along a cosine where `cosine` is set.
    cosine : bool
    """

    max_epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    cosine: bool = False


def train(
    module: nn.Module,
    loops: Tensor,
    loss: LossFunction,
    held_out_value: Callable[[], float],
    schedule: Schedule,
    generator: torch.Generator,
) -> list[float]:
    """Train `module` in place and leave it, in evaluation mode, at its best held-out epoch.

    Parameters
    ----------
    module : nn.Module
        What is trained.
    loops : Tensor of shape (n_loops, width)
        Shuffled into batches; a last batch of a single loop is left out of that epoch.
    loss : callable
        Batch of loops -> scalar to lower.
    held_out_value : callable
        Called in evaluation mode without gradients before training and after each epoch; lower is better.
    schedule : Schedule
    generator : torch.Generator
        Shuffles.

    Returns
    -------
    loss_curve : list of float
        The mean training loss of each epoch.
    """
    optimizer = _AdamW(module, schedule)
    best, best_state, waited = _evaluate(module, held_out_value), copy.deepcopy(module.state_dict()), 0
    curve: list[float] = []
    for _ in range(schedule.max_epochs):
        module.train()
        order = torch.randperm(len(loops), generator=generator, device=generator.device)
        losses = []
        for batch in torch.split(order, schedule.batch_size):
            if len(batch) < 2 <= len(loops):
                continue
            batch_loss = loss(loops[batch])
            optimizer.step(batch_loss)
            losses.append(batch_loss.detach())
        optimizer.end_epoch()
        curve.append(float(torch.stack(losses).mean()))
        value = _evaluate(module, held_out_value)
        if value < best:
            best, best_state, waited = value, copy.deepcopy(module.state_dict()), 0
        else:
            waited += 1
            if waited >= schedule.patience:
                break
    module.load_state_dict(best_state)
    module.eval()
    return curve


class _AdamW:
    """As `torch.optim.AdamW`, which would import torch's compiler; that takes a second."""

    def __init__(self, module: nn.Module, schedule: Schedule) -> None:
        self._schedule = schedule
        self._learning_rate, self._n_epochs = schedule.learning_rate, 0
        self._parameters: list[Tensor] = list(module.parameters())
        self._means = [torch.zeros_like(of) for of in self._parameters]
        self._mean_squares = [torch.zeros_like(of) for of in self._parameters]
        self._n_steps = [torch.zeros((), device=of.device) for of in self._parameters]

    def step(self, loss: Tensor) -> None:
        """Descend once."""
        gradients = torch.autograd.grad(loss, self._parameters)
        with torch.no_grad():
            adamw(
                self._parameters,
                list(gradients),
                self._means,
                self._mean_squares,
                [],
                self._n_steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self._learning_rate,
                weight_decay=self._schedule.weight_decay,
                eps=1e-8,
                maximize=False,
            )

    def end_epoch(self) -> None:
        """Lower the rate as the schedule says."""
        self._n_epochs += 1
        if self._schedule.cosine:
            now, before = (1.0 + math.cos(math.pi * (self._n_epochs - n) / _COSINE_EPOCHS) for n in (0, 1))
            lowest = self._schedule.learning_rate / 2
            self._learning_rate = now / before * (self._learning_rate - lowest) + lowest


def _evaluate(module: nn.Module, held_out_value: Callable[[], float]) -> float:
    module.eval()
    with torch.no_grad():
        return held_out_value()


def flat_layers(network: Perceptron) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return all weights (row by row, n_out x n_in a layer) and all biases of a trained network, flat.

    Batch normalisation is folded into the layer before it, so that scoring is plain linear algebra; without
    it all biases are zero.
    """
    weights, biases = [], []
    for index, layer in enumerate(network.layers):
        weight = layer.state_dict()["weight"].to("cpu", torch.float64)
        bias = torch.zeros(len(weight), dtype=torch.float64)
        if index < len(network.norms):
            norm = network.norms[index]
            state = {name: tensor.to("cpu", torch.float64) for name, tensor in norm.state_dict().items()}
            scale = state["weight"] / torch.sqrt(state["running_var"] + norm.eps)
            weight, bias = weight * scale[:, None], state["bias"] - state["running_mean"] * scale
        weights.append(weight.numpy().ravel())
        biases.append(bias.numpy())
    return np.concatenate(weights), np.concatenate(biases)
