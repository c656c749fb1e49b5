"""Tempo, onsets, swing and timing, from an onset curve that wraps as the loop does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from loopsphere.explain.attributes.spectra import band_matrix, pieces, power_blocks
from loopsphere.explain.quantiles import weighted_quantile
from loopsphere.types import Float32Array

FloatArray = npt.NDArray[np.float64]

_N_FFT = 1024
_HOP_S = 0.005
_N_BANDS = 36
_ONSET_SPACING_S = 0.05
_ONSET_SHARE = 0.18
_SLOWEST_BPM, _FASTEST_BPM = 50.0, 220.0
# Tempi of loops: log-normal around the middle, in octaves.
_USUAL_BPM, _USUAL_OCTAVES = 112.0, 0.75
_MIN_ONSETS = 4
_GRID_PULL = 2.5
# Beat counts that are not whole: how finely they are tried, how far from whole, how much they are believed.
_COUNT_STEP = 0.004
_MIN_MISFIT_BEATS = 0.08
_BROKEN_WEIGHT = 0.55


@dataclass(frozen=True)
class OnsetCurve:
    """How much starts when.

    Attributes
    ----------
    strength : float64 ndarray of shape (n_frames,)
        At least 0; wraps.
    hop_s : float
        Seconds from frame to frame: the loop is `n_frames * hop_s` long.
    onsets : int64 ndarray of shape (n_onsets,)
        Frames of the peaks.
    """

    strength: FloatArray
    hop_s: float
    onsets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tempo:
    """A tempo and how far to trust it.

    Attributes
    ----------
    bpm : float
    confidence : float
        0 to 1.
    """

    bpm: float
    confidence: float


def onset_curve(waveform: Float32Array, sample_rate: int) -> OnsetCurve:
    """Measure spectral flux on a compressed scale.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, not all zero.
    sample_rate : int
        Hz; 22,050 is enough.

    Returns
    -------
    curve : OnsetCurve

    References
    ----------
    Böck and Widmer 2013, 'Maximum filter vibrato suppression for onset detection', DAFx.
    """
    hop = max(1, round(_HOP_S * sample_rate))
    edges = np.geomspace(40.0, 0.48 * sample_rate, _N_BANDS + 2).astype(np.float32)
    filters = band_matrix(edges, sample_rate, _N_FFT)
    blocks = power_blocks(waveform, _N_FFT, hop, wrap=True)
    bands = np.sqrt(np.concatenate([power @ filters for power in blocks]))
    level = np.log1p(np.float32(1000.0 / max(float(bands.max()), 1e-12)) * bands)
    # Against the neighbourhood's loudest band two frames earlier: vibrato is no onset.
    before = ndimage.maximum_filter1d(np.roll(level, 3, axis=0), 3, axis=1)
    flux = np.maximum(level - before, 0).mean(axis=1).astype(np.float64)
    strength = ndimage.gaussian_filter1d(flux, 1.5, mode="wrap")
    hop_s = len(waveform) / sample_rate / len(strength)
    return OnsetCurve(strength, hop_s, _peaks(strength, hop_s))


def _peaks(strength: FloatArray, hop_s: float) -> npt.NDArray[np.int64]:
    n_around = 2 * max(1, round(_ONSET_SPACING_S / 2 / hop_s)) + 1
    highest = ndimage.maximum_filter1d(strength, n_around, mode="wrap")
    local_mean = ndimage.uniform_filter1d(strength, 2 * round(0.1 / hop_s) + 1, mode="wrap")
    threshold = np.maximum(_ONSET_SHARE * np.quantile(highest, 0.95), 1.15 * local_mean)
    return np.flatnonzero((strength == highest) & (strength > threshold) & (strength > 1e-6))


def onset_density(curve: OnsetCurve) -> float:
    """Return onsets a second."""
    return len(curve.onsets) / (len(curve.strength) * curve.hop_s)


def tempo(curve: OnsetCurve) -> Tempo | None:
    """Estimate the tempo of a loop.

    A loop should hold a whole number of beats, so the first candidates are few. Each is judged by how well
    the onset curve repeats after a beat, its halves and multiples; by how well the onsets lie on its
    sixteenths; by how usual the tempo and the count of beats are. A tempo that does not divide the loop is
    believed only where it is clearly better: then the loop was cut.

    Parameters
    ----------
    curve : OnsetCurve

    Returns
    -------
    tempo : Tempo or None
        None where too little starts to have a tempo.

    References
    ----------
    Font and Serra 2016, 'Tempo estimation for music loops and a simple confidence measure', ISMIR.
    """
    duration_s = len(curve.strength) * curve.hop_s
    fewest, most = duration_s * _SLOWEST_BPM / 60, duration_s * _FASTEST_BPM / 60
    whole = np.arange(max(1, int(np.ceil(fewest))), int(most) + 1).astype(np.float64)
    if len(curve.onsets) < _MIN_ONSETS or not len(whole):
        return None
    broken = np.geomspace(fewest, most, int(np.log(most / fewest) / _COUNT_STEP))
    broken = broken[np.abs(broken - np.rint(broken)) > _MIN_MISFIT_BEATS]
    counts = np.concatenate([whole, broken])
    bpms = 60.0 * counts / duration_s
    pulse = _pulse(_autocorrelation(curve.strength), counts)
    usual = np.exp(-0.5 * (np.log2(bpms / _USUAL_BPM) / _USUAL_OCTAVES) ** 2)
    usual *= np.concatenate([_count_weights(whole), np.full(len(broken), _BROKEN_WEIGHT)])
    merit = np.maximum(pulse, 0.02) * usual * np.exp(_GRID_PULL * _on_grid(curve, counts))
    best = int(np.argmax(merit))
    others = np.abs(np.log2(counts / counts[best])) > 0.06
    margin = 1.0 - float(merit[others].max(initial=0.0)) / float(merit[best])
    return Tempo(float(bpms[best]), float(np.clip(0.5 * pulse[best] + 0.5 * margin, 0.0, 1.0)))


def _autocorrelation(strength: FloatArray) -> FloatArray:
    """Return the autocorrelation of the onset curve, not wrapped, 1 at lag 0."""
    n_frames = len(strength)
    spectrum = fft.rfft(strength - strength.mean(), 2 * n_frames)
    correlation = fft.irfft(np.abs(spectrum) ** 2, 2 * n_frames)[:n_frames]
    n_pairs = n_frames - np.arange(n_frames)
    # Long lags rest on few frames: they are only partly made up for that.
    return np.asarray(
        correlation * n_frames / np.maximum(n_pairs, n_frames / 4) / max(float(correlation[0]), 1e-20)
    )


def _pulse(repeats: FloatArray, counts: FloatArray) -> FloatArray:
    """Return for each beat count how well the curve repeats after a quarter to four beats."""
    n_frames = len(repeats)
    total, weight_sum = np.zeros(len(counts)), np.zeros(len(counts))
    for multiple, weight in ((0.25, 0.6), (0.5, 0.8), (1.0, 1.0), (2.0, 0.8), (4.0, 0.6)):
        lag = n_frames / counts * multiple
        weights = np.where((lag < 0.75 * n_frames) | (multiple <= 1), weight, 0.0)
        at = np.minimum(lag.astype(np.int64), n_frames - 2)
        total += weights * np.maximum(repeats[at], repeats[at + 1])
        weight_sum += weights
    return np.asarray(total / weight_sum)


def _on_grid(curve: OnsetCurve, counts: FloatArray) -> FloatArray:
    """Return how well the onsets agree on a grid of sixteenths, 0 to 1, wherever that grid begins."""
    weights = curve.strength[curve.onsets]
    agreement: FloatArray = np.empty(len(counts))
    for rows in pieces(len(counts), width=16 * len(curve.onsets)):
        turns = np.outer(4 * counts[rows] / len(curve.strength), curve.onsets)
        agreement[rows] = np.abs(np.exp(2j * np.pi * turns) @ weights)
    agreement /= weights.sum()
    return agreement


def _count_weights(beats: FloatArray) -> FloatArray:
    """Return how usual it is for a loop to have so many beats."""
    counts = beats.astype(np.int64)
    is_power = (counts & (counts - 1)) == 0
    return np.select(
        [is_power & (counts >= 4), counts % 4 == 0, counts == 2, counts % 3 == 0, counts % 2 == 0],
        [1.0, 0.75, 0.6, 0.55, 0.45],
        0.3,
    )


def swing(curve: OnsetCurve, bpm: float) -> float | None:
    """Measure by how much every second sixteenth is late.

    Parameters
    ----------
    curve : OnsetCurve
    bpm : float

    Returns
    -------
    swing : float or None
        As a share of a sixteenth: 0 is straight, 1/3 a triplet. None where hardly anything starts there.
    """
    places, weights = _places(curve, bpm)
    # Places in an eighth: 0 to 2 sixteenths; what starts near 1 is the off-beat.
    is_off = (places > 0.7) & (places < 1.55)
    if weights[is_off].sum() < 0.08 * weights.sum() or is_off.sum() < 3:
        return None
    return weighted_quantile(places[is_off], weights[is_off], 0.5) - 1.0


def timing_ms(curve: OnsetCurve, bpm: float) -> float | None:
    """Measure how far onsets lie from the grid of sixteenths, on average.

    Parameters
    ----------
    curve : OnsetCurve
    bpm : float

    Returns
    -------
    deviation : float or None
        Milliseconds, after the loop's own swing is allowed for; None for fewer than four onsets.
    """
    if len(curve.onsets) < _MIN_ONSETS:
        return None
    late = swing(curve, bpm) or 0.0
    places, weights = _places(curve, bpm)
    to_even = np.minimum(places, 2.0 - places)
    to_odd = np.abs(places - 1.0 - late)
    sixteenth_ms = 15_000.0 / bpm
    return float(np.average(np.minimum(to_even, to_odd), weights=weights) * sixteenth_ms)


def _places(curve: OnsetCurve, bpm: float) -> tuple[FloatArray, FloatArray]:
    """Return where in a pair of sixteenths each onset lies (0 to 2), and its strength.

    The grid is laid where the onsets agree best: recordings rarely start on the beat to the millisecond.
    """
    pair_frames = 30.0 / bpm / curve.hop_s
    weights = curve.strength[curve.onsets]
    phases = 2j * np.pi * curve.onsets / (pair_frames / 2)
    mean = np.sum(weights * np.exp(phases)) / weights.sum()
    places = curve.onsets / (pair_frames / 2) - float(np.angle(mean)) / (2 * np.pi)
    # Late off-beats pull that mean along: lay the grid anew where the beats themselves agree.
    from_beat = (places + 1.0) % 2.0 - 1.0
    is_beat = np.abs(from_beat) < 0.5
    if is_beat.any():
        places = places - weighted_quantile(from_beat[is_beat], weights[is_beat], 0.5)
    return np.asarray(places % 2.0), weights
