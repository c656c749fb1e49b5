"""Settings that came from a file, made into a config that can be built."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loopsphere.errors import CheckpointError
from loopsphere.models.htsat import HTSATConfig

_MAX_SIDE = 4096  # pixels, channels; a config beyond any HTS-AT is damage or malice, not a model
_MAX_BLOCKS = 128


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises
    ------
    CheckpointError
        The file is missing, is not JSON or is not an object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read, and the checkpoint needs it: {error}") from error
    return parse_object(text, str(path))


def parse_object(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object; `what` names it in the error.

    Raises
    ------
    CheckpointError
        It is not JSON or not an object.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{what} is not a JSON object")
    return value


def checked_config(fields: Mapping[str, Any], path: Path) -> HTSATConfig:
    """Make a config of values that came from a file.

    Parameters
    ----------
    fields : mapping of str to object
        Fields of `HTSATConfig`; lists stand for tuples, and a list of equal sides for that side.
    path : Path
        Named in the error.

    Returns
    -------
    HTSATConfig

    Raises
    ------
    CheckpointError
        No HTS-AT can be built of the values, or only an absurdly large one.
    """
    values = dict(fields)
    for name in ("patch_size", "patch_stride", "image_size"):
        if isinstance(side := values.get(name), list):
            values[name] = side[0] if len(set(side)) == 1 else side
    for name in ("depths", "n_heads"):
        if isinstance(sides := values.get(name), list):
            values[name] = tuple(sides)
    config = HTSATConfig(**values)
    sides = (config.image_size, config.n_mels, config.patch_size, config.patch_stride, config.width)
    counts = (
        *sides,
        config.window_size,
        config.fusion_reduction,
        *_tuple(config.depths),
        *_tuple(config.n_heads),
    )
    valid = (
        all(type(count) is int and 0 < count <= _MAX_SIDE for count in counts)
        and type(config.fusion) is bool
        and isinstance(config.mlp_ratio, int | float)
        and 0 < config.mlp_ratio <= 16
        and 0 < len(_tuple(config.depths)) == len(_tuple(config.n_heads)) <= 8
        and sum(config.depths) <= _MAX_BLOCKS
    )
    if not valid or not _fits_together(config):
        raise CheckpointError(f"{path} describes no HTS-AT that can be built: {config}")
    return config


def _tuple(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (None,)


def _fits_together(config: HTSATConfig) -> bool:
    """Whether image, patches, stages, windows and heads divide each other."""
    grid = config.image_size // config.patch_stride
    sides = [grid // 2**stage for stage in range(len(config.depths))]
    return (
        config.image_size % config.n_mels == 0
        and config.image_size % config.patch_stride == 0
        and config.patch_size >= config.patch_stride
        and config.width >= config.fusion_reduction
        and grid % 2 ** (len(config.depths) - 1) == 0
        and sides[-1] % config.freq_ratio == 0
        and all(side % min(config.window_size, side) == 0 for side in sides)
        and all(config.width * 2**stage % heads == 0 for stage, heads in enumerate(config.n_heads))
    )
