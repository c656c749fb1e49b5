"""Where a loop is odd: planted bursts are found on the loop's own axis, at their second and in their band."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from loopsphere.encoders import Encoder, load_encoder
from loopsphere.errors import FeatureError
from loopsphere.explain.localise import BIN_S, TokenMemory, coreset, odd_ranges, on_loop_axis
from loopsphere.types import TokenGrid

EDGES_HZ = np.array([0.0, 100.0, 1000.0, 10_000.0])


def grid(
    duration_s: float, *, window_s: float = 10.0, n_steps: int = 50, seed: int = 0, n_bands: int = 3
) -> TokenGrid:
    """Tokens of a short loop that repeats: a random walk of its own for each of its moments."""
    rng = np.random.default_rng(seed)
    moments = rng.standard_normal((1000, n_bands, 4)).astype(np.float32)
    step_s = window_s / n_steps
    moment = ((np.arange(n_steps) + 0.5) * step_s % duration_s / duration_s * 1000).astype(int)
    tokens = moments[moment][None]
    return TokenGrid(tokens, np.zeros(1), step_s, EDGES_HZ, duration_s, max(duration_s, window_s))


def test_repeats_are_averaged_onto_the_loops_own_axis() -> None:
    """What was found at a moment of every repeat comes back at that moment, finer than the steps are."""
    duration_s = 2.35
    loop = grid(duration_s, n_steps=64)
    centres = (np.arange(64) + 0.5) * loop.step_s % duration_s
    rows = np.stack([centres, np.sin(2 * np.pi * centres / duration_s)], axis=1)
    placed = on_loop_axis(rows, loop)
    assert len(placed) == int(np.ceil(duration_s / BIN_S))
    seconds = (np.arange(len(placed)) + 0.5) / len(placed) * duration_s
    np.testing.assert_allclose(placed[:, 1], np.sin(2 * np.pi * seconds / duration_s), atol=0.15)


def test_overlapping_windows_are_averaged() -> None:
    long = TokenGrid(np.zeros((2, 10, 1, 1), np.float32), np.array([0.0, 5.0]), 1.0, EDGES_HZ, 15.0, 15.0)
    rows = np.concatenate([np.full(10, 2.0), np.full(10, 4.0)])[:, None]
    placed = on_loop_axis(rows, long)[:, 0]
    assert (placed[: round(5 / BIN_S)] == 2).all()
    np.testing.assert_allclose(placed[round(5 / BIN_S) : round(10 / BIN_S)], 3)
    assert (placed[round(10 / BIN_S) :] == 4).all()


def test_padding_counts_for_nothing() -> None:
    padded = TokenGrid(np.zeros((1, 10, 1, 1), np.float32), np.zeros(1), 1.0, EDGES_HZ, 3.0, 9.0)
    rows = np.r_[np.ones(9), 1e6][:, None]
    np.testing.assert_allclose(on_loop_axis(rows, padded), 1)


def test_a_coreset_leaves_no_point_far_away() -> None:
    """Two thirds of the points are copies; a random choice would keep copies, a coreset keeps the corners."""
    rng = np.random.default_rng(0)
    corners = 100 * rng.standard_normal((30, 200)).astype(np.float32)
    points = np.concatenate([np.repeat(corners[:1], 2000, axis=0), corners])[::-1]
    chosen = coreset(points, 30, np.random.default_rng(0))
    assert len({tuple(points[i, :3]) for i in chosen}) == 30
    assert (coreset(points, 5000, rng) == np.arange(len(points))).all()


def test_a_planted_moment_is_found_in_its_band() -> None:
    rng = np.random.default_rng(1)
    normal = grid(2.0)

    def with_noise() -> np.ndarray:
        return 10 * normal.tokens + 0.1 * rng.standard_normal(normal.tokens.shape).astype(np.float32)

    memory = TokenMemory().fit([[dataclasses.replace(normal, tokens=with_noise())] for _ in range(4)])
    tokens = with_noise()
    # Second 1.2 to 1.4 of a loop of 2 s, in each of five repeats: steps of 0.2 s.
    tokens[0, 6::10, 1] += 8
    odd = TokenGrid(tokens, normal.window_starts_s, normal.step_s, EDGES_HZ, 2.0, 10.0)
    where = memory.localise([odd])
    (found,) = where.ranges
    assert (found.start_s, found.end_s) == pytest.approx((1.2, 1.4), abs=1e-6)
    assert (found.low_hz, found.high_hz) == (100.0, 1000.0)
    assert found.oddness == pytest.approx(where.curve.max())
    assert where.heat.shape == (3, len(where.curve))
    assert np.unravel_index(where.heat.argmax(), where.heat.shape)[0] == 1


def test_about_a_hundredth_of_normal_moments_lie_above_one() -> None:
    rng = np.random.default_rng(0)
    loops = [
        [
            TokenGrid(
                rng.standard_normal((1, 200, 3, 4)).astype(np.float32),
                np.zeros(1),
                BIN_S,
                EDGES_HZ,
                10.0,
                10.0,
            )
        ]
        for _ in range(24)
    ]
    memory = TokenMemory().fit(loops[:12])
    above = np.mean([memory.localise(loop).curve > 1 for loop in loops[12:]])
    assert 0.002 < above < 0.03


def test_near_ranges_are_one() -> None:
    curve = np.zeros(100)
    curve[[10, 11, 13, 40, 99]] = 2.0
    heat = np.zeros((3, 100))
    heat[2] = curve
    found = odd_ranges(curve, heat, 5.0, EDGES_HZ)
    assert [(round(r.start_s, 2), round(r.end_s, 2)) for r in found] == [(0.5, 0.7), (2.0, 2.05), (4.95, 5.0)]
    assert {(r.low_hz, r.high_hz) for r in found} == {(1000.0, 10_000.0)}
    assert odd_ranges(np.full(100, 0.99), heat, 5.0, EDGES_HZ) == ()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(FeatureError, match="two normal loops are the fewest"):
        TokenMemory().fit([[grid(1.0)]])
    with pytest.raises(FeatureError, match="the same stages"):
        TokenMemory().fit([[grid(1.0)], [grid(1.0), grid(1.0)]])
    memory = TokenMemory().fit([[grid(1.0)], [grid(1.0, seed=1)]])
    with pytest.raises(FeatureError, match="not like those remembered"):
        memory.localise([grid(1.0), grid(1.0)])


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("bundled", device="cpu")


@pytest.mark.parametrize("duration_s", [0.9, 4.3, 14.0])
def test_a_burst_is_found_in_audio_of_any_length(encoder: Encoder, duration_s: float) -> None:
    """From waveforms to the range, through repeats, folding and windows; whatever the weights are."""
    rng = np.random.default_rng(0)
    rate = encoder.mel.sample_rate
    time = np.arange(round(duration_s * rate)) / rate

    def loop() -> np.ndarray:
        pulse = np.sin(2 * np.pi * rng.uniform(200, 400) * time) * (0.6 + 0.4 * np.cos(2 * np.pi * 4 * time))
        return (0.2 * pulse + 0.005 * rng.standard_normal(len(time))).astype(np.float32)

    memory = TokenMemory().fit([encoder.token_grids(loop()) for _ in range(8)])
    start_s = 0.6 * duration_s
    odd = loop()
    burst = (time >= start_s) & (time < start_s + 0.25)
    odd[burst] += (0.2 * np.sin(2 * np.pi * 5000 * time[burst])).astype(np.float32)
    where = memory.localise(encoder.token_grids(odd))
    peak_s = (where.curve.argmax() + 0.5) / len(where.curve) * duration_s
    assert start_s - 0.1 <= peak_s <= start_s + 0.35
    band = where.heat[:, int((start_s + 0.12) / duration_s * len(where.curve))].argmax()
    assert where.band_edges_hz[band] <= 5100
    assert where.band_edges_hz[band + 1] >= 4900
