"""HTSAT-tiny with random weights on disk, and the peers that read it: `transformers` and LAION's own code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import librosa
import numpy as np
import torch
import transformers

RATE_HZ = 48_000
Peer = Callable[[Sequence[str], int], np.ndarray]
"""Called with paths and a batch size."""


def save_clap(folder: Path) -> Path:
    """Save a CLAP audio model with fusion, as `laion/clap-htsat-fused` is, with its feature extractor."""
    torch.manual_seed(0)
    model = transformers.ClapAudioModel(transformers.ClapAudioConfig(enable_fusion=True))
    for name, statistic in model.named_buffers():
        if name.endswith("running_var"):
            statistic.uniform_(0.5, 1.5)  # those of a fusion that was never trained are refused
    model.save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="fusion").save_pretrained(folder)
    return folder


def _batches(paths: Sequence[str], size: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(paths), size):
        yield [librosa.load(path, sr=RATE_HZ)[0] for path in paths[start : start + size]]


def transformers_clap(folder: Path) -> Peer:
    """Return the way of transformers' documentation: load, extract features, run the audio model."""
    model = transformers_network(folder)
    extractor = transformers.ClapFeatureExtractor.from_pretrained(folder)

    def run(paths: Sequence[str], batch_size: int) -> np.ndarray:
        rows = []
        for waveforms in _batches(paths, batch_size):
            inputs = extractor(waveforms, sampling_rate=RATE_HZ, return_tensors="pt")
            with torch.inference_mode():
                rows.append(model(**inputs).pooler_output.numpy())
        return np.concatenate(rows)

    return run


def transformers_network(folder: Path) -> torch.nn.Module:
    """Return the audio model of transformers."""
    return transformers.ClapAudioModel.from_pretrained(folder).eval()


def laion_network() -> torch.nn.Module | None:
    """Return LAION's own HTSAT-tiny with fusion; None where laion-clap is not installed.

    The package's way from a file to log-mel wants torchvision and torchaudio, which would bring a second
    torch; its network does not, so that it alone is compared.
    """
    if any(importlib.util.find_spec(name) is None for name in ("laion_clap", "torchlibrosa")):
        return None
    root = Path(importlib.util.find_spec("laion_clap").origin).parent
    modules = {
        name: ModuleType(name) for name in ("torchvision", "torchvision.ops", "torchvision.ops.misc", "h5py")
    }
    modules["torchvision.ops.misc"].FrozenBatchNorm2d = torch.nn.Module
    for name, folder in {"laion_clap": root, "laion_clap.clap_module": root / "clap_module"}.items():
        modules[name] = ModuleType(name)
        modules[name].__path__ = [str(folder)]
    settings = SimpleNamespace(
        sample_rate=RATE_HZ, window_size=1024, hop_size=480, mel_bins=64, fmin=50, fmax=14_000, class_num=527,
        model_name="tiny",
    )  # fmt: skip
    with mock.patch.dict(sys.modules, modules):
        htsat = importlib.import_module("laion_clap.clap_module.htsat")
        return htsat.create_htsat_model(settings, enable_fusion=True, fusion_type="aff_2d").eval()
