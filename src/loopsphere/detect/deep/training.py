"""Training for Deep SVDD and Deep SAD: one network, its centre, and what training added."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loopsphere.detect.base import Float64Array

if TYPE_CHECKING:
    import torch

    from loopsphere.detect.deep.hypersphere import Hypersphere
    from loopsphere.detect.deep.networks import Perceptron, Schedule

N_HIDDEN = 128
_CENTER_GUARD = 0.1
_SMALLEST_SPLIT = 10
_N_SHUFFLED = 500
_WARM_UP_STEPS = 100
_FEW_STEPS = 160
_FULL_GAIN = 0.05


def share_of_learnt(contrast: float, contrast_before: float) -> float:
    """Return how much of what was learnt is to be used, from 0 to 1, by what held-out loops gain by it.

    None of it without a gain, all of it from a gain of `_FULL_GAIN` on. In between it grows steadily: all or
    nothing would let the last digit of a contrast decide, which differs from processor to processor.
    """
    gain = 1.0 - contrast / max(contrast_before, 1e-30)
    return float(np.clip(gain / _FULL_GAIN, 0.0, 1.0))


@dataclass(frozen=True)
class Roles:
    """Which loops are trained on, which stop the training, and (Deep SAD) which are known to be odd."""

    train: Float64Array
    held_out: Float64Array
    shuffled: Float64Array
    odd: Float64Array


@dataclass(frozen=True)
class Member:
    """One trained network, flat, and how it fares before and after training."""

    weights: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]
    center: Float64Array
    contrast: float
    untrained_contrast: float
    loss_curve: list[float]


def split_roles(
    prepared: Float64Array, odd: Float64Array, n_members: int, rng: np.random.Generator
) -> list[Roles]:
    """Give each member its own held-out fifth; tiny collections stop on the loops that they train on."""
    n_loops = len(prepared)
    order = rng.permutation(n_loops)
    roles = []
    for member in range(n_members):
        held_out = order[member::5] if n_loops >= _SMALLEST_SPLIT else order
        train = np.setdiff1d(order, held_out) if n_loops >= _SMALLEST_SPLIT else order
        sample = prepared[rng.permutation(n_loops)[:_N_SHUFFLED]]
        shuffled = rng.permuted(sample, axis=0)
        roles.append(Roles(prepared[train], prepared[held_out], shuffled, odd))
    return roles


def train_member(estimator: Hypersphere, roles: Roles, eta: float, seed: int) -> Member:
    """Pre-train where the network is an autoencoder, set the centre, train the objective, measure."""
    import torch

    from loopsphere.detect.deep import networks as nets

    device = torch.device(estimator.device)
    generator = torch.Generator(device).manual_seed(seed)
    train, held_out, shuffled, odd = (
        torch.tensor(loops, dtype=torch.float32, device=device)
        for loops in (roles.train, roles.held_out, roles.shuffled, roles.odd)
    )
    schedule = _schedule(estimator, len(train))
    encoder: nets.Perceptron | nets.ResidualEncoder
    if estimator.is_residual_map():
        components = torch.tensor(estimator.components_, dtype=torch.float32, device=device)
        encoder = nets.ResidualEncoder(components, estimator.component_scale_, N_HIDDEN, generator)
        train, held_out, shuffled, odd = map(encoder.split, (train, held_out, shuffled, odd))
    else:
        encoder = _pretrained(estimator, train, held_out, schedule, generator)
    encoder.eval()
    with torch.no_grad():
        center = encoder(train).mean(dim=0)
        if isinstance(encoder, nets.Perceptron):
            center = torch.where(
                center.abs() < _CENTER_GUARD, torch.where(center < 0, -_CENTER_GUARD, _CENTER_GUARD), center
            )

    def distances(loops: torch.Tensor) -> torch.Tensor:
        squared: torch.Tensor = ((encoder(loops) - center) ** 2).sum(dim=1)
        return squared

    def contrast() -> float:
        value = distances(held_out).median() / distances(shuffled).median().clamp(min=1e-30)
        if len(odd):
            value = value + distances(held_out).median() / distances(odd).median().clamp(min=1e-30)
        return float(value)

    def held_out_value() -> float:
        return float(distances(held_out).mean()) if estimator.preset == "paper" else contrast()

    with torch.no_grad():
        untrained_contrast = contrast()
    loss = _objective(estimator, distances, train, odd, eta)
    if isinstance(encoder, nets.ResidualEncoder) and schedule.max_epochs:
        encoder.solve(train)
    curve = nets.train(encoder, train, loss, held_out_value, schedule, generator)
    with torch.no_grad():
        trained_contrast = contrast()
    if isinstance(encoder, nets.Perceptron):
        weights, biases = nets.flat_layers(encoder)
        center_of_loops = center.to("cpu", torch.float64).numpy()
    else:
        weights, biases = encoder.flat()
        share = share_of_learnt(trained_contrast, untrained_contrast)
        weights[-N_HIDDEN * encoder.components.shape[1] :] *= share
        if share == 0.0:  # correct nothing
            weights, trained_contrast = np.zeros_like(weights), untrained_contrast
        center_of_loops = encoder.in_loops(center)
    return Member(
        weights.astype(np.float32),
        biases.astype(np.float32),
        center_of_loops,
        trained_contrast,
        untrained_contrast,
        curve,
    )


def _pretrained(
    estimator: Hypersphere,
    train: torch.Tensor,
    held_out: torch.Tensor,
    schedule: Schedule,
    generator: torch.Generator,
) -> Perceptron:
    """Return the encoder of an autoencoder that was trained to reconstruct."""
    from loopsphere.detect.deep import networks as nets

    is_paper = estimator.preset == "paper"
    autoencoder = nets.Autoencoder(
        [int(width) for width in estimator.widths_],
        generator,
        skips=estimator.network == "residual",
        batch_norm=is_paper,
        dropout=0.2 if is_paper else 0.0,
    ).to(train.device)
    nets.train(
        autoencoder,
        train,
        lambda batch: ((autoencoder(batch) - batch) ** 2).mean(),
        lambda: float(((autoencoder(held_out) - held_out) ** 2).mean()),
        schedule,
        generator,
    )
    return autoencoder.encoder


def _schedule(estimator: Hypersphere, n_train: int) -> Schedule:
    """Return the paper's schedule, or one of a bounded number of steps."""
    from loopsphere.detect.deep.networks import Schedule

    if estimator.preset == "paper":
        max_epochs = 1000 if estimator.max_epochs is None else estimator.max_epochs
        return Schedule(max_epochs, 10, 32, 1e-5, 1e-5, cosine=True)
    batch_size = min(max(n_train // 8, 8), 256)
    if estimator.is_residual_map():  # it starts from a solution, so few steps are left to take
        few_epochs = int(np.clip(_FEW_STEPS * batch_size // n_train, 8, 20))
        max_epochs = few_epochs if estimator.max_epochs is None else estimator.max_epochs
        return Schedule(max_epochs, 5, batch_size, 3e-3, 1e-3)
    max_epochs = 60 if estimator.max_epochs is None else estimator.max_epochs
    return Schedule(max_epochs, 10, batch_size, 1e-3, 1e-3)


def _objective(
    estimator: Hypersphere,
    distances: Callable[[torch.Tensor], torch.Tensor],
    train: torch.Tensor,
    odd: torch.Tensor,
    eta: float,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return batch -> loss: one-class, soft-boundary, or one-class with known odd loops (Deep SAD)."""
    import torch

    with torch.no_grad():  # the two terms of Deep SAD must weigh alike, whatever the unit of distance
        unit = distances(train).mean().clamp(min=1e-12)

    def one_class(batch: torch.Tensor) -> torch.Tensor:
        loss = distances(batch).mean() / unit
        if len(odd):
            loss = loss + eta * (unit / (distances(odd) + 1e-6 * unit)).mean()
        return loss

    warm_up = itertools.chain(itertools.repeat(True, _WARM_UP_STEPS), itertools.repeat(False))

    def soft_boundary(batch: torch.Tensor) -> torch.Tensor:
        squared = distances(batch)
        if next(warm_up):  # as in the authors' code: no radius yet, so everything is outside
            return squared.mean() / estimator.nu
        with torch.no_grad():  # the radius is solved for, not descended on (Ruff et al., section 3.3)
            squared_radius = torch.quantile(distances(train), 1.0 - estimator.nu)
        outside = torch.clamp(squared - squared_radius, min=0.0)
        return squared_radius + outside.mean() / estimator.nu

    return soft_boundary if estimator.objective == "soft-boundary" else one_class
