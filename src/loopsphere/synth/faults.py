"""The faults that can be planted, graded small, medium and large, and what is known of each planted one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from loopsphere.synth import damage, misfits
from loopsphere.synth.damage import Damage
from loopsphere.synth.render import render
from loopsphere.synth.spec import LoopSpec
from loopsphere.types import Float32Array

MAGNITUDES = ("small", "medium", "large")

Respec = Callable[[LoopSpec, float, np.random.Generator], LoopSpec]
Damager = Callable[[Float32Array, int, float, np.random.Generator], Damage]


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    Attributes
    ----------
    name : str
    attribute : str
        What a listener would say is odd.
    unit : str
        Of `levels`.
    levels : tuple of float, length 3
        Strength when small, medium and large.
    respec : callable or None
        How it changes the music; None if it cannot.
    damage : callable or None
        How it changes a recording; None if it needs the spec.
    """

    name: str
    attribute: str
    unit: str
    levels: tuple[float, float, float]
    respec: Respec | None = None
    damage: Damager | None = None


_KINDS = (
    FaultKind("wrong_instrument", "instrument", "distance", (1, 2, 3), misfits.wrong_instrument),
    FaultKind("wrong_register", "register", "semitones", (5, 12, 24), misfits.wrong_register),
    FaultKind("detuned", "tuning", "cents", (10, 50, 150), misfits.detuned, damage.detuned),
    FaultKind("tempo", "tempo", "share", (0.02, 0.1, 0.4), misfits.other_tempo, damage.other_tempo),
    FaultKind("off_grid", "timing", "s", (0.012, 0.035, 0.09), misfits.off_grid),
    FaultKind("other_scale", "harmony", "distance", (1, 2, 3), misfits.other_scale),
    FaultKind("other_density", "density", "share of steps", (0.15, 0.3, 0.45), misfits.other_density),
    FaultKind("other_genre", "genre", "distance", (1, 2, 3), misfits.other_genre),
    FaultKind("brightness", "brightness", "dB/octave", (1.5, 4, 8), damage=damage.brightness),
    FaultKind("distortion", "distortion", "dB", (6, 18, 36), damage=damage.distortion),
    FaultKind("clipping", "distortion", "share of samples", (0.002, 0.03, 0.2), damage=damage.clipping),
    FaultKind("bit_depth", "noise", "bits", (8, 5, 3), damage=damage.bit_depth),
    FaultKind("noise", "noise", "dB SNR", (40, 20, 6), damage=damage.noise),
    FaultKind("hum", "noise", "dB over the loop", (-36, -20, -6), damage=damage.hum),
    FaultKind("dropouts", "continuity", "share of the loop", (0.01, 0.05, 0.2), damage=damage.dropouts),
    FaultKind("silence_gap", "continuity", "share of the loop", (0.08, 0.25, 0.5), damage=damage.silence_gap),
    FaultKind("reversed", "direction", "share of the loop", (0.125, 0.5, 1.0), damage=damage.reversed_part),
    FaultKind("cut_tail", "seam", "share of the loop", (0.02, 0.1, 0.35), damage=damage.cut_tail),
    FaultKind(
        "wrong_sample_rate", "speed", "ratio", (48000 / 44100, 1.378125, 2.0), damage=damage.wrong_sample_rate
    ),
    FaultKind("phase_cancellation", "brightness", "gain", (0.3, 0.7, 0.98), damage=damage.phase_cancellation),
    FaultKind("speech", "content", "share of the power", (0.05, 0.4, 1.0), damage=damage.speech),
    FaultKind("environment", "content", "share of the power", (0.05, 0.4, 1.0), damage=damage.environment),
)

FAULTS: Mapping[str, FaultKind] = MappingProxyType({kind.name: kind for kind in _KINDS})


@dataclass(frozen=True)
class Fault:
    """What is known of one planted fault.

    Attributes
    ----------
    name : str
        A key of `FAULTS`.
    magnitude : str
        "small", "medium" or "large".
    value : float
        Strength in `unit`.
    unit : str
    attribute : str
        What a listener would say is odd.
    ranges_s : tuple of (start_s, end_s)
        Seconds of the faulty waveform in which it is heard; one range over all of it where it is everywhere.
    """

    name: str
    magnitude: str
    value: float
    unit: str
    attribute: str
    ranges_s: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Planted:
    """A loop with a fault.

    Attributes
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Within full scale if it was before; some faults change its length.
    sample_rate : int
        Hz; another one than was given where the fault is a wrong rate.
    fault : Fault
    """

    waveform: Float32Array
    sample_rate: int
    fault: Fault


