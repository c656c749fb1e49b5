"""What a loop is like, in a musician's words and units: one record, and how it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import soxr

from loopsphere.explain.attributes import continuity, levels, rhythm, timbre, tonality
from loopsphere.explain.filename_hints import Hints
from loopsphere.types import Float32Array, Recording

ATTRIBUTES_VERSION = "2"
"""Changes whenever `measure` would give other values; what is cached under another version is stale."""

_RHYTHM_RATE_HZ = 22_050
_BEATS_PER_BAR = 4
_TEMPO_ROUNDING = 0.005
_SAME_TEMPO = 0.04


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
    clipped_share: float | None
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
    gap_start_s: float | None
    dropout_s: float
    dropout_start_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON."""
        return dict(vars(self))  # `asdict` copies each number: a second for ten thousand loops

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Attributes:
        """Return what `to_dict` gave; fields that are absent are None."""
        values: dict[str, Any] = {field.name: record.get(field.name) for field in fields(cls)}
        return cls(**values)


def measure(recording: Recording) -> Attributes:
    """Measure one loop by its sound alone; `with_hints` adds what its name and tags say.

    Parameters
    ----------
    recording : Recording
        Not silent.

    Returns
    -------
    attributes : Attributes
        The same for the same samples.
    """
    samples, rate = recording.samples, recording.sample_rate
    # Another rate rounds flat tops off and fills the gaps between levels.
    is_as_stored = recording.file_sample_rate is None
    silent = continuity.silences(samples, rate)
    of_channels: dict[str, Any] = {
        "duration_s": len(samples) / rate,
        "sample_rate_hz": float(recording.file_sample_rate or rate),
        "n_channels": float(recording.n_channels),
        "loudness_lufs": levels.loudness_lufs(samples, rate),
        "peak_dbfs": levels.peak_dbfs(samples),
        "crest_db": levels.crest_db(samples),
        "clipped_share": levels.clipped_share(samples) if is_as_stored else None,
        "dc_offset": levels.dc_offset(samples),
        "resolution_bits": levels.resolution_bits(samples) if is_as_stored else None,
        "stereo_width": levels.stereo_width(samples),
        "mono_loss_db": levels.mono_loss_db(samples),
        "silence_head_s": silent.head_s,
        "silence_tail_s": silent.tail_s,
        "gap_s": silent.gap_s,
        "gap_start_s": silent.gap_start_s,
        "dropout_s": silent.dropout_s,
        "dropout_start_s": silent.dropout_start_s,
    }
    mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    if not np.any(mono):
        # The two channels cancel exactly: one of them says what the loop is like.
        mono = samples[:, 0]
    del recording, samples  # 230 MB of ten minutes, if the caller has let go of them as well
    spectrum = timbre.timbre(mono, rate)
    return Attributes(
        **of_channels,
        quiet_db=timbre.quiet_db(mono, rate),
        brightness_hz=spectrum.centroid_hz,
        low_end_share=spectrum.low_end_share,
        noisiness=spectrum.flatness,
        codec_cutoff_hz=spectrum.cutoff_hz,
        hum_db=timbre.hum_db(mono, rate),
        **_rhythm(mono, rate),
        **_tonality(mono, rate),
        seam_db=continuity.seam_db(mono, rate),
    )


def with_hints(attributes: Attributes, hints: Hints) -> Attributes:
    """Believe a loop's name and tags before its sound.

    Parameters
    ----------
    attributes : Attributes
        Of its sound.
    hints : Hints

    Returns
    -------
    attributes : Attributes
        With the tempo and key that the hints give, if any, and what follows from them.
    """
    changes: dict[str, Any] = {}
    if hints.tempo_bpm is not None:
        heard_bpm = attributes.tempo_bpm
        changes = _at_tempo(attributes.duration_s, hints.tempo_bpm, 1.0, hints.tempo_source)
        if heard_bpm is None or abs(heard_bpm / hints.tempo_bpm - 1) > _SAME_TEMPO:
            # They were measured on another grid.
            changes |= {"swing": None, "timing_ms": None}
    if hints.key is not None:
        key = str(hints.key)
        if hints.key.is_minor is None and attributes.key is not None and attributes.key.startswith(f"{key} "):
            # A name that gives only the root leaves the mode to the sound, where that agrees on the root.
            key = attributes.key
        changes |= {"key": key, "key_confidence": 1.0, "key_source": hints.key_source}
    return replace(attributes, **changes)


def _at_rate(mono: Float32Array, rate: int, wanted: int) -> Float32Array:
    return mono if rate == wanted else soxr.resample(mono, rate, wanted, quality="MQ")


def _at_tempo(duration_s: float, bpm: float, confidence: float, source: str | None) -> dict[str, Any]:
    beats = duration_s * bpm / 60
    return {
        "tempo_bpm": bpm,
        "tempo_confidence": confidence,
        "tempo_source": source,
        "length_bars": beats / _BEATS_PER_BAR,
        # Less what rounding the tempo to a whole BPM explains.
        "misfit_beats": max(0.0, abs(beats - round(beats)) - _TEMPO_ROUNDING * beats),
    }


def _rhythm(mono: Float32Array, rate: int) -> dict[str, Any]:
    curve = rhythm.onset_curve(_at_rate(mono, rate, _RHYTHM_RATE_HZ), _RHYTHM_RATE_HZ)
    density, heard = rhythm.onset_density(curve), rhythm.tempo(curve)
    if heard is None:
        nothing = ("tempo_bpm", "tempo_confidence", "tempo_source", "length_bars", "misfit_beats")
        return {**dict.fromkeys((*nothing, "swing", "timing_ms")), "onset_density": density}
    return {
        **_at_tempo(len(mono) / rate, heard.bpm, heard.confidence, "audio"),
        "onset_density": density,
        "swing": rhythm.swing(curve, heard.bpm),
        "timing_ms": rhythm.timing_ms(curve, heard.bpm),
    }


def _tonality(mono: Float32Array, rate: int) -> dict[str, Any]:
    heard = tonality.tonality(_at_rate(mono, rate, tonality.TONAL_RATE_HZ))
    names = ("scale_fit", "tuning_cents", "pitch_low_midi", "pitch_high_midi", "polyphony")
    if heard is None:
        return dict.fromkeys((*names, "key", "key_confidence", "key_source"))
    return {
        **{name: getattr(heard, name) for name in names},
        "key": str(heard.key),
        "key_confidence": heard.key_confidence,
        "key_source": "audio",
    }
