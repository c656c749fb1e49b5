"""Plucked strings: the extended Karplus-Strong loop, solved in the frequency domain.

The string is a delay line with a loop gain L(f): its response is 1 / (1 - L(f)). Evaluating that on a
frequency grid, instead of running the recursion, gives fractional delays and stiffness without error and
costs one FFT a note.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from loopsphere.synth.dsp import low_pass
from loopsphere.types import Float32Array

# The grid is evaluated on a circle outside the unit circle, so that what rings longer than the FFT folds
# back attenuated by this much. Larger would cost precision in single precision.
_FOLD_ATTENUATION = 100.0


@dataclass(frozen=True)
class StringVoice:
    """One string instrument under one player's fingers.

    Attributes
    ----------
    sample_rate : int
        Hz.
    decay_s : float
        Time for the lowest partials of a 110 Hz note to fall by 60 dB.
    damping : float
        How much faster high partials fade: added decay rate in 1/s at 1 kHz.
    stiffness : float
        Inharmonicity B at 110 Hz: partial k lies at k f0 sqrt(1 + B k^2).
    pluck_position, pickup_position : float
        Share of the string's length, from the bridge. A `pickup_position` of 0 listens at the bridge.
    hardness_hz : float
        Cut-off of the pluck at full velocity: a finger is soft, a plectrum hard.
    noise_share : float
        0 plucks with an impulse, 1 with a burst of noise one period long, as Karplus and Strong did.
    noise_seed : int
        Of that burst.
    release_s : float
        Time in which a damped string falls silent.

    References
    ----------
    Karplus and Strong 1983, Computer Music Journal 7(2); Jaffe and Smith 1983, same issue (pluck position,
    decay stretching, stiffness, tuning).
    """

    sample_rate: int
    decay_s: float
    damping: float
    stiffness: float
    pluck_position: float
    pickup_position: float
    hardness_hz: float
    noise_share: float
    noise_seed: int
    release_s: float = 0.06

    def note(self, midi_pitch: int, tuning: float, velocity: float, n_samples: int) -> Float32Array:
        """Ring one note.

        Parameters
        ----------
        midi_pitch : int
        tuning : float
            Semitones added to the pitch.
        velocity : float
            0 to 1; harder is brighter, level is left to the caller.
        n_samples : int

        Returns
        -------
        waveform : float32 ndarray of shape (n_samples,)
            Peak 1.
        """
        pitch_hz = 440.0 * 2.0 ** ((midi_pitch + tuning - 69) / 12)
        period_s = 1.0 / pitch_hz
        n_fft = fft.next_fast_len(n_samples + self.sample_rate // 50, real=True)
        growth = np.log(_FOLD_ATTENUATION) / n_fft
        frequencies = np.arange(n_fft // 2 + 1, dtype=np.float32) * np.float32(self.sample_rate / n_fft)

        partial = self._partial_number(frequencies, pitch_hz)
        decay_rate = np.log(1000.0) / self.decay_s * np.sqrt(pitch_hz / 110.0)
        decay_rate = decay_rate + self.damping * np.square(frequencies / 1000.0)
        loop_gain = np.exp(-period_s * (decay_rate + growth * self.sample_rate)) * _turn(partial)
        excitation = self._excitation(frequencies, partial, pitch_hz, velocity)
        n_burst = max(2, round(self.sample_rate * period_s))
        burst = np.random.default_rng(self.noise_seed).standard_normal(n_burst, dtype=np.float32)
        excitation *= (
            1.0 - self.noise_share + fft.rfft(burst, n_fft) * np.float32(self.noise_share / np.sqrt(n_burst))
        )
        spectrum = excitation / (np.complex64(1.0) - loop_gain)
        ringing = fft.irfft(spectrum, n_fft)[:n_samples]
        ringing *= np.exp(growth * np.arange(n_samples, dtype=np.float32))
        return np.asarray(ringing / np.max(np.abs(ringing)), dtype=np.float32)

    def _partial_number(self, frequencies: Float32Array, pitch_hz: float) -> Float32Array:
        """Return the (real) partial number that lies at each frequency; the inverse of the stiffness law."""
        inharmonicity = self.stiffness * (pitch_hz / 110.0) ** 1.5
        harmonic = np.square(frequencies / np.float32(pitch_hz), dtype=np.float64)
        partial_squared = 2.0 * harmonic / (1.0 + np.sqrt(1.0 + 4.0 * inharmonicity * harmonic))
        # The fundamental itself stays in tune: players tune the sounding pitch, not the ideal string.
        in_tune = np.sqrt(2.0 / (1.0 + np.sqrt(1.0 + 4.0 * inharmonicity)))
        return np.asarray(np.sqrt(partial_squared) / in_tune, dtype=np.float32)

    def _excitation(
        self, frequencies: Float32Array, partial: Float32Array, pitch_hz: float, velocity: float
    ) -> npt.NDArray[np.complex64]:
        """Spectrum of the pluck as the pickup hears it, on the same grid."""
        hardness_hz = self.hardness_hz * (0.25 + 0.75 * velocity)
        softness = low_pass(frequencies, 3.0 * pitch_hz, 1) * low_pass(frequencies, hardness_hz, 2)
        spectrum = softness * (np.complex64(1.0) - _turn(partial * np.float32(self.pluck_position)))
        if self.pickup_position > 0:
            spectrum *= np.complex64(1.0) - _turn(partial * np.float32(self.pickup_position))
        return spectrum


def _turn(cycles: Float32Array) -> npt.NDArray[np.complex64]:
    """Return exp(-2 pi i cycles); the whole cycles are taken off first to keep single precision exact."""
    angle = np.float32(-2.0 * np.pi) * (cycles - np.floor(cycles))
    turned = np.empty(len(angle), dtype=np.complex64)
    np.cos(angle, out=turned.real)
    np.sin(angle, out=turned.imag)
    return turned


def draw_string(
    rng: np.random.Generator,
    sample_rate: int,
    muted: bool,
    *,
    decay_s: tuple[float, float],
    damping: tuple[float, float],
    stiffness: float,
    hardness_hz: tuple[float, float],
    pickup: tuple[float, float] | None,
) -> StringVoice:
    """Draw one player's instrument from the ranges of its kind.

    Parameters
    ----------
    rng : numpy.random.Generator
        Seeded by the player.
    sample_rate : int
        Hz.
    muted : bool
        The palm lies on the strings: short and dull.
    decay_s, damping, hardness_hz, pickup : pair of float
        Lowest and highest value; see `StringVoice`. `pickup` is None for acoustic instruments.
    stiffness : float

    Returns
    -------
    voice : StringVoice
    """
    voice_decay_s = rng.uniform(*decay_s)
    voice_damping = rng.uniform(*damping)
    return StringVoice(
        sample_rate=sample_rate,
        decay_s=voice_decay_s * (0.12 if muted else 1.0),
        damping=voice_damping * (8.0 if muted else 1.0),
        stiffness=stiffness * rng.uniform(0.5, 1.5),
        pluck_position=rng.uniform(0.09, 0.33),
        pickup_position=0.0 if pickup is None else rng.uniform(*pickup),
        hardness_hz=rng.uniform(*hardness_hz),
        noise_share=rng.uniform(0.05, 0.5),
        noise_seed=int(rng.integers(2**32)),
    )
