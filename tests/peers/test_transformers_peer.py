"""Our front end, network and loader against transformers' CLAP on the same weights.

No model hub is reachable where this was built. Checkpoints are made here instead, in the format of
the published ones: `ClapAudioModel` or `ClapModel` of the installed transformers (5.23 when this was
written), every weight, bias and batch statistic drawn at random by `randomise` (tests/random_networks.py)
with the seed given, saved with `save_pretrained` next to its feature extractor.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from loopsphere.encoders import load_encoder
from loopsphere.errors import CheckpointError
from loopsphere.features.config import BUNDLED, CLAP_FUSED, CLAP_UNFUSED, MelConfig
from loopsphere.features.fusion import fuse_mel
from loopsphere.features.mel import log_mel, mel_filters
from random_networks import randomise

transformers = pytest.importorskip("transformers", reason="transformers is a peer for tests alone")

TOLERANCE = 1e-4  # on L2-normalised embeddings
TOLERANCE_DB = 1e-3
SMALL = {
    "spec_size": 128,
    "patch_embeds_hidden_size": 16,
    "hidden_size": 64,
    "depths": [2, 2, 2],
    "num_attention_heads": [2, 4, 8],
}
SMALL_WINDOW_S = 2
RATE = 48_000


def clip(duration_s: float, seed: int) -> np.ndarray:
    """A decaying chord over noise: loud and quiet bands, no symmetry in time."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in rng.uniform(60, 6000, 4))
    level = np.exp(-((time_s * rng.uniform(0.5, 3)) % 1.0) * 5)
    return (0.1 * tones * level + 0.003 * rng.standard_normal(time_s.size)).astype(np.float32)


def normalised(embedding: np.ndarray) -> np.ndarray:
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True)


def save_clap(folder: Path, *, fusion: bool, seed: int, small: bool = True, whole: bool = False):
    """Save a CLAP with random weights; return its audio model and feature extractor."""
    settings = {**(SMALL if small else {}), "enable_fusion": fusion}
    if whole:
        text = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        config = transformers.ClapConfig(text_config={**text, "intermediate_size": 8}, audio_config=settings)
        saved = transformers.ClapModel(config)
        audio = saved.audio_model
    else:
        saved = audio = transformers.ClapAudioModel(transformers.ClapAudioConfig(**settings))
    randomise(saved, seed)
    extractor = transformers.ClapFeatureExtractor(
        truncation="fusion" if fusion else "rand_trunc", max_length_s=SMALL_WINDOW_S if small else 10
    )
    saved.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return audio.eval(), extractor


def reference(audio, features: np.ndarray | torch.Tensor, is_longer: list[bool]) -> np.ndarray:
    with torch.inference_mode():
        output = audio(torch.as_tensor(np.asarray(features)), torch.tensor(is_longer)[:, None])
    return output.pooler_output.numpy()


