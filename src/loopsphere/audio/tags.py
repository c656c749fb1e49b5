"""Tempo and key as a file's tags state them: ID3, Vorbis comments, MP4, RIFF, and ACID's own chunk."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loopsphere.audio.containers import wav_chunk

if TYPE_CHECKING:
    from tinytag import TinyTag

_ACID_ONE_SHOT = 0x01
_ACID = struct.Struct("<I16xf")  # flags, tempo
# What tinytag tells of the file rather than from its tags
_NOT_TAGS = frozenset(
    [
        "filename",
        "filesize",
        "duration",
        "channels",
        "bitrate",
        "bitdepth",
        "samplerate",
        "mime_type",
        "is_lossless",
    ]
)


@dataclass(frozen=True)
class MusicTags:
    """What the tags say.

    Attributes
    ----------
    tempo_bpm : float or None
    key : str or None
        As it stands there: 'Am', 'F# minor', '8A'.
    """

    tempo_bpm: float | None = None
    key: str | None = None


def read_music_tags(path: str | os.PathLike[str]) -> MusicTags:
    """Read tempo and key from a file's tags.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    tags : MusicTags
        Empty where there are none, or none that can be read: a tag is never a reason to refuse a loop.
    """
    found = _read(path)
    other = {} if found is None else found.other
    tempo = _number(_first(other.get("bpm")))
    return MusicTags(_acid_tempo(path) if tempo is None else tempo, _first(other.get("initial_key")))


def container_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return what a file's container says of itself: title, artist, genre, comment ...

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    tags : dict of str to str
        Empty where there are none, or none that can be read.
    """
    found = _read(path)
    return {
        name: "; ".join(value) if isinstance(value, list) else str(value)
        for name, value in ({} if found is None else found.as_dict()).items()
        if name not in _NOT_TAGS
    }


def _read(path: str | os.PathLike[str]) -> TinyTag | None:
    from tinytag import TinyTag

    try:
        return TinyTag.get(path)
    except Exception:  # a format that tinytag does not know, or bytes that trip it: the loop stays a loop
        return None


def _first(values: object) -> str | None:
    return str(values[0]) if isinstance(values, list) and values else None


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return value if value > 0 else None


def _acid_tempo(path: str | os.PathLike[str]) -> float | None:
    """Return the tempo of a WAV file's `acid` chunk; one-shots have none."""
    try:
        with Path(path).open("rb") as file:
            content = wav_chunk(file, b"acid", _ACID.size)
    except OSError:
        return None
    if content is None:
        return None
    flags, tempo = _ACID.unpack(content)
    return float(tempo) if not flags & _ACID_ONE_SHOT and 0 < tempo < 1000 else None
