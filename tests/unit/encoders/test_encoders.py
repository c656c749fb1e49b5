"""The encoder: names, views, embeddings, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import loopsphere.encoders.loading
from loopsphere.encoders import ENCODERS, Encoder, load_encoder
from loopsphere.encoders.base import Views
from loopsphere.errors import CheckpointError, FeatureError, LoopsphereError, MissingExtraError
from loopsphere.features.fusion import fuse_mel
from loopsphere.features.mel import log_mel
from random_networks import SMALL_MEL, save_small_checkpoint, small_network

RNG = np.random.default_rng(1)
WINDOW = SMALL_MEL.window_samples


def noise(n_samples: int) -> np.ndarray:
    return RNG.standard_normal(n_samples).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_checkpoint(tmp_path_factory.mktemp("embed") / "small.safetensors")


@pytest.fixture(scope="module")
def encoder(path: Path) -> Encoder:
    return load_encoder(str(path), device="cpu")


def test_an_encoder_describes_itself(encoder: Encoder) -> None:
    assert (encoder.name, encoder.embedding_dim, encoder.device) == ("small.safetensors", 16, "cpu")
    assert encoder.mel == SMALL_MEL
    assert len(encoder.hash) == 64


def test_the_hash_is_of_weights_and_settings(path: Path, encoder: Encoder, tmp_path: Path) -> None:
    same = save_small_checkpoint(tmp_path / "renamed.safetensors")
    other = save_small_checkpoint(tmp_path / "other.safetensors", seed=1)
    assert load_encoder(str(same), device="cpu").hash == encoder.hash
    assert load_encoder(str(other), device="cpu").hash != encoder.hash
    assert load_encoder(str(path), device="cpu", fusion=False).hash != encoder.hash


def test_an_embedding_is_the_network_applied_to_the_views(encoder: Encoder) -> None:
    """The whole path from the saved file against the network that was saved."""
    network, short, long = small_network(), noise(3000), noise(3 * WINDOW)
    views = [torch.from_numpy(log_mel(short, SMALL_MEL)[None]), None]
    fused = torch.from_numpy(fuse_mel(log_mel(long, SMALL_MEL), n_frames=201))
    with torch.inference_mode():
        expected = torch.cat([network(views[0]), network(fused[:1], torch.tensor([True]), fused[None, 1:])])
    ours = encoder.embed([short, long])
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("n_samples", "fused_shape", "n_windows"),
    [(100, 1, 1), (WINDOW, 1, 1), (WINDOW + 79, 1, 1), (WINDOW + 80, 4, 2), (WINDOW * 5, 4, 5)],
)
def test_number_of_views(
    path: Path, encoder: Encoder, n_samples: int, fused_shape: int, n_windows: int
) -> None:
    plain = load_encoder(str(path), device="cpu", fusion=False)
    assert encoder.views(noise(n_samples)).spectra.shape == (fused_shape, 201, 16)
    assert plain.views(noise(n_samples)).spectra.shape == (n_windows, 201, 16)


def test_windows_cover_the_whole_clip(path: Path) -> None:
    """Every frame of the clip is in one of the windows, the first and the last included."""
    plain = load_encoder(str(path), device="cpu", fusion=False)
    waveform = noise(WINDOW * 3 + 5000)
    mel, views = log_mel(waveform, SMALL_MEL, dtype=np.float32), plain.views(waveform).spectra
    rows = {row.tobytes() for view in views for row in view}
    assert all(row.tobytes() in rows for row in mel)


def test_averaging_windows(path: Path) -> None:
    plain = load_encoder(str(path), device="cpu", fusion=False)
    waveforms = [noise(3 * WINDOW), noise(50), noise(2 * WINDOW)]
    expected = [
        plain.embed_views([Views(view[None]) for view in plain.views(clip).spectra]).mean(axis=0)
        for clip in waveforms
    ]
    np.testing.assert_allclose(plain.embed(waveforms), expected, atol=1e-5)


def test_more_clips_than_a_batch_keep_their_order(encoder: Encoder) -> None:
    waveforms = [noise(500 + 10 * index) for index in range(35)]
    together = encoder.embed(waveforms)
    assert together.shape == (35, 16)
    for index in (0, 31, 32, 34):
        np.testing.assert_allclose(together[index], encoder.embed([waveforms[index]])[0], atol=1e-5)


def test_streaming_takes_no_more_than_a_batch_ahead(encoder: Encoder) -> None:
    taken = []
    stream = encoder.embed_iter(taken.append(index) or noise(500) for index in range(100))
    assert next(stream).shape == (16,)
    assert len(taken) == 32


def test_no_clips_give_no_rows(encoder: Encoder) -> None:
    assert encoder.embed([]).shape == (0, 16)
    assert encoder.embed_views([]).shape == (0, 16)


@pytest.mark.parametrize("shape", [(201, 16), (0, 201, 16), (2, 201, 16), (1, 200, 16), (1, 201, 17)])
def test_other_views_are_refused(encoder: Encoder, shape) -> None:
    with pytest.raises(FeatureError, match="not views of this encoder"):
        encoder.embed_views([Views(np.zeros(shape, np.float32))])


def test_an_embedding_is_not_normalised(encoder: Encoder) -> None:
    norms = np.linalg.norm(encoder.embed([noise(900), noise(8000)]), axis=1)
    assert np.abs(norms - 1).min() > 1e-2


def test_embedding_leaves_threads_and_generator_alone(encoder: Encoder) -> None:
    before = torch.get_num_threads(), torch.random.get_rng_state()
    encoder.embed([noise(900)])
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


@pytest.mark.parametrize(
    "name",
    [
        "bundeld",
        "clap",
        "no/such/file.safetensors",
        "./weights/clap.pt",
        "weights/clap.pt",
        "a/b.safetensors",
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"unknown encoder .*the names are bundled, clap-htsat-fused"):
        load_encoder(name)


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_is_refused(path: Path, device: str) -> None:
    with pytest.raises(LoopsphereError, match=f"device '{device}' cannot be used here"):
        load_encoder(str(path), device=device)


def test_a_bundled_checkpoint_that_is_missing_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopsphere.encoders.loading, "BUNDLED_FILE", tmp_path / "htsat-loops.safetensors")
    with pytest.raises(CheckpointError, match="bundled checkpoint is missing from this installation"):
        load_encoder()


def test_the_bundled_encoder_is_as_recorded() -> None:
    encoder, record = load_encoder(device="cpu"), ENCODERS["bundled"]
    assert (encoder.name, encoder.embedding_dim, encoder.config.fusion) == (
        record.name,
        record.embedding_dim,
        record.fused,
    )
    with pytest.raises(FeatureError, match="no ring for its tagger"):
        encoder.embed_views([Views(encoder.views(noise(900)).spectra)])


def test_the_bundled_encoder_hears_instruments_wherever_a_loop_starts() -> None:
    """One phrase by a plucked string and by an organ; the plucked one from its middle, and softer."""
    encoder = load_encoder(device="cpu")
    time = np.arange(8000) / 32_000
    hz = RNG.choice([196.0, 220, 247, 262, 294, 330], size=16)
    tones = [sum(np.sin(2 * np.pi * f * n * time) / n for n in range(1, 9)) for f in hz]
    plucked = np.concatenate([tone * np.exp(-12 * time) for tone in tones]).astype(np.float32)
    organ = np.concatenate(tones).astype(np.float32)
    heard = encoder.embed([plucked, 0.3 * np.roll(plucked, 48_000), organ])
    heard /= np.linalg.norm(heard, axis=1, keepdims=True)
    assert heard[0] @ heard[1] > 0.97
    assert heard[0] @ heard[2] < heard[0] @ heard[1] - 0.05


@pytest.fixture
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hugging Face's client without network, and its empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ["clap-htsat-fused", "laion-music", "laion/clap-htsat-unfused"])
def test_offline_is_said_in_the_users_words(offline_hub: Path, name: str) -> None:
    with pytest.raises(
        CheckpointError, match=r"could it be downloaded: .* Check the name and the connection"
    ):
        load_encoder(name)


def test_what_the_hub_client_has_cached_is_read(offline_hub: Path) -> None:
    """A cache laid out as the client does; a damaged config shows that it is what is read."""
    repository = offline_hub / "models--laion--clap-htsat-fused"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (snapshot / name).write_text("[]")
    with pytest.raises(CheckpointError, match=r"config\.json is not a JSON object"):
        load_encoder("clap-htsat-fused")


def test_a_missing_hub_client_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'loopsphere\[hub\]'"):
        load_encoder("laion/clap-htsat-fused")


def test_naming_the_encoders_does_not_import_torch() -> None:
    code = "import sys, loopsphere.encoders; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("cap", ["ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2"])
def test_bfloat16_is_not_taken_where_torch_or_onednn_may_not_compute_in_it(cap: str) -> None:
    """So an older processor can be tried on a newer one."""
    code = (
        "from loopsphere.encoders.torch_runtime import runtime_summary\n"
        "print(runtime_summary('cpu')['fastest_precision'])"
    )
    environment = os.environ | dict([cap.split("=")])
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert said.stdout.split() == [b"float32"]


def test_records_are_complete() -> None:
    for name, record in ENCODERS.items():
        assert name == record.name
        assert record.licence
        assert record.embedding_dim > 0
        assert (record.size_mb == 0) == (record.source == "bundled")


@pytest.mark.parametrize("duration_s", [1.0, 9.0, 25.0])
def test_the_bundled_encoder_in_bfloat16_says_the_same(duration_s: float) -> None:
    exact, fast = (load_encoder(device="cpu", precision=name) for name in ("float32", "bfloat16"))
    time_s = np.arange(round(duration_s * exact.mel.sample_rate)) / exact.mel.sample_rate
    rng = np.random.default_rng(0)
    decaying = np.exp(-6 * (time_s % 0.5))
    plucked = sum(np.sin(2 * np.pi * hz * time_s) / hz for hz in (82.0, 165.0, 331.0)) * decaying
    loops = [plucked, rng.standard_normal(time_s.size) * decaying, plucked + 1e-4 * np.sin(9000 * time_s)]
    waveforms = [loop.astype(np.float32) for loop in loops]
    ours, theirs = fast.embed(waveforms), exact.embed(waveforms)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert ((ours * theirs).sum(axis=1) / lengths).min() > 0.9999
