"""Score embeddings that are there already, as a stream: a million rows never lie in memory together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loopsphere.embedding import Progress, Sources, as_list, silent
from loopsphere.errors import LoopsphereError, ModelFileError
from loopsphere.files import whole_file
from loopsphere.model import Model, load_model
from loopsphere.pipeline import check_arguments
from loopsphere.scale.results import ScaleResult, Tally, score_columns
from loopsphere.scale.storage import parquet_batches, parquet_footer

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS_PER_BATCH = 8192
_KEPT_COLUMNS = ("path", "duration_s", "audio_hash")


def score_cached(
    model: Model | str | os.PathLike[str],
    sources: Sources,
    output: str | os.PathLike[str],
    *,
    alpha: float | None = None,
    progress: Progress = silent,
) -> ScaleResult:
    """Score embeddings against a learnt collection, in constant memory.

    Parameters
    ----------
    model : Model or path
    sources : path or iterable of paths
        `.parquet` files that `loopsphere embed` wrote, or its folders of shards.
    output : path
        The `.parquet` file to write: `path`, `duration_s`, `audio_hash`, `reason`, `anomaly_score`, `p_value`
        and `is_odd`, one row a loop in the order of the sources.
    alpha : float or None
        The false-alarm rate; None takes the one of the model.
    progress : callable

    Returns
    -------
    result : ScaleResult

    Raises
    ------
    ModelFileError
        The model cannot be read, or the embeddings are by another encoder.
    LoopsphereError
        A source holds no embeddings, is damaged, or is the output.
    """
    import pyarrow.parquet as pq

    learnt = model if isinstance(model, Model) else load_model(model)
    rate = learnt.alpha if alpha is None else alpha
    check_arguments(learnt.detector_name, rate)
    files = [file for source in as_list(sources) for file in _files(os.fspath(source))]
    tally = Tally(rate)
    for file in files:
        footer = parquet_footer(file)
        _check_maker(file, footer, learnt)
        tally.n_total += footer.num_rows
    if not files:
        named = ", ".join(os.fspath(source) for source in as_list(sources))
        raise LoopsphereError(f"{named}: neither a .parquet file of embeddings nor a folder of shards")
    if Path(output).resolve() in {Path(file).resolve() for file in files}:
        raise LoopsphereError(
            f"{os.fspath(output)}: the scores would replace the embeddings; name another file"
        )
    with whole_file(output) as target, ExitStack() as opened:
        writer = None
        for table in _scored(files, learnt, rate):
            if writer is None:
                writer = opened.enter_context(pq.ParquetWriter(target, table.schema, compression="zstd"))
            writer.write_table(table)
            tally.count(table)
            progress("scoring loops", tally.n_loops, tally.n_total)
    tally.n_shards = 1
    return tally.result(learnt.encoder, learnt.encoder_hash)


def _files(source: str) -> list[str]:
    path = Path(source)
    if path.is_dir():
        return sorted(str(part) for part in path.glob("part-*.parquet"))
    return [source] if path.suffix.lower() == ".parquet" and path.is_file() else []


def _check_maker(file: str, footer: pq.FileMetaData, model: Model) -> None:
    names = footer.schema.to_arrow_schema().names
    if missing := [name for name in (*_KEPT_COLUMNS, "embedding") if name not in names]:
        raise LoopsphereError(f"{file} has no column {missing[0]!r}; loopsphere embed writes it")
    noted = (footer.metadata or {}).get(b"encoder_hash", b"").decode(errors="replace")
    if noted != model.encoder_hash:
        raise ModelFileError(
            f"this model was made with encoder {model.encoder!r} ({model.encoder_hash[:12]}), but the "
            f"embeddings in {file} by {noted[:12] or 'one that is not named'}"
        )


def _scored(files: Sequence[str], model: Model, alpha: float) -> Iterator[pa.Table]:
    """Yield the rows of all files with their scores, some thousand at a time."""
    import pyarrow as pa

    for file in files:
        for batch in parquet_batches(file, _ROWS_PER_BATCH):
            embeddings = batch.column("embedding")
            is_missing = embeddings.is_null().to_numpy(zero_copy_only=False)
            scores, p_values = np.zeros(len(batch)), np.ones(len(batch))
            if not is_missing.all():
                usable = np.stack(embeddings.drop_null().to_numpy(zero_copy_only=False)).astype(np.float32)
                if not np.isfinite(usable).all():
                    raise LoopsphereError(f"{file} holds embeddings with NaN or infinite values")
                judged = model.judge(usable, alpha)
                scores[~is_missing], p_values[~is_missing] = judged.anomaly_scores, judged.p_values
            columns = {name: batch.column(name) for name in _KEPT_COLUMNS}
            # Shards have a column `reason`; in a file by `embed` every loop could be used.
            has_reason = "reason" in batch.schema.names
            columns["reason"] = batch.column("reason") if has_reason else pa.nulls(len(batch), pa.string())
            yield pa.table({**columns, **score_columns(scores, p_values, is_missing, alpha)})
