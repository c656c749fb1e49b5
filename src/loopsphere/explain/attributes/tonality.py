"""Pitch range, polyphony, tuning and key, from long spectra at a low rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from loopsphere.explain.attributes.spectra import pieces, power_frames
from loopsphere.explain.filename_hints import Key
from loopsphere.explain.quantiles import weighted_quantile
from loopsphere.types import Float32Array

FloatArray = npt.NDArray[np.float64]

TONAL_RATE_HZ = 11_025
_N_FFT = 4096
_HOP = 1024
_LOWEST_MIDI, _HIGHEST_MIDI = 24, 96
_STEPS_PER_SEMITONE = 3
_N_HARMONICS = 8
_HARMONIC_STEPS = tuple(round(12 * _STEPS_PER_SEMITONE * np.log2(k)) for k in range(1, _N_HARMONICS + 1))
_AROUND_HARMONICS = np.add.outer(_HARMONIC_STEPS, (-1, 0, 1)).ravel()
_HARMONIC_WEIGHTS = tuple(0.84 ** (k - 1) for k in range(1, _N_HARMONICS + 1))
_N_PITCH_STEPS = (_HIGHEST_MIDI - _LOWEST_MIDI) * _STEPS_PER_SEMITONE + 1
_N_IMAGE_STEPS = _N_PITCH_STEPS + _HARMONIC_STEPS[-1]
_MAX_VOICES = 6
_VOICE_SHARE = 0.4
_MIN_TONAL_SHARE = 0.3
_PEAK_FLOOR = 1e-5
_LOWEST_BIN = 9
_LOWEST_TUNED_MIDI = 45
_BASS_WEIGHT, _HEAD_WEIGHT, _HEAD_SHARE = 0.5, 0.5, 0.12
_A4_MIDI, _A4_HZ = 69, 440.0

# Probe-tone ratings of Krumhansl and Kessler 1982, as in Krumhansl 1990, 'Cognitive Foundations of Pitch'.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

_PROFILES: FloatArray = np.array(
    [
        [np.roll(np.array(profile) - np.mean(profile), tonic) / np.std(profile) for tonic in range(12)]
        for profile in (_MAJOR, _MINOR)
    ]
)
"""Of 2 modes and 12 tonics: shape (2, 12, 12)."""

_DIATONIC = (0, 2, 4, 5, 7, 9, 11)
_SCALES: FloatArray = np.array(
    [np.roll(np.isin(np.arange(12), _DIATONIC), tonic) for tonic in range(12)], dtype=np.float64
)


@dataclass(frozen=True)
class Tonality:
    """What is heard of pitch.

    Attributes
    ----------
    pitch_low_midi, pitch_high_midi : float
        Between them lie nine tenths of what sounds.
    polyphony : float
        Pitches at a time, on average.
    scale_fit : float
        Share of the pitches that lie within the best-fitting diatonic scale, 0 to 1.
    tuning_cents : float
        Deviation from A4 = 440 Hz, -50 to 50.
    key : Key
    key_confidence : float
        0 to 1.
    """

    pitch_low_midi: float
    pitch_high_midi: float
    polyphony: float
    scale_fit: float
    tuning_cents: float
    key: Key
    key_confidence: float


def tonality(waveform: Float32Array) -> Tonality | None:
    """Measure pitch range, polyphony, tuning and key.

    Pitches are found one after the other: the one whose harmonics explain most of a frame is taken out, until
    what is left explains little.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at `TONAL_RATE_HZ`.

    Returns
    -------
    tonality : Tonality or None
        None where hardly anything has a pitch: drums, noise.

    References
    ----------
    Klapuri 2006, 'Multiple fundamental frequency estimation by summing harmonic amplitudes', ISMIR.
    """
    power = power_frames(waveform, _N_FFT, _HOP)
    frame_power = power.sum(axis=1)
    power = power[frame_power > 1e-3 * frame_power.max()]
    weights = np.sqrt(power.sum(axis=1)).astype(np.float64)
    peaks = _peaks(power)
    if peaks.tonal_share < _MIN_TONAL_SHARE:
        return None
    salience = _voices(_pitch_image(peaks, len(power)))
    strength = salience * (weights / weights.max())[:, None]
    frames, steps = np.nonzero(strength)
    midi = _LOWEST_MIDI + steps / _STEPS_PER_SEMITONE
    sounding = strength[frames, steps]
    tuning_cents = _tuning_cents(peaks)
    classes = np.rint(midi - tuning_cents / 100).astype(np.int64) % 12
    key, confidence = best_key(_chroma(frames, classes, sounding))
    return Tonality(
        pitch_low_midi=weighted_quantile(midi, sounding, 0.05),
        pitch_high_midi=weighted_quantile(midi, sounding, 0.95),
        polyphony=float(np.average((strength > 0).sum(axis=1), weights=weights)),
        scale_fit=scale_fit(np.bincount(classes, sounding, 12).astype(np.float64)),
        tuning_cents=tuning_cents,
        key=key,
        key_confidence=confidence,
    )


def _chroma(
    frames: npt.NDArray[np.int64], classes: npt.NDArray[np.int64], strength: FloatArray
) -> FloatArray:
    """Weigh the pitch classes; the bass counts once more, and again at the head, where the tonic often is."""
    loud_frames, first = np.unique(frames, return_index=True)  # np.nonzero goes from low to high
    bass, level = classes[first], np.bincount(frames, strength)[loud_frames]
    is_head = loud_frames <= loud_frames[0] + _HEAD_SHARE * (loud_frames[-1] - loud_frames[0])
    parts = (
        (1.0, classes, strength),
        (_BASS_WEIGHT, bass, level),
        (_HEAD_WEIGHT, bass[is_head], level[is_head]),
    )
    shares = [weight * np.bincount(of, by, 12) / by.sum() for weight, of, by in parts]
    return np.asarray(np.sum(shares, axis=0), dtype=np.float64)


@dataclass(frozen=True)
class _Peaks:
    """Spectral peaks: their frames, frequencies and magnitudes; the share of all magnitude in them."""

    frames: npt.NDArray[np.int64]
    frequencies_hz: FloatArray
    magnitudes: FloatArray
    tonal_share: float


def _peaks(power: Float32Array) -> _Peaks:
    """Find what stands out: local maxima ten times above their surroundings, to a fraction of a bin."""
    floor = np.float32(1e-12) * power.max()
    frames, places, log_magnitudes = [], [], []
    near = total = 0.0
    for rows in pieces(len(power), width=power.shape[1]):
        log_power = np.log(power[rows] + floor)
        of_block, bins = np.nonzero(_is_peak(log_power))
        left, middle, right = (log_power[of_block, bins + d].astype(np.float64) for d in (-1, 0, 1))
        frames.append(of_block + rows.start)
        places.append(bins + 0.5 * (left - right) / (left - 2 * middle + right))
        log_magnitudes.append(0.5 * middle)
        magnitude = np.sqrt(power[rows])
        for d in (-1, 0, 1):
            beside = np.clip(bins + d, 0, power.shape[1] - 1)
            near += float(magnitude[of_block, beside].sum(dtype=np.float64))
        total += float(magnitude.sum(dtype=np.float64))
    return _Peaks(
        np.concatenate(frames),
        np.concatenate(places) * (TONAL_RATE_HZ / _N_FFT),
        np.exp(np.concatenate(log_magnitudes)),
        near / total,
    )


def _is_peak(log_power: Float32Array) -> npt.NDArray[np.bool_]:
    surroundings = ndimage.uniform_filter1d(log_power, 41, axis=1)
    is_peak = np.zeros(log_power.shape, dtype=np.bool_)
    inner = log_power[:, 1:-1]
    is_peak[:, 1:-1] = (
        (inner > log_power[:, :-2])
        & (inner >= log_power[:, 2:])
        & (inner > surroundings[:, 1:-1] + np.float32(np.log(10.0)))
        & (inner > log_power.max(axis=1, keepdims=True) + np.float32(np.log(_PEAK_FLOOR)))
    )
    is_peak[:, :_LOWEST_BIN] = False
    return is_peak


def _pitch_image(peaks: _Peaks, n_frames: int) -> FloatArray:
    """Lay the peaks on a scale of pitch, compressed so that loud partials do not drown the others."""
    steps = np.rint((_midi(peaks.frequencies_hz) - _LOWEST_MIDI) * _STEPS_PER_SEMITONE).astype(np.int64)
    is_within = (steps >= 0) & (steps < _N_IMAGE_STEPS)
    image = np.zeros((n_frames, _N_IMAGE_STEPS))
    np.maximum.at(image, (peaks.frames[is_within], steps[is_within]), peaks.magnitudes[is_within] ** 0.5)
    return image


def _midi(frequencies_hz: FloatArray) -> FloatArray:
    return np.asarray(_A4_MIDI + 12.0 * np.log2(np.maximum(frequencies_hz, 1.0) / _A4_HZ))


def _voices(image: FloatArray) -> FloatArray:
    """Take out one pitch after the other from every frame.

    Returns
    -------
    salience : float64 ndarray of shape (n_frames, n_pitch_steps)
        Of the pitches found; 0 elsewhere.
    """
    salience = np.zeros((len(image), _N_PITCH_STEPS))
    # Frames with a pitch left in them, their numbers, and their strongest pitch so far.
    left, rows, strongest = image, np.arange(len(image)), np.zeros(len(image))
    for _ in range(_MAX_VOICES):
        # A partial counts within a third of a semitone.
        widened = ndimage.maximum_filter1d(left, 3, axis=1)
        sums = np.zeros((len(left), _N_PITCH_STEPS))
        for offset, weight in zip(_HARMONIC_STEPS, _HARMONIC_WEIGHTS, strict=True):
            sums += weight * widened[:, offset : offset + _N_PITCH_STEPS]
        # A pitch whose own fundamental is missing may be real, but is more often an octave too low.
        sums *= np.where(widened[:, :_N_PITCH_STEPS] > 0, 1.0, 0.6)
        best = sums.argmax(axis=1)
        value = sums[np.arange(len(left)), best]
        strongest = np.maximum(strongest, value)
        is_voice = (value > _VOICE_SHARE * strongest) & (value > 0)
        if not is_voice.any():
            break
        # A frame without a voice stays as it is, and so will have none.
        left, rows, strongest = left[is_voice], rows[is_voice], strongest[is_voice]
        at, value = best[is_voice], value[is_voice]
        salience[rows, at] = np.maximum(salience[rows, at], value / strongest)
        around = np.clip(at[:, None] + _AROUND_HARMONICS, 0, _N_IMAGE_STEPS - 1)
        np.multiply.at(left, (np.arange(len(left))[:, None], around), 0.1)
    return salience


def _tuning_cents(peaks: _Peaks) -> float:
    """Return by how much the peaks lie beside the semitones, as a circular mean."""
    midi = _midi(peaks.frequencies_hz)
    is_exact = (midi > _LOWEST_TUNED_MIDI) & (midi < _HIGHEST_MIDI)
    turn = np.sum(peaks.magnitudes[is_exact] * np.exp(2j * np.pi * midi[is_exact]))
    return float(np.angle(turn) * 100.0 / (2 * np.pi))


def scale_fit(chroma: FloatArray) -> float:
    """Return the share of a chroma of shape (12,) that lies within the diatonic scale that fits best."""
    return float((_SCALES @ chroma).max() / chroma.sum())


def best_key(chroma: FloatArray) -> tuple[Key, float]:
    """Return the key whose profile fits best.

    Parameters
    ----------
    chroma : float64 ndarray of shape (12,)
        Strength of each pitch class, C first.

    Returns
    -------
    key : Key
    confidence : float
        0 to 1: how far the best fit lies above the second.
    """
    centred = chroma - chroma.mean()
    fits = _PROFILES @ centred / max(12.0 * float(np.std(chroma)), 1e-12)
    order = np.argsort(fits, axis=None)
    mode, tonic = divmod(int(order[-1]), 12)
    margin = fits.flat[order[-1]] - fits.flat[order[-2]]
    return Key(tonic, bool(mode)), float(np.clip(fits[mode, tonic] * min(1.0, 4.0 * margin), 0.0, 1.0))
