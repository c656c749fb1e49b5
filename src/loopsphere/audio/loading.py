"""One file in, one clip out: decode, mix to mono, check, resample."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from loopsphere.audio.decoding import AudioStream, open_stream
from loopsphere.audio.limits import (
    LONGEST_RECORDING,
    LOWERED_RATE_HZ,
    MAX_DURATION_S,
    MAX_PEAK,
    MIN_DURATION_S,
    SILENCE_DBFS,
    check_format,
    check_not_too_long,
)
from loopsphere.audio.samples import Samples
from loopsphere.errors import AudioError, surprise
from loopsphere.room import ROOM
from loopsphere.types import Clip, Float32Array, Recording

_UNKNOWN_S = 60.0
"""Of a header that says no length; a file that goes on beyond is taken to have the longest."""
_BYTES_PER_SAMPLE, _BYTES_PER_FRAME = 16, 12
"""Of a mono mix until it is embedded, of a recording until it is measured; measured on ten minutes."""
_SILENCE_PEAK = 10.0 ** (SILENCE_DBFS / 20)


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular, non-empty file."""
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError("is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError("not a regular file (a pipe, socket or device)")
        if status.st_size == 0:
            raise AudioError("empty file (0 bytes)")
        # By descriptor: soundfile takes a format from the name of the file object, and fails for `.raw`.
        return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb")
    except FileNotFoundError as error:
        raise AudioError("a broken symlink" if Path(path).is_symlink() else "no such file") from error
    except PermissionError as error:
        raise AudioError("no permission to read it") from error
    except OSError as error:
        raise AudioError(f"cannot be opened ({error.strerror})") from error
    except ValueError as error:  # a NUL, or a surrogate that no file name can hold
        raise AudioError("no such file (its name holds a forbidden character)") from error


def _peak(samples: Float32Array) -> float:
    """Return the largest magnitude; NaN where there is one."""
    return float(np.maximum(samples.max(), -samples.min()))


def _check_levels(peak: float, channel_peak: float) -> None:
    if not np.isfinite(peak):
        raise AudioError("NaN or infinite samples")
    if peak > MAX_PEAK:
        raise AudioError(f"absurd sample values (peak {peak:.1e}, full scale is 1)")
    if peak < _SILENCE_PEAK:
        if channel_peak >= _SILENCE_PEAK:
            raise AudioError("all silence in mono (its channels cancel each other)")
        raise AudioError(f"all silence (peak below {SILENCE_DBFS:.0f} dBFS)")


def _check_length(n_samples: int, stream: AudioStream) -> None:
    duration_s = n_samples / stream.sample_rate
    if stream.promised_s is not None and duration_s < stream.promised_s - stream.slack_s:
        raise AudioError(f"truncated (decoding ends after {duration_s:.2f} of {stream.promised_s:.2f} s)")
    if n_samples == 0:
        raise AudioError("no samples")
    if duration_s < MIN_DURATION_S:
        raise AudioError(f"shorter than {MIN_DURATION_S * 1000:.0f} ms ({duration_s * 1000:.0f} ms)")


@dataclass(frozen=True)
class _Decoded:
    """A whole file: its mono mix, or as many of its channels as were asked for."""

    samples: Float32Array
    sample_rate: int
    duration_s: float
    file_sample_rate: int
    n_channels: int
    audio_hash: str


def _n_bytes(duration_s: float, sample_rate: int, n_kept: int | None) -> int:
    """Return about how much memory it takes to decode and to measure, or to embed, a file."""
    per_sample = _BYTES_PER_SAMPLE if n_kept is None else _BYTES_PER_FRAME
    return int(min(duration_s * sample_rate, LONGEST_RECORDING) * per_sample)


def _decode(stream: AudioStream, wanted_rate: int | None, n_kept: int | None) -> _Decoded:
    """Return the mono mix (`n_kept` is None) or the first channels, and the hash of all samples of all.

    Without a wanted rate, it is the stream's own, unless that would be more than `LONGEST_RECORDING`.
    """
    # Weighted before they are summed, so that the mean of finite samples cannot overflow.
    weights = np.full(stream.n_channels, 1 / stream.n_channels, np.float32)
    digest = hashlib.sha256(f"{stream.sample_rate} {stream.n_channels} ".encode())
    kept = Samples(stream.sample_rate, wanted_rate or stream.sample_rate, n_kept, stream.promised_s)
    ROOM.need(_n_bytes(stream.promised_s or 0.0, kept.sample_rate, n_kept))
    n_samples, peak, channel_peak = 0, 0.0, 0.0
    for block in stream.blocks:
        digest.update(np.ascontiguousarray(block, "<f4").data)
        with np.errstate(invalid="ignore"):  # infinite minus infinite, refused below
            mono = block @ weights
        n_samples += len(mono)
        check_not_too_long(n_samples / stream.sample_rate)
        if stream.promised_s is None and n_samples > _UNKNOWN_S * stream.sample_rate:
            ROOM.need(_n_bytes(MAX_DURATION_S, kept.sample_rate, n_kept))
        peak = float(np.maximum(peak, _peak(mono)))
        if channel_peak < _SILENCE_PEAK:
            channel_peak = max(channel_peak, _peak(block))
        kept.add(mono if n_kept is None else block[:, :n_kept])
        if wanted_rate is None and n_samples > LONGEST_RECORDING and kept.sample_rate > LOWERED_RATE_HZ:
            kept = kept.lowered(LOWERED_RATE_HZ)
    _check_length(n_samples, stream)
    _check_levels(peak, channel_peak)
    return _Decoded(
        samples=kept.whole(),
        sample_rate=kept.sample_rate,
        duration_s=n_samples / stream.sample_rate,
        file_sample_rate=stream.sample_rate,
        n_channels=stream.n_channels,
        audio_hash=digest.hexdigest(),
    )


def _decode_file(
    path: str | os.PathLike[str], wanted_rate: int | None = None, max_kept: int | None = None
) -> _Decoded:
    with _open(path) as file:
        try:
            with open_stream(file) as stream:
                check_format(stream.sample_rate, stream.n_channels)
                if stream.promised_s is not None:
                    check_not_too_long(stream.promised_s)
                n_kept = None if max_kept is None else min(max_kept, stream.n_channels)
                return _decode(stream, wanted_rate, n_kept)
        except AudioError:
            raise
        except OSError as error:  # a disk or network that fails
            raise AudioError(f"cannot be read ({error.strerror})") from error
        except Exception as error:  # a decoder that trips: one file's matter, whatever it is
            raise AudioError(f"cannot be read ({surprise(error)})") from error


def load_clip(path: str | os.PathLike[str], sample_rate: int) -> Clip:
    """Decode one file to mono at the rate asked for.

    WAV, AIFF, FLAC, Ogg Vorbis, Opus, MP3 and whatever else libsndfile reads; M4A, AAC and WMA through PyAV,
    which is an extra. The format is told by the content, not by the name. Nothing is trimmed, padded or
    normalised.

    Parameters
    ----------
    path : str or path-like
        The file.
    sample_rate : int
        Hz, of the waveform returned; above 0.

    Returns
    -------
    Clip
        With a finite `waveform`, float32 ndarray of shape (n_samples,): the mean of the channels, resampled
        with soxr at high quality.

    Raises
    ------
    AudioError
        The file cannot be used as a loop. The message is the reason in the user's words, without the path:
        missing, empty, not audio, truncated or damaged, no samples, shorter than 50 ms, longer than
        10 minutes, all silence, NaN or infinite samples, absurd sample rate or channel count, no permission,
        a folder, or PyAV needed and absent.

    Examples
    --------
    >>> clip = load_clip("loops/bass.flac", 48_000)  # doctest: +SKIP
    >>> clip.waveform.dtype, clip.sample_rate  # doctest: +SKIP
    (dtype('float32'), 48000)
    """
    decoded = _decode_file(path, sample_rate)
    return Clip(
        path=os.fspath(path),
        waveform=decoded.samples,
        sample_rate=sample_rate,
        duration_s=decoded.duration_s,
        file_sample_rate=decoded.file_sample_rate,
        n_channels=decoded.n_channels,
        audio_hash=decoded.audio_hash,
    )


def waveform_again(path: str | os.PathLike[str], sample_rate: int, audio_hash: str) -> Float32Array | None:
    """Return the waveform of a loop that was read before, as `load_clip` does.

    Parameters
    ----------
    path : str or path-like
    sample_rate : int
        Hz.
    audio_hash : str
        What the file held then.

    Returns
    -------
    waveform : float32 ndarray of shape (n_samples,), or None
        None where the file has gone since, has become unreadable, or holds another loop by now.
    """
    try:
        clip = load_clip(path, sample_rate)
    except AudioError:
        return None
    return clip.waveform if clip.audio_hash == audio_hash else None


def load_recording(path: str | os.PathLike[str]) -> Recording:
    """Decode one file as it is stored: its own rate, its first two channels.

    More than 28.8 million samples, ten minutes at 48 kHz, are brought to 48 kHz.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    Recording

    Raises
    ------
    AudioError
        As for `load_clip`: what the one refuses, the other refuses.
    """
    decoded = _decode_file(path, max_kept=2)
    return Recording(
        path=os.fspath(path),
        samples=decoded.samples,
        sample_rate=decoded.sample_rate,
        n_channels=decoded.n_channels,
        audio_hash=decoded.audio_hash,
        file_sample_rate=None
        if decoded.sample_rate == decoded.file_sample_rate
        else decoded.file_sample_rate,
    )


def recording_again(path: str | os.PathLike[str], audio_hash: str) -> Recording:
    """Return a loop that was read before, as `load_recording` does; an error where it holds another now."""
    recording = load_recording(path)
    if recording.audio_hash != audio_hash:
        raise AudioError("it has changed since it was embedded")
    return recording
