"""Which loops may be another one moved: sketches that stay alike when a loop is turned or transposed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft

from loopsphere.matching.fingerprint import FINGERPRINT_DIM, count_sketch, ring_fingerprint, row_blocks
from loopsphere.matching.relation import TRANSPOSED_COSINE, pitch_map
from loopsphere.matching.verdicts import Pair, ordered
from loopsphere.types import Float32Array

MOVED_KIND = "moved-1"
"""Name and version of the sketches; raise it when they change, as libraries keep them."""

_LENGTH_SLACK = 0.002  # of the length: a loop that was moved is as long as it was
_N_INTERVALS = 128  # no fewer than the pitches and an octave more, so that no pitch comes round
_RING_COSINE, _ANYWHERE_COSINE = 0.8, 0.6
_N_NEIGHBOURS = 16  # in a pack, other takes of a riff may come before the loop itself


def moved_sketch(waveform: Float32Array) -> Float32Array:
    """Return what finds a loop again where it was moved.

    Parameters
    ----------
    waveform : float32 ndarray of shape (n_samples,)
        Mono, at 16 kHz.

    Returns
    -------
    sketch : float32 ndarray of shape (3 * FINGERPRINT_DIM,)
        Three parts of norm 1. The first stays the same wherever the loop begins; the second stays about
        the same where its notes are transposed; the third says which notes they are. The last two are zero
        where there is a single note.

    References
    ----------
    Bertin-Mahieux and Ellis 2012, 'Large-scale cover song recognition using the 2D Fourier transform
    magnitude', of which the second part is the half over pitches.
    """
    notes = pitch_map(waveform)
    if notes is None:
        silent = np.zeros(2 * FINGERPRINT_DIM, dtype=np.float32)
        return np.concatenate([ring_fingerprint(waveform), silent])
    # Of changes alone: what rings on is alike in all loops of a pack.
    anywhere = np.abs(scipy.fft.rfft(np.diff(notes, axis=0), _N_INTERVALS, axis=1))
    parts = [count_sketch(part.ravel(), np.arange(part.size)) for part in (anywhere, notes)]
    return np.concatenate([ring_fingerprint(waveform), *parts])


def have_equals(durations_s: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which loops are as long as another one; only these may be another one moved."""
    order = np.argsort(durations_s)
    is_near = np.diff(durations_s[order]) <= _LENGTH_SLACK * durations_s[order][1:]
    found = np.zeros(len(durations_s), dtype=bool)
    found[order[:-1][is_near]] = True
    found[order[1:][is_near]] = True
    return found


def moved_candidates(
    audio_hashes: Sequence[str], durations_s: npt.NDArray[np.float64], sketches: Float32Array
) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs of loops of one length of which one may be the other, turned or transposed.

    Parameters
    ----------
    audio_hashes : sequence of str
        All different.
    durations_s : float64 ndarray of shape (n_loops,)
    sketches : float32 ndarray of shape (n_loops, 3 * FINGERPRINT_DIM)

    Returns
    -------
    turned, transposed : list of (str, str)
        The smaller hash first. Of each loop, the most likely few of each kind; those of one length lie
        together.
    """
    order = np.argsort(durations_s, kind="stable")
    durations = durations_s[order]
    ring, anywhere, notes = np.split(sketches[order], 3, axis=1)
    pairs: tuple[dict[Pair, None], dict[Pair, None]] = ({}, {})
    for block in row_blocks(len(order)):
        near, is_possible = _as_long(durations, block)
        turned = np.where(is_possible, ring[block] @ ring[near].T, 0.0)
        # What has the same notes where they are is no transposition.
        is_higher = is_possible & (notes[block] @ notes[near].T < TRANSPOSED_COSINE)
        higher = np.where(is_higher, anywhere[block] @ anywhere[near].T, 0.0)
        for found, likeness, least in zip(
            pairs, (turned, higher), (_RING_COSINE, _ANYWHERE_COSINE), strict=True
        ):
            for row, column in _nearest(likeness, least):
                first, second = order[block.start + row], order[near.start + column]
                found[ordered(audio_hashes[first], audio_hashes[second])] = None
    return list(pairs[0]), list(pairs[1])


def _as_long(durations: npt.NDArray[np.float64], rows: slice) -> tuple[slice, npt.NDArray[np.bool_]]:
    """Return the columns that may be as long as some of the rows, and which of them are, but for itself.

    `durations` ascend, so that these columns lie side by side.
    """
    own = durations[rows]
    lowest, highest = own[0] * (1.0 - _LENGTH_SLACK), own[-1] / (1.0 - _LENGTH_SLACK)
    near = slice(np.searchsorted(durations, lowest), np.searchsorted(durations, highest, side="right"))
    longer = np.maximum(own[:, None], durations[near])
    is_as_long = np.abs(own[:, None] - durations[near]) <= _LENGTH_SLACK * longer
    number = np.arange(len(own))
    is_as_long[number, number + rows.start - near.start] = False
    return near, is_as_long


def _nearest(likeness: Float32Array, least: float) -> list[tuple[int, int]]:
    """Return each row with its few highest columns that reach the least."""
    n_taken = min(_N_NEIGHBOURS, likeness.shape[1])
    columns = np.argpartition(-likeness, n_taken - 1, axis=1)[:, :n_taken]
    rows = np.broadcast_to(np.arange(len(likeness))[:, None], columns.shape)
    is_like = np.take_along_axis(likeness, columns, axis=1) >= least
    return list(zip(rows[is_like].tolist(), columns[is_like].tolist(), strict=True))
