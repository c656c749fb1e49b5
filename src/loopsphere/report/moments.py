"""Where loops are odd: their files read again, and compared moment by moment with normal ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from threading import Lock

import numpy as np

from loopsphere.audio import waveform_again
from loopsphere.encoders import Encoder
from loopsphere.explain.localise import Localisation, OddRange, Run, TokenMemory
from loopsphere.features.config import MelConfig
from loopsphere.features.mel import log_mel
from loopsphere.report.media import oddness_base64, peaks_base64, spectrum_base64
from loopsphere.room import ROOM
from loopsphere.settings import Settings
from loopsphere.threads import workers
from loopsphere.types import EmbedResult, Float32Array, ScoreResult, TokenGrid
from loopsphere.versions import code_digest, library_versions

MAX_CARDS = 60
"""Loops with a card: picture, curve and neighbours. The others are rows of a list."""
MIN_CARDS = 12
N_COMPARED = 200
"""Normal loops, drawn evenly, that moments are compared with."""


_WAVE_COLUMNS, _HEAT_COLUMNS, _SPECTRUM_COLUMNS, _SPECTRUM_BANDS = 300, 160, 240, 64
_KIND = "located"
_CODE = ("report/moments.py", "explain/localise.py", "report/media.py", "features", "encoders", "models")

LoadEncoder = Callable[[], Encoder]
"""Returns the encoder that made the embeddings; called where its networks are needed, and not otherwise."""


@dataclass(frozen=True)
class Moments:
    """How odd each moment of a loop is; curve and heat as `LoopDetail` has them.

    Attributes
    ----------
    curve, heat : str
    heat_shape : (int, int)
    ranges : tuple of OddRange
        In order of time.
    """

    curve: str
    heat: str
    heat_shape: tuple[int, int]
    ranges: tuple[OddRange, ...]


@dataclass(frozen=True)
class Located:
    """What one loop looks like, and where it is odd.

    Attributes
    ----------
    peaks, spectrum : str
        As `LoopDetail` has them.
    spectrum_shape : (int, int)
    where : Moments or None
        None where there are too few normal loops to compare with.
    """

    peaks: str
    spectrum: str
    spectrum_shape: tuple[int, int]
    where: Moments | None

    def to_bytes(self) -> bytes:
        """Return it as a library keeps it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Located:
        """Read what `to_bytes` returned."""
        stored = json.loads(content)
        where = stored["where"]
        if where is not None:
            ranges = tuple(OddRange(**each) for each in where["ranges"])
            where = Moments(where["curve"], where["heat"], _pair(where["heat_shape"]), ranges)
        return cls(stored["peaks"], stored["spectrum"], _pair(stored["spectrum_shape"]), where)


def locate(
    paths: Sequence[str],
    normal_paths: Sequence[str],
    embedded: EmbedResult,
    encoder: LoadEncoder,
    settings: Settings,
) -> dict[str, Located]:
    """Tell where loops are odd, against a sample of the normal ones.

    Parameters
    ----------
    paths : sequence of str
        The loops asked about.
    normal_paths : sequence of str
        `N_COMPARED` of them at most are drawn.
    embedded : EmbedResult
        Of all these loops.
    encoder : callable
    settings : Settings
        Its library remembers it, for as long as the same loops are compared with.

    Returns
    -------
    located : dict of path to Located
        Without files that are gone or changed.
    """
    seed, library, progress = settings.seed, settings.library, settings.progress
    audio_hashes = dict(zip(embedded.paths, embedded.audio_hashes, strict=True))
    drawn = np.random.default_rng([seed, 31]).permutation(len(normal_paths))[:N_COMPARED]
    normal = [normal_paths[i] for i in drawn]
    compared = [audio_hashes[path] for path in normal]
    made_by = [compared, embedded.encoder_hash, seed, code_digest(*_CODE), library_versions()]
    context = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()
    key_of = {path: f"{audio_hashes[path]}-{context}" for path in paths}
    known = {} if library is None else library.made(_KIND, set(key_of.values()))
    located = {path: Located.from_bytes(known[key]) for path, key in key_of.items() if key in known}
    missing = [path for path in paths if path not in located]
    if not missing:
        return located
    loaded = encoder()
    look = _Look(loaded, audio_hashes, TokenMemory(random_state=seed))
    n_done, n_all = 0, len(normal) + len(missing)
    progress("looking where", 0, n_all)
    grids = []
    with workers() as pool:
        for found in pool.map(look.grids, normal):
            grids += [] if found is None else [found]
            n_done += 1
            progress("looking where", n_done, n_all)
        look.learn(grids, pool.map)
        new = {}
        for path, answer in zip(missing, pool.map(look.at, missing), strict=True):
            if answer is not None:
                new[path] = answer
            n_done += 1
            progress("looking where", n_done, n_all)
    # Not where a loop to compare with was gone, or 'auto' takes another precision than it did.
    if library is not None and len(grids) == len(normal) and loaded.hash == embedded.encoder_hash:
        contents = {key_of[path]: answer.to_bytes() for path, answer in new.items()}
        library.try_to(partial(library.put_made, _KIND, contents))
    return located | new


