"""What a loop is like, in a musician's words and units: one record, and how it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import soxr

from loopsphere.explain import continuity, levels, rhythm, timbre, tonality
from loopsphere.explain.names import Hints, Key
from loopsphere.types import Float32Array, Recording

ATTRIBUTES_VERSION = "1"
"""Changes whenever `measure` would give other values; what is cached under another version is stale."""

_RHYTHM_RATE_HZ = 22_050
_BEATS_PER_BAR = 4
_TEMPO_ROUNDING = 0.005


@dataclass(frozen=True)
class Attributes:
    """What was measured of one loop; None where a value has no meaning, such as the pitch of drums.

    `loopsphere.explain.ATTRIBUTES` describes each number: its words, unit and what of it can be heard. Shares
    are of 1. `key` is such as "F# minor"; `tempo_source` and `key_source` are "tag", "name" or "audio".
    """

    duration_s: float
    sample_rate_hz: float
    n_channels: float
    loudness_lufs: float | None
    peak_dbfs: float
    crest_db: float
    clipped_share: float
    dc_offset: float
    resolution_bits: float | None
    quiet_db: float
    brightness_hz: float
    low_end_share: float
    noisiness: float
    codec_cutoff_hz: float | None
    hum_db: float | None
    tempo_bpm: float | None
    tempo_confidence: float | None
    tempo_source: str | None
    length_bars: float | None
    misfit_beats: float | None
    onset_density: float
    swing: float | None
    timing_ms: float | None
    key: str | None
    key_confidence: float | None
    key_source: str | None
    scale_fit: float | None
    tuning_cents: float | None
    pitch_low_midi: float | None
    pitch_high_midi: float | None
    polyphony: float | None
    stereo_width: float | None
    mono_loss_db: float | None
    seam_db: float | None
    silence_head_s: float
    silence_tail_s: float
    gap_s: float
    dropout_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Attributes:
        """Return what `to_dict` gave; fields that are absent are None."""
        return cls(**{field.name: record.get(field.name) for field in fields(cls)})


def measure(recording: Recording, hints: Hints = Hints()) -> Attributes:  # noqa: B008 (frozen)
    """Measure one loop.

    Parameters
    ----------
    recording : Recording
        Not silent.
    hints : Hints
        What its name and tags say of tempo and key, which is believed before the sound.

    Returns
    -------
    attributes : Attributes
        The same for the same samples and hints.
    """
    samples, rate = recording.samples, recording.sample_rate
    mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    if not np.any(mono):
        # The two channels cancel exactly: one of them says what the loop is like.
        mono = samples[:, 0]
    spectrum = timbre.timbre(mono, rate)
    silent = continuity.silences(samples, rate)
    return Attributes(
        duration_s=len(samples) / rate,
        sample_rate_hz=float(rate),
        n_channels=float(recording.n_channels),
        loudness_lufs=levels.loudness_lufs(samples, rate),
        peak_dbfs=levels.peak_dbfs(samples),
        crest_db=levels.crest_db(samples),
        clipped_share=levels.clipped_share(samples),
        dc_offset=levels.dc_offset(samples),
        resolution_bits=levels.resolution_bits(samples),
        quiet_db=timbre.quiet_db(mono, rate),
        brightness_hz=spectrum.centroid_hz,
        low_end_share=spectrum.low_end_share,
        noisiness=spectrum.flatness,
        codec_cutoff_hz=spectrum.cutoff_hz,
        hum_db=timbre.hum_db(mono, rate),
        **_rhythm(mono, rate, hints),
        **_tonality(mono, rate, hints),
        stereo_width=levels.stereo_width(samples),
        mono_loss_db=levels.mono_loss_db(samples),
        seam_db=continuity.seam_db(mono, rate),
        silence_head_s=silent.head_s,
        silence_tail_s=silent.tail_s,
        gap_s=silent.gap_s,
        dropout_s=silent.dropout_s,
    )


def _at_rate(mono: Float32Array, rate: int, wanted: int) -> Float32Array:
    return mono if rate == wanted else soxr.resample(mono, rate, wanted, quality="MQ")


def _rhythm(mono: Float32Array, rate: int, hints: Hints) -> dict[str, Any]:
    curve = rhythm.onset_curve(_at_rate(mono, rate, _RHYTHM_RATE_HZ), _RHYTHM_RATE_HZ)
    heard = rhythm.tempo(curve)
    bpm, confidence, source = hints.tempo_bpm, 1.0, hints.tempo_source
    if bpm is None and heard is not None:
        bpm, confidence, source = heard.bpm, heard.confidence, "audio"
    duration_s = len(mono) / rate
    is_known = bpm is not None
    return {
        "tempo_bpm": bpm,
        "tempo_confidence": confidence if is_known else None,
        "tempo_source": source if is_known else None,
        "length_bars": duration_s * bpm / 60 / _BEATS_PER_BAR if bpm is not None else None,
        "misfit_beats": _misfit_beats(duration_s * bpm / 60) if bpm is not None else None,
        "onset_density": rhythm.onset_density(curve),
        "swing": rhythm.swing(curve, bpm) if bpm is not None else None,
        "timing_ms": rhythm.timing_ms(curve, bpm) if bpm is not None else None,
    }


def _misfit_beats(beats: float) -> float:
    """Return how far a length is from whole beats, less what rounding the tempo to a whole BPM explains."""
    return max(0.0, abs(beats - round(beats)) - _TEMPO_ROUNDING * beats)


def _tonality(mono: Float32Array, rate: int, hints: Hints) -> dict[str, Any]:
    heard = tonality.tonality(_at_rate(mono, rate, tonality.TONAL_RATE_HZ))
    key: Key | None = hints.key
    confidence, source = 1.0, hints.key_source
    if heard is not None and (key is None or (key.is_minor is None and key.tonic == heard.key.tonic)):
        # A name that gives only the root leaves the mode to the sound, where that agrees on the root.
        confidence, source = (heard.key_confidence, "audio") if key is None else (1.0, source)
        key = heard.key
    return {
        "key": str(key) if key is not None else None,
        "key_confidence": confidence if key is not None else None,
        "key_source": source if key is not None else None,
        "scale_fit": heard.scale_fit if heard else None,
        "tuning_cents": heard.tuning_cents if heard else None,
        "pitch_low_midi": heard.pitch_low_midi if heard else None,
        "pitch_high_midi": heard.pitch_high_midi if heard else None,
        "polyphony": heard.polyphony if heard else None,
    }
