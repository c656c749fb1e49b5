"""What the encoder is compared with: hand-made features of a waveform, and statistics of a log-mel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
_SAMPLE_RATE = 22_050  # librosa's default, for which such features are usually computed


def handmade_features(waveform: npt.NDArray[np.float32], sample_rate: int) -> Vector:
    """Return 73 features that need no training.

    20 MFCC and 12 chroma bins, each as mean and standard deviation over time; 7 bands of spectral contrast,
    the spectral centroid and the rate of zero crossings, each as mean.
    """
    import librosa
    import soxr

    samples = soxr.resample(waveform, sample_rate, _SAMPLE_RATE, quality="HQ")
    magnitude = np.abs(librosa.stft(samples))
    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=_SAMPLE_RATE)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), sr=_SAMPLE_RATE, n_mfcc=20)
    chroma = librosa.feature.chroma_stft(S=magnitude**2, sr=_SAMPLE_RATE)
    contrast = librosa.feature.spectral_contrast(S=magnitude, sr=_SAMPLE_RATE)
    centroid = librosa.feature.spectral_centroid(S=magnitude, sr=_SAMPLE_RATE)
    crossings = librosa.feature.zero_crossing_rate(samples)
    return np.concatenate(
        [
            *(part for rows in (mfcc, chroma) for part in (rows.mean(axis=1), rows.std(axis=1))),
            *(rows.mean(axis=1) for rows in (contrast, centroid, crossings)),
        ],
        dtype=np.float64,
    )


def pyod_features(waveform: npt.NDArray[np.float32], sample_rate: int) -> Vector:
    """Return the 74 features of PyOD's own audio encoder, which its `EmbeddingOD.for_audio` stands on."""
    from pyod.utils.encoders.audio import AudioFeatureEncoder

    return np.asarray(AudioFeatureEncoder().encode([(waveform, sample_rate)], show_progress=False)[0])


def log_mel_statistics(log_mel: npt.NDArray[np.float32]) -> Vector:
    """Return mean and standard deviation over time of each band, shape (2 * n_mels,)."""
    return np.concatenate([log_mel.mean(axis=0), log_mel.std(axis=0)], dtype=np.float64)
