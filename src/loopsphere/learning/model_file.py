"""The `.loopsphere` file: a zip of a JSON header and a safetensors file, checked before it is believed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loopsphere.errors import ModelFileError
from loopsphere.files import whole_file

FORMAT = "loopsphere-model"
FORMAT_VERSION = 2
_WITHOUT_CHECKSUMS = 1
"""The version before, which is read as well."""
_CHECKSUMS = "checksums"
_HEADER = "model.json"
_ARRAYS = "arrays.safetensors"
_MAX_BYTES = {_HEADER: 16 * 2**20, _ARRAYS: 4 * 2**30}


@dataclass(frozen=True)
class ModelFile:
    """What a `.loopsphere` file holds.

    Attributes
    ----------
    header : dict
        Plain JSON values.
    arrays : dict of str to ndarray
        Numeric arrays.
    """

    header: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]


def write_model_file(path: str | os.PathLike[str], content: ModelFile) -> None:
    """Write a model; the same content gives the same bytes.

    Parameters
    ----------
    path : str or PathLike
        An existing file is replaced once the new one is whole.
    content : ModelFile

    Raises
    ------
    OSError
        The file cannot be written.
    """
    from safetensors.numpy import save

    header = {"format": FORMAT, "format_version": FORMAT_VERSION, **content.header}
    arrays = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    header[_CHECKSUMS] = _checksums(header, arrays)
    parts = {
        _HEADER: json.dumps(header, indent=1, sort_keys=True, allow_nan=False).encode(),
        _ARRAYS: save(arrays),
    }
    with whole_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            # A fixed date: the file tells the model, not the moment.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model, trusting nothing about the file.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    content : ModelFile

    Raises
    ------
    ModelFileError
        The file is missing, is not a loopsphere model, is damaged, absurdly large or of a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    shown = os.fspath(path)
    if Path(path).is_dir():
        raise ModelFileError(f"{shown}: is a folder, where a model made by `loopsphere fit` is expected")
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            data = {name: _read_part(archive, name, shown) for name in (_HEADER, _ARRAYS)}
        header = json.loads(data[_HEADER], parse_float=_finite, parse_constant=_finite)
        arrays = load(data[_ARRAYS])
        sums = _checksums(header, arrays) if isinstance(header, dict) else {}
    except FileNotFoundError:
        raise ModelFileError(f"{shown}: there is no such file; `loopsphere fit` makes one") from None
    except OSError as error:
        raise ModelFileError(f"{shown}: cannot be read ({error.strerror or error})") from error
    # RuntimeError: a part that claims to be encrypted, of a later zip, or JSON nested without end
    except (zipfile.BadZipFile, RuntimeError, EOFError) as error:
        raise ModelFileError(
            f"{shown}: not a loopsphere model, as `loopsphere fit` makes, or damaged ({error})"
        ) from error
    except (ValueError, SafetensorError) as error:
        raise ModelFileError(f"{shown}: damaged ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"{shown}: not a loopsphere model")
    format_version = header.get("format_version")
    if format_version not in (_WITHOUT_CHECKSUMS, FORMAT_VERSION):
        raise ModelFileError(
            f"{shown}: written in format {format_version!r}, this loopsphere reads up to "
            f"{FORMAT_VERSION}; update loopsphere or fit again"
        )
    if format_version != _WITHOUT_CHECKSUMS or _CHECKSUMS in header:
        noted = header.pop(_CHECKSUMS, None)
        for name, digest in sums.items():
            if not isinstance(noted, dict) or noted.get(name) != digest:
                raise ModelFileError(f"{shown}: damaged ({name} is not what was written); fit again")
    return ModelFile(header, arrays)


def _checksums(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
    """Return a SHA-256 of the rest of the header, and of each array with its dtype and shape."""
    rest = {name: value for name, value in header.items() if name != _CHECKSUMS}
    # As JSON reads it again; text that is no Unicode is an error here.
    text = json.dumps(json.loads(json.dumps(rest)), sort_keys=True, ensure_ascii=False, allow_nan=False)
    sums = {_HEADER: hashlib.sha256(text.encode()).hexdigest()}
    for name, array in arrays.items():
        digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
        sums[name] = digest.hexdigest()
    return sums


def _finite(text: str) -> float:
    """Return a number of the header; one such as 1e999 could not be written again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _read_part(archive: zipfile.ZipFile, name: str, shown: str) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ModelFileError(f"{shown}: not a loopsphere model ({name} is missing)") from None
    # Stored, not deflated, so that a small file cannot unfold into a huge one.
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > _MAX_BYTES[name]:
        raise ModelFileError(
            f"{shown}: not a loopsphere model ({name} has an unexpected size or compression)"
        )
    return archive.read(info)
