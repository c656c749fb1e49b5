"""What every detector shares: scikit-learn's contract, and a state of plain numbers and arrays."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils._param_validation import Interval, InvalidParameterError
from sklearn.utils.validation import check_is_fitted, validate_data

from loopsphere.errors import ModelFileError

Float64Array = npt.NDArray[np.float64]
Header = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ArrayField:
    """A fitted array: attribute name, dtype, shape (a str names a length that may vary), and sign."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    positive: bool = False


@dataclass(frozen=True)
class NumberField:
    """A fitted number: attribute name, int or float, and the closed range it must lie in."""

    name: str
    kind: type[int] | type[float]
    low: float = -math.inf
    high: float = math.inf


Field = ArrayField | NumberField


class Detector(OutlierMixin, BaseEstimator):
    """Base of all detectors: scikit-learn's signs, and a state that needs no pickle.

    A subclass implements `_fit` and `_score`, and names its fitted attributes in `_state_fields`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
    }
    contamination: float
    offset_: float
    n_features_in_: int

    @abstractmethod
    def _fit(self, X: Float64Array, y: npt.NDArray[Any] | None) -> Float64Array | None:
        """Learn from finite `X` of at least two rows; set the attributes that `_state_fields` names.

        Returns the scores of `X`, where they are known by then.
        """

    @abstractmethod
    def _score(self, X: Float64Array) -> Float64Array:
        """Return one score a row of finite `X`, higher for more normal."""

    @abstractmethod
    def _state_fields(self) -> tuple[Field, ...]:
        """Name the fitted attributes that `_score` needs; may depend on the parameters."""

    def _check_state(self) -> None:
        """Raise ModelFileError where loaded attributes contradict each other beyond dtypes and shapes."""

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array of shape (n_loops, embedding_dim)
            At least two rows; any float or integer dtype, finite.
        y : None
            Ignored unless the class says otherwise.

        Returns
        -------
        self : Detector

        Raises
        ------
        ValueError
            A parameter is out of range, or `X` is not a finite 2-D array of at least two rows.
        """
        self._validate_params()
        checked: Float64Array = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        scores = self._fit(checked, None if y is None else np.asarray(y))
        if scores is None:
            scores = self._score(checked)
        self.offset_ = float(np.quantile(scores, self.contamination))
        return self

    def score_samples(self, X: npt.ArrayLike) -> Float64Array:
        """Return how normal each loop is.

        Parameters
        ----------
        X : array of shape (n_loops, embedding_dim)
            Any float or integer dtype, finite.

        Returns
        -------
        scores : float64 ndarray of shape (n_loops,)
            Higher is more normal. A loop that was fitted scores better than an equally normal new one.

        Raises
        ------
        ValueError
            `X` is not a finite 2-D array with as many columns as the fitted one, or its values are so
            large that the score overflows.
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        """
        check_is_fitted(self, "offset_")
        scores = self._score(validate_data(self, X, dtype=np.float64, reset=False))
        if not np.isfinite(scores).all():
            raise ValueError("X holds values too large to be scored: the distance overflows")
        return scores

    def decision_function(self, X: npt.ArrayLike) -> Float64Array:
        """Return `score_samples(X) - offset_`: float64 of shape (n_loops,), negative for odd loops."""
        scores = self.score_samples(X)
        return scores - self.offset_

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return int64 of shape (n_loops,): 1 for a normal loop, -1 for an odd one."""
        return np.where(self.decision_function(X) < 0, -1, 1).astype(np.int64)

    def get_state(self) -> tuple[Header, Arrays]:
        """Return what `from_state` needs to score exactly as this fitted detector does.

        Returns
        -------
        header : dict
            Fit for JSON: class, parameters (a `random_state` that is no integer becomes None), numbers.
        arrays : dict of str to ndarray
            The fitted arrays, numeric dtypes only.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        """
        check_is_fitted(self, "offset_")
        params = self.get_params(deep=False)
        if "random_state" in params and not isinstance(params["random_state"], int):
            params["random_state"] = None
        numbers: dict[str, float] = {"offset_": self.offset_}
        arrays: Arrays = {}
        for field in self._state_fields():
            if isinstance(field, NumberField):
                numbers[field.name] = field.kind(getattr(self, field.name))
            else:
                arrays[field.name] = np.ascontiguousarray(getattr(self, field.name), dtype=field.dtype)
        header = {
            "class": type(self).__name__,
            "params": {name: _plain(value) for name, value in params.items()},
            "n_features_in": int(self.n_features_in_),
            "numbers": numbers,
        }
        return header, arrays

    @classmethod
    def from_state(cls, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Rebuild a fitted detector from `get_state`; its scores are bit-identical.

        Parameters
        ----------
        header : dict
            As `get_state` returned it, possibly through JSON.
        arrays : dict of str to ndarray
            As `get_state` returned them. Not copied.

        Raises
        ------
        ModelFileError
            Anything is missing, extra, of the wrong type, dtype or shape, not finite or contradictory; the
            message names it. Nothing larger than the given arrays is allocated.
        """
        _expect(isinstance(header, Mapping) and isinstance(arrays, Mapping), "the state is not two mappings")
        expected = {"class", "params", "n_features_in", "numbers"}
        _expect_names("header", header, expected)
        _expect(header["class"] == cls.__name__, f"class is {header['class']!r}, not {cls.__name__!r}")
        detector = cls(**_checked_params(cls, header["params"]))
        dimension = _number(NumberField("n_features_in", int, 1, 2**31), header["n_features_in"])
        detector.n_features_in_ = int(dimension)
        detector._restore(header["numbers"], arrays)
        detector._check_state()
        return detector

    def _restore(self, numbers: object, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        fields = self._state_fields()
        number_fields = [NumberField("offset_", float), *(f for f in fields if isinstance(f, NumberField))]
        array_fields = [field for field in fields if isinstance(field, ArrayField)]
        _expect(isinstance(numbers, Mapping), "'numbers' is not a mapping")
        assert isinstance(numbers, Mapping)
        _expect_names("numbers", numbers, {field.name for field in number_fields})
        _expect_names("arrays", arrays, {field.name for field in array_fields})
        lengths: dict[str, int] = {"n_features": self.n_features_in_}
        for number in number_fields:
            setattr(self, number.name, _number(number, numbers[number.name]))
        for array in array_fields:
            setattr(self, array.name, _array(array, arrays[array.name], lengths))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ModelFileError(f"damaged detector: {message}")


def _expect_names(what: str, mapping: Mapping[str, Any], expected: set[str]) -> None:
    missing = sorted(expected - set(mapping))
    extra = sorted(map(repr, set(mapping) - expected))
    _expect(not missing, f"{what} lack {', '.join(missing)}")
    _expect(not extra, f"{what} hold unknown {', '.join(extra)}")


def _checked_params(cls: type[Detector], params: object) -> dict[str, Any]:
    _expect(isinstance(params, Mapping), "'params' is not a mapping")
    assert isinstance(params, Mapping)
    _expect_names("params", params, set(cls._get_param_names()))
    try:
        cls(**params)._validate_params()
    except InvalidParameterError as error:
        raise ModelFileError(f"damaged detector: {error}") from error
    return dict(params)


def _number(field: NumberField, value: object) -> float:
    kinds = (int,) if field.kind is int else (int, float)
    _expect(isinstance(value, kinds) and not isinstance(value, bool), f"{field.name} is not a number")
    assert isinstance(value, (int, float))
    inside = -(2.0**1023) < value < 2.0**1023 and field.low <= value <= field.high
    _expect(inside, f"{field.name} is {value!r}, out of range")
    return field.kind(value)


def _array(field: ArrayField, value: object, lengths: dict[str, int]) -> npt.NDArray[Any]:
    _expect(isinstance(value, np.ndarray), f"{field.name} is not an array")
    assert isinstance(value, np.ndarray)
    _expect(value.dtype == np.dtype(field.dtype), f"{field.name} is {value.dtype}, not {field.dtype}")
    wanted = tuple(
        size if isinstance(size, int) else lengths.get(size, value.shape[axis] if axis < value.ndim else 0)
        for axis, size in enumerate(field.shape)
    )
    _expect(value.shape == wanted, f"{field.name} has shape {value.shape}, not {wanted}")
    lengths.update(
        {size: value.shape[axis] for axis, size in enumerate(field.shape) if isinstance(size, str)}
    )
    _expect(bool(np.isfinite(value).all()), f"{field.name} is not finite")
    _expect(not field.positive or bool((value > 0).all()), f"{field.name} is not positive")
    return value


def standardisation(X: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the mean and the scale of each feature, with scale 1 for constant features.

    Parameters
    ----------
    X : float64 ndarray of shape (n_loops, embedding_dim)

    Returns
    -------
    mean, scale : float64 ndarray of shape (embedding_dim,)
        The scale is the population standard deviation. A feature whose deviation is rounding noise of its
        mean counts as constant.
    """
    mean = X.mean(axis=0)
    scale = X.std(axis=0)
    noise = 10 * np.finfo(np.float64).eps * np.abs(X).max(axis=0, initial=0.0)
    return mean, np.where(scale > noise, scale, 1.0)


def principal_axes(X: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the principal axes of centred data and the variances along them, largest first.

    Parameters
    ----------
    X : float64 ndarray of shape (n_loops, embedding_dim)
        Centred.

    Returns
    -------
    axes : float64 ndarray of shape (rank, embedding_dim)
        Orthonormal rows; axes without variance beyond rounding noise are left out, so rank may be 0.
    variances : float64 ndarray of shape (rank,)
        Population variances.
    """
    n_loops, dimension = X.shape
    if n_loops > dimension:  # the covariance is then the smaller problem
        values, vectors = np.linalg.eigh(X.T @ X / n_loops)
        variances, axes = values[::-1], vectors.T[::-1]
        noise = np.finfo(np.float64).eps * dimension
    else:
        _, singular, axes = np.linalg.svd(X, full_matrices=False)
        variances = singular**2 / n_loops
        noise = (np.finfo(np.float64).eps * dimension) ** 2
    kept = variances > noise * variances.max(initial=0.0)
    return np.ascontiguousarray(axes[kept]), variances[kept]


def l2_normalised(X: Float64Array) -> Float64Array:
    """Return the rows of `X` scaled to unit length; rows of zeros stay zero. Same shape and dtype."""
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norm > 0, norm, 1.0)
