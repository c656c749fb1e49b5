"""Why a loop is odd: its attributes against those of the normal loops, as sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from loopsphere.explain.vocabulary import ATTRIBUTES, NEAREST, AttributeSpec
from loopsphere.types import Neighbour, Reason

FloatArray = npt.NDArray[np.float64]
Value = float | str | None

N_REASONS = 3
FEWEST_LOOPS = 5
"""Fewer normal loops tell nothing of what is usual; faults are still named."""
FEWEST_COMPARED = 20
"""Among fewer, to have more or less of something than all others says little."""
_FEWEST_WITH_A_WORD = 10
_USUAL = (0.05, 0.5, 0.95)
_USUAL_Z = 1.645
_LEAST_STRENGTH = 1.65
_FULL_STRENGTH_UP_TO = 4.0
_LEAST_SHARE_OF_A_WORD = 0.5
_WEIGHT_OF_A_SOUND = 2.0  # what a loop is tells more than how it is
_LEAST_KEY_CONFIDENCE = 0.3
_MUCH_FARTHER, _MOST_TIMES = 1.15, 10.0


@dataclass(frozen=True)
class Reference:
    """What is normal: the attributes of the normal loops.

    Attributes
    ----------
    values : mapping of str to float64 ndarray of shape (n_with_value,)
        Sorted, by attribute; loops without a value are left out.
    keys, sounds : mapping of str to int
        How many loops are in each key, and sound like each of `loopsphere.explain.sounds.SOUNDS`.
    n_loops : int
    """

    values: Mapping[str, FloatArray]
    keys: Mapping[str, int]
    sounds: Mapping[str, int]
    n_loops: int

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Value]]) -> Reference:
        """Collect the attributes of normal loops, one record by name for each.

        Parameters
        ----------
        records : sequence of mapping of str to float, str or None
            `Attributes.to_dict()` of each loop.

        Returns
        -------
        reference : Reference
        """
        values = {}
        for name in ATTRIBUTES:
            column = [record.get(name) for record in records]
            finite = [
                float(value) for value in column if isinstance(value, int | float) and math.isfinite(value)
            ]
            values[name] = np.sort(np.array(finite, dtype=np.float64))
        keys = Counter(
            str(record["key"])
            for record in records
            if record.get("key") is not None and _confidence(record) >= _LEAST_KEY_CONFIDENCE
        )
        sounds = Counter(str(record["sound"]) for record in records if record.get("sound") is not None)
        return cls(values, keys, sounds, len(records))

    def usual(self, name: str) -> tuple[float, float] | None:
        """Return between which values nine tenths of the normal loops lie; None where too few have one."""
        quantiles = self._quantiles[name]
        return None if quantiles is None else (quantiles[0], quantiles[2])

    def median(self, name: str) -> float | None:
        """Return the median of the normal loops; None where `usual` is."""
        quantiles = self._quantiles[name]
        return None if quantiles is None else quantiles[1]

    @cached_property
    def _quantiles(self) -> dict[str, tuple[float, float, float] | None]:
        """Low, middle and high by attribute; once for all the loops that are compared."""
        found: dict[str, tuple[float, float, float] | None] = dict.fromkeys(self.values)
        for name, values in self.values.items():
            if len(values) >= FEWEST_LOOPS:
                low, median, high = np.quantile(values, _USUAL)
                found[name] = float(low), float(median), float(high)
        return found


def top_reasons(
    record: Mapping[str, Value], reference: Reference, n_reasons: int = N_REASONS
) -> tuple[Reason, ...]:
    """Name what sets a loop apart.

    Parameters
    ----------
    record : mapping of str to float, str or None
        The loop's `Attributes.to_dict()`.
    reference : Reference
        Of the normal loops without this one and its duplicates.
    n_reasons : int, default=3
        At most.

    Returns
    -------
    reasons : tuple of Reason
        The strongest first, one for each side of the loop (`AttributeSpec.aspect`); none where nothing lies
        outside of what is usual.
    """
    candidates = [*_judged(record, reference), *_odd_words(record, reference)]
    best: dict[str, Reason] = {}
    for reason in sorted(candidates, key=lambda reason: -reason.strength):
        spec = ATTRIBUTES.get(reason.attribute)
        best.setdefault(spec.aspect if spec else reason.attribute, reason)
    return tuple(best.values())[:n_reasons]


def faults(record: Mapping[str, Value], reference: Reference) -> tuple[Reason, ...]:
    """Name everything audible that went wrong, the strongest first and each once; see `top_reasons`."""
    found = {reason.attribute: reason for reason in _judged(record, reference) if reason.kind == "fault"}
    if "dropout_s" in found and record["dropout_s"] == record.get("gap_s"):
        found.pop("gap_s", None)
    return tuple(sorted(found.values(), key=lambda reason: -reason.strength))


def with_nearest(
    reasons: tuple[Reason, ...], neighbours: Sequence[Neighbour], normal: FloatArray, sound: str | None = None
) -> tuple[Reason, ...]:
    """Add what an encoder hears of a loop as a whole, behind what can be named.

    Parameters
    ----------
    reasons : tuple of Reason
        From `top_reasons`.
    neighbours : sequence of Neighbour
        The normal loops that are nearest to the loop.
    normal : float64 ndarray of shape (n_loops,)
        Of each normal loop, the mean distance of its own neighbours; infinite where there are too few.
    sound : str or None
        What the loop sounds like; said where there are too few loops to compare with.

    Returns
    -------
    reasons : tuple of Reason
        With one about the neighbours, where these are farther than is usual and there is room for it; and
        where there is nothing else to say, with one of strength 0 that names the nearest.
    """
    if not neighbours or len(reasons) >= N_REASONS:
        return reasons
    distance = float(np.mean([neighbour.distance for neighbour in neighbours]))
    reference = Reference({NEAREST.name: np.sort(normal[np.isfinite(normal)])}, {}, {}, len(normal))
    z, usual = _z(NEAREST, distance, reference), reference.usual(NEAREST.name)
    nearest = PurePath(neighbours[0].path).name
    if (
        z is not None
        and usual is not None
        and z >= _LEAST_STRENGTH
        and _is_worth_a_word(NEAREST, distance, True, reference)
    ):
        others = f" and {len(neighbours) - 1} more" if len(neighbours) > 1 else ""
        verb = "are" if others else "is"
        far = _times_as_far(distance, usual[1])
        text, strength = f"{NEAREST.more}: {nearest}{others} {verb} {far}", _compressed(z)
    elif reasons:
        return reasons
    elif len(normal) < FEWEST_COMPARED:
        like = f"sounds like {sound}, most like" if sound else "most like"
        text, strength = f"{like} {nearest} (too few loops to say more)", 0.0
    else:
        text, strength = f"nothing stands out by itself; most like {nearest}", 0.0
    return (*reasons, Reason(NEAREST.name, "style", text, strength, distance, usual))


def _times_as_far(distance: float, usual: float) -> str:
    times = distance / max(usual, 1e-9)
    if times > _MOST_TIMES:
        return f"more than {_MOST_TIMES:.0f} times as far from it as is usual"
    return (
        f"{times:.1f} times as far from it as is usual"
        if times >= _MUCH_FARTHER
        else "farther from it than is usual"
    )


def _judged(record: Mapping[str, Value], reference: Reference) -> list[Reason]:
    found = []
    for name, spec in ATTRIBUTES.items():
        value = record.get(name)
        if spec.kind == "fact" or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        z = _z(spec, float(value), reference)
        if z is None or abs(z) < _LEAST_STRENGTH or not (spec.more if z > 0 else spec.less):
            continue
        if spec.kind == "style" and not _is_worth_a_word(spec, float(value), z > 0, reference):
            continue
        found.append(
            Reason(
                attribute=name,
                kind=spec.kind,
                text=_text(spec, float(value), z, reference) + _place(spec, record),
                strength=_compressed(abs(z)),
                value=float(value),
                usual=reference.usual(name),
            )
        )
    return found


def _is_worth_a_word(spec: AttributeSpec, value: float, is_more: bool, reference: Reference) -> bool:
    """Tell whether enough loops have the attribute, and the value can be told from what is usual."""
    usual = reference.usual(spec.name)
    if usual is None or len(reference.values[spec.name]) < FEWEST_COMPARED:
        return False
    return not spec.reads_as(value, usual[1] if is_more else usual[0])


def _z(spec: AttributeSpec, value: float, reference: Reference) -> float | None:
    """Return how many standard deviations a value lies from the normal median; None where that says nothing.

    The deviation is taken from the far quantile of the same side, so that skewed attributes and collections
    of several packs are judged by how far out their own loops go; it is never less than is noticeable.
    """
    usual = reference.usual(spec.name)
    if spec.kind == "fault":
        assert spec.audible is not None
        beyond = spec.scaled(value) - spec.scaled(spec.audible)
        if (beyond < 0) if spec.more else (beyond > 0):
            return None
        if usual is None:
            # With too few loops to compare with, what can be heard is a fault all the same.
            return math.copysign(_LEAST_STRENGTH + abs(beyond) / spec.noticeable, 1 if spec.more else -1)
    median = reference.median(spec.name)
    if usual is None or median is None:
        return None
    middle = spec.scaled(median)
    side = spec.scaled(usual[1]) - middle if spec.scaled(value) > middle else middle - spec.scaled(usual[0])
    deviation = max(side / _USUAL_Z, spec.noticeable / 2)
    n_values = len(reference.values[spec.name])
    # Quantiles of few loops are rough: believe them less.
    return (spec.scaled(value) - middle) / deviation * math.sqrt(n_values / (n_values + 5))


def _compressed(z: float) -> float:
    """Return the strength of a deviation: what is far out at all is not ranked by how far alone."""
    excess = max(z / _FULL_STRENGTH_UP_TO, 1.0)
    return min(z, _FULL_STRENGTH_UP_TO) + 2.0 * math.log2(excess)


def _text(spec: AttributeSpec, value: float, z: float, reference: Reference) -> str:
    usual = reference.usual(spec.name)
    between = spec.between(*usual, value) if usual is not None else ""
    if spec.sentence:
        return spec.sentence.format(value=spec.shown(value), usual=between)
    word = spec.more if z > 0 else spec.less
    compared = _compared(value, z > 0, reference.values[spec.name])
    return f"{word} than {compared} ({spec.label} {spec.shown(value)}, usually {between})"


def _place(spec: AttributeSpec, record: Mapping[str, Value]) -> str:
    at = record.get(spec.place)
    return (
        f", {spec.placed.format(at=ATTRIBUTES[spec.place].shown(at))}" if isinstance(at, int | float) else ""
    )


def _compared(value: float, is_more: bool, normal: FloatArray) -> str:
    """Say how many loops lie on the other side."""
    n_beyond = (
        int(np.searchsorted(normal, value, "left"))
        if is_more
        else len(normal) - int(np.searchsorted(normal, value, "right"))
    )
    if n_beyond == len(normal):
        return f"any of the {len(normal)} normal loops"
    # Rounded down: 100 % is said of no loop that others equal.
    return f"{math.floor(100 * n_beyond / len(normal))} % of your loops"


def _confidence(record: Mapping[str, Value]) -> float:
    confidence = record.get("key_confidence")
    return float(confidence) if isinstance(confidence, int | float) else 0.0


def _odd_words(record: Mapping[str, Value], reference: Reference) -> list[Reason]:
    """Name the key and the sound where most loops share one and this loop has another."""
    key = record.get("key") if _confidence(record) >= _LEAST_KEY_CONFIDENCE else None
    sentences = (
        ("key", key, reference.keys, 1.0, "in {value} where {share} are in {usual}"),
        (
            "sound",
            record.get("sound"),
            reference.sounds,
            _WEIGHT_OF_A_SOUND,
            "sounds like {value} where {share} sound like {usual}",
        ),
    )
    found = []
    for name, value, counts, weight, sentence in sentences:
        n_loops = sum(counts.values())
        if not isinstance(value, str) or n_loops < _FEWEST_WITH_A_WORD:
            continue
        usual, n_usual = max(counts.items(), key=lambda item: item[1])
        share, own_share = n_usual / n_loops, (counts.get(value, 0) + 1) / (n_loops + 1)
        z = math.sqrt(-2.0 * math.log(own_share))
        if value == usual or share < _LEAST_SHARE_OF_A_WORD or z < _LEAST_STRENGTH:
            continue
        text = sentence.format(value=value, share=_share(n_usual, n_loops), usual=usual)
        found.append(Reason(name, "style", text, _compressed(weight * z), value, None))
    return found


def _share(n_usual: int, n_loops: int) -> str:
    """Say how many loops share something, as certainly as their number allows."""
    if n_loops < FEWEST_COMPARED:
        return f"{n_usual} of {n_loops} normal loops"
    return f"{math.floor(100 * n_usual / n_loops)} % of your loops"