def faults_for(spec: LoopSpec | None = None) -> tuple[str, ...]:
    """Return the names of the faults that can be planted into a spec, or, without one, into any waveform.

    Parameters
    ----------
    spec : LoopSpec, optional

    Returns
    -------
    names : tuple of str
        In the order of `FAULTS`; drums have no scale.
    """
    if spec is None:
        return tuple(kind.name for kind in _KINDS if kind.damage is not None)
    return tuple(kind.name for kind in _KINDS if not (kind.name == "other_scale" and spec.family == "drums"))


def plant(
    name: str,
    magnitude: str,
    *,
    spec: LoopSpec | None = None,
    waveform: Float32Array | None = None,
    sample_rate: int | None = None,
    seed: int = 0,
) -> Planted:
    """Plant one fault into a loop, given either as a spec or as a waveform.

    Parameters
    ----------
    name : str
        A key of `FAULTS`.
    magnitude : str
        "small", "medium" or "large".
    spec : LoopSpec, optional
        Is rendered; faults of the music change it first.
    waveform : float32 ndarray of shape (n_samples,), optional
        Mono; takes faults of the recording only.
    sample_rate : int, optional
        Hz, of `waveform`.
    seed : int
        Where, which way and with what: the same seed plants the same fault.

    Returns
    -------
    planted : Planted

    Raises
    ------
    ValueError
        The fault, its magnitude or their combination with the input does not exist; not exactly one of
        `spec` and `waveform` (with `sample_rate`) is given; the waveform is not mono, empty or silent.
    """
    if name not in FAULTS:
        raise ValueError(f"no fault is called {name!r}; there are " + ", ".join(FAULTS))
    if magnitude not in MAGNITUDES:
        raise ValueError(f"magnitude cannot be {magnitude!r}; it is one of " + ", ".join(MAGNITUDES))
    kind, value = FAULTS[name], FAULTS[name].levels[MAGNITUDES.index(magnitude)]
    rng = np.random.default_rng([seed, 17])
    if spec is not None and waveform is None:
        if name not in faults_for(spec):
            raise ValueError(f"{name} does not apply to {spec.instrument}")
        if kind.respec is not None:
            done = Damage(render(kind.respec(spec, value, rng)))
        else:
            done = _damage(kind, render(spec), spec.sample_rate, value, rng)
        rate = done.sample_rate or spec.sample_rate
    elif waveform is not None and sample_rate is not None and spec is None:
        done = _damage(kind, waveform, sample_rate, value, rng)
        rate = done.sample_rate or sample_rate
    else:
        raise ValueError("give either a spec, or a waveform and its sample_rate")
    ranges = done.ranges or ((0, len(done.waveform)),)
    ranges_s = tuple((start / rate, end / rate) for start, end in ranges)
    fault = Fault(name, magnitude, value, kind.unit, kind.attribute, ranges_s)
    return Planted(done.waveform, rate, fault)


def _damage(
    kind: FaultKind, waveform: Float32Array, sample_rate: int, value: float, rng: np.random.Generator
) -> Damage:
    if kind.damage is None:
        raise ValueError(f"{kind.name} is a fault of the music: it needs the spec of the loop")
    if waveform.ndim != 1 or not np.any(waveform):
        raise ValueError(f"a mono waveform with sound in it is needed, not one of shape {waveform.shape}")
    done = kind.damage(waveform.astype(np.float32, copy=False), sample_rate, value, rng)
    # A loop that was within full scale stays there; one that was not is left at its own peak.
    limit = max(1.0, float(np.max(np.abs(waveform))))
    gain = np.float32(min(1.0, limit / float(np.max(np.abs(done.waveform)))))
    return Damage(np.asarray(done.waveform * gain, dtype=np.float32), done.ranges, done.sample_rate)
