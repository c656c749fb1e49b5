"""Deep SVDD: learn a map that gathers normal loops around a centre; odd is far from it."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from loopsphere.detect.base import (
    ArrayField,
    Detector,
    Field,
    Float64Array,
    NumberField,
    l2_normalised,
    principal_axes,
    standardisation,
)
from loopsphere.errors import ModelFileError

if TYPE_CHECKING:
    import torch

    from loopsphere.detect.autoencoders import Schedule

PAPER_WIDTHS = (512, 256, 128, 64, 32)
DEFAULT_WIDTHS = (256, 64, 32)
N_MEMBERS = 3
N_HIDDEN = 128
MAX_SPHERES = 1024
LOOPS_PER_SPHERE = 5
NEAREST_SPHERES = 3
RADIUS_SHRINKAGE = 0.3
EXPLAINED_VARIANCE = 0.95
FEW_LOOPS = 25  # with so many, one sphere around the mean counts as much as all that was learnt
_CENTER_GUARD = 0.1
_COLLAPSED = 1e-3
_SMALLEST_SPLIT = 10
_N_SHUFFLED = 500
_ROWS_AT_ONCE = 256
_WARM_UP_STEPS = 100


class PoorFitWarning(UserWarning):
    """A fit collapsed or learned nothing; the message says which and what was measured."""


@dataclass(frozen=True)
class _Roles:
    """Which loops are trained on, which stop the training, and (Deep SAD) which are known to be odd."""

    train: Float64Array
    held_out: Float64Array
    shuffled: Float64Array
    odd: Float64Array


class Hypersphere(Detector):
    """What Deep SVDD and Deep SAD share: networks kept as flat arrays, squared distance as score."""

    preset: str
    network: str
    objective: str
    nu: float
    max_epochs: int | None
    device: str
    random_state: int | np.random.RandomState | None

    def _score(self, X: Float64Array) -> Float64Array:
        scores: Float64Array = -self._distances(self._prepared(X))
        return scores

    def _is_residual_map(self) -> bool:
        return self.network == "residual" and self.preset == "default"

    def _prepared(self, X: Float64Array) -> Float64Array:
        """Return what the networks see: L2-normalised and standardised loops, or raw ones for the paper."""
        if self.preset == "paper":
            return X
        prepared: Float64Array = (l2_normalised(X) - self.mean_) / self.scale_
        return prepared

    def _distances(self, prepared: Float64Array) -> Float64Array:
        """Return the squared distance of prepared loops, averaged over networks; shape (n_loops,).

        Of the residual map it is the geometric mean of two: from the centre, over what the leading
        components leave over (what was trained), and, counted twice, from the nearest local spheres. A
        third factor, the distance from the mean direction of all loops, fades as loops get more: few loops
        tell where they lie together, but neither which directions they leave free nor how they cluster.
        """
        if not self._is_residual_map():
            mean_distances: Float64Array = np.mean(
                [
                    np.sum((self._latent(prepared, member) - center) ** 2, axis=1) / unit
                    for member, (center, unit) in enumerate(zip(self.center_, self.unit_, strict=True))
                ],
                axis=0,
            )
            return mean_distances
        latent = self._latent(prepared, 0)
        rest = latent - latent @ self.components_.T @ self.components_
        from_center = np.sum((rest - self.center_[0]) ** 2, axis=1) / self.unit_[0]
        from_spheres = _sphere_distances(latent, self.spheres_.astype(np.float64), self.squared_radii_)
        learnt = np.cbrt(from_center * from_spheres**2)
        from_mean = np.sum((prepared * self.scale_) ** 2, axis=1)
        prior = FEW_LOOPS / (FEW_LOOPS + self.n_loops_)
        geometric_mean: Float64Array = from_mean**prior * learnt ** (1.0 - prior)
        return geometric_mean

    def _latent(self, prepared: Float64Array, member: int) -> Float64Array:
        """Return the latent positions of prepared loops under one member, float64."""
        is_residual = self._is_residual_map()
        hidden = prepared @ self.components_.T / self.component_scale_ if is_residual else prepared
        weight_start = bias_start = 0
        widths = [int(width) for width in self.widths_]
        for layer, (n_in, n_out) in enumerate(pairwise(widths)):
            weight_end, bias_end = weight_start + n_in * n_out, bias_start + n_out
            weight = self.weights_[member, weight_start:weight_end].reshape(n_out, n_in)
            hidden = hidden @ weight.T.astype(np.float64) + self.biases_[member, bias_start:bias_end]
            if layer < len(widths) - 2:
                hidden = np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0.0)))
            weight_start, bias_start = weight_end, bias_end
        if not is_residual:
            return hidden
        latent: Float64Array = prepared + hidden - hidden @ self.components_.T @ self.components_
        return latent

    def _state_fields(self) -> tuple[Field, ...]:
        return (
            ArrayField("mean_", "float64", ("n_features",)),
            ArrayField("scale_", "float64", ("n_features",), positive=True),
            ArrayField("components_", "float64", ("n_components", "n_features")),
            ArrayField("widths_", "int64", ("n_widths",)),
            ArrayField("weights_", "float32", ("n_members", "n_weights")),
            ArrayField("biases_", "float32", ("n_members", "n_biases")),
            ArrayField("center_", "float64", ("n_members", "latent_dim")),
            ArrayField("unit_", "float64", ("n_members",), positive=True),
            ArrayField("spheres_", "float32", ("n_spheres", "latent_dim")),
            ArrayField("squared_radii_", "float64", ("n_spheres",), positive=True),
            NumberField("n_loops_", int, 1, 2**62),
            NumberField("component_scale_", float, np.finfo(np.float64).tiny),
            NumberField("radius_", float, 0.0),
            NumberField("contrast_", float, 0.0),
            NumberField("untrained_contrast_", float, 0.0),
        )

    def _check_state(self) -> None:
        widths = [int(width) for width in self.widths_]
        first = len(self.components_) if self._is_residual_map() else self.n_features_in_
        problems = {
            "there is no network": len(widths) < 2 or len(self.center_) == 0,
            "there is no sphere": self._is_residual_map() and len(self.spheres_) == 0,
            "widths_ are not layer widths": min(widths, default=0) < 0 or max(widths, default=0) > 2**20,
            "the first width is not that of the loops": widths[:1] != [first],
            "the last width is not that of center_": widths[-1:] != [self.center_.shape[1]],
            "the residual map does not return to the loops' space": self._is_residual_map()
            and widths[-1:] != [self.n_features_in_],
            "weights_ do not fit widths_": sum(a * b for a, b in pairwise(widths)) != self.weights_.shape[1],
            "biases_ do not fit widths_": sum(widths[1:]) != self.biases_.shape[1],
        }
        for problem, found in problems.items():
            if found:
                raise ModelFileError(f"damaged detector: {problem}")

    def _fit_networks(self, normal: Float64Array, odd: Float64Array, eta: float) -> None:
        """Set all fitted attributes from normal (or unlabelled) and known odd loops, both raw."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        self.n_loops_ = len(normal)
        self._fit_preparation(normal)
        prepared, prepared_odd = self._prepared(normal), self._prepared(odd)
        is_paper = self.preset == "paper"
        self.loss_curve_: list[list[float]] = []
        members = []
        # The residual map starts from the loops themselves, so its members would hardly differ.
        n_members = 1 if is_paper or self.network == "residual" else N_MEMBERS
        for roles in _split(prepared, prepared_odd, n_members, rng):
            seed = int(rng.integers(2**31))
            members.append(_train_member(self, roles, eta, seed))
        self.weights_ = np.stack([member.weights for member in members])
        self.biases_ = np.stack([member.biases for member in members])
        self.center_ = np.stack([member.center for member in members])
        self._place_spheres(prepared, rng)
        self.loss_curve_ = [member.loss_curve for member in members]
        self.contrast_ = float(np.mean([member.contrast for member in members]))
        self.untrained_contrast_ = float(np.mean([member.untrained_contrast for member in members]))
        distances = self._distances(prepared)
        self.radius_ = float(np.sqrt(np.quantile(distances, 1.0 - self.nu)))
        self._warn_of_poor_fit(prepared, distances)

    def _fit_preparation(self, X: Float64Array) -> None:
        dimension = X.shape[1]
        self.components_, self.component_scale_ = np.empty((0, dimension)), 1.0
        if self.preset == "paper":
            self.mean_, self.scale_ = np.zeros(dimension), np.ones(dimension)
            self.widths_ = np.array([dimension, *PAPER_WIDTHS])
            return
        self.mean_, self.scale_ = standardisation(l2_normalised(X))
        if self.network == "autoencoder":
            self.widths_ = np.array([dimension, *(min(width, max(dimension, 4)) for width in DEFAULT_WIDTHS)])
            return
        axes, variances = principal_axes(self._prepared(X))
        explained = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
        n_leading = int(np.searchsorted(explained, EXPLAINED_VARIANCE)) + 1
        # Half of the directions at least are left to measure the distance in.
        n_leading = min(n_leading, dimension // 2, len(axes))
        if n_leading:
            self.components_ = axes[:n_leading]
            self.component_scale_ = float(np.sqrt(variances[:n_leading].mean()))
        else:  # nothing can be spared: the network sees zeros and changes nothing
            self.components_ = np.zeros((1, dimension))
        self.widths_ = np.array([len(self.components_), N_HIDDEN, dimension])

    def _place_spheres(self, prepared: Float64Array, rng: np.random.Generator) -> None:
        """Set the unit of each network's distance and, for the residual map, the local spheres."""
        n_members, latent_dimension = self.center_.shape
        self.unit_ = np.ones(n_members)
        self.spheres_ = np.empty((0, latent_dimension), dtype=np.float32)
        self.squared_radii_ = np.empty(0)
        if self.preset == "paper":
            return
        if self._is_residual_map():
            seeds = np.sort(rng.permutation(len(prepared))[:MAX_SPHERES])
            latent = self._latent(prepared, 0)
            centers, self.squared_radii_ = _local_spheres(latent, seeds)
            self.spheres_ = centers.astype(np.float32)
            latent = latent - latent @ self.components_.T @ self.components_
            spreads = [np.mean(np.sum((latent - self.center_[0]) ** 2, axis=1))]
        else:
            spreads = [
                np.mean(np.sum((self._latent(prepared, member) - center) ** 2, axis=1))
                for member, center in enumerate(self.center_)
            ]
        # Of loops that are all alike nothing but rounding is left; that must not become the unit.
        self.unit_ = np.maximum(spreads, 1e-9 * latent_dimension)

    def _warn_of_poor_fit(self, prepared: Float64Array, distances: Float64Array) -> None:
        if self.max_epochs == 0 or not np.ptp(prepared, axis=0).any():
            return
        if np.std(distances) <= _COLLAPSED * np.mean(distances):
            warnings.warn(
                f"{type(self).__name__} collapsed: its distances differ by less than {_COLLAPSED:.1%}, "
                "so its ranking means nothing",
                PoorFitWarning,
                stacklevel=4,
            )
        elif self.contrast_ >= self.untrained_contrast_:
            warnings.warn(
                f"{type(self).__name__} does not beat its own untrained network: held-out loops lie at "
                f"{self.contrast_:.3g} of the distance of shuffled ones after training, "
                f"{self.untrained_contrast_:.3g} before",
                PoorFitWarning,
                stacklevel=4,
            )


class DeepSVDD(Hypersphere):
    """Deep Support Vector Data Description.

    A network is trained to map normal loops close to a centre, and a loop is odd by its squared distance. The
    default residual network also surrounds neighbouring loops with small spheres of their own: a collection
    is made of clusters of different density, and the same distance is odder beside a dense one. Its score is
    the geometric mean of the squared distance from the centre, over what training works on, and, counted
    twice, of that from the nearest spheres in units of their radii; for small collections the distance from
    the mean direction joins in, with weight 25 / (25 + n_loops).

    Parameters
    ----------
    network : {"residual", "autoencoder"}, default="residual"
        "residual": the complement of the leading principal components, corrected by a network that predicts
        it from them (see `loopsphere.detect.autoencoders.ResidualEncoder`); it starts at PCA's
        reconstruction error. "autoencoder": an encoder that was pre-trained to reconstruct. With
        `preset="paper"` both are encoders pre-trained as autoencoders, "residual" with skip connections.
    objective : {"one-class", "soft-boundary"}, default="one-class"
        The mean squared distance, or a radius with a penalty for what lies outside.
    preset : {"default", "paper"}, default="default"
        "paper": the settings of arXiv 2505.23784 (raw embeddings, layers 512-256-128-64-32, batch
        normalisation, dropout 0.2, AdamW at 1e-5, up to 1,000 epochs with patience 10): slow.
    nu : float, default=0.05
        The share of the fitted loops outside `radius_`; the soft boundary trains for it.
    max_epochs : int or None, default=None
        None leaves it to the preset and n; 0 keeps the untrained network, to compare with.
    contamination : float, default=0.05
        The share of the fitted loops that `predict` calls odd.
    device : str, default="cpu"
        Where to train, as torch spells it. Scores are always computed on the CPU in float64.
    random_state : int, RandomState or None, default=None
        Seed. The same seed gives the same scores on the same machine; torch's global generator stays as it
        is.

    Attributes
    ----------
    center_ : float64 ndarray of shape (n_members, latent_dim)
        One centre a network: the mean of a first pass, away from zero where the network could collapse.
    radius_ : float
        Root of the mean squared distance within which 1 - `nu` of the fitted loops lie.
    offset_ : float
    contrast_, untrained_contrast_ : float
        The median squared distance of held-out loops over that of shuffled ones (each feature drawn from
        another loop), after and before training: how much closer real loops are than noise with the same
        marginals. Lower is better; it needs no label and no scale.
    loss_curve_ : list of list of float
        The mean training loss of each epoch of each network; not stored in the state.
    spheres_ : float32 ndarray of shape (n_spheres, latent_dim)
        Centres of the local spheres; none but for the residual network of the default preset.
    squared_radii_ : float64 ndarray of shape (n_spheres,)
    n_loops_ : int
        Loops that were fitted.
    unit_ : float64 ndarray of shape (n_members,)
        The mean squared distance from `center_` over the fitted loops; 1 for the paper's preset.
    mean_, scale_, components_, component_scale_, widths_, weights_, biases_
        Standardisation, leading components and the networks, flat.

    Notes
    -----
    Local spheres are a simple form of multi-sphere SVDD: they are placed after training instead of during it.
    On embeddings whose components do not predict each other the network learns nothing, `PoorFitWarning`
    says so, and the scores are those of principal components and local spheres.

    Warns
    -----
    PoorFitWarning
        The distances hardly vary, or `contrast_` is not below `untrained_contrast_`.

    References
    ----------
    Ruff et al. 2018, 'Deep One-Class Classification', ICML, section 3. Dadman et al. 2026, 'Learning Normal
    Patterns in Musical Loops', PMLR 307, arXiv 2505.23784. Ghafoori and Leckie 2020, 'Deep Multi-sphere
    Support Vector Data Description', SDM.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Detector._parameter_constraints,
        "network": [StrOptions({"residual", "autoencoder"})],
        "objective": [StrOptions({"one-class", "soft-boundary"})],
        "preset": [StrOptions({"default", "paper"})],
        "nu": [Interval(Real, 0, 1, closed="neither")],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), None],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        network: str = "residual",
        objective: str = "one-class",
        preset: str = "default",
        nu: float = 0.05,
        max_epochs: int | None = None,
        contamination: float = 0.05,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.network = network
        self.objective = objective
        self.preset = preset
        self.nu = nu
        self.max_epochs = max_epochs
        self.contamination = contamination
        self.device = device
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> None:
        self._fit_networks(X, X[:0], eta=0.0)


@dataclass(frozen=True)
class _Member:
    weights: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]
    center: Float64Array
    contrast: float
    untrained_contrast: float
    loss_curve: list[float]


def _split(
    prepared: Float64Array, odd: Float64Array, n_members: int, rng: np.random.Generator
) -> list[_Roles]:
    """Give each member its own held-out fifth; tiny collections stop on the loops that they train on."""
    n_loops = len(prepared)
    order = rng.permutation(n_loops)
    roles = []
    for member in range(n_members):
        held_out = order[member::5] if n_loops >= _SMALLEST_SPLIT else order
        train = np.setdiff1d(order, held_out) if n_loops >= _SMALLEST_SPLIT else order
        sample = prepared[rng.permutation(n_loops)[:_N_SHUFFLED]]
        shuffled = rng.permuted(sample, axis=0)
        roles.append(_Roles(prepared[train], prepared[held_out], shuffled, odd))
    return roles


def _local_spheres(latent: Float64Array, seeds: npt.NDArray[np.int64]) -> tuple[Float64Array, Float64Array]:
    """Return centre and squared radius of a sphere around each seed loop and its nearest neighbours.

    Parameters
    ----------
    latent : float64 ndarray of shape (n_loops, latent_dim)
    seeds : int64 ndarray of shape (n_spheres,)

    Returns
    -------
    centers : float64 ndarray of shape (n_spheres, latent_dim)
    squared_radii : float64 ndarray of shape (n_spheres,)
        Mean squared distance of a sphere's loops from its centre, shrunk towards the median over spheres, so
        that duplicates do not make a sphere of no size.
    """
    n_neighbors = min(LOOPS_PER_SPHERE, len(latent))
    centers = np.empty((len(seeds), latent.shape[1]))
    squared_radii = np.empty(len(seeds))
    for start in range(0, len(seeds), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        squared = _pairwise_squared(latent[seeds[part]], latent)
        nearest = latent[np.argpartition(squared, n_neighbors - 1, axis=1)[:, :n_neighbors]]
        centers[part] = nearest.mean(axis=1)
        squared_radii[part] = np.mean(np.sum((nearest - centers[part, None]) ** 2, axis=2), axis=1)
    typical = float(np.median(squared_radii))
    if typical <= 0:  # duplicates everywhere: fall back on the size of the whole collection
        typical = float(np.mean(np.sum((latent - latent.mean(axis=0)) ** 2, axis=1))) or 1.0
    return centers, (1.0 - RADIUS_SHRINKAGE) * squared_radii + RADIUS_SHRINKAGE * typical


def _sphere_distances(
    latent: Float64Array, spheres: Float64Array, squared_radii: Float64Array
) -> Float64Array:
    """Return the mean squared distance, in squared radii, from the nearest spheres; shape (n_loops,)."""
    n_nearest = min(NEAREST_SPHERES, len(spheres))
    parts = []
    for start in range(0, len(latent), _ROWS_AT_ONCE):
        relative = _pairwise_squared(latent[start : start + _ROWS_AT_ONCE], spheres) / squared_radii
        parts.append(
            np.sort(np.partition(relative, n_nearest - 1, axis=1)[:, :n_nearest], axis=1).mean(axis=1)
        )
    return np.concatenate(parts)


def _pairwise_squared(a: Float64Array, b: Float64Array) -> Float64Array:
    squared: Float64Array = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2.0 * a @ b.T
    return np.maximum(squared, 0.0)


def _train_member(estimator: Hypersphere, roles: _Roles, eta: float, seed: int) -> _Member:
    """Pre-train where the network is an autoencoder, set the centre, train the objective, measure."""
    import torch

    from loopsphere.detect import autoencoders as nets

    device = torch.device(estimator.device)
    generator = torch.Generator(device).manual_seed(seed)

    def tensor(array: Float64Array) -> torch.Tensor:
        return torch.tensor(array, dtype=torch.float32, device=device)

    train, held_out, shuffled, odd = map(tensor, (roles.train, roles.held_out, roles.shuffled, roles.odd))
    is_paper, is_residual_map = estimator.preset == "paper", estimator._is_residual_map()
    schedule = _schedule(estimator, len(train))
    encoder: nets.Perceptron | nets.ResidualEncoder
    if is_residual_map:
        encoder = nets.ResidualEncoder(
            tensor(estimator.components_), estimator.component_scale_, N_HIDDEN, generator
        ).to(device)
    else:
        widths = [int(width) for width in estimator.widths_]
        autoencoder = nets.Autoencoder(
            widths,
            generator,
            skips=estimator.network == "residual",
            batch_norm=is_paper,
            dropout=0.2 if is_paper else 0.0,
        ).to(device)
        encoder = autoencoder.encoder
        nets.train(
            autoencoder,
            train,
            lambda batch: ((autoencoder(batch) - batch) ** 2).mean(),
            lambda: float(((autoencoder(held_out) - held_out) ** 2).mean()),
            schedule,
            generator,
        )
    encoder.eval()
    with torch.no_grad():
        center = encoder(train).mean(dim=0)
        if not is_residual_map:
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

    with torch.no_grad():
        untrained_contrast = contrast()
    loss = _objective(estimator, distances, train, odd, eta)
    stop = (lambda: float(distances(held_out).mean())) if is_paper else contrast
    curve = nets.train(encoder, train, loss, stop, schedule, generator)
    with torch.no_grad():
        trained_contrast = contrast()
    network = encoder.correction if isinstance(encoder, nets.ResidualEncoder) else encoder
    weights, biases = nets.flat_layers(network)
    return _Member(
        weights.astype(np.float32),
        biases.astype(np.float32),
        center.to("cpu", torch.float64).numpy(),
        trained_contrast,
        untrained_contrast,
        curve,
    )


def _schedule(estimator: Hypersphere, n_train: int) -> Schedule:
    """Return the paper's schedule, or one of a bounded number of steps."""
    from loopsphere.detect.autoencoders import Schedule

    if estimator.preset == "paper":
        max_epochs = 1000 if estimator.max_epochs is None else estimator.max_epochs
        return Schedule(max_epochs, 10, 32, 1e-5, 1e-5, cosine=True)
    max_epochs = 60 if estimator.max_epochs is None else estimator.max_epochs
    return Schedule(max_epochs, 10, min(max(n_train // 8, 8), 256), 1e-3, 1e-3)


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
