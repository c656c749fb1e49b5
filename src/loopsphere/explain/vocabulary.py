"""How attributes are spoken of and judged: one table, from which sentences, columns and thresholds come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from loopsphere.explain.filename_hints import PITCH_NAMES

_KILO = 1000.0


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
        Behind the number. "%" shows a share of 1 as per cent, "Hz" turns to kHz, "note" shows MIDI as a note.
    kind : str
        "fault": something went wrong. "style": it is merely unlike the others. "fact": told, never judged.
    aspect : str
        What side of the loop it tells of; the top reasons tell of different ones.
    more, less : str
        What a loop with a higher or lower value is; empty where that side is never odd.
    sentence : str
        Said instead, with the value in it.
    noticeable : float
        The least difference that is worth a word: in octaves where `is_log`, else in the value's own unit.
    audible : float or None
        Of a fault: the value from which it can be heard; a lesser one is never named.
    is_log : bool
        Compared as ratios.
    digits : int
        Decimals that are shown.
    place : str
        Of a fault: the attribute that tells where it begins, if one does.
    placed : str
        Said behind the sentence where that is known.
    """

    name: str
    label: str
    unit: str = ""
    kind: str = "style"
    aspect: str = ""
    more: str = ""
    less: str = ""
    sentence: str = ""
    noticeable: float = 1.0
    audible: float | None = None
    is_log: bool = False
    digits: int = 0
    place: str = ""
    placed: str = ""

    def scaled(self, value: float) -> float:
        """Return the value on the scale on which differences are judged."""
        return math.log2(max(value, 1e-6)) if self.is_log else value

    def shown(self, value: float) -> str:
        """Return the value with its unit."""
        unit = {"note": "", "Hz": "kHz" if value >= _KILO else "Hz"}.get(self.unit, self.unit)
        return f"{self._number(value, value >= _KILO)} {unit}".rstrip()

    def between(self, low: float, high: float, value: float) -> str:
        """Return the range from low to high, in the unit in which `value` is shown."""
        first, last = (self._number(end, value >= _KILO) for end in (low, high))
        return first if first == last else f"{first} to {last}"

    def reads_as(self, value: float, other: float) -> bool:
        """Tell whether both values are the same when they are shown."""
        return self._number(value, value >= _KILO) == self._number(other, value >= _KILO)

    def _number(self, value: float, is_kilo: bool) -> str:
        if self.unit == "note":
            midi = round(value)
            return f"{PITCH_NAMES[midi % 12]}{midi // 12 - 1}"
        if self.unit == "Hz" and is_kilo:
            return f"{value / _KILO:.1f}"
        if self.unit == "%":
            value *= 100
        return f"{value:z.{self.digits}f}"  # z: nothing is a minus zero


def _style(
    name: str, label: str, unit: str, aspect: str, more: str, less: str, noticeable: float, digits: int = 0,
    *, is_log: bool = False, sentence: str = "",
) -> AttributeSpec:  # fmt: skip
    return AttributeSpec(
        name, label, unit, "style", aspect, more, less, sentence, noticeable, None, is_log, digits
    )


def _fault(
    name: str, label: str, unit: str, sentence: str, noticeable: float, audible: float, digits: int = 0,
    *, aspect: str = "", is_low: bool = False, is_log: bool = False, place: str = "", placed: str = "",
) -> AttributeSpec:  # fmt: skip
    more, less = ("", label) if is_low else (label, "")
    return AttributeSpec(
        name, label, unit, "fault", aspect or name, more, less, sentence, noticeable, audible, is_log, digits,
        place, placed,
    )  # fmt: skip


def _fact(name: str, label: str, unit: str = "", digits: int = 0) -> AttributeSpec:
    return AttributeSpec(name, label, unit, "fact", digits=digits)


