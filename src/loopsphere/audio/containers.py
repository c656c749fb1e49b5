"""Refuse files whose container promises more audio than they hold.

libsndfile and FFmpeg shorten a cut-off file silently to what is there, so the promise is read here: the size
of the audio chunk in WAV, RF64, W64, AIFF, CAF, AU, M4A and WMA, the length of the last frame in AAC, the
blocks of a MIDI sample dump, and the end-of-stream flag in Ogg. FLAC needs no look (its decoder reports a
cut), MP3 has `loopsphere.audio.mpeg`.

References
----------
EBU Tech 3306 (RF64); RFC 3533, section 6 (Ogg pages); ISO/IEC 14496-12, section 4.2 (boxes);
ISO/IEC 13818-7, section 6.2 (ADTS); Advanced Systems Format specification, section 2.2 (ASF objects).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from loopsphere.errors import AudioError

ASF_MAGIC = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_W64_MAGIC = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")

# Encoders that write to a pipe leave 0xFFFFFFFF, 0x7FFFFFFF or a little less where the size belongs.
_PLACEHOLDER_32_BIT = 0x7FFF_0000
_SDS_MAGIC = b"\xf0\x7e"
_SDS_HEADER_BYTES, _SDS_BLOCK_BYTES, _SDS_AUDIO_BYTES = 21, 127, 120
_SDS_MAX_BYTES = 1 << 25  # more than all that its header can count
_OGG_PAGE_HEADER_BYTES = 27
_OGG_MAX_PAGE_BYTES = 65_307
_OGG_END_OF_STREAM = 0x04


@dataclass(frozen=True)
class _ChunkLayout:
    """How a container lines up its chunks: identifier, size, content."""

    header: struct.Struct
    first_offset: int
    alignment: int
    size_counts_header: bool
    audio_id: bytes


_RIFF = _ChunkLayout(struct.Struct("<4sI"), 12, 2, False, b"data")
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RIFX": _ChunkLayout(struct.Struct(">4sI"), 12, 2, False, b"data"),
    b"RF64": _RIFF,
    b"FORM": _ChunkLayout(struct.Struct(">4sI"), 12, 2, False, b"SSND"),
    b"caff": _ChunkLayout(struct.Struct(">4sq"), 8, 1, False, b"data"),
    _W64_MAGIC: _ChunkLayout(struct.Struct("<16sQ"), 40, 8, True, _W64_DATA),
    ASF_MAGIC: _ChunkLayout(struct.Struct("<16sQ"), 0, 1, True, _ASF_DATA),
}


@dataclass(frozen=True)
class _AudioChunk:
    """Where the samples lie, and how many bytes of them the header promises (None: it does not say)."""

    offset: int
    promised_bytes: int | None


def _read_at(file: BinaryIO, offset: int, n_bytes: int) -> bytes:
    file.seek(offset)
    return file.read(n_bytes)


def _chunks(file: BinaryIO, layout: _ChunkLayout, n_file_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the identifier of each chunk, where its content begins, and the length that its header states."""
    n_header_bytes = layout.header.size
    offset = layout.first_offset
    while offset + n_header_bytes <= n_file_bytes:
        chunk_id, size = layout.header.unpack(_read_at(file, offset, n_header_bytes))
        n_bytes = size - n_header_bytes if layout.size_counts_header else size
        content = offset + n_header_bytes
        yield chunk_id, content, n_bytes
        if n_bytes < 0:
            return
        offset = content + n_bytes + -(content + n_bytes) % layout.alignment


def _find_audio_chunk(file: BinaryIO, layout: _ChunkLayout, n_file_bytes: int) -> _AudioChunk | None:
    for chunk_id, content, n_bytes in _chunks(file, layout, n_file_bytes):
        if chunk_id == layout.audio_id:
            is_placeholder = n_bytes <= 0 or (
                layout.header.size == _RIFF.header.size and n_bytes >= _PLACEHOLDER_32_BIT
            )
            return _AudioChunk(content, None if is_placeholder else n_bytes)
    return None


