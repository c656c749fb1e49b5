"""Where in a loop the oddness lies: its tokens against a memory of the tokens of normal loops.

PatchCore's idea, in time instead of an image: what an encoder makes of a normal loop's moments is kept,
thinned to a coreset, and a new moment is as odd as it is far from the nearest one that is kept. A moment is
one step of a token grid with all its bands, because silence in one band is common and silence in all of
them is not. The bands' parts of the same distance make the heat map.

References
----------
Roth et al. 2022, 'Towards total recall in industrial anomaly detection', arXiv 2106.08265 (PatchCore).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loopsphere.errors import FeatureError
from loopsphere.types import Float32Array, TokenGrid

Float64Array = npt.NDArray[np.float64]

Run = Callable[..., Iterable[Any]]
"""As `map`: a function, and what it is called with in turn."""
BIN_S = 0.05
"""Seconds of a bin of the curve and of the heat map, at most."""
_PROJECTED_DIM = 64  # for choosing the coreset only, as in the paper's section 3.2
_MOMENTS_AT_ONCE = 2048  # of more than two minutes
_SHORTEST_GAP_S = 0.15  # two odd ranges that are nearer than this are one
_MAX_CALIBRATING = 80  # loops; their moments are thousands, enough for a quantile
_TINY = 1e-9


@dataclass(frozen=True)
class OddRange:
    """One stretch of a loop that is odder than nearly all moments of the normal ones.

    Attributes
    ----------
    start_s, end_s : float
    low_hz, high_hz : float
        The bands in which it is odd, from the lowest to the highest.
    oddness : float
        The curve's highest value in it, at least 1.
    """

    start_s: float
    end_s: float
    low_hz: float
    high_hz: float
    oddness: float


@dataclass(frozen=True)
class Localisation:
    """How odd each moment of a loop is, and in which bands.

    Attributes
    ----------
    duration_s : float
    curve : float32 ndarray of shape (n_bins,)
        Oddness from the loop's first moment to its last, in equal bins of at most `BIN_S`; 1 is as odd as the
        oddest hundredth of the normal loops' moments.
    heat : float32 ndarray of shape (n_bands, n_bins)
        The same for each band by itself, bands from low to high.
    band_edges_hz : float64 ndarray of shape (n_bands + 1,)
    ranges : tuple of OddRange
        Where the curve is at 1 or above, in order of time.
    """

    duration_s: float
    curve: Float32Array
    heat: Float32Array
    band_edges_hz: Float64Array
    ranges: tuple[OddRange, ...]


class TokenMemory:
    """What the moments of normal loops look like to an encoder.

    Parameters
    ----------
    memory_size : int
        Moments kept of each stage.
    n_candidates : int
        Moments, drawn evenly from all, that these are chosen from.
    usual_share : float
        Share of the normal loops' moments that lie below 1 on the curve.
    random_state : int

    References
    ----------
    Roth et al. 2022, arXiv 2106.08265, sections 3.1 to 3.3.
    """

    def __init__(
        self,
        *,
        memory_size: int = 2000,
        n_candidates: int = 20_000,
        usual_share: float = 0.99,
        random_state: int = 0,
    ) -> None:
        self.memory_size = memory_size
        self.n_candidates = n_candidates
        self.usual_share = usual_share
        self.random_state = random_state

    def fit(self, loops: Sequence[Sequence[TokenGrid]], *, run: Run = map) -> TokenMemory:
        """Remember normal loops, and how far each of them lies from the others.

        Parameters
        ----------
        loops : sequence of sequence of TokenGrid
            One grid a stage, the same stages of the same encoder for each loop.
        run : callable, default=map
            Such as a pool's `map`; what is remembered is the same.

        Returns
        -------
        self : TokenMemory

        Raises
        ------
        FeatureError
            There are fewer than two loops, or their grids do not fit together.
        """
        if len(loops) < 2:
            raise FeatureError(f"two normal loops are the fewest to compare a loop with; got {len(loops)}")
        _check_alike(loops)
        rng = np.random.default_rng(self.random_state)
        self._shape = _shape(loops[0])
        self._stages = [
            _StageMemory([grids[k] for grids in loops], self.n_candidates, self.memory_size, rng, run)
            for k in range(len(self._shape))
        ]
        self._limit, self._band_limits = 1.0, np.ones(max(n_bands for n_bands, _ in self._shape))
        drawn = _sample(len(loops), rng).tolist()
        placed = run(self._place, (loops[i] for i in drawn), drawn)
        curves, heats = zip(*placed, strict=True)
        self._limit = max(float(np.quantile(np.concatenate(curves), self.usual_share)), _TINY)
        band_limits = np.quantile(np.concatenate(heats, axis=1), self.usual_share, axis=1)
        self._band_limits = np.maximum(band_limits, _TINY)
        return self

    def localise(self, grids: Sequence[TokenGrid]) -> Localisation:
        """Tell where a loop is odd.

        Parameters
        ----------
        grids : sequence of TokenGrid
            Of the stages that were remembered.

        Returns
        -------
        localisation : Localisation

        Raises
        ------
        FeatureError
            The grids are not of the stages and the encoder that were remembered.
        """
        if _shape(grids) != self._shape:
            raise FeatureError(f"these tokens are not like those remembered: {_shape(grids)}, {self._shape}")
        curve, heat = self._place(grids, None)
        edges = max((grid.band_edges_hz for grid in grids), key=len)
        return Localisation(
            duration_s=grids[0].duration_s,
            curve=curve.astype(np.float32),
            heat=heat.astype(np.float32),
            band_edges_hz=edges,
            ranges=odd_ranges(curve, heat, grids[0].duration_s, edges),
        )

    def _place(self, grids: Sequence[TokenGrid], own: int | None) -> tuple[Float64Array, Float64Array]:
        """Return curve and heat map on the loop's own axis; loop `own` of the memory is not compared with."""
        n_bands = len(self._band_limits)
        curve: Float64Array | float = 0.0
        heat: Float64Array | float = 0.0
        for grid, stage in zip(grids, self._stages, strict=True):
            distance, parts = stage.distances(_steps(grid), own)
            rows = np.column_stack([distance, np.repeat(parts, n_bands // parts.shape[1], axis=1)])
            placed = on_loop_axis(rows, grid)
            curve = curve + placed[:, 0] / len(self._stages)
            heat = heat + placed[:, 1:].T / len(self._stages)
        return np.asarray(curve / self._limit), np.asarray(heat / self._band_limits[:, None])


class _StageMemory:
    """The moments of one stage that are kept; distances are scaled so that a normal moment has about 1."""

    def __init__(
        self,
        grids: Sequence[TokenGrid],
        n_candidates: int,
        memory_size: int,
        rng: np.random.Generator,
        run: Run,
    ) -> None:
        self._n_bands = grids[0].tokens.shape[2]
        moments = [_steps(grid)[_holds_sound(grid)] for grid in grids]
        owners = np.repeat(np.arange(len(grids)), [len(part) for part in moments])
        stacked = np.concatenate(moments)
        drawn = rng.permutation(len(stacked))[:n_candidates]
        self._centre = stacked.mean(axis=0)
        self._band_scale: Float32Array = np.ones(self._n_bands, dtype=np.float32)
        self._scale = np.float32(1.0)
        centred = stacked[drawn] - self._centre
        kept = coreset(centred, memory_size, rng)
        self._memory, self._owners = centred[kept], owners[drawn][kept]
        self._squares = np.square(self._memory).sum(axis=1)
        sampled = _sample(len(moments), rng).tolist()
        distances, parts = zip(*run(self.distances, (moments[i] for i in sampled), sampled), strict=True)
        self._scale = np.float32(max(np.median(np.concatenate(distances)), _TINY))
        self._band_scale = np.maximum(np.median(np.concatenate(parts), axis=0), _TINY).astype(np.float32)

    def distances(self, steps: Float32Array, own: int | None) -> tuple[Float32Array, Float32Array]:
        """Return each moment's distance to the nearest one kept, (n,), and its bands' parts, (n, n_bands).

        Moments of loop `own` are left out, unless nothing else is kept.
        """
        blocks = range(0, len(steps), _MOMENTS_AT_ONCE)
        parts = np.concatenate([self._parts(steps[at : at + _MOMENTS_AT_ONCE], own) for at in blocks])
        distance: Float32Array = np.linalg.norm(parts, axis=1) / self._scale
        return distance, np.asarray(parts / self._band_scale, dtype=np.float32)

    def _parts(self, steps: Float32Array, own: int | None) -> Float32Array:
        centred = steps - self._centre
        # |x - m|² less |x|², which is the same for all m.
        gaps = self._squares - 2.0 * centred @ self._memory.T
        if own is not None and (self._owners != own).any():
            gaps[:, self._owners == own] = np.inf
        nearest = gaps.argmin(axis=1)
        apart = (centred - self._memory[nearest]).reshape(len(steps), self._n_bands, -1)
        parts: Float32Array = np.linalg.norm(apart, axis=2)
        return parts


def coreset(points: Float32Array, n_kept: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Choose points so that no point is far from a chosen one (greedy k-centre).

    Parameters
    ----------
    points : float32 ndarray of shape (n_points, dim)
    n_kept : int
    rng : numpy.random.Generator
        Of the projection that the distances are measured in.

    Returns
    -------
    chosen : int64 ndarray of shape (min(n_kept, n_points),)
        The first point, then each time the one that is farthest from all that were chosen.

    References
    ----------
    Roth et al. 2022, arXiv 2106.08265, algorithm 1; Sener and Savarese 2018, arXiv 1708.00489.
    """
    n_points, dim = points.shape
    if n_points <= n_kept:
        return np.arange(n_points)
    if dim > _PROJECTED_DIM:
        points = points @ rng.standard_normal((dim, _PROJECTED_DIM), dtype=np.float32)
    squares = np.square(points).sum(axis=1)
    gap = np.full(n_points, np.inf, dtype=np.float32)
    chosen = np.zeros(n_kept, dtype=np.int64)
    for k in range(1, n_kept):
        last = chosen[k - 1]
        np.minimum(gap, squares + squares[last] - 2.0 * (points @ points[last]), out=gap)
        chosen[k] = gap.argmax()
    return chosen


def on_loop_axis(rows: npt.NDArray[np.floating], grid: TokenGrid) -> Float64Array:
    """Average what was found for the steps of a grid onto the loop's own time axis.

    Parameters
    ----------
    rows : float ndarray of shape (n_windows * n_steps, n_columns)
    grid : TokenGrid
        Repeats and overlapping windows see a moment several times; each counts for as long as it saw it.

    Returns
    -------
    placed : float64 ndarray of shape (n_bins, n_columns)
        Equal bins of at most `BIN_S` that span the loop.
    """
    n_bins = max(1, int(np.ceil(grid.duration_s / BIN_S)))
    bin_s = grid.duration_s / n_bins
    # Each step is sampled twice a bin or more; a step that spans bins unevenly then counts by its share.
    n_samples = int(np.ceil(2.0 * grid.step_s / bin_s))
    offsets_s = (np.arange(n_samples) + 0.5) / n_samples * grid.step_s
    seconds = (_step_starts_s(grid)[:, None] + offsets_s).reshape(-1)
    sounding = (seconds >= 0) & (seconds < grid.filled_s)
    bins = (seconds[sounding] % grid.duration_s / bin_s).astype(np.int64).clip(max=n_bins - 1)
    step_of = np.repeat(np.arange(len(rows)), n_samples)[sounding]
    count = np.bincount(bins, minlength=n_bins)
    seen = np.flatnonzero(count)
    placed = np.empty((n_bins, rows.shape[1]))
    for j, column in enumerate(rows.T):
        total = np.bincount(bins, weights=column[step_of], minlength=n_bins)
        # The last hop of a clip may lie behind the centre of its last frame.
        placed[:, j] = np.interp(np.arange(n_bins), seen, total[seen] / count[seen])
    return placed


def odd_ranges(
    curve: npt.NDArray[np.floating],
    heat: npt.NDArray[np.floating],
    duration_s: float,
    band_edges_hz: Float64Array,
) -> tuple[OddRange, ...]:
    """Return the stretches in which a curve is at 1 or above; short gaps between them are bridged.

    Parameters
    ----------
    curve : float ndarray of shape (n_bins,)
    heat : float ndarray of shape (n_bands, n_bins)
        Its bands at 1 or above, or the hottest one, give a stretch its frequencies.
    duration_s : float
    band_edges_hz : float64 ndarray of shape (n_bands + 1,)

    Returns
    -------
    ranges : tuple of OddRange
    """
    bin_s = duration_s / len(curve)
    odd = np.flatnonzero(curve >= 1.0)
    if not len(odd):
        return ()
    breaks = np.flatnonzero(np.diff(odd) * bin_s > _SHORTEST_GAP_S + bin_s / 2)
    found = []
    for part in np.split(odd, breaks + 1):
        first, last = int(part[0]), int(part[-1])
        warmth = heat[:, part].mean(axis=1)
        hot = np.flatnonzero(warmth >= min(1.0, float(warmth.max())))
        found.append(
            OddRange(
                start_s=first * bin_s,
                end_s=(last + 1) * bin_s,
                low_hz=float(band_edges_hz[hot[0]]),
                high_hz=float(band_edges_hz[hot[-1] + 1]),
                oddness=float(curve[first : last + 1].max()),
            )
        )
    return tuple(found)


def _sample(n_loops: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the loops that tell how far normal moments lie from each other."""
    return rng.permutation(n_loops)[:_MAX_CALIBRATING]


def _steps(grid: TokenGrid) -> Float32Array:
    """All bands of a step in one row: (n_windows * n_steps, n_bands * dim)."""
    n_windows, n_steps = grid.tokens.shape[:2]
    return grid.tokens.reshape(n_windows * n_steps, -1)


def _step_starts_s(grid: TokenGrid) -> Float64Array:
    steps_s = np.arange(grid.tokens.shape[1]) * grid.step_s
    return (grid.window_starts_s[:, None] + steps_s).reshape(-1)


def _holds_sound(grid: TokenGrid) -> npt.NDArray[np.bool_]:
    """Which steps lie in the clip or its repeats, with at least half of their length."""
    return _step_starts_s(grid) + grid.step_s / 2 < grid.filled_s


def _shape(grids: Sequence[TokenGrid]) -> list[tuple[int, int]]:
    """Bands and channels of each stage."""
    return [(grid.tokens.shape[2], grid.tokens.shape[3]) for grid in grids]


def _check_alike(loops: Sequence[Sequence[TokenGrid]]) -> None:
    shapes = {tuple(_shape(grids)) for grids in loops}
    if len(shapes) > 1 or not next(iter(shapes)):
        raise FeatureError(f"normal loops need tokens of the same stages; got {sorted(shapes)}")
