"""Features that a job's own record tells: by the accounting, and by the job monitor where it watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

# Decimal units.
GIGABYTE, MEGABYTE = 1e9, 1e6


def told_columns() -> dict[str, polars.Expr]:
    """Return the expression of each quantity that the records of `records_of_day` tell; null is never a zero."""
    import polars as pl

    written = pl.coalesce("write_bytes", pl.col("network_write_bytes") + pl.col("local_write_bytes"))
    files = pl.col("network_write_bytes") + pl.col("local_write_bytes")
    total, minutes = pl.coalesce(written, "disk_write_bytes") / GIGABYTE, run_minutes()
    held = pl.col("elapsed_seconds") * pl.col("alloc_cpus")
    return {
        "cpu_efficiency": pl.coalesce(
            "cpu_efficiency_ratio", pl.when(held > 0).then(pl.col("monitor_cpu_seconds") / held)
        ),
        "memory_efficiency": pl.col("memory_efficiency_ratio"),
        "vram_gb": _of_gpu(gpu_memory_bytes() / GIGABYTE, without=0.0),
        "used_gpu": _of_gpu(_gpu_was_used(), without=False),
        "had_swap": pl.col("swap_peak_bytes") > 0,
        "total_write_gb": total,
        "write_rate_mbps": pl.col("write_peak_bytes_per_second") / MEGABYTE,
        "nfs_ratio": pl.when(files > 0).then(pl.col("network_write_bytes") / files),
        "runtime_minutes": minutes,
        "write_intensity": pl.when(minutes > 0).then(total / minutes),
        "network_write_gb": pl.col("network_write_bytes") / GIGABYTE,
        "local_write_gb": pl.col("local_write_bytes") / GIGABYTE,
    }


def run_minutes() -> polars.Expr:
    """Return the run time in minutes; null for a job that never ran."""
    import polars as pl

    return pl.when(pl.col("start_time").is_not_null()).then(pl.col("elapsed_seconds") / 60)


def gpu_memory_bytes() -> polars.Expr:
    """Return the peak of GPU memory: the monitor's, else the accounting's."""
    import polars as pl

    return pl.coalesce("gpu_memory_peak_bytes", "gpu_memory_bytes")


def _gpu_was_used() -> polars.Expr:
    """Return whether any GPU memory or time was used: one sign is enough, and one zero without another sign says no."""
    import polars as pl

    signs = (gpu_memory_bytes() > 0, pl.col("gpu_util_percent") > 0)
    return pl.max_horizontal(sign.cast(pl.Int8) for sign in signs) > 0


def _of_gpu(measured: polars.Expr, *, without: float | bool) -> polars.Expr:
    """Return a quantity of GPUs: what was measured, and a known value for jobs that held none."""
    import polars as pl

    return pl.when(pl.col("alloc_gpus") == 0).then(pl.lit(without)).otherwise(measured)


def request_columns() -> dict[str, polars.Expr]:
    """Return what was known of a job's request when it was submitted."""
    import polars as pl

    submitted = pl.col("submit_time")
    limited = pl.col("time_limit_kind") == "limited"
    return {
        "req_memory_gb": pl.col("req_memory_bytes") / GIGABYTE,
        "time_limit_minutes": pl.when(limited).then(pl.col("time_limit_seconds") / 60),
        "submit_hour": submitted.dt.hour().cast(pl.Int32),
        "submit_weekday": (submitted.dt.weekday() - 1).cast(pl.Int32),
        "is_array_task": pl.col("array_task_id").is_not_null(),
    }


def start_columns() -> dict[str, polars.Expr]:
    """Return what was known of a job when it started, beside the columns of its record."""
    import polars as pl

    return {"wait_minutes": pl.col("wait_seconds") / 60}
