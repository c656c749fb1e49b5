"""Seeded loops with known faults: what the demo, the tests, the benchmark and the pre-training stand on."""

from loopsphere.synth.collection import LABELS_NAME, LabelledLoop, render_collection
from loopsphere.synth.faults import FAULTS, MAGNITUDES, Fault, FaultKind, Planted, faults_for, plant
from loopsphere.synth.instruments import INSTRUMENTS
from loopsphere.synth.patterns import STYLES, random_spec, styles_of
from loopsphere.synth.render import render
from loopsphere.synth.spec import SCALES, LoopSpec

__all__ = [
    "FAULTS",
    "INSTRUMENTS",
    "LABELS_NAME",
    "MAGNITUDES",
    "SCALES",
    "STYLES",
    "Fault",
    "FaultKind",
    "LabelledLoop",
    "LoopSpec",
    "Planted",
    "faults_for",
    "plant",
    "random_spec",
    "render",
    "render_collection",
    "styles_of",
]