def _rf64_data_bytes(file: BinaryIO) -> int | None:
    """Return the 64-bit size of the data chunk, which RF64 keeps in its first chunk."""
    ds64 = _read_at(file, 12, 24)
    if len(ds64) < 24 or not ds64.startswith(b"ds64"):
        return None
    return int.from_bytes(ds64[16:24], "little") or None


def _refuse_missing(promised_bytes: int, present_bytes: int) -> None:
    missing = promised_bytes - present_bytes
    if missing > 0:
        raise AudioError(f"truncated ({missing:,} of {promised_bytes:,} bytes are missing)")


def _check_boxes(file: BinaryIO, n_file_bytes: int) -> None:
    """Check the top-level boxes of an M4A or MP4 file, any of which a cut can hit."""
    offset = 0
    names = set()
    while offset + 8 <= n_file_bytes:
        head = _read_at(file, offset, 16)
        size = int.from_bytes(head[:4], "big")
        names.add(head[4:8])
        if size == 0:  # the last box, as long as the file
            return
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:
            raise AudioError("truncated or damaged (a box of the MP4 container has no size)")
        _refuse_missing(size, n_file_bytes - offset)
        offset += size
    if b"moov" not in names or not names & {b"mdat", b"moof"}:
        raise AudioError("truncated (the MP4 container lacks its index or its audio)")


def _check_adts(file: BinaryIO, offset: int, n_file_bytes: int) -> None:
    """Walk the frames of a bare AAC stream; the last one may reach beyond the file."""
    while offset + 7 <= n_file_bytes:
        head = _read_at(file, offset, 7)
        n_frame_bytes = (head[3] & 0x03) << 11 | head[4] << 3 | head[5] >> 5
        if not is_adts(head) or n_frame_bytes < 7:
            return
        _refuse_missing(n_frame_bytes, n_file_bytes - offset)
        offset += n_frame_bytes


def _check_ogg(file: BinaryIO, n_file_bytes: int) -> None:
    tail = _read_at(file, max(0, n_file_bytes - 2 * _OGG_MAX_PAGE_BYTES), 2 * _OGG_MAX_PAGE_BYTES)
    page = tail[tail.rfind(b"OggS") :]
    if not page.startswith(b"OggS"):
        raise AudioError("truncated or damaged (no Ogg page near the end)")
    n_segments = page[26] if len(page) >= _OGG_PAGE_HEADER_BYTES else 0
    n_page_bytes = _OGG_PAGE_HEADER_BYTES + n_segments
    n_page_bytes += sum(page[_OGG_PAGE_HEADER_BYTES:n_page_bytes])
    if len(page) < n_page_bytes:
        raise AudioError("truncated (the last Ogg page is incomplete)")
    if not page[5] & _OGG_END_OF_STREAM:
        raise AudioError("truncated (the Ogg stream has no end)")


