"""Why a loop is odd, where, compared with what: from arrays and callables, in a musician's words and units."""

from loopsphere.explain.attributes import ATTRIBUTES, ATTRIBUTES_VERSION, Attributes, AttributeSpec, measure
from loopsphere.explain.names import Hints, hints_from

__all__ = [
    "ATTRIBUTES",
    "ATTRIBUTES_VERSION",
    "AttributeSpec",
    "Attributes",
    "Hints",
    "hints_from",
    "measure",
]
