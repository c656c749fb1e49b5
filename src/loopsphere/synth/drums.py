"""Drum kits: analogue (swept sines, square clusters) and acoustic (membrane modes, shaped noise)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from loopsphere.synth.dsp import high_pass, low_pass, resonance
from loopsphere.types import Float32Array

# General MIDI percussion keys of the pieces that a kit has.
KICK, SNARE, CLAP, CLOSED_HAT, LOW_TOM, OPEN_HAT, HIGH_TOM, RIDE = 36, 38, 39, 42, 45, 46, 50, 51

# First modes of an ideal circular membrane over the lowest one (zeros of the Bessel functions).
_MEMBRANE_MODES = np.array([1.0, 1.593, 2.135, 2.295, 2.653, 2.917])
# Square oscillators of the TR-808's cymbal circuit, in Hz.
_SQUARES_HZ = np.array([205.3, 304.4, 369.6, 522.7, 540.0, 800.0])


@dataclass(frozen=True)
class DrumKit:
    """One kit; a 'note' is a hit of the piece with that General MIDI percussion key.

    Attributes
    ----------
    sample_rate : int
        Hz.
    analogue : bool
        Swept sines and square clusters, or membrane modes and noise.
    kick_hz, snare_hz, tom_hz : float
        Lowest frequency of each piece.
    kick_s, snare_s, hat_s : float
        Time constants of the decays; an open hat rings eight times `hat_s`.
    punch : float
        How far the kick's pitch falls, in octaves.
    snare_noise : float
        Share of the snare wires, 0 to 1.
    hat_hz : float
        Where the hats' noise begins.
    noise_seed : int
    release_s : float
    """

    sample_rate: int
    analogue: bool
    kick_hz: float
    snare_hz: float
    tom_hz: float
    kick_s: float
    snare_s: float
    hat_s: float
    punch: float
    snare_noise: float
    hat_hz: float
    noise_seed: int
    release_s: float = field(default=0.02)

    def note(self, midi_pitch: int, tuning: float, velocity: float, n_samples: int) -> Float32Array:
        """Hit one piece.

        Parameters
        ----------
        midi_pitch : int
            General MIDI percussion key.
        tuning : float
            Semitones by which the piece is tuned up.
        velocity : float
            0 to 1; harder is brighter, level is left to the caller.
        n_samples : int
            At most 1.5 s are rendered; the rest is left out.

        Returns
        -------
        waveform : float32 ndarray of shape (at most n_samples,)
            Peak about 1 for a kick or snare, lower for metal.
        """
        n_samples = min(n_samples, int(1.5 * self.sample_rate))
        rng = np.random.default_rng([self.noise_seed, midi_pitch])
        pitch_ratio = 2.0 ** (tuning / 12)
        if midi_pitch == KICK:
            hit = self._kick(n_samples, pitch_ratio, velocity, rng)
        elif midi_pitch == SNARE:
            hit = self._snare(n_samples, pitch_ratio, velocity, rng)
        elif midi_pitch == CLAP:
            hit = self._clap(n_samples, pitch_ratio, rng)
        elif midi_pitch in (LOW_TOM, HIGH_TOM):
            higher = 1.0 if midi_pitch == LOW_TOM else 1.6
            hit = self._tom(n_samples, pitch_ratio * higher, velocity, rng)
        else:
            hit = self._metal(midi_pitch, n_samples, pitch_ratio, velocity, rng)
        level = {KICK: 1.0, SNARE: 0.9, CLAP: 0.7, LOW_TOM: 0.9, HIGH_TOM: 0.8, OPEN_HAT: 0.4, RIDE: 0.35}
        return np.asarray(hit * (level.get(midi_pitch, 0.4) / np.max(np.abs(hit))), dtype=np.float32)

    def _time(self, n_samples: int) -> Float32Array:
        return np.arange(n_samples, dtype=np.float32) / np.float32(self.sample_rate)

    def _noise(self, n_samples: int, rng: np.random.Generator, low_hz: float, high_hz: float) -> Float32Array:
        """White noise between two frequencies, RMS 1."""
        n_fft = fft.next_fast_len(n_samples, real=True)
        spectrum = fft.rfft(rng.standard_normal(n_fft, dtype=np.float32))
        frequencies = np.arange(len(spectrum), dtype=np.float32) * np.float32(self.sample_rate / n_fft)
        shaped = fft.irfft(
            spectrum * high_pass(frequencies, low_hz, 3) * low_pass(frequencies, high_hz, 2), n_fft
        )
        return np.asarray(shaped[:n_samples] / np.sqrt(np.mean(shaped**2)), dtype=np.float32)

    def _membrane(self, time_s: Float32Array, pitch_hz: float, decay_s: float, bend: float) -> Float32Array:
        """Sum of membrane modes; higher ones fade faster, all start a little sharp."""
        fall_s = 0.03
        cycles = time_s + np.float32(bend * fall_s) * (1 - np.exp(-time_s / np.float32(fall_s)))
        modes = np.zeros_like(time_s)
        for i, ratio in enumerate(_MEMBRANE_MODES):
            envelope = np.exp(-time_s * np.float32((1 + 0.8 * i) / decay_s))
            modes += envelope * np.sin(np.float32(2 * np.pi * pitch_hz * ratio) * cycles) / np.float32(1 + i)
        return modes

    def _kick(self, n: int, ratio: float, velocity: float, rng: np.random.Generator) -> Float32Array:
        time_s = self._time(n)
        if self.analogue:
            fall_s = 0.018
            # Closed form of the integral of f0 * (1 + (2^punch - 1) exp(-t / fall)).
            swept = (2.0**self.punch - 1) * fall_s * (1 - np.exp(-time_s / np.float32(fall_s)))
            body = np.sin(2 * np.pi * self.kick_hz * ratio * (time_s + swept))
            body = body * np.exp(-time_s / np.float32(self.kick_s))
        else:
            body = self._membrane(time_s, self.kick_hz * ratio, self.kick_s, bend=self.punch)
        beater = self._noise(n, rng, 800.0 * ratio, 5000.0) * np.exp(-time_s / np.float32(0.004))
        return np.asarray(body + np.float32(0.12 * velocity) * beater, dtype=np.float32)

    def _snare(self, n: int, ratio: float, velocity: float, rng: np.random.Generator) -> Float32Array:
        time_s = self._time(n)
        if self.analogue:
            head = np.sin(2 * np.pi * self.snare_hz * ratio * time_s)
            head = head + 0.6 * np.sin(2 * np.pi * 1.78 * self.snare_hz * ratio * time_s)
            head = head * np.exp(-time_s / np.float32(0.6 * self.snare_s))
        else:
            head = self._membrane(time_s, self.snare_hz * ratio, 0.7 * self.snare_s, bend=0.3)
        wires = self._noise(n, rng, 1500.0, 5000.0 + 5000.0 * velocity) * np.exp(
            -time_s / np.float32(self.snare_s)
        )
        return np.asarray((1 - self.snare_noise) * head + 0.6 * self.snare_noise * wires, dtype=np.float32)

    def _clap(self, n: int, ratio: float, rng: np.random.Generator) -> Float32Array:
        time_s = self._time(n)
        hands = np.zeros_like(time_s)
        for start_s in (0.0, 0.011, 0.021, 0.032):
            late_s = time_s - np.float32(start_s)
            fade_s = 0.006 if start_s < 0.03 else self.snare_s
            hands = np.where(late_s >= 0, np.exp(-late_s / np.float32(fade_s)), hands)
        return self._noise(n, rng, 900.0 * ratio, 3500.0 * ratio) * hands.astype(np.float32)

    def _tom(self, n: int, ratio: float, velocity: float, rng: np.random.Generator) -> Float32Array:
        time_s = self._time(n)
        skin = self._membrane(time_s, self.tom_hz * ratio, 1.4 * self.kick_s, bend=0.5)
        stick = self._noise(n, rng, 1000.0, 6000.0) * np.exp(-time_s / np.float32(0.006))
        return np.asarray(skin + np.float32(0.1 * velocity) * stick, dtype=np.float32)

    def _metal(
        self, piece: int, n: int, ratio: float, velocity: float, rng: np.random.Generator
    ) -> Float32Array:
        decay_s = {CLOSED_HAT: self.hat_s, OPEN_HAT: 8 * self.hat_s}.get(piece, 12 * self.hat_s)
        n = min(n, int(7 * decay_s * self.sample_rate) + 1)
        time_s = self._time(n)
        if self.analogue:
            tuned_hz = _SQUARES_HZ * ratio * (self.hat_hz / 7000.0)
            metal = np.sum(np.sign(np.sin(2 * np.pi * tuned_hz[:, None] * time_s)), axis=0)
        else:
            metal = rng.standard_normal(n)
        n_fft = fft.next_fast_len(n, real=True)
        frequencies = np.arange(n_fft // 2 + 1, dtype=np.float32) * np.float32(self.sample_rate / n_fft)
        response = high_pass(frequencies, self.hat_hz * ratio * (0.6 if piece == RIDE else 1.0), 4).astype(
            complex
        )
        response *= low_pass(frequencies, 7000.0 + 9000.0 * velocity, 2)
        if not self.analogue or piece == RIDE:
            # A plate has clear partials among the noise.
            for center_hz in rng.uniform(0.6, 1.6, 5) * self.hat_hz * ratio:
                response += 0.5 * resonance(frequencies, float(center_hz), 60.0)
        shaped = fft.irfft(fft.rfft(metal, n_fft) * response, n_fft)[:n]
        return np.asarray(shaped * np.exp(-time_s / np.float32(decay_s)), dtype=np.float32)


def draw_analogue_kit(rng: np.random.Generator, sample_rate: int, muted: bool) -> DrumKit:
    """Draw a drum machine: deep swept kick, tonal snare, square-wave hats."""
    return DrumKit(
        sample_rate=sample_rate,
        analogue=True,
        kick_hz=float(rng.uniform(42, 62)),
        snare_hz=float(rng.uniform(160, 230)),
        tom_hz=float(rng.uniform(85, 130)),
        kick_s=float(rng.uniform(0.12, 0.35)) * (0.4 if muted else 1.0),
        snare_s=float(rng.uniform(0.06, 0.15)) * (0.5 if muted else 1.0),
        hat_s=float(rng.uniform(0.015, 0.045)),
        punch=float(rng.uniform(1.5, 3.2)),
        snare_noise=float(rng.uniform(0.35, 0.7)),
        hat_hz=float(rng.uniform(5500, 8500)),
        noise_seed=int(rng.integers(2**32)),
    )


def draw_acoustic_kit(rng: np.random.Generator, sample_rate: int, muted: bool) -> DrumKit:
    """Draw an acoustic kit: membranes, wires and noisy cymbals."""
    return DrumKit(
        sample_rate=sample_rate,
        analogue=False,
        kick_hz=float(rng.uniform(52, 75)),
        snare_hz=float(rng.uniform(180, 260)),
        tom_hz=float(rng.uniform(90, 150)),
        kick_s=float(rng.uniform(0.06, 0.14)) * (0.5 if muted else 1.0),
        snare_s=float(rng.uniform(0.07, 0.16)) * (0.5 if muted else 1.0),
        hat_s=float(rng.uniform(0.02, 0.05)),
        punch=float(rng.uniform(0.3, 1.0)),
        snare_noise=float(rng.uniform(0.5, 0.85)),
        hat_hz=float(rng.uniform(4500, 7500)),
        noise_seed=int(rng.integers(2**32)),
    )


def draw_electro_kit(rng: np.random.Generator, sample_rate: int, muted: bool) -> DrumKit:
    """Draw a tight, hard kit between the two: analogue drums, very short and high."""
    return DrumKit(
        sample_rate=sample_rate,
        analogue=True,
        kick_hz=float(rng.uniform(55, 80)),
        snare_hz=float(rng.uniform(220, 330)),
        tom_hz=float(rng.uniform(120, 200)),
        kick_s=float(rng.uniform(0.05, 0.12)) * (0.5 if muted else 1.0),
        snare_s=float(rng.uniform(0.03, 0.08)) * (0.5 if muted else 1.0),
        hat_s=float(rng.uniform(0.008, 0.02)),
        punch=float(rng.uniform(2.5, 4.5)),
        snare_noise=float(rng.uniform(0.6, 0.95)),
        hat_hz=float(rng.uniform(7000, 10000)),
        noise_seed=int(rng.integers(2**32)),
    )
