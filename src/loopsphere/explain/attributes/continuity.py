"""Does it loop without a click, and is there sound all the way: seam, silence, drop-outs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loopsphere.explain.attributes.levels import peak
from loopsphere.explain.attributes.spectra import pieces
from loopsphere.types import Float32Array

_HOP_S = 0.001
_SILENT_DB = -60.0
_EDGE_DB = -50.0
# A drop-out falls from here to silence within so many hops; a note that is let go takes longer.
_ABRUPT_FROM_DB = -28.0
_ABRUPT_HOPS = 3
_MIN_DROPOUT_S = 0.004
_SEAM_CONTEXT_S = 0.1
_INAUDIBLE_JUMP = 3e-4
_ROUNDING_JUMP = 4 * 2.0**-15
"""What rounding to 16 bits can bend a waveform by; a smaller bend is another one on another processor."""


@dataclass(frozen=True)
class Silences:
    """Where a loop is silent, in seconds.

    Attributes
    ----------
    head_s, tail_s : float
        Before the first and after the last sound: 50 dB below the peak.
    gap_s : float
        The longest silence between: 60 dB below the peak.
    dropout_s : float
        All silences between that a sound falls into within three milliseconds, together.
    gap_start_s, dropout_start_s : float or None
        Where the longest of those, and the first of these, begins; None where there is none.
    """

    head_s: float
    tail_s: float
    gap_s: float
    dropout_s: float
    gap_start_s: float | None = None
    dropout_start_s: float | None = None


def silences(samples: Float32Array, sample_rate: int) -> Silences:
    """Find head, tail, gaps and drop-outs.

    Parameters
    ----------
    samples : float32 ndarray of shape (n_samples, n_channels)
        Not all zero.
    sample_rate : int
        Hz.

    Returns
    -------
    silences : Silences
    """
    n_hop = max(1, round(_HOP_S * sample_rate))
    hop_s = n_hop / sample_rate
    parts = pieces(len(samples), multiple=n_hop)
    envelope = np.concatenate([_envelope(samples[part], n_hop) for part in parts])
    envelope_db = 20.0 * np.log10(np.maximum(envelope / envelope.max(), 1e-6))
    sounding = np.flatnonzero(envelope_db > _EDGE_DB)
    first, last = int(sounding[0]), int(sounding[-1])
    is_silent = (envelope_db[first : last + 1] < _SILENT_DB).view(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_silent, [0]])))
    begins, ends = edges[::2] + first, edges[1::2] + first
    if not len(begins):
        return Silences(first * hop_s, (len(envelope) - 1 - last) * hop_s, 0.0, 0.0)
    before = np.maximum(begins[:, None] - 1 - np.arange(_ABRUPT_HOPS), 0)
    is_abrupt = (envelope_db[before].max(axis=1) > _ABRUPT_FROM_DB) & (
        (ends - begins) * hop_s >= _MIN_DROPOUT_S
    )
    return Silences(
        head_s=first * hop_s,
        tail_s=(len(envelope) - 1 - last) * hop_s,
        gap_s=float((ends - begins).max() * hop_s),
        dropout_s=float((ends - begins)[is_abrupt].sum() * hop_s),
        gap_start_s=float(begins[np.argmax(ends - begins)] * hop_s),
        dropout_start_s=float(begins[is_abrupt][0] * hop_s) if is_abrupt.any() else None,
    )


def _envelope(samples: Float32Array, n_hop: int) -> Float32Array:
    magnitude = np.abs(samples).max(axis=1)
    return np.maximum.reduceat(magnitude, np.arange(0, len(magnitude), n_hop))


def seam_db(waveform: Float32Array, sample_rate: int) -> float | None:
    """Measure the click where the end meets the start.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono.
    sample_rate : int
        Hz.

    Returns
    -------
    jump : float or None
        By how many dB the bend of the waveform at the seam exceeds those around it and the sharpest
        thousandth of the loop's own; 0 or less is none. None for loops too short to tell.
    """
    n_context = int(_SEAM_CONTEXT_S * sample_rate)
    if len(waveform) < 4 * n_context:
        return None
    highest = np.float32(peak(waveform))
    bends = np.empty(len(waveform) - 2, dtype=np.float32)
    for piece in pieces(len(bends)):
        bends[piece] = np.abs(np.diff(waveform[piece.start : piece.stop + 2] / highest, 2))
    around = np.concatenate([waveform[-3:], waveform[:3]]) / highest
    at_seam = float(np.abs(np.diff(around, 2)).max())
    near = np.concatenate([bends[-n_context:], bends[:n_context]])
    sharpest = float(np.quantile(bends, 0.999, overwrite_input=True))
    usual = max(float(np.quantile(near, 0.99)), sharpest, _INAUDIBLE_JUMP)
    return float(20.0 * np.log10(max(at_seam, _ROUNDING_JUMP) / usual))
