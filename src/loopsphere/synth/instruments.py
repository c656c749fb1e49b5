"""The catalogue of instruments: the voice that a player draws and the box that it sounds through."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from loopsphere.synth import drums, dsp, strings, tones
from loopsphere.types import Float32Array


class Voice(Protocol):
    """What an instrument plays notes with."""

    @property
    def release_s(self) -> float:
        """Seconds from the end of a note to silence."""
        ...

    def note(self, midi_pitch: int, tuning: float, velocity: float, n_samples: int) -> Float32Array:
        """Sound a note that is held for at least `n_samples`; see `StringVoice.note`."""
        ...


@dataclass(frozen=True)
class Box:
    """What an instrument sounds through: amplifier, body or cabinet, room.

    Attributes
    ----------
    drive_db : float
        Gain into a soft clipper; 0 is clean.
    peaks : tuple of (center_hz, gain, quality)
        Resonances added to the direct sound.
    low_hz, high_hz : float
        Edges of the band that gets through.
    tremolo_hz, tremolo_depth : float
    room_s, room_share : float
        Time for the room to fall by 60 dB; its level relative to the direct sound.
    room_seed : int
    """

    drive_db: float
    peaks: tuple[tuple[float, float, float], ...]
    low_hz: float
    high_hz: float
    tremolo_hz: float
    tremolo_depth: float
    room_s: float
    room_share: float
    room_seed: int

    def process(self, waveform: Float32Array, sample_rate: int) -> Float32Array:
        """Send a loop of shape (n_samples,) through the box, tails wrapping into the head; peak 1."""
        driven = dsp.scale_to_peak(waveform, 1.0)
        if self.drive_db > 0:
            driven = np.tanh(np.float32(10.0 ** (self.drive_db / 20)) * driven)
        if self.tremolo_depth > 0:
            # A whole number of cycles a loop keeps the seam whole.
            n_cycles = max(1, round(self.tremolo_hz * len(waveform) / sample_rate))
            cycles = np.arange(len(waveform), dtype=np.float32) * np.float32(n_cycles / len(waveform))
            driven *= 1 - np.float32(self.tremolo_depth / 2) * (1 + np.sin(np.float32(2 * np.pi) * cycles))
        # Reflections of the room: noise that falls by 60 dB.
        n_room = int(self.room_s * sample_rate)
        fade = np.exp(np.arange(n_room, dtype=np.float32) * np.float32(-np.log(1000.0) / n_room))
        reflections = np.random.default_rng(self.room_seed).standard_normal(n_room, dtype=np.float32) * fade
        reflections *= np.float32(self.room_share / np.sqrt(np.sum(reflections**2)))
        wet = dsp.filter_circular(driven, sample_rate, self._response, reflections)
        return dsp.scale_to_peak(wet - np.mean(wet), 1.0)

    def _response(self, frequencies_hz: Float32Array) -> npt.NDArray[np.inexact]:
        band = dsp.high_pass(frequencies_hz, self.low_hz, 2) * dsp.low_pass(frequencies_hz, self.high_hz, 2)
        response = np.ones(len(frequencies_hz), dtype=np.complex64)
        for center_hz, gain, quality in self.peaks:
            response += np.float32(gain) * dsp.resonance(frequencies_hz, center_hz, quality)
        return response * band


@dataclass(frozen=True)
class Instrument:
    """One entry of the catalogue.

    Attributes
    ----------
    family : str
        "bass", "guitar", "keys", "synth" or "drums".
    lowest_midi : int
        Roots are placed in the octave that starts here; 0 for drums, whose pitches are percussion keys.
    draw_voice : callable
        (rng, sample_rate, muted) -> Voice.
    drive_db, high_hz, room_share : pair of float
        Ranges from which a player's `Box` is drawn.
    body_hz : tuple of float
        Typical resonances of the body; a player's lie within 10 % of them.
    tremolo_depth : float
        The deepest.
    """

    family: str
    lowest_midi: int
    draw_voice: Callable[[np.random.Generator, int, bool], Voice]
    drive_db: tuple[float, float] = (0.0, 0.0)
    high_hz: tuple[float, float] = (6000.0, 16000.0)
    room_share: tuple[float, float] = (0.0, 0.25)
    body_hz: tuple[float, ...] = ()
    tremolo_depth: float = 0.0


_PICKED_BASS = partial(
    strings.draw_string,
    decay_s=(2.5, 7.0),
    damping=(1.5, 9.0),
    stiffness=6e-5,
    hardness_hz=(900.0, 4000.0),
    pickup=(0.08, 0.3),
)
_NYLON = partial(
    strings.draw_string,
    decay_s=(1.6, 3.2),
    damping=(2.5, 6.0),
    stiffness=2e-5,
    hardness_hz=(1500.0, 3500.0),
    pickup=None,
)
_STEEL = partial(
    strings.draw_string,
    decay_s=(3.0, 6.5),
    damping=(0.5, 1.5),
    stiffness=6e-5,
    hardness_hz=(3500.0, 9000.0),
    pickup=None,
)
_ELECTRIC = partial(
    strings.draw_string,
    decay_s=(4.0, 9.0),
    damping=(0.4, 1.2),
    stiffness=5e-5,
    hardness_hz=(2500.0, 8000.0),
    pickup=(0.06, 0.27),
)

INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {
        "electric_bass": Instrument(
            "bass", 28, _PICKED_BASS, (0.0, 6.0), (2500.0, 6000.0), (0.0, 0.08), (90.0, 700.0)
        ),
        "synth_bass": Instrument(
            "bass", 28, tones.draw_synth_bass, (0.0, 9.0), (3000.0, 12000.0), (0.0, 0.08)
        ),
        "fm_bass": Instrument("bass", 28, tones.draw_fm_bass, (0.0, 6.0), (4000.0, 12000.0), (0.0, 0.08)),
        "nylon_guitar": Instrument(
            "guitar", 40, _NYLON, (0.0, 0.0), (5000.0, 9000.0), (0.1, 0.3), (95.0, 190.0, 390.0, 550.0)
        ),
        "steel_guitar": Instrument(
            "guitar", 40, _STEEL, (0.0, 0.0), (8000.0, 15000.0), (0.1, 0.3), (105.0, 210.0, 410.0, 1200.0)
        ),
        "clean_guitar": Instrument(
            "guitar", 40, _ELECTRIC, (0.0, 4.0), (3500.0, 6500.0), (0.05, 0.3), (2400.0,), 0.4
        ),
        "crunch_guitar": Instrument(
            "guitar", 40, _ELECTRIC, (14.0, 28.0), (3200.0, 5000.0), (0.0, 0.2), (110.0, 2400.0)
        ),
        "electric_piano": Instrument(
            "keys", 48, tones.draw_electric_piano, (0.0, 6.0), (4000.0, 12000.0), (0.05, 0.3), (), 0.5
        ),
        "organ": Instrument(
            "keys", 36, tones.draw_organ, (0.0, 10.0), (4000.0, 9000.0), (0.05, 0.3), (800.0,), 0.5
        ),
        "bell": Instrument("keys", 60, tones.draw_bell, room_share=(0.1, 0.5)),
        "pad": Instrument("synth", 48, tones.draw_pad, room_share=(0.2, 0.6)),
        "lead": Instrument("synth", 60, tones.draw_lead, (0.0, 12.0), (5000.0, 14000.0), (0.05, 0.35)),
        "analogue_kit": Instrument(
            "drums", 0, drums.draw_analogue_kit, (0.0, 6.0), (10000.0, 18000.0), (0.0, 0.1)
        ),
        "acoustic_kit": Instrument(
            "drums", 0, drums.draw_acoustic_kit, (0.0, 4.0), (9000.0, 17000.0), (0.1, 0.5)
        ),
        "electro_kit": Instrument(
            "drums", 0, drums.draw_electro_kit, (0.0, 12.0), (10000.0, 18000.0), (0.0, 0.15)
        ),
    }
)


def draw_player(instrument: str, preset: int, sample_rate: int, muted: bool) -> tuple[Voice, Box]:
    """Draw one player's instrument: the same preset always sounds the same, another one differs in timbre.

    Parameters
    ----------
    instrument : str
        A key of `INSTRUMENTS`.
    preset : int
        Seed of the player, not negative.
    sample_rate : int
        Hz.
    muted : bool
        Whether the player damps the sound.

    Returns
    -------
    voice : Voice
    box : Box
    """
    kind = INSTRUMENTS[instrument]
    rng = np.random.default_rng([preset, zlib.crc32(instrument.encode())])
    voice = kind.draw_voice(rng, sample_rate, muted)
    box = Box(
        drive_db=float(rng.uniform(*kind.drive_db)),
        peaks=tuple(
            (hz * float(rng.uniform(0.9, 1.1)), float(rng.uniform(0.3, 1.8)), float(rng.uniform(2.0, 8.0)))
            for hz in kind.body_hz
        ),
        low_hz=float(rng.uniform(25, 40)) if kind.family in ("bass", "drums") else float(rng.uniform(50, 90)),
        high_hz=float(rng.uniform(*kind.high_hz)),
        tremolo_hz=float(rng.uniform(3, 7)),
        tremolo_depth=float(max(0.0, rng.uniform(-kind.tremolo_depth, kind.tremolo_depth))),
        room_s=float(rng.uniform(0.15, 0.9)),
        room_share=float(rng.uniform(*kind.room_share)),
        room_seed=int(rng.integers(2**32)),
    )
    return voice, box
