import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from loopsphere.evaluate.metrics import RANKING_METRICS
from loopsphere.evaluate.protocols import labelled_loops, one_normal_folder, one_odd_folder, run_tasks
from loopsphere.evaluate.summary import by_task, compare_with, metric_grid, summarise

DATA = Path(os.environ.get("LOOPSPHERE_DATA", Path(__file__).parents[4] / "shared" / "data"))


class DistanceToMean:
    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def score_samples(self, X):
        return -np.linalg.norm(X - self.mean_, axis=1)


class Noise:
    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y=None):
        return self

    def score_samples(self, X):
        return np.random.default_rng([self.seed, len(X)]).random(len(X))


DETECTORS = {"noise": Noise, "distance": lambda seed: DistanceToMean()}


@pytest.fixture
def three_folders():
    """Three folders of 40 loops, each around its centre; its last five are copies of its first five."""
    rng = np.random.default_rng(0)
    embedding = np.concatenate([centre + rng.normal(size=(40, 8)) for centre in (0.0, 2.5, 5.0)])
    for start in (0, 40, 80):
        embedding[start + 35 : start + 40] = embedding[start : start + 5]
    return embedding, np.repeat(["a", "b", "c"], 40)


@pytest.mark.parametrize("make_tasks", [one_normal_folder, one_odd_folder])
def test_tasks_hold_every_loop_once_and_keep_copies_together(three_folders, make_tasks):
    embedding, folders = three_folders
    tasks = make_tasks(embedding, folders, seeds=[0, 1])
    assert len(tasks) == 6
    for task in tasks:
        (odd,) = task.odd.values()
        assert sorted([*task.train, *task.normal, *odd]) == list(range(120))
        learnt = {row.tobytes() for row in embedding[task.train]}
        assert not learnt & {row.tobytes() for row in embedding[np.r_[task.normal, odd]]}


def test_one_normal_folder_learns_70_percent_of_it(three_folders):
    embedding, folders = three_folders
    task = one_normal_folder(embedding, folders, seeds=[3])[1]
    assert set(folders[np.r_[task.train, task.normal]]) == {"b"}
    assert task.train.size == pytest.approx(28, abs=3)
    assert set(folders[task.odd["b"]]) == {"a", "c"}


def test_one_odd_folder_learns_80_percent_of_the_others(three_folders):
    embedding, folders = three_folders
    task = one_odd_folder(embedding, folders, seeds=[3])[1]
    assert set(folders[np.r_[task.train, task.normal]]) == {"a", "c"}
    assert task.train.size == pytest.approx(64, abs=3)
    assert set(folders[task.odd["b"]]) == {"b"}


def test_small_folders_are_odd_but_never_the_normal_one(three_folders):
    embedding, folders = three_folders
    folders = np.r_[folders[:80], ["few"] * 5, folders[85:]]
    names = [name for task in one_normal_folder(embedding, folders, seeds=[0]) for name in task.odd]
    assert names == ["a", "b", "c"]
    assert "few" in {name for task in one_odd_folder(embedding, folders, seeds=[0]) for name in task.odd}


def test_loops_copied_across_folders_are_not_tested(three_folders):
    embedding, folders = three_folders
    embedding[40] = embedding[10]
    first = one_normal_folder(embedding, folders, seeds=[0])[0]
    assert 40 not in first.odd["a"]
    held_out = one_odd_folder(embedding, folders, seeds=[0])[1]
    assert 10 not in [*held_out.train, *held_out.normal]


def test_seeds_draw_different_splits_and_the_same_seed_the_same(three_folders):
    embedding, folders = three_folders
    first, second, again = (
        one_normal_folder(embedding, folders, seeds=[s])[0].train.tolist() for s in (0, 1, 0)
    )
    assert first == again != second


@pytest.mark.parametrize(
    ("folders", "make_tasks", "message"),
    [
        (["a"] * 120, one_normal_folder, "another folder are needed"),
        ([f"{i % 30}" for i in range(120)], one_normal_folder, "one folder of 30 loops or more"),
        (["a"] * 120, one_odd_folder, "two folders or more are needed, found 1"),
        (["a"] * 5, one_odd_folder, r"expected \(120,\)"),
    ],
)
def test_unusable_folders_are_refused(three_folders, folders, make_tasks, message):
    with pytest.raises(ValueError, match=message):
        make_tasks(three_folders[0], folders, seeds=[0])


def test_labelled_loops_are_split_by_group_and_kind(three_folders):
    embedding, folders = three_folders
    is_odd = folders == "c"
    kinds = np.where(np.arange(120) % 2, "noise", "speech")
    groups = np.arange(120) // 4
    (task,) = labelled_loops(embedding, is_odd, seeds=[0], groups=groups, kinds=kinds)
    assert set(task.odd) == {"noise", "speech"}
    assert not set(groups[task.train]) & set(groups[task.normal])
    assert not is_odd[task.train].any() and not is_odd[task.normal].any()
    assert all(is_odd[rows].all() and set(kinds[rows]) == {kind} for kind, rows in task.odd.items())


def test_odd_loops_whose_group_was_learnt_from_are_left_out():
    embedding = np.arange(40.0)[:, None]
    groups = np.repeat(np.arange(10), 4)
    is_odd = np.arange(40) % 4 == 0
    (task,) = labelled_loops(embedding, is_odd, seeds=[0], groups=groups)
    assert 0 < task.odd["odd"].size < 10
    assert not set(groups[task.odd["odd"]]) & set(groups[task.train])


