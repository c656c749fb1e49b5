"""What a network that has heard real music makes of a sound: musicnn's penultimate layer, to be learnt from.

Rendered loops alone leave an encoder ignorant of how recorded instruments differ. musicnn (Pons and Serra
2019, arXiv 1909.06654; weights ISC) was trained on the recordings of MagnaTagATune; what it says of a
rendered loop is the `teacher` term's target. It runs while the pool is rendered and is not needed after.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
import torch
from scipy.signal import stft
from torch import Tensor
from torch.nn import functional

Audio = npt.NDArray[np.float32]

DIM = 200
WEIGHTS = Path("pretraining/teacher.npz")
"""Written by `pretraining/fetch_teacher.sh`."""
_SAMPLE_RATE = 16_000
_N_FFT, _HOP, _N_MELS = 512, 256, 96
_WINDOW_FRAMES = 187
_MAX_WINDOWS = 2
_TEMPORAL_FRAMES = (128, 64, 32)
_EPSILON = 1e-3


class Teacher:
    """musicnn, trained on MagnaTagATune, up to its penultimate layer.

    Parameters
    ----------
    weights : Path
        Variables of the TensorFlow checkpoint by name, with '|' for '/'.
    """

    def __init__(self, weights: Path) -> None:
        with np.load(weights) as arrays:
            self._arrays = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        self._filters = _slaney_filters()

    def __call__(self, waveform: Audio, sample_rate: int) -> npt.NDArray[np.float32]:
        """Return the penultimate layer, float32 of shape (200,), averaged over up to two windows of 3 s.

        Parameters
        ----------
        waveform : float32 ndarray of shape (n_samples,)
            Mono; its level does not count.
        sample_rate : int
            Hz.
        """
        with torch.inference_mode():
            return np.asarray(self._penultimate(self._windows(waveform, sample_rate)).mean(0))

    def _windows(self, waveform: Audio, sample_rate: int) -> Tensor:
        audio = soxr.resample(waveform, sample_rate, _SAMPLE_RATE)
        audio = audio * (0.1 / (np.sqrt(np.mean(audio**2)) + 1e-9))
        _, _, spectrum = stft(
            audio, nperseg=_N_FFT, noverlap=_N_FFT - _HOP, boundary="zeros", padded=True, scaling="spectrum"
        )
        # SciPy divides by the window's sum, which librosa, musicnn's front end, does not.
        power = np.abs(spectrum * (_N_FFT / 2)) ** 2
        mel = np.log10(10_000 * (self._filters @ power).T + 1)
        if len(mel) < _WINDOW_FRAMES:
            mel = np.tile(mel, (-(-_WINDOW_FRAMES // len(mel)), 1))
        n_windows = min(_MAX_WINDOWS, -(-len(mel) // _WINDOW_FRAMES))
        starts = np.linspace(0, len(mel) - _WINDOW_FRAMES, n_windows + 2).round().astype(int)
        starts = starts[1:-1] if len(mel) > n_windows * _WINDOW_FRAMES else starts[[0, -1]][:n_windows]
        return torch.from_numpy(np.stack([mel[s : s + _WINDOW_FRAMES] for s in starts]).astype(np.float32))

    def _penultimate(self, mel: Tensor) -> Tensor:
        normed = self._norm(mel[:, None], 0, axis=1)
        padded = functional.pad(normed, (0, 0, 3, 3))
        maps = [self._front(padded, layer) for layer in (0, 1)]
        for layer, n_frames in enumerate(_TEMPORAL_FRAMES, 2):
            maps.append(
                self._front(functional.pad(normed, (0, 0, (n_frames - 1) // 2, n_frames // 2)), layer)
            )
        front = torch.cat(maps, 2)
        first = self._norm(self._over_time(front, 5), 6)
        second = self._norm(self._over_time(first, 6), 7) + first
        third = self._norm(self._over_time(second, 7), 8) + second
        features = torch.cat([front, first, second, third], 2)
        pooled = torch.stack([features.amax(1), features.mean(1)], 2).flatten(1)
        dense = self._norm(pooled, 9) @ self._array("dense", "kernel") + self._array("dense", "bias")
        return self._norm(functional.relu(dense), 10)

    def _array(self, layer: str, name: str) -> Tensor:
        return self._arrays[f"{layer}|{name}"]

    def _norm(self, values: Tensor, number: int, axis: int = -1) -> Tensor:
        layer = "batch_normalization" + (f"_{number}" if number else "")
        shape = [1] * values.ndim
        shape[axis] = -1
        gamma, beta, mean, variance = (
            self._array(layer, name).view(shape)
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (values - mean) / torch.sqrt(variance + _EPSILON) * gamma + beta

    def _convolved(self, values: Tensor, number: int) -> Tensor:
        layer = "conv2d" + (f"_{number}" if number else "")
        kernel, bias = self._array(layer, "kernel"), self._array(layer, "bias")
        return functional.relu(functional.conv2d(values, kernel.permute(3, 2, 0, 1), bias))

    def _front(self, padded: Tensor, number: int) -> Tensor:
        """Convolve over time and bands, and keep the strongest place among the bands: (n, time, filters)."""
        return self._norm(self._convolved(padded, number), number + 1, axis=1).amax(3).transpose(1, 2)

    def _over_time(self, values: Tensor, number: int) -> Tensor:
        """Convolve 7 frames of all features: (n, time, filters)."""
        padded = functional.pad(values[:, None], (0, 0, 3, 3))
        return self._convolved(padded, number)[..., 0].transpose(1, 2)


def _slaney_filters() -> npt.NDArray[np.float32]:
    import librosa

    return np.asarray(librosa.filters.mel(sr=_SAMPLE_RATE, n_fft=_N_FFT, n_mels=_N_MELS))
