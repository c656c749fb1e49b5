"""Score embeddings that are there already, as a stream: a million rows never lie in memory together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loopsphere.collection.embedding import Sources, as_list
from loopsphere.errors import LoopsphereError
from loopsphere.files import whole_file
from loopsphere.learning.model import Model, admitted
from loopsphere.progress import Progress, silent
from loopsphere.scale.results import ScaleResult, Tally, score_columns
from loopsphere.scale.storage import parquet_batches, parquet_footer
from loopsphere.types import Float32Array

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS_PER_BATCH = 8192
_KEPT_COLUMNS = {"path": "text", "duration_s": "numbers", "audio_hash": "text"}


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

    learnt, rate = admitted(model, alpha)
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
    with whole_file(output) as target, pq.ParquetWriter(target, _schema(), compression="zstd") as writer:
        for table in _scored(files, learnt, rate):
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
    """Refuse what `loopsphere embed` has not written, and embeddings by another encoder than the model's."""
    schema = footer.schema.to_arrow_schema()
    for name, wanted in {**_KEPT_COLUMNS, "reason": "text", "embedding": "lists of numbers"}.items():
        fields = [field for field in schema if field.name == name]
        if len(fields) > 1:
            raise LoopsphereError(f"{file} has column {name!r} twice; loopsphere embed writes it once")
        # Shards have a column `reason`; in a file by `embed` every loop could be used.
        if not fields and name != "reason":
            raise LoopsphereError(f"{file} has no column {name!r}; loopsphere embed writes it")
        if fields and not _holds(fields[0].type, wanted):
            raise LoopsphereError(
                f"{file}: column {name!r} holds {fields[0].type}; loopsphere embed writes {wanted}"
            )
    noted = (footer.metadata or {}).get(b"encoder_hash", b"").decode(errors="replace")
    model.check_encoder(noted, f"the embeddings in {file} are by")


def _holds(kind: pa.DataType, wanted: str) -> bool:
    from pyarrow import types

    match wanted:
        case "text":
            # A column without a single value is of type null.
            content = kind.value_type if types.is_dictionary(kind) else kind
            return bool(types.is_string(content) or types.is_large_string(content) or types.is_null(content))
        case "numbers":
            return bool(types.is_floating(kind))
        case _:
            is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
            return bool(is_list and types.is_floating(kind.value_type))


def _scored(files: Sequence[str], model: Model, alpha: float) -> Iterator[pa.Table]:
    """Yield the rows of all files with their scores, some thousand at a time."""
    import pyarrow as pa

    for file in files:
        for batch in parquet_batches(file, _ROWS_PER_BATCH):
            embeddings = batch.column("embedding")
            is_missing = embeddings.is_null().to_numpy(zero_copy_only=False)
            _check_values(file, batch, is_missing)
            scores, p_values = np.zeros(len(batch)), np.ones(len(batch))
            if not is_missing.all():
                judged = model.judge(_matrix(file, embeddings.drop_null()), alpha)
                scores[~is_missing], p_values[~is_missing] = judged.anomaly_scores, judged.p_values
            columns = {name: batch.column(name) for name in _KEPT_COLUMNS}
            has_reason = "reason" in batch.schema.names
            columns["reason"] = batch.column("reason") if has_reason else pa.nulls(len(batch), pa.string())
            scored = pa.table({**columns, **score_columns(scores, p_values, is_missing, alpha)})
            yield scored.cast(_schema())


def _check_values(file: str, batch: pa.RecordBatch, is_missing: npt.NDArray[np.bool_]) -> None:
    if batch.column("path").null_count:
        raise LoopsphereError(f"{file} has a row without path")
    durations_s = batch.column("duration_s").to_numpy(zero_copy_only=False)
    if not np.isfinite(durations_s[~is_missing]).all():
        raise LoopsphereError(f"{file} has a row with an embedding and no duration_s")


def _matrix(file: str, embeddings: pa.Array) -> Float32Array:
    """Return lists of numbers, none of them null, as float32 of shape (n_loops, embedding_dim)."""
    import pyarrow.compute as pc

    lengths = pc.unique(pc.list_value_length(embeddings)).to_pylist()
    if len(lengths) > 1:
        raise LoopsphereError(f"{file}: the embeddings differ in length ({min(lengths)} to {max(lengths)})")
    # A missing number becomes NaN, one too large for float32 infinite.
    values = embeddings.flatten().to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        matrix: Float32Array = values.astype(np.float32).reshape(len(embeddings), lengths[0])
    if not np.isfinite(matrix).all():
        raise LoopsphereError(f"{file} holds embeddings with NaN, missing or infinite values")
    return matrix


def _schema() -> pa.Schema:
    """Return the columns that are written, whatever kinds of text and numbers the sources hold."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    return pa.schema(
        {
            "path": text,
            "duration_s": number,
            "audio_hash": text,
            "reason": text,
            "anomaly_score": number,
            "p_value": number,
            "is_odd": pa.bool_(),
        }
    )
