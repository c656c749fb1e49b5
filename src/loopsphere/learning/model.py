"""A learnt collection: the detector, its calibration, and the encoder it belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopsphere.detect import detector_from_state
from loopsphere.errors import ModelFileError, first_line
from loopsphere.learning.calibrate import (
    check_alpha,
    conformal_p_values,
    conformal_threshold,
    smallest_alpha,
    too_few_note,
)
from loopsphere.learning.model_file import ModelFile, read_model_file, write_model_file
from loopsphere.types import Float32Array, SkippedFile, finite_or_none
from loopsphere.versions import library_versions

if TYPE_CHECKING:
    from loopsphere.detect import Detector

_DETECTOR = "detector."
_SCORES = "calibration_scores"
_GROUPS = "calibration_groups"
_FIELDS: dict[str, type] = {
    "encoder": str,
    "encoder_hash": str,
    "embedding_dim": int,
    "detector": str,
    "alpha": float,
    "seed": int,
    "versions": dict,
    "notes": list,
    "detector_state": dict,
}


@dataclass(frozen=True)
class Judgement:
    """Scores of new loops.

    Attributes
    ----------
    anomaly_scores, p_values : float64 ndarray of shape (n_loops,)
    threshold : float
        The anomaly score from which a loop is odd; infinite where `alpha` cannot be promised.
    """

    anomaly_scores: npt.NDArray[np.float64]
    p_values: npt.NDArray[np.float64]
    threshold: float


@dataclass(frozen=True)
class Model:
    """What `fit` learnt from a collection.

    Attributes
    ----------
    encoder, encoder_hash : str
        Name, and digest of the weights and settings that made the embeddings.
    embedding_dim : int
    detector_name : str
        As the commands spell it.
    detector : Detector
        Fitted on the whole collection; it may judge attributes beside the embeddings.
    calibration_scores : float64 ndarray of shape (n_loops,)
        Anomaly score of each loop of the collection by a detector that never saw it.
    calibration_groups : int64 ndarray of shape (n_loops,)
        Which of them belong together.
    alpha : float
        The false-alarm rate asked for at `fit`; `score` may ask for another.
    seed : int
    versions : mapping of str to str
        Of the libraries at `fit`.
    notes : tuple of str
        What the reader must know of the fit, such as a network that learnt nothing.
    skipped : tuple of SkippedFile
        What `fit` could not use; not kept in the file.
    """

    encoder: str
    encoder_hash: str
    embedding_dim: int
    detector_name: str
    detector: Detector
    calibration_scores: npt.NDArray[np.float64]
    calibration_groups: npt.NDArray[np.int64]
    alpha: float
    seed: int
    versions: Mapping[str, str] = field(default_factory=library_versions)
    notes: tuple[str, ...] = ()
    skipped: tuple[SkippedFile, ...] = ()

    @property
    def n_groups(self) -> int:
        """Groups of the calibration loops, the number that false-alarm rates stand on."""
        return len(np.unique(self.calibration_groups))

    def check_encoder(self, encoder_hash: str, told: str) -> None:
        """Refuse embeddings that another encoder makes or made than the model's.

        Parameters
        ----------
        encoder_hash : str
            Empty where it is not known.
        told : str
            What goes before it, such as "'bundled' here is".

        Raises
        ------
        ModelFileError
            It is another than the model's.
        """
        if encoder_hash != self.encoder_hash:
            raise ModelFileError(
                f"this model was made with encoder {self.encoder!r} ({self.encoder_hash[:12]}), but "
                f"{told} {encoder_hash[:12] or 'one that is not named'}; "
                "fit again, or give the encoder it was made with"
            )

    def judge(self, features: Float32Array, alpha: float) -> Judgement:
        """Score new loops.

        Parameters
        ----------
        features : float32 ndarray of shape (n_loops, n_features)
            What the detector judges: embeddings or, where it uses attributes too, what
            `loopsphere.learning.features.features_of` returns.
        alpha : float
            In (0, 1).

        Returns
        -------
        judgement : Judgement

        Raises
        ------
        ModelFileError
            The detector uses attributes, and only embeddings are given; or its scores overflow.
        """
        n_features = self.detector.n_features_in_
        if features.shape[1] != n_features:
            raise ModelFileError(
                f"this model ({self.detector_name}) judges {n_features} numbers a loop, and here "
                f"{features.shape[1]} are known: where there are embeddings only, fit without '+attributes'"
            )
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # which the detector looks for
                scores = -self.detector.score_samples(features)
        except ValueError as error:
            raise ModelFileError(
                "the model, or what it is to judge, holds numbers too large to be scored; "
                f"fit again, embed again ({first_line(error)})"
            ) from error
        return Judgement(
            scores,
            conformal_p_values(scores, self.calibration_scores, self.calibration_groups),
            conformal_threshold(self.calibration_scores, alpha, self.calibration_groups),
        )

    def caveats(self, alpha: float) -> tuple[str, ...]:
        """Return what the reader must know: poor fits, and a collection too small for `alpha`."""
        too_few = too_few_note(self.n_groups, alpha, "different loops")
        return (*self.notes, *([too_few] if too_few else []))

    def summary(self) -> dict[str, Any]:
        """Return what people ask about a model, ready for JSON."""
        return {
            "encoder": self.encoder,
            "encoder_hash": self.encoder_hash,
            "embedding_dim": self.embedding_dim,
            "detector": self.detector_name,
            "n_loops": len(self.calibration_scores),
            "n_different_loops": self.n_groups,
            "alpha": self.alpha,
            "smallest_alpha": smallest_alpha(self.n_groups),
            "threshold": finite_or_none(
                conformal_threshold(self.calibration_scores, self.alpha, self.calibration_groups)
            ),
            "seed": self.seed,
            "versions": dict(self.versions),
            "notes": list(self.notes),
            "skipped": [asdict(file) for file in self.skipped],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, conventionally `*.loopsphere`.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        state, arrays = self.detector.get_state()
        header = {
            "encoder": self.encoder,
            "encoder_hash": self.encoder_hash,
            "embedding_dim": self.embedding_dim,
            "detector": self.detector_name,
            "alpha": self.alpha,
            "seed": self.seed,
            "versions": dict(self.versions),
            "notes": list(self.notes),
            "detector_state": state,
        }
        tensors = {_DETECTOR + name: array for name, array in arrays.items()}
        tensors[_SCORES] = self.calibration_scores
        tensors[_GROUPS] = self.calibration_groups
        write_model_file(path, ModelFile(header, tensors))


def admitted(model: Model | str | os.PathLike[str], alpha: float | None) -> tuple[Model, float]:
    """Return a model, read if it is a file, and the false-alarm rate to judge at.

    Parameters
    ----------
    model : Model or path
    alpha : float or None
        None is the model's own.

    Raises
    ------
    ModelFileError, UnknownNameError
        As for `load_model`.
    CalibrationError
        `alpha` is not in (0, 1).
    """
    learnt = model if isinstance(model, Model) else load_model(model)
    rate = learnt.alpha if alpha is None else alpha
    check_alpha(rate)
    return learnt, rate


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model that `Model.save` wrote; its scores are bit-identical.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFileError
        The file is missing, foreign or damaged; the message says which and names the part.
    UnknownNameError
        It was made with a detector that this version does not have.
    """
    content = read_model_file(path)
    header, shown = content.header, os.fspath(path)
    for name, kind in _FIELDS.items():
        if type(header.get(name)) is not kind:
            raise ModelFileError(f"{shown}: damaged ({name} is missing or not {kind.__name__})")
    arrays = dict(content.arrays)
    if not 0.0 < header["alpha"] < 1.0:
        raise ModelFileError(f"{shown}: damaged (alpha is {header['alpha']})")
    scores = _take_vector(arrays, _SCORES, np.float64, shown)
    groups = _take_vector(arrays, _GROUPS, np.int64, shown)
    if not all(isinstance(version, str) for version in header["versions"].values()):
        raise ModelFileError(f"{shown}: damaged (versions are not text)")
    if len(scores) != len(groups):
        raise ModelFileError(f"{shown}: damaged ({_SCORES} and {_GROUPS} differ in length)")
    state = {name.removeprefix(_DETECTOR): array for name, array in arrays.items()}
    try:
        detector = detector_from_state(header["detector"], header["detector_state"], state)
    except ModelFileError as error:
        raise ModelFileError(f"{shown}: {error}") from error
    n_attributes = detector.get_params(deep=False).get("n_attributes", 0)
    if detector.n_features_in_ != header["embedding_dim"] + 2 * n_attributes:
        raise ModelFileError(
            f"{shown}: damaged (the detector does not take {header['embedding_dim']} columns)"
        )
    return Model(
        encoder=header["encoder"],
        encoder_hash=header["encoder_hash"],
        embedding_dim=header["embedding_dim"],
        detector_name=header["detector"],
        detector=detector,
        calibration_scores=scores,
        calibration_groups=groups,
        alpha=header["alpha"],
        seed=header["seed"],
        versions=header["versions"],
        notes=tuple(map(str, header["notes"])),
    )


def _take_vector(
    arrays: dict[str, npt.NDArray[Any]], name: str, dtype: type[np.generic], shown: str
) -> npt.NDArray[Any]:
    array = arrays.pop(name, None)
    if array is None or array.ndim != 1 or array.dtype != dtype or not len(array):
        raise ModelFileError(f"{shown}: damaged ({name} is missing or misshapen)")
    if not np.isfinite(array).all():
        raise ModelFileError(f"{shown}: damaged ({name} is not finite)")
    return array
