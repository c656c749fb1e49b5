"""How well the oddness curve points at the part of a loop that was spoilt.

For each seed, twelve packs are rendered: twelve normal loops of each to learn from, and others to spoil. A
fault either lies in a stretch by its nature (a dropout, a gap, a cut tail, a part played backwards) or is
planted into one: a quarter of the loop, half a second at least, is replaced by its faulty version. A loop's
AUROC compares the curve inside the planted stretch with the curve outside of it, in bins of 50 ms. What the
curve is made of was chosen on seed 0; the table is of the other seeds.

    python benchmarks/localisation.py > benchmarks/localisation.md
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import roc_auc_score

from loopsphere.encoders import Encoder, load_encoder
from loopsphere.evaluate.intervals import mean_interval
from loopsphere.explain.localise import BIN_S, TokenMemory
from loopsphere.synth import render
from loopsphere.synth.collection import DEMO_PACKS
from loopsphere.synth.faults import FAULTS, MAGNITUDES, plant
from loopsphere.synth.spec import LoopSpec
from loopsphere.types import Float32Array

N_LEARNT, N_SPOILT = 12, 4
HAS_RANGES = ("dropouts", "silence_gap", "reversed", "cut_tail")
PLANTED = (
    "brightness", "distortion", "clipping", "bit_depth", "noise", "hum", "reversed", "phase_cancellation",
    "speech", "environment", "wrong_instrument", "other_genre",
)  # fmt: skip
BAR = 0.85


@dataclass(frozen=True)
class Spoilt:
    """A loop with a fault in known stretches."""

    fault: str
    magnitude: str
    waveform: Float32Array
    ranges_s: tuple[tuple[float, float], ...]


def loops_of(seed: int, sample_rate: int, n_loops: int, first: int) -> list[LoopSpec]:
    """Return so many loops of each pack, with other notes and another touch."""
    specs = []
    for number, pack in enumerate(DEMO_PACKS):
        for position in range(first, first + n_loops):
            rng = np.random.default_rng([seed, number, position])
            specs.append(
                replace(
                    pack.spec,
                    seed=int(rng.integers(2**31)),
                    bars=int(rng.choice([1, 2, 2, 2])),
                    density=float(rng.uniform(0.35, 0.65)),
                    humanise_s=float(rng.uniform(0.002, 0.007)),
                    sample_rate=sample_rate,
                )
            )
    return specs


def spoil(spec: LoopSpec, seed: int) -> Iterator[Spoilt]:
    """Yield the loop with each fault and magnitude."""
    waveform, rate = render(spec), spec.sample_rate
    n_part = max(len(waveform) // 4, rate // 2)
    for magnitude in MAGNITUDES:
        for name in HAS_RANGES:
            planted = plant(name, magnitude, waveform=waveform, sample_rate=rate, seed=seed)
            covered = sum(end - start for start, end in planted.fault.ranges_s)
            if (
                covered < 0.9 * len(planted.waveform) / rate
            ):  # a loop that is backwards as a whole has no place
                yield Spoilt(name, magnitude, planted.waveform, planted.fault.ranges_s)
        for number, name in enumerate(PLANTED):
            rng = np.random.default_rng([seed, number])
            start = int(rng.integers(0, len(waveform) - n_part + 1))
            part = waveform[start : start + n_part]
            if not np.any(part):
                continue
            if FAULTS[name].damage is not None:
                faulty = plant(name, magnitude, waveform=part, sample_rate=rate, seed=seed).waveform
            else:
                whole = plant(name, magnitude, spec=spec, seed=seed).waveform
                faulty = np.resize(whole, len(waveform))[start : start + n_part]
            blend = np.ones(n_part, dtype=np.float32)
            blend[: rate // 200] = np.linspace(0, 1, rate // 200)
            spoilt = waveform.copy()
            spoilt[start : start + n_part] = part + np.minimum(blend, blend[::-1]) * (faulty - part)
            yield Spoilt(
                f"{name} in a stretch", magnitude, spoilt, ((start / rate, (start + n_part) / rate),)
            )


def is_spoilt(ranges_s: tuple[tuple[float, float], ...], duration_s: float, n_bins: int) -> np.ndarray:
    """Return which bins of the curve have their centre in a planted stretch, or the one that holds it."""
    centres = (np.arange(n_bins) + 0.5) / n_bins * duration_s
    inside = np.zeros(n_bins, dtype=bool)
    for start, end in ranges_s:
        within = (centres >= start) & (centres < end)
        inside |= within if within.any() else np.arange(n_bins) == abs(centres - (start + end) / 2).argmin()
    return inside


def judge(seed: int, encoder: Encoder) -> dict[tuple[str, str], list[float]]:
    """Return the AUROC of each spoilt loop, by fault and magnitude."""
    rate = encoder.mel.sample_rate
    normal = [encoder.token_grids(render(spec)) for spec in loops_of(seed, rate, N_LEARNT, 0)]
    memory = TokenMemory(random_state=seed).fit(normal)
    found = defaultdict(list)
    for number, spec in enumerate(loops_of(seed, rate, N_SPOILT, N_LEARNT)):
        for case in spoil(spec, 1000 * seed + number):
            where = memory.localise(encoder.token_grids(case.waveform))
            truth = is_spoilt(case.ranges_s, where.duration_s, len(where.curve))
            found[case.fault, case.magnitude].append(float(roc_auc_score(truth, where.curve)))
    return dict(found)


def table(found: list[dict[tuple[str, str], list[float]]]) -> Iterator[str]:
    """Yield the lines of the table, each figure a mean over loops, then over seeds."""
    yield "| fault | " + " | ".join(MAGNITUDES) + " |"
    yield "|---|" + "---|" * len(MAGNITUDES)
    by_seed = [{key: float(np.mean(values)) for key, values in seed.items()} for seed in found]
    for fault in dict.fromkeys(fault for fault, _ in by_seed[0]):
        cells = []
        for magnitude in MAGNITUDES:
            values = [seed[fault, magnitude] for seed in by_seed if (fault, magnitude) in seed]
            cells.append(f"{np.mean(values):.3f}" if values else "")
        yield f"| {fault} | " + " | ".join(cells) + " |"
    means = []
    for magnitude in MAGNITUDES:
        over = [np.mean([value for (_, m), value in seed.items() if m == magnitude]) for seed in by_seed]
        interval = mean_interval(np.array(over))
        means.append(f"**{interval.mean:.3f}** ({interval.low:.3f} to {interval.high:.3f})")
    yield "| mean of the faults (95 % interval over seeds) | " + " | ".join(means) + " |"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.encoder, device=arguments.device)
    found = [judge(seed, encoder) for seed in arguments.seeds]
    n_loops = sum(len(values) for seed in found for values in seed.values())
    print("# Where in a loop: AUROC of planted stretches\n")
    print("`python benchmarks/localisation.py`: twelve packs, twelve normal loops of each to learn from;")
    print(f"{n_loops} spoilt loops over seeds {', '.join(map(str, arguments.seeds))}; bins of {BIN_S:g} s;")
    print(f"encoder {encoder.name} ({encoder.hash[:12]}). Settings were chosen on seed 0, which is not among")
    print(f"them. The bar is {BAR} on large faults.\n")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
