"""The teacher, musicnn: its published outputs, its file, and what it is given to hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining.musicnn import REACH, Musicnn, read_musicnn, save_musicnn
from pretraining.teacher import DIM, Teacher, musicnn_ring

from audio_files import melody

GOLDEN = Path(__file__).parents[2] / "golden" / "musicnn.json"
RATE = 32_000


@pytest.fixture(scope="module")
def network() -> Musicnn:
    return read_musicnn()


def log_mel() -> torch.Tensor:
    """As in `make_musicnn.py`."""
    rng = np.random.default_rng(0)
    slow, fast = rng.random((2, 187, 1)), rng.random((2, 187, 96))
    return torch.from_numpy((3.0 * slow + 1.5 * fast - np.linspace(0, 2, 96)).clip(0).astype(np.float32))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def hear(network: Musicnn, ring: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(ring))[0].numpy()


def test_features_and_tags_are_those_of_the_published_network(network: Musicnn) -> None:
    """Though two thirds of its filters were left out and its weights are stored in half precision."""
    golden = json.loads(GOLDEN.read_text())
    for window, features, tags in zip(log_mel(), golden["features"], golden["tags"], strict=True):
        with torch.inference_mode():
            ours = [part.numpy() for part in network(window, wraps=False)]
        assert cosine(ours[0], np.array(features)) > 0.9999
        np.testing.assert_allclose(ours[1], tags, atol=2e-3)


@pytest.mark.parametrize(("n_frames", "least"), [(16, 1 - 1e-6), (150, 1 - 1e-6), (500, 0.9995)])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_where_a_ring_starts_does_not_count(
    network: Musicnn, n_frames: int, least: float, share: float
) -> None:
    ring = musicnn_ring(melody(8.0))[:n_frames]
    moved = np.roll(ring, round(share * n_frames), axis=0)
    assert cosine(hear(network, moved), hear(network, ring)) > least


@pytest.mark.parametrize("n_frames", [16, 125, 250])
def test_a_loop_sounds_the_same_said_twice(network: Musicnn, n_frames: int) -> None:
    ring = musicnn_ring(melody(8.0))[:n_frames]
    assert cosine(hear(network, np.tile(ring, (2, 1))), hear(network, ring)) > 0.99


def test_away_from_zeros_and_seam_a_ring_sounds_as_in_the_published_network(network: Musicnn) -> None:
    """Of filters that reach 3 frames, where the window's zeros are not in reach."""
    window = musicnn_ring(melody(8.0))[:187]
    with torch.inference_mode():
        around, cut = (network.over_time(torch.from_numpy(window), wraps=wraps) for wraps in (True, False))
    timbre, reach = slice(0, sum(network.config.n_filters[:2])), REACH
    torch.testing.assert_close(around[timbre, reach:-reach], cut[timbre, reach:-reach])
    assert not torch.allclose(around[timbre, :reach], cut[timbre, :reach], atol=0.01)


def test_saving_and_reading(network: Musicnn, tmp_path: Path) -> None:
    save_musicnn(tmp_path / "again.safetensors", network)
    again = read_musicnn(tmp_path / "again.safetensors")
    assert again.config == network.config
    with torch.inference_mode():
        torch.testing.assert_close(again(log_mel()[0])[0], network(log_mel()[0])[0])


@pytest.mark.parametrize(("seconds", "n_frames"), [(0.25, 16), (2, 125), (30, 1875)])
def test_how_many_frames(seconds: float, n_frames: int) -> None:
    assert musicnn_ring(melody(seconds)).shape == (n_frames, 96)


def test_a_steady_tone_is_the_same_everywhere() -> None:
    """Across the seam too."""
    tone = np.sin(2 * np.pi * 500 * np.arange(512 * 250) / RATE).astype(np.float32)
    ring = musicnn_ring(tone)
    np.testing.assert_allclose(ring, np.broadcast_to(ring[:1], ring.shape), atol=1e-3)


def test_level_does_not_count() -> None:
    np.testing.assert_allclose(musicnn_ring(melody(3)), musicnn_ring(0.1 * melody(3)), atol=1e-4)


def test_the_teacher_says_the_same_at_any_level() -> None:
    """Features, which are what training learns from."""
    teacher = Teacher()
    taught = teacher(melody(3))
    assert (taught.shape, taught.dtype) == ((DIM,), np.float32)
    np.testing.assert_allclose(teacher(0.1 * melody(3)), taught, atol=1e-3)
