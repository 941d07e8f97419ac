"""A log in the Standard Workload Format (Feitelson: The Standard Workload Format, version 2.2) as frames of text.

Each line has 18 numbers, -1 for what is not known; times are seconds since `UnixStartTime` of the header. Memory is
KB a processor, CPU time the mean over processors.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Iterator

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.ingest.import_parts import ImportRefusedError, Part, text_frame

if TYPE_CHECKING:
    import polars

FIELDS = (
    "job", "submit", "wait", "run", "procs", "cpu", "memory", "req_procs", "req_time", "req_memory", "status", "user",
    "group", "program", "queue", "partition", "preceding", "think",
)  # fmt: skip
LINES = 200_000
STATES = {0: "FAILED", 1: "COMPLETED", 5: "CANCELLED"}
# Lines of a job that was run in pieces; a line of the whole job stands before them.
PIECES = (2, 3, 4)

_START = re.compile(rb"^;\s*UnixStartTime:\s*(\d+)", re.IGNORECASE)


def read_swf(path: Path) -> Iterator[Part]:
    """Yield the jobs of a log, `.swf` or `.swf.gz`.

    Raises:
        ImportRefusedError: the header does not say when it begins, or it is no log in this format.
        OSError: it cannot be read.
    """
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw, contextlib.ExitStack() as stack:
        file = stack.enter_context(gzip.open(raw)) if path.suffix == ".gz" else raw
        try:
            start, first = _header(file, path)
            lines = itertools.chain([first], file)
            while chunk := list(itertools.islice(lines, LINES)):
                yield _part([line.decode("utf-8", "replace") for line in chunk], start, min(raw.tell() / size, 1.0))
        except (gzip.BadGzipFile, EOFError) as error:
            raise ImportRefusedError(f"{path}: the compressed file is damaged: {error}") from error


def _header(file: Iterable[bytes], path: Path) -> tuple[int, bytes]:
    """Return the time of the log's beginning and its first line behind the header."""
    start: int | None = None
    for line in file:
        if line.strip() and not line.lstrip().startswith(b";"):
            if start is None:
                break
            return start, line
        match = _START.match(line.lstrip())
        start = int(match.group(1)) if match else start
    raise ImportRefusedError(f"{path}: no `; UnixStartTime:` stands before the first job, so no time in it is known")


def _part(lines: list[str], start: int, done: float) -> Part:
    import polars as pl

    text = pl.Series(lines, dtype=pl.String).str.strip_chars().str.replace_all(r"\s+", " ")
    text = text.filter((text != "") & ~text.str.starts_with(";"))
    cells = text.str.split(" ")
    table = cells.list.to_struct(fields=list(FIELDS)).struct.unnest()
    numbers = table.select(pl.col(name).cast(pl.Float64, strict=False) for name in FIELDS)
    good = (cells.list.len() == len(FIELDS)) & numbers.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    pieces = numbers["status"].cast(pl.Int64, strict=False).is_in(PIECES).fill_null(value=False)
    rejected = [Rejected(line, f"no line of {len(FIELDS)} numbers") for line in text.filter(~good)]
    rejected += [Rejected(line, "a piece of a job that is told as a whole") for line in text.filter(good & pieces)]
    return Part(_jobs(numbers.filter(good & ~pieces), start), done, rejected)


def _jobs(numbers: polars.DataFrame, start: int) -> polars.DataFrame:
    """Return jobs in the terms of sacct; -1 is not told."""
    import polars as pl

    known = numbers.with_columns(pl.when(pl.col(name) != -1).then(pl.col(name)) for name in FIELDS)
    whole = {name: pl.col(name).round().cast(pl.Int64, strict=False) for name in FIELDS}
    begun = pl.col("submit") + pl.col("wait")
    # A job that was cancelled before it ran has no run time, and its end is the end of its wait.
    ran = pl.col("run").is_not_null()
    procs = pl.coalesce(_positive("procs"), _positive("req_procs"))

    def moment(seconds: polars.Expr) -> polars.Expr:
        return pl.from_epoch((seconds.cast(pl.Float64) + start) * 1000, time_unit="ms")

    table = known.select(
        jobid=whole["job"],
        submit=moment(pl.col("submit")),
        start=moment(pl.when(ran).then(begun)),
        end=moment(begun + pl.col("run").fill_null(0)),
        elapsedraw=whole["run"].fill_null(0),
        state=whole["status"].replace_strict(STATES, default=None, return_dtype=pl.String),
        ncpus=whole["procs"],
        reqcpus=whole["req_procs"],
        timelimit=pl.format("0:{}", whole["req_time"]),
        reqmem=pl.format("{}Kc", whole["req_memory"]),
        totalcpu=pl.format("0:{}", (pl.col("cpu") * procs).round(2)),
        averss=pl.format("{}K", whole["memory"]),
        ntasks=procs.round().cast(pl.Int64, strict=False),
        user=pl.format("u{}", whole["user"]),
        account=pl.format("g{}", whole["group"]),
        jobname=pl.format("app{}", whole["program"]),
        qos=whole["queue"],
        partition=whole["partition"],
    )
    return text_frame(table.get_columns())


def _positive(name: str) -> polars.Expr:
    import polars as pl

    return pl.when(pl.col(name) > 0).then(pl.col(name))
