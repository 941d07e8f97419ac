"""Importing a million records of job history, beside Polars' bare reader on the same file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Report

if TYPE_CHECKING:
    import polars

RECORDS = 1_000_000
DAYS = 120
BUDGET_SECONDS, BUDGET_MB = 20, 1000
BEGIN = 1_600_000_000

NOTE_ON_READERS = """The bare reader is `polars.read_csv` with every column as text, or `polars.read_parquet`: it
splits cells and judges none. The import parses them too, checks the contract, and writes, syncs and reads back a
compressed file a day."""

KINDS = {
    "sacct -P, allocations": "jobs.txt",
    "the same again": "jobs.txt",
    "sacct -P, a quarter allocations and their steps": "steps.txt",
    "Parquet": "jobs.parquet",
}


def run() -> list[Report]:
    """Write the files, then import and bare-read each in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="nomade-bench-", dir="/var/tmp"))
    report = Report(
        f"Import of {RECORDS:,} records over {DAYS} days",
        ("file", "MB", "seconds", "CPU seconds", "peak MB", "budget", "bare reader s", "ratio"),
        notes=[NOTE_ON_READERS, "CPU seconds tell how the wall time grows where other work runs beside it."],
    )
    try:
        _measure("write", folder, "")
        for kind, name in KINDS.items():
            got = _measure("import", folder, name)
            bare = _measure("read", folder, name)
            report.add(
                kind,
                (folder / name).stat().st_size / 1e6,
                got["seconds"],
                got["cpu_seconds"],
                got["peak_mb"],
                f"≤ {BUDGET_SECONDS} s, ≤ {BUDGET_MB} MB",
                bare["seconds"],
                f"{got['seconds'] / bare['seconds']:.1f} ×",
            )
    finally:
        shutil.rmtree(folder)
    return [report]


def _measure(what: str, folder: Path, name: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.importing", what, str(folder), name],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _import(folder: Path, name: str) -> None:
    from nomade_pipeline.ingest.importing import import_file
    from nomade_pipeline.store.home import Store

    import_file(Store.at(folder / "data"), folder / name, Path(name).stem + Path(name).suffix[1:])


def _read(folder: Path, name: str) -> None:
    import polars as pl

    if name.endswith(".parquet"):
        pl.read_parquet(folder / name)
    else:
        pl.read_csv(folder / name, separator="|", infer_schema=False, quote_char=None)


def _write(folder: Path) -> None:
    """Write jobs as their accounting would tell them."""
    import polars as pl

    jobs = _jobs(RECORDS)
    sacct = _as_told(jobs)
    sacct.write_csv(folder / "jobs.txt", separator="|", quote_style="never")
    _with_steps(_as_told(_jobs(RECORDS // 4))).write_csv(folder / "steps.txt", separator="|", quote_style="never")
    times = [pl.from_epoch(name).alias(name) for name in ("Submit", "Start", "End")]
    jobs.with_columns(*times, Cluster=pl.lit("bench"), State=_state()).write_parquet(folder / "jobs.parquet")


def _jobs(count: int) -> polars.DataFrame:
    import numpy as np
    import polars as pl

    random = np.random.default_rng(7)
    submit = BEGIN + np.sort(random.uniform(0, DAYS * 86400, count)).astype(int)
    start = submit + random.exponential(3000, count).astype(int)
    elapsed = random.exponential(3600, count).astype(int)
    return pl.DataFrame(
        {
            "JobIDRaw": np.arange(count) + 1000,
            "User": [f"u{number}" for number in random.integers(0, 300, count)],
            "Submit": submit,
            "Start": start,
            "End": start + elapsed,
            "ElapsedRaw": elapsed,
            "TimelimitRaw": random.choice([60, 240, 1440], count),
            "NCPUS": random.choice([1, 2, 4, 8, 16, 32, 64], count),
            "outcome": random.integers(0, 10, count),
        }
    )


def _state() -> polars.Expr:
    import polars as pl

    return (
        pl.when(pl.col("outcome") == 0).then(pl.lit("FAILED"))
        .when(pl.col("outcome") == 1).then(pl.lit("CANCELLED by 1000"))
        .otherwise(pl.lit("COMPLETED"))
    )  # fmt: skip


def _as_told(jobs: polars.DataFrame) -> polars.DataFrame:
    """Return jobs as `sacct -P` writes them."""
    import polars as pl

    def told(name: str) -> polars.Expr:
        return pl.from_epoch(name).dt.strftime("%Y-%m-%dT%H:%M:%S").alias(name)

    cpus, cpu_seconds = pl.col("NCPUS"), pl.col("ElapsedRaw") * pl.col("NCPUS") * 2 // 3
    return jobs.select(
        pl.col("JobIDRaw").cast(pl.String).alias("JobID"),
        pl.col("JobIDRaw").cast(pl.String),
        _state().alias("State"),
        told("Submit"),
        told("Start"),
        told("End"),
        "ElapsedRaw",
        "TimelimitRaw",
        cpus.alias("ReqCPUS"),
        cpus.alias("AllocCPUS"),
        pl.lit("").alias("NTasks"),
        pl.format("{}G", cpus * 2).alias("ReqMem"),
        pl.format("billing={},cpu={},mem={}G,node=1", cpus, cpus, cpus * 2).alias("AllocTRES"),
        pl.format("{}:{}", cpu_seconds // 60, (cpu_seconds % 60).cast(pl.String).str.zfill(2)).alias("TotalCPU"),
        pl.lit("").alias("MaxRSS"),
        pl.lit("").alias("TRESUsageInTot"),
        pl.when(pl.col("outcome") == 0).then(pl.lit("1:0")).otherwise(pl.lit("0:0")).alias("ExitCode"),
        pl.format("n{}", pl.col("JobIDRaw") % 500).alias("NodeList"),
        pl.lit("batch").alias("Partition"),
        "User",
        pl.format("job {}", pl.col("JobIDRaw") % 1000).alias("JobName"),
    )


def _with_steps(allocations: polars.DataFrame) -> polars.DataFrame:
    """Put the batch, the extern and one numbered step behind each allocation."""
    import polars as pl

    bytes_used = pl.col("JobIDRaw").cast(pl.Int64) * 7919 % 4_000_000
    usage = pl.format("cpu=00:00:01,energy=0,fs/disk={},mem={}K,vmem=0", bytes_used * 3, bytes_used)
    steps = [
        allocations.with_columns(
            pl.format("{}.{}", "JobID", pl.lit(step)).alias("JobID"),
            pl.format("{}.{}", "JobIDRaw", pl.lit(step)).alias("JobIDRaw"),
            pl.lit("1").alias("NTasks"),
            pl.format("{}K", bytes_used).alias("MaxRSS"),
            usage.alias("TRESUsageInTot"),
            pl.lit(step).alias("JobName"),
        )
        for step in ("batch", "extern", "0")
    ]
    parts = [allocations, *steps]
    return pl.concat(part.with_row_index("_job") for part in parts).sort("_job", maintain_order=True).drop("_job")


def main() -> None:
    """Write the files, or import or read one, and print what it took."""
    what, folder, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    began, used = time.perf_counter(), time.process_time()
    if what == "write":
        _write(folder)
    else:
        (_import if what == "import" else _read)(folder, name)
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    result = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
        "peak_mb": int(peak.split()[1]) / 1000,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
