"""The bundled format: what is written comes back, and anything damaged is refused by name.

Hugging Face's and LAION's formats are tested in tests/peers, on checkpoints that their own code wrote.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from loopsphere.encoders import load_encoder
from loopsphere.errors import CheckpointError
from loopsphere.models.checkpoints import read_checkpoint, save_checkpoint
from loopsphere.models.htsat import HTSAT, HTSAT_BASE, HTSAT_TINY
from loopsphere.models.layouts import HUGGING_FACE, LAION, OWN
from random_networks import SMALL_HTSAT, SMALL_MEL, save_small_checkpoint, small_network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save_small_checkpoint(tmp_path / "small.safetensors")


def rewrite(path: Path, *, tensors=None, metadata=None) -> None:
    """Pass a file's tensors and settings through functions."""
    with safe_open(path, framework="pt") as handle:
        stored = {key: json.loads(value) for key, value in handle.metadata().items()}
    state = load_file(path)
    stored = metadata(stored) if metadata else stored
    save_file(
        tensors(state) if tensors else state, path, {key: json.dumps(value) for key, value in stored.items()}
    )


def test_saved_is_what_is_read(path: Path) -> None:
    network, checkpoint = small_network(), read_checkpoint(path)
    assert checkpoint.kind == "bundled"
    assert checkpoint.config == SMALL_HTSAT
    assert checkpoint.mel_settings == dataclasses.asdict(SMALL_MEL)
    expected = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    assert checkpoint.state.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(checkpoint.state[name], value, rtol=0, atol=0)


def test_the_file_holds_fp16_and_nothing_else(path: Path) -> None:
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    assert not any("num_batches_tracked" in name for name in load_file(path))


def test_a_weight_beyond_fp16_is_not_written(tmp_path: Path) -> None:
    network = small_network()
    with torch.no_grad():
        network.norm.weight[0] = 1e6
    with pytest.raises(CheckpointError, match=r"norm\.weight has values that are NaN or infinite"):
        save_checkpoint(tmp_path / "x.safetensors", network, dataclasses.asdict(SMALL_MEL))
    assert not (tmp_path / "x.safetensors").exists()


def reset_fusion_statistics(state):
    for name, value in state.items():
        if name.startswith("fusion.") and "running" in name:
            value.fill_(float(name.endswith("running_var")))
    return state


def without(state, part: str):
    return {name: value for name, value in state.items() if part not in name}


