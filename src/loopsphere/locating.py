"""Where loops are odd: their files read again, and compared moment by moment with normal ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loopsphere.audio import waveform_again
from loopsphere.embedding import Progress, silent
from loopsphere.encoders import Encoder
from loopsphere.explain.localise import Localisation, OddRange, TokenMemory
from loopsphere.types import EmbedResult, Float32Array, ScoreResult

MAX_CARDS = 60
"""Loops with a card: picture, curve and neighbours. The others are rows of a list."""
MIN_CARDS = 12
N_COMPARED = 200
"""Normal loops, drawn evenly, that moments are compared with."""


@dataclass(frozen=True)
class Located:
    """Where one loop is odd, and how it sounds at the encoder's rate.

    Attributes
    ----------
    waveform : float32 ndarray of shape (n_samples,)
    where : Localisation or None
        None where there are too few normal loops to compare with.
    """

    waveform: Float32Array
    where: Localisation | None


def locate(
    paths: Sequence[str],
    normal_paths: Sequence[str],
    audio_hashes: Mapping[str, str],
    encoder: Encoder,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Located]:
    """Tell where loops are odd, against a sample of the normal ones.

    Parameters
    ----------
    paths : sequence of str
        The loops asked about.
    normal_paths : sequence of str
        `N_COMPARED` of them at most are drawn.
    audio_hashes : mapping of path to str
        Of all these loops, when they were embedded.
    encoder : Encoder
    seed : int, default=0
    progress : callable

    Returns
    -------
    located : dict of path to Located
        Without files that are gone or changed.
    """
    rng = np.random.default_rng([seed, 31])
    drawn = rng.permutation(len(normal_paths))[:N_COMPARED]
    n_all, n_done = len(drawn) + len(paths), 0
    progress("looking where", 0, n_all)
    rate, compared = encoder.mel.sample_rate, []
    for i in drawn:
        waveform = waveform_again(normal_paths[i], rate, audio_hashes[normal_paths[i]])
        if waveform is not None:
            compared.append(encoder.token_grids(waveform))
        n_done += 1
        progress("looking where", n_done, n_all)
    memory = TokenMemory(random_state=seed).fit(compared) if len(compared) > 1 else None
    located = {}
    for path in paths:
        waveform = waveform_again(path, rate, audio_hashes[path])
        if waveform is not None:
            where = memory.localise(encoder.token_grids(waveform)) if memory else None
            located[path] = Located(waveform, where)
        n_done += 1
        progress("looking where", n_done, n_all)
    return located


def locate_odd(
    result: ScoreResult,
    embedded: EmbedResult,
    encoder: Encoder,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Located]:
    """Tell where the odd loops, and others that get a card, are odd; see `locate`.

    As for the explanations, they are compared with loops that are not odd and not among the oddest fifth.
    """
    cards = set(card_numbers(result))
    asked = [loop.path for i, loop in enumerate(result.loops) if loop.is_odd or i in cards]
    trusted = result.loops[max(len(cards), len(result.loops) // 5) :]
    normal = [loop.path for loop in trusted if not loop.is_odd]
    audio_hashes = dict(zip(embedded.paths, embedded.audio_hashes, strict=True))
    return locate(asked, normal, audio_hashes, encoder, seed=seed, progress=progress)


def ranges_of(result: ScoreResult, located: Mapping[str, Located]) -> dict[str, tuple[OddRange, ...]]:
    """Return the odd stretches of each odd loop that was looked into."""
    found = {}
    for loop in result.loops:
        where = located[loop.path].where if loop.path in located else None
        if loop.is_odd and where is not None:
            found[loop.path] = where.ranges
    return found


def card_numbers(result: ScoreResult) -> list[int]:
    """Return which loops get a card: the odd ones, a dozen at least and `MAX_CARDS` at most."""
    n_odd = sum(loop.is_odd for loop in result.loops)
    return list(range(min(max(n_odd, MIN_CARDS), MAX_CARDS, len(result.loops))))
