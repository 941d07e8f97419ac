"""What many jobs used, at once: what `collectors.sacct_use` does job by job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nomade_pipeline.collectors.sacct_rows import NO_CODE, OOM_SIGNAL, ExitCode
from nomade_pipeline.collectors.slurm_states import parse_job_state
from nomade_pipeline.collectors.slurm_values import parse_exit_code
from nomade_pipeline.ingest.job_cells import JobCells, rounded
from nomade_pipeline.ingest.job_requests import mark_overflow, positive, resources

if TYPE_CHECKING:
    import polars

_USAGE = {"mem": 1024, "fs/disk": 1024, "gres/gpumem": 1024, "gres/gpuutil": 1024, "energy": 1000}
_CPU = ("usercpu", "systemcpu", "totalcpu")
_SIGNALS = 2**31
# How the figures of a job's steps are put together.
_PEAKS = ("memory", "rss_tasks", "rss", "gpumem", "gpuutil", "joules")
_SUMS = ("read", "written", *_CPU)


@dataclass(frozen=True)
class StepCells:
    """The steps of some allocations.

    Attributes:
        cells: their cells; the steps of an allocation need not stand together.
        owners: for each step the row of its allocation.
    """

    cells: JobCells
    owners: polars.Series


def use_columns(cells: JobCells, started: polars.Series, steps: StepCells | None = None) -> list[polars.Series]:
    """Return what was used, of jobs that ran; of an allocation without steps what its own record says."""
    import polars as pl

    own = _measures(cells)
    table = own.with_columns(started=started, steps=pl.lit(0, pl.Int64), own_joules=_own_joules(cells))
    if steps is not None:
        table = _with_steps(table, _measures(steps.cells), steps.owners)
    memory = {
        "memory_seff_bytes": positive("memory"),
        "memory_max_rss_tasks_bytes": positive("rss_tasks"),
        "memory_max_rss_bytes": positive("rss"),
    }
    total = pl.coalesce("totalcpu", pl.col("usercpu") + pl.col("systemcpu"))
    sampled = pl.any_horizontal(value.is_not_null() for value in memory.values()) | (total > 0).fill_null(value=False)
    use = {
        "user_cpu_seconds": pl.when(sampled).then("usercpu"),
        "system_cpu_seconds": pl.when(sampled).then("systemcpu"),
        "cpu_seconds": pl.when(sampled).then(total),
        **memory,
        "disk_read_bytes": pl.col("read"),
        "disk_write_bytes": pl.col("written"),
        "gpu_memory_bytes": pl.col("gpumem"),
        "gpu_util_percent": pl.col("gpuutil").cast(pl.Float64),
        "energy_joules": pl.coalesce("own_joules", "joules").cast(pl.Float64),
    }
    columns = table.select("steps", *(pl.when("started").then(value).alias(name) for name, value in use.items()))
    return columns.get_columns()


def efficiencies() -> dict[str, polars.Expr]:
    """Return the ratios of what was used to what was there; none without both, or for a job that never ran."""
    import polars as pl

    def ratio(part: str, whole: polars.Expr) -> polars.Expr:
        return pl.when(pl.col("started") & (whole != 0)).then(pl.col(part) / whole)

    return {
        "cpu_efficiency_ratio": ratio("cpu_seconds", pl.col("elapsed_seconds") * pl.col("alloc_cpus")),
        "memory_efficiency_ratio": ratio("memory_seff_bytes", pl.col("alloc_memory_bytes")),
        "memory_tasks_efficiency_ratio": ratio("memory_max_rss_tasks_bytes", pl.col("req_memory_bytes")),
    }


def _measures(cells: JobCells) -> polars.DataFrame:
    """Return the figures of each record, of an allocation or a step."""
    import polars as pl

    used, written = cells.amounts("tresusageintot", _USAGE), cells.amounts("tresusageouttot", {"fs/disk": 1024})
    sizes = ("maxrss", "averss", "avediskread", "avediskwrite")
    table = pl.DataFrame(
        {
            "tasks": cells.size("ntasks"),
            **{name: cells.size(name) for name in sizes},
            **{name: cells.duration(name) for name in _CPU},
            "mem": used["mem"],
            "in": used["fs/disk"],
            "out": written["fs/disk"],
            "gpumem": used["gres/gpumem"],
            "gpuutil": used["gres/gpuutil"],
            "energy": used["energy"],
            "raw_joules": cells.size("consumedenergyraw"),
            "about_joules": cells.size("consumedenergy", base=1000),
        }
    )
    for name in sizes:
        mark_overflow(cells, table, name, "tasks")
    tasks = positive("tasks")
    return table.select(
        *_CPU,
        "gpumem",
        "gpuutil",
        memory=pl.coalesce("mem", pl.col("averss") * tasks),
        rss_tasks=pl.col("maxrss") * tasks,
        rss=pl.col("maxrss"),
        read=pl.coalesce("in", pl.col("avediskread") * tasks),
        written=pl.coalesce("out", pl.col("avediskwrite") * tasks),
        joules=pl.coalesce(positive("raw_joules"), positive("about_joules"), positive("energy")),
    )


def _own_joules(cells: JobCells) -> polars.Series:
    """Return the energy that the allocations' records tell; 0 is what Slurm writes without an energy plugin."""
    import polars as pl

    told = pl.DataFrame(
        {
            "raw": cells.size("consumedenergyraw"),
            "about": cells.size("consumedenergy", base=1000),
            "given": resources(cells, "alloctres")["energy"],
        }
    )
    return told.select(pl.coalesce(positive("raw"), positive("about"), positive("given")).alias("joules")).to_series()


