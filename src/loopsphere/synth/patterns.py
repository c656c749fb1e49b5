"""From a `LoopSpec` to its notes: styles as tables of weights on a grid of sixteenths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from loopsphere.synth.drums import CLAP, CLOSED_HAT, HIGH_TOM, KICK, LOW_TOM, OPEN_HAT, RIDE, SNARE
from loopsphere.synth.instruments import INSTRUMENTS
from loopsphere.synth.spec import ARTICULATIONS, SCALES, LoopSpec

FloatArray = npt.NDArray[np.float64]

# Scale degrees of the chords, one a bar, repeated as often as the loop needs.
_PROGRESSIONS = ((0,), (0, 3), (0, 4), (0, 5), (0, 5, 3, 4), (0, 3, 4, 3), (0, 6, 5, 6), (0, 2, 3, 0))
# How much chance, against the style's weights, decides which steps are played.
_CHANCE = 3.0


@dataclass(frozen=True)
class Note:
    """One sounding note.

    Attributes
    ----------
    start_s, duration_s : float
        The start may lie just before 0: the loop wraps.
    midi_pitch : int
        MIDI note; for drums the General MIDI percussion key.
    velocity : float
        0 to 1.
    """

    start_s: float
    duration_s: float
    midi_pitch: int
    velocity: float


@dataclass(frozen=True)
class MelodicStyle:
    """How a style places pitched notes.

    Attributes
    ----------
    family : str
    weights : str
        One digit a sixteenth of a 4/4 bar: how readily a note starts there.
    line : str
        What is played: "root", "fifth", "walk", "arpeggio", "riff" (single notes) or "power", "triad",
        "seventh" (chords).
    gate : float
        Sounding share of the time to the next note.
    strum_s : float
        Delay between the strings of a chord.
    """

    family: str
    weights: str
    line: str
    gate: float = 0.9
    strum_s: float = 0.0


@dataclass(frozen=True)
class DrumStyle:
    """How a style places drums: for each piece, one digit a sixteenth; 9 is always played."""

    weights: Mapping[int, str]
    family: str = "drums"


STYLES: Mapping[str, MelodicStyle | DrumStyle] = MappingProxyType(
    {
        "rock_bass": MelodicStyle("bass", "9161716191617161", "root", 0.85),
        "funk_bass": MelodicStyle("bass", "9135163625136253", "fifth", 0.6),
        "walking_bass": MelodicStyle("bass", "9010911290109112", "walk", 0.95),
        "offbeat_bass": MelodicStyle("bass", "3090309030903092", "root", 0.7),
        "dub_bass": MelodicStyle("bass", "9006003060203001", "riff", 0.8),
        "arpeggio_bass": MelodicStyle("bass", "9595959595959595", "arpeggio", 0.75),
        "strummed": MelodicStyle("guitar", "9142716271427162", "triad", 0.95, 0.012),
        "fingerpicked": MelodicStyle("guitar", "9565756595657565", "arpeggio", 1.6),
        "power_chords": MelodicStyle("guitar", "9252925292529252", "power", 0.85, 0.004),
        "funk_guitar": MelodicStyle("guitar", "5373537353735373", "seventh", 0.35, 0.005),
        "guitar_riff": MelodicStyle("guitar", "9153516391535163", "riff", 0.9),
        "comping": MelodicStyle("keys", "7103206147013061", "seventh", 0.8),
        "ballad": MelodicStyle("keys", "9000300080003010", "triad", 1.0),
        "keys_arpeggio": MelodicStyle("keys", "9575957595759575", "arpeggio", 0.9),
        "sustained": MelodicStyle("synth", "9000000040000000", "triad", 1.05),
        "stabs": MelodicStyle("synth", "5209250925092509", "triad", 0.4),
        "synth_melody": MelodicStyle("synth", "9153516391535163", "riff", 0.85),
        "sequence": MelodicStyle("synth", "9797979797979797", "arpeggio", 0.6),
        "rock": DrumStyle(
            {
                KICK: "9001002092030010",
                SNARE: "0000900101009002",
                CLOSED_HAT: "9181918191819181",
                OPEN_HAT: "0000000000000040",
            }
        ),
        "funk": DrumStyle(
            {
                KICK: "9090000205920020",
                SNARE: "0002900405029003",
                CLOSED_HAT: "9595959595959545",
                OPEN_HAT: "0000003000000060",
            }
        ),
        "house": DrumStyle(
            {
                KICK: "9000900090009001",
                CLAP: "0000900000009001",
                OPEN_HAT: "0080008000800080",
                CLOSED_HAT: "5050505050505055",
            }
        ),
        "hip_hop": DrumStyle(
            {
                KICK: "9001000305920020",
                SNARE: "0000900000009010",
                CLOSED_HAT: "9181818191818181",
                OPEN_HAT: "0000000000000030",
            }
        ),
        "drum_and_bass": DrumStyle(
            {
                KICK: "9000000002900010",
                SNARE: "0000900304019004",
                RIDE: "9080908090809080",
                CLOSED_HAT: "0505050505050505",
            }
        ),
        "trap": DrumStyle(
            {
                KICK: "9000002100920010",
                CLAP: "0000000090000000",
                CLOSED_HAT: "9595959595959595",
                LOW_TOM: "0000000000000031",
            }
        ),
        "tribal": DrumStyle(
            {
                KICK: "9000003090000030",
                LOW_TOM: "0083008200830084",
                HIGH_TOM: "0400806004008063",
                CLOSED_HAT: "3232323232323232",
            }
        ),
        "bossa": DrumStyle(
            {
                KICK: "9002900290029002",
                SNARE: "9008008000800800",
                CLOSED_HAT: "9595959595959595",
            }
        ),
    }
)


def styles_of(family: str) -> tuple[str, ...]:
    """Return the names of the styles that a family plays."""
    return tuple(name for name, style in STYLES.items() if style.family == family)


def play(spec: LoopSpec) -> list[Note]:
    """Write the notes of a loop, in the order of their starts.

    A bar is repeated with its last repetition varied, over one chord a bar. Which steps are played follows
    the style's weights and the seed; a higher `density` adds notes to the same pattern.

    Parameters
    ----------
    spec : LoopSpec

    Returns
    -------
    notes : list of Note

    Raises
    ------
    ValueError
        The style does not exist or is not one of the instrument's family.
    """
    style = STYLES.get(spec.style)
    if style is None or style.family != spec.family:
        raise ValueError(
            f"LoopSpec.style cannot be {spec.style!r} for {spec.instrument!r}: its styles are "
            + ", ".join(styles_of(spec.family))
        )
    notes = _play_drums(spec, style) if isinstance(style, DrumStyle) else _play_line(spec, style)
    return sorted(notes, key=lambda note: (note.start_s, note.midi_pitch))


def random_spec(seed: int, **fixed: Any) -> LoopSpec:
    """Draw a plausible loop.

    Parameters
    ----------
    seed : int
        Not negative.
    **fixed
        Fields of `LoopSpec` that are given instead of drawn.

    Returns
    -------
    spec : LoopSpec
    """
    rng = np.random.default_rng([seed, 7])
    instrument = fixed.get("instrument", rng.choice(list(INSTRUMENTS)))
    drawn: dict[str, Any] = {
        "instrument": str(instrument),
        "style": str(rng.choice(styles_of(INSTRUMENTS[str(instrument)].family))),
        "preset": int(rng.integers(10_000)),
        "seed": seed,
        "bpm": float(np.round(60.0 * 2.0 ** rng.uniform(0, 1.6), 1)),
        "bars": int(rng.choice([1, 2, 2, 4, 4, 8])),
        "meter": ((4, 4), (3, 4), (6, 8))[int(rng.choice(3, p=[0.84, 0.08, 0.08]))],
        "root": int(rng.integers(12)),
        "scale": str(rng.choice(list(SCALES))),
        "density": float(rng.uniform(0.15, 0.9)),
        "swing": float(max(0.0, rng.uniform(-0.4, 0.4))),
        "humanise_s": float(rng.uniform(0.0, 0.01)),
        "articulation": str(rng.choice(ARTICULATIONS, p=[0.55, 0.15, 0.15, 0.15])),
        "tuning_cents": float(rng.normal(0.0, 3.0)),
    }
    return LoopSpec(**(drawn | fixed))


def _step_start_s(spec: LoopSpec, step: int) -> float:
    return (step + (spec.swing if step % 2 else 0.0)) * spec.step_s


def _bar_weights(weights: str, n_steps: int) -> FloatArray:
    """Fit a 4/4 table to a bar: cut short or run on from its start."""
    return np.resize(np.array([int(digit) for digit in weights], dtype=float), n_steps)


def _bar_chances(spec: LoopSpec, rng: np.random.Generator, shape: tuple[int, ...]) -> list[FloatArray]:
    """Draw numbers in [0, 1), one array a bar: all bars alike but for part of every fourth and the last."""
    theme = rng.uniform(size=shape)
    bars = []
    for bar in range(spec.bars):
        is_fill = spec.bars > 1 and (bar % 4 == 3 or bar == spec.bars - 1)
        other = rng.uniform(size=shape)
        bars.append(np.where(rng.uniform(size=shape) < 0.4, other, theme) if is_fill else theme)
    return bars


def _play_drums(spec: LoopSpec, style: DrumStyle) -> list[Note]:
    rng = np.random.default_rng([spec.seed, 1])
    n_steps = spec.steps_per_bar
    chances = _bar_chances(spec, rng, (len(style.weights), n_steps))
    jitter = np.random.default_rng([spec.seed, 2])
    notes = []
    for bar in range(spec.bars):
        for row, (piece, digits) in enumerate(style.weights.items()):
            weights = _bar_weights(digits, n_steps)
            for step in range(n_steps):
                late, accent = jitter.normal(), jitter.normal()
                eager = weights[step] + _CHANCE * (chances[bar][row, step] - 0.5)
                if weights[step] < 9 and (weights[step] == 0 or eager < 9 * (1 - spec.density)):
                    continue
                velocity = 0.45 + 0.05 * weights[step] + 0.05 * accent
                notes.append(
                    Note(
                        start_s=_step_start_s(spec, bar * n_steps + step) + spec.humanise_s * late,
                        duration_s=spec.step_s * (2 if piece == OPEN_HAT else 16),
                        midi_pitch=piece,
                        velocity=float(np.clip(velocity, 0.1, 1.0)),
                    )
                )
    return notes


def _play_line(spec: LoopSpec, style: MelodicStyle) -> list[Note]:
    rng = np.random.default_rng([spec.seed, 1])
    n_steps = spec.steps_per_bar
    progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    chances = _bar_chances(spec, rng, (2, n_steps))
    n_onsets = max(1, round(spec.density * n_steps))
    onsets: list[tuple[int, float]] = []
    for bar in range(spec.bars):
        eager = _bar_weights(style.weights, n_steps) + _CHANCE * chances[bar][0]
        steps = np.sort(np.argsort(-eager, kind="stable")[:n_onsets])
        onsets += [(bar * n_steps + int(step), float(chances[bar][1, step])) for step in steps]

    jitter = np.random.default_rng([spec.seed, 2])
    accents = jitter.normal(size=(spec.bars * n_steps, 2))
    total_steps = spec.bars * n_steps
    notes = []
    for i, (step, choice) in enumerate(onsets):
        next_step = onsets[i + 1][0] if i + 1 < len(onsets) else onsets[0][0] + total_steps
        held_s = (next_step - step) * spec.step_s * style.gate
        held_s *= {"normal": 1.0, "staccato": 0.4, "legato": 1.15, "muted": 0.7}[spec.articulation]
        degree = progression[(step // n_steps) % len(progression)]
        pitches = _pitches(spec, style.line, degree, i, choice)
        late, accent = accents[step]
        velocity = float(np.clip(0.62 + (0.2 if step % 4 == 0 else 0.0) + 0.08 * accent, 0.15, 1.0))
        for string, pitch in enumerate(pitches if step % 4 == 0 else pitches[::-1]):
            start_s = _step_start_s(spec, step) + spec.humanise_s * late + string * style.strum_s
            notes.append(Note(float(start_s), max(held_s, 0.04), pitch, velocity))
    return notes


def _pitches(spec: LoopSpec, line: str, degree: int, position: int, choice: float) -> list[int]:
    """Return the MIDI pitches of one onset, low to high.

    `degree` is that of the chord, `position` counts the onsets of the loop, `choice` in [0, 1) is chance.
    """
    scale = SCALES[spec.scale]
    lowest = INSTRUMENTS[spec.instrument].lowest_midi
    tonic = lowest + (spec.root - lowest) % 12 + spec.transpose

    def pitch_of(scale_degree: int) -> int:
        octave, index = divmod(scale_degree, len(scale))
        return tonic + 12 * octave + scale[index]

    octave = len(scale)
    chord = [degree, degree + 2, degree + 4]
    if line == "root":
        return [pitch_of(degree + (octave if choice > 0.85 else 0))]
    if line == "fifth":
        return [pitch_of(degree + (0, 0, 4, octave)[int(choice * 4)])]
    if line == "walk":
        return [pitch_of(degree + (0, 2, 4, 5, 4, 3, 2, 1)[position % 8] + (1 if choice > 0.8 else 0))]
    if line == "arpeggio":
        figure = (*chord, degree + octave, degree + 4, degree + 2)
        return [pitch_of(figure[position % len(figure)])]
    if line == "riff":
        return [pitch_of(degree + (0, 0, 1, 2, 3, 4, octave)[int(choice * 7)])]
    if line == "power":
        return [pitch_of(degree), pitch_of(degree) + 7, pitch_of(degree) + 12]
    if line == "triad":
        return [pitch_of(step) for step in (*chord, degree + octave)]
    return [pitch_of(step) for step in (*chord, degree + 6)]
