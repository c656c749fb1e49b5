"""What a file's name and tags say of its tempo and key: '120bpm', 'Am', TBPM, ACID."""

from __future__ import annotations

import re
from dataclasses import dataclass

PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MIN_BPM, MAX_BPM = 30.0, 300.0

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "s": 1, "b": -1, "♭": -1}
# '120bpm', '120_BPM', 'bpm-92.5': said in so many words
_SPOKEN_BPM = re.compile(
    r"(?<![\d.])(\d{2,3}(?:\.\d{1,2})?)[ _-]?bpm(?![a-z])|bpm[ _-]?(\d{2,3}(?:\.\d{1,2})?)(?!\d)", re.I
)
# a bare number in its own field: 'funk_104_Am.wav'
_BARE_BPM = re.compile(r"(?<=[_\s-])(\d{2,3})(?=[_\s-])|(?<=[_\s-])(\d{2,3})$|^(\d{2,3})(?=[_\s-])")
_MODE = r"(?:[ _-]?(?P<mode>minor|major|min|maj)|(?P<m>m))"
# with a mode, 'A minor', 'F#min', 'Bbmaj', 'Am'; without, only where the field is the note alone
_KEY_FIELD = re.compile(rf"^(?P<letter>[A-G])(?P<accidental>[#♯b♭s]?){_MODE}?$")
_KEY_WORDS = re.compile(
    r"(?:^|[ _\-([])(?P<letter>[A-G])(?P<accidental>[#♯b♭]?)[ _-]?(?P<mode>minor|major|min|maj)(?![a-z])",
    re.I,
)
_CAMELOT = re.compile(r"^(1[0-2]|[1-9])([AB])$", re.I)


@dataclass(frozen=True)
class Key:
    """A tonic and a mode.

    Attributes
    ----------
    tonic : int
        Pitch class, 0 is C.
    is_minor : bool or None
        None where only the root is known.
    """

    tonic: int
    is_minor: bool | None

    def __str__(self) -> str:
        mode = {True: " minor", False: " major", None: ""}[self.is_minor]
        return PITCH_NAMES[self.tonic] + mode


@dataclass(frozen=True)
class Hints:
    """What is known of a loop besides its sound.

    Attributes
    ----------
    tempo_bpm : float or None
    tempo_source : str or None
        "tag" or "name".
    key : Key or None
    key_source : str or None
        "tag" or "name".
    """

    tempo_bpm: float | None = None
    tempo_source: str | None = None
    key: Key | None = None
    key_source: str | None = None


def tempo_in_name(stem: str) -> float | None:
    """Return the tempo that a file name states, in BPM, or None.

    Parameters
    ----------
    stem : str
        File name without folder and suffix.

    Returns
    -------
    tempo_bpm : float or None
        None too where two numbers could be the tempo and neither is said to be.
    """
    spoken = [float(a or b) for a, b in _SPOKEN_BPM.findall(stem)]
    for bpm in spoken:
        if MIN_BPM <= bpm <= MAX_BPM:
            return bpm
    # A bare number is as often a counter ('take_112'): only what most music's tempo is, and only if alone.
    bare = {float("".join(groups)) for groups in _BARE_BPM.findall(stem)}
    plausible = {bpm for bpm in bare if 60 <= bpm <= 200}
    return plausible.pop() if len(plausible) == 1 else None


def key_in_name(stem: str) -> Key | None:
    """Return the key that a file name states, or None.

    Parameters
    ----------
    stem : str
        File name without folder and suffix.

    Returns
    -------
    key : Key or None
        'Am', 'F#_minor' and 'Bbmaj' name a key, and so does a lone 'C' or 'Eb' at the end; 'A' and a letter
        in the first place do not, which are words and takes more often.
    """
    if match := _KEY_WORDS.search(stem):
        return _key(match["letter"].upper(), match["accidental"].lower(), match["mode"].lower())
    fields = re.split(r"[ _\-()\[\]]+", stem)
    for position, field in enumerate(fields):
        match = _KEY_FIELD.match(field)
        if match is None:
            continue
        mode = match["mode"] or match["m"]
        if mode is None and (
            position == 0 or field == "A" or (not match["accidental"] and position != len(fields) - 1)
        ):
            continue
        return _key(match["letter"], match["accidental"], mode)
    return None


def key_in_tag(text: str) -> Key | None:
    """Return the key that a tag states, or None.

    Parameters
    ----------
    text : str
        'Am', 'F#', 'C minor', or Camelot's '8A'.

    Returns
    -------
    key : Key or None
        A letter without a mode is major, as ID3 has it.
    """
    text = text.strip()
    if match := _CAMELOT.match(text):
        # 8B is C major, 8A is A minor; each step up is a fifth.
        is_minor = match[2].upper() == "A"
        return Key((7 * (int(match[1]) - 8) + (9 if is_minor else 0)) % 12, is_minor)
    match = re.match(rf"^(?P<letter>[A-Ga-g])(?P<accidental>[#♯b♭]?)\s*{_MODE}?$", text)
    if match is None:
        return None
    return _key(match["letter"].upper(), match["accidental"], match["mode"] or match["m"] or "major")


def _key(letter: str, accidental: str, mode: str | None) -> Key:
    tonic = (_LETTERS[letter] + _ACCIDENTALS[accidental]) % 12
    return Key(tonic, None if mode is None else mode.startswith("m") and not mode.startswith("maj"))


def hints_from(stem: str, *, tempo_tag: float | None = None, key_tag: str | None = None) -> Hints:
    """Collect what tags and name say; tags come first.

    Parameters
    ----------
    stem : str
        File name without folder and suffix.
    tempo_tag : float or None
        BPM.
    key_tag : str or None

    Returns
    -------
    hints : Hints
    """
    tempo, tempo_source = tempo_tag, "tag"
    if tempo is None or not MIN_BPM <= tempo <= MAX_BPM:
        tempo, tempo_source = tempo_in_name(stem), "name"
    key, key_source = (key_in_tag(key_tag) if key_tag else None), "tag"
    if key is None:
        key, key_source = key_in_name(stem), "name"
    return Hints(
        tempo, tempo_source if tempo is not None else None, key, key_source if key is not None else None
    )