def fixed_crops(monkeypatch: pytest.MonkeyPatch, n_spare: int) -> None:
    """Make transformers' random crops those that we take: front, centre, back."""
    picks = itertools.cycle([0, n_spare // 2, n_spare])
    monkeypatch.setattr(np.random, "choice", lambda candidates: next(picks))


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused")
    audio, extractor = save_clap(folder, fusion=True, seed=1, whole=True)
    return audio, extractor, load_encoder(str(folder), device="cpu"), folder


@pytest.fixture(scope="module")
def unfused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unfused")
    audio, extractor = save_clap(folder, fusion=False, seed=2)
    return audio, extractor, load_encoder(str(folder), device="cpu"), folder


@pytest.mark.parametrize("fmin", [0.0, 50.0])
@pytest.mark.parametrize("settings", [CLAP_FUSED, CLAP_UNFUSED], ids=["htk", "slaney"])
def test_filters_match_transformers_and_librosa(settings: MelConfig, fmin: float) -> None:
    extractor = transformers.ClapFeatureExtractor(frequency_min=fmin)
    htk = settings.filters == "htk"
    ours = mel_filters(MelConfig(filters=settings.filters, fmin=fmin))
    theirs = extractor.mel_filters if htk else extractor.mel_filters_slaney
    librosa_filters = librosa.filters.mel(
        sr=RATE, n_fft=1024, n_mels=64, fmin=fmin, fmax=14_000, htk=htk, norm=None if htk else "slaney"
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(ours, librosa_filters.T, atol=1e-6)


@pytest.mark.parametrize("settings", [CLAP_FUSED, CLAP_UNFUSED], ids=["htk", "slaney"])
@pytest.mark.parametrize("duration_s", [0.3, 3.7, 10.0, 10.004, 12.5])
def test_log_mel_matches_transformers(settings: MelConfig, duration_s: float) -> None:
    extractor = transformers.ClapFeatureExtractor()
    waveform = clip(duration_s, seed=3)
    if duration_s < 10:
        truncation = "fusion" if settings.filters == "htk" else "rand_trunc"
        theirs = extractor._get_input_mel(waveform, 10 * RATE, truncation, "repeatpad")[0][0]
    else:
        filters = extractor.mel_filters if settings.filters == "htk" else extractor.mel_filters_slaney
        theirs = extractor._np_extract_fbank_features(waveform, filters)
    np.testing.assert_allclose(log_mel(waveform, settings), theirs, atol=TOLERANCE_DB)


@pytest.mark.parametrize("settings", [CLAP_FUSED, CLAP_UNFUSED, BUNDLED], ids=["htk", "slaney", "bundled"])
def test_log_mel_matches_librosa(settings: MelConfig) -> None:
    waveform = clip(11.0, seed=4)
    htk = settings.filters == "htk"
    gain = 1.0
    if settings.rms_dbfs is not None:
        gain = 10 ** (settings.rms_dbfs / 20) / np.sqrt(np.mean(waveform.astype(np.float64) ** 2))
    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64) * gain,
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        pad_mode="reflect",
        n_mels=settings.n_mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
        htk=htk,
        norm=None if htk else "slaney",
    )
    theirs = librosa.power_to_db(power, amin=10 ** (settings.floor_db / 10), top_db=None).T
    np.testing.assert_allclose(log_mel(waveform, settings), theirs, atol=TOLERANCE_DB)


@pytest.mark.parametrize("n_spare", [1, 2, 3, 100, 1001, 5000])
def test_random_crops_match_the_reference_choices(n_spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mel = np.random.default_rng(5).normal(-40, 20, (201 + n_spare, 64)).astype(np.float32)
    monkeypatch.setattr(np.random, "choice", np.random.default_rng(6).choice)
    theirs = transformers.ClapFeatureExtractor()._random_mel_fusion(mel, len(mel), 201)
    ours = fuse_mel(mel, n_frames=201, rng=np.random.default_rng(6))
    np.testing.assert_array_equal(ours[1:], theirs[1:])
    np.testing.assert_allclose(ours[0], theirs[0], atol=TOLERANCE_DB)


@pytest.mark.parametrize("duration_s", [0.1, 0.7, 1.999, 2.0, 2.009])
def test_short_clip_with_fusion(fused, duration_s: float) -> None:
    """Up to one hop beyond the window, a clip has as many frames as the window and is not long."""
    audio, extractor, encoder, _ = fused
    waveform = clip(duration_s, seed=7)
    views, is_longer = extractor._get_input_mel(waveform, 2 * RATE, "fusion", "repeatpad")
    assert not is_longer
    theirs = reference(audio, views[None], [False])
    assert encoder.views(waveform).spectra.shape == (1, 201, 64)
    np.testing.assert_allclose(normalised(encoder.embed([waveform])), normalised(theirs), atol=TOLERANCE)


@pytest.mark.parametrize("duration_s", [2.01, 2.5, 6.0, 13.3])
def test_long_clip_with_fusion(fused, duration_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    audio, extractor, encoder, _ = fused
    waveform = clip(duration_s, seed=8)
    n_spare = waveform.size // 480 + 1 - 201
    fixed_crops(monkeypatch, n_spare)
    inputs = extractor(waveform, sampling_rate=RATE, return_tensors="np")
    assert inputs["is_longer"].all()
    theirs = reference(audio, inputs["input_features"], [True])
    np.testing.assert_allclose(normalised(encoder.embed([waveform])), normalised(theirs), atol=TOLERANCE)


def test_fusion_changes_the_embedding(fused) -> None:
    """Else the two tests above would pass on a network that ignores its local views."""
    audio, _, encoder, _ = fused
    views = encoder.views(clip(6.0, seed=8)).spectra[None]
    with_fusion, without = (normalised(reference(audio, views, [longer])) for longer in (True, False))
    assert float((with_fusion * without).sum()) < 0.99


def test_only_the_reference_marks_a_short_clip_as_longer(fused) -> None:
    audio, extractor, encoder, _ = fused
    waveforms = [clip(1.0, seed) for seed in range(4)]
    inputs = extractor(waveforms, sampling_rate=RATE, return_tensors="np")
    marked = inputs["is_longer"].ravel()
    assert marked.sum() == 1, "transformers no longer marks one short clip at random; say so in the docs"
    theirs = normalised(reference(audio, inputs["input_features"], marked.tolist()))
    honest = normalised(reference(audio, inputs["input_features"], [False] * 4))
    ours = normalised(encoder.embed(waveforms))
    np.testing.assert_allclose(ours, honest, atol=TOLERANCE)
    np.testing.assert_allclose(ours[~marked], theirs[~marked], atol=TOLERANCE)
    assert np.abs(ours[marked] - theirs[marked]).max() > 100 * TOLERANCE


@pytest.mark.parametrize("duration_s", [0.4, 2.0])
def test_short_clip_without_fusion(unfused, duration_s: float) -> None:
    audio, extractor, encoder, _ = unfused
    waveform = clip(duration_s, seed=9)
    inputs = extractor(waveform, sampling_rate=RATE, return_tensors="np")
    theirs = reference(audio, inputs["input_features"], [False])
    assert encoder.mel.filters == "slaney"
    np.testing.assert_allclose(normalised(encoder.embed([waveform])), normalised(theirs), atol=TOLERANCE)


def test_long_clip_without_fusion_is_the_mean_of_its_windows(unfused) -> None:
    audio, extractor, encoder, _ = unfused
    waveform = clip(5.0, seed=10)
    mel = extractor._np_extract_fbank_features(waveform, extractor.mel_filters_slaney)
    windows = np.stack([mel[start : start + 201] for start in (0, 150, 300)])
    theirs = reference(audio, windows[:, None], [False] * 3).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(normalised(encoder.embed([waveform])), normalised(theirs), atol=TOLERANCE)


def test_full_size_htsat_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio, extractor = save_clap(tmp_path, fusion=True, seed=11, small=False)
    encoder = load_encoder(str(tmp_path), device="cpu")
    waveforms = [clip(4.0, seed=12), clip(14.0, seed=13)]
    fixed_crops(monkeypatch, n_spare=400)
    inputs = extractor(waveforms, sampling_rate=RATE, return_tensors="np")
    theirs = reference(audio, inputs["input_features"], [False, True])
    assert encoder.embedding_dim == 768
    np.testing.assert_allclose(normalised(encoder.embed(waveforms)), normalised(theirs), atol=TOLERANCE)


def test_pytorch_model_bin_gives_the_same_encoder(fused, tmp_path: Path) -> None:
    *_, encoder, folder = fused
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save(load_file(folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    assert load_encoder(str(tmp_path), device="cpu").hash == encoder.hash


def edited(source: Path, folder: Path, *, tensors=None, config=None, extractor=None) -> str:
    """Copy a checkpoint with its tensors and settings passed through functions."""
    state = load_file(source / "model.safetensors")
    save_file(tensors(state) if tensors else state, folder / "model.safetensors")
    for name, change in (("config.json", config), ("preprocessor_config.json", extractor)):
        settings = json.loads((source / name).read_text())
        (folder / name).write_text(json.dumps(change(settings) if change else settings))
    return str(folder)


def without(state, part: str):
    return {name: value for name, value in state.items() if part not in name}


def reset_fusion_statistics(state):
    for name, value in state.items():
        if "fusion_model" in name and "running" in name:
            value.fill_(float(name.endswith("running_var")))
    return state


QUERY = "audio_model.audio_encoder.layers.0.blocks.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            lambda state: without(state, QUERY[12:]),
            r"lacks tensor audio_encoder.*0\.blocks\.1.*query\.weight",
        ),
        (lambda state: without(state, "mel_conv2d"), "lacks .*mel_conv2d.*cannot fuse"),
        (lambda state: {**state, "audio_model.surprise": torch.ones(1)}, "unknown tensor surprise"),
        (
            lambda state: {**state, QUERY: state[QUERY][1:].clone()},
            r"query\.weight has shape \(15, 16\), not",
        ),
        (lambda state: {**state, QUERY: state[QUERY].int()}, r"query\.weight holds torch\.int32"),
        (lambda state: {**state, QUERY: state[QUERY] * torch.nan}, "qkv.weight has values that are NaN"),
        (reset_fusion_statistics, "no trained fusion weights: the batch norms"),
    ],
    ids=["missing", "fusion missing", "unknown", "misshapen", "integers", "NaN", "untrained fusion"],
)
def test_wrong_tensors_are_refused_by_name(fused, tmp_path: Path, tensors, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_encoder(edited(fused[3], tmp_path, tensors=tensors), device="cpu")


def with_audio(config, **settings):
    return {**config, "audio_config": {**config["audio_config"], **settings}}


@pytest.mark.parametrize(
    ("config", "extractor", "message"),
    [
        (
            None,
            lambda e: {**e, "truncation": "rand_trunc"},
            "pairs enable_fusion=True with truncation='rand_trunc'",
        ),
        (
            lambda c: with_audio(c, enable_fusion=False),
            None,
            "pairs enable_fusion=False with truncation='fusion'",
        ),
        (lambda c: with_audio(c, qkv_bias=False), None, "qkv_bias=False are not supported"),
        (lambda c: with_audio(c, depths=[2, 2, 10**9]), None, "describes no HTS-AT that can be built"),
        (lambda c: with_audio(c, spec_size=130), None, "describes no HTS-AT that can be built"),
        (
            lambda c: with_audio(c, patch_embeds_hidden_size="x"),
            None,
            "describes no HTS-AT that can be built",
        ),
        (None, lambda e: {**e, "padding": "pad"}, "mel settings cannot be used"),
        (None, lambda e: {**e, "feature_size": 32}, "up to 256 frames of 64 bands, but .* 201 of 32"),
        (None, lambda e: {**e, "max_length_s": 10}, "up to 256 frames of 64 bands, but .* 1001 of 64"),
    ],
)
def test_wrong_settings_are_refused(fused, tmp_path: Path, config, extractor, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_encoder(edited(fused[3], tmp_path, config=config, extractor=extractor), device="cpu")


def test_fusion_is_refused_where_it_was_not_trained(unfused) -> None:
    with pytest.raises(CheckpointError, match=r"trained without feature fusion.*fusion=False"):
        load_encoder(str(unfused[3]), device="cpu", fusion=True)


def test_fusion_can_be_left_out(fused, tmp_path: Path) -> None:
    """Untrained fusion weights do no harm then; HTK filters stay, for the rest was trained with them."""
    audio, extractor, encoder, folder = fused
    plain = load_encoder(
        edited(folder, tmp_path, tensors=reset_fusion_statistics), device="cpu", fusion=False
    )
    waveform = clip(3.0, seed=14)
    mel = extractor._np_extract_fbank_features(waveform, extractor.mel_filters)
    windows = np.stack([mel[:201], mel[100:]])
    theirs = reference(audio, windows[:, None].repeat(4, axis=1), [False] * 2).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(normalised(plain.embed([waveform])), normalised(theirs), atol=TOLERANCE)
    assert plain.hash != encoder.hash