class _Look:
    """Look at one loop after the other; several threads may."""

    def __init__(self, encoder: Encoder, audio_hashes: Mapping[str, str], memory: TokenMemory) -> None:
        self._encoder = encoder
        self._audio_hashes = audio_hashes
        self._memory = memory
        self._has_learnt = False
        # One network at a time on a GPU; on a CPU each worker runs its own.
        self._turn = nullcontext() if encoder.device == "cpu" else Lock()

    def grids(self, path: str) -> tuple[TokenGrid, ...] | None:
        """Return a loop's tokens; None where it is gone or changed."""
        with ROOM.one_loop():
            waveform = self._waveform(path)
            if waveform is None:
                return None
            with self._turn:
                return self._encoder.token_grids(waveform)

    def learn(self, normal: Sequence[tuple[TokenGrid, ...]], run: Run) -> None:
        """Take the tokens of normal loops, if they are enough, to compare with."""
        if len(normal) > 1:
            self._memory.fit(normal, run=run)
            self._has_learnt = True

    def at(self, path: str) -> Located | None:
        """Return what a loop looks like and where it is odd; None where it is gone or changed."""
        with ROOM.one_loop():
            waveform = self._waveform(path)
            if waveform is None:
                return None
            where = None
            if self._has_learnt:
                with self._turn:
                    grids = self._encoder.token_grids(waveform)
                where = _moments(self._memory.localise(grids))
            spectrum, shape = _spectrum(waveform, self._encoder.mel)
            return Located(peaks_base64(waveform, _WAVE_COLUMNS), spectrum, shape, where)

    def _waveform(self, path: str) -> Float32Array | None:
        return waveform_again(path, self._encoder.mel.sample_rate, self._audio_hashes[path])


def _moments(found: Localisation) -> Moments:
    curve, _ = oddness_base64(found.curve, _HEAT_COLUMNS)
    heat, (n_bands, n_bins) = oddness_base64(found.heat, _HEAT_COLUMNS)
    return Moments(curve, heat, (n_bands, n_bins), found.ranges)


def _spectrum(waveform: Float32Array, config: MelConfig) -> tuple[str, tuple[int, int]]:
    mel = log_mel(waveform, config)
    n_frames = max(1, round(len(waveform) / config.hop_length))  # without the repeats
    return spectrum_base64(mel[:n_frames], _SPECTRUM_BANDS, _SPECTRUM_COLUMNS)


def _pair(values: Sequence[int]) -> tuple[int, int]:
    first, second = values
    return first, second


def locate_odd(
    result: ScoreResult,
    embedded: EmbedResult,
    encoder: LoadEncoder,
    settings: Settings,
) -> dict[str, Located]:
    """Tell where the odd loops, and others that get a card, are odd; see `locate`.

    As for the explanations, they are compared with loops that are not odd and not among the oddest fifth.
    """
    cards = set(card_numbers(result))
    asked = [loop.path for i, loop in enumerate(result.loops) if loop.is_odd or i in cards]
    trusted = result.loops[max(len(cards), len(result.loops) // 5) :]
    normal = [loop.path for loop in trusted if not loop.is_odd]
    return locate(asked, normal, embedded, encoder, settings)


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
