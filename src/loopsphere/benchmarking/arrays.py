"""Reading `.npz` files that anyone may have made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from loopsphere.errors import NothingUsableError, first_line

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_UNFOLDS_TO = {ZIP_STORED: 1, ZIP_DEFLATED: 1032}
"""By how much these methods can shrink at most; a claim beyond is a lie."""
_BLOCK_BYTES = 1 << 20


def read_npz(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an `.npz` file, none of them pickled.

    Nothing is believed of what it says of itself: memory is taken for what it can hold.

    Raises
    ------
    NothingUsableError
        It is missing, damaged or something else.
    """
    shown = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            begins = file.read(len(np.lib.format.MAGIC_PREFIX))
            n_bytes = file.seek(0, os.SEEK_END)
        if begins == np.lib.format.MAGIC_PREFIX:
            raise NothingUsableError(f"{shown}: is a single array (.npy), and not an .npz of several")
        with ZipFile(path) as archive:
            return {
                info.filename.removesuffix(".npy"): _array(archive, info, n_bytes)
                for info in archive.infolist()
            }
    except NothingUsableError:
        raise
    # Whatever the readers of zips, of deflated data and of NumPy's headers trip over; the list is long.
    except Exception as error:
        raise NothingUsableError(f"{shown}: cannot be read as .npz ({first_line(error)})") from error


def _array(archive: ZipFile, info: ZipInfo, n_file_bytes: int) -> npt.NDArray[Any]:
    """Return one array, once its header and the zip's size of it agree on how many bytes it has."""
    most = _UNFOLDS_TO[info.compress_type] * min(info.compress_size, n_file_bytes)
    with archive.open(info) as member:
        shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(member)](member)
        n_bytes: int = dtype.itemsize
        for length in shape:
            n_bytes *= length
        fits = min(shape, default=0) >= 0 and n_bytes == info.file_size - member.tell() <= most
        if dtype.hasobject or not dtype.itemsize or not fits:
            raise ValueError(f"{info.filename} is no array of numbers or text, or is not whole")
        content, n_read = np.empty(n_bytes, dtype=np.uint8), 0
        while block := member.read(_BLOCK_BYTES):  # to the end, where the zip's own sum is compared
            content[n_read : n_read + len(block)] = np.frombuffer(block, dtype=np.uint8)
            n_read += len(block)
    if n_read != n_bytes:
        raise EOFError(f"{info.filename} ends too early")
    return content.view(dtype).reshape(shape, order="F" if is_fortran else "C")
