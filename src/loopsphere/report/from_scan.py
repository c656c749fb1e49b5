"""From a scan to the record of its page: sound, pictures, places on the map, and where loops are odd."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path, PurePath

from loopsphere.audio import waveform_again
from loopsphere.collection.copies import DuplicateResult, find_duplicates
from loopsphere.explain import ATTRIBUTES
from loopsphere.report import LoopColumns, LoopDetail, LoopGroup, ReportData, write_page
from loopsphere.report.links import common_folder, loop_urls
from loopsphere.report.media import OPUS_RATE, opus_base64
from loopsphere.report.moments import Located, card_numbers
from loopsphere.report.places import map_places
from loopsphere.settings import Settings
from loopsphere.threads import n_cores
from loopsphere.types import EmbedResult, Explanation, LoopScore, Normality, ScoreResult, finite_or_none
from loopsphere.versions import code_digest, library_versions
from loopsphere.wording import counted

EMBEDDED_MB = 8.0
"""Sound that the page carries; what does not fit is played from where it lies."""
MAX_CARRIED_S = 60.0
"""Seconds of the longest loop that the page carries."""
_DEFAULTS = Settings()
_SOUNDS = "sounds"
_SOUND_BYTES_PER_S = 14_600
"""Of Opus in base64, at most; see `opus_base64`."""


def write_report(
    folder: str | os.PathLike[str],
    result: ScoreResult,
    embedded: EmbedResult,
    located: Mapping[str, Located],
    *,
    seconds: float | None = None,
    settings: Settings = _DEFAULTS,
) -> Path:
    """Write a scan's page.

    Parameters
    ----------
    folder : str or PathLike
        Gets `index.html`; made if it does not exist.
    result, embedded, located
        As for `make_report`.
    seconds : float or None
        That the scan took.
    settings : Settings
        Of the scan; its library remembers how loops compare, and their sound.

    Returns
    -------
    path : Path

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    facts = [("Seed", str(settings.seed)), ("Written", f"{datetime.now().astimezone():%d %B %Y, %H:%M}")]
    if seconds is not None:
        facts.append(("Took", f"{seconds:.0f} s"))
    facts += [(name, version) for name, version in library_versions().items()]
    duplicates = find_duplicates(
        embedded, related=False, library=settings.library, progress=settings.progress
    )
    data = make_report(
        result, embedded, located, folder, duplicates=duplicates, facts=facts, settings=settings
    )
    return write_page(folder, data)


def make_report(
    result: ScoreResult,
    embedded: EmbedResult,
    located: Mapping[str, Located],
    page_folder: str | os.PathLike[str],
    *,
    duplicates: DuplicateResult | None = None,
    facts: Sequence[tuple[str, str]] = (),
    settings: Settings = _DEFAULTS,
) -> ReportData:
    """Put together what the page shows.

    Parameters
    ----------
    result : ScoreResult
        With its explanations, where there are any.
    embedded : EmbedResult
        Of the same loops.
    located : mapping of path to Located
        From `loopsphere.report.moments.locate_odd`.
    page_folder : path
        Where the page will lie; sound that it does not carry is linked from there.
    duplicates : DuplicateResult or None
    facts : sequence of (name, value)
        Of the run: seed, versions, time.
    settings : Settings
        Its library remembers sound.

    Returns
    -------
    data : ReportData
    """
    paths = [loop.path for loop in result.loops]
    number = {path: i for i, path in enumerate(paths)}
    explanations = {explanation.path: explanation for explanation in result.explanations}
    details = {
        i: _detail(located[paths[i]], explanations.get(paths[i]), number)
        for i in card_numbers(result)
        if paths[i] in located
    }
    typical = [number[path] for path in result.normal.typical] if result.normal else []
    row_of = {path: row for row, path in enumerate(embedded.paths)}
    audio_hashes = dict(zip(embedded.paths, embedded.audio_hashes, strict=True))
    heard = dict.fromkeys([*details, *typical, *_neighbours(details)])
    carried = _carried([result.loops[i] for i in heard], audio_hashes, settings)
    places, caption = map_places(embedded.embedding[[row_of[path] for path in paths]])
    root, below, urls = loop_urls(paths, page_folder)
    return ReportData(
        title=PurePath(common_folder(paths)).name or "loops",
        alpha=result.alpha,
        threshold=finite_or_none(result.threshold),
        loops=LoopColumns(
            path=below,
            duration_s=[loop.duration_s for loop in result.loops],
            score=[loop.anomaly_score for loop in result.loops],
            p=[round(loop.p_value, 9) for loop in result.loops],
            x=[round(float(x), 4) for x in places[:, 0]],
            y=[round(float(y), 4) for y in places[:, 1]],
        ),
        root_url=root,
        urls=urls,
        map_caption=caption,
        details=details,
        audio={number[path]: sound for path, sound in carried.items()},
        typical=typical,
        modes=[
            LoopGroup(f"{counted(mode.n_loops, 'loop', 'loops')} like", [number[mode.prototype]])
            for mode in (result.normal.modes if result.normal else ())
        ],
        usual=_usual(result.normal),
        duplicates=_duplicate_groups(duplicates, number),
        skipped=[(file.path, file.reason) for file in result.skipped],
        notes=[f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in result.notes],
        facts=[
            ("Loops", f"{len(paths):,}"),
            ("Encoder", f"{result.encoder} ({embedded.encoder_hash[:12]})"),
            ("Detector", result.detector),
            ("False-alarm rate", f"{100 * result.alpha:g} %"),
            *facts,
        ],
    )


