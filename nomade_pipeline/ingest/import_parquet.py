"""A Parquet file with sacct's column names as frames of text: the layout of published traces.

Beside sacct's own columns those are read that other schedulers' logs bring: sizes, times and CPU seconds with their
unit in the name (`MaxRSS_KB`, `Timelimit_s`, `TotalCPU_s`, `AveCPU_s`, `ReqMemPerCPU_MB`, `AveRSSPerCPU_MB`), and
`Exit_status` of TORQUE, above 256 a signal. Times are without a zone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Iterator

from nomade_pipeline.ingest.import_parts import ImportRefusedError, Part, text_frame
from nomade_pipeline.ingest.import_sacct import USED

if TYPE_CHECKING:
    import polars

ROWS = 131_072
TIMES = ("submit", "eligible", "start", "end")


def read_parquet(path: Path) -> Iterator[Part]:
    """Yield the jobs of a file.

    Raises:
        ImportRefusedError: it is no Parquet file, or has no job numbers or no ends.
        OSError: it cannot be read.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = {name.lower() for name in file.schema_arrow.names}
            if not {"jobid", "jobidraw"} & names or "end" not in names:
                raise ImportRefusedError(f"{path}: it has no columns JobIDRaw or JobID, and End")
            total, read = max(file.metadata.num_rows, 1), 0
            for batch in file.iter_batches(batch_size=ROWS):
                read += batch.num_rows
                yield Part(_jobs(pl.DataFrame(pl.from_arrow(batch))), read / total)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ImportRefusedError(f"{path}: no Parquet file: {error}") from error


def _jobs(table: polars.DataFrame) -> polars.DataFrame:
    """Return jobs in the terms of sacct."""
    import polars as pl

    table = table.rename({name: name.lower() for name in table.columns})
    made = {name: value for needs, made in _made().items() if needs in table.columns for name, value in made.items()}
    own = [pl.col(name) for name in table.columns if name in USED and name not in made]
    numbers = [
        pl.col(name).cast(pl.String).str.split(".").list.first()
        for name in ("jobid", "jobidraw")
        if name in table.columns
    ]
    table = table.with_columns(numbers).select(*own, **made)
    # TORQUE's request of nodes is a formula, `2:ppn=8`.
    if table.schema.get("reqnodes") == pl.String:
        table = table.drop("reqnodes")
    return text_frame(
        column.cast(pl.Datetime("ms")) if column.name in TIMES and isinstance(column.dtype, pl.Datetime) else column
        for column in table.get_columns()
    )


def _made() -> dict[str, dict[str, polars.Expr]]:
    """Return, by the column that it is made of, each column that is made, as sacct would write it."""
    import polars as pl

    status = pl.col("exit_status")
    return {
        "state_raw": {"state": pl.col("state_raw")},
        "timelimit_s": {"timelimit": pl.format("0:{}", "timelimit_s")},
        "totalcpu_s": {"totalcpu": pl.format("0:{}", "totalcpu_s")},
        "avecpu_s": {"totalcpu": pl.format("0:{}", pl.col("avecpu_s") * pl.col("ncpus"))},
        "maxrss_kb": {"maxrss": pl.format("{}K", "maxrss_kb")},
        "reqmempercpu_mb": {"reqmem": pl.format("{}Mc", "reqmempercpu_mb")},
        "aversspercpu_mb": {"averss": pl.format("{}M", "aversspercpu_mb"), "ntasks": pl.col("ncpus")},
        "exit_status": {
            "exitcode": pl.when(status >= 256).then(pl.format("0:{}", status - 256))
            .when(status >= 0).then(pl.format("{}:0", status))
        },
    }  # fmt: skip
