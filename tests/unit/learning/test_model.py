"""A learnt collection as a file: what goes in comes out, and what is wrong is refused."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from loopsphere.detect import DETECTORS, make_detector
from loopsphere.errors import LoopsphereError, ModelFileError
from loopsphere.learning.model import Model, load_model

GOLDEN = Path(__file__).parents[2] / "golden" / "model_format_1.loopsphere"


def _model(name: str = "mahalanobis", n_loops: int = 40) -> Model:
    rng = np.random.default_rng(0)
    learnt, fresh = rng.normal(size=(2, n_loops, 12)).astype(np.float32)
    detector = make_detector(name, random_state=1).fit(learnt)
    return Model(
        encoder="bundled",
        encoder_hash="0" * 64,
        embedding_dim=12,
        detector_name=name,
        detector=detector,
        calibration_scores=-detector.score_samples(fresh),
        calibration_groups=np.arange(n_loops) // 2,
        alpha=0.1,
        seed=1,
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "bass.loopsphere"
    _model().save(path)
    return path


@pytest.mark.parametrize("name", sorted(DETECTORS))
@pytest.mark.filterwarnings("ignore:.*untrained network")
def test_saved_and_loaded_scores_are_bit_identical(tmp_path, name):
    model = _model(name)
    model.save(tmp_path / "m.loopsphere")
    loaded = load_model(tmp_path / "m.loopsphere")
    new = np.random.default_rng(2).normal(size=(9, 12)).astype(np.float32)
    before, after = model.judge(new, 0.1), loaded.judge(new, 0.1)
    np.testing.assert_array_equal(after.anomaly_scores, before.anomaly_scores)
    np.testing.assert_array_equal(after.p_values, before.p_values)
    assert after.threshold == before.threshold
    assert loaded.summary() == model.summary()


def test_the_same_model_gives_the_same_bytes(tmp_path, saved):
    _model().save(tmp_path / "again.loopsphere")
    assert (tmp_path / "again.loopsphere").read_bytes() == saved.read_bytes()


def test_odd_is_a_score_at_or_above_the_threshold():
    model = _model()
    new = np.random.default_rng(3).normal(scale=1.5, size=(200, 12)).astype(np.float32)
    judged = model.judge(new, 0.1)
    np.testing.assert_array_equal(judged.p_values <= 0.1, judged.anomaly_scores >= judged.threshold)
    assert 0 < np.sum(judged.p_values <= 0.1) < 200


def test_too_small_a_collection_says_so():
    model = _model(n_loops=10)  # five groups
    assert "16.7 %" in model.caveats(0.05)[0]
    assert model.judge(np.full((1, 12), 99, np.float32), 0.05).threshold == np.inf
    assert model.caveats(0.2) == ()


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="there is no such file"):
        load_model(tmp_path / "none.loopsphere")


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"PK\x03\x04" + bytes(40)])
def test_foreign_file(tmp_path, content):
    path = tmp_path / "not.loopsphere"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="not a loopsphere model"):
        load_model(path)


def test_any_damaged_byte_is_refused_or_harmless(saved):
    """Flip bytes all over the file: either the error is ours, or the scores are still the same."""
    whole = saved.read_bytes()
    new = np.random.default_rng(4).normal(size=(5, 12)).astype(np.float32)
    wanted = load_model(saved).judge(new, 0.1).anomaly_scores
    rng = np.random.default_rng(5)
    refused = 0
    for position in rng.choice(len(whole), size=150, replace=False):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        saved.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(load_model(saved).judge(new, 0.1).anomaly_scores, wanted)
        except ModelFileError:
            refused += 1
    assert refused > 100


def test_a_file_that_claims_to_be_encrypted(saved):
    whole = bytearray(saved.read_bytes())
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(signature), bytes(whole)):
            whole[found.start() + flags_at] |= 1
    saved.write_bytes(whole)
    with pytest.raises(ModelFileError, match="encrypted"):
        load_model(saved)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_file(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelFileError):
        load_model(saved)


def _rewritten(path, change):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts["model.json"])
    change(header)
    parts["model.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(format="other"), "not a loopsphere model"),
        (lambda h: h.update(format_version=99), "format 99"),
        (lambda h: h.pop("encoder_hash"), "encoder_hash is missing"),
        (lambda h: h.update(alpha=7.0), "alpha is 7"),
        (lambda h: h.update(embedding_dim=11), "does not take 11 columns"),
        (lambda h: h.update(detector_state={}), "damaged detector"),
        (lambda h: h.update(detector="knn"), "class is 'Mahalanobis'"),
    ],
)
def test_wrong_header(tmp_path, change, message):
    """In the format without checksums, so that it is the header's content that is refused."""
    path = _rewritten(shutil.copy(GOLDEN, tmp_path / "old.loopsphere"), change)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_a_model_of_format_1_is_read_as_ever(tmp_path):
    """Written by `_model().save` of loopsphere 0.1.0 before files had checksums; scores of that day."""
    wanted = json.loads(GOLDEN.with_suffix(".json").read_text())
    new = np.random.default_rng(2).normal(size=(9, 12)).astype(np.float32)
    model = load_model(GOLDEN)
    model.save(tmp_path / "again.loopsphere")
    for loaded in (model, load_model(tmp_path / "again.loopsphere")):
        judged = loaded.judge(new, 0.1)
        np.testing.assert_allclose(judged.anomaly_scores, wanted["anomaly_score"], rtol=1e-12)
        np.testing.assert_array_equal(judged.p_values, wanted["p_value"])
        assert judged.threshold == pytest.approx(wanted["threshold"], rel=1e-12)
    with zipfile.ZipFile(tmp_path / "again.loopsphere") as archive:
        assert json.loads(archive.read("model.json"))["format_version"] == 2


