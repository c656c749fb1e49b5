"""How much an embedding moves under changes that a listener ignores, and under some that one does not."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from loopsphere.features.config import BUNDLED
from pretraining.music import Song, TimedNote, make_song, perform
from pretraining.patterns import melody
from pretraining.sources import SAMPLE_RATE, SOUNDFONTS, SoundFont

Stereo = npt.NDArray[np.float32]
Waveform = npt.NDArray[np.float32]

FILE_RATE = 44_100
"""Hz at which files are changed: what most loops are sold at."""
_MP3_BITRATES_KBPS = (32, 320)  # the range that libsndfile spreads its compression level over
N_SONGS = 40


def shifted(audio: Stereo, share: float) -> Stereo:
    """Start a loop a share of its length later."""
    return np.roll(audio, -round(share * len(audio)), axis=0)


def louder(audio: Stereo, gain_db: float) -> Stereo:
    """Change the level; nothing is clipped."""
    return audio * np.float32(10 ** (gain_db / 20))


def through_mp3(audio: Stereo, kbps: int) -> Stereo:
    """Code as MP3 at a constant rate, all channels, and decode."""
    low, high = _MP3_BITRATES_KBPS
    file = io.BytesIO()
    level = (high - kbps) / (high - low)
    soundfile.write(file, audio, FILE_RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    file.seek(0)
    return soundfile.read(file, dtype="float32", always_2d=True)[0]


def resampled(audio: Stereo, rate: int, *, back: bool) -> Stereo:
    """Go to another rate and, through the rate of the file, `back`; else stay there (see `change`)."""
    lowered = soxr.resample(audio, FILE_RATE, rate, quality="HQ")
    return soxr.resample(lowered, rate, FILE_RATE, quality="HQ") if back else lowered


def with_lead_in(audio: Stereo, seconds: float) -> Stereo:
    """Put silence before a loop."""
    return np.pad(audio, ((round(seconds * FILE_RATE), 0), (0, 0)))


CHANGES: dict[str, tuple[Callable[[Stereo], Stereo], int]] = {
    "unchanged": (lambda audio: audio, FILE_RATE),
    "cyclic shift by 1/8": (lambda audio: shifted(audio, 1 / 8), FILE_RATE),
    "cyclic shift by 0.31": (lambda audio: shifted(audio, 0.31), FILE_RATE),
    "cyclic shift by 1/2": (lambda audio: shifted(audio, 1 / 2), FILE_RATE),
    "cyclic shift by 0.83": (lambda audio: shifted(audio, 0.83), FILE_RATE),
    "gain of +6 dB": (lambda audio: louder(audio, 6.0), FILE_RATE),
    "gain of -6 dB": (lambda audio: louder(audio, -6.0), FILE_RATE),
    "MP3 at 128 kbit/s": (lambda audio: through_mp3(audio, 128), FILE_RATE),
    "44.1 to 32 to 44.1 kHz": (lambda audio: resampled(audio, 32_000, back=True), FILE_RATE),
    "stored at 22.05 kHz": (lambda audio: resampled(audio, 22_050, back=False), 22_050),
    "lead-in of 0.5 s": (lambda audio: with_lead_in(audio, 0.5), FILE_RATE),
}
"""Each change, and the rate in Hz that it leaves."""


def as_heard(audio: Stereo, rate: int) -> Waveform:
    """Return what the encoder takes of a file: the mean of the channels, at the encoder's rate."""
    mono = soxr.resample(audio.mean(axis=1), rate, BUNDLED.sample_rate, quality="HQ")
    return np.asarray(mono, dtype=np.float32)


def changed_loops(paths: list[str]) -> Iterator[Waveform]:
    """Yield every change of every file, the changes of one file together, in the order of `CHANGES`."""
    for path in paths:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        audio = soxr.resample(audio, rate, FILE_RATE, quality="HQ")
        for change, changed_rate in CHANGES.values():
            yield as_heard(change(audio), changed_rate)


_PROGRAMS = ((0, 4), (24, 27), (33, 38), (19, 16), (48, 40), (56, 61), (73, 68), (80, 87), (11, 12))
"""General MIDI programs, two of each of nine families."""
CONTRASTS = (
    "another instrument of the family, same notes",
    "an instrument of another family, same notes",
    "the same instrument, other notes",
    "the same instrument of another soundfont, same notes",
)
"""What `contrast_loops` yields after each reference."""


def _song(rng: np.random.Generator) -> tuple[Song, list[TimedNote]]:
    notes: list[TimedNote] = []
    while not notes:
        song = make_song(rng)
        notes = perform(rng, song, melody(rng, song, 48, 72), looseness_s=0.004)
    return song, notes


def contrast_loops() -> Iterator[Waveform]:
    """Yield, for each of `N_SONGS` songs, a reference and the four loops of `CONTRASTS`, all without effects.

    They sound on TimGM6mb, which training never hears.
    """
    font, other_font = SoundFont(SOUNDFONTS["timgm"]), SoundFont(SOUNDFONTS["fluidr3"])

    def sounded(player: SoundFont, program: int, song: Song, notes: list[TimedNote]) -> Waveform:
        n_samples = int(song.n_beats * song.beat_s * SAMPLE_RATE)
        return player.play(notes, 0, program, n_samples, 0.0)

    for number in range(N_SONGS):
        rng = np.random.default_rng([5, number])
        first, second = rng.choice(len(_PROGRAMS), size=2, replace=False)
        program, sibling = _PROGRAMS[first]
        song, notes = _song(rng)
        yield sounded(font, program, song, notes)
        yield sounded(font, sibling, song, notes)
        yield sounded(font, _PROGRAMS[second][0], song, notes)
        yield sounded(font, program, *_song(rng))
        yield sounded(other_font, program, song, notes)


def cosines(embedding: npt.NDArray[np.float64], n_variants: int) -> npt.NDArray[np.float64]:
    """Return the cosine of each variant to the first of its block.

    Parameters
    ----------
    embedding : ndarray of shape (n_blocks * n_variants, embedding_dim)

    Returns
    -------
    cosine : ndarray of shape (n_blocks, n_variants - 1)
    """
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    blocks = unit.reshape(-1, n_variants, unit.shape[1])
    return np.einsum("bvd,bd->bv", blocks[:, 1:], blocks[:, 0])
