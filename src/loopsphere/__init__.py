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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopsphere.embedding import embed as embed
    from loopsphere.model import Model as Model
    from loopsphere.model import load_model as load_model
    from loopsphere.one_loop import explain_loop as explain_loop
    from loopsphere.pipeline import fit as fit
    from loopsphere.pipeline import scan as scan
    from loopsphere.pipeline import score as score

_MODULES = {
    "Model": "loopsphere.model",
    "embed": "loopsphere.embedding",
    "explain_loop": "loopsphere.one_loop",
    "fit": "loopsphere.pipeline",
    "load_model": "loopsphere.model",
    "scan": "loopsphere.pipeline",
    "score": "loopsphere.pipeline",
}

__all__ = ["Model", "embed", "explain_loop", "fit", "load_model", "scan", "score"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
