"""Rollup assets: SQLite aggregates of all raw tables, written together once a partition.

The arithmetic is in `nomade_pipeline.analysis.aggregate`, the writing in `nomade_pipeline.ingest.rollup`.
"""

from datetime import date
from typing import Any, Iterator

import dagster as dg

from assets.raw import RAW_ASSETS
from nomade_pipeline.ingest.rollup import roll_up_day
from nomade_pipeline.resources import BACKFILL, DAILY, FRESHNESS, IO_RETRY, OWNERS, NomadeResource, column_schema
from nomade_pipeline.tables import rollups as contracts
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.job_rollups import JOB_USAGE, JOB_VIEWS, JOBS, NODE_HISTORY, USAGE_HOURLY

_VIEWS = {view.name: view for view in JOB_VIEWS}

# Asset name to the contract of the table, or of the view on it, that it brings up to date.
ROLLUPS: dict[str, Table] = {
    "hourly": contracts.HOURLY,
    "daily": contracts.DAILY,
    "latest": contracts.LATEST,
    "collection_log": contracts.COLLECTION_LOG,
    "ledger": contracts.LEDGER,
    "jobs": JOBS,
    "job_usage": JOB_USAGE,
    "usage": USAGE_HOURLY,
    "users": _VIEWS["users"],
    "accounts": _VIEWS["accounts"],
    "queue": _VIEWS["queue_hourly"],
    "nodes": _VIEWS["nodes_hourly"],
    "node_history": NODE_HISTORY,
    "metrics_coverage": _VIEWS["metrics_coverage"],
}


def _spec(name: str, table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=["rollup", name],
        deps=[asset.key for asset in RAW_ASSETS],
        description=f"{table.description} Key: {', '.join(table.key) or 'none, it is a view'}.",
        group_name="rollup",
        kinds={"sqlite"},
        owners=OWNERS,
        tags={"cadence": "15min"},
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "contract_version": table.version,
        },
        code_version=str(table.version),
        freshness_policy=FRESHNESS,
        partitions_def=DAILY,
    )


@dg.multi_asset(
    name="rollups",
    specs=[_spec(name, table) for name, table in ROLLUPS.items()],
    partitions_def=DAILY,
    backfill_policy=BACKFILL,
    pool="rollups",
    retry_policy=IO_RETRY,
)
def rollup_assets(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
    """Roll up the hours whose content has changed, then write the data-quality ledger."""
    store = nomade.store()
    reports = [roll_up_day(store, date.fromisoformat(key)) for key in context.partition_keys]
    for name in ROLLUPS:
        rows = sum(report.rows[name] for report in reports)
        metadata: dict[str, Any] = {"hours_rolled_up": sum(sum(report.hours.values()) for report in reports)}
        if len(reports) == 1:
            metadata["dagster/partition_row_count"] = rows
        yield dg.MaterializeResult(asset_key=["rollup", name], metadata=metadata)
