"""What detectors see: attributes behind the embeddings, and in the scores of scan, fit and score."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from loopsphere.audio import load_recording
from loopsphere.errors import ModelFileError
from loopsphere.explain import ATTRIBUTES
from loopsphere.learning.features import JUDGED, N_ATTRIBUTES, attribute_columns, features_of, measured_for
from loopsphere.learning.from_embeddings import fit_embeddings, scan_embeddings
from loopsphere.learning.model import load_model
from loopsphere.settings import Settings
from loopsphere.types import EmbedResult

RATE = 22_050
N_LOOPS = 120
DETECTOR = "knn+attributes"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """Loops of one and the same kind, the last with drop-outs; their embeddings tell nothing of it."""
    folder = tmp_path_factory.mktemp("measured")
    rng = np.random.default_rng(0)
    time_s = np.arange(RATE) / RATE
    paths = []
    for number in range(N_LOOPS):
        pitch_hz = 110 * 2 ** (rng.integers(12) / 12)
        loop = 0.4 * np.sin(2 * np.pi * pitch_hz * time_s) * np.exp(-4 * (time_s % 0.5))
        loop += 0.01 * rng.normal(size=len(loop))
        if number == N_LOOPS - 1:
            for start in range(2000, len(loop), 9000):
                loop[start : start + 700] = 0.0
        paths.append(str(folder / f"{number:03d}.wav"))
        sf.write(paths[-1], loop, RATE)
    return result_of(paths, rng.normal(size=(N_LOOPS, 16)))


def result_of(paths, embedding):
    hashes = tuple(load_recording(path).audio_hash if Path(path).exists() else "gone" for path in paths)
    return EmbedResult("none", "", tuple(paths), np.ones(len(paths)), hashes, embedding.astype(np.float32))


def test_columns_are_values_in_noticeable_units_and_what_is_known():
    at = {spec.name: column for column, spec in enumerate(JUDGED)}
    record = {"tempo_bpm": 64.0, "crest_db": 3.0, "key": "A minor", "swing": None, "sample_rate_hz": 44100.0}
    columns = attribute_columns([record, None])
    assert columns.shape == (2, 2 * N_ATTRIBUTES)
    assert columns[0, at["tempo_bpm"]] == pytest.approx(6 / ATTRIBUTES["tempo_bpm"].noticeable)
    assert columns[0, at["crest_db"]] == pytest.approx(3 / ATTRIBUTES["crest_db"].noticeable)
    is_known = columns[:, N_ATTRIBUTES:]
    assert [JUDGED[column].name for column in np.flatnonzero(is_known[0])] == ["tempo_bpm", "crest_db"]
    assert not columns[1].any()
    assert "sample_rate_hz" not in at and "tempo_confidence" not in at


def test_scan_finds_what_only_measuring_tells(embedded):
    odd_path = embedded.paths[-1]
    assert scan_embeddings(embedded, detector=DETECTOR).loops[0].path == odd_path
    assert scan_embeddings(embedded, detector="knn").loops[0].path != odd_path


def test_scan_measures_each_loop_once_and_explains_from_that(embedded):
    told = []
    scanned = scan_embeddings(
        embedded, detector=DETECTOR, explain=True, settings=Settings(progress=lambda *of: told.append(of))
    )
    assert scanned.explanations
    n_loops = len(embedded.paths)
    assert [of for of in told if of[0] == "measuring loops" and of[1] == n_loops] == [
        ("measuring loops", n_loops, n_loops)
    ]


def test_a_model_that_judges_attributes_is_saved_whole_and_refuses_embeddings_alone(embedded, tmp_path):
    some = result_of(embedded.paths[:20], embedded.embedding[:20])
    model = fit_embeddings(some, detector=DETECTOR)
    assert model.embedding_dim == 16
    model.save(tmp_path / "a.loopsphere")
    loaded = load_model(tmp_path / "a.loopsphere")
    features = features_of(some, measured_for(some, DETECTOR))
    assert features.shape == (20, 16 + 2 * N_ATTRIBUTES)
    judged = loaded.judge(features, 0.05)
    assert np.array_equal(judged.anomaly_scores, model.judge(features, 0.05).anomaly_scores)
    with pytest.raises(ModelFileError, match=f"judges {16 + 2 * N_ATTRIBUTES} numbers a loop, and here 16"):
        loaded.judge(embedded.embedding, 0.05)


def test_a_file_that_has_gone_is_judged_by_its_embedding(embedded):
    gone = result_of(["gone.wav"], embedded.embedding[:1])
    features = features_of(gone, measured_for(gone, DETECTOR))
    assert np.array_equal(features[:, :16], embedded.embedding[:1])
    assert not features[:, 16:].any()
