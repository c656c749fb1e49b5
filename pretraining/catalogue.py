"""What can be rendered: families, instruments, registers, patterns, and what training never hears."""

from dataclasses import dataclass

import numpy as np

from loopsphere.synth import INSTRUMENTS as SYNTH_INSTRUMENTS
from pretraining.guitars import GUITAR_PATTERNS
from pretraining.patterns import (
    BASS_PATTERNS,
    EFFECT_PATTERNS,
    ENSEMBLE_PATTERNS,
    KEYS_PATTERNS,
    PERCUSSION_PATTERNS,
    SOLO_PATTERNS,
    SYNTH_PATTERNS,
    Pattern,
)

FAMILY_WEIGHTS: dict[str, float] = {
    "guitar": 0.20, "bass": 0.17, "drums": 0.20, "keys": 0.09, "organ": 0.035, "mallet": 0.03,
    "synth": 0.13, "strings": 0.035, "brass": 0.03, "reed": 0.025, "pipe": 0.02, "ethnic": 0.025,
    "percussion": 0.01, "voice": 0.01, "sfx": 0.01, "mix": 0.07,
}  # fmt: skip
FAMILIES: tuple[str, ...] = tuple(FAMILY_WEIGHTS)
EVALUATION_WEIGHTS = FAMILY_WEIGHTS | {"drums": 0.17, "synth": 0.10, "mix": 0.04}
"""The evaluation keeps the shares of the first runs, so that all runs are judged on the same loops."""

PATTERNS: dict[str, dict[Pattern, float]] = {
    "guitar": GUITAR_PATTERNS,
    "bass": BASS_PATTERNS,
    "keys": KEYS_PATTERNS,
    "organ": KEYS_PATTERNS,
    "mallet": KEYS_PATTERNS,
    "synth": SYNTH_PATTERNS,
    "strings": ENSEMBLE_PATTERNS,
    "brass": ENSEMBLE_PATTERNS,
    "reed": SOLO_PATTERNS,
    "pipe": SOLO_PATTERNS,
    "ethnic": SOLO_PATTERNS,
    "percussion": PERCUSSION_PATTERNS,
    "voice": ENSEMBLE_PATTERNS,
    "sfx": EFFECT_PATTERNS,
}

_PROGRAM_FAMILIES: tuple[tuple[range, str], ...] = (
    (range(0, 8), "keys"),
    (range(8, 16), "mallet"),
    (range(16, 24), "organ"),
    (range(24, 32), "guitar"),
    (range(32, 40), "bass"),
    (range(40, 52), "strings"),
    (range(52, 55), "voice"),
    (range(55, 56), "strings"),
    (range(56, 64), "brass"),
    (range(64, 72), "reed"),
    (range(72, 80), "pipe"),
    (range(80, 104), "synth"),
    (range(104, 112), "ethnic"),
    (range(112, 120), "percussion"),
    (range(120, 128), "sfx"),
)
_REGISTERS: dict[str, tuple[int, int]] = {
    "guitar": (40, 79), "bass": (26, 52), "keys": (33, 88), "organ": (36, 84), "mallet": (48, 91),
    "synth": (40, 84), "strings": (43, 84), "brass": (46, 77), "reed": (50, 81), "pipe": (60, 93),
    "ethnic": (48, 79), "percussion": (45, 72), "voice": (48, 77), "sfx": (48, 72),
}  # fmt: skip
_PROGRAM_REGISTERS: dict[int, tuple[int, int]] = {
    9: (72, 103), 14: (55, 79), 40: (55, 93), 41: (48, 81), 42: (36, 69), 43: (28, 55), 46: (40, 90),
    47: (38, 57), 57: (40, 70), 58: (29, 55), 67: (38, 67), 70: (36, 65), 72: (74, 100), 87: (30, 67),
}  # fmt: skip

VARIANTS: tuple[tuple[int, int], ...] = (
    (8, 24), (8, 25), (8, 26), (8, 28), (8, 30), (8, 31), (16, 25), (8, 38), (8, 39), (8, 4), (8, 5),
    (8, 16), (8, 17), (8, 19), (8, 21), (8, 40), (8, 48), (8, 50), (8, 61), (8, 62), (8, 63), (8, 80),
    (8, 107),
)  # fmt: skip
"""(bank, program) of the presets beyond General MIDI that both training soundfonts have."""

KITS: tuple[int, ...] = (*range(17), 24, 25, 32, 33, 40, 41, 48)
TIMGM_KITS: tuple[int, ...] = (0, 8, 16, 24, 25, 32, 40, 48)

HELD_OUT_PROGRAMS = frozenset({2, 6, 12, 18, 26, 35, 37, 45, 57, 66, 75, 89, 104, 114})
"""General MIDI programs (and their variants) that only the evaluation split sounds."""
HELD_OUT_KITS = frozenset({3, 11, 25, 41})
HELD_OUT_GROUPS = frozenset(
    {"discordgm:034", "shinyguitar:electric", "discordgm:026", "orinayo:epianos", "discordgm:105"}
)
"""Groups of recorded notes that only the evaluation split sounds."""

TRAINING_FONTS = {"fluidr3": 0.55, "musescore": 0.45}
NOTES_SHARE = {
    "guitar": 0.4, "bass": 0.4, "keys": 0.35, "drums": 0.15, "strings": 0.4, "ethnic": 0.2, "organ": 0.4,
    "brass": 0.5, "reed": 0.5, "pipe": 0.3,
}  # fmt: skip
"""Share of a family's loops that is played on recorded notes."""
KIT_SHARE = 0.2
"""Share of the drum loops that is played on the recorded kit of `drumkits.py`, beside those notes."""
SYNTH_SHARE = {
    "guitar": 0.26,
    "bass": 0.22,
    "keys": 0.12,
    "organ": 0.1,
    "mallet": 0.1,
    "synth": 0.25,
    "drums": 0.15,
}
"""Share of a family's loops that is played on our own synthesis."""
_SYNTH_FAMILIES = {"organ": "organ", "bell": "mallet"}
HELD_OUT_PRESETS = 1_000_000
"""Presets of our own synthesis from this number on are heard only by the evaluation split."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A sound that can be played: where it comes from and how it is used."""

    id: str
    family: str
    source: str
    bank: int
    program: int
    group: str
    low: int
    high: int


