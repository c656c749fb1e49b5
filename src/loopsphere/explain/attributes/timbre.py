"""Bright or dull, clean or noisy: attributes of the spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loopsphere.explain.attributes.levels import decibels, mean_square, rms_frames
from loopsphere.explain.attributes.spectra import power_blocks
from loopsphere.types import Float32Array

_FRAME_S = 0.046
_LOW_END_HZ = 150.0
_FLATNESS_BAND_HZ = (200.0, 10_000.0)
_LEAST_FLATNESS = 1e-3  # below, nobody hears noise
_LEAST_POWER = 1e-20  # far below what is not silent
_CUTOFF_FROM_HZ = 5_000.0
_CUTOFF_DROP_DB = 18.0
_CUTOFF_BAND_HZ = 500.0
_MAINS_HZ = (50.0, 60.0)
_MAINS_OVERTONES = (1, 2, 3, 5)
_HUM_FRAME_S = 0.5
_QUIET_FRAME_S = 0.05
_DEEPEST_DB = -80.0


@dataclass(frozen=True)
class Timbre:
    """What the spectrum tells.

    Attributes
    ----------
    centroid_hz : float
        Centre of the magnitude spectrum, frames weighted by their power.
    low_end_share : float
        Share of the power below 150 Hz.
    flatness : float
        Geometric over arithmetic mean of the power from 0.2 to 10 kHz: 0 for tones, 0.56 for white noise.
    cutoff_hz : float or None
        Where the spectrum falls off a cliff, as lossy codecs and resampling leave it; None without one.
    """

    centroid_hz: float
    low_end_share: float
    flatness: float
    cutoff_hz: float | None


def timbre(waveform: Float32Array, sample_rate: int) -> Timbre:
    """Measure brightness, low end, noisiness and the codec's cut-off.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, not all zero, at the file's own rate: what lies above half of another rate counts.
    sample_rate : int
        Hz.

    Returns
    -------
    timbre : Timbre
    """
    n_fft = 2 ** round(np.log2(_FRAME_S * sample_rate))
    bins_hz = np.arange(n_fft // 2 + 1, dtype=np.float32) * np.float32(sample_rate / n_fft)
    is_in_band = (bins_hz >= _FLATNESS_BAND_HZ[0]) & (bins_hz <= _FLATNESS_BAND_HZ[1])
    frame_powers, centroids, flatness = [], [], []
    power_sum, n_frames, loudest = np.zeros(len(bins_hz)), 0, np.float32(_LEAST_POWER)
    for power in power_blocks(waveform, n_fft, n_fft // 2):
        frame_powers.append(power.sum(axis=1, dtype=np.float64))
        magnitude = np.sqrt(power)
        centroids.append((magnitude @ bins_hz) / np.maximum(magnitude.sum(axis=1), 1e-20))
        power_sum += power.sum(axis=0, dtype=np.float64)
        n_frames += len(power)
        # Relative to the loudest frame, so that a change of gain does not change what is counted as zero.
        loudest = max(loudest, power.max())
        floored = power[:, is_in_band] + np.float32(1e-10 * loudest)
        flatness.append(np.exp(np.log(floored).mean(axis=1)) / floored.mean(axis=1))
    frame_power, mean_power = np.concatenate(frame_powers), power_sum / n_frames
    weights = frame_power / frame_power.sum()
    return Timbre(
        centroid_hz=float(np.concatenate(centroids) @ weights),
        low_end_share=float(mean_power[bins_hz < _LOW_END_HZ].sum() / mean_power.sum()),
        flatness=max(float(np.concatenate(flatness) @ weights), _LEAST_FLATNESS),
        cutoff_hz=_cutoff_hz(mean_power, sample_rate / n_fft),
    )


def _cutoff_hz(mean_power: np.ndarray[tuple[int], np.dtype[np.float64]], bin_hz: float) -> float | None:
    """Return where a band of 500 Hz lies far above the one that follows and all after it stay low."""
    n_band = max(2, round(_CUTOFF_BAND_HZ / bin_hz))
    level_db = 10.0 * np.log10(np.maximum(mean_power, 1e-14 * mean_power.max()))
    sums = np.concatenate([[0.0], np.cumsum(level_db)])
    means = (sums[n_band:] - sums[:-n_band]) / n_band
    # A codec's slope is steep, not vertical: leave a third of a band between the two.
    n_skip = n_band // 3
    drops = means[: -n_band - n_skip] - means[n_band + n_skip :]
    first = int(_CUTOFF_FROM_HZ / bin_hz) - n_band
    if len(drops) <= first + 1:
        return None
    at = first + int(np.argmax(drops[first:]))
    highest_after = means[at + n_band + n_skip :].max()
    if drops[at] < _CUTOFF_DROP_DB or highest_after > means[at] - _CUTOFF_DROP_DB + 3:
        return None
    return float((at + n_band + n_skip / 2) * bin_hz)


def hum_db(waveform: Float32Array, sample_rate: int) -> float | None:
    """Measure mains hum: steady tones at 50 or 60 Hz and overtones, relative to the loop.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, not all zero.
    sample_rate : int
        Hz.

    Returns
    -------
    level : float or None
        dB over the loop's RMS, at least -80: what sounds at all times, at four overtones, above what lies
        between them. None for loops under a second, where hum and a bass note are one.
    """
    n_fft = round(_HUM_FRAME_S * sample_rate)
    if len(waveform) < 2 * n_fft:
        return None
    # What sounds at all times: the quietest frames but one in eight; of nothing above the overtones.
    highest = round(max(_MAINS_HZ) * max(_MAINS_OVERTONES) * n_fft / sample_rate)
    power = np.concatenate(list(power_blocks(waveform, n_fft, n_fft // 2, n_bins=highest + 5)))
    steady = np.quantile(power, 0.125, axis=0)
    total = mean_square(waveform)
    best = 0.0
    for mains_hz in _MAINS_HZ:
        tones = []
        for overtone in _MAINS_OVERTONES:
            at = round(mains_hz * overtone * n_fft / sample_rate)
            beside = float(max(steady[at - 4 : at - 2].max(), steady[at + 3 : at + 5].max()))
            tones.append(max(0.0, float(steady[at]) - 4 * beside))
        # Three of four overtones must be there: a pedal note shares at most two with the mains.
        if sum(tone > 0 for tone in tones) >= 3:
            best = max(best, 2.0 * sum(tones))
    return max(_DEEPEST_DB, decibels(best / total))


def quiet_db(waveform: Float32Array, sample_rate: int) -> float:
    """Return how far the quietest tenth of a loop lies below its loudest twentieth.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, not all zero.
    sample_rate : int
        Hz.

    Returns
    -------
    level : float
        dB, from -80 to 0; hiss and hum fill the quiet parts.
    """
    rms = rms_frames(waveform, max(1, round(_QUIET_FRAME_S * sample_rate)))
    quiet, loud = np.quantile(rms, (0.1, 0.95))
    return max(_DEEPEST_DB, 2.0 * decibels(float(quiet / max(loud, 1e-12))))
