"""What many jobs asked for and used, at once: what `collectors.sacct_use` does job by job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nomade_pipeline.collectors.sacct_columns import parse_count, parse_memory_request
from nomade_pipeline.collectors.slurm_values import gpus_of_tres, parse_gres, parse_size, parse_tres
from nomade_pipeline.ingest.job_cells import JobCells

if TYPE_CHECKING:
    import polars

# A product beyond is too large for a column, and would be a wrong number without a warning.
_LARGEST = 9e18


def request_columns(cells: JobCells, started: polars.Series) -> list[polars.Series]:
    """Return what was asked for and allocated; of a job that never started nothing was allocated."""
    import polars as pl

    asked, given = _tres(cells, "reqtres"), _tres(cells, "alloctres")
    told = {
        name: cells.read(parse_count, pl.Int64, *columns)
        for name, columns in {
            "req_cpus": ("reqcpus",), "req_nodes": ("reqnodes",), "alloc_nodes": ("allocnodes",), "nnodes": ("nnodes",),
        }.items()
    }  # fmt: skip
    told["alloc_cpus"] = cells.read(parse_count, pl.Int64, "alloccpus", "ncpus")
    memory = cells.read_parts(parse_memory_request, {"size": pl.Int64, "per": pl.String}, "reqmem")
    table = pl.DataFrame(
        [
            *(column.alias(name) for name, column in told.items()),
            *(asked[name].alias(f"asked_{name}") for name in asked.columns),
            *(given[name].alias(f"given_{name}") for name in given.columns),
            *memory,
            started.alias("started"),
        ]
    )
    table = table.with_columns(
        req_cpus=_first_positive("req_cpus", "asked_cpu"),
        req_nodes=_first_positive("req_nodes", "asked_node"),
        nodes=_first_positive("alloc_nodes", "given_node", "nnodes"),
        cpus=_first_positive("alloc_cpus", "given_cpu"),
    )
    factor = (
        pl.when(pl.col("per") == "n").then(_first_positive("req_nodes", "nodes"))
        .when(pl.col("per") == "c").then(_first_positive("req_cpus", "cpus"))
        .otherwise(1)
    )  # fmt: skip
    table = table.with_columns(factor=pl.when(factor != 0).then(factor))
    _mark_overflow(cells, table, "size", "factor")
    return [
        *table.select(
            "req_cpus",
            "req_nodes",
            pl.coalesce(_positive("asked_mem"), pl.col("size") * pl.col("factor")).alias("req_memory_bytes"),
            *(
                pl.when("started").then(value).alias(name)
                for name, value in {
                    "alloc_cpus": _positive("cpus"),
                    "alloc_nodes": _positive("nodes"),
                    "alloc_memory_bytes": _positive("given_mem"),
                }.items()
            ),
        ),
        *_gpus(cells, table),
        pl.select(pl.when(started).then(cells.text("alloctres")).alias("alloc_tres")).to_series(),
    ]


def _positive(name: str) -> polars.Expr:
    import polars as pl

    return pl.when(pl.col(name) != 0).then(pl.col(name))


def _first_positive(*names: str) -> polars.Expr:
    """Return the first of these that is neither null nor zero, else the last one."""
    import polars as pl

    return pl.coalesce(*(_positive(name) for name in names[:-1]), pl.col(names[-1]))


def _tres(cells: JobCells, name: str) -> polars.DataFrame:
    """Return the amounts of the trackable resources of a column; energy has powers of 1000."""
    import polars as pl

    amounts = {"cpu": 1024, "mem": 1024, "node": 1024, "energy": 1000}

    def parse(text: str) -> Any:
        tres = parse_tres(text)
        if not tres:
            return None
        gpus, types = gpus_of_tres(tres)
        return (*(parse_size(tres.get(each), base=base) for each, base in amounts.items()), gpus, ",".join(types))

    return cells.read_parts(parse, {**dict.fromkeys(amounts, pl.Int64), "gpus": pl.Int64, "types": pl.String}, name)


def _gpus(cells: JobCells, table: polars.DataFrame) -> list[polars.Series]:
    """Return the GPUs asked for and allocated and their types; see `collectors.sacct_use`."""
    import polars as pl

    def parse(text: str) -> Any:
        count, types = parse_gres(text)
        return count, ",".join(types)

    found = []
    for tres, gres, nodes in (
        ("reqtres", "reqgres", _first_positive("req_nodes", "nodes")),
        ("alloctres", "allocgres", pl.col("nodes")),
    ):
        side = "asked" if tres == "reqtres" else "given"
        if cells.has(tres) or not cells.has(gres):
            found.append(table.select(count=f"{side}_gpus", types=f"{side}_types"))
            continue
        told = cells.read_parts(parse, {"count": pl.Int64, "types": pl.String}, gres)
        both = pl.DataFrame({"count": told["count"].fill_null(0), "nodes": table.select(nodes).to_series()})
        _mark_overflow(cells, both, "count", "nodes")
        all_nodes = (
            pl.when(pl.col("nodes") != 0).then(pl.col("count") * pl.col("nodes"))
            .when(pl.col("count") == 0).then(pl.lit(0, pl.Int64))
        )  # fmt: skip
        found.append(pl.DataFrame({"count": both.select(all_nodes).to_series(), "types": told["types"]}))
    asked, given = found
    started = table["started"]
    return [
        asked["count"].alias("req_gpus"),
        pl.select(pl.when(started).then(given["count"]).alias("alloc_gpus")).to_series(),
        pl.select(pl.when(started & (given["types"] != "")).then(given["types"]).alias("gpu_types")).to_series(),
    ]


def use_columns(cells: JobCells, started: polars.Series) -> list[polars.Series]:
    """Return what was used, of jobs that ran, from the allocations' own records."""
    import polars as pl

    used, written = _usage(cells, "tresusageintot"), _usage(cells, "tresusageouttot")
    table = pl.DataFrame(
        {
            "started": started,
            "tasks": cells.read(parse_count, pl.Int64, "ntasks"),
            **{name: cells.read(parse_size, pl.Int64, name) for name in ("maxrss", "averss")},
            **{name: cells.read(parse_size, pl.Int64, name) for name in ("avediskread", "avediskwrite")},
            **{name: cells.duration(name) for name in ("usercpu", "systemcpu", "totalcpu")},
            "mem": used["mem"],
            "read": used["disk"],
            "written": written["disk"],
            "gpumem": used["gpumem"],
            "gpuutil": used["gpuutil"],
            "energy": _energy(cells, used),
        }
    )
    for name in ("maxrss", "averss", "avediskread", "avediskwrite"):
        _mark_overflow(cells, table, name, "tasks")

    def times_tasks(name: str) -> polars.Expr:
        return pl.col(name) * _positive("tasks")

    def peak(value: polars.Expr) -> polars.Expr:
        return pl.when(value != 0).then(value)

    memory = {
        "memory_seff_bytes": peak(pl.coalesce("mem", times_tasks("averss"))),
        "memory_max_rss_tasks_bytes": peak(times_tasks("maxrss")),
        "memory_max_rss_bytes": peak(pl.col("maxrss")),
    }
    total = pl.coalesce("totalcpu", pl.col("usercpu") + pl.col("systemcpu"))
    measured = pl.any_horizontal(value.is_not_null() for value in memory.values()) | (total > 0).fill_null(value=False)
    use = {
        "user_cpu_seconds": pl.when(measured).then("usercpu"),
        "system_cpu_seconds": pl.when(measured).then("systemcpu"),
        "cpu_seconds": pl.when(measured).then(total),
        **memory,
        "disk_read_bytes": pl.coalesce("read", times_tasks("avediskread")),
        "disk_write_bytes": pl.coalesce("written", times_tasks("avediskwrite")),
        "gpu_memory_bytes": pl.col("gpumem"),
        "gpu_util_percent": pl.col("gpuutil").cast(pl.Float64),
        "energy_joules": pl.col("energy").cast(pl.Float64),
    }
    columns = table.select(pl.when("started").then(value).alias(name) for name, value in use.items())
    return [pl.Series("steps", [0] * len(started), pl.Int64), *columns.get_columns()]


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


