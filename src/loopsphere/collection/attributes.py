"""Attributes of a collection's loops, measured by all cores and remembered by audio hash."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loopsphere.audio import recording_again
from loopsphere.audio.tags import read_music_tags
from loopsphere.errors import AudioError, surprise
from loopsphere.explain import (
    ATTRIBUTES_VERSION,
    Attributes,
    Hints,
    hints_from,
    measure,
    with_hints,
)
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.room import ROOM
from loopsphere.threads import n_cores, workers

_SAVE_EVERY = 200

Record = dict[str, float | str | None]


def attributes_of(
    paths: Sequence[str],
    audio_hashes: Sequence[str],
    *,
    library: Library | None = None,
    progress: Progress = silent,
) -> list[Record | None]:
    """Measure loops, those that the library does not know yet, in parallel.

    Parameters
    ----------
    paths, audio_hashes : sequence of str
    library : Library or None
        Gets what is measured, some hundred at a time, so that an interruption loses little.
    progress : callable
        Called as `progress(what, n_done, n_total)`.

    Returns
    -------
    records : list of dict or None
        `Attributes.to_dict()` with what name and tags say; None where the file has become unreadable
        or holds another loop by now.
    """
    heard = _sounds_of(paths, audio_hashes, library, progress)
    with ThreadPoolExecutor(min(8, n_cores())) as pool:
        hints = list(pool.map(lambda path, of: None if of is None else _hints(path), paths, heard))
    return [
        None if of is None or hint is None else with_hints(of, hint).to_dict()
        for of, hint in zip(heard, hints, strict=True)
    ]


def _sounds_of(
    paths: Sequence[str], audio_hashes: Sequence[str], library: Library | None, progress: Progress
) -> list[Attributes | None]:
    known: dict[str, Attributes | None] = {}
    if library is not None:
        remembered = library.attributes(ATTRIBUTES_VERSION, set(audio_hashes))
        known = {key: Attributes.from_dict(of) for key, of in remembered.items()}
    missing = {key: path for path, key in zip(paths, audio_hashes, strict=True) if key not in known}
    unsaved: dict[str, Record] = {}
    # Each worker has a loop of its own: threads of one product would only wait for each other.
    with workers() as pool:
        for n_done, (key, found) in enumerate(
            zip(missing, pool.map(_measured, missing.values(), missing), strict=True)
        ):
            progress("measuring loops", n_done, len(missing))
            known[key] = found
            if found is not None:
                unsaved[key] = found.to_dict()
            if len(unsaved) == _SAVE_EVERY:
                _remember(library, unsaved)
                unsaved = {}
    _remember(library, unsaved)
    if missing:
        progress("measuring loops", len(missing), len(missing))
    return [known[key] for key in audio_hashes]


def _remember(library: Library | None, measured: dict[str, Record]) -> None:
    if library is not None and measured:
        library.try_to(lambda: library.put_attributes(ATTRIBUTES_VERSION, measured))


def _measured(path: str, audio_hash: str) -> Attributes | None:
    try:
        with ROOM.one_loop():
            # What the file holds by now is remembered under no other loop's hash. Without a name here, so
            # that `measure` can let go of the channels of a long one.
            return measure(recording_again(path, audio_hash))
    except AudioError:  # it was readable when it was embedded
        return None
    except Exception as error:
        warnings.warn(f"{path} was not measured: {surprise(error)}", stacklevel=1)
        return None


def _hints(path: str) -> Hints:
    tags = read_music_tags(path)
    return hints_from(Path(path).stem, tempo_tag=tags.tempo_bpm, key_tag=tags.key)
