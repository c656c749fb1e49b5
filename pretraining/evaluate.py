"""Evaluate an encoder on loops and sources that its training never saw: `python -m pretraining.evaluate`."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loopsphere.encoders import load_encoder
from loopsphere.encoders.base import BATCH_SIZE, Encoder
from loopsphere.encoders.joining import DIMS, mapped, side_by_side
from loopsphere.encoders.torch_runtime import TorchRuntime
from loopsphere.evaluate.intervals import mean_interval
from loopsphere.features.config import BUNDLED
from loopsphere.models.checkpoints import Checkpoint
from loopsphere.models.htsat import HTSAT
from pretraining.features73 import handmade_features, log_mel_statistics, pyod_features
from pretraining.material import (
    INSTRUMENT_CLASSES,
    LMMS_SAMPLES,
    Matrix,
    Mel,
    RealLoops,
    RenderedLoops,
    Waveform,
    kept_matrix,
)
from pretraining.report import as_markdown
from pretraining.stability import CHANGES, CONTRASTS, changed_loops, contrast_loops, cosines
from pretraining.tasks import FeatureSet, Task, auroc, neighbour_accuracy, pyod_for_audio, tasks_of

log = logging.getLogger("pretraining")

N_RANDOM = 3
FAMILIES = tuple(INSTRUMENT_CLASSES.values())
DI_GUITARS = "tone-3000/neural-amp-modeler-wasm"
_N_FOR_STATISTICS = 256
_LOOPS_A_FILE = 128


def random_encoder(trained: Encoder, seed: int, mels: Sequence[Mel]) -> Encoder:
    """Return the same HTS-AT with initial weights, alone.

    Its input is normalised by the band statistics of `mels`, as training would have made it: without them, it
    would see bands of very different level.
    """
    torch.manual_seed(seed)
    frames = np.concatenate(mels)
    statistics = torch.from_numpy(np.stack([frames.mean(axis=0), frames.var(axis=0)]))
    state = dict(HTSAT(trained.config).state_dict())
    state["mel_norm.running_mean"], state["mel_norm.running_var"] = statistics
    runtime = TorchRuntime(Checkpoint("bundled", trained.config, state, asdict(trained.mel)), "cpu")
    digest = hashlib.sha256(statistics.numpy().tobytes()).hexdigest()
    return Encoder("random weights", f"random-{seed}-{digest}", trained.mel, trained.config, runtime)


@dataclass(frozen=True)
class Bench:
    """The encoders, and the folder in which features are kept between runs."""

    encoder: Encoder
    randoms: tuple[Encoder, ...]
    cache: Path

    def embedding(self, encoder: Encoder, key: str, waveforms: Callable[[], Iterable[Waveform]]) -> Matrix:
        """Return an encoder's embeddings of the loops that `key` names."""
        path = self.cache / f"{key}-{encoder.hash[:24]}.npy"
        return kept_matrix(path, lambda: encoder.embed_iter(waveforms()))

    def feature_sets(self, material: RealLoops | RenderedLoops) -> list[FeatureSet]:
        """Return the columns of the report, the encoder's first."""
        indices = range(len(material))
        randoms = tuple(
            self.embedding(encoder, material.key(indices), lambda: map(material.waveform, indices))
            for encoder in self.randoms
        )
        mels = (material.mel(index) for index in indices)
        # A piece at a time: librosa is slow, and a run that is stopped should not lose an hour of it.
        pieces = [indices[start : start + _LOOPS_A_FILE] for start in range(0, len(indices), _LOOPS_A_FILE)]
        audio = np.concatenate([self._audio_features(material, piece) for piece in pieces])
        return [
            *self._own_sets(material, indices),
            *([FeatureSet("random weights", randoms)] if randoms else []),
            FeatureSet("73 hand-made", (audio[:, :73],)),
            FeatureSet("log-mel mean, std", (np.stack([log_mel_statistics(mel) for mel in mels]),)),
            FeatureSet("PyOD for_audio", (audio[:, 73:],), pyod_for_audio),
        ]

    def _own_sets(self, material: RealLoops | RenderedLoops, indices: range) -> list[FeatureSet]:
        """Return the columns of the encoder and, where it is made of two networks, of its parts."""
        key = material.key(indices)
        if self.encoder.tagger is None:
            own = self.embedding(self.encoder, key, lambda: map(material.waveform, indices))
            return [FeatureSet("encoder", (own,))]
        path = self.cache / f"{key}-parts-{self.encoder.hash[:24]}.npy"
        parts = kept_matrix(path, lambda: self._listen(map(material.waveform, indices)))
        htsat, classes, families = np.split(parts, np.cumsum([*DIMS.values()])[:-1], axis=1)
        return [
            FeatureSet("encoder", (mapped(parts).astype(np.float64),)),
            FeatureSet("without the map", (parts,)),
            FeatureSet("HTS-AT alone", (htsat,)),
            FeatureSet("YAMNet alone", (classes,)),
            FeatureSet("families alone", (families,)),
        ]

    def _listen(self, waveforms: Iterable[Waveform]) -> Iterator[Matrix]:
        while batch := [self.encoder.views(waveform) for waveform in islice(waveforms, BATCH_SIZE)]:
            yield from side_by_side(*self.encoder.parts(batch))

    def _audio_features(self, material: RealLoops | RenderedLoops, indices: range) -> Matrix:
        path = self.cache / f"{material.key(indices)}-audio-features.npy"
        return kept_matrix(path, lambda: (_audio_features(material.waveform(index)) for index in indices))


