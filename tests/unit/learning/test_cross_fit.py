"""What is left out of what is learnt from, and that rounding decides nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from loopsphere.learning.cross_fit import Learner, without_oddest
from loopsphere.settings import Settings

N_LOOPS, N_FEATURES = 90, 48


@given(seed=st.integers(0, 2**31), n_loops=st.integers(5, 300), share=st.sampled_from([0.1, 0.2]))
def test_about_the_share_is_left_out_and_all_of_it_is_odder(seed: int, n_loops: int, share: float) -> None:
    scores = np.random.default_rng(seed).gamma(2.0, size=n_loops)
    is_left = without_oddest(scores, share)
    n_out = int((~is_left).sum())
    assert n_out >= 1
    assert abs(n_out - share * n_loops) <= 0.3 * share * n_loops + 1.5
    assert scores[~is_left].min() > scores[is_left].max()


@given(seed=st.integers(0, 2**31))
def test_copies_stay_on_one_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.repeat(rng.gamma(2.0, size=60), 3) + rng.normal(scale=1e-9, size=180)
    n_left = without_oddest(scores, 0.1).reshape(60, 3).sum(axis=1)
    assert set(n_left.tolist()) <= {0, 3}


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 1.0], [2.0] * 30])
def test_where_nothing_differs_nothing_is_left_out(scores: list[float]) -> None:
    assert without_oddest(np.array(scores), 0.1).all()


@pytest.mark.parametrize("detector", ["deep-svdd", "knn"])
def test_scores_change_no_more_than_what_they_are_of(detector: str) -> None:
    """Embeddings of two processors differ by some millionths in cosine; scores must not by per cent."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(6, N_FEATURES))
    loops = centres[rng.integers(6, size=N_LOOPS)] + 0.3 * rng.normal(size=(N_LOOPS, N_FEATURES))
    loops[:6] = 1.2 * rng.normal(size=(6, N_FEATURES))
    loops /= np.linalg.norm(loops, axis=1, keepdims=True)
    noise = rng.normal(size=loops.shape)
    elsewhere = loops + 2e-3 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    groups = np.arange(N_LOOPS)
    scores, others = (
        Learner(of.astype(np.float32), None, detector, Settings(device="cpu"), holds_odd=True)
        .trimmed(groups)
        .scores
        for of in (loops, elsewhere)
    )
    oddest = np.argsort(-scores)[:10]
    assert spearmanr(scores, others).statistic > 0.998
    assert np.abs(others[oddest] / scores[oddest] - 1.0).max() < 0.02
