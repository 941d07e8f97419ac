"""System quantities of a million jobs on a thousand hosts, beside DuckDB on the same files.

``python -m benchmarks features``: a day of one-minute samples in the lake, as the ingest leaves a closed day. DuckDB
does it in two ways: means as differences of running integrals that two ASOF joins look up, and a range join of runs and
samples. Peaks over an interval are beyond an ASOF join, which finds one row; the range join gives them too.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import Report
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.system import IOSTAT, IOSTAT_CPU, MPSTAT_SUMMARY, VMSTAT

if TYPE_CHECKING:
    import polars

JOBS, HOSTS, MINUTES, DISKS, SEED = 1_000_000, 1000, 1440, 4, 20261124
# The range join touches every sample of every run; it is measured on these and given beside ours on the same.
FEWER_JOBS, FEWER_HOSTS = 100_000, 100
CLUSTER, DAY = "bench", date(2026, 3, 5)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
THREADS = 2

NOTE = """Each way runs in a process of its own with two threads and reads the same Parquet files. Ours also expands the
lists of nodes, looks for a map of nodes, and takes 5 means and 3 peaks of three tables, the mean of the busiest disk of
a fourth, and the coverage. DuckDB is given the hosts of each job as a file. ASOF: two joins a table on window sums,
means only. Range join: one join a table, means and peaks; it grows with the length of the runs."""


def run() -> list[Report]:
    """Write the files, then let each way work on them."""
    report = Report(
        f"System quantities of jobs on a day of one-minute samples, {DISKS} disks a host",
        ("jobs", "hosts", "way", "wall s", "CPU s", "peak MB", "CPU, ratio to ours"),
        notes=[NOTE],
    )
    for jobs, hosts, ways in ((JOBS, HOSTS, ("ours", "asof")), (FEWER_JOBS, FEWER_HOSTS, ("ours", "asof", "range"))):
        folder = Path(tempfile.mkdtemp(prefix="nomade-bench-", dir="/var/tmp"))
        try:
            _process("write", folder, jobs, hosts)
            measured = {way: _process(way, folder, jobs, hosts) for way in ways}
            for way, figures in measured.items():
                ratio = figures["cpu"] / measured["ours"]["cpu"]
                report.add(
                    f"{jobs:,}", hosts, WAYS[way], figures["wall"], figures["cpu"], figures["mb"], f"{ratio:.1f} ×"
                )
            report.notes.append(_difference(folder, jobs, list(measured)))
        finally:
            shutil.rmtree(folder)
    return [report]


WAYS = {"ours": "ours", "asof": "DuckDB, ASOF joins (means only)", "range": "DuckDB, range join"}


def _process(what: str, folder: Path, jobs: int, hosts: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.features", what, str(folder), str(jobs), str(hosts)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _difference(folder: Path, jobs: int, ways: list[str]) -> str:
    """Return how far the ways lie apart on what all give."""
    import polars as pl

    ours = pl.read_parquet(folder / "ours.parquet")
    found = []
    for way in ways[1:]:
        other = pl.read_parquet(folder / f"{way}.parquet").sort("row")
        kept = ours.join(other, on="row", suffix="_other")
        names = [name for name in other.columns if name != "row"]
        largest = max(float((kept[name] - kept[f"{name}_other"]).abs().max() or 0) for name in names)
        found.append(f"{WAYS[way]}: {len(names)} quantities, largest difference {largest:.1g}")
    return f"Against ours, {jobs:,} jobs: {'; '.join(found)}."


def _jobs(jobs: int, hosts: int) -> polars.DataFrame:
    """Return runs of which half are shorter than 20 minutes, nine of ten on one node, the others on up to 16."""
    import polars as pl

    random = np.random.default_rng(SEED)
    length = np.minimum(random.lognormal(np.log(1200), 1.3, jobs), 20 * 3600)
    begin = random.uniform(0, 1, jobs) * (86400 - length)
    nodes = np.where(random.uniform(size=jobs) < 0.9, 1, 2 ** random.integers(1, 5, jobs))
    first = random.integers(0, hosts - 16, jobs)
    names = [f"n{f:04}" if n == 1 else f"n[{f:04}-{f + n - 1:04}]" for f, n in zip(first, nodes, strict=True)]
    moments = {"start_time": begin, "end_time": begin + length}
    times = {name: [MIDNIGHT + timedelta(seconds=float(s)) for s in values] for name, values in moments.items()}
    kind = pl.Datetime("ms", "UTC")
    return pl.DataFrame({**times, "node_list": names}, schema_overrides=dict.fromkeys(times, kind))


def _samples(hosts: int, random: np.random.Generator) -> dict[str, tuple[Table, polars.DataFrame]]:
    """Return a day of the four tables of some hosts."""
    import polars as pl

    names = [f"n{number:04}" for number in range(hosts)]
    frame = pl.DataFrame({"host": names}).join(pl.DataFrame({"_minute": np.arange(1, MINUTES + 1)}), how="cross")
    moment = pl.lit(MIDNIGHT).cast(pl.Datetime("ms", "UTC")) + pl.duration(minutes=pl.col("_minute"))
    # The last minute ends at midnight; a day holds what ends before.
    frame = frame.select("host", sample_time=moment - pl.duration(milliseconds=1), interval_seconds=pl.lit(60.0))
    count = frame.height

    def uniform(top: float) -> np.ndarray:
        return np.round(random.uniform(0, top, count), 2)

    memory = {
        "memory_total_bytes": np.full(count, 256 * 10**9),
        "memory_available_bytes": random.integers(0, 256 * 10**9, count),
        "swap_in_bytes_per_second": np.round(uniform(1e6)),
        "swap_out_bytes_per_second": np.round(uniform(1e6)),
        "psi_memory_some_percent": uniform(30),
    }
    disks = frame.join(pl.DataFrame({"device": [f"sd{chr(97 + disk)}" for disk in range(DISKS)]}), how="cross")
    busy = {"busy_percent": uniform(100), "busy_max_percent": uniform(100), "imbalance_ratio": uniform(3)}
    return {
        IOSTAT_CPU.name: (IOSTAT_CPU, frame.with_columns(iowait_percent=pl.Series(uniform(20)))),
        MPSTAT_SUMMARY.name: (MPSTAT_SUMMARY, frame.with_columns(**{k: pl.Series(v) for k, v in busy.items()})),
        VMSTAT.name: (
            VMSTAT,
            frame.with_columns(
                procs_blocked=pl.Series(random.poisson(0.3, count)), **{k: pl.Series(v) for k, v in memory.items()}
            ),
        ),
        IOSTAT.name: (
            IOSTAT,
            disks.with_columns(
                device_kind=pl.lit("disk"), util_percent=pl.Series(np.round(random.uniform(0, 100, disks.height), 2))
            ),
        ),
    }


def _write(folder: Path, jobs: int, hosts: int) -> None:
    """Write a closed day of the lake, and the runs."""
    import polars as pl

    from nomade_pipeline.features.runs import hosts_of_runs
    from nomade_pipeline.store.home import Store
    from nomade_pipeline.store.schema import polars_schema

    lake = Store.at(folder).lake
    for table, frame in _samples(hosts, np.random.default_rng(SEED)).values():
        schema = polars_schema(table)
        plain = {"cluster": CLUSTER, "source": "tool", "received_time": MIDNIGHT}
        fill = {name: plain.get(name, 0 if schema[name].is_numeric() else None) for name in schema}
        rows = frame.select(
            (pl.col(name) if name in frame.columns else pl.lit(fill[name])).cast(kind).alias(name)
            for name, kind in schema.items()
        )
        lake.replace(table, CLUSTER, DAY, rows)
    runs = _jobs(jobs, hosts)
    runs.write_parquet(folder / "jobs.parquet")
    nowhere = pl.DataFrame(
        schema={"node": pl.String, "since": pl.Datetime("ms", "UTC"), "shared": pl.Boolean, "host": pl.String}
    )
    placed = hosts_of_runs(runs, nowhere).join(runs.with_row_index("row"), on="row")
    seconds = (pl.col(name).dt.epoch("ms") / 1000 for name in ("start_time", "end_time"))
    first, last = seconds
    placed.select("row", "host", b=first, e=last).write_parquet(folder / "placed.parquet")


def _ours(folder: Path) -> None:
    import polars as pl

    from nomade_pipeline.features.system import system_quantities
    from nomade_pipeline.store.home import Store

    found = system_quantities(Store.at(folder), CLUSTER, DAY, pl.read_parquet(folder / "jobs.parquet"))
    found.with_row_index("row").write_parquet(folder / "ours.parquet")


_PRESSURE = """greatest(
    least(1, greatest(0, 1 - memory_available_bytes / memory_total_bytes / 0.2)),
    (swap_in_bytes_per_second + swap_out_bytes_per_second)::DOUBLE
        / ((swap_in_bytes_per_second + swap_out_bytes_per_second)::DOUBLE + 10e6),
    least(1, psi_memory_some_percent::DOUBLE / 100))"""
_TIME = "epoch_ms(sample_time) / 1000.0 AS t, interval_seconds::DOUBLE AS s"


def _sources(folder: Path) -> dict[str, tuple[str, list[str], list[str]]]:
    """Return the query of each table, and the names of its means and peaks."""

    def of(table: Table, columns: str) -> str:
        file = folder / "lake" / "raw" / table.name / f"cluster={CLUSTER}" / f"date={DAY}" / "day.parquet"
        return f"SELECT host, {_TIME}, {columns} FROM read_parquet('{file}', hive_partitioning = false)"

    busiest = of(IOSTAT, "max(util_percent)::DOUBLE AS device_util") + " WHERE device_kind = 'disk' GROUP BY ALL"
    return {
        "cpu": (
            of(IOSTAT_CPU, "iowait_percent::DOUBLE AS avg_iowait, iowait_percent::DOUBLE AS peak_iowait"),
            ["avg_iowait"],
            ["peak_iowait"],
        ),
        "cores": (
            of(
                MPSTAT_SUMMARY,
                "busy_percent::DOUBLE AS avg_core_busy, imbalance_ratio::DOUBLE AS imbalance_ratio, "
                "busy_max_percent::DOUBLE AS max_core_busy",
            ),
            ["avg_core_busy", "imbalance_ratio"],
            ["max_core_busy"],
        ),
        "memory": (
            of(
                VMSTAT,
                f"{_PRESSURE} AS memory_pressure, procs_blocked::DOUBLE AS procs_blocked, "
                "(swap_in_bytes_per_second + swap_out_bytes_per_second)::DOUBLE / 1000 AS swap_activity",
            ),
            ["memory_pressure", "procs_blocked"],
            ["swap_activity"],
        ),
        "disks": (busiest, ["device_util"], []),
    }


def _asof(folder: Path) -> None:
    """Look up the running integrals at both ends of each run; within a sample they grow evenly."""
    parts, names = [], []
    for source, (query, means, _) in _sources(folder).items():
        sums = ", ".join(f"sum({name} * s) OVER w AS p_{name}, {name}" for name in means)
        window = f"SELECT host, t, t - s AS b, s, {sums} FROM ({query}) WINDOW w AS (PARTITION BY host ORDER BY t)"
        # The sample at or after a moment: what has run up before it, and its part until the moment.
        at = ", ".join(
            f"coalesce(p_{name} - {name} * s + {name} * least(greatest(m - b, 0), s), 0) AS i_{name}" for name in means
        )
        parts.append(f"{source} AS MATERIALIZED ({window})")
        for end in ("b", "e"):
            moments = f"(SELECT row, host, {end} AS m FROM placed)"
            lookup = f"{moments} r ASOF JOIN {source} x ON r.host = x.host AND x.t >= r.m"
            parts.append(f"{source}_{end} AS (SELECT r.row, r.host, {at} FROM {lookup})")
        names.append((source, means))
    selected = []
    for source, means in names:
        both = ", ".join(f"sum(l.i_{name} - f.i_{name}) / sum(p.e - p.b) AS {name}" for name in means)
        selected.append(
            f"{source}_of AS (SELECT p.row, {both} FROM placed p JOIN {source}_b f USING (row, host) "
            f"JOIN {source}_e l USING (row, host) GROUP BY p.row)"
        )
    joined = "cpu_of JOIN cores_of USING (row) JOIN memory_of USING (row) JOIN disks_of USING (row)"
    _duckdb(folder, f"WITH {', '.join([*parts, *selected])} SELECT * FROM {joined}", "asof")


def _range(folder: Path) -> None:
    """Join each run with the samples that share any of it."""
    selected = []
    for source, (query, means, peaks) in _sources(folder).items():
        shared = "(least(r.e, x.t) - greatest(r.b, x.t - x.s))"
        sums = [f"sum({name} * {shared}) / sum({shared}) AS {name}" for name in means]
        # A peak counts where the middle of the sample lies in the run; where none does, any sample that it touches.
        inside = "x.t - x.s / 2 >= r.b AND x.t - x.s / 2 < r.e"
        sums += [f"coalesce(max({name}) FILTER ({inside}), max({name})) AS {name}" for name in peaks]
        selected.append(
            f"{source}_of AS (SELECT r.row, {', '.join(sums)} FROM placed r JOIN ({query}) x "
            f"ON r.host = x.host AND x.t > r.b AND x.t - x.s < r.e GROUP BY r.row)"
        )
    joined = "cpu_of JOIN cores_of USING (row) JOIN memory_of USING (row) JOIN disks_of USING (row)"
    _duckdb(folder, f"WITH {', '.join(selected)} SELECT * FROM {joined}", "range")


def _duckdb(folder: Path, query: str, name: str) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {THREADS}; SET temp_directory = '{folder / 'spill'}'")
        connection.execute(f"CREATE VIEW placed AS SELECT * FROM read_parquet('{folder / 'placed.parquet'}')")
        connection.execute(f"COPY ({query}) TO '{folder / name}.parquet'")


def main() -> None:
    """Do one part of the work and print what it cost."""
    what, folder, jobs, hosts = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    began = time.perf_counter()
    if what == "write":
        _write(folder, jobs, hosts)
    else:
        {"ours": _ours, "asof": _asof, "range": _range}[what](folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cost = {"wall": time.perf_counter() - began, "cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1000}
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
