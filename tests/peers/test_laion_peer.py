"""Our network and loader against LAION-CLAP's own HTS-AT on the same weights.

The peer is `laion-clap` 1.1.7 from PyPI, installed with `pip install --no-deps laion-clap==1.1.7
torchlibrosa`. Only its `clap_module.htsat` runs: the package's `__init__` and helpers also want torchvision,
h5py and wandb, of which HTS-AT uses nothing, so empty modules stand in for them here.

LAION's checkpoints cannot be downloaded where this was built. They are made here in the published
form: a state dict of a whole CLAP under 'state_dict' with the prefix 'module.', next to an epoch, an
optimizer and a NumPy scalar; every weight, bias and batch statistic of the audio branch drawn at
random by `randomise` (tests/random_networks.py) with the seed given, the other branches cut to a few
small tensors.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import librosa
import numpy as np
import pytest
import torch

from loopsphere.encoders import load_encoder
from loopsphere.errors import CheckpointError
from random_networks import randomise

for _package in ("laion_clap", "torchlibrosa"):
    if importlib.util.find_spec(_package) is None:
        pytest.skip(f"{_package} is a peer that is not installed", allow_module_level=True)

TOLERANCE = 1e-4  # on L2-normalised embeddings
RATE = 48_000
# model_configs/HTSAT-tiny.json and HTSAT-base.json of laion-clap 1.1.7.
AUDIO_CFG = {
    "sample_rate": RATE,
    "window_size": 1024,
    "hop_size": 480,
    "mel_bins": 64,
    "fmin": 50,
    "fmax": 14_000,
    "class_num": 527,
}


@pytest.fixture(scope="module")
def htsat():
    """LAION's module, with empty stand-ins for what only the rest of its package needs."""
    root = Path(importlib.util.find_spec("laion_clap").origin).parent
    packages = {"laion_clap": root, "laion_clap.clap_module": root / "clap_module"}
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in packages.items():
            package = ModuleType(name)
            package.__path__ = [str(folder)]
            patch.setitem(sys.modules, name, package)
        stand_in = ModuleType("torchvision.ops.misc")
        stand_in.FrozenBatchNorm2d = torch.nn.Module
        for name in ("torchvision", "torchvision.ops", "h5py"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, "torchvision.ops.misc", stand_in)
        module = importlib.import_module("laion_clap.clap_module.htsat")
        # All weights are drawn anew; theirs would take seconds to draw first.
        patch.setattr(module, "trunc_normal_", lambda tensor, **_: tensor)
        yield module
        for name in ("htsat", "utils", "feature_fusion"):
            sys.modules.pop(f"laion_clap.clap_module.{name}", None)


def make_branch(htsat, size: str, *, fusion: bool, seed: int, **audio_cfg):
    cfg = SimpleNamespace(**{**AUDIO_CFG, **audio_cfg}, model_name=size)
    kind = "aff_2d" if fusion else "None"
    return randomise(htsat.create_htsat_model(cfg, enable_fusion=fusion, fusion_type=kind), seed)


def save_laion(path: Path, branch: torch.nn.Module, **changes: torch.Tensor | None) -> Path:
    """Save as LAION's training did; `changes` add tensors to the audio branch; None takes one away."""
    state = {f"module.audio_branch.{name}": value for name, value in branch.state_dict().items()}
    for name in ("text_branch.embeddings.word_embeddings", "text_transform.sequential.0"):
        state[f"module.{name}.weight"] = torch.ones(4, 4)
    for name in ("text_projection.0", "audio_projection.0", "audio_transform.sequential.0"):
        state[f"module.{name}.weight"] = torch.ones(4, 4)
    for name in ("logit_scale_a", "logit_scale_t"):
        state[f"module.{name}"] = torch.tensor(2.6)
    for name, value in changes.items():
        if value is None:
            del state[f"module.audio_branch.{name}"]
        else:
            state[f"module.audio_branch.{name}"] = value
    extras = {"epoch": 15, "name": "made here", "val_loss": np.float64(0.5), "optimizer": {"state": {}}}
    torch.save({"state_dict": state, **extras}, path)
    return path


def clip(duration_s: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in rng.uniform(60, 6000, 4))
    return (0.1 * tones * np.exp(-4 * (time_s % 0.7)) + 0.003 * rng.standard_normal(time_s.size)).astype("f4")


def normalised(embedding: np.ndarray) -> np.ndarray:
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True)


