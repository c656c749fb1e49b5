"""What Deep SVDD and Deep SAD share: networks as flat arrays, a distance as score, a state without pickle."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import ClassVar

import numpy as np
from sklearn.utils import check_random_state

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
from loopsphere.detect.deep.metric import measured, neighbour_metric
from loopsphere.detect.deep.spheres import local_spheres, sphere_contrast, sphere_distances
from loopsphere.detect.deep.training import (
    N_HIDDEN,
    Roles,
    share_of_learnt,
    split_roles,
    train_member,
)
from loopsphere.errors import ModelFileError

PAPER_WIDTHS = (512, 256, 128, 64, 32)
DEFAULT_WIDTHS = (256, 64, 32)
N_MEMBERS = 3
MAX_SPHERES = 1024
EXPLAINED_VARIANCE = 0.95
FEW_LOOPS = 25  # with so many, one sphere around the mean counts as much as all that was learnt
FEW_LOOPS_WITH_ODD = 100  # the same where odd loops may be among them
_COLLAPSED = 1e-3
_N_METRIC = 2000  # loops that are enough to learn the metric from
_N_JUDGED = 1000  # loops that are enough to tell whether it helps


class PoorFitWarning(UserWarning):
    """A fit collapsed or learned nothing; the message says which and what was measured."""


class NothingLearntWarning(PoorFitWarning):
    """A fit is as good as its own untrained network and no better; its scores can be used."""


_is_silent = ContextVar("_is_silent", default=False)


@contextmanager
def no_fit_warnings() -> Iterator[None]:
    """Keep this thread's fits from warning; filters of `warnings` are the whole process's."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)


