"""The jobs that keep features, networks and simulations up to date, and their schedules (on by default).

Features of today are computed every hour. Those of a day are final when it has been closed: the closing of a day
computes them again (`jobs.ingest`), and so does late data. What looks at a window of days follows once a day, for
yesterday.
Documentation: https://docs.dagster.io/guides/automate/schedules
"""

from datetime import timedelta

import dagster as dg

from assets.features import FEATURE_ASSETS, job_features
from assets.graph import GRAPH_ASSETS
from assets.simulation import SIMULATION_ASSETS

compute_features_job = dg.define_asset_job(
    "compute_features",
    selection=dg.AssetSelection.assets(job_features),
    executor_def=dg.in_process_executor,
    description="Features of the jobs that ended on one UTC day.",
)

# Features are among them: where a table could not be published the closing of the day has left them out.
analyse_day_job = dg.define_asset_job(
    "analyse_day",
    selection=dg.AssetSelection.assets(*FEATURE_ASSETS, *GRAPH_ASSETS, *SIMULATION_ASSETS),
    executor_def=dg.in_process_executor,
    description="Features of one UTC day, and the networks and simulations of the window that ends with it.",
)


@dg.schedule(
    job=compute_features_job,
    cron_schedule="10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Today's features every hour.",
)
def features_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request today."""
    moment = context.scheduled_execution_time
    return dg.RunRequest(run_key=moment.isoformat(), partition_key=moment.date().isoformat())


@dg.schedule(
    job=analyse_day_job,
    cron_schedule="50 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Yesterday's features, networks and simulations at 00:50 UTC, when the day has been closed.",
)
def analyse_yesterday_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request yesterday."""
    yesterday = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=yesterday, partition_key=yesterday)
