"""Scores that a library keeps, so that scanning an unchanged collection again learns nothing twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loopsphere.detect.registry import detector_spec
from loopsphere.learning.calibrate import CrossConformal
from loopsphere.library.records import RunRecord
from loopsphere.library.store import Library, now
from loopsphere.types import EmbedResult
from loopsphere.versions import code_digest, library_versions

_CODE_OF_SCORES = (
    "audio/tags.py",
    "collection/attributes.py",
    "detect",
    "explain",
    "learning",
)


def run_key(
    embedded: EmbedResult, groups: npt.NDArray[np.int64], detector: str, seed: int, device: str
) -> str:
    """Return a digest of all that decides the scores of a scan: data, settings, libraries, code."""
    # Tempo and key are taken from names and tags, which are not worth opening every file for.
    is_file_state_used = detector_spec(detector).uses_attributes
    settings = {
        "detector": detector,
        "seed": seed,
        "device": device,
        "versions": library_versions(),
        "code": code_digest(*_CODE_OF_SCORES),
        "shape": embedded.embedding.shape,
        "audio": embedded.audio_hashes,
        "files": [_file_state(path) for path in embedded.paths] if is_file_state_used else [],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(embedded.embedding).data)
    digest.update(np.ascontiguousarray(groups).data)
    return digest.hexdigest()


def _file_state(path: str) -> tuple[str, int, int]:
    try:
        status = Path(path).stat()
    except OSError:
        return Path(path).name, 0, 0
    return Path(path).name, status.st_size, status.st_mtime_ns


def recall_run(
    library: Library | None, key: str, groups: npt.NDArray[np.int64]
) -> tuple[CrossConformal, tuple[str, ...]] | None:
    """Return the scores and notes of an earlier scan of the same, or None.

    Parameters
    ----------
    library : Library or None
    key : str
        From `run_key`.
    groups : int64 ndarray of shape (n_loops,)
        Of the scan that asks.

    Returns
    -------
    found : (CrossConformal, tuple of str) or None
    """
    run = None if library is None else library.run(key)
    if run is None or len(run.anomaly_scores) != len(groups):
        return None
    return CrossConformal(run.anomaly_scores, run.p_values, len(np.unique(groups))), run.notes


def remember_run(
    library: Library | None,
    key: str,
    embedded: EmbedResult,
    crossed: CrossConformal,
    notes: tuple[str, ...],
    *,
    detector: str,
    seed: int,
) -> None:
    """Keep the scores of a scan, if there is a library that can be written."""
    if library is None:
        return
    run = RunRecord(
        key=key,
        made_at=now(),
        encoder=embedded.encoder,
        encoder_hash=embedded.encoder_hash,
        detector=detector,
        seed=seed,
        notes=notes,
        paths=tuple(map(library.stored_path, embedded.paths)),
        audio_hashes=embedded.audio_hashes,
        anomaly_scores=crossed.scores,
        p_values=crossed.p_values,
    )
    library.try_to(lambda: library.put_run(run))
