"""Results as files: CSV, JSON, NumPy and Parquet, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from loopsphere.errors import UnknownNameError
from loopsphere.files import CONTROL, whole_file
from loopsphere.types import SCORE_COLUMNS, EmbedResult, ScoreResult

ROWS_PER_GROUP = 8192
"""Of the Parquet files of embeddings; who reads a file as a stream has one group in memory."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What spreadsheets calculate instead of showing it; in East Asia also the wide ones."""


def json_text(record: Mapping[str, Any]) -> str:
    """Return indented JSON; paths stay readable, but for characters that a terminal obeys."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    # JSON itself escapes those before the space; the others stand inside its strings alone.
    return CONTROL.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text) + "\n"


def write_json(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write one record as UTF-8 JSON."""
    with whole_file(path) as file:
        file.write(json_text(record).encode())


def write_results(folder: str | os.PathLike[str], result: ScoreResult) -> list[Path]:
    """Write `results.csv` (loops, most odd first) and `results.json` (everything) into a folder.

    A path that a spreadsheet would take for a formula, because it begins with "=", "+", "-", "@", a tab or a
    line break, stands in the table with "./" before it: the same file, and `os.path.normpath` gives the path
    of `results.json`.

    Parameters
    ----------
    folder : str or PathLike
        Made if it does not exist.
    result : ScoreResult

    Returns
    -------
    paths : list of Path

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    table, record = Path(folder) / "results.csv", Path(folder) / "results.json"
    rows: list[Iterable[object]] = [SCORE_COLUMNS]
    for row in result.to_rows():
        cells = {**row, "path": _no_formula(row["path"])}
        rows.append([cells[name] for name in SCORE_COLUMNS])
    with whole_file(table) as file:
        file.write("".join(map(_csv_line, rows)).encode())
    write_json(record, result.to_dict())
    return [table, record]


def _no_formula(path: str) -> str:
    return f"./{path}" if path.startswith(_FORMULA_STARTS) else path


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO(newline="")
    # Python before 3.13 quotes a cell with a line break only if it is one of those that end lines.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def check_embeddings_path(path: str | os.PathLike[str]) -> None:
    """Refuse a name that `write_embeddings` could not serve, before the work is done.

    Raises
    ------
    UnknownNameError
        The name ends in neither .npz nor .parquet.
    """
    if Path(path).suffix.lower() not in (".npz", ".parquet"):
        raise UnknownNameError(f"{os.fspath(path)}: embeddings are written as .npz or .parquet")


def write_embeddings(path: str | os.PathLike[str], result: EmbedResult) -> None:
    """Write embeddings with their paths.

    Parameters
    ----------
    path : str or PathLike
        `.npz`: arrays `path` (n_loops,) str, `embedding` float32 (n_loops, embedding_dim), `duration_s`
        float64 and `audio_hash` str, none of them pickled. `.parquet`: one row a loop, the same columns.
    result : EmbedResult

    Raises
    ------
    UnknownNameError
        See `check_embeddings_path`.
    OSError
        The file cannot be written.
    """
    check_embeddings_path(path)
    with whole_file(path) as file:
        if Path(path).suffix.lower() == ".npz":
            np.savez(
                file,
                path=np.array(result.paths, dtype=np.str_),
                embedding=result.embedding,
                duration_s=result.durations_s,
                audio_hash=np.array(result.audio_hashes, dtype=np.str_),
            )
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        dim = result.embedding.shape[1]
        columns = {
            "path": pa.array(result.paths, pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(result.embedding.reshape(-1)), dim),
            "duration_s": pa.array(result.durations_s),
            "audio_hash": pa.array(result.audio_hashes, pa.string()),
        }
        made_by = {"encoder": result.encoder, "encoder_hash": result.encoder_hash}
        table = pa.table(columns).replace_schema_metadata(made_by)
        # A dictionary of numbers that hardly repeat would make the file half as large again.
        pq.write_table(table, file, use_dictionary=False, row_group_size=ROWS_PER_GROUP)
