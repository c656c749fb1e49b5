"""Recorded drum kits of Debian's `hydrogen-drumkits`: which of their sounds stands on which General MIDI key.

rumpf is CC BY 3.0 and Audiophob CC0. The other three, by Artemiy Pavlov, are packaged as GPL-2 or later; to
the packager he wrote "Honestly, I grant you all rights" (the package's copyright file). The package's other
kits, GPL or share-alike, are left alone.

The kits' own maps were not taken over: they give some names to sounds that are something else (a `cymbal` at
30 Hz), so that each sound was placed by its name and its spectrum, and what fits nowhere was left out.
"""

from dataclasses import dataclass
from pathlib import Path

HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit's folder, how its files are named, and the stems of the sounds on each key."""

    folder: str
    pattern: str
    sounds: dict[int, str]

    def files(self, under: Path) -> list[tuple[Path, int]]:
        """List the kit's sounds with their keys."""
        return [
            (under / self.folder / self.pattern.format(stem.replace("+", " ")), key)
            for key, stems in self.sounds.items()
            for stem in stems.split()
        ]


KITS: dict[str, Kit] = {
    "rumpf": Kit("rumpf_kit_z01_h2", "beats_{}.flac", {
        35: "06-33 05-17 08-26 08-22",
        36: "06-38 06-46 07-18 07-20 06-31 06-32 07-16 07-21 08-12 08-14 08-15",
        37: "09-12 06-16 06-19 06-15",
        38: "01-21 06-25 01-28 01-30 01-34 01-32",
        39: "01-26 08-37 08-23",
        40: "08-24 08-27 09-13 07-14 08-34",
        41: "08-17 08-21", 43: "06-37 08-10", 45: "07-10 08-25", 47: "07-11", 48: "06-20", 50: "05-16 06-11",
        42: "09-10 05-10 03-10",
        44: "06-28 08-28",
        46: "05-11 05-12 05-13 09-11 03-12",
        49: "06-10 08-29 06-24", 51: "05-14 03-11", 53: "05-15 06-22",
        54: "01-39", 56: "08-32 04-10 04-12", 60: "06-40 06-35", 63: "01-33 01-24", 69: "01-40", 70: "06-23",
        75: "06-14 07-15",
    }),
    "electricempire": Kit("ElectricEmpireKit", "EE_{}.flac", {
        35: "Kick_Low_1 Kick_Low_2 Kick_Hard_1",
        36: "Kick_Lite_1 Kick_Lite_2 Kick_Nz Kick_Old Kick_Power Kick_Ring Kick_Stomp Kick_Dist Kick_Hard_2",
        37: "Click", 38: "Snare_1 Snare_2 Snare_3", 39: "Clap Clap_Hard", 40: "Snare_Low Snare_Ring",
        42: "Hat_Cl_Dirty", 44: "Hat_Ring_1 Hat_Low", 46: "Hat_Op_Dirty Hat_Op_Phaser",
        43: "Drum_1", 47: "Drum_2", 60: "Conga_1", 63: "Conga_2",
    }),
    "hardelectro": Kit("HardElectro1", "{}.flac", {
        35: "PowR_BD_1", 36: "HardHse_K_02 HardHse_K_03_B", 38: "PowR_SN_1", 39: "Amp_Clap_1 Clap_1",
        42: "FX_Chh_01 Hard_CHH_01 Hard_CHH_02 CHH_1", 44: "PowR_HH_1", 46: "Hard_Hse_OHH_1 PowR_HH_2",
        43: "xFX_6", 56: "yFX_8", 75: "yFX_3",
    }),
    "varibreaks": Kit("VariBreaks", "VP {}.flac", {
        36: "Kick+1 Kick+2 Kick+3", 37: "Click", 38: "Snare+1 Snare+2", 40: "Snare+3",
        41: "Tom+Low", 45: "Tom+Mid", 50: "Tom+Hi", 63: "Drum",
        42: "Hat+1+Cl Hat+2+Cl Hat+3+Cl", 44: "Hat+1+Pd", 46: "Hat+1+Op",
    }),
    "audiophob": Kit("Audiophob", "{}.wav", {
        36: "86335__zgump__tom-0105", 37: "16336__sstokes__ss-ht-crunchtime",
        38: "124382__cubix__8bit-snare", 40: "25671__walter-odington__garage-city-snare-snappy",
        39: "29800__stomachache__3", 42: "116973__cbeeching__hat-light", 44: "156272__dayvonjersen__fxshake5",
        46: "104227__minorr__hhat-paiste-302-14-open-p", 49: "124101__connersaw8__crash",
        51: "15590__lewis__sabmute", 41: "99930__menegass__noise-tom0", 45: "99931__menegass__noise-tom1",
        50: "101450__menegass__tomh",
    }),
}  # fmt: skip

GAINS: dict[int, float] = {
    35: 1.0, 36: 1.0, 38: 0.85, 40: 0.85, 39: 0.7, 42: 0.35, 44: 0.35, 46: 0.35, 49: 0.5, 51: 0.35, 53: 0.4,
    54: 0.35, 69: 0.35, 70: 0.35,
}  # fmt: skip
"""How loud a key is beside a kick, since every sound is brought to one peak; others are at 0.7."""
