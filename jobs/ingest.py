"""The jobs that keep lake, rollups and trends up to date, and their schedules (on by default).

Here belong asset jobs and schedules with explicit partition keys; declarative automation would ask
for the day that has only just begun. Documentation: https://docs.dagster.io/guides/automate/schedules
"""

from typing import Iterator

import dagster as dg

from assets.derived import DERIVED_ASSETS
from assets.features import job_features
from assets.graph import live_network
from assets.quality import SUITE_CHECKS
from assets.raw import RAW_ASSETS
from assets.rollup import rollup_assets
from assets.slurm_checks import no_partitions_left_failed
from nomade_pipeline.ingest.partition import days_to_ingest

_INVENTORY = dg.AssetSelection.checks(no_partitions_left_failed)
_DATA = dg.AssetSelection.assets(*RAW_ASSETS, rollup_assets, *DERIVED_ASSETS) - _INVENTORY
_SUITES = dg.AssetSelection.checks(*SUITE_CHECKS)

# One process for the whole run: starting one a step costs more than the steps do.
ingest_job = dg.define_asset_job(
    "ingest",
    selection=(_DATA | dg.AssetSelection.assets(live_network)) - _SUITES,
    executor_def=dg.in_process_executor,
    description="Spool to lake, rollups and trends for one UTC day; every row is checked against its contract. Today's "
    "running jobs are placed in the similarity graph.",
)

close_day_job = dg.define_asset_job(
    "close_day",
    # Late data asks for this job too, so that features of a day follow what came late.
    selection=_DATA | _SUITES | dg.AssetSelection.assets(job_features),
    executor_def=dg.in_process_executor,
    description="The last ingest of a day that is over: its hours become one file, the suites run on it, and the "
    "features of its jobs are final.",
)


roll_up_job = dg.define_asset_job(
    "roll_up",
    selection=dg.AssetSelection.assets(rollup_assets),
    executor_def=dg.in_process_executor,
    description="The rollups of one UTC day alone.",
)


inventory_job = dg.define_asset_job(
    "inventory",
    selection=_INVENTORY,
    executor_def=dg.in_process_executor,
    description="What is broken now: partitions whose newest materialisation failed.",
)

inventory_daily = dg.ScheduleDefinition(
    name="inventory_daily",
    job=inventory_job,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.schedule(
    job=ingest_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Today every 15 minutes; until 00:30 UTC yesterday too.",
)
def ingest_every_15_minutes(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request the days that `days_to_ingest` names."""
    moment = context.scheduled_execution_time
    for day in days_to_ingest(moment):
        yield dg.RunRequest(run_key=f"{moment.isoformat()}/{day}", partition_key=day.isoformat())


@dg.schedule(
    job=close_day_job,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Closes yesterday at 00:20 UTC.",
)
def close_yesterday_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request yesterday."""
    yesterday = days_to_ingest(context.scheduled_execution_time)[0]
    return dg.RunRequest(run_key=yesterday.isoformat(), partition_key=yesterday.isoformat())