@pytest.mark.parametrize("is_odd", [np.zeros(120, bool), np.ones(120, bool)])
def test_one_class_alone_is_refused(three_folders, is_odd):
    with pytest.raises(ValueError, match="both classes"):
        labelled_loops(three_folders[0], is_odd, seeds=[0])


def test_trials_measure_what_the_detectors_do(three_folders):
    embedding, folders = three_folders
    calls = []
    tasks = one_normal_folder(embedding, folders, seeds=[0, 1, 2])
    trials = run_tasks(
        embedding,
        tasks,
        DETECTORS,
        dataset="made up",
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(i, 18) for i in range(1, 19)]
    best, worst = summarise(trials)
    assert (best.detector, worst.detector) == ("distance", "noise")
    assert best.metrics["auroc"].mean > 0.97
    assert abs(worst.metrics["auroc"].mean - 0.5) < 0.1
    assert set(trials[0].metrics) >= set(RANKING_METRICS)
    assert trials[1].threshold == pytest.approx(np.quantile(trials[1].train_scores, 0.95))


def test_summaries_agree_with_the_trials(three_folders):
    embedding, folders = three_folders
    trials = run_tasks(embedding, one_normal_folder(embedding, folders, seeds=[5, 6]), DETECTORS, dataset="x")
    grid = metric_grid(trials, "auroc")["noise"]
    assert grid.shape == (2, 3)
    wanted = [t.metrics["auroc"] for t in trials if (t.detector, t.seed, t.name) == ("noise", 6, "c")]
    assert [grid[1, 2]] == wanted
    assert by_task(trials)["c"]["noise"] == pytest.approx(grid[:, 2].mean())
    comparison = compare_with(trials, "distance")["noise"]
    assert comparison.difference.mean == pytest.approx(
        np.mean([t.metrics["auroc"] * (1 if t.detector == "distance" else -1) for t in trials]) * 2
    )


def test_trials_with_a_gap_are_refused(three_folders):
    embedding, folders = three_folders
    trials = run_tasks(embedding, one_normal_folder(embedding, folders, seeds=[0]), DETECTORS, dataset="x")
    with pytest.raises(ValueError, match="noise has 2 trials, not each of 1 seeds x 3 tasks"):
        summarise(trials[1:])
    with pytest.raises(ValueError, match="nothing was not run; there are: noise, distance"):
        compare_with(trials, "nothing")


def test_warnings_of_a_fit_are_kept_not_shown(three_folders, recwarn):
    class Warner(DistanceToMean):
        def fit(self, X, y=None):
            warnings.warn(f"{len(X)} loops are too few", stacklevel=2)
            return super().fit(X)

    embedding, folders = three_folders
    (task, *_) = one_normal_folder(embedding, folders, seeds=[0])
    (trial,) = run_tasks(embedding, [task], {"warner": lambda seed: Warner()}, dataset="x")
    assert trial.fit.warnings == (f"{task.train.size} loops are too few",)
    assert trial.fit.seconds > 0
    assert not recwarn.list


class SklearnPCA:
    """Reconstruction error with 95 % of the variance, on standardised features."""

    def fit(self, X, y=None):
        self.model_ = make_pipeline(StandardScaler(), PCA(0.95, svd_solver="full")).fit(X)
        return self

    def score_samples(self, X):
        scaled = self.model_[0].transform(X)
        return -np.sum(
            (scaled - self.model_[1].inverse_transform(self.model_[1].transform(scaled))) ** 2, axis=1
        )


class SklearnKNN:
    def __init__(self, metric):
        self.scaler_ = StandardScaler(with_mean=metric != "cosine", with_std=metric != "cosine")
        self.neighbours_ = NearestNeighbors(n_neighbors=5, metric=metric)

    def fit(self, X, y=None):
        self.neighbours_.fit(self.scaler_.fit_transform(X))
        return self

    def score_samples(self, X):
        return -self.neighbours_.kneighbors(self.scaler_.transform(X))[0].mean(axis=1)


@pytest.mark.data
@pytest.mark.parametrize(
    ("make_tasks", "measured"),
    [
        # Scores of the same protocols from separate code, mean over folders; its splits were others.
        (one_normal_folder, {"pca": 0.962, "knn": 0.959, "cosine": 0.969}),
        (one_odd_folder, {"pca": 0.713, "knn": 0.682, "cosine": 0.711}),
    ],
)
def test_the_papers_embeddings_give_the_figures_measured_before(make_tasks, measured):
    path = DATA / "musicradar_bass392.npz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with np.load(path) as arrays:
        embedding, folders = arrays["embedding_unfused"], arrays["folder"]
    detectors = {
        "pca": lambda seed: SklearnPCA(),
        "knn": lambda seed: SklearnKNN("euclidean"),
        "cosine": lambda seed: SklearnKNN("cosine"),
    }
    trials = run_tasks(embedding, make_tasks(embedding, folders, seeds=range(2)), detectors, dataset="bass")
    for summary in summarise(trials):
        # A few splits on either side leave about 0.02; a wrong protocol is off by 0.1 and more.
        assert summary.metrics["auroc"].mean == pytest.approx(measured[summary.detector], abs=0.035)
