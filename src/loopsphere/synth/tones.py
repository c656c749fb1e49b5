"""Electronic voices: filtered wavetables (subtractive synthesis) and frequency modulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loopsphere.synth.dsp import scale_to_peak
from loopsphere.types import Float32Array

_TABLE_SIZE = 2048
_N_CUTOFFS = 12


def _seconds(n_samples: int, sample_rate: int) -> Float32Array:
    return np.arange(n_samples, dtype=np.float32) / np.float32(sample_rate)


def _attack(time_s: Float32Array, attack_s: float) -> Float32Array:
    """Rise from 0 to 1 along a quarter of a cosine, steepest at the start."""
    rise: Float32Array = np.sin(np.clip(time_s / np.float32(attack_s), 0, 1) * np.float32(np.pi / 2))
    return rise


@dataclass(frozen=True)
class WavetableVoice:
    """Oscillators through a low pass whose cut-off falls from one value to another.

    The filter acts on the harmonics: a bank of band-limited tables, one a cut-off, is read with linear
    interpolation between the tables, which is a time-varying filter without a recursion.

    Attributes
    ----------
    sample_rate : int
        Hz.
    harmonics : tuple of float
        Amplitudes of harmonics 1, 2, ... before the filter.
    detune_cents : tuple of float
        One oscillator each.
    open_hz, closed_hz : float
        Cut-off at the attack (full velocity) and after the sweep.
    sweep_s : float
        Time constant of the sweep.
    resonance : float
        Gain at the cut-off, 0 for none.
    attack_s, decay_s : float
        `decay_s` is the time constant of the level; infinite sustains.
    release_s : float
    """

    sample_rate: int
    harmonics: tuple[float, ...]
    detune_cents: tuple[float, ...]
    open_hz: float
    closed_hz: float
    sweep_s: float
    resonance: float
    attack_s: float
    decay_s: float
    release_s: float

    def note(self, midi_pitch: int, tuning: float, velocity: float, n_samples: int) -> Float32Array:
        """Sound one note; see `loopsphere.synth.strings.StringVoice.note`."""
        time_s = _seconds(n_samples, self.sample_rate)
        pitch_hz = 440.0 * 2.0 ** ((midi_pitch + tuning - 69) / 12)
        opening_hz = max(self.open_hz * (0.35 + 0.65 * velocity), self.closed_hz)
        cutoffs_hz = np.geomspace(self.closed_hz, opening_hz + 1.0, _N_CUTOFFS)
        tables = self._tables(pitch_hz, cutoffs_hz)
        # The sweep is exponential in time and linear in log frequency, as an ear hears it.
        position = np.float32(_N_CUTOFFS - 1.001) * np.exp(-time_s / np.float32(self.sweep_s))
        row = position.astype(np.int32)
        blend = position - row

        waveform = np.zeros(n_samples, dtype=np.float32)
        for i, cents in enumerate(self.detune_cents):
            cycles = np.arange(n_samples) * (pitch_hz * 2.0 ** (cents / 1200) / self.sample_rate) + 0.37 * i
            phase = ((cycles - np.floor(cycles)) * _TABLE_SIZE).astype(np.float32)
            # float32 can round the very end of a cycle up to the next one's first sample.
            column = np.minimum(phase.astype(np.int32), _TABLE_SIZE - 1)
            between = phase - column
            index = row * (_TABLE_SIZE + 1) + column
            low = tables[index] * (1 - between) + tables[index + 1] * between
            index += _TABLE_SIZE + 1
            high = tables[index] * (1 - between) + tables[index + 1] * between
            waveform += low + blend * (high - low)
        waveform *= _attack(time_s, self.attack_s)
        if np.isfinite(self.decay_s):
            waveform *= np.exp(-time_s / np.float32(self.decay_s))
        return scale_to_peak(waveform, 1.0)

    def _tables(self, pitch_hz: float, cutoffs_hz: npt.NDArray[np.float64]) -> Float32Array:
        """Return the bank, flat, each table of `_TABLE_SIZE` + 1 samples (the first one repeated)."""
        n_harmonics = min(len(self.harmonics), int(0.45 * self.sample_rate / pitch_hz), _TABLE_SIZE // 4)
        number = np.arange(1, n_harmonics + 1)
        ratio = number * pitch_hz / cutoffs_hz[:, None]
        gains = 1.0 / np.sqrt(1.0 + ratio**6) + self.resonance * np.exp(-np.square(4.0 * np.log2(ratio)))
        spectrum = np.zeros((len(cutoffs_hz), _TABLE_SIZE // 2 + 1), dtype=np.complex128)
        spectrum[:, 1 : n_harmonics + 1] = -1j * gains * np.asarray(self.harmonics[:n_harmonics])
        tables = np.fft.irfft(spectrum) * _TABLE_SIZE
        return np.concatenate([tables, tables[:, :1]], axis=1).astype(np.float32).ravel()


@dataclass(frozen=True)
class FMVoice:
    """One carrier and two modulators, each with its own fading index.

    Attributes
    ----------
    sample_rate : int
        Hz.
    ratios : tuple of float, length 2
        Frequency of each modulator over that of the carrier.
    indices : tuple of float, length 2
        Peak phase deviation in radians at full velocity.
    fades_s : tuple of float, length 2
        Time constants of the indices.
    sustain : float
        Share of the first index that stays.
    attack_s, decay_s, release_s : float

    References
    ----------
    Chowning 1973, Journal of the Audio Engineering Society 21(7).
    """

    sample_rate: int
    ratios: tuple[float, float]
    indices: tuple[float, float]
    fades_s: tuple[float, float]
    sustain: float
    attack_s: float
    decay_s: float
    release_s: float

    def note(self, midi_pitch: int, tuning: float, velocity: float, n_samples: int) -> Float32Array:
        """Sound one note; see `loopsphere.synth.strings.StringVoice.note`."""
        time_s = _seconds(n_samples, self.sample_rate)
        pitch_hz = 440.0 * 2.0 ** ((midi_pitch + tuning - 69) / 12)
        cycles = np.arange(n_samples) * (pitch_hz / self.sample_rate)
        modulation = np.zeros(n_samples, dtype=np.float32)
        for ratio, index, fade_s, floor in zip(
            self.ratios, self.indices, self.fades_s, (self.sustain, 0.0), strict=True
        ):
            if ratio * pitch_hz > 0.3 * self.sample_rate:
                continue  # this modulator would fold over
            depth = floor + (1 - floor) * np.exp(-time_s / np.float32(fade_s))
            modulation += np.float32(index * velocity) * depth * _sine(ratio * cycles)
        waveform = np.sin(np.float32(2 * np.pi) * (cycles - np.floor(cycles)).astype(np.float32) + modulation)
        waveform *= _attack(time_s, self.attack_s) * np.exp(-time_s / np.float32(self.decay_s))
        return scale_to_peak(waveform, 1.0)


def _sine(cycles: npt.NDArray[np.float64]) -> Float32Array:
    sine: Float32Array = np.sin(np.float32(2 * np.pi) * (cycles - np.floor(cycles)).astype(np.float32))
    return sine


def _saw_or_pulse(rng: np.random.Generator) -> tuple[float, ...]:
    """Harmonic amplitudes of a saw, a pulse of random width, or a mix of the two."""
    number = np.arange(1, 257)
    pulse = np.abs(np.sin(np.pi * number * rng.uniform(0.2, 0.5)))
    mix = rng.uniform()
    return tuple(((1 - mix) + mix * pulse) / number)


def draw_synth_bass(rng: np.random.Generator, sample_rate: int, muted: bool) -> WavetableVoice:
    """Draw a subtractive bass: one or two oscillators, a resonant sweep."""
    spread = float(rng.uniform(2, 9))
    closed_hz = float(rng.uniform(150, 600))
    return WavetableVoice(
        sample_rate=sample_rate,
        harmonics=_saw_or_pulse(rng),
        detune_cents=(-spread, spread) if rng.uniform() < 0.4 else (0.0,),
        open_hz=closed_hz * float(rng.uniform(3, 14)),
        closed_hz=closed_hz * (0.6 if muted else 1.0),
        sweep_s=float(rng.uniform(0.05, 0.35)) * (0.3 if muted else 1.0),
        resonance=float(rng.uniform(0, 1.5)),
        attack_s=0.004,
        decay_s=0.12 if muted else float(rng.uniform(0.5, 4.0)),
        release_s=0.05,
    )


def draw_fm_bass(rng: np.random.Generator, sample_rate: int, muted: bool) -> FMVoice:
    """Draw an FM bass: a low integer ratio, an index that falls quickly."""
    return FMVoice(
        sample_rate=sample_rate,
        ratios=(float(rng.choice([0.5, 1.0, 2.0, 3.0])), float(rng.choice([1.0, 4.0, 5.0, 7.0]))),
        indices=(float(rng.uniform(1.2, 3.5)), float(rng.uniform(0.2, 1.2))),
        fades_s=(float(rng.uniform(0.08, 0.5)), float(rng.uniform(0.02, 0.1))),
        sustain=float(rng.uniform(0.1, 0.5)),
        attack_s=0.004,
        decay_s=0.12 if muted else float(rng.uniform(0.5, 2.0)),
        release_s=0.05,
    )


def draw_electric_piano(rng: np.random.Generator, sample_rate: int, muted: bool) -> FMVoice:
    """Draw an FM electric piano: a soft body at 1:1, a tine at a high ratio."""
    return FMVoice(
        sample_rate=sample_rate,
        ratios=(1.0, float(rng.choice([7.0, 9.0, 14.0]))),
        indices=(float(rng.uniform(0.7, 2.0)), float(rng.uniform(0.15, 0.7))),
        fades_s=(float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.05, 0.3))),
        sustain=float(rng.uniform(0.0, 0.2)),
        attack_s=0.003,
        decay_s=0.15 if muted else float(rng.uniform(0.9, 2.2)),
        release_s=0.12,
    )


def draw_bell(rng: np.random.Generator, sample_rate: int, muted: bool) -> FMVoice:
    """Draw an FM bell or mallet: inharmonic ratios."""
    return FMVoice(
        sample_rate=sample_rate,
        ratios=(float(rng.choice([1.41, 2.76, 3.5])), float(rng.choice([5.4, 6.27, 8.93]))),
        indices=(float(rng.uniform(0.8, 2.5)), float(rng.uniform(0.1, 0.6))),
        fades_s=(float(rng.uniform(0.3, 1.2)), float(rng.uniform(0.05, 0.4))),
        sustain=0.0,
        attack_s=0.002,
        decay_s=0.12 if muted else float(rng.uniform(0.4, 1.6)),
        release_s=0.25,
    )


def draw_organ(rng: np.random.Generator, sample_rate: int, muted: bool) -> WavetableVoice:
    """Draw a tonewheel organ: drawbars, no decay, hardly a filter."""
    harmonics = np.zeros(16)
    # Drawbars 16', 5 1/3', 8', 4', 2 2/3', 2', 1 3/5', 1 1/3', 1', the table sounding an octave below.
    bars = np.array([1, 3, 2, 4, 6, 8, 10, 12, 16])
    harmonics[bars - 1] = 10.0 ** (-rng.uniform(0, 30, len(bars)) / 20)
    harmonics[1] = 1.0
    return WavetableVoice(
        sample_rate=sample_rate,
        harmonics=tuple(harmonics),
        detune_cents=(0.0, float(rng.uniform(2, 6))),
        open_hz=9000.0,
        closed_hz=float(rng.uniform(3000, 8000)) * (0.4 if muted else 1.0),
        sweep_s=0.02,
        resonance=0.0,
        attack_s=0.006,
        decay_s=float("inf"),
        release_s=0.04,
    )


def draw_pad(rng: np.random.Generator, sample_rate: int, muted: bool) -> WavetableVoice:
    """Draw a pad: three detuned oscillators that swell and ring."""
    spread = float(rng.uniform(5, 16))
    closed_hz = float(rng.uniform(500, 1500))
    return WavetableVoice(
        sample_rate=sample_rate,
        harmonics=_saw_or_pulse(rng),
        detune_cents=(-spread, 0.0, spread * 0.9),
        open_hz=closed_hz * float(rng.uniform(1, 4)),
        closed_hz=closed_hz * (0.5 if muted else 1.0),
        sweep_s=float(rng.uniform(0.5, 2.0)),
        resonance=float(rng.uniform(0, 0.5)),
        attack_s=float(rng.uniform(0.08, 0.4)),
        decay_s=float("inf"),
        release_s=float(rng.uniform(0.2, 0.6)),
    )


def draw_lead(rng: np.random.Generator, sample_rate: int, muted: bool) -> WavetableVoice:
    """Draw a synth lead: bright, sustained."""
    spread = float(rng.uniform(4, 14))
    closed_hz = float(rng.uniform(1200, 3500))
    return WavetableVoice(
        sample_rate=sample_rate,
        harmonics=_saw_or_pulse(rng),
        detune_cents=(-spread, spread) if rng.uniform() < 0.6 else (0.0,),
        open_hz=closed_hz * float(rng.uniform(1.5, 4)),
        closed_hz=closed_hz * (0.5 if muted else 1.0),
        sweep_s=float(rng.uniform(0.08, 0.5)),
        resonance=float(rng.uniform(0, 1.2)),
        attack_s=float(rng.uniform(0.003, 0.02)),
        decay_s=0.15 if muted else float(rng.uniform(1.0, 6.0)),
        release_s=0.08,
    )
