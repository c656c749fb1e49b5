"""Decoded audio in blocks: libsndfile for most formats, PyAV for M4A, AAC and WMA.

Both give float32 blocks of shape (n_frames, n_channels) at full scale 1.0, so that a long file never lies in
memory with all its channels.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile as sf

from loopsphere.audio.containers import (
    ASF_MAGIC,
    check_complete,
    id3_bytes,
    is_adts,
    is_mp4,
    unsized_wav_data,
)
from loopsphere.audio.mpeg import countable_mp3
from loopsphere.errors import AudioError
from loopsphere.types import Float32Array

if TYPE_CHECKING:
    from av.container import InputContainer

_BLOCK_FRAMES = 65_536
# libsndfile's sf_count_t for 'the header does not say'
_UNKNOWN_FRAMES = 2**63 - 1
# Numbers of libsndfile's errors (src/common.h) that have words of their own here
_SF_NOT_RECOGNISED = (1, 7)
_SF_INCOMPLETE_INFO = 24
_SF_CHANNEL_COUNT = (32, 33)
# First four bytes of what libsndfile reads without help; the rest may be MP3, which has no magic number
_SOUNDFILE_MAGICS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"caff", b".snd", b"fLaC", b"OggS")
# PyAV's lengths come from rounded time stamps and leave out encoder delay
_PYAV_SLACK_S = 0.25


@dataclass(frozen=True)
class AudioStream:
    """An open audio file.

    Attributes
    ----------
    sample_rate : int
        Hz.
    n_channels : int
    promised_s : float or None
        Seconds that the header promises; None where it does not say.
    slack_s : float
        Seconds by which a sound file may fall short of the promise.
    blocks : iterator of float32 ndarray of shape (n_frames, n_channels)
        A block is only valid until the next one is asked for.
    """

    sample_rate: int
    n_channels: int
    promised_s: float | None
    slack_s: float
    blocks: Iterator[Float32Array]


class _SequentialFile(sf.SoundFile):  # type: ignore[misc]
    """A sound file that is read straight on.

    soundfile seeks after every read of a seekable file, which fails for FLAC without a length in its
    header and is inexact for MP3.
    """

    def seekable(self) -> bool:
        return False


class _Source:
    """A file as the decoders read it.

    A damaged header can send them to an offset that is none, where `seek` would raise inside their callbacks
    and Python print the error; here they end at the nearest one that exists. Where a WAV file left its data
    size at 0, it reads as unknown: 0xFFFFFFFF.
    """

    def __init__(self, file: BinaryIO, unsized_offset: int | None = None) -> None:
        self._file = file
        self._unsized_offset = unsized_offset
        self._n_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)

    def for_libsndfile(self) -> _Source | int:
        """Return what libsndfile is given: the file's descriptor where all of it may be read as it is.

        It reads 8 KiB at a time, and every call back into Python makes all other workers wait. On Windows a
        descriptor of Python's is none of libsndfile's.
        """
        if os.name != "posix" or self._unsized_offset is not None or isinstance(self._file, io.BytesIO):
            return self
        descriptor = self._file.fileno()
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._n_bytes}[whence]
        return self._file.seek(min(max(origin + offset, 0), self._n_bytes))

    def tell(self) -> int:
        return self._file.tell()

    def read(self, n_bytes: int) -> bytes:
        at = -1 if self._unsized_offset is None else self._unsized_offset - self._file.tell()
        data = self._file.read(n_bytes)
        # libsndfile reads a header field by field, so the four bytes arrive together.
        if 0 <= at <= len(data) - 4:
            return data[:at] + b"\xff" * 4 + data[at + 4 :]
        return data


def _described(error: sf.LibsndfileError) -> str:
    detail = error.error_string.removeprefix("Error : ").rstrip(".")
    return f"truncated or damaged ({detail})" if detail else "truncated or damaged"


def _soundfile_blocks(sound: sf.SoundFile) -> Iterator[Float32Array]:
    buffer = np.empty((_BLOCK_FRAMES, sound.channels), np.float32)
    remaining = sound.frames
    # Not one read past the promised end: what follows FLAC frames, such as an ID3v1 tag, is an error there.
    while remaining:
        try:
            block = sound.read(out=buffer[:remaining])
        except sf.LibsndfileError as error:
            raise AudioError(_described(error)) from error
        if not len(block):
            return
        remaining -= len(block)
        yield block


def _open_error(error: sf.LibsndfileError) -> AudioError:
    if error.code in _SF_NOT_RECOGNISED:
        return AudioError("not audio (no known format)")
    if error.code in _SF_CHANNEL_COUNT:
        return AudioError("absurd channel count (the header says none or more than 1,024)")
    if error.code == _SF_INCOMPLETE_INFO:
        return AudioError("absurd sample rate (the header says none)")
    return AudioError(_described(error))


@contextmanager
def _open_soundfile(source: _Source) -> Iterator[AudioStream]:
    try:
        sound = _SequentialFile(source.for_libsndfile(), closefd=False)
    except sf.LibsndfileError as error:
        raise _open_error(error) from error
    with sound:
        is_known = sound.frames < _UNKNOWN_FRAMES
        yield AudioStream(
            sample_rate=sound.samplerate,
            n_channels=sound.channels,
            promised_s=sound.frames / sound.samplerate if is_known else None,
            slack_s=1152 / sound.samplerate if sound.format == "MP3" else 0.0,
            blocks=_soundfile_blocks(sound),
        )


def _pyav_duration_s(container: InputContainer) -> float | None:
    stream = container.streams.audio[0]
    # The length of a bare AAC stream is FFmpeg's guess from its bitrate, no promise.
    if container.format.name == "aac" or stream.duration is None or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def _pyav_blocks(container: InputContainer) -> Iterator[Float32Array]:
    import av

    codec = container.streams.audio[0].codec_context
    to_packed = av.AudioResampler(format="flt", layout=codec.layout, rate=codec.sample_rate)
    try:
        for frame in container.decode(audio=0):
            for packed in to_packed.resample(frame):
                samples = np.asarray(packed.to_ndarray(), np.float32)
                yield samples.reshape(packed.samples, -1)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"truncated or damaged ({error})") from error


@contextmanager
def _open_pyav(source: _Source) -> Iterator[AudioStream]:
    try:
        import av
    except ImportError as error:
        raise AudioError("M4A, AAC and WMA need PyAV: pip install 'loopsphere[av]'") from error
    try:
        container = av.open(source, "r", metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"truncated or damaged ({error})") from error
    with container:
        if not container.streams.audio:
            raise AudioError("not audio (no sound track)")
        codec = container.streams.audio[0].codec_context
        if codec is None:
            raise AudioError("truncated or damaged (no such codec)")
        yield AudioStream(
            sample_rate=codec.sample_rate,
            n_channels=codec.channels,
            promised_s=_pyav_duration_s(container),
            slack_s=_PYAV_SLACK_S,
            blocks=_pyav_blocks(container),
        )


def _soundfile_source(file: BinaryIO, magic: bytes, n_tag_bytes: int) -> _Source:
    """Return what libsndfile reads in full: the file itself unless a header of it needs mending."""
    if magic in _SOUNDFILE_MAGICS:
        return _Source(file, unsized_wav_data(file) if magic == b"RIFF" else None)
    frames = countable_mp3(file, n_tag_bytes)
    return _Source(file if frames is None else io.BytesIO(frames))


@contextmanager
def open_stream(file: BinaryIO) -> Iterator[AudioStream]:
    """Open a file for decoding, by its content and never by its name.

    Parameters
    ----------
    file : binary file
        A regular file open for reading, not empty.

    Yields
    ------
    AudioStream

    Raises
    ------
    AudioError
        It is not audio, is truncated or damaged, or needs PyAV, which is not installed.
    """
    n_tag_bytes = id3_bytes(file.read(10))
    file.seek(n_tag_bytes)
    head = file.read(16)
    check_complete(file, n_tag_bytes)
    if is_mp4(head) or is_adts(head) or head == ASF_MAGIC:
        with _open_pyav(_Source(file)) as stream:
            yield stream
    else:
        with _open_soundfile(_soundfile_source(file, head[:4], n_tag_bytes)) as stream:
            yield stream