def _audio_features(waveform: np.ndarray) -> np.ndarray:
    # Brought to one level first, as the encoder's front end does: the level of a file is not its sound.
    rms = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
    levelled = waveform * np.float32(10 ** (-20 / 20) / max(rms, 1e-9))
    rate = BUNDLED.sample_rate
    return np.concatenate([handmade_features(levelled, rate), pyod_features(levelled, rate)])


def real_tasks(real: RealLoops, rng: np.random.Generator) -> list[Task]:
    """Make the tasks within the real loops: by source, guitars also by player and from another source."""
    labels, sources = np.array(real.labels), np.array(real.sources)
    tasks: list[Task] = []
    for family in FAMILIES:
        tasks += tasks_of(family, labels == family, real.sources, rng, min_train=3, min_test=1)
    by_player = tasks_of("guitar, by player", labels == "guitar", real.groups, rng, min_train=3, min_test=3)
    guitar, direct = labels == "guitar", sources == DI_GUITARS
    odd = np.flatnonzero(~guitar)
    ours, theirs = np.flatnonzero(guitar & direct), np.flatnonzero(guitar & ~direct)
    return [
        *tasks,
        *by_player,
        Task("guitars from another source: learnt on DI performances", ours, theirs, odd),
        Task("guitars from another source: tested on DI performances", theirs, ours, odd),
    ]


def rendered_tasks(rendered: RenderedLoops, rng: np.random.Generator) -> list[Task]:
    """Make the tasks within the rendered loops, one family normal at a time, by source."""
    labels = np.array(rendered.labels)
    families = [*FAMILIES, *sorted(set(rendered.labels) - {*FAMILIES, "mix"})]
    return [
        task
        for family in families
        for task in tasks_of(family, labels == family, rendered.sources, rng, min_train=8, min_test=5)
    ]


def transfer_tasks(rendered: RenderedLoops, real: RealLoops) -> list[Task]:
    """Make the tasks that learn a family from rendered loops and meet real ones."""
    learnt, met = np.array(rendered.labels), np.array(real.labels)
    return [
        Task(family, *(np.flatnonzero(where) for where in (learnt == family, met == family, met != family)))
        for family in FAMILIES
    ]


def auroc_table(
    tasks: list[Task], sets: list[FeatureSet], met: list[FeatureSet] | None = None
) -> dict[str, Any]:
    """Return mean and 95 % interval over divisions, for each task's name and feature set."""
    table: dict[str, Any] = {}
    for name in dict.fromkeys(task.name for task in tasks):
        named = [task for task in tasks if task.name == name]
        values = {
            features.name: [auroc(features, task, others) for task in named]
            for features, others in zip(sets, met or [None] * len(sets), strict=True)
        }
        table[name] = {
            "n_divisions": len(named),
            "n_train": [len(task.train) for task in named],
            "n_normal": [len(task.normal) for task in named],
            "n_odd": len(named[0].odd),
            "auroc": {
                column: {**_finite(asdict(mean_interval(found))), "values": found}
                for column, found in values.items()
            },
        }
    return table


def _finite(fields: dict[str, float]) -> dict[str, float]:
    """Leave out the bounds of an interval that a single value does not have."""
    return {name: value for name, value in fields.items() if np.isfinite(value)}


def neighbour_table(
    rendered: RenderedLoops, sets: list[FeatureSet], real: RealLoops, met: list[FeatureSet]
) -> dict[str, Any]:
    """Return how often the nearest neighbour is of the family: across rendered sources, real to rendered."""
    single = np.array([label != "mix" for label in rendered.labels])
    labels, sources = np.array(rendered.labels)[single], np.array(rendered.sources)[single]
    apart = sources[:, None] != sources
    # A loop whose family no other source has cannot be right.
    answerable = ((labels[:, None] == labels) & apart).any(axis=1)
    wanted = np.array([label in FAMILIES for label in real.labels])
    real_labels = np.array(real.labels)[wanted]
    tables: dict[str, Any] = {
        "n_rendered": int(answerable.sum()),
        "n_families": len(np.unique(labels[answerable])),
        "n_real": int(wanted.sum()),
        "rendered across sources": {},
        "real, neighbours rendered": {},
    }
    for features, others in zip(sets, met, strict=True):
        across, carried = [], []
        for matrix, real_matrix in zip(features.matrices, others.matrices, strict=True):
            known = matrix[single]
            across.append(
                neighbour_accuracy(known[answerable], labels[answerable], known, labels, apart[answerable])
            )
            anything = np.ones((len(real_labels), len(labels)), dtype=bool)
            carried.append(neighbour_accuracy(real_matrix[wanted], real_labels, known, labels, anything))
        for name, pairs in (("rendered across sources", across), ("real, neighbours rendered", carried)):
            accuracy, balanced = np.mean(pairs, axis=0)
            tables[name][features.name] = {"accuracy": float(accuracy), "mean_over_families": float(balanced)}
    return tables


