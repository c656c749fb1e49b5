import numpy as np
import pytest

from loopsphere.evaluate.planted import MAGNITUDES, PlantedSet, by_fault, by_magnitude, planted_faults
from loopsphere.evaluate.protocols import PLANTED, run_tasks

STRENGTHS = dict(zip(MAGNITUDES, (0.3, 1.0, 4.0), strict=True))


class DistanceToMean:
    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def score_samples(self, X):
        return -np.linalg.norm(X - self.mean_, axis=1)


@pytest.fixture
def planted():
    """Loops around zero, and versions pushed by a loud and by a quiet fault."""
    rng = np.random.default_rng(0)
    loops = rng.normal(size=(90, 6))
    sources, versions = {}, {}
    for fault, gain in (("loud", 1.0), ("quiet", 0.3)):
        for magnitude, strength in STRENGTHS.items():
            source = rng.choice(90, 60, replace=False)
            sources[fault, magnitude] = source
            versions[fault, magnitude] = loops[source] + gain * strength
    return PlantedSet(loops, np.arange(90) // 3, sources, versions)


def test_versions_of_learnt_loops_are_not_tested(planted):
    embedding, tasks = planted_faults(planted, seeds=[0, 1])
    assert embedding.shape == (90 + 6 * 60, 6)
    for task in tasks:
        assert sorted([*task.train, *task.normal]) == list(range(90))
        assert not set(planted.groups[task.train]) & set(planted.groups[task.normal])
        for (fault, magnitude), source in planted.sources.items():
            rows = task.odd[f"{fault}, {magnitude}"]
            shift = STRENGTHS[magnitude] * (1.0 if fault == "loud" else 0.3)
            expected = embedding[source[np.isin(source, task.normal)]] + shift
            np.testing.assert_allclose(embedding[rows], expected)


def test_tables_follow_the_strength_of_the_fault(planted):
    embedding, tasks = planted_faults(planted, seeds=range(3))
    trials = run_tasks(embedding, tasks, {"distance": lambda seed: DistanceToMean()}, dataset="made up")
    assert {trial.protocol for trial in trials} == {PLANTED}
    faults = by_fault(trials, "distance")
    assert list(faults) == ["loud", "quiet"]
    for row in faults.values():
        assert list(row) == list(MAGNITUDES)
        assert row["small"] < row["medium"] < row["large"]
    assert faults["loud"]["large"] > 0.99 > faults["quiet"]["large"]
    means = by_magnitude(trials)
    for magnitude in MAGNITUDES:
        expected = np.mean([row[magnitude] for row in faults.values()])
        assert means[magnitude]["distance"].mean == pytest.approx(expected)
        assert means[magnitude]["distance"].n == 3


def test_a_source_that_does_not_exist_is_refused(planted):
    sources = {key: source + 60 for key, source in planted.sources.items()}
    with pytest.raises(ValueError, match="sources must name one of 90 loops"):
        planted_faults(PlantedSet(planted.features, None, sources, planted.versions), seeds=[0])


def test_a_fault_that_only_learnt_loops_have_is_refused():
    loops = np.arange(10.0)[:, None]
    key = ("rare", "small")
    rare = PlantedSet(loops, None, {key: np.array([4])}, {key: loops[[4]] + 1})
    with pytest.raises(ValueError, match="no held-out loop has a version with: rare, small"):
        planted_faults(rare, seeds=range(20))