_SPECS = (
    _style("tempo_bpm", "tempo", "BPM", "tempo", "faster", "slower", 0.06, is_log=True,
           sentence="{value} where most are {usual}"),
    _fact("tempo_confidence", "tempo confidence", digits=2),
    _fact("key_confidence", "key confidence", digits=2),
    _fact("length_bars", "length", "bars", digits=2),
    _style("duration_s", "duration", "s", "duration", "longer", "shorter", 0.3, 1, is_log=True),
    _style("onset_density", "onsets", "a second", "density", "busier", "sparser", 0.25, 1, is_log=True),
    _style("swing", "swing", "%", "feel", "more swung", "straighter", 0.1),
    _style("timing_ms", "off the grid by", "ms", "feel", "looser in its timing",
           "tighter in its timing", 6.0),
    _style("brightness_hz", "brightness", "Hz", "brightness", "brighter", "duller", 0.2, is_log=True),
    _style("low_end_share", "below 150 Hz", "%", "low end", "heavier in the low end",
           "thinner in the low end", 0.1),
    _style("noisiness", "noise", "%", "noise", "noisier", "cleaner", 0.6, 1, is_log=True),
    _style("quiet_db", "quiet parts", "dB", "quiet", "fuller in its quiet parts",
           "emptier between its notes", 4.0),
    _style("loudness_lufs", "loudness", "LUFS", "loudness", "louder", "quieter", 1.5, 1),
    _style("crest_db", "crest", "dB", "dynamics", "spikier", "more squashed", 1.5, 1),
    _fact("peak_dbfs", "peak", "dBFS", 1),
    _style("pitch_low_midi", "lowest pitch", "note", "pitch", "higher at the bottom", "lower", 2.0),
    _style("pitch_high_midi", "highest pitch", "note", "pitch", "higher", "lower at the top", 2.0),
    _style("polyphony", "voices at a time", "", "voices", "denser in its chords", "thinner in its chords",
           0.4, 1),
    _style("tuning_cents", "tuning", "cents", "tuning", "sharper", "flatter", 12.0),
    _style("scale_fit", "notes within one scale", "%", "harmony", "", "further from any common scale", 0.05),
    _style("stereo_width", "width", "%", "stereo", "wider", "narrower", 0.08),
    _style("sample_rate_hz", "sample rate", "Hz", "format", "higher in sample rate", "lower in sample rate",
           0.1, is_log=True, sentence="stored at {value} where most are at {usual}"),
    _fact("n_channels", "channels"),
    _fault("clipped_share", "clipped", "%", "clipped for {value} of its length", 0.002, 0.001, 1),
    _fault("resolution_bits", "resolution", "bits", "only {value} of resolution", 1.0, 10.5, is_low=True),
    _fault("dropout_s", "drop-outs", "s", "drops out for {value} in all", 0.02, 0.01, 2, aspect="gaps",
           place="dropout_start_s", placed="first at {at}"),
    _fact("dropout_start_s", "first drop-out at", "s", 2),
    _fault("gap_s", "longest gap", "s", "silent for {value} in between", 0.2, 0.4, 2, aspect="gaps",
           place="gap_start_s", placed="from {at} on"),
    _fact("gap_start_s", "longest gap from", "s", 2),
    _fault("silence_head_s", "silent head", "s", "starts with {value} of silence", 0.05, 0.1, 2),
    _fault("silence_tail_s", "silent tail", "s", "ends with {value} of silence", 0.15, 0.3, 2),
    _fault("seam_db", "seam", "dB", "clicks where it repeats (a jump {value} above its own)", 3.0, 6.0),
    _fault("misfit_beats", "off the beat", "beats", "ends {value} off the beat", 0.06, 0.15, 2),
    _fault("hum_db", "mains hum", "dB", "hums like the mains ({value} of its own level)", 6.0, -40.0),
    _fault("mono_loss_db", "loss in mono", "dB", "loses {value} in mono", 2.0, 3.0, 1),
    _fault("dc_offset", "DC offset", "%", "off centre by {value} of full scale (DC)", 0.005, 0.01, 1),
    _fault("codec_cutoff_hz", "cut-off", "Hz", "empty above {value}, as lossy codecs leave it", 0.1, 16_500.0,
           is_low=True, is_log=True),
)  # fmt: skip

NEAREST = AttributeSpec(
    "nearest_distance",
    "distance of its nearest loops",
    aspect="nearest",
    more="unlike even its nearest loops",
    noticeable=0.3,
    digits=3,
    is_log=True,
)
"""The mean cosine distance of the nearest normal loops: what the encoder hears, where no attribute tells."""

ATTRIBUTES: Mapping[str, AttributeSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""The attributes that are numbers, by name; `key` and the sources are words."""
