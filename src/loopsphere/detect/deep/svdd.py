"""Deep SVDD: learn a map that gathers normal loops around a centre; odd is far from it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval, StrOptions

from loopsphere.detect.base import Detector, Float64Array
from loopsphere.detect.deep.hypersphere import Hypersphere


class DeepSVDD(Hypersphere):
    """Deep Support Vector Data Description.

    A network is trained to map normal loops close to a centre, and a loop is odd by its squared distance. The
    default residual network has many centres: small spheres around neighbouring loops, because a collection
    is made of clusters of different density, and the same distance is odder beside a dense one. It learns
    what the leading principal components determine of the others, and the metric in which neighbours lie
    closest together (see `loopsphere.detect.deep.metric`). Its score is the squared distance from the nearest
    spheres in units of their radii; for small collections the distance from the mean direction joins in,
    with weight 25 / (25 + n_loops).

    Parameters
    ----------
    network : {"residual", "autoencoder"}, default="residual"
        "residual": the loops, corrected by a network that predicts the complement of the leading principal
        components from them (see `loopsphere.detect.deep.networks.ResidualEncoder`), then a learnt metric; it
        starts as the identity. "autoencoder": an encoder that was pre-trained to reconstruct. With
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
    holds_odd : bool, default=False
        Whether odd loops may be among the fitted ones. Those of one kind vouch for each other but hardly
        move the mean, so the residual network's distance from its direction has weight 100 / (100 + n_loops)
        then.
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
        The median score of held-out loops over that of shuffled ones (each feature drawn from another loop),
        after and before training: how much closer real loops are than noise with the same marginals. Lower
        is better; it needs no label. Measured on networks that did not see the held-out fifth.
    loss_curve_ : list of list of float
        The mean training loss of each epoch of each network; not stored in the state.
    metric_axes_ : float32 ndarray of shape (n_axes, embedding_dim)
        Directions that the learnt metric shrinks; none where held-out loops did not gain by it.
    metric_gains_ : float64 ndarray of shape (n_axes,)
        By how much.
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
    The last layer of the correction starts as the solution of a ridge regression, from where descent goes on,
    and is kept only if held-out loops gain by it. The correction keeps volumes, and the metric is the linear
    map of a given volume that minimises the mean squared distance from neighbours, so neither can collapse
    the spheres. On the embeddings of real loops that were tried it is the metric that learns; the correction
    stays at zero, since their leading components do not predict the others.

    Warns
    -----
    PoorFitWarning
        The distances hardly vary.
    NothingLearntWarning
        `contrast_` is not below `untrained_contrast_`: the scores are those of the untrained network.

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
        "holds_odd": ["boolean"],
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
        holds_odd: bool = False,
        contamination: float = 0.05,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.network = network
        self.objective = objective
        self.preset = preset
        self.nu = nu
        self.max_epochs = max_epochs
        self.holds_odd = holds_odd
        self.contamination = contamination
        self.device = device
        self.random_state = random_state

    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> Float64Array:
        return -self._fit_networks(X, X[:0], eta=0.0)
