"""Does the explanation name what was planted, and are tempo and key right? Where the truth is known.

Run `python benchmarks/explanations.py --out benchmarks/explanations.md`; about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from loopsphere.explain import Hints, Reference, hints_from, measure, top_reasons
from loopsphere.explain.names import PITCH_NAMES
from loopsphere.synth import INSTRUMENTS, SCALES, LoopSpec, plant, random_spec, render, styles_of
from loopsphere.types import Float32Array, Recording

FAMILIES = ("bass", "guitar", "drums", "keys")
N_PACKS, LOOPS_A_PACK = 4, 25
FAULTS_EACH = 8

# What may be named for each fault, written down before anything was measured: the attribute that the fault
# changes by its nature, not what it happens to change besides. Faults of identity (another instrument, genre or
# content, reversed sound) have no attribute of their own and are not counted.
ADMISSIBLE: dict[str, frozenset[str]] = {
    "wrong_register": frozenset({"pitch_low_midi", "pitch_high_midi", "brightness_hz", "low_end_share"}),
    "detuned": frozenset({"tuning_cents"}),
    "tempo": frozenset({"tempo_bpm"}),
    "off_grid": frozenset({"timing_ms", "swing"}),
    "other_scale": frozenset({"key", "scale_fit"}),
    "other_density": frozenset({"onset_density"}),
    "brightness": frozenset({"brightness_hz", "low_end_share"}),
    "distortion": frozenset({"clipped_share", "crest_db"}),
    "clipping": frozenset({"clipped_share", "crest_db"}),
    "bit_depth": frozenset({"resolution_bits", "noisiness"}),
    "noise": frozenset({"noisiness", "quiet_db"}),
    "hum": frozenset({"hum_db"}),
    "dropouts": frozenset({"dropout_s", "gap_s"}),
    "silence_gap": frozenset({"gap_s", "dropout_s", "silence_head_s", "silence_tail_s"}),
    "cut_tail": frozenset({"misfit_beats", "seam_db"}),
    "wrong_sample_rate": frozenset({"sample_rate_hz", "tempo_bpm", "pitch_low_midi", "pitch_high_midi"}),
    "phase_cancellation": frozenset({"low_end_share", "brightness_hz"}),
}
# Drums have neither tuning nor scale that a listener would name.
PITCHED_ONLY = frozenset({"detuned", "other_scale"})
