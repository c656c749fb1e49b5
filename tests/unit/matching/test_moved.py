"""What finds a moved loop again: sketches that stay alike, compared among loops of one length."""

from dataclasses import replace

import numpy as np
import pytest

from loopsphere.matching.fingerprint import FINGERPRINT_DIM, FINGERPRINT_RATE_HZ, ring_fingerprint
from loopsphere.matching.moved import have_equals, moved_candidates, moved_sketch
from loopsphere.matching.relation import TRANSPOSED_COSINE
from loopsphere.synth import LoopSpec, render

GUITAR = LoopSpec(
    "nylon_guitar", "fingerpicked", 52, seed=3, bpm=100, bars=1, sample_rate=FINGERPRINT_RATE_HZ
)


@pytest.mark.parametrize("n_moved", [1, 4_321, 30_000])
def test_a_ring_is_the_same_wherever_it_begins(n_moved: int) -> None:
    loop, other = render(GUITAR), render(replace(GUITAR, seed=4))
    moved = np.roll(loop, n_moved)
    assert ring_fingerprint(loop) @ ring_fingerprint(moved) > 0.999
    assert ring_fingerprint(loop) @ ring_fingerprint(other) < 0.85


def test_some_samples_more_leave_a_ring_alike() -> None:
    loop = render(GUITAR)
    assert ring_fingerprint(loop) @ ring_fingerprint(np.pad(loop, (0, 5))) > 0.8


@pytest.mark.parametrize("semitones", [-7, -2, 3, 12])
def test_notes_are_found_at_another_pitch(semitones: int) -> None:
    sketches = [
        moved_sketch(render(replace(GUITAR, **change)))
        for change in ({}, {"transpose": semitones}, {"style": "strummed"})
    ]
    (_, anywhere, notes), (_, anywhere_higher, notes_higher), (_, anywhere_else, _) = (
        np.split(sketch, 3) for sketch in sketches
    )
    assert anywhere @ anywhere_higher > 0.85
    assert notes @ notes_higher < TRANSPOSED_COSINE
    assert anywhere @ anywhere_else < anywhere @ anywhere_higher - 0.1


@pytest.mark.parametrize("n_samples", [1, 800, 3 * FINGERPRINT_RATE_HZ])
def test_silence_and_the_shortest_loops_have_a_sketch(n_samples: int) -> None:
    for waveform in (np.zeros(n_samples), np.ones(n_samples), np.random.default_rng(0).random(n_samples)):
        sketch = moved_sketch(waveform.astype(np.float32))
        assert sketch.shape == (3 * FINGERPRINT_DIM,)
        assert np.isfinite(sketch).all()


def test_only_loops_of_one_length_have_equals() -> None:
    assert have_equals(np.array([4.0, 8.0, 4.004, 2.0, 8.1])).tolist() == [True, False, True, False, False]
    assert have_equals(np.array([4.0])).tolist() == [False]
    assert have_equals(np.array([])).tolist() == []


def test_candidates_are_the_same_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((3, 50, FINGERPRINT_DIM)).astype(np.float32)
    parts[0, [20, 40]] = parts[0, 3]  # turned; 40 has another length
    parts[1, 30] = parts[1, 7]  # higher
    parts[1, 31] = parts[1, 8]
    parts[2, 31] = parts[2, 8]  # the same notes, not higher
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    durations_s = np.full(50, 4.0)
    durations_s[20], durations_s[40] = 4.004, 5.0
    names = [f"{number:02d}" for number in range(50)]
    sketches = np.concatenate(parts, axis=1)
    for n_cosines in (1 << 24, 50 * 8, 1):  # all at once, eight rows at a time, one by one
        monkeypatch.setattr("loopsphere.matching.fingerprint._BLOCK_COSINES", n_cosines)
        assert moved_candidates(names, durations_s, sketches) == ([("03", "20")], [("07", "30")])