def _with_arrays(path, change):
    """Change the arrays of a model file and pack it anew, so that the zip's own checksums are right."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    arrays = safetensors.numpy.load(parts["arrays.safetensors"])
    change(arrays)
    parts["arrays.safetensors"] = safetensors.numpy.save(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.update(calibration_scores=a["calibration_scores"] * 1.001),
        lambda a: a.update({"detector.mean_": a["detector.mean_"] + 1e-9}),
        lambda a: a.update({"detector.mean_": a["detector.mean_"][::-1].copy()}),
    ],
)
def test_finite_wrong_numbers_are_not_believed(saved, change):
    with pytest.raises(ModelFileError, match=r"bass\.loopsphere: damaged \(\S+ is not what was written"):
        load_model(_with_arrays(saved, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(alpha=0.2),
        lambda h: h["detector_state"]["numbers"].update(offset_=-1.0),
        lambda h: h.update(notes=["another"]),
        lambda h: h.pop("checksums"),
        lambda h: h.update(checksums=[]),
        lambda h: h["checksums"].pop("model.json"),
        lambda h: h["checksums"].pop("calibration_groups"),
    ],
)
def test_another_header_is_not_believed(saved, change):
    with pytest.raises(ModelFileError, match="not what was written"):
        load_model(_rewritten(saved, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(versions={"numpy": float("nan")}), "not a finite number"),
        (lambda h: h.update(versions={"numpy": 2.0}), "versions"),
        (lambda h: h.update(seed=float("inf")), "not a finite number"),
        (lambda h: h.update(notes=["\ud800"]), "surrogates"),
        (lambda h: h.update(detector="none"), "no detector 'none'"),
    ],
)
def test_what_could_not_be_written_again_is_not_read(tmp_path, change, message):
    """In the format without checksums, where a header may say anything."""
    path = _rewritten(shutil.copy(GOLDEN, tmp_path / "old.loopsphere"), change)
    with pytest.raises(LoopsphereError, match=message):
        load_model(path)


@pytest.mark.filterwarnings("error")
def test_numbers_that_overflow_are_told_in_a_sentence(tmp_path):
    path = _with_arrays(
        shutil.copy(GOLDEN, tmp_path / "old.loopsphere"),
        lambda a: a.update({"detector.mean_": np.full(12, 1e300)}),
    )
    with pytest.raises(ModelFileError, match="too large to be scored"):
        load_model(path).judge(np.zeros((2, 12), np.float32), 0.1)


def test_a_compressed_part_is_refused(saved):
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(ModelFileError, match="compression"):
        load_model(saved)
