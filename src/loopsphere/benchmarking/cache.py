"""Planted collections kept on disk: rendering, embedding and measuring them takes most of the time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from loopsphere.benchmarking.arrays import read_npz
from loopsphere.errors import NothingUsableError
from loopsphere.evaluate.planted import PlantedSet
from loopsphere.explain import ATTRIBUTES_VERSION
from loopsphere.files import whole_file
from loopsphere.learning.features import JUDGED
from loopsphere.synth import FAULTS
from loopsphere.versions import library_versions


def cached_planted(folder: Path, recipe: Mapping[str, object], make: Callable[[], PlantedSet]) -> PlantedSet:
    """Return the planted set that a recipe stands for, from the folder if it is there.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    recipe : mapping
        All that decides the features, fit for JSON; the faults' strengths and the libraries' versions are
        added. Empty the folder after changing how loops are rendered.
    make : callable
        Renders and embeds; called where the folder does not hold the set. Its loops must stand alone.

    Returns
    -------
    PlantedSet
    """
    faults = {name: kind.levels for name, kind in FAULTS.items()}
    recipe = {
        **recipe,
        "faults": faults,
        "attributes": [ATTRIBUTES_VERSION, *(spec.name for spec in JUDGED)],
        "versions": library_versions(),
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    path = folder / f"planted-{digest[:16]}.npz"
    # Not there yet, or damaged: it is made, and put in its place.
    with suppress(NothingUsableError, KeyError, ValueError):
        return _unpacked(read_npz(path))
    planted = make()
    with whole_file(path) as file:
        np.savez(file, **_packed(planted))  # type: ignore[arg-type]
    return planted


def _packed(planted: PlantedSet) -> dict[str, np.ndarray]:
    assert planted.groups is None
    packed: dict[str, np.ndarray] = {
        "features": planted.features,
        "faults": np.array([fault for fault, _ in planted.versions]),
        "magnitudes": np.array([magnitude for _, magnitude in planted.versions]),
    }
    for i, (key, version) in enumerate(planted.versions.items()):
        packed[f"versions_{i}"], packed[f"sources_{i}"] = version, planted.sources[key]
    return packed


def _unpacked(arrays: Mapping[str, np.ndarray]) -> PlantedSet:
    keys = [(str(a), str(b)) for a, b in zip(arrays["faults"], arrays["magnitudes"], strict=True)]
    return PlantedSet(
        features=arrays["features"],
        groups=None,
        sources={key: arrays[f"sources_{i}"] for i, key in enumerate(keys)},
        versions={key: arrays[f"versions_{i}"] for i, key in enumerate(keys)},
    )
