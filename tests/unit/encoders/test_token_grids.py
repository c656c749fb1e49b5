"""A burst at a known second and pitch must move the tokens that stand for it, whatever the front end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from loopsphere.encoders import Encoder, load_encoder
from loopsphere.features.config import MelConfig
from loopsphere.features.mel import band_edges_hz, mel_filters
from random_networks import save_small_checkpoint

BURST_S = 0.03


@pytest.fixture(scope="module", params=["bundled", "small"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The bundled encoder's window fills its image; the small one's 201 frames are stretched to 256."""
    if request.param == "bundled":
        return load_encoder("bundled", device="cpu")
    path = save_small_checkpoint(tmp_path_factory.mktemp("weights") / "small.safetensors")
    return load_encoder(str(path), device="cpu")


def clip(encoder: Encoder, duration_s: float, burst_s: float | None = None, hz: float = 1000.0) -> np.ndarray:
    """Faint noise, and a short tone centred on `burst_s`."""
    rate = encoder.mel.sample_rate
    waveform = 0.01 * np.random.default_rng(0).standard_normal(round(duration_s * rate)).astype(np.float32)
    if burst_s is not None:
        time = np.arange(len(waveform)) / rate - burst_s
        waveform += np.where(abs(time) < BURST_S / 2, 0.05 * np.sin(2 * np.pi * hz * time), 0).astype(
            np.float32
        )
    return waveform


GRIDS = pytest.mark.parametrize("k", [0, 1], ids=["log-mel", "first stage"])


def moved(encoder: Encoder, k: int, duration_s: float, burst_s: float, hz: float = 1000.0):
    """How far the burst moves each token of grid k, (n_windows, n_steps, n_bands), and the grid."""
    without = encoder.token_grids(clip(encoder, duration_s), stages=(0,))[k]
    grid = encoder.token_grids(clip(encoder, duration_s, burst_s, hz), stages=(0,))[k]
    return np.linalg.norm(grid.tokens - without.tokens, axis=-1), grid


@GRIDS
@pytest.mark.parametrize("place", [0.03, 0.31, 0.49, 0.51, 0.77, 0.98])
def test_a_burst_is_found_at_its_second(encoder: Encoder, k: int, place: float) -> None:
    burst_s = place * encoder.mel.window_s
    distance, grid = moved(encoder, k, encoder.mel.window_s, burst_s)
    step = distance[0].sum(axis=1).argmax()
    start_s = grid.window_starts_s[0] + step * grid.step_s
    assert start_s - BURST_S <= burst_s <= start_s + grid.step_s + BURST_S


@GRIDS
@pytest.mark.parametrize("place", [0.05, 0.4, 0.75])
def test_a_burst_is_found_in_every_repeat(encoder: Encoder, k: int, place: float) -> None:
    duration_s = 0.3 * encoder.mel.window_s
    burst_s = place * duration_s
    distance, grid = moved(encoder, k, duration_s, burst_s)
    assert (grid.duration_s, grid.filled_s) == pytest.approx((duration_s, encoder.mel.window_s), abs=1e-3)
    for repeat in range(3):
        span = (np.array([0.0, duration_s]) + repeat * duration_s - grid.window_starts_s[0]) / grid.step_s
        first, last = np.clip(span.round().astype(int), 0, distance.shape[1])
        step = first + distance[0, first:last].sum(axis=1).argmax()
        start_s = grid.window_starts_s[0] + step * grid.step_s - repeat * duration_s
        assert start_s - BURST_S <= burst_s <= start_s + grid.step_s + BURST_S


@GRIDS
@pytest.mark.parametrize("place", [0.02, 0.35, 0.6, 0.99])
def test_a_burst_is_found_in_the_windows_of_a_long_clip(encoder: Encoder, k: int, place: float) -> None:
    duration_s = 2.6 * encoder.mel.window_s
    burst_s = place * duration_s
    distance, grid = moved(encoder, k, duration_s, burst_s)
    assert len(grid.tokens) == 3
    window, step = np.unravel_index(distance.sum(axis=2).argmax(), distance.shape[:2])
    start_s = grid.window_starts_s[window] + step * grid.step_s
    assert start_s - BURST_S <= burst_s <= start_s + grid.step_s + BURST_S


@GRIDS
@pytest.mark.parametrize("hz", [150.0, 700.0, 2500.0])
def test_a_burst_is_found_at_its_pitch(encoder: Encoder, k: int, hz: float) -> None:
    distance, grid = moved(encoder, k, encoder.mel.window_s, 0.4 * encoder.mel.window_s, hz)
    _, _, band = np.unravel_index(distance.argmax(), distance.shape)
    # A window of 30 ms smears a tone by some 60 Hz, which may reach the neighbour of a narrow low band.
    assert grid.band_edges_hz[band] - 100 <= hz <= grid.band_edges_hz[band + 1] + 100


def test_stages_share_their_axes(encoder: Encoder) -> None:
    pieces, first, second = encoder.token_grids(clip(encoder, 0.7), stages=(0, 1))
    assert pieces.tokens.shape[2] == first.tokens.shape[2]
    assert second.tokens.shape[1] * 2 == first.tokens.shape[1]
    assert second.step_s == pytest.approx(2 * first.step_s)
    assert second.window_starts_s == pytest.approx(first.window_starts_s)
    np.testing.assert_allclose(second.band_edges_hz, first.band_edges_hz[::2])


def test_padding_is_told_from_sound(encoder: Encoder) -> None:
    padded = dataclasses.replace(encoder, mel=dataclasses.replace(encoder.mel, short_clip="repeatpad"))
    duration_s = 0.3 * padded.mel.window_s
    _, grid = padded.token_grids(clip(padded, duration_s), stages=(0,))
    assert grid.filled_s == pytest.approx(0.9 * padded.mel.window_s, rel=1e-3)


def test_last_stage_is_what_the_embedding_pools(encoder: Encoder) -> None:
    waveform = clip(encoder, 0.5 * encoder.mel.window_s)
    _, grid = encoder.token_grids(waveform, stages=(-1,))
    alone = dataclasses.replace(encoder, tagger=None)
    np.testing.assert_allclose(grid.tokens.mean(axis=(0, 1, 2)), alone.embed([waveform])[0], atol=1e-4)


@pytest.mark.parametrize("filters", ["htk", "slaney"])
def test_bands_meet_between_their_centres(filters) -> None:
    config = MelConfig(filters=filters)
    edges = band_edges_hz(config, config.n_mels)
    bins_hz = np.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1)
    peaks = bins_hz[mel_filters(config).argmax(axis=0)]
    assert (np.diff(edges) > 0).all()
    bin_hz = bins_hz[1]
    assert (edges[:-1] - bin_hz <= peaks).all()
    assert (peaks <= edges[1:] + bin_hz).all()
    np.testing.assert_allclose(band_edges_hz(config, 8), edges[::8])