def _usage(cells: JobCells, name: str) -> polars.DataFrame:
    """Return the amounts of a column of usage."""
    import polars as pl

    amounts = {"mem": "mem", "disk": "fs/disk", "gpumem": "gres/gpumem", "gpuutil": "gres/gpuutil", "energy": "energy"}

    def parse(text: str) -> Any:
        tres = parse_tres(text)
        bases = (1000 if name == "energy" else 1024 for name in amounts.values())
        return tuple(parse_size(tres.get(each), base=base) for each, base in zip(amounts.values(), bases, strict=True))

    return cells.read_parts(parse, dict.fromkeys(amounts, pl.Int64), name)


def _energy(cells: JobCells, used: polars.DataFrame) -> polars.Series:
    """Return the energy that is told; 0 is what Slurm writes without an energy plugin."""
    import polars as pl

    table = pl.DataFrame(
        {
            "raw": cells.read(parse_count, pl.Int64, "consumedenergyraw"),
            "rounded": cells.read(_joules, pl.Int64, "consumedenergy"),
            "given": _tres(cells, "alloctres")["energy"],
            "used": used["energy"],
        }
    )
    return table.select(pl.coalesce(*(_positive(name) for name in table.columns)).alias("energy")).to_series()


def _joules(text: str) -> Any:
    return parse_size(text, base=1000)


def _mark_overflow(cells: JobCells, table: polars.DataFrame, size: str, factor: str) -> None:
    """Leave rows to the slow way whose product no column can hold."""
    import polars as pl

    product = pl.col(size).cast(pl.Float64) * pl.col(factor).cast(pl.Float64)
    cells.odd |= table.select(product > _LARGEST).to_series().fill_null(value=False)