def fused_views(waveform: np.ndarray) -> tuple[np.ndarray, bool]:
    """LAION's `get_mel` and `get_audio_features` in librosa's words, which its comments give; fixed crops."""
    if waveform.size < 10 * RATE:
        repeated = np.tile(waveform, 10 * RATE // waveform.size)
        waveform = np.pad(repeated, (0, 10 * RATE - repeated.size))
    power = librosa.feature.melspectrogram(
        y=waveform.astype(np.float64),
        sr=RATE,
        n_fft=1024,
        hop_length=480,
        pad_mode="reflect",
        n_mels=64,
        fmin=50,
        fmax=14_000,
        htk=True,
        norm=None,
    )
    mel = librosa.power_to_db(power, amin=1e-10, top_db=None).T.astype(np.float32)
    n_spare = len(mel) - 1001
    if n_spare == 0:
        return np.stack([mel] * 4), False
    image = torch.from_numpy(mel)[None, None]
    shrunk = torch.nn.functional.interpolate(image, (1001, 64), mode="bilinear")[0, 0].numpy()
    return np.stack([shrunk, *(mel[start : start + 1001] for start in (0, n_spare // 2, n_spare))]), True


def reference_fused(branch, waveforms: list[np.ndarray]) -> np.ndarray:
    views, longer = zip(*map(fused_views, waveforms), strict=True)
    with torch.inference_mode():
        inputs = {"mel_fusion": torch.from_numpy(np.stack(views)), "longer": torch.tensor(longer)}
        return branch(inputs, device="cpu")["embedding"].numpy()


@pytest.mark.parametrize("size", ["tiny", "base"])
def test_without_fusion(htsat, tmp_path: Path, size: str) -> None:
    """LAION's network computes its own log-mel from the waveform, with the filters in the checkpoint."""
    branch = make_branch(htsat, size, fusion=False, seed=21)
    encoder = load_encoder(str(save_laion(tmp_path / "clap.pt", branch)), device="cpu")
    waveform = clip(10.0, seed=22)
    with torch.inference_mode():
        theirs = branch(
            {"waveform": torch.from_numpy(waveform)[None], "longer": torch.tensor([False])}, device="cpu"
        )
    assert (encoder.embedding_dim, encoder.mel.filters) == ({"tiny": 768, "base": 1024}[size], "slaney")
    ours = normalised(encoder.embed([waveform]))
    np.testing.assert_allclose(ours, normalised(theirs["embedding"].numpy()), atol=TOLERANCE)


@pytest.mark.parametrize("size", ["tiny", "base"])
def test_with_fusion(htsat, tmp_path: Path, size: str) -> None:
    branch = make_branch(htsat, size, fusion=True, seed=23)
    encoder = load_encoder(str(save_laion(tmp_path / "clap.pt", branch)), device="cpu", fusion=True)
    waveforms = [clip(3.3, seed=24), clip(10.004, seed=25), clip(17.0, seed=26)]
    theirs = reference_fused(branch, waveforms)
    assert encoder.mel.filters == "htk"
    np.testing.assert_allclose(normalised(encoder.embed(waveforms)), normalised(theirs), atol=TOLERANCE)


def test_music_checkpoint_with_fusion_is_refused(htsat, tmp_path: Path) -> None:
    """The trap of the paper's published embeddings: HTSAT-base for music, asked to fuse."""
    path = save_laion(tmp_path / "music.pt", make_branch(htsat, "base", fusion=False, seed=27))
    with pytest.raises(
        CheckpointError, match=r"music\.pt has no trained fusion weights: .*without feature fusion"
    ):
        load_encoder(str(path), device="cpu", fusion=True)


def test_fusion_weights_that_were_never_trained_are_refused(htsat, tmp_path: Path) -> None:
    """What comes of such a checkpoint when it is loaded into a network with fusion and saved."""
    branch = htsat.create_htsat_model(SimpleNamespace(**AUDIO_CFG, model_name="tiny"), True, "aff_2d")
    path = save_laion(tmp_path / "clap.pt", branch)
    with pytest.raises(
        CheckpointError, match="no trained fusion weights: the batch norms of its fusion layers"
    ):
        load_encoder(str(path), device="cpu")
    assert not load_encoder(str(path), device="cpu", fusion=False).config.fusion


@pytest.fixture(scope="module")
def tiny(htsat):
    return make_branch(htsat, "tiny", fusion=False, seed=28)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn0.weight": None}, r"lacks tensor audio_branch\.bn0\.weight"),
        ({"norm.weight": torch.ones(7)}, r"tensor audio_branch\.norm\.weight has shape \(7,\), not \(768,\)"),
        ({"surprise.weight": torch.ones(7)}, r"unknown tensor audio_branch\.surprise\.weight"),
        ({"patch_embed.mel_conv2d.bias": torch.ones(96)}, "lacks .* cannot fuse"),
        ({"patch_embed.proj.weight": torch.ones(100, 1, 4, 4)}, "no HTS-AT of LAION's is 100 channels wide"),
        ({"patch_embed.proj.weight": None}, "not a LAION-CLAP checkpoint"),
        ({"logmel_extractor.melW": None}, r"lacks audio_branch\.logmel_extractor\.melW"),
        ({"logmel_extractor.melW": torch.ones(513, 64)}, "other than those for 48000 Hz and 50 to 14000 Hz"),
        ({"logmel_extractor.melW": torch.ones(769, 64)}, r"mel filters of shape \(769, 64\)"),
    ],
)
def test_wrong_tensors_are_refused_by_name(tiny, tmp_path: Path, changes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_encoder(str(save_laion(tmp_path / "clap.pt", tiny, **changes)), device="cpu")


def test_other_mel_settings_are_refused(htsat, tmp_path: Path) -> None:
    """HTSAT trained on bands from 20 Hz on has the same tensors and shapes; only its filters tell."""
    branch = make_branch(htsat, "tiny", fusion=False, seed=29, fmin=20)
    with pytest.raises(CheckpointError, match="stores mel filters other than those for 48000 Hz"):
        load_encoder(str(save_laion(tmp_path / "clap.pt", branch)), device="cpu")
