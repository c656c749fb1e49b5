"""The heaviest part of the front end, spectra, on a GPU, while the network works there on other clips."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from loopsphere.features.config import MelConfig
from loopsphere.features.mel import analysis_window, mel_filters
from loopsphere.types import Float32Array

_FRAMES_PER_PART = 2048  # of which the spectra, some 100 MB, are in memory at a time


class DeviceMel:
    """What `loopsphere.features.mel.mel_power` does, on a device.

    On CUDA each thread has a stream of its own and waits for that alone, so that clips are copied and
    analysed while another thread's batch is in the network.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._of_thread = local()

    def __call__(
        self, waveform: Float32Array, config: MelConfig, *, dtype: type[np.floating[Any]] = np.float64
    ) -> Float32Array:
        """Return the power in mel bands of every whole frame; see `mel_power`.

        Apple's GPU has no float64, so spectra are float32 there.
        """
        exact = np.dtype(dtype) == np.float64 and self._device.type != "mps"
        window, filters = _tables(config, self._device, torch.float64 if exact else torch.float32)
        with torch.inference_mode(), self._stream():
            frames = to_device(waveform, self._device).unfold(0, config.n_fft, config.hop_length)
            parts = [
                _spectra(part * window, config.exponent) @ filters
                for part in torch.split(frames, _FRAMES_PER_PART)
            ]
            result: Float32Array = torch.cat(parts).cpu().numpy()
        return result

    def _stream(self) -> AbstractContextManager[Any]:
        if self._device.type != "cuda":
            return nullcontext()
        if not hasattr(self._of_thread, "stream"):
            self._of_thread.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._of_thread.stream)


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a Tensor on a device; to CUDA from pinned memory, without waiting for the copy."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _spectra(frames: Tensor, exponent: int) -> Tensor:
    """Return the float32 power or magnitude in FFT bins of windowed frames."""
    spectrum: Tensor = torch.fft.rfft(frames)
    power = (spectrum.real.square() + spectrum.imag.square()).float()
    return power.sqrt() if exponent == 1 else power


@lru_cache(maxsize=16)
def _tables(config: MelConfig, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the analysis window, (n_fft,) of `dtype`, and the filters, (n_fft // 2 + 1, n_mels)."""
    window = torch.from_numpy(analysis_window(config).copy()).to(dtype)
    # Copied in full before another thread's stream may read them.
    return window.to(device), torch.from_numpy(mel_filters(config).copy()).to(device)
