"""What a loop is made from: one frozen record that fixes every sample of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from loopsphere.synth.instruments import INSTRUMENTS

SCALES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "major": (0, 2, 4, 5, 7, 9, 11),
        "minor": (0, 2, 3, 5, 7, 8, 10),
        "dorian": (0, 2, 3, 5, 7, 9, 10),
        "mixolydian": (0, 2, 4, 5, 7, 9, 10),
        "phrygian": (0, 1, 3, 5, 7, 8, 10),
        "harmonic_minor": (0, 2, 3, 5, 7, 8, 11),
        "major_pentatonic": (0, 2, 4, 7, 9),
        "minor_pentatonic": (0, 3, 5, 7, 10),
        "blues": (0, 3, 5, 6, 7, 10),
        "whole_tone": (0, 2, 4, 6, 8, 10),
        "octatonic": (0, 1, 3, 4, 6, 7, 9, 10),
    }
)

ARTICULATIONS = ("normal", "staccato", "legato", "muted")


@dataclass(frozen=True)
class LoopSpec:
    """Everything that decides how a loop sounds; the same spec always renders to the same bytes.

    Attributes
    ----------
    instrument : str
        A key of `loopsphere.synth.instruments.INSTRUMENTS`.
    style : str
        A key of `loopsphere.synth.patterns.STYLES`, of the instrument's family.
    preset : int
        The player: seed of the timbre.
    seed : int
        Of the notes.
    bpm : float
        Quarter notes a minute.
    bars : int
        1 to 16.
    meter : tuple of int
        Time signature: (4, 4), (3, 4), (6, 8) ...; the denominator is 4, 8 or 16.
    root : int
        Pitch class of the key, 0 is C.
    scale : str
        A key of `SCALES`.
    density : float
        Share of the sixteenth steps on which a note starts, 0 to 1; for drums, how busy the kit is.
    swing : float
        Delay of every second sixteenth, as a share of a sixteenth: 0 is straight, 1/3 a triplet.
    humanise_s : float
        Standard deviation of the timing.
    articulation : str
        One of `ARTICULATIONS`.
    transpose : int
        Register: semitones by which everything is moved after the key has been placed.
    tuning_cents : float
        Deviation from A4 = 440 Hz.
    sample_rate : int
        Hz.

    Raises
    ------
    ValueError
        A field is out of range.
    """

    instrument: str = "electric_bass"
    style: str = "rock_bass"
    preset: int = 0
    seed: int = 0
    bpm: float = 110.0
    bars: int = 2
    meter: tuple[int, int] = (4, 4)
    root: int = 4
    scale: str = "minor"
    density: float = 0.4
    swing: float = 0.0
    humanise_s: float = 0.004
    articulation: str = "normal"
    transpose: int = 0
    tuning_cents: float = 0.0
    sample_rate: int = 44100

    def __post_init__(self) -> None:
        valid = {
            "instrument": self.instrument in INSTRUMENTS,
            "preset": self.preset >= 0,
            "seed": self.seed >= 0,
            "bpm": 20.0 <= self.bpm <= 400.0,
            "bars": 1 <= self.bars <= 16,
            "meter": 1 <= self.meter[0] <= 32 and self.meter[1] in (4, 8, 16),
            "root": 0 <= self.root <= 11,
            "scale": self.scale in SCALES,
            "density": 0.0 < self.density <= 1.0,
            "swing": 0.0 <= self.swing <= 0.6,
            "humanise_s": self.humanise_s >= 0.0,
            "articulation": self.articulation in ARTICULATIONS,
            "transpose": -48 <= self.transpose <= 48,
            "sample_rate": self.sample_rate >= 8000,
        }
        for name, is_valid in valid.items():
            if not is_valid:
                raise ValueError(f"LoopSpec.{name} cannot be {getattr(self, name)!r}")

    @property
    def family(self) -> str:
        """Family of the instrument: "bass", "guitar", "keys", "synth" or "drums"."""
        return INSTRUMENTS[self.instrument].family

    @property
    def steps_per_bar(self) -> int:
        """Sixteenth notes in a bar."""
        return 16 * self.meter[0] // self.meter[1]

    @property
    def step_s(self) -> float:
        """Seconds from one sixteenth to the next."""
        return 15.0 / self.bpm

    @property
    def n_samples(self) -> int:
        """Length of the loop: exactly `bars` bars, to the nearest sample."""
        return round(self.bars * self.steps_per_bar * self.step_s * self.sample_rate)
