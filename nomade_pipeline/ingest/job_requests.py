"""What many jobs asked for and were given, at once: what `collectors.sacct_use` does job by job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nomade_pipeline.collectors.sacct_columns import parse_memory_request
from nomade_pipeline.collectors.slurm_values import gpus_of_tres, parse_gres, parse_size, parse_tres
from nomade_pipeline.ingest.job_cells import JobCells

if TYPE_CHECKING:
    import polars

# A product beyond is too large for a column, and would be a wrong number without a warning.
_LARGEST = 9e18


def request_columns(cells: JobCells, started: polars.Series) -> list[polars.Series]:
    """Return what was asked for and allocated; of a job that never started nothing was allocated."""
    import polars as pl

    asked, given = resources(cells, "reqtres"), resources(cells, "alloctres")
    told = {
        name: cells.size(*columns)
        for name, columns in {
            "req_cpus": ("reqcpus",), "req_nodes": ("reqnodes",), "alloc_nodes": ("allocnodes",), "nnodes": ("nnodes",),
        }.items()
    }  # fmt: skip
    told["alloc_cpus"] = cells.size("alloccpus", "ncpus")
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
    mark_overflow(cells, table, "size", "factor")
    return [
        *table.select(
            "req_cpus",
            "req_nodes",
            pl.coalesce(positive("asked_mem"), pl.col("size") * pl.col("factor")).alias("req_memory_bytes"),
            *(
                pl.when("started").then(value).alias(name)
                for name, value in {
                    "alloc_cpus": positive("cpus"),
                    "alloc_nodes": positive("nodes"),
                    "alloc_memory_bytes": positive("given_mem"),
                }.items()
            ),
        ),
        *_gpus(cells, table),
        pl.select(pl.when(started).then(cells.text("alloctres")).alias("alloc_tres")).to_series(),
    ]


def positive(name: str) -> polars.Expr:
    """Return a column with null for zero, which Slurm writes for what is not limited or was not measured."""
    import polars as pl

    return pl.when(pl.col(name) != 0).then(pl.col(name))


def _first_positive(*names: str) -> polars.Expr:
    """Return the first of these that is neither null nor zero, else the last one."""
    import polars as pl

    return pl.coalesce(*(positive(name) for name in names[:-1]), pl.col(names[-1]))


def resources(cells: JobCells, name: str) -> polars.DataFrame:
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
        mark_overflow(cells, both, "count", "nodes")
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


def mark_overflow(cells: JobCells, table: polars.DataFrame, size: str, factor: str) -> None:
    """Leave rows to the slow way whose product no column can hold."""
    import polars as pl

    product = pl.col(size).cast(pl.Float64) * pl.col(factor).cast(pl.Float64)
    cells.odd |= table.select(product > _LARGEST).to_series().fill_null(value=False)