def stability_table(bench: Bench, real: RealLoops) -> dict[str, Any]:
    """Return median and 5th percentile of the cosine to the unchanged loop's embedding, for each change."""
    musical = [
        str(real.folder / row["path"])
        for row, label in zip(real.rows, real.labels, strict=True)
        if label in FAMILIES or label == "full_mix_loop"
    ]
    kinds = {
        "changes": ([*CHANGES][1:], lambda: changed_loops(musical)),
        "contrasts": (CONTRASTS, contrast_loops),
    }
    table: dict[str, Any] = {"n_loops": len(musical)}
    for part, (names, make) in kinds.items():
        key = f"{real.key(range(len(real)))}-{part}"
        table[part] = {name: {} for name in names}
        for column, encoder in (("encoder", bench.encoder), ("random weights", bench.randoms[0])):
            cosine = cosines(bench.embedding(encoder, key, make), len(names) + 1)
            for name, values in zip(names, cosine.T, strict=True):
                low, median, high = np.percentile(values, [5, 50, 95])
                table[part][name][column] = {"p5": float(low), "median": float(median), "p95": float(high)}
    return table


def evaluate(bench: Bench, real: RealLoops, rendered: RenderedLoops) -> dict[str, Any]:
    """Run every part of the evaluation."""
    rng = np.random.default_rng(0)
    real_sets, rendered_sets = bench.feature_sets(real), bench.feature_sets(rendered)
    real_table = auroc_table(real_tasks(real, rng), real_sets)
    return {
        "encoder": {"name": bench.encoder.name, "hash": bench.encoder.hash},
        "n_real": len(real),
        "n_rendered": len(rendered),
        "not_testable_on_real": [family for family in FAMILIES if family not in real_table],
        "real": real_table,
        "rendered": auroc_table(rendered_tasks(rendered, rng), rendered_sets),
        "learnt on rendered, tested on real": auroc_table(
            transfer_tasks(rendered, real), rendered_sets, real_sets
        ),
        "neighbours": neighbour_table(rendered, rendered_sets, real, real_sets),
        "stability": stability_table(bench, real),
    }


def _data_folder() -> Path:
    return Path(os.environ.get("LOOPSPHERE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main() -> None:
    """Parse the command line, evaluate, and write `evaluation.json` and `evaluation.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="bundled", help="path of a checkpoint, or 'bundled'")
    parser.add_argument("--data", type=Path, default=_data_folder(), help="folder that has the real loops")
    parser.add_argument("--lmms", type=Path, default=LMMS_SAMPLES, help="folder of LMMS's samples")
    parser.add_argument("--pool-eval", type=Path, default=Path("pretraining/pool-eval"))
    parser.add_argument("--out", type=Path, default=Path("pretraining/runs/main"))
    parser.add_argument("--cache", type=Path, default=Path("pretraining/runs/evaluation-cache"))
    parser.add_argument("--n-rendered", type=int, default=1024, help="loops of the pool to take")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    loops = arguments.data / "loops"
    if not (loops / "manifest.csv").exists():
        raise SystemExit(f"no real loops in {loops}: give --data or set LOOPSPHERE_DATA")
    encoder = load_encoder(arguments.encoder, device="cpu")
    rendered = RenderedLoops(arguments.pool_eval, loops, arguments.n_rendered)
    some = [rendered.mel(index) for index in range(min(len(rendered), _N_FOR_STATISTICS))]
    randoms = tuple(random_encoder(encoder, seed, some) for seed in range(N_RANDOM))
    lmms = arguments.lmms if arguments.lmms.is_dir() else None
    if lmms is None:
        log.info("no loops in %s: the evaluation goes on without LMMS's", arguments.lmms)
    bench = Bench(encoder, randoms, arguments.cache)
    results = evaluate(bench, RealLoops(loops, lmms), rendered)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "evaluation.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "evaluation.md").write_text(as_markdown(results), encoding="utf-8")
    log.info("wrote %s", arguments.out / "evaluation.md")


if __name__ == "__main__":
    main()
