"""Time series of replays in, a CSV or Parquet file out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kvprof._core import REPLAY_COLUMNS
from kvprof.errors import UnavailableError, UsageError
from kvprof.output import Destination
from kvprof.replay.run import Replayed

_FACTS = ("tick", "waits", "hit_tokens", "queried_tokens")


def series_columns(replayed: Sequence[Replayed]) -> dict[str, np.ndarray[Any, Any]]:
    """Rows of all replays below each other, by column; bytes are integers."""
    parts: list[dict[str, np.ndarray[Any, Any]]] = []
    for index, each in enumerate(replayed):
        samples, result = each.samples, each.result
        column = {name: samples[:, i] for i, name in enumerate(REPLAY_COLUMNS)}
        rows = len(samples)
        asked = np.maximum(1, column["queried_tokens"])
        parts.append(
            {
                "result": np.full(rows, index),
                "model": np.full(rows, result.model.name),
                "engine": np.full(rows, result.engine),
                "block_size": np.full(rows, result.block_size or 0),
                "t_s": column["tick"] / each.ticks_per_s,
                "utilisation": column["pool_reserved"] / max(1, result.capacity_bytes),
                "live_sequences": column["live_sequences"],
                "waits": column["waits"],
                "hit_rate": column["hit_tokens"] / asked,
                **{n: c for n, c in column.items() if n not in (*_FACTS, "live_sequences")},
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_series(path: Path, replayed: Sequence[Replayed], destination: Destination) -> None:
    """Write the series of all replays; whole, or not at all.

    Raises
    ------
    UnavailableError
        When Parquet is asked for and DuckDB is not installed.
    UsageError
        When the file cannot be written.
    """
    columns = series_columns(replayed)
    if path.suffix == ".csv":
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        destination.write("\n".join(lines) + "\n")
        return
    _write_parquet(path, columns)


def _write_parquet(path: Path, columns: dict[str, np.ndarray[Any, Any]]) -> None:
    try:
        import duckdb  # noqa: PLC0415
    except ImportError:
        raise UnavailableError(
            "Parquet is written by DuckDB, which is not installed",
            hint="pip install 'kvprof[traces]', or give a name that ends in .csv.",
        ) from None
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    connection = duckdb.connect()
    try:
        connection.register("series", columns)
        quoted = str(temporary).replace("'", "''")
        connection.execute(f"COPY series TO '{quoted}' (FORMAT parquet)")
        temporary.replace(path)
    except (duckdb.Error, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error}") from None
    finally:
        connection.close()
