"""The recorded drum kit rumpf (Emanuel Rumpf, CC BY 3.0), one of Debian's `hydrogen-drumkits`.

The package's other kits are left alone: GPL, share-alike, or put together from sounds whose own terms are not
said. The kit's own map was not taken over either: it gives some names to sounds that are something else (a
`cymbal` at 30 Hz), so each sound was placed by its name and its spectrum, and what fits nowhere was left out.
"""

from pathlib import Path

HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")
RUMPF: dict[int, str] = {
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
}  # fmt: skip
"""The numbers of the sounds on each General MIDI key."""


def rumpf_files(under: Path) -> list[tuple[Path, int]]:
    """List the kit's sounds with their keys."""
    return [
        (under / "rumpf_kit_z01_h2" / f"beats_{number}.flac", key)
        for key, numbers in RUMPF.items()
        for number in numbers.split()
    ]


GAINS: dict[int, float] = {
    35: 1.0, 36: 1.0, 38: 0.85, 40: 0.85, 39: 0.7, 42: 0.35, 44: 0.35, 46: 0.35, 49: 0.5, 51: 0.35, 53: 0.4,
    54: 0.35, 69: 0.35, 70: 0.35,
}  # fmt: skip
"""How loud a key is beside a kick, since every sound is brought to one peak; others are at 0.7."""
