"""Find, rank and explain the odd loops in a collection.

>>> import loopsphere as ls
>>> model = ls.fit("loops/bass")  # doctest: +SKIP
>>> ls.score(model, "new/").to_frame()  # doctest: +SKIP

The verbs import their libraries when they are first used, so that `import loopsphere` is cheap.

References
----------
'Learning Normal Patterns in Musical Loops', arXiv 2505.23784.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopsphere.collection.embedding import embed as embed
    from loopsphere.encoders import load_encoder as load_encoder
    from loopsphere.learning.model import Model as Model
    from loopsphere.learning.model import load_model as load_model
    from loopsphere.library import Library as Library
    from loopsphere.library import open_library as open_library
    from loopsphere.verbs.duplicates import duplicates as duplicates
    from loopsphere.verbs.explain_loop import explain_loop as explain_loop
    from loopsphere.verbs.fit import fit as fit
    from loopsphere.verbs.scan import Scan as Scan
    from loopsphere.verbs.scan import scan as scan
    from loopsphere.verbs.score import Scores as Scores
    from loopsphere.verbs.score import score as score
    from loopsphere.verbs.similar import similar as similar

    __version__: str

_MODULES = {
    "Library": "loopsphere.library",
    "Model": "loopsphere.learning.model",
    "Scan": "loopsphere.verbs.scan",
    "Scores": "loopsphere.verbs.score",
    "duplicates": "loopsphere.verbs.duplicates",
    "embed": "loopsphere.collection.embedding",
    "explain_loop": "loopsphere.verbs.explain_loop",
    "fit": "loopsphere.verbs.fit",
    "load_encoder": "loopsphere.encoders",
    "load_model": "loopsphere.learning.model",
    "open_library": "loopsphere.library",
    "scan": "loopsphere.verbs.scan",
    "score": "loopsphere.verbs.score",
    "similar": "loopsphere.verbs.similar",
}

__all__ = [
    "Library",
    "Model",
    "Scan",
    "Scores",
    "duplicates",
    "embed",
    "explain_loop",
    "fit",
    "load_encoder",
    "load_model",
    "open_library",
    "scan",
    "score",
    "similar",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("loopsphere")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__", "__doc__"]
