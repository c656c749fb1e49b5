"""What a loop sounds like, in a word, from the tags that musicnn gives it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SOUNDS: dict[str, tuple[int, ...]] = {
    "a guitar": (0,),
    "drums": (5, 11, 41),
    "a synth": (3, 6, 14),
    "a piano": (9, 22),
    "strings": (4, 12, 43),
    "a voice": (13, 15, 18, 19, 20, 26, 27, 33, 35, 36, 39, 40, 48, 49),
    "a flute": (25,),
    "a sitar": (31,),
    "a harp": (42,),
    "soft pads": (10, 37),
}
"""Words, and the places of the tags of MagnaTagATune that stand for each (its fifty most frequent, in
musicnn's order). Tags of style and tempo name no sound and are left out; a bass has no tag of its own."""
_CLEAR = 1.25  # how far the first word must be ahead of the second


def sounds_of(tags: npt.NDArray[np.floating]) -> list[str | None]:
    """Return what each loop sounds like.

    Parameters
    ----------
    tags : ndarray of shape (n_loops, 50)
        musicnn's probabilities, in any one unit for each loop.

    Returns
    -------
    sounds : list of str or None
        A key of `SOUNDS`; None where no word is clearly ahead.
    """
    words = list(SOUNDS)
    strength = np.stack([tags[:, list(places)].max(axis=1) for places in SOUNDS.values()], axis=1)
    order = np.argsort(-strength, axis=1, kind="stable")
    first, second = (np.take_along_axis(strength, order[:, [rank]], axis=1)[:, 0] for rank in (0, 1))
    is_clear = first > _CLEAR * np.maximum(second, 0.0)
    return [words[best] if clear else None for best, clear in zip(order[:, 0], is_clear, strict=True)]
