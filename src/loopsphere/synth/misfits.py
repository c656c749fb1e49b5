"""Faults of the music: each turns the spec of a loop into that of one which does not belong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from loopsphere.synth.instruments import INSTRUMENTS
from loopsphere.synth.patterns import play, styles_of
from loopsphere.synth.spec import SCALES, LoopSpec

# The family that takes over at each distance 1, 2, 3.
_FAMILY_AT_DISTANCE = {
    "bass": ("bass", "guitar", "drums"),
    "guitar": ("guitar", "keys", "drums"),
    "keys": ("keys", "synth", "drums"),
    "synth": ("synth", "keys", "drums"),
    "drums": ("drums", "bass", "synth"),
}


def wrong_instrument(spec: LoopSpec, distance: float, rng: np.random.Generator) -> LoopSpec:
    """Give the part to an instrument of the same (1), a related (2) or an unrelated family (3)."""
    family = _FAMILY_AT_DISTANCE[spec.family][int(distance) - 1]
    others = [name for name, kind in INSTRUMENTS.items() if kind.family == family and name != spec.instrument]
    style = spec.style if family == spec.family else str(rng.choice(styles_of(family)))
    return replace(spec, instrument=str(rng.choice(others)), style=style, preset=int(rng.integers(10_000)))


def wrong_register(spec: LoopSpec, semitones: float, rng: np.random.Generator) -> LoopSpec:
    """Move the loop: low instruments up, high ones down, drums (retuned) either way."""
    lowest = INSTRUMENTS[spec.instrument].lowest_midi
    is_up = rng.uniform() < 0.5 if spec.family == "drums" else lowest < 60
    return replace(spec, transpose=spec.transpose + int(semitones if is_up else -semitones))


def detuned(spec: LoopSpec, cents: float, rng: np.random.Generator) -> LoopSpec:
    """Tune everything up or down."""
    return replace(spec, tuning_cents=spec.tuning_cents + float(rng.choice([-1, 1])) * cents)


def other_tempo(spec: LoopSpec, change: float, rng: np.random.Generator) -> LoopSpec:
    """Play the same bars faster by the share `change`, or slower by as much."""
    ratio = 1 + change if rng.uniform() < 0.5 else 1 / (1 + change)
    return replace(spec, bpm=float(np.clip(spec.bpm * ratio, 20.0, 400.0)))


def off_grid(spec: LoopSpec, deviation_s: float, rng: np.random.Generator) -> LoopSpec:
    """Let every note miss its place by a normal deviate."""
    return replace(spec, humanise_s=spec.humanise_s + deviation_s)


def other_scale(spec: LoopSpec, rank: float, rng: np.random.Generator) -> LoopSpec:
    """Play the same line in the nearest (1), a middling (2) or the farthest scale (3).

    Distance counts the pitch classes that only one of the two scales has. A loop that plays nothing but
    its tonic has no scale; it moves to another key, by a semitone, a third or a tritone.
    """
    here = set(SCALES[spec.scale])
    notes = play(spec)
    candidates = sorted(
        (len(here ^ set(steps)), name)
        for name, steps in SCALES.items()
        if name != spec.scale and play(replace(spec, scale=name)) != notes
    )
    if not candidates:
        return replace(spec, root=(spec.root + (1, 4, 6)[int(rank) - 1]) % 12)
    distances = [distance for distance, _ in candidates]
    wanted = (distances[0], distances[len(distances) // 2], distances[-1])[int(rank) - 1]
    return replace(spec, scale=str(rng.choice([name for distance, name in candidates if distance == wanted])))


def other_density(spec: LoopSpec, change: float, rng: np.random.Generator) -> LoopSpec:
    """Thin out a busy loop, fill up a sparse one; by more, or the other way, where that changes no note."""
    notes = play(spec)
    signs = (1, -1) if spec.density < 0.5 else (-1, 1)
    candidates = (
        replace(spec, density=float(np.clip(spec.density + sign * times * change, 0.05, 1.0)))
        for times in range(1, 1 + math.ceil(1 / change))
        for sign in signs
    )
    return next(candidate for candidate in candidates if play(candidate) != notes)


def other_genre(spec: LoopSpec, distance: float, rng: np.random.Generator) -> LoopSpec:
    """Swap in a loop of another style (1), of another style, player and tempo (2), or family as well (3)."""
    family = spec.family if distance < 3 else _FAMILY_AT_DISTANCE[spec.family][2]
    others = [style for style in styles_of(family) if style != spec.style]
    changed = replace(spec, seed=int(rng.integers(2**31)))
    if family != spec.family:
        names = [name for name, kind in INSTRUMENTS.items() if kind.family == family]
        changed = replace(changed, instrument=str(rng.choice(names)), style=others[0])
    if distance >= 2:
        changed = other_tempo(replace(changed, preset=int(rng.integers(10_000))), 0.25, rng)
    return replace(changed, style=str(rng.choice(others)))
