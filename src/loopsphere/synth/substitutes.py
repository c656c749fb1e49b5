"""Sounds that are no loop of an instrument: speech-like babble, rain, wind, traffic."""

from __future__ import annotations

import numpy as np
from scipy import fft

from loopsphere.synth.dsp import add_circular, high_pass, low_pass, resonance, scale_to_peak
from loopsphere.types import Float32Array

# First four formants of five vowels of a male speaker, in Hz (after Peterson and Barney 1952).
_FORMANTS_HZ = np.array(
    [
        (730, 1090, 2440, 3400),
        (530, 1840, 2480, 3500),
        (270, 2290, 3010, 3700),
        (570, 840, 2410, 3300),
        (300, 870, 2240, 3300),
    ]
)


def speech_like(n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Babble of one talker: voiced syllables that glide between vowels, hisses, pauses.

    Parameters
    ----------
    n_samples : int
    sample_rate : int
        Hz.
    rng : numpy.random.Generator
        Picks the talker and what is said.

    Returns
    -------
    waveform : float32 ndarray of shape (n_samples,)
        Peak 1.
    """
    waveform = np.zeros(n_samples, dtype=np.float32)
    voice_hz, tract = rng.uniform(85, 230), rng.uniform(0.95, 1.2)
    position = 0
    while position < n_samples:
        duration_s = rng.uniform(0.1, 0.28)
        syllable = _syllable(
            int(duration_s * sample_rate), sample_rate, voice_hz * rng.uniform(0.85, 1.2), tract, rng
        )
        add_circular(waveform, syllable, position)
        position += len(syllable)
        if rng.uniform() < 0.4:
            hiss = _hiss(int(rng.uniform(0.04, 0.12) * sample_rate), sample_rate, rng)
            add_circular(waveform, hiss, position)
            position += len(hiss)
        if rng.uniform() < 0.15:
            position += int(rng.uniform(0.1, 0.4) * sample_rate)
    return scale_to_peak(waveform, 1.0)


def _syllable(
    n_samples: int, sample_rate: int, voice_hz: float, tract: float, rng: np.random.Generator
) -> Float32Array:
    time = np.linspace(0, 1, n_samples, dtype=np.float32)
    pitch_hz = voice_hz * (1 + rng.uniform(-0.15, 0.15) * (time - 0.5)) * (1 + 0.03 * np.sin(np.pi * time))
    cycles = np.cumsum(pitch_hz / sample_rate)
    number = np.arange(1, int(min(4500.0, 0.4 * sample_rate) / voice_hz) + 1)
    pulse = np.fft.irfft(np.concatenate([[0.0], -1j * number**-0.7, np.zeros(2048 - len(number))]))
    glottis = np.interp(cycles % 1, np.linspace(0, 1, len(pulse), endpoint=False), pulse, period=1)
    vowels = []
    spectrum = fft.rfft(glottis)
    frequencies = np.fft.rfftfreq(n_samples, 1 / sample_rate)
    for formants in _FORMANTS_HZ[rng.integers(len(_FORMANTS_HZ), size=2)] * tract:
        gains = (1.0, 0.6, 0.35, 0.2)
        response = sum(
            gain * resonance(frequencies, float(hz), hz / 90.0)
            for gain, hz in zip(gains, formants, strict=True)
        )
        vowels.append(fft.irfft(spectrum * response, n_samples))
    envelope = np.sqrt(np.hanning(n_samples)) * rng.uniform(0.5, 1.0)
    voiced = scale_to_peak(vowels[0] * (1 - time) + vowels[1] * time, 1.0)
    return np.asarray(envelope * voiced, dtype=np.float32)


def _hiss(n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    noise = _coloured_noise(n_samples, sample_rate, rng, rng.uniform(1500, 4000), 9000.0, slope=0.0)
    return np.asarray(0.06 * noise * np.hanning(n_samples), dtype=np.float32)


def environment_like(n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """One of rain, wind and passing traffic.

    Parameters
    ----------
    n_samples : int
    sample_rate : int
        Hz.
    rng : numpy.random.Generator

    Returns
    -------
    waveform : float32 ndarray of shape (n_samples,)
        Peak 1.
    """
    scene = (_rain, _wind, _traffic)[rng.integers(3)]
    return scale_to_peak(scene(n_samples, sample_rate, rng), 1.0)


def _rain(n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    waveform = 0.3 * _coloured_noise(n_samples, sample_rate, rng, 1000.0, 10000.0, slope=0.5)
    for _ in range(int(60 * n_samples / sample_rate)):
        n_drop = int(rng.uniform(0.002, 0.01) * sample_rate)
        time_s = np.arange(n_drop) / sample_rate
        drop = np.sin(2 * np.pi * rng.uniform(1500, 6000) * time_s) * np.exp(-time_s / 0.002)
        add_circular(waveform, (rng.exponential(0.6) * drop).astype(np.float32), int(rng.integers(n_samples)))
    return waveform


def _wind(n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    low = _coloured_noise(n_samples, sample_rate, rng, 40.0, 400.0, slope=1.0)
    howl = _coloured_noise(n_samples, sample_rate, rng, 400.0, 900.0, slope=0.5)
    return low * _swell(n_samples, sample_rate, rng) + 0.5 * howl * _swell(n_samples, sample_rate, rng) ** 2


def _traffic(n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    road = _coloured_noise(n_samples, sample_rate, rng, 60.0, 1500.0, slope=0.7)
    n_cycles = round(rng.uniform(45, 90) * n_samples / sample_rate)
    cycles = np.arange(n_samples) * (n_cycles / n_samples)
    engine = sum(np.sin(2 * np.pi * number * cycles) / number for number in (1, 2, 3, 4, 6))
    return np.asarray(road * _swell(n_samples, sample_rate, rng) + 0.4 * engine, dtype=np.float32)


def _swell(n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Slow random rise and fall around 1, the same at both ends."""
    n_waves = max(2, int(0.8 * n_samples / sample_rate))
    turn = np.linspace(0, 2 * np.pi, n_samples, endpoint=False, dtype=np.float32)
    waves = [np.sin((k + 1) * turn + np.float32(rng.uniform(0, 6.3))) for k in range(n_waves)]
    return np.asarray(np.exp(0.6 * np.sum(waves, axis=0) / np.sqrt(n_waves)), dtype=np.float32)


def _coloured_noise(
    n_samples: int, sample_rate: int, rng: np.random.Generator, low_hz: float, high_hz: float, *, slope: float
) -> Float32Array:
    """Noise between two edges whose amplitude falls as frequency to the power of `slope`; RMS 1."""
    n_fft = fft.next_fast_len(n_samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(n_fft, dtype=np.float32))
    frequencies = np.arange(len(spectrum), dtype=np.float32) * np.float32(sample_rate / n_fft)
    band = high_pass(frequencies, low_hz, 2) * low_pass(frequencies, high_hz, 2)
    noise = fft.irfft(spectrum * band / np.maximum(frequencies, low_hz) ** slope, n_fft)[:n_samples]
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), dtype=np.float32)