def program_family(program: int) -> str:
    """Return the family of a General MIDI program."""
    return next(family for programs, family in _PROGRAM_FAMILIES if program in programs)


def _preset(source: str, bank: int, program: int) -> Instrument:
    family = program_family(program)
    low, high = _PROGRAM_REGISTERS.get(program, _REGISTERS[family])
    name = f"gm:{program:03d}" if bank == 0 else f"gm:{program:03d}.{bank}"
    return Instrument(name, family, source, bank, program, "", low, high)


def soundfont_instruments(source: str, *, evaluation: bool) -> list[Instrument]:
    """List the presets of a soundfont that a split may sound."""
    presets = [(0, program) for program in range(128)]
    if source == "timgm":
        kits = list(TIMGM_KITS)
    else:
        presets += VARIANTS
        presets = [(b, p) for b, p in presets if (p in HELD_OUT_PROGRAMS) == evaluation]
        kits = [kit for kit in KITS if (kit in HELD_OUT_KITS) == evaluation]
    drums = [Instrument(f"drums:{kit:03d}", "drums", source, 128, kit, "", 0, 127) for kit in kits]
    return [_preset(source, bank, program) for bank, program in presets] + drums


NOTE_FAMILIES: dict[str, str] = {
    "discordgm:001": "keys",
    "discordgm:005": "keys",
    "orinayo:epianos": "keys",
    "discordgm:045": "strings",
    "discordgm:046": "strings",
    "discordgm:105": "ethnic",
    "discordgm:drums": "drums",
}
"""Families of the recorded groups whose class (bass_note, guitar_note) does not tell."""

FETCHED_FAMILIES: dict[str, str] = {
    "bass-electric": "bass", "bassoon": "reed", "cello": "strings", "clarinet": "reed",
    "contrabass": "strings", "flute": "pipe", "french-horn": "brass", "guitar-acoustic": "guitar",
    "guitar-electric": "guitar", "guitar-nylon": "guitar", "harmonium": "organ", "harp": "strings",
    "organ": "organ", "piano": "keys", "saxophone": "reed", "trombone": "brass", "trumpet": "brass",
    "tuba": "brass", "violin": "strings", "salamander": "keys",
}  # fmt: skip
"""Families of the recorded instruments that `fetch.sh` brings; all of them are training's."""


def note_instruments(groups: dict[str, tuple[str, int, int]], *, evaluation: bool) -> list[Instrument]:
    """List the recorded groups that a split may sound.

    `groups` maps a group to (family, lowest pitch, highest pitch) of its samples.
    """
    listed: list[Instrument] = []
    for group, (family, lowest, highest) in sorted(groups.items()):
        if group.startswith("kit:"):
            name = f"drums:{group.removeprefix('kit:')}"
            listed.append(Instrument(name, "drums", group, 0, 0, group, 0, 127))
        elif family == "drums":
            listed.append(Instrument("drums:discordgm", "drums", f"notes:{group}", 0, 0, group, 0, 127))
        elif (group in HELD_OUT_GROUPS) == evaluation:
            low, high = _REGISTERS[family]
            low, high = max(low, lowest - 3), min(high, highest + 3)
            listed.append(Instrument(f"notes:{group}", family, f"notes:{group}", 0, 0, group, low, high))
    return listed


def synth_instruments() -> list[Instrument]:
    """List the instruments of our own synthesis; the player (preset) is drawn for each loop."""
    listed: list[Instrument] = []
    for name, kind in SYNTH_INSTRUMENTS.items():
        family = _SYNTH_FAMILIES.get(name, kind.family)
        low, high = _REGISTERS.get(family, (0, 127))
        identity = f"drums:{name}" if family == "drums" else f"synth:{name}"
        listed.append(Instrument(identity, family, "synth", 0, 0, name, low, high))
    return listed


def draw_family(rng: np.random.Generator, *, evaluation: bool) -> str:
    """Draw a family by its weight."""
    weights = np.array(list((EVALUATION_WEIGHTS if evaluation else FAMILY_WEIGHTS).values()))
    return FAMILIES[rng.choice(len(FAMILIES), p=weights / weights.sum())]


def _kind(instrument: Instrument) -> str:
    return instrument.source.partition(":")[0]


def draw_instrument(rng: np.random.Generator, instruments: list[Instrument], family: str) -> Instrument:
    """Draw an instrument of a family, first its kind of source by its share, then one of that kind."""
    of_family = [instrument for instrument in instruments if instrument.family == family]
    kinds = sorted({_kind(instrument) for instrument in of_family})
    shares = {
        "notes": NOTES_SHARE.get(family, 0.1),
        "synth": SYNTH_SHARE.get(family, 0.1),
        "kit": KIT_SHARE,
    }
    fonts_share = 1 - sum(shares[kind] for kind in kinds if kind in shares)
    weights = np.array([shares.get(kind, fonts_share * TRAINING_FONTS.get(kind, 0.6)) for kind in kinds])
    kind = kinds[rng.choice(len(kinds), p=weights / weights.sum())]
    choices = [instrument for instrument in of_family if _kind(instrument) == kind]
    return choices[rng.integers(len(choices))]
