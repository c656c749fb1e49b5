"""What every step of a run is to use."""

from __future__ import annotations

from dataclasses import dataclass

from loopsphere.encoders.precision import DEFAULT_PRECISION
from loopsphere.library.store import Library
from loopsphere.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """How a run computes, and what it remembers; the verbs make one of their arguments and hand it on.

    Attributes
    ----------
    device : str
        'auto', or as torch names it.
    precision : {'float32', 'bfloat16', 'auto'}
        Of the encoder's networks.
    seed : int
        Of all that is drawn at random.
    library : Library or None
        Remembers what is computed, and gives it back.
    progress : callable
        Called as `progress(what, n_done, n_total)`.
    """

    device: str = "auto"
    precision: str = DEFAULT_PRECISION
    seed: int = 0
    library: Library | None = None
    progress: Progress = silent
