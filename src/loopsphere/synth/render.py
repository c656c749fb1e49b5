"""From a `LoopSpec` to its waveform."""

from __future__ import annotations

import numpy as np

from loopsphere.synth.dsp import add_circular, scale_to_peak
from loopsphere.synth.instruments import Voice, draw_player
from loopsphere.synth.patterns import Note, play
from loopsphere.synth.spec import LoopSpec
from loopsphere.types import Float32Array

# Notes are played at this many degrees of hardness, so that each pitch is synthesised only once a degree.
_N_VELOCITIES = 3
_LONGEST_NOTE_S = 4.0


def render(spec: LoopSpec) -> Float32Array:
    """Render a loop that repeats without a seam: what rings past the end is heard at the head.

    Parameters
    ----------
    spec : LoopSpec

    Returns
    -------
    waveform : float32 ndarray of shape (spec.n_samples,)
        Mono; the peak lies between -9 and -0.5 dBFS, set by the seed.

    Raises
    ------
    ValueError
        The style is not one of the instrument's family.
    """
    voice, box = draw_player(spec.instrument, spec.preset, spec.sample_rate, spec.articulation == "muted")
    tuning = spec.tuning_cents / 100 + (spec.transpose if spec.family == "drums" else 0)
    loop = np.zeros(spec.n_samples, dtype=np.float32)
    for (pitch, degree), notes in _group(play(spec)).items():
        longest_s = min(max(note.duration_s for note in notes), _LONGEST_NOTE_S) + voice.release_s
        held = voice.note(pitch, tuning, (degree + 1) / _N_VELOCITIES, int(longest_s * spec.sample_rate))
        for note in notes:
            segment = _released(held, note.duration_s, voice, spec.sample_rate)
            add_circular(
                loop, segment * np.float32(note.velocity**1.5), round(note.start_s * spec.sample_rate)
            )
    peak_db = np.random.default_rng([spec.seed, 3]).uniform(-9.0, -0.5)
    return scale_to_peak(box.process(loop, spec.sample_rate), 10.0 ** (peak_db / 20))


def _group(notes: list[Note]) -> dict[tuple[int, int], list[Note]]:
    """Collect the notes that share a pitch and a degree of hardness."""
    groups: dict[tuple[int, int], list[Note]] = {}
    for note in notes:
        degree = min(int(note.velocity * _N_VELOCITIES), _N_VELOCITIES - 1)
        groups.setdefault((note.midi_pitch, degree), []).append(note)
    return groups


def _released(held: Float32Array, duration_s: float, voice: Voice, sample_rate: int) -> Float32Array:
    """Cut a held note to its duration and let it fade out along half a cosine."""
    n_release = max(2, int(voice.release_s * sample_rate))
    segment = held[: int(duration_s * sample_rate) + n_release].copy()
    n_fade = min(n_release, len(segment))
    segment[-n_fade:] *= np.float32(0.5) + np.float32(0.5) * np.cos(
        np.linspace(0, np.pi, n_fade, dtype=np.float32)
    )
    return segment