def _check_sds(file: BinaryIO) -> None:
    """Check the blocks of a MIDI sample dump; libsndfile prints bytes of one that does not begin as one."""
    data = _read_at(file, 0, _SDS_MAX_BYTES)
    _refuse_missing(_SDS_HEADER_BYTES, len(data))
    n_bits, n_samples = data[6], data[10] | data[11] << 7 | data[12] << 14
    n_bytes_each = -(-n_bits // 7)
    n_blocks = -(-n_samples // (_SDS_AUDIO_BYTES // n_bytes_each)) if 1 <= n_bytes_each <= 4 else 0
    _refuse_missing(_SDS_HEADER_BYTES + n_blocks * _SDS_BLOCK_BYTES, len(data))
    blocks = data[_SDS_HEADER_BYTES:]
    for place, byte in enumerate(_SDS_MAGIC):
        if set(blocks[place::_SDS_BLOCK_BYTES]) - {byte}:
            raise AudioError("damaged (a block of the sample dump does not begin as one)")


def is_adts(head: bytes) -> bool:
    """Return whether `head` starts with the sync word of a bare AAC (ADTS) frame."""
    return len(head) >= 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def is_mp4(head: bytes) -> bool:
    """Return whether `head` starts with a box of the MP4 family (M4A, MP4, MOV)."""
    return head[4:8] in (b"ftyp", b"moov", b"mdat")


def id3_bytes(head: bytes) -> int:
    """Return the length in bytes of the ID3v2 tag that `head` starts with, 0 for none."""
    if len(head) < 10 or not head.startswith(b"ID3"):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return size + (20 if head[5] & 0x10 else 10)


def check_complete(file: BinaryIO, offset: int = 0) -> None:
    """Refuse a file that holds less audio than its container promises.

    Parameters
    ----------
    file : binary file
        Open for reading and seekable; its position afterwards is undefined.
    offset : int
        Bytes to pass over first: the length of a leading ID3v2 tag.

    Raises
    ------
    AudioError
        The file is truncated; the reason says how much is missing where that is known.
    """
    n_file_bytes = file.seek(0, os.SEEK_END)
    head = _read_at(file, offset, 16)
    layout = _LAYOUTS.get(head) or _LAYOUTS.get(head[:4])
    if layout is not None:
        chunk = _find_audio_chunk(file, layout, n_file_bytes)
        if chunk is not None:
            promised = _rf64_data_bytes(file) if head.startswith(b"RF64") else chunk.promised_bytes
            if promised is not None:
                _refuse_missing(promised, n_file_bytes - chunk.offset)
    elif head.startswith(b".snd") and len(head) >= 12:
        start, promised = struct.unpack(">II", head[4:12])
        if promised < _PLACEHOLDER_32_BIT:
            _refuse_missing(promised, n_file_bytes - start)
    elif head[:2] == _SDS_MAGIC and head[3:4] == b"\x01":
        _check_sds(file)
    elif head.startswith(b"OggS"):
        _check_ogg(file, n_file_bytes)
    elif is_mp4(head):
        _check_boxes(file, n_file_bytes)
    elif is_adts(head):
        _check_adts(file, offset, n_file_bytes)


def wav_chunk(file: BinaryIO, chunk_id: bytes, n_bytes: int) -> bytes | None:
    """Read the beginning of a WAV file's chunk.

    Parameters
    ----------
    file : binary file
        Open for reading and seekable; its position afterwards is undefined.
    chunk_id : bytes, length 4
    n_bytes : int
        To read; a shorter chunk is passed over.

    Returns
    -------
    content : bytes, length n_bytes, or None
        None where there is no such chunk, or no WAV file.
    """
    n_file_bytes = file.seek(0, os.SEEK_END)
    head = _read_at(file, 0, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    for found_id, offset, n_stated in _chunks(file, _RIFF, n_file_bytes):
        if found_id == chunk_id and n_stated >= n_bytes:
            content = _read_at(file, offset, n_bytes)
            return content if len(content) == n_bytes else None
    return None


def unsized_wav_data(file: BinaryIO) -> int | None:
    """Find a WAV data chunk whose size was never filled in, although samples follow.

    Programs that write WAV to a pipe, or that were stopped, can leave 0 there; libsndfile then reads nothing.

    Parameters
    ----------
    file : binary file
        Open for reading and seekable; its position afterwards is undefined.

    Returns
    -------
    int or None
        Offset in bytes of the 32-bit size to be taken as unknown; None if there is no such chunk.
    """
    n_file_bytes = file.seek(0, os.SEEK_END)
    head = _read_at(file, 0, 12)
    if not head.startswith(b"RIFF"):
        return None
    chunk = _find_audio_chunk(file, _RIFF, n_file_bytes)
    if chunk is None or chunk.offset >= n_file_bytes or _read_at(file, chunk.offset - 4, 4) != bytes(4):
        return None
    riff_bytes = int.from_bytes(head[4:8], "little")
    # Where RIFF's own size reaches past the empty chunk, what follows are other chunks: it really is empty.
    if chunk.offset < 8 + riff_bytes < _PLACEHOLDER_32_BIT:
        return None
    return chunk.offset - 4
