"""Take the terms of the objective away, one group at a time: `python -m pretraining.ablate`.

Short runs from nothing, of the same seed and so of the same loops and views, then the evaluation's tasks with
HTS-AT alone. A run that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch

from loopsphere.encoders.base import Encoder
from loopsphere.encoders.torch_runtime import TorchRuntime
from loopsphere.evaluate.tables import markdown_table
from loopsphere.features.config import BUNDLED
from loopsphere.models.checkpoints import Checkpoint
from loopsphere.models.htsat import HTSAT_LOOPS
from pretraining.evaluate import FAMILIES, auroc_table, real_tasks, rendered_tasks, transfer_tasks
from pretraining.material import RealLoops, RenderedLoops
from pretraining.objective import WEIGHTS
from pretraining.pool import Pool
from pretraining.stability import FILE_RATE, as_heard, cosines, shifted
from pretraining.tasks import FeatureSet
from pretraining.train import Run, train

log = logging.getLogger("pretraining")

GROUPS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "instrument and family": ("instrument", "family"),
    "tempo, notes, density and other regressions": ("tempo", "chroma", "regressed"),
    "effects": ("fx",),
    "contrast between loops": ("contrast",),
    "invariance to start, tone and codec": ("invariance",),
    "the teacher's features": ("teacher",),
}
"""What each run leaves out of `WEIGHTS`."""
_SHIFTS = (1 / 8, 1 / 2, 0.83)


def encoder_of(run: Run) -> Encoder:
    """Return the encoder as it would be exported, alone."""
    checkpoint = Checkpoint("bundled", HTSAT_LOOPS, run.average.state_dict(), asdict(BUNDLED))
    return Encoder("ablation", "ablation", BUNDLED, HTSAT_LOOPS, TorchRuntime(checkpoint, "cpu", "float32"))


def start_cosine(encoder: Encoder, real: RealLoops) -> float:
    """Return the median cosine between loops and themselves begun elsewhere."""
    waveforms = []
    for row, label in zip(real.rows, real.labels, strict=True):
        if label not in FAMILIES:
            continue
        audio, rate = soundfile.read(real.folder / row["path"], dtype="float32", always_2d=True)
        audio = soxr.resample(audio, rate, FILE_RATE, quality="HQ")
        waveforms += [as_heard(shifted(audio, share), FILE_RATE) for share in (0.0, *_SHIFTS)]
    return float(np.median(cosines(encoder.embed(waveforms).astype(np.float64), 1 + len(_SHIFTS))))


def judge(encoder: Encoder, real: RealLoops, rendered: RenderedLoops) -> dict[str, float]:
    """Return the mean AUROC of each kind of task, and the cosine under another start."""
    rng = np.random.default_rng(0)
    own = {
        material: FeatureSet("encoder", (encoder.embed(map(material.waveform, range(len(material)))),))
        for material in (real, rendered)
    }

    def mean(table: dict[str, Any]) -> float:
        return float(np.mean([task["auroc"]["encoder"]["mean"] for task in table.values()]))

    return {
        "real": mean(auroc_table(real_tasks(real, rng), [own[real]])),
        "rendered": mean(auroc_table(rendered_tasks(rendered, rng), [own[rendered]])),
        "learnt on rendered, tested on real": mean(
            auroc_table(transfer_tasks(rendered, real), [own[rendered]], [own[real]])
        ),
        "cosine, start elsewhere": start_cosine(encoder, real),
    }


def as_table(results: dict[str, dict[str, float]], command: str) -> str:
    """Return the results as a page of Markdown."""
    columns = [*next(iter(results.values()))]
    rows = [[name, *(f"{found[column]:.3f}" for column in columns)] for name, found in results.items()]
    return (
        "# What each term of the objective brings\n\n"
        f"Made by `{command}`: HTS-AT alone, trained from nothing without some terms, all\n"
        "else the same; mean one-class AUROC of 5-NN over the tasks of `pretraining.evaluate`. One seed and\n"
        "short runs: differences of a hundredth mean nothing.\n\n"
        + markdown_table(["without", *columns], rows)
    )


def main() -> None:
    """Parse the command line, train without each group of terms, and write `ablation.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, default=Path("pretraining/pool"))
    parser.add_argument("--pool-eval", type=Path, default=Path("pretraining/pool-eval"))
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("LOOPSPHERE_DATA", "../shared/data"))
    )
    parser.add_argument("--runs", type=Path, default=Path("pretraining/runs/ablation"))
    parser.add_argument("--out", type=Path, default=Path("pretraining/ablation.md"))
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--n-rendered", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    pool, real = Pool(arguments.pool), RealLoops(arguments.data / "loops")
    rendered = RenderedLoops(arguments.pool_eval, arguments.data / "loops", arguments.n_rendered)
    results: dict[str, dict[str, float]] = {}
    for name, left_out in GROUPS.items():
        folder = arguments.runs / ("-".join(left_out) or "all")
        folder.mkdir(parents=True, exist_ok=True)
        found = folder / f"{arguments.steps}.json"
        if not found.exists():
            run = Run(folder, pool, seed=0, peak_rate=1e-3, bfloat16=arguments.bfloat16)
            weights = {term: weight * (term not in left_out) for term, weight in WEIGHTS.items()}
            log.info("without %s", name)
            train(
                run,
                pool,
                n_steps=arguments.steps,
                batch_size=32,
                weights=weights,
                log_path=folder / "log.csv",
            )
            found.write_text(json.dumps(judge(encoder_of(run), real, rendered)), encoding="utf-8")
        results[name] = json.loads(found.read_text(encoding="utf-8"))
        log.info("without %s: %s", name, results[name])
        options = f"--steps {arguments.steps}{' --bfloat16' if arguments.bfloat16 else ''}"
        arguments.out.write_text(
            as_table(results, f"python -m pretraining.ablate {options}"), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
