"""Reading `.npz` files that anyone may have made."""

from __future__ import annotations

import os
import zlib
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from loopsphere.errors import NothingUsableError, first_line


def read_npz(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an `.npz` file, none of them pickled.

    Raises
    ------
    NothingUsableError
        It is missing, damaged or something else.
    """
    shown = os.fspath(path)
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise NothingUsableError(f"{shown}: is a single array (.npy), and not an .npz of several")
        with found as file:
            return {name: file[name] for name in file.files}
    # RuntimeError, EOFError, zlib.error: a zip that tells lies of its parts
    except (OSError, ValueError, RuntimeError, EOFError, zlib.error, BadZipFile) as error:
        raise NothingUsableError(f"{shown}: cannot be read as .npz ({first_line(error)})") from error
