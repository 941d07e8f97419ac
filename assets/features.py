"""Feature assets: what is known of each job, with the documented quantities. Here belong specs and short bodies.

The arithmetic is in `nomade_pipeline.features`.
"""

from datetime import date
from typing import Any, Callable, Iterator

import dagster as dg

from assets.computed import DAILY_FRESHNESS, HOURLY, HOURLY_FRESHNESS, ONCE_A_DAY, computed_spec, picture
from assets.raw import raw_key
from nomade_pipeline.features.day import features_of_day
from nomade_pipeline.features.of_window import correlation_of_day, variance_of_day
from nomade_pipeline.features.registry import FEATURES
from nomade_pipeline.features.window import window_of
from nomade_pipeline.resources import BACKFILL, IO_RETRY, NomadeResource
from nomade_pipeline.tables.catalog import raw_table_named
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.features import FEATURE_CORRELATION, FEATURE_VARIANCE, JOB_FEATURES

_SOURCES = [raw_key(raw_table_named(name)) for name in sorted({n for each in FEATURES.values() for n in each.sources})]
_ROLLUPS = [dg.AssetKey(["rollup", name]) for name in ("hourly", "jobs")]


@dg.multi_asset(
    name="features_jobs",
    specs=[
        computed_spec(
            "jobs",
            JOB_FEATURES,
            deps=[*_SOURCES, *_ROLLUPS],
            kinds={"parquet", "polars"},
            cadence=HOURLY,
            freshness=HOURLY_FRESHNESS,
        )
    ],
    backfill_policy=BACKFILL,
    pool="lake",
    retry_policy=IO_RETRY,
)
def job_features(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
    """Compute the features of the jobs that ended on a day."""
    store, config = nomade.store(), nomade.config()
    figures = [features_of_day(store, config, date.fromisoformat(key)) for key in context.partition_keys]
    jobs = [each["jobs"] for each in figures]
    rows = {"dagster/partition_row_count": jobs[0]} if len(jobs) == 1 else {}
    yield dg.MaterializeResult(metadata={**rows, **(figures[0] if len(figures) == 1 else {"jobs": sum(jobs)})})


def build_window_asset(
    subject: str, table: Table, compute: Callable[..., dict[str, Any]], draw: str
) -> dg.AssetsDefinition:
    """Build an asset that looks at the jobs of the window that ends with its day.

    Args:
        subject: second part of its key.
        table: the table that it fills.
        compute: writes the table of a day and returns figures.
        draw: name of the function of `nomade_pipeline.features.plot` that draws the jobs of a window.
    """

    @dg.multi_asset(
        name=f"features_{subject}",
        specs=[
            computed_spec(
                subject,
                table,
                deps=[job_features.key],
                kinds={"parquet", "numpy"},
                cadence=ONCE_A_DAY,
                freshness=DAILY_FRESHNESS,
            )
        ],
        backfill_policy=BACKFILL,
        pool="lake",
        retry_policy=IO_RETRY,
    )
    def window_asset(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
        store, config = nomade.store(), nomade.config()
        figures: dict[str, Any] = {}
        for key in context.partition_keys:
            figures = compute(store, config, date.fromisoformat(key))
        yield dg.MaterializeResult(metadata={**figures, **_pictures(nomade, context.partition_keys[-1], draw)})

    return window_asset


def _pictures(nomade: NomadeResource, key: str, draw: str) -> dict[str, dg.MarkdownMetadataValue]:
    """Return a picture of the window of each cluster that has jobs in it."""
    from nomade_pipeline.features import plot

    lake, days = nomade.store().lake, nomade.config().similarity.window_days
    found = {name: window_of(lake, name, date.fromisoformat(key), days) for name in lake.clusters(JOB_FEATURES)}
    return {f"picture_{name}": picture(getattr(plot, draw)(jobs)) for name, jobs in found.items() if jobs.height}


WINDOW_ASSETS = [
    build_window_asset("correlation", FEATURE_CORRELATION, correlation_of_day, "correlation_picture"),
    build_window_asset("variance", FEATURE_VARIANCE, variance_of_day, "spread_picture"),
]

FEATURE_ASSETS = [job_features, *WINDOW_ASSETS]
