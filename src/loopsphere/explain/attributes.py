"""What a loop is like, in a musician's words and units: one record, and one table that describes its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
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


@dataclass(frozen=True)
class Attributes:
    """What was measured of one loop; None where a value has no meaning, such as the pitch of drums.

    `ATTRIBUTES` describes each field: its words, unit and what of it can be heard.
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
    onset_density: float
    swing: float | None
    timing_ms: float | None
    key: str | None
    key_confidence: float | None
    key_source: str | None
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
        "onset_density": rhythm.onset_density(curve),
        "swing": rhythm.swing(curve, bpm) if bpm is not None else None,
        "timing_ms": rhythm.timing_ms(curve, bpm) if bpm is not None else None,
    }


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
        "tuning_cents": heard.tuning_cents if heard else None,
        "pitch_low_midi": heard.pitch_low_midi if heard else None,
        "pitch_high_midi": heard.pitch_high_midi if heard else None,
        "polyphony": heard.polyphony if heard else None,
    }


@dataclass(frozen=True)
class AttributeSpec:
    """How one attribute is spoken of and judged.

    Attributes
    ----------
    name : str
        Field of `Attributes`.
    label : str
        Head of a column.
    unit : str
        Behind the number; empty for bare numbers.
    kind : str
        "fault": something went wrong. "style": it is merely unlike the others. "fact": told, never judged.
    more, less : str
        What a loop with a higher or lower value is; empty where that side is never odd.
    noticeable : float
        The least difference that a listener minds: in octaves where `is_log`, else in `unit` (shares as shares).
    audible : float or None
        Of a fault: the value from which it can be heard; a lesser one is never named.
    is_log : bool
        Compared as ratios.
    digits : int
        Decimals that are shown; negative for significant figures.
    """

    name: str
    label: str
    unit: str = ""
    kind: str = "style"
    more: str = ""
    less: str = ""
    noticeable: float = 1.0
    audible: float | None = None
    is_log: bool = False
    digits: int = 1


_SPECS = (
    AttributeSpec(
        "tempo_bpm", "tempo", "BPM", more="faster", less="slower", noticeable=0.06, is_log=True, digits=0
    ),
    AttributeSpec("tempo_confidence", "tempo confidence", kind="fact", digits=2),
    AttributeSpec("length_bars", "length", "bars", kind="fact", digits=2),
    AttributeSpec("key_confidence", "key confidence", kind="fact", digits=2),
    AttributeSpec(
        "duration_s", "duration", "s", more="longer", less="shorter", noticeable=0.3, is_log=True, digits=1
    ),
    AttributeSpec(
        "loudness_lufs", "loudness", "LUFS", more="louder", less="quieter", noticeable=1.5, digits=1
    ),
    AttributeSpec("peak_dbfs", "peak", "dBFS", kind="fact", digits=1),
    AttributeSpec("crest_db", "crest", "dB", more="punchier", less="more squashed", noticeable=1.5, digits=1),
    AttributeSpec(
        "quiet_db",
        "quietest parts",
        "dB",
        more="fuller in its quiet parts",
        less="emptier between its notes",
        noticeable=4.0,
        digits=0,
    ),
    AttributeSpec(
        "brightness_hz",
        "brightness",
        "Hz",
        more="brighter",
        less="duller",
        noticeable=0.2,
        is_log=True,
        digits=-2,
    ),
    AttributeSpec(
        "low_end_share",
        "low end",
        "%",
        more="heavier in the low end",
        less="thinner in the low end",
        noticeable=0.1,
        digits=0,
    ),
    AttributeSpec(
        "noisiness", "noisiness", "", more="noisier", less="cleaner", noticeable=0.6, is_log=True, digits=-2
    ),
    AttributeSpec(
        "onset_density",
        "onsets",
        "a second",
        more="busier",
        less="sparser",
        noticeable=0.25,
        is_log=True,
        digits=1,
    ),
    AttributeSpec("swing", "swing", "%", more="more swung", less="straighter", noticeable=0.1, digits=0),
    AttributeSpec(
        "timing_ms",
        "timing",
        "ms off the grid",
        more="looser in its timing",
        less="tighter in its timing",
        noticeable=6.0,
        digits=0,
    ),
    AttributeSpec(
        "tuning_cents", "tuning", "cents", more="tuned higher", less="tuned lower", noticeable=12.0, digits=0
    ),
    AttributeSpec(
        "pitch_low_midi", "lowest pitch", "", more="higher at the bottom", less="lower", noticeable=2.0
    ),
    AttributeSpec(
        "pitch_high_midi", "highest pitch", "", more="higher", less="lower at the top", noticeable=2.0
    ),
    AttributeSpec(
        "polyphony",
        "voices",
        "at a time",
        more="denser in its chords",
        less="thinner in its chords",
        noticeable=0.4,
    ),
    AttributeSpec(
        "stereo_width", "stereo width", "%", more="wider", less="narrower", noticeable=0.08, digits=0
    ),
    AttributeSpec(
        "sample_rate_hz",
        "sample rate",
        "Hz",
        more="stored at a higher rate",
        less="stored at a lower rate",
        noticeable=0.1,
        is_log=True,
        digits=0,
    ),
    AttributeSpec("n_channels", "channels", "", kind="fact", digits=0),
    AttributeSpec(
        "clipped_share",
        "clipped",
        "%",
        kind="fault",
        more="clipped",
        noticeable=0.002,
        audible=0.001,
        digits=1,
    ),
    AttributeSpec(
        "dc_offset",
        "DC offset",
        "%",
        kind="fault",
        more="off centre (DC)",
        noticeable=0.005,
        audible=0.01,
        digits=1,
    ),
    AttributeSpec(
        "resolution_bits",
        "resolution",
        "bits",
        kind="fault",
        less="coarse in resolution",
        noticeable=1.0,
        audible=10.5,
        digits=0,
    ),
    AttributeSpec(
        "codec_cutoff_hz",
        "cut-off",
        "Hz",
        kind="fault",
        less="cut off above",
        noticeable=0.1,
        audible=16_500.0,
        is_log=True,
        digits=-2,
    ),
    AttributeSpec(
        "hum_db", "mains hum", "dB", kind="fault", more="humming", noticeable=6.0, audible=-40.0, digits=0
    ),
    AttributeSpec(
        "mono_loss_db",
        "loss in mono",
        "dB",
        kind="fault",
        more="out of phase in mono",
        noticeable=2.0,
        audible=3.0,
        digits=1,
    ),
    AttributeSpec(
        "seam_db", "seam", "dB", kind="fault", more="clicking", noticeable=3.0, audible=6.0, digits=0
    ),
    AttributeSpec(
        "silence_head_s",
        "silent head",
        "s",
        kind="fault",
        more="late to start",
        noticeable=0.05,
        audible=0.1,
        digits=2,
    ),
    AttributeSpec(
        "silence_tail_s",
        "silent tail",
        "s",
        kind="fault",
        more="early to end",
        noticeable=0.15,
        audible=0.3,
        digits=2,
    ),
    AttributeSpec(
        "gap_s", "longest gap", "s", kind="fault", more="silent inside", noticeable=0.2, audible=0.4, digits=2
    ),
    AttributeSpec(
        "dropout_s",
        "drop-outs",
        "s",
        kind="fault",
        more="dropping out",
        noticeable=0.02,
        audible=0.01,
        digits=2,
    ),
)

ATTRIBUTES: Mapping[str, AttributeSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""The attributes that are numbers, by name; `key` and the sources are words."""
