"""musicnn: its published outputs, its file, and what it is given to hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from loopsphere.encoders.loading import MUSICNN_FILE
from loopsphere.errors import CheckpointError, FeatureError
from loopsphere.features.listening import MAX_WINDOWS, musicnn_windows
from loopsphere.models.musicnn import Musicnn
from loopsphere.models.musicnn_file import read_musicnn, save_musicnn

GOLDEN = Path(__file__).parents[1] / "golden" / "musicnn.json"
RATE = 32_000


@pytest.fixture(scope="module")
def network() -> Musicnn:
    return read_musicnn(MUSICNN_FILE)


def log_mel() -> torch.Tensor:
    """As in `make_musicnn.py`."""
    rng = np.random.default_rng(0)
    slow, fast = rng.random((2, 187, 1)), rng.random((2, 187, 96))
    return torch.from_numpy((3.0 * slow + 1.5 * fast - np.linspace(0, 2, 96)).clip(0).astype(np.float32))


def melody(seconds: float, seed: int = 0) -> np.ndarray:
    """Plucked tones, a new one every quarter of a second."""
    rng, time = np.random.default_rng(seed), np.arange(RATE // 4) / RATE
    notes = [
        np.sin(2 * np.pi * hz * time) * np.exp(-8 * time)
        for hz in rng.choice([220, 247, 262, 294, 330, 392], size=round(4 * seconds))
    ]
    return np.concatenate(notes).astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_features_and_tags_are_those_of_the_published_network(network: Musicnn) -> None:
    """Though two thirds of its filters were left out and its weights are stored in half precision."""
    golden = json.loads(GOLDEN.read_text())
    with torch.inference_mode():
        features, tags = (part.numpy() for part in network(log_mel()))
    for ours, theirs in zip(features, np.array(golden["features"]), strict=True):
        assert cosine(ours, theirs) > 0.9999
    np.testing.assert_allclose(tags, golden["tags"], atol=2e-3)


def test_half_precision_filters_hear_the_same() -> None:
    exact, fast = read_musicnn(MUSICNN_FILE), read_musicnn(MUSICNN_FILE)
    fast.run_filters_in(torch.bfloat16)
    windows = torch.from_numpy(musicnn_windows(melody(4.0)))
    with torch.inference_mode():
        assert cosine(fast(windows)[0].numpy(), exact(windows)[0].numpy()) > 0.9995


def test_windows_are_heard_one_by_one(network: Musicnn) -> None:
    windows = torch.from_numpy(musicnn_windows(melody(8.0)))
    with torch.inference_mode():
        together, alone = network(windows)[0], torch.cat([network(window[None])[0] for window in windows])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_saving_and_reading(network: Musicnn, tmp_path: Path) -> None:
    save_musicnn(tmp_path / "again.safetensors", network)
    again = read_musicnn(tmp_path / "again.safetensors")
    assert again.config == network.config
    with torch.inference_mode():
        torch.testing.assert_close(again(log_mel())[0], network(log_mel())[0])


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    state = load_file(MUSICNN_FILE)
    save_file(state, tmp_path / "no-settings.safetensors")
    with pytest.raises(CheckpointError, match="is not a JSON object"):
        read_musicnn(tmp_path / "no-settings.safetensors")
    settings = {"musicnn_config": json.dumps({"n_filters": [1, 2, 3, 4, 5]})}
    save_file(state, tmp_path / "misshapen.safetensors", settings)
    with pytest.raises(CheckpointError, match="is not a musicnn checkpoint"):
        read_musicnn(tmp_path / "misshapen.safetensors")


@pytest.mark.parametrize(
    ("seconds", "n_windows"), [(0.25, 2), (3, 2), (6, 3), (8, 3), (30, 11), (600, MAX_WINDOWS)]
)
def test_how_many_windows(seconds: float, n_windows: int) -> None:
    assert musicnn_windows(melody(seconds)).shape == (n_windows, 187, 96)


def test_a_window_of_a_steady_tone_is_the_same_everywhere() -> None:
    """Across the seam too: the clip is a ring."""
    tone = np.sin(2 * np.pi * 500 * np.arange(512 * 250) / RATE).astype(np.float32)
    windows = musicnn_windows(tone)
    np.testing.assert_allclose(windows, np.broadcast_to(windows[0, :1], windows.shape), atol=1e-3)


def test_level_does_not_count() -> None:
    np.testing.assert_allclose(musicnn_windows(melody(3)), musicnn_windows(0.1 * melody(3)), atol=1e-4)


@pytest.mark.parametrize("waveform", [np.zeros(0), np.zeros((2, 900)), np.full(900, np.nan)])
def test_what_is_no_waveform_is_refused(waveform: np.ndarray) -> None:
    with pytest.raises(FeatureError, match="1-D"):
        musicnn_windows(waveform.astype(np.float32))