def _with_steps(table: polars.DataFrame, measures: polars.DataFrame, owners: polars.Series) -> polars.DataFrame:
    """Put the figures of steps in the place of those of their allocations; of CPU time the larger one counts."""
    import polars as pl

    joined = (
        measures.with_columns(_owner=owners)
        .group_by("_owner")
        .agg(
            pl.col(_PEAKS).max(),
            *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in _SUMS),
            pl.len().cast(pl.Int64).alias("steps"),
        )
    )
    joined = joined.with_columns(rounded(joined[name], 3) for name in _CPU)
    rows = table.with_row_index("_owner").with_columns(pl.col("_owner").cast(pl.Int64))
    rows = rows.join(joined, on="_owner", how="left", suffix="_of_steps", maintain_order="left")
    has_steps = pl.col("steps_of_steps").is_not_null()
    others = [name for name in (*_PEAKS, *_SUMS, "steps") if name not in _CPU]
    return rows.with_columns(
        *(pl.when(has_steps).then(f"{name}_of_steps").otherwise(name).alias(name) for name in others),
        *(pl.max_horizontal(name, f"{name}_of_steps").alias(name) for name in _CPU),
    )


def exit_codes(cells: JobCells, name: str) -> polars.DataFrame:
    """Return the exit status and signal of a column."""
    import polars as pl

    def parse(text: str) -> ExitCode | None:
        code = parse_exit_code(text)
        return None if code == NO_CODE else code

    return cells.read_parts(parse, {"code": pl.Int64, "signal": pl.Int64}, name)


def with_step_outcomes(facts: polars.DataFrame, steps: StepCells | None) -> polars.DataFrame:
    """Add whether a job ran out of memory, and where it is not told the largest exit status of its numbered steps."""
    import polars as pl

    by_signal = (pl.col("exit_signal") == OOM_SIGNAL).fill_null(value=False) | (
        pl.col("derived_exit_signal") == OOM_SIGNAL
    ).fill_null(value=False)
    if steps is None:
        return facts.with_columns(oom_killed=pl.when(by_signal).then(True))
    told = pl.col("derived_exit_code").is_not_null() | pl.col("derived_exit_signal").is_not_null()
    rows = facts.with_row_index("_owner").with_columns(pl.col("_owner").cast(pl.Int64))
    rows = rows.join(_ends_of_steps(steps), on="_owner", how="left", maintain_order="left").with_columns(
        pl.when(told).then(f"derived_exit_{part}").otherwise(f"step_{part}").alias(f"derived_exit_{part}")
        for part in ("code", "signal")
    )
    return rows.with_columns(oom_killed=pl.when(by_signal).then(True).otherwise("step_oom"))


def _ends_of_steps(steps: StepCells) -> polars.DataFrame:
    """Return by allocation whether a step ran out of memory, and the largest exit status of the numbered ones."""
    import polars as pl

    names = steps.cells.text("jobid", "jobidraw").str.split(".").list.last()
    codes = exit_codes(steps.cells, "exitcode")
    state = steps.cells.read_parts(parse_job_state, {"state": pl.String, "uid": pl.Int64}, "state")["state"]
    # Few write a status without a signal, and then the two ways would have to agree on which of equals is taken.
    steps.cells.odd |= codes["code"].is_not_null() & codes["signal"].is_null()
    table = codes.with_columns(
        _owner=steps.owners, state=state, numbered=names.str.contains("^[0-9]").fill_null(value=False)
    )
    out_of_memory = (pl.col("state") == "OUT_OF_MEMORY").fill_null(value=False) | (
        pl.col("signal") == OOM_SIGNAL
    ).fill_null(value=False)
    # Both in one number, of which the status counts first; neither has more than nine digits.
    both = pl.col("code") * _SIGNALS + pl.col("signal")
    largest = both.filter(pl.col("numbered")).max()
    return (
        table.group_by("_owner")
        .agg(out_of_memory.any().alias("step_oom"), largest.alias("_largest"))
        .with_columns(step_code=pl.col("_largest") // _SIGNALS, step_signal=pl.col("_largest") % _SIGNALS)
        .drop("_largest")
    )
