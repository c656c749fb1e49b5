"""The verb `duplicates`: loops that are one and the same, nearly the same, or another one moved."""

from __future__ import annotations

from typing import TextIO

from loopsphere.collection.copies import DuplicateResult, find_duplicates
from loopsphere.collection.embedding import Sources, embed_with
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent
from loopsphere.settings import Settings


def duplicates(
    sources: Sources,
    *,
    related: bool = True,
    library: Library | None = None,
    progress: Progress = silent,
    stdin: TextIO | None = None,
) -> DuplicateResult:
    """Find copies in any format, near-duplicates, and loops that are another one moved.

    Parameters
    ----------
    sources, progress, stdin
        As for `embed`.
    related : bool, default=True
        Also look for loops that are another one shifted in time or pitch.
    library : Library or None
        Remembers fingerprints, and what comparing came to.

    Returns
    -------
    result : DuplicateResult

    Raises
    ------
    NothingUsableError
        No loop could be read.

    Examples
    --------
    >>> import loopsphere as ls
    >>> for group in ls.duplicates("loops").groups:  # doctest: +SKIP
    ...     print(group)
    """
    # Fingerprints alone, which need no network.
    embedded = embed_with(sources, None, Settings(library=library, progress=progress), stdin=stdin)
    return find_duplicates(embedded, related=related, library=library, progress=progress)
