"""What the page shows, as one record that JSON can hold; loops are numbered from the oddest, 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LoopColumns:
    """All loops, a list a column, the oddest first; twenty thousand of them are 3 MB.

    Attributes
    ----------
    path : list of str
        Relative to `ReportData.root_url` with forward slashes, or absolute for a loop elsewhere.
    duration_s : list of float
    score : list of float
        Anomaly score, never rising.
    p : list of float
    x, y : list of float
        Place on the map, within the unit circle.
    """

    path: list[str]
    duration_s: list[float]
    score: list[float]
    p: list[float]
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class LoopDetail:
    """What a card shows of one loop; byte arrays are base64.

    Attributes
    ----------
    peaks : str
        int8 of shape (n_columns, 2): lowest and highest sample of each column, 127 at the loop's own peak.
    spectrum : str
        uint8 of shape `spectrum_shape` (n_bands, n_columns), bands from low to high, 255 the loudest.
    spectrum_shape : (int, int)
    curve : str
        uint8 of shape (n_bins,): oddness times 64. Empty where nothing is known.
    heat : str
        uint8 of shape `heat_shape` (n_bands, n_bins): the same for each band.
    heat_shape : (int, int)
    ranges : list of [start_s, end_s, low_hz, high_hz, oddness]
    reasons : list of str
        What sets it apart, the strongest first.
    faults : list of str
        Those of the reasons, and others, that tell of something that went wrong.
    explained : bool
        Whether reasons were looked for.
    neighbours : list of (number of the loop, cosine distance)
        The nearest normal loops.
    """

    peaks: str
    spectrum: str
    spectrum_shape: tuple[int, int]
    curve: str = ""
    heat: str = ""
    heat_shape: tuple[int, int] = (0, 0)
    ranges: list[list[float]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    explained: bool = False
    neighbours: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class LoopGroup:
    """Loops that belong together: a line about them, and their numbers."""

    text: str
    loops: list[int]


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Attributes
    ----------
    title : str
        The collection's name.
    alpha : float
    threshold : float or None
        The score from which a loop is odd; None where too few loops can promise `alpha`.
    loops : LoopColumns
    root_url : str
        In front of each percent-encoded path; relative to the page or a `file:` URL, with a slash at its end.
    urls : mapping of number to str
        Of the loops that do not lie below the root.
    audio : mapping of number to str
        Ogg Opus in base64, of the loops that the page carries; the others are played from where they lie.
    details : mapping of number to LoopDetail
        Of the loops that have a card.
    map_caption : str
    typical : list of int
        The most typical first.
    modes : list of LoopGroup
        The collection's kinds of loops, each with its prototype.
    usual : list of (str, str)
        Each attribute's label and where nine tenths of the normal loops lie.
    duplicates : list of LoopGroup
    skipped : list of (path, reason)
    notes : list of str
        Sentences.
    facts : list of (str, str)
        Encoder, detector, seed, versions, time.
    """

    title: str
    alpha: float
    threshold: float | None
    loops: LoopColumns
    root_url: str
    map_caption: str
    urls: Mapping[int, str] = field(default_factory=dict)
    audio: Mapping[int, str] = field(default_factory=dict)
    details: Mapping[int, LoopDetail] = field(default_factory=dict)
    typical: list[int] = field(default_factory=list)
    modes: list[LoopGroup] = field(default_factory=list)
    usual: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[LoopGroup] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
