"""What detectors see of a collection: embeddings, and for those that use them what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from loopsphere.collection.attributes import Record, attributes_of
from loopsphere.detect.registry import detector_spec
from loopsphere.explain import ATTRIBUTES
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.types import EmbedResult, Float32Array

# How a file is stored says nothing of the loop in it.
JUDGED = tuple(spec for spec in ATTRIBUTES.values() if spec.kind != "fact" and spec.aspect != "format")
N_ATTRIBUTES = len(JUDGED)


def measured_for(
    embedded: EmbedResult, detector: str, *, library: Library | None = None, progress: Progress = silent
) -> list[Record | None] | None:
    """Measure loops if a detector uses attributes; then their files are read again.

    Parameters
    ----------
    embedded : EmbedResult
    detector : str
        As for `loopsphere.detect.make_detector`.
    library, progress
        As for `loopsphere.collection.attributes.attributes_of`.

    Returns
    -------
    measured : list of dict or None, or None
        As `loopsphere.collection.attributes.attributes_of` returns; None where the detector uses none.

    Raises
    ------
    UnknownNameError
        There is no such detector.
    """
    if not detector_spec(detector).uses_attributes:
        return None
    return attributes_of(embedded.paths, embedded.audio_hashes, library=library, progress=progress)


def features_of(embedded: EmbedResult, measured: Sequence[Record | None] | None) -> Float32Array:
    """Return what a detector judges loops by.

    Parameters
    ----------
    embedded : EmbedResult
    measured : sequence of dict or None, or None
        As `measured_for` returns.

    Returns
    -------
    features : float32 ndarray of shape (n_loops, n_features)
        The embeddings, followed by `attribute_columns` of what was measured.
    """
    if measured is None:
        return embedded.embedding
    return np.hstack([embedded.embedding, attribute_columns(measured)])


def attribute_columns(records: Sequence[Mapping[str, float | str | None] | None]) -> Float32Array:
    """Return attributes as `loopsphere.detect.WithAttributes` takes them.

    Parameters
    ----------
    records : sequence of mapping of str to float, str or None, or of None
        `Attributes.to_dict()` of each loop; None where it could not be measured.

    Returns
    -------
    columns : float32 ndarray of shape (n_loops, 2 * N_ATTRIBUTES)
        The values of `JUDGED` on the scales on which differences are judged, in units of what is just
        noticeable, then 1 where a value is known and 0 where it is not.
    """
    columns = np.zeros((len(records), 2 * N_ATTRIBUTES), dtype=np.float32)
    for row, record in enumerate(records):
        for at, spec in enumerate(JUDGED):
            value = None if record is None else record.get(spec.name)
            if isinstance(value, int | float) and math.isfinite(value):
                columns[row, at] = spec.scaled(float(value)) / spec.noticeable
                columns[row, N_ATTRIBUTES + at] = 1.0
    return columns
