"""YAMNet: its published outputs, its file, and what it is given to hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from audio_files import melody
from golden.make_yamnet import sounds
from loopsphere.encoders.loading import YAMNET_FILE
from loopsphere.encoders.torch_runtime import TorchTagger
from loopsphere.errors import CheckpointError, FeatureError
from loopsphere.features.listening import MAX_EXCERPTS, window_starts, yamnet_ring
from loopsphere.models import yamnet
from loopsphere.models.onednn import has_onednn
from loopsphere.models.yamnet_file import read_yamnet, save_yamnet

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "yamnet.json").read_text())["sounds"]
RATE = 32_000
SOUNDS = sounds(RATE)
CPU = torch.device("cpu")


class CalledOperations(TorchDispatchMode):
    """Notes the names of torch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(func.name().partition(".")[0])
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def tagger() -> TorchTagger:
    return TorchTagger(read_yamnet(YAMNET_FILE), CPU, "float32")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of square roots, as the embedding has them."""
    return float((np.sqrt(a) * np.sqrt(b)).sum() / np.sqrt(a.sum() * b.sum()))


@pytest.mark.parametrize("name", SOUNDS)
def test_what_is_heard_is_what_the_published_graph_hears(name: str) -> None:
    heard = yamnet_ring(SOUNDS[name])[:96]
    np.testing.assert_allclose(heard[::5], GOLDEN[name]["log_mel"], atol=0.02)


@pytest.mark.parametrize("name", SOUNDS)
def test_classes_are_those_of_the_published_graph(name: str) -> None:
    """Which computes in eight bits: a probability of 0.3 may be 0.05 off in it."""
    with torch.inference_mode():
        found = read_yamnet(YAMNET_FILE)(torch.from_numpy(yamnet_ring(SOUNDS[name])[None, :96]))[0][0].numpy()
    published = np.array(GOLDEN[name]["probabilities"])
    assert published.max() > 0.2
    assert np.corrcoef(found, published)[0, 1] > 0.98
    np.testing.assert_allclose(found, published, atol=0.1)


def test_half_precision_hears_the_same(tagger: TorchTagger) -> None:
    fast = TorchTagger(read_yamnet(YAMNET_FILE), CPU, "bfloat16")
    rings = [yamnet_ring(melody(4.0)), yamnet_ring(SOUNDS["beat"])]
    for exactly, fast_one in zip(tagger(rings), fast(rings), strict=True):
        for exact, rounded in zip(exactly, fast_one, strict=True):
            assert cosine(exact, rounded) > 0.999


@pytest.mark.parametrize(
    ("dtype", "of_classes", "of_features"), [(torch.float32, 1e-6, 1e-5), (torch.bfloat16, 2e-3, 0.02)]
)
def test_the_plain_way_says_what_the_fused_one_says(
    dtype: torch.dtype, of_classes: float, of_features: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain way rounds to bfloat16 once more, before the bias."""
    windows = torch.from_numpy(yamnet_ring(melody(3.0)))[:288].view(3, 96, 64)
    said = []
    for has in (yamnet.has_onednn, lambda *wanted: False):
        monkeypatch.setattr(yamnet, "has_onednn", has)
        network = read_yamnet(YAMNET_FILE)
        network.run_layers_in(dtype)
        with torch.inference_mode():
            said.append(network(windows))
    (classes, features), (plain_classes, plain_features) = said
    torch.testing.assert_close(classes, plain_classes, atol=of_classes, rtol=0)
    torch.testing.assert_close(features, plain_features, atol=of_features, rtol=0)


@pytest.mark.parametrize("side", [1, 3])
def test_a_bias_is_not_rounded_to_bfloat16(side: int) -> None:
    if not has_onednn(torch.bfloat16):
        pytest.skip("oneDNN has no bfloat16 on this processor")
    generator = torch.Generator().manual_seed(0)
    layer = yamnet.Convolution(16, 16, side, groups=1 if side == 1 else 16)
    image = torch.rand(2, 16, 6, 4, generator=generator).bfloat16()
    weight = torch.randn(layer.weight.shape, generator=generator).bfloat16()
    bias = 3.0 + torch.rand(16, generator=generator)
    layer.load_state_dict({"weight": weight.float(), "bias": bias})
    layer.run_in(torch.bfloat16)
    with torch.inference_mode():
        found = layer(image.contiguous(memory_format=torch.channels_last))
        exact = layer._conv_forward(image.double(), weight.double(), bias.double()).clamp(0.0, 6.0)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-4)


def test_products_across_channels_are_linear_layers() -> None:
    """As convolutions they take twenty times as long on processors with AVX2 alone."""
    network = read_yamnet(YAMNET_FILE)
    network.run_layers_in(torch.float32)
    with torch.no_grad(), CalledOperations() as called:
        network(torch.zeros(2, 96, 64))
    if not has_onednn(torch.float32):
        pytest.skip("this torch offers no oneDNN")
    assert called.names.count("mkldnn::_linear_pointwise") == 13
    assert called.names.count("mkldnn::_convolution_pointwise") == 14


