"""What holds for every collection of clips: batches, order and repetition do not change an embedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsphere.encoders import Encoder, load_encoder
from random_networks import SMALL_MEL, save_small_checkpoint

TOLERANCE = 1e-5  # on L2-normalised embeddings
WINDOW = SMALL_MEL.window_samples
# Short, exactly the window, the last sample that is not long, the first that is, and long clips.
LENGTHS = st.sampled_from([50, 3000, WINDOW, WINDOW + 79, WINDOW + 80, 2 * WINDOW, 5 * WINDOW + 123])
CLIPS = st.lists(st.tuples(LENGTHS, st.integers(0, 5)), min_size=1, max_size=6)


@pytest.fixture(scope="module", params=[True, False], ids=["fused", "windows"])
def encoder(request, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    path: Path = tmp_path_factory.mktemp("properties") / "small.safetensors"
    return load_encoder(str(save_small_checkpoint(path, fusion=request.param)), device="cpu")


def waveform(n_samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * rng.uniform(50, 3000) / SMALL_MEL.sample_rate * np.arange(n_samples))
    return (0.2 * tone + 0.02 * rng.standard_normal(n_samples)).astype(np.float32)


def normalised(embedding: np.ndarray) -> np.ndarray:
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clips=CLIPS, data=st.data())
def test_batch_and_order_do_not_count(encoder: Encoder, clips, data) -> None:
    waveforms = [waveform(*clip) for clip in clips]
    alone = normalised(np.concatenate([encoder.embed([clip]) for clip in waveforms]))
    order = data.draw(st.permutations(range(len(clips))))
    together = normalised(encoder.embed([waveforms[index] for index in order]))
    np.testing.assert_allclose(together, alone[order], atol=TOLERANCE)


def test_runs_and_loads_do_not_count(encoder: Encoder, tmp_path: Path) -> None:
    waveforms = [waveform(length, 1) for length in (700, WINDOW, 3 * WINDOW)]
    again = save_small_checkpoint(tmp_path / "again.safetensors", fusion=encoder.config.fusion)
    np.testing.assert_array_equal(
        load_encoder(str(again), device="cpu").embed(waveforms), encoder.embed(waveforms)
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_samples=st.integers(50, WINDOW // 3), seed=st.integers(0, 100), times=st.integers(2, 3))
def test_a_loop_played_more_often_is_the_same_loop(
    encoder: Encoder, n_samples: int, seed: int, times: int
) -> None:
    loop = waveform(n_samples, seed)
    once, often = normalised(encoder.embed([loop, np.tile(loop, times)]))
    np.testing.assert_allclose(often, once, atol=TOLERANCE)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=LENGTHS, position=st.floats(0, 1), seed=st.integers(0, 5))
def test_no_part_of_a_clip_is_cut_away(encoder: Encoder, length: int, position: float, seed: int) -> None:
    """A burst anywhere in a clip changes its embedding."""
    plain = waveform(length, seed)
    burst = plain.copy()
    start = int(position * max(0, length - 2000))
    burst[start : start + 2000] += (
        np.random.default_rng(9).standard_normal(burst[start : start + 2000].size) * 2
    )
    before, after = normalised(encoder.embed([plain, burst]))
    assert np.abs(after - before).max() > 100 * TOLERANCE
