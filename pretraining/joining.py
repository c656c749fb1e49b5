"""Learn how the bundled encoder's two networks are joined: `python -m pretraining.joining`.

Renders loops of the training split, listens to them with both networks, and learns two things of what these
say.

The first is to tell families of instruments apart: a linear classifier (logistic regression, strongly
regularised, on all that both networks say). How probable it finds each family is a part of an embedding.

The second is the linear map that makes one embedding of HTS-AT's output, YAMNet's classes and these families.
It does three things, in this order:

1. Directions in which loops of one family differ (notes, playing, effects) shrink, those that tell families
   apart stay: a softened within-class covariance normalisation (Hatch et al., Interspeech 2006, for voices).
2. Directions in which loops hardly differ at all shrink, and the least of them go: they are mostly noise,
   which a detector that has seen thirty loops cannot tell from a difference. 512 stay.
3. A rotation, a Hadamard matrix behind random signs, spreads all that over 512 columns.

Exponents and floors were chosen by 5-NN AUROC on the loops of `pretraining.evaluate`, the floors with musicnn
in YAMNet's place and without families, the exponents also by how well `benchmarks/strangers.py` finds
strangers. Both move slowly with them. Taking the mean of all embeddings away, or half of it, would spread
cosines more, and does harm to both.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch
from safetensors.numpy import save
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from loopsphere.encoders import load_encoder
from loopsphere.encoders.base import BATCH_SIZE, Encoder
from loopsphere.encoders.joining import JOINING_FILE, JOINT_DIM, Joining, heard, put_side_by_side
from loopsphere.encoders.loading import BUNDLED_FILE, YAMNET_FILE
from loopsphere.encoders.torch_runtime import TorchTagger
from loopsphere.features import listening
from loopsphere.models import yamnet
from loopsphere.models.yamnet_file import read_yamnet
from pretraining.workers import share_out

Matrix = npt.NDArray[np.float64]

_SHARD_SIZE = 400
_RENDERERS = (
    *("catalogue", "drumkits", "drums", "effects", "foley", "guitars"),
    *("music", "patterns", "render", "sources"),
)
_WITHIN_EXPONENT, _WITHIN_FLOOR = -0.25, 2.0
_TOTAL_EXPONENT, _TOTAL_FLOOR = 0.125, 0.02
_SEED_OF_SIGNS = 0
_REGULARISATION = 1e-4
_N_FOLDS = 4


def learn_joining(rows: Matrix, families: Sequence[str]) -> Joining:
    """Learn how networks are joined.

    Parameters
    ----------
    rows : float64 ndarray of shape (n_loops, 1801)
        From `loopsphere.encoders.joining.heard`.
    families : sequence of str
        Of the loops' instruments.
    """
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=_REGULARISATION, max_iter=1000))
    # What a classifier says of loops that it learnt from is surer than what it will say of others.
    unseen = cross_val_predict(classifier, rows, families, cv=_N_FOLDS, method="predict_proba")
    scaler, regression = (step for _, step in classifier.fit(rows, families).steps)
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_
    return Joining(weight.T, bias, learn_map(put_side_by_side(rows, unseen), families))


def learn_map(joined: Matrix, families: Sequence[str]) -> Matrix:
    """Learn the map.

    Parameters
    ----------
    joined : float64 ndarray of shape (n_loops, n_dims)
        Parts of embeddings, from `loopsphere.encoders.joining.put_side_by_side`.
    families : sequence of str
        Of the loops' instruments.

    Returns
    -------
    learnt : float64 ndarray of shape (n_dims, 512)
    """
    scales, axes = _scales_and_axes(_within(joined, families), _WITHIN_EXPONENT, _WITHIN_FLOOR)
    within = (axes * scales) @ axes.T
    levelled = joined @ within
    unit = levelled / np.linalg.norm(levelled, axis=1, keepdims=True)
    scales, axes = _scales_and_axes(np.cov(unit.T), _TOTAL_EXPONENT, _TOTAL_FLOOR)
    total = (axes * scales)[:, -JOINT_DIM:]
    signs = np.random.default_rng(_SEED_OF_SIGNS).choice([-1.0, 1.0], size=JOINT_DIM)
    rotation = signs[:, None] * scipy.linalg.hadamard(JOINT_DIM) / np.sqrt(JOINT_DIM)
    return np.asarray(within @ total @ rotation[: total.shape[1]])


def _within(rows: Matrix, families: Sequence[str]) -> Matrix:
    """Covariance of rows around the mean of their family."""
    _, family = np.unique(families, return_inverse=True)
    sums = np.zeros((family.max() + 1, rows.shape[1]))
    np.add.at(sums, family, rows)
    centred = rows - (sums / np.bincount(family)[:, None])[family]
    return np.asarray(centred.T @ centred / len(rows))


def _scales_and_axes(covariance: Matrix, exponent: float, floor: float) -> tuple[Matrix, Matrix]:
    """Return the axes of a covariance as columns, the widest last, and how each is scaled.

    Eigenvalues are given a mean of 1, raised by `floor`, and taken to a power.
    """
    values, axes = np.linalg.eigh(covariance)
    # Of an axis and its opposite, always the same one.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))])
    return (np.maximum(values, 0) / values.mean() + floor) ** exponent, axes


def _listen(worker: int, shards: Sequence[int], seed: int, folder: Path) -> None:
    """Render shards and keep what the networks say of them."""
    from pretraining.render import Studio  # which needs soundfonts and effects; learning does not

    torch.set_num_threads(1)
    studio, encoder = Studio("train"), _both_networks()
    for shard in shards:
        drawn = (studio.draw(np.random.default_rng([seed, shard, item])) for item in range(_SHARD_SIZE))
        rows: list[Matrix] = []
        families: list[str] = []
        while batch := [*islice(drawn, BATCH_SIZE)]:
            rows.append(heard(*encoder.parts([encoder.views(audio) for audio, _ in batch])))
            families += [labels["family"] for _, labels in batch]
        part = folder / f"part-{shard:03d}.npz"
        np.savez(part, heard=np.concatenate(rows), families=np.array(families))
        part.replace(_path(folder, shard))
        print(f"worker {worker}: shard {shard}", flush=True)


def _both_networks() -> Encoder:
    """Return the bundled encoder as it is before anything is known of how to join its networks."""
    htsat = load_encoder(str(BUNDLED_FILE), device="cpu")
    return dataclasses.replace(
        htsat, tagger=TorchTagger(read_yamnet(YAMNET_FILE), torch.device("cpu"), "float32")
    )


def _path(folder: Path, shard: int) -> Path:
    """Where a shard is kept; named after all that made it: a change makes it worthless."""
    files = [BUNDLED_FILE, YAMNET_FILE, Path(listening.__file__), Path(yamnet.__file__)]
    files += [Path(__file__).with_name(f"{module}.py") for module in _RENDERERS]
    makers = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return folder / f"shard-{shard:03d}-{makers[:12]}.npz"


def _shards(n_shards: int, seed: int, n_workers: int, folder: Path) -> Iterator[tuple[Matrix, list[str]]]:
    """Make the shards that are missing, and read all."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [shard for shard in range(n_shards) if not _path(folder, shard).exists()]
    share_out(_listen, missing, n_workers, seed, folder)
    for shard in range(n_shards):
        with np.load(_path(folder, shard)) as arrays:
            yield arrays["heard"], arrays["families"].tolist()


def main() -> None:
    """Render, listen, learn and write."""
    parser = argparse.ArgumentParser(description="Learn how the bundled encoder's two networks are joined.")
    parser.add_argument("--shards", type=int, default=16, help=f"of {_SHARD_SIZE} loops")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("pretraining/runs/joining"))
    parser.add_argument("--out", type=Path, default=JOINING_FILE)
    arguments = parser.parse_args()
    shards = [*_shards(arguments.shards, arguments.seed, arguments.workers, arguments.folder)]
    rows = np.concatenate([rows for rows, _ in shards])
    learnt = learn_joining(rows, [family for _, families in shards for family in families])
    arguments.out.write_bytes(
        save({name: part.astype(np.float16) for name, part in learnt._asdict().items()})
    )
    print(f"{len(rows)} loops: {arguments.out}, {arguments.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