@pytest.mark.parametrize("n_frames", [30, 120, 500])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_where_a_ring_starts_hardly_counts(tagger: TorchTagger, n_frames: int, share: float) -> None:
    ring = yamnet_ring(melody(8.0))[:n_frames]
    moved = np.roll(ring, round(share * n_frames), axis=0)
    classes, features = tagger([moved, ring])
    assert cosine(*classes) > 0.97
    assert cosine(*features) > 0.94


@pytest.mark.parametrize("n_frames", [30, 96, 240])
def test_a_loop_sounds_the_same_said_twice(tagger: TorchTagger, n_frames: int) -> None:
    ring = yamnet_ring(melody(8.0))[:n_frames]
    for said in tagger([np.tile(ring, (2, 1)), ring]):
        assert cosine(*said) > 0.97


def test_a_clip_sounds_the_same_alone_and_among_others(tagger: TorchTagger) -> None:
    rings = [yamnet_ring(melody(seconds)) for seconds in (0.5, 3.0, 20.0)]
    classes, features = tagger(rings)
    assert classes.shape == (3, 521)
    assert features.shape == (3, 1024)
    for place, ring in enumerate(rings):
        alone = tagger([ring])
        np.testing.assert_allclose(alone[0][0], classes[place], atol=1e-6)
        np.testing.assert_allclose(alone[1][0], features[place], atol=1e-5)


def test_classes_are_told_from_the_features() -> None:
    network = read_yamnet(YAMNET_FILE)
    with torch.inference_mode():
        classes, features = network(torch.from_numpy(yamnet_ring(melody(1.0))[None, :96]))
        torch.testing.assert_close(torch.sigmoid(network.classes(features)), classes)
    assert 0 <= features.min() < features.max() <= 6


@pytest.mark.parametrize(
    ("n_frames", "n_windows"), [(1, 1), (96, 1), (97, 3), (200, 5), (800, 12), (3000, 32), (6144, 64)]
)
def test_windows_hear_all_of_a_ring(tagger: TorchTagger, n_frames: int, n_windows: int) -> None:
    numbered = torch.arange(n_frames, dtype=torch.float32)[:, None].expand(-1, 64)
    windows = tagger._windows(numbered)
    assert len(window_starts(n_frames)) == n_windows
    assert windows.shape == (n_windows, 96, 64)
    assert set(windows[:, :, 0].flatten().tolist()) == set(range(n_frames))
    steps = windows[:, 1:, 0] - windows[:, :-1, 0]
    assert set(((steps - 1) % n_frames).flatten().tolist()) == {0.0}  # one frame after the other


def test_saving_and_reading(tmp_path: Path) -> None:
    save_yamnet(tmp_path / "again.safetensors", load_file(YAMNET_FILE))
    one, other = (read_yamnet(path).state_dict() for path in (YAMNET_FILE, tmp_path / "again.safetensors"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    state = load_file(YAMNET_FILE)
    save_file({name: value for name, value in state.items() if "layers.3." not in name}, tmp_path / "few")
    save_file(state | {"layers.3.weight": torch.zeros(1, dtype=torch.int8)}, tmp_path / "misshapen")
    save_file({name: value for name, value in state.items() if "step" not in name}, tmp_path / "stepless")
    for name in ("few", "misshapen", "stepless"):
        with pytest.raises(CheckpointError, match="is not a YAMNet checkpoint"):
            read_yamnet(tmp_path / name)


@pytest.mark.parametrize(
    ("seconds", "n_frames"), [(0.25, 25), (2, 200), (30, 3000), (600, MAX_EXCERPTS * 384)]
)
def test_how_many_frames(seconds: float, n_frames: int) -> None:
    assert yamnet_ring(melody(seconds)).shape == (n_frames, 64)


def test_a_steady_tone_is_the_same_everywhere() -> None:
    """Across the seam too."""
    tone = np.sin(2 * np.pi * 500 * np.arange(320 * 300) / RATE).astype(np.float32)
    ring = yamnet_ring(tone)
    np.testing.assert_allclose(ring, np.broadcast_to(ring[:1], ring.shape), atol=0.02)


def test_level_does_not_count() -> None:
    np.testing.assert_allclose(yamnet_ring(melody(3)), yamnet_ring(0.1 * melody(3)), atol=1e-3)


@pytest.mark.parametrize("waveform", [np.zeros(0), np.zeros((2, 900)), np.full(900, np.nan)])
def test_what_is_no_waveform_is_refused(waveform: np.ndarray) -> None:
    with pytest.raises(FeatureError, match="1-D"):
        yamnet_ring(waveform.astype(np.float32))