class Hypersphere(Detector):
    """What Deep SVDD and Deep SAD share: networks kept as flat arrays, squared distance as score."""

    scores_centre: ClassVar[bool] = False
    """Whether the residual map's distance from the centre counts beside that from the spheres."""
    preset: str
    network: str
    objective: str
    nu: float
    max_epochs: int | None
    holds_odd: bool
    device: str
    random_state: int | np.random.RandomState | None

    def _score(self, X: Float64Array) -> Float64Array:
        scores: Float64Array = -self._distances(self._prepared(X))
        return scores

    def is_residual_map(self) -> bool:
        """Tell whether the network corrects a linear projection instead of replacing it."""
        return self.network == "residual" and self.preset == "default"

    def _prepared(self, X: Float64Array) -> Float64Array:
        """Return what the networks see: L2-normalised and standardised loops, or raw ones for the paper."""
        if self.preset == "paper":
            return X
        prepared: Float64Array = (l2_normalised(X) - self.mean_) / self.scale_
        return prepared

    def _distances(self, prepared: Float64Array) -> Float64Array:
        """Return the squared distance of prepared loops, averaged over networks; shape (n_loops,).

        Of the residual map it is that from the nearest local spheres in the learnt metric; with
        `scores_centre` its geometric mean, spheres counted twice, with the distance from the centre over
        what the leading components leave over, which is what Deep SAD trains on. A factor, the
        distance from the mean direction of all loops, fades as loops get more: few loops tell where they
        lie together, but neither which directions they leave free nor how they cluster. It fades later where
        odd loops may be among them: two of a kind put spheres around each other, but hardly move the mean.
        """
        if not self.is_residual_map():
            mean_distances: Float64Array = np.mean(
                [
                    np.sum((self._latent(prepared, member) - center) ** 2, axis=1) / unit
                    for member, (center, unit) in enumerate(zip(self.center_, self.unit_, strict=True))
                ],
                axis=0,
            )
            return mean_distances
        latent = self._latent(prepared, 0)
        in_metric = measured(latent, self.metric_axes_, self.metric_gains_)
        return self._residual_distances(prepared, latent, in_metric)

    def _residual_distances(
        self, prepared: Float64Array, latent: Float64Array, in_metric: Float64Array
    ) -> Float64Array:
        """Return the distances of the residual map, given the latent and the same in the learnt metric."""
        learnt = sphere_distances(in_metric, self.spheres_.astype(np.float64), self.squared_radii_)
        if self.scores_centre:
            learnt = np.cbrt(self._from_centre(latent) / self.unit_[0] * learnt**2)
        from_mean = np.sum((prepared * self.scale_) ** 2, axis=1)
        few_loops = FEW_LOOPS_WITH_ODD if self.holds_odd else FEW_LOOPS
        prior = few_loops / (few_loops + self.n_loops_)
        geometric_mean: Float64Array = from_mean**prior * learnt ** (1.0 - prior)
        return geometric_mean

    def _from_centre(self, latent: Float64Array) -> Float64Array:
        """Return the squared distance of the residual map's latent from its centre, leading part left out."""
        rest = latent - latent @ self.components_.T @ self.components_
        from_centre: Float64Array = np.sum((rest - self.center_[0]) ** 2, axis=1)
        return from_centre

    def _latent(self, prepared: Float64Array, member: int) -> Float64Array:
        """Return the latent positions of prepared loops under one member, float64."""
        is_residual = self.is_residual_map()
        if is_residual and not self.weights_[member].any():
            return prepared
        hidden = prepared @ self.components_.T / self.component_scale_ if is_residual else prepared
        weight_start = bias_start = 0
        widths = [int(width) for width in self.widths_]
        for layer, (n_in, n_out) in enumerate(pairwise(widths)):
            weight_end, bias_end = weight_start + n_in * n_out, bias_start + n_out
            weight = self.weights_[member, weight_start:weight_end].reshape(n_out, n_in).astype(np.float64)
            is_last = layer == len(widths) - 2
            if is_residual and is_last:  # the leading components are not corrected
                weight -= self.components_.T @ (self.components_ @ weight)
            hidden = hidden @ weight.T + self.biases_[member, bias_start:bias_end]
            if not is_last:
                hidden = np.where(hidden > 0, hidden, np.expm1(np.minimum(hidden, 0.0)))
            weight_start, bias_start = weight_end, bias_end
        return prepared + hidden if is_residual else hidden

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
            ArrayField("metric_axes_", "float32", ("n_axes", "latent_dim")),
            ArrayField("metric_gains_", "float64", ("n_axes",), positive=True),
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
        first = len(self.components_) if self.is_residual_map() else self.n_features_in_
        problems = {
            "there is no network": len(widths) < 2 or len(self.center_) == 0,
            "there is no sphere": self.is_residual_map() and len(self.spheres_) == 0,
            "widths_ are not layer widths": min(widths, default=0) < 0 or max(widths, default=0) > 2**20,
            "the first width is not that of the loops": widths[:1] != [first],
            "the last width is not that of center_": widths[-1:] != [self.center_.shape[1]],
            "the residual map does not return to the loops' space": self.is_residual_map()
            and widths[-1:] != [self.n_features_in_],
            "weights_ do not fit widths_": sum(a * b for a, b in pairwise(widths)) != self.weights_.shape[1],
            "biases_ do not fit widths_": sum(widths[1:]) != self.biases_.shape[1],
        }
        for problem, found in problems.items():
            if found:
                raise ModelFileError(f"damaged detector: {problem}")

    def _fit_networks(self, normal: Float64Array, odd: Float64Array, eta: float) -> Float64Array:
        """Set all fitted attributes from normal (or unlabelled) and known odd loops, both raw.

        Returns the distances of the normal ones.
        """
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        self.n_loops_ = len(normal)
        prepared = self._fit_preparation(normal)
        prepared_odd = self._prepared(odd)
        is_paper = self.preset == "paper"
        self.loss_curve_: list[list[float]] = []
        members = []
        # The residual map starts from the loops themselves, so its members would hardly differ.
        n_members = 1 if is_paper or self.network == "residual" else N_MEMBERS
        every_roles = split_roles(prepared, prepared_odd, n_members, rng)
        for roles in every_roles:
            seed = int(rng.integers(2**31))
            members.append(train_member(self, roles, eta, seed))
        self.weights_ = np.stack([member.weights for member in members])
        self.biases_ = np.stack([member.biases for member in members])
        self.center_ = np.stack([member.center for member in members])
        self.loss_curve_ = [member.loss_curve for member in members]
        self.contrast_ = float(np.mean([member.contrast for member in members]))
        self.untrained_contrast_ = float(np.mean([member.untrained_contrast for member in members]))
        distances = self._fit_distances(prepared, every_roles[0], rng)
        self.radius_ = float(np.sqrt(np.quantile(distances, 1.0 - self.nu)))
        self._warn_of_poor_fit(prepared, distances)
        return distances

    def _fit_preparation(self, X: Float64Array) -> Float64Array:
        """Set how loops are prepared, the leading components and the widths; return the prepared loops."""
        dimension = X.shape[1]
        self.components_, self.component_scale_ = np.empty((0, dimension)), 1.0
        if self.preset == "paper":
            self.mean_, self.scale_ = np.zeros(dimension), np.ones(dimension)
            self.widths_ = np.array([dimension, *PAPER_WIDTHS])
            return X
        on_sphere = l2_normalised(X)
        self.mean_, self.scale_ = standardisation(on_sphere)
        prepared: Float64Array = (on_sphere - self.mean_) / self.scale_
        if self.network == "autoencoder":
            self.widths_ = np.array([dimension, *(min(width, max(dimension, 4)) for width in DEFAULT_WIDTHS)])
            return prepared
        axes, variances = principal_axes(prepared)
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
        return prepared

    def _fit_distances(self, prepared: Float64Array, roles: Roles, rng: np.random.Generator) -> Float64Array:
        """Set all that turns latent positions into distances; return the distances of the fitted loops."""
        n_members, latent_dimension = self.center_.shape
        self.metric_axes_ = np.empty((0, latent_dimension), dtype=np.float32)
        self.metric_gains_ = np.empty(0)
        self.spheres_ = np.empty((0, latent_dimension), dtype=np.float32)
        self.squared_radii_ = np.empty(0)
        self.unit_ = np.ones(n_members)
        if self.preset == "paper":
            return self._distances(prepared)
        # Of loops that are all alike nothing but rounding is left; that must not become the unit.
        least = 1e-9 * latent_dimension
        if not self.is_residual_map():
            self.unit_ = np.array(
                [
                    max(np.mean(np.sum((self._latent(prepared, member) - center) ** 2, axis=1)), least)
                    for member, center in enumerate(self.center_)
                ]
            )
            return self._distances(prepared)
        latent = self._latent(prepared, 0)
        self.unit_ = np.maximum([np.mean(self._from_centre(latent))], least)
        self._fit_metric(latent, roles, rng)
        in_metric = measured(latent, self.metric_axes_, self.metric_gains_)
        seeds = np.sort(rng.permutation(len(prepared))[:MAX_SPHERES])
        centers, self.squared_radii_ = local_spheres(in_metric, seeds)
        self.spheres_ = centers.astype(np.float32)
        return self._residual_distances(prepared, latent, in_metric)

    def _fit_metric(self, latent: Float64Array, roles: Roles, rng: np.random.Generator) -> None:
        """Set the metric, if held-out loops gain by one learnt from others, and what was learnt in all."""
        learnt_from = roles.train[np.sort(rng.permutation(len(roles.train))[:_N_METRIC])]
        judges = [learnt_from[:_N_JUDGED], roles.held_out[:_N_JUDGED], roles.shuffled]
        self.contrast_ = self.untrained_contrast_ = sphere_contrast(*judges)
        if self.max_epochs == 0:
            return
        if self.weights_.any():
            judges = [self._latent(loops, 0) for loops in judges]
            self.contrast_ = sphere_contrast(*judges)
        metric = neighbour_metric(self._latent(learnt_from, 0))
        ends = np.cumsum([len(loops) for loops in judges])[:-1]
        contrast = sphere_contrast(*np.split(measured(np.concatenate(judges), *metric), ends))
        share = share_of_learnt(contrast, self.contrast_)
        if share > 0.0:
            self.contrast_ = contrast
            # Of few loops, those that judged are needed too.
            enough = len(learnt_from) == _N_METRIC
            self.metric_axes_, gains = metric if enough else neighbour_metric(latent)
            self.metric_gains_ = gains**share

    def _warn_of_poor_fit(self, prepared: Float64Array, distances: Float64Array) -> None:
        if _is_silent.get() or self.max_epochs == 0 or not np.ptp(prepared, axis=0).any():
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
                NothingLearntWarning,
                stacklevel=4,
            )