def _detail(found: Located, explanation: Explanation | None, number: Mapping[str, int]) -> LoopDetail:
    curve, heat, heat_shape, ranges = "", "", (0, 0), []
    if found.where is not None:
        curve, heat, heat_shape = found.where.curve, found.where.heat, found.where.heat_shape
        ranges = [
            [round(r.start_s, 2), round(r.end_s, 2), round(r.low_hz), round(r.high_hz), round(r.oddness, 2)]
            for r in found.where.ranges
        ]
    near = explanation.neighbours if explanation else ()
    return LoopDetail(
        peaks=found.peaks,
        spectrum=found.spectrum,
        spectrum_shape=found.spectrum_shape,
        curve=curve,
        heat=heat,
        heat_shape=heat_shape,
        ranges=ranges,
        reasons=[reason.text for reason in explanation.reasons] if explanation else [],
        faults=[reason.text for reason in explanation.faults] if explanation else [],
        explained=explanation is not None,
        neighbours=[(number[other.path], round(other.distance, 4)) for other in near],
    )


def _usual(normal: Normality | None) -> list[tuple[str, str]]:
    """Put each attribute's usual range into words."""
    shown = []
    for name, (low, high) in (normal.usual if normal else {}).items():
        spec = ATTRIBUTES[name]
        if spec.kind != "style":  # a list of faults that nobody has tells nothing
            continue
        unit = spec.shown(high).removeprefix(spec.shown(high).split(" ")[0])
        shown.append((spec.label[:1].upper() + spec.label[1:], spec.between(low, high, high) + unit))
    return shown


def _duplicate_groups(duplicates: DuplicateResult | None, number: Mapping[str, int]) -> list[LoopGroup]:
    """Number the loops of each group, and say why the first two are one."""
    if duplicates is None:
        return []
    group_of = {path: group for group, paths in enumerate(duplicates.groups) for path in paths}
    reasons: dict[int, str] = {}
    for pair in duplicates.pairs:
        group = group_of.get(pair.first)
        if group is not None and group == group_of.get(pair.second):
            reasons.setdefault(group, pair.reason)
    return [
        LoopGroup(reasons.get(group, ""), [number[path] for path in paths])
        for group, paths in enumerate(duplicates.groups)
    ]


def _neighbours(details: Mapping[int, LoopDetail]) -> list[int]:
    return [i for detail in details.values() for i, _ in detail.neighbours]


def _carried(
    wanted: Iterable[LoopScore],
    audio_hashes: Mapping[str, str],
    settings: Settings,
) -> dict[str, str]:
    """Encode loops until the page carries enough; a long one is passed over for a shorter one.

    Returns
    -------
    carried : dict of path to str
        Without loops that are gone or changed.
    """
    library, progress = settings.library, settings.progress
    left, paths = EMBEDDED_MB * 1e6, []
    for loop in wanted:
        # Before it is encoded: its length tells how large it will be to a few parts in a hundred.
        expected = loop.duration_s * _SOUND_BYTES_PER_S
        if loop.duration_s <= MAX_CARRIED_S and expected <= left:
            paths.append(loop.path)
            left -= expected
    made_by = f"{code_digest('report/media.py', 'audio')} {library_versions()}"
    key_of = {path: hashlib.sha256(f"{audio_hashes[path]} {made_by}".encode()).hexdigest() for path in paths}
    known = {} if library is None else library.made(_SOUNDS, set(key_of.values()))
    missing = [path for path in paths if key_of[path] not in known]
    new: dict[str, bytes] = {}
    progress("packing sound", 0, len(missing))
    with ThreadPoolExecutor(n_cores()) as pool:
        hashes = [audio_hashes[path] for path in missing]
        for n_done, (path, sound) in enumerate(zip(missing, pool.map(_packed, missing, hashes), strict=True)):
            if sound is not None:
                new[key_of[path]] = sound
            progress("packing sound", n_done + 1, len(missing))
    if library is not None and new:
        library.try_to(partial(library.put_made, _SOUNDS, new))
    every = known | new
    return {path: every[key_of[path]].decode() for path in paths if key_of[path] in every}


def _packed(path: str, audio_hash: str) -> bytes | None:
    """Return a loop's sound as text; None if it is gone or another."""
    waveform = waveform_again(path, OPUS_RATE, audio_hash)
    return None if waveform is None else opus_base64(waveform).encode()
