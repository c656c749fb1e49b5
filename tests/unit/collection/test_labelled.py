"""Loops named odd or normal: others of their kind rise, and they themselves are not judged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import loopsphere as ls
from loopsphere.collection.labelled import NORMAL, ODD, NamedLoops, detector_for, embed_named
from loopsphere.errors import NamedLoopError
from loopsphere.learning.from_embeddings import fit_embeddings, scan_embeddings
from loopsphere.types import EmbedResult

N_NORMAL, N_KIND = 120, 12


def embedded(X):
    names = tuple(f"{i:03d}" for i in range(len(X)))
    return EmbedResult("none", "", names, np.ones(len(X)), names, X.astype(np.float32))


@pytest.fixture(scope="module")
def kinds():
    """Normal loops, and a dozen of one odd kind that vouch for each other, barely off the others."""
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(6, 24))
    normal = rng.normal(size=(N_NORMAL, 6)) @ shape + 0.3 * rng.normal(size=(N_NORMAL, 24))
    away = rng.normal(size=24)
    kind = rng.normal(size=(N_KIND, 6)) @ shape + 0.3 * rng.normal(size=(N_KIND, 24))
    return normal + 5.0, kind + 5.0 + 0.45 * away


def mean_rank(result):
    """Of the loops of the odd kind, 0 for the oddest."""
    return np.mean([place for place, loop in enumerate(result.loops) if int(loop.path) >= N_NORMAL])


def test_naming_three_odd_loops_raises_the_others_of_their_kind(kinds):
    normal, kind = kinds
    collection = embedded(np.vstack([normal, kind[3:]]))
    unaware = scan_embeddings(collection, detector="deep-sad")
    named = NamedLoops(embedded(kind[:3]), np.full(3, ODD))
    aware = scan_embeddings(collection, detector="deep-sad", named=named)
    assert mean_rank(aware) < mean_rank(unaware) - 10
    assert aware.notes == ("3 loops named odd and 0 named normal were learnt from and are not ranked",)


def test_one_loop_that_was_named_is_one_loop():
    named = NamedLoops(embedded(np.zeros((1, 24))), np.array([ODD]))
    assert named.note == "1 loop named odd and 0 named normal were learnt from and are not ranked"


def test_a_model_learns_from_the_named_loops_too(kinds):
    normal, kind = kinds
    collection = embedded(normal)
    named = NamedLoops(embedded(kind[:3]), np.full(3, ODD))
    ratio = []
    for known in (None, named):
        model = fit_embeddings(collection, detector="deep-sad", named=known)
        assert len(model.calibration_scores) == N_NORMAL
        ratio.append(model.judge(kind[3:].astype(np.float32), 0.05).p_values.mean())
    assert ratio[1] < ratio[0]


def test_named_files_are_set_apart_with_their_copies(collection, tmp_path):
    files = sorted(collection.rglob("*.wav"))
    copy = tmp_path / "copy of it.wav"
    shutil.copy(files[4], copy)
    judged, named = embed_named(files[:10], [copy], [files[7]])
    assert list(judged.paths) == [str(path) for i, path in enumerate(files[:10]) if i not in (4, 7)]
    assert named is not None
    assert sorted(named.labels) == [ODD, ODD, NORMAL]
    everything, nothing_named = embed_named(files[:10], [], [])
    assert len(everything.paths) == 10 and nothing_named is None


def test_names_that_cannot_be_learnt_from_are_refused(collection, tmp_path):
    files = sorted(collection.rglob("*.wav"))
    (tmp_path / "empty.wav").touch()
    with pytest.raises(NamedLoopError, match="both odd and normal"):
        embed_named(files[:6], [files[0]], [files[0]])
    with pytest.raises(NamedLoopError, match=r"empty\.wav is named, but"):
        embed_named(files[:6], [tmp_path / "empty.wav"], [])
    with pytest.raises(NamedLoopError, match="knn cannot learn from loops named odd or normal; deep-sad and"):
        ls.scan(files[:6], odd=[files[0]], detector="knn")
    assert detector_for("deep-svdd", [], [files[0]]) == "deep-sad"
    assert detector_for("deep-svdd+attributes", [files[0]], []) == "deep-sad+attributes"
    assert detector_for("knn", [], []) == "knn"
