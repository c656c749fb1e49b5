"""Why a loop is odd, where, compared with what: from arrays and callables, in a musician's words."""

from loopsphere.explain.attributes.measure import ATTRIBUTES_VERSION, Attributes, measure, with_hints
from loopsphere.explain.filename_hints import Hints, hints_from
from loopsphere.explain.reasons import Reference, faults, top_reasons, with_nearest
from loopsphere.explain.vocabulary import ATTRIBUTES, AttributeSpec

__all__ = [
    "ATTRIBUTES",
    "ATTRIBUTES_VERSION",
    "AttributeSpec",
    "Attributes",
    "Hints",
    "Reference",
    "faults",
    "hints_from",
    "measure",
    "top_reasons",
    "with_hints",
    "with_nearest",
]
