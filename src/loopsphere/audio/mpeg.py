"""MP3 counted frame by frame, so that a cut is noticed and nothing is dropped.

libsndfile trusts the frame count of the Xing header, and without one guesses it from the first frame: a
variable-bitrate file then loses its end, silently. libmpg123 also warns on stderr when tags make the header's
byte count look wrong. Both end when the decoder is handed the bare frames behind a header that is right.

References
----------
ISO/IEC 11172-3, section 2.4.2.3; ISO/IEC 13818-3, section 2.4.2.3 (lower sampling frequencies).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from loopsphere.audio.limits import MAX_DURATION_S, check_not_too_long
from loopsphere.errors import AudioError

_SEARCH_BYTES = 65_536
# The most that Layer III takes (320 kbit/s) for the longest loop, and as much again for a tag in front
_MAX_BYTES = int(2 * MAX_DURATION_S * 40_000)
_KBITPS_MPEG1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITPS_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES_MPEG1_HZ = (44_100, 48_000, 32_000)
# Version bits of the header -> divisor of the rates above
_RATE_DIVISOR = {3: 1, 2: 2, 0: 4}
# Of a header key, what stays the same throughout a stream: sync word, version, layer, sample rate
_STREAM_MASK = 0xFE0C


def _frame_bytes_table() -> dict[int, int]:
    """Map bytes 1 and 2 of every valid Layer III header (CRC and private bit cleared) to the frame length."""
    table = {}
    for version, divisor in _RATE_DIVISOR.items():
        bitrates, bytes_per_kbit = (_KBITPS_MPEG1, 144_000) if version == 3 else (_KBITPS_MPEG2, 72_000)
        for rate_index, rate in enumerate(_SAMPLE_RATES_MPEG1_HZ):
            for bitrate_index, kbitps in enumerate(bitrates, start=1):
                for padding in (0, 1):
                    key = (0xE2 | version << 3) << 8 | bitrate_index << 4 | rate_index << 2 | padding << 1
                    table[key] = bytes_per_kbit * kbitps // (rate // divisor) + padding
    return table


_FRAME_BYTES = _frame_bytes_table()


def _header_key(data: bytes, offset: int) -> int:
    if offset + 4 > len(data) or data[offset] != 0xFF:
        return 0
    return (data[offset + 1] & 0xFE) << 8 | data[offset + 2] & 0xFE


@dataclass(frozen=True)
class _FrameRun:
    """Frames in one piece: `start` and `end` in bytes, whether one more is cut off, and the first header."""

    start: int
    end: int
    n_frames: int
    is_cut: bool
    key: int
    is_mono: bool

    @property
    def _is_mpeg1(self) -> bool:
        return self.key >> 11 & 3 == 3

    @property
    def samples_per_frame(self) -> int:
        return 1152 if self._is_mpeg1 else 576

    @property
    def sample_rate(self) -> int:
        return _SAMPLE_RATES_MPEG1_HZ[self.key >> 2 & 3] // _RATE_DIVISOR[self.key >> 11 & 3]

    @property
    def side_info_bytes(self) -> int:
        if self._is_mpeg1:
            return 17 if self.is_mono else 32
        return 9 if self.is_mono else 17


def _follow_frames(data: bytes, start: int) -> _FrameRun:
    first_key = _header_key(data, start)
    offset, n_frames = start, 0
    while True:
        key = _header_key(data, offset)
        n_bytes = _FRAME_BYTES.get(key, 0)
        is_frame = n_bytes > 0 and not (key ^ first_key) & _STREAM_MASK
        if not is_frame or offset + n_bytes > len(data):
            return _FrameRun(start, offset, n_frames, is_frame, first_key, data[start + 3] >> 6 == 3)
        offset += n_bytes
        n_frames += 1


def _find_frames(data: bytes, start: int = 0) -> _FrameRun | None:
    """Return the first run of frames in the next 64 kB; one found later than `start` needs three frames."""
    offset = data.find(b"\xff", start, start + _SEARCH_BYTES)
    while offset >= 0:
        if _header_key(data, offset) in _FRAME_BYTES:
            run = _follow_frames(data, offset)
            if run.n_frames >= 3 or (offset == start and (run.n_frames or run.is_cut)):
                return run
        offset = data.find(b"\xff", offset + 1, start + _SEARCH_BYTES)
    return None


@dataclass(frozen=True)
class _Count:
    """What the header frame of an encoder promises."""

    n_frames: int
    n_bytes: int


def _read_xing(stream: bytes, tag_offset: int) -> _Count | None:
    """Read a Xing or Info tag that states frames and bytes."""
    tag = stream[tag_offset : tag_offset + 16]
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 16 or tag[7] & 3 != 3:
        return None
    return _Count(int.from_bytes(tag[8:12], "big"), int.from_bytes(tag[12:16], "big"))


def _read_vbri(stream: bytes) -> _Count | None:
    tag = stream[36:54]
    if tag[:4] != b"VBRI" or len(tag) < 18:
        return None
    return _Count(int.from_bytes(tag[14:18], "big"), int.from_bytes(tag[10:14], "big"))


def _refuse_cut(run: _FrameRun, count: _Count | None) -> None:
    if run.is_cut:
        raise AudioError("truncated (the last MP3 frame is incomplete)")
    if count is None:
        return
    missing = count.n_frames - (run.n_frames - 1)
    # Some encoders count their header frame as well, so one frame less proves nothing by itself.
    if missing > 1 or (missing == 1 and run.end - run.start < count.n_bytes):
        raise AudioError(f"truncated ({missing:,} of {count.n_frames:,} MP3 frames are missing)")


def _counting_header(frames: bytes, n_frames: int, key: int, tag_offset: int) -> bytes:
    """Build a frame of silence that carries a Xing tag with the right counts."""
    # 64 (MPEG-1) or 40 kbit/s: the tag fits at every sample rate
    key = key & 0xFF0C | 5 << 4
    header = bytearray(_FRAME_BYTES[key])
    header[:4] = 0xFF, key >> 8 | 1, key & 0xFF, frames[3]
    n_bytes = len(header) + len(frames)
    header[tag_offset : tag_offset + 16] = (
        b"Xing" + (3).to_bytes(4, "big") + n_frames.to_bytes(4, "big") + n_bytes.to_bytes(4, "big")
    )
    return bytes(header)


def countable_mp3(file: BinaryIO, offset: int) -> bytes | None:
    """Return the bare frames of an MP3 file behind a header that counts them right.

    Parameters
    ----------
    file : binary file
        Open for reading and seekable; its position afterwards is undefined.
    offset : int
        Bytes to pass over first: the length of a leading ID3v2 tag.

    Returns
    -------
    bytes or None
        An MP3 stream without tags; None where the file is no MP3 (Layer III at a stated bitrate).

    Raises
    ------
    AudioError
        It is truncated, damaged between frames, or longer than accepted.
    """
    file.seek(offset)
    data = file.read(2 * _SEARCH_BYTES)
    if _find_frames(data) is None:
        return None
    data += file.read(_MAX_BYTES)
    run = _find_frames(data)
    if run is None:
        return None
    check_not_too_long(run.n_frames * run.samples_per_frame / run.sample_rate)
    if _find_frames(data, run.end + 1) is not None:
        raise AudioError(f"damaged (not MP3 frames throughout: sync is lost at byte {offset + run.end:,})")
    stream = data[run.start : run.end]
    tag_offset = 4 + run.side_info_bytes
    xing = _read_xing(stream, tag_offset)
    _refuse_cut(run, xing or _read_vbri(stream))
    if xing is not None:  # kept, for the encoder delay that its LAME part states
        counts = (run.n_frames - 1).to_bytes(4, "big") + len(stream).to_bytes(4, "big")
        return stream[: tag_offset + 8] + counts + stream[tag_offset + 16 :]
    n_frames = run.n_frames
    if stream[tag_offset : tag_offset + 4] in (b"Xing", b"Info") or stream[36:40] == b"VBRI":
        stream = stream[_FRAME_BYTES[run.key] :]
        n_frames -= 1
    if not n_frames:
        raise AudioError("no samples")
    return _counting_header(stream, n_frames, run.key, tag_offset) + stream
