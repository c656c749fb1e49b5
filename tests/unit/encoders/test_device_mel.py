"""What `--device cuda` does otherwise, run on the CPU; and on a GPU, where there is one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from loopsphere.encoders import Encoder, load_encoder
from loopsphere.encoders.device_mel import DeviceMel
from loopsphere.features.config import BUNDLED, CLAP_FUSED
from loopsphere.features.listening import YAMNET_MEL
from loopsphere.features.mel import log_mel, mel_power

CPU = torch.device("cpu")


def clip(duration_s: float, sample_rate: int) -> np.ndarray:
    """A decaying chord over quiet noise, so that loud and quiet bands lie side by side."""
    time = np.arange(round(duration_s * sample_rate)) / sample_rate
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (110.0, 277.2, 1318.5))
    noise = np.random.default_rng(0).standard_normal(time.size)
    return (0.2 * chord * np.exp(-time) + 1e-4 * noise).astype(np.float32)


@pytest.mark.parametrize("config", [BUNDLED, CLAP_FUSED, YAMNET_MEL])
@pytest.mark.parametrize("duration_s", [1.0, 95.0])
def test_spectra_on_a_device_are_those_of_numpy(config, duration_s) -> None:
    """In float64 to the last digit of float32; in float32 to what that loses. 95 s go through in parts."""
    waveform = clip(duration_s, config.sample_rate)
    for dtype, tolerance in ((np.float64, 1e-5), (np.float32, 2e-3)):
        expected = mel_power(waveform, config, dtype=np.float64)
        found = DeviceMel(CPU)(waveform, config, dtype=dtype)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-7 * expected.max())


def on_device(encoder: Encoder, device: torch.device) -> Encoder:
    return dataclasses.replace(encoder, power_of=DeviceMel(device))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_encoder_with_its_spectra_on_a_device_says_the_same(precision) -> None:
    encoder = load_encoder("bundled", device="cpu", precision=precision)
    waveforms = [clip(duration_s, encoder.mel.sample_rate) for duration_s in (0.4, 7.0, 25.0)]
    usual, other = encoder.embed(waveforms), on_device(encoder, CPU).embed(waveforms)
    assert np.min(np.sum(usual * other, axis=1)) > 0.9999


def test_spectra_stay_on_the_cpu_beside_a_network_on_it() -> None:
    assert load_encoder("bundled", device="cpu").power_of is mel_power


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_says_what_the_cpu_says(precision) -> None:
    encoder = load_encoder("bundled", device="cuda", precision=precision)
    assert isinstance(encoder.power_of, DeviceMel)
    exact = load_encoder("bundled", device="cpu", precision="float32")
    waveforms = [clip(duration_s, encoder.mel.sample_rate) for duration_s in (0.4, 7.0, 25.0)]
    np.testing.assert_allclose(
        log_mel(waveforms[0], encoder.mel, power_of=encoder.power_of),
        log_mel(waveforms[0], encoder.mel),
        atol=0.02,
    )
    assert np.min(np.sum(exact.embed(waveforms) * encoder.embed(waveforms), axis=1)) > 0.999