NAME = "stages.1.1.attention.qkv.weight"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (lambda state: without(state, NAME), rf"lacks tensor {NAME}$"),
        (
            lambda state: without(state, "fusion.local_patches.bias"),
            r"local_patches\.bias; without .* cannot fuse",
        ),
        (lambda state: without(state, "stages"), r"lacks \d+ tensors: stages.*, \.\.\."),
        (lambda state: {**state, "odd": torch.ones(1)}, "has unknown tensor odd$"),
        (
            lambda state: {**state, NAME: state[NAME].T.contiguous()},
            rf"{NAME} has shape \(16, 48\), not \(48, 16\)",
        ),
        (
            lambda state: {**state, NAME: state[NAME].short()},
            rf"{NAME} holds torch\.int16, not floating point",
        ),
        (
            lambda state: {**state, NAME: state[NAME] * torch.inf},
            rf"{NAME} has values that are NaN or infinite",
        ),
        (reset_fusion_statistics, "no trained fusion weights: the batch norms of its fusion layers"),
    ],
    ids=["missing", "fusion", "many missing", "unknown", "misshapen", "integers", "infinite", "untrained"],
)
def test_wrong_tensors_are_refused_by_name(path: Path, tensors, message: str) -> None:
    rewrite(path, tensors=tensors)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def changed(key: str, **fields):
    return lambda metadata: {**metadata, key: {**metadata[key], **fields}}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (lambda metadata: {}, "its metadata lacks htsat_config or mel_config"),
        (lambda metadata: {**metadata, "htsat_config": [1]}, "htsat_config of .* is not a JSON object"),
        (changed("htsat_config", colour="red"), "htsat_config of .* lacks or does not know colour"),
        (changed("htsat_config", width=10**12), "describes no HTS-AT that can be built"),
        (changed("htsat_config", width=True), "describes no HTS-AT that can be built"),
        (changed("htsat_config", depths=[2, 10**9]), "describes no HTS-AT that can be built"),
        (changed("htsat_config", depths=2), "describes no HTS-AT that can be built"),
        (changed("htsat_config", n_heads=[3, 4]), "describes no HTS-AT that can be built"),
        (changed("htsat_config", mlp_ratio=float("nan")), "describes no HTS-AT that can be built"),
        (changed("htsat_config", fusion="yes"), "describes no HTS-AT that can be built"),
        (changed("htsat_config", fusion=False), "has unknown .* fusion"),
        (changed("htsat_config", width=16), r"has shape .*, not"),
        (changed("mel_config", colour="red"), "unknown mel settings colour"),
        (changed("mel_config", filters="bark"), "mel settings cannot be used"),
        (changed("mel_config", exponent=3), "mel settings cannot be used"),
        (changed("mel_config", window_length=100_000), "mel settings cannot be used"),
        (changed("mel_config", window_length=0.5), "mel settings cannot be used"),
        (changed("mel_config", fmax=5000.0), "mel settings cannot be used"),
        (changed("mel_config", hop_length=0), "mel settings cannot be used"),
        (
            changed("mel_config", n_mels=32),
            "up to 256 frames of 16 bands, but the mel settings give 201 of 32",
        ),
        (changed("mel_config", n_frames=300), "up to 256 frames of 16 bands, but .* give 300 of 16"),
    ],
)
def test_wrong_settings_are_refused(path: Path, metadata, message: str) -> None:
    rewrite(path, metadata=metadata)
    with pytest.raises(CheckpointError, match=message):
        load_encoder(str(path), device="cpu")


@pytest.mark.parametrize("n_bytes", [0, 7, 100, 5000])
def test_a_truncated_file_is_refused(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(CheckpointError, match=r"small\.safetensors cannot be read as safetensors"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 broken zip", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clap.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"clap\.pt cannot be read as PyTorch weights"):
        read_checkpoint(tmp_path / "clap.pt")


class Planted:
    """Pickles to a call that makes a file: what a malicious checkpoint would do."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "args": Planted(tmp_path / "run")}, tmp_path / "clap.pt")
    with pytest.raises(CheckpointError, match=r"clap\.pt cannot be read as PyTorch weights"):
        read_checkpoint(tmp_path / "clap.pt")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"a": 1}}, {"epoch": 3}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, content) -> None:
    torch.save(content, tmp_path / "clap.pt")
    with pytest.raises(CheckpointError, match="holds no state dict of tensors"):
        read_checkpoint(tmp_path / "clap.pt")


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        read_checkpoint(tmp_path / "nothing")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read, and the checkpoint needs it"):
        read_checkpoint(tmp_path)


def test_fusion_is_refused_where_it_was_not_trained(tmp_path: Path) -> None:
    path = save_small_checkpoint(tmp_path / "plain.safetensors", fusion=False)
    with pytest.raises(CheckpointError, match="trained without feature fusion"):
        read_checkpoint(path, fusion=True)


def test_fusion_can_be_left_out(path: Path) -> None:
    checkpoint = read_checkpoint(path, fusion=False)
    assert checkpoint.config == dataclasses.replace(SMALL_HTSAT, fusion=False)
    assert not any(name.startswith("fusion.") for name in checkpoint.state)


@pytest.mark.parametrize("config", [SMALL_HTSAT, HTSAT_TINY, HTSAT_BASE])
@pytest.mark.parametrize("layout", [OWN, HUGGING_FACE, LAION])
def test_every_tensor_has_sources_of_its_own(config, layout) -> None:
    """No two of ours come from one of theirs, and none from one that counts as unused."""
    with torch.device("meta"):
        names = [name for name in HTSAT(config).state_dict() if not name.endswith("num_batches_tracked")]
    sources = [source for name in names for source in layout.sources(name)]
    assert len(set(sources)) == len(sources)
    assert not any(layout.is_unused(source) for source in sources)
