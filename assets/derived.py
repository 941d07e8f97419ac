"""Derived assets: trends and projections of what was collected, and how last week's projections did.

The estimator is in `nomade_pipeline.analysis.trend`, what it is given in `nomade_pipeline.ingest.derived_sources`.
"""

from collections import Counter
from datetime import date
from typing import Any, Iterable, Iterator

import dagster as dg

from assets.computed import QUARTER_HOURLY, computed_spec, row_count
from assets.raw import raw_key
from nomade_pipeline.ingest.derive import derive_day, score_day
from nomade_pipeline.resources import BACKFILL, IO_RETRY, NomadeResource
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.derived import TREND_SCORES, TREND_TABLES
from nomade_pipeline.tables.nodes import JOB_MONITOR

INTERVAL_CHECK = "intervals_hold_nine_of_ten"
# Of fewer projections a share says little; well below 90 % the intervals are too narrow to be believed.
LEAST_SCORED, LEAST_INSIDE = 50, 0.75

_SOURCES = {"failure_rate": dg.AssetKey(["rollup", "usage"]), "job_memory": raw_key(JOB_MONITOR)}
_HOURLY = dg.AssetKey(["rollup", "hourly"])


def _spec(name: str, table: Table, deps: Iterable[dg.AssetKey]) -> dg.AssetSpec:
    return computed_spec(name, table, deps, kinds={"parquet", "scipy"}, cadence=QUARTER_HOURLY)


def build_trend_asset(name: str, table: Table) -> dg.AssetsDefinition:
    """Build the asset of one derived table."""

    @dg.multi_asset(
        name=f"derived_{name}",
        specs=[_spec(name, table, [_SOURCES.get(name, _HOURLY)])],
        backfill_policy=BACKFILL,
        pool="lake",
        retry_policy=IO_RETRY,
    )
    def trend_asset(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
        store, config = nomade.store(), nomade.config()
        rows = [derive_day(store, config, name, date.fromisoformat(key)) for key in context.partition_keys]
        yield dg.MaterializeResult(metadata={"rows": sum(rows), **row_count(rows)})

    return trend_asset


TREND_ASSETS = [build_trend_asset(name, table) for name, table in TREND_TABLES.items()]


@dg.multi_asset(
    name="derived_scores",
    specs=[_spec("scores", TREND_SCORES, [*(asset.key for asset in TREND_ASSETS), *_SOURCES.values(), _HOURLY])],
    check_specs=[
        dg.AssetCheckSpec(
            INTERVAL_CHECK,
            asset=["derived", "scores"],
            description="What happened lies in the 90 % interval of the projections nine times of ten.",
        )
    ],
    backfill_policy=BACKFILL,
    pool="lake",
    retry_policy=IO_RETRY,
)
def trend_scores(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
    """Hold the projections of a day and of a week before against what happened."""
    store, config = nomade.store(), nomade.config()
    days = [score_day(store, config, date.fromisoformat(key)) for key in context.partition_keys]
    scored = [row for rows in days for row in rows]
    inside = sum(row["inside"] for row in scored)
    yield dg.MaterializeResult(
        metadata={
            **row_count([len(rows) for rows in days]),
            "inside_percent": round(100 * inside / len(scored), 1) if scored else None,
            "projections_by_table": dict(Counter(row["table_name"] for row in scored)),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=INTERVAL_CHECK,
                passed=len(scored) < LEAST_SCORED or inside >= LEAST_INSIDE * len(scored),
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{inside} of {len(scored)} in their interval",
            )
        ],
    )


DERIVED_ASSETS = [*TREND_ASSETS, trend_scores]
