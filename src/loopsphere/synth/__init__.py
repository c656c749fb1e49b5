"""Seeded loops with known faults: what the demo, the tests, the benchmark and the pre-training stand on."""

from loopsphere.synth.instruments import INSTRUMENTS
from loopsphere.synth.patterns import STYLES, random_spec, styles_of
from loopsphere.synth.render import render
from loopsphere.synth.spec import SCALES, LoopSpec

__all__ = ["INSTRUMENTS", "SCALES", "STYLES", "LoopSpec", "random_spec", "render", "styles_of"]
