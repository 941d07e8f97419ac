"""The lists of raw tables and of all tables of the lake; the only place that names them all."""

from __future__ import annotations

from nomade_pipeline.tables import nodes, operations, slurm_jobs, slurm_queue, system
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.derived import DERIVED_TABLES
from nomade_pipeline.tables.features import FEATURE_TABLES
from nomade_pipeline.tables.graph import GRAPH_TABLES
from nomade_pipeline.tables.network import NETWORK_TABLES
from nomade_pipeline.tables.simulation import SIMULATION_TABLES

RAW_TABLES: tuple[Table, ...] = (
    system.DISK,
    system.IOSTAT,
    system.IOSTAT_CPU,
    system.MPSTAT,
    system.MPSTAT_SUMMARY,
    system.VMSTAT,
    system.NFS,
    system.GPU,
    *slurm_queue.SLURM_TABLES,
    nodes.NODE_STATE,
    slurm_jobs.JOB_METRICS,
    nodes.JOB_MONITOR,
    nodes.JOB_FINDING,
    operations.COLLECTION_LOG,
)

# Tables that are computed from others, a UTC day at a time.
COMPUTED_TABLES: tuple[Table, ...] = (
    *DERIVED_TABLES,
    *FEATURE_TABLES,
    *GRAPH_TABLES,
    *NETWORK_TABLES,
    *SIMULATION_TABLES,
)

LAKE_TABLES: tuple[Table, ...] = (*RAW_TABLES, *COMPUTED_TABLES)


def lake_table_named(name: str) -> Table:
    """Return the raw or computed table called ``name``.

    Raises:
        KeyError: there is none.
    """
    return next((table for table in COMPUTED_TABLES if table.name == name), None) or raw_table_named(name)


def raw_table_named(name: str) -> Table:
    """Return the raw table called ``name``.

    Raises:
        KeyError: there is none; the message lists those that exist.
    """
    for table in RAW_TABLES:
        if table.name == name:
            return table
    raise KeyError(f"no raw table {name!r}; there are {', '.join(t.name for t in RAW_TABLES)}")
