"""What the computed assets share: specs from table contracts. Here belongs no asset.

Documentation: https://docs.dagster.io/api/dagster/assets#dagster.AssetSpec
"""

import base64
from datetime import timedelta
from typing import Iterable

import dagster as dg

from nomade_pipeline.resources import DAILY, FRESHNESS, OWNERS, column_schema
from nomade_pipeline.tables.contract import Table

# Computed every 15 minutes with the ingest; hourly for today; once a day for the day that is over.
QUARTER_HOURLY, HOURLY, ONCE_A_DAY = "15min", "hourly", "daily"

# Two missed runs warn, four fail; of what is made once a day, one missed day warns and two fail.
HOURLY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=5), warn_window=timedelta(hours=3))
DAILY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=74), warn_window=timedelta(hours=50))


def computed_spec(
    subject: str,
    table: Table,
    deps: Iterable[dg.AssetKey],
    kinds: Iterable[str],
    cadence: str,
    freshness: dg.FreshnessPolicy | None = FRESHNESS,
) -> dg.AssetSpec:
    """Return the spec of the asset ``[layer, subject]`` that fills one computed table, a UTC day a partition.

    Args:
        subject: second part of the key.
        table: the contract.
        deps: keys of what it is computed from.
        kinds: what it is stored as and computed with.
        cadence: how often it is computed.
        freshness: when it is too old; None for no policy.
    """
    return dg.AssetSpec(
        key=[table.layer, subject],
        deps=list(deps),
        description=f"{table.description} Key: {', '.join(table.key)}.",
        group_name=table.layer,
        kinds={*kinds},
        owners=OWNERS,
        tags={"cadence": cadence},
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "contract_version": table.version,
        },
        code_version=str(table.version),
        freshness_policy=freshness,
        partitions_def=DAILY,
    )


def row_count(rows: list[int]) -> dict[str, int]:
    """Return the metadata of the number of rows, where one partition was written."""
    return {"dagster/partition_row_count": rows[0]} if len(rows) == 1 else {}


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """Return a picture as metadata that Dagster's UI shows: Markdown with the PNG in it."""
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(png).decode()})")
