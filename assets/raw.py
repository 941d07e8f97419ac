"""Raw assets: one partitioned asset a raw table, all from one factory.

Here belongs what Dagster must know of a raw table: key, partitions, checks, metadata. What the rows
mean is in `nomade_pipeline.tables`, how they get into the lake in `nomade_pipeline.ingest`.
Documentation: https://docs.dagster.io/guides/build/assets
"""

from datetime import date, timedelta
from typing import Any, Iterator

import dagster as dg

from nomade_pipeline.ingest.day import TooManyRefused
from nomade_pipeline.ingest.partition import PartitionReport, fill_partition
from nomade_pipeline.quality.freshness import newest_data
from nomade_pipeline.resources import BACKFILL, DAILY, FRESHNESS, IO_RETRY, OWNERS, NomadeResource, column_schema
from nomade_pipeline.tables.catalog import RAW_TABLES
from nomade_pipeline.tables.contract import Table, labelled

CONTRACT_CHECK = "rows_fulfil_the_contract"
NEWEST_CHECK = "newest_data_is_there"

# Runs that nobody started by hand carry one of these tags.
_UNATTENDED_TAGS = ("dagster/schedule_name", "dagster/sensor_name", "nomade/unattended")


def raw_key(table: Table) -> dg.AssetKey:
    """Return the asset key of a raw table: `[raw, name]`."""
    return dg.AssetKey(["raw", table.name])


def build_raw_asset(table: Table) -> dg.AssetsDefinition:
    """Build the asset of one raw table with its checks."""

    @dg.asset(
        key=raw_key(table),
        description=f"{table.description} Key: {', '.join(table.key)}. Filled by the `{table.collector}` collector.",
        partitions_def=DAILY,
        backfill_policy=BACKFILL,
        group_name="raw",
        kinds={"parquet", "polars"},
        owners=OWNERS,
        tags={"source": table.collector, "cadence": "15min"},
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "contract_version": table.version,
        },
        code_version=str(table.version),
        pool="lake",
        retry_policy=IO_RETRY,
        freshness_policy=FRESHNESS,
        check_specs=[
            dg.AssetCheckSpec(
                CONTRACT_CHECK,
                asset=raw_key(table),
                description="Types, nulls, ranges, closed sets; rows that break it are quarantined, many stop the day.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                NEWEST_CHECK,
                asset=raw_key(table),
                description="The newest sample is there, or its collector has nothing to collect.",
            ),
        ],
    )
    def raw_asset(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
        store, config = nomade.store(), nomade.config()
        by_person = not any(tag in context.run.tags for tag in _UNATTENDED_TAGS)
        stale_after = timedelta(minutes=config.pipeline.stale_after_minutes)
        days = [date.fromisoformat(key) for key in context.partition_keys]
        try:
            reports = [fill_partition(store, config, table, day, asked_by_person=by_person) for day in days]
        except TooManyRefused as error:
            yield _check(table, CONTRACT_CHECK, passed=False, message=str(error))
            raise dg.Failure(str(error), allow_retries=False) from error
        verdicts = [newest_data(store, table, day, stale_after) for day in days]
        failed = next((verdict for verdict in verdicts if not verdict.passed), verdicts[-1])
        yield dg.MaterializeResult(
            asset_key=raw_key(table),
            metadata=_metadata(reports),
            check_results=[
                _contract_result(table, reports),
                _check(table, NEWEST_CHECK, passed=failed.passed, message=failed.message),
            ],
        )

    return raw_asset


def _check(table: Table, name: str, *, passed: bool, message: str, warn: bool = False) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=raw_key(table),
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
        description=message,
    )


def _contract_result(table: Table, reports: list[PartitionReport]) -> dg.AssetCheckResult:
    """Warn with counts when rows were quarantined; what was published fulfils the contract."""
    refused = sum(report.day.refused.total() for report in reports)
    if not refused:
        return _check(table, CONTRACT_CHECK, passed=True, message="every row fulfils the contract")
    reasons = "; ".join(f"{reason} ({count})" for report in reports for reason, count in report.day.refused.items())
    return _check(table, CONTRACT_CHECK, passed=False, warn=True, message=f"{refused} quarantined: {reasons}"[:2000])


def _metadata(reports: list[PartitionReport]) -> dict[str, Any]:
    """Return what the catalogue shows of a materialisation."""
    metadata: dict[str, Any] = {
        "rows_added": sum(report.day.added for report in reports),
        "spool_files_read": sum(report.day.files for report in reports),
        "quarantined": sum(report.day.refused.total() for report in reports),
        "rows_from_archive": sum(report.from_archive for report in reports),
        "clusters": sorted({labelled(cluster) for report in reports for cluster in report.day.clusters}),
        "sampled_here": any(report.sampled for report in reports),
        "days_closed": sum(report.closed for report in reports),
        "rows_by_day": dg.TableMetadataValue(
            records=[
                dg.TableRecord({"date": report.day.day.isoformat(), "rows": report.day.rows}) for report in reports
            ],
            schema=dg.TableSchema([dg.TableColumn("date"), dg.TableColumn("rows", "int")]),
        ),
    }
    if len(reports) == 1:
        metadata["dagster/partition_row_count"] = reports[0].day.rows
    return metadata


RAW_ASSETS = [build_raw_asset(table) for table in RAW_TABLES]
