"""The sensor that keeps one broken table from stopping the rollups of all the others.

In a run, a step whose upstream failed is skipped; the rollups depend on every raw table.
"""

import dagster as dg

from jobs.ingest import close_day_job, ingest_job, roll_up_job

PARTITION_TAG = "dagster/partition"


@dg.run_failure_sensor(
    monitored_jobs=[ingest_job, close_day_job],
    request_job=roll_up_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Rolls up what was published although a table of the run failed.",
)
def rollups_after_failure(context: dg.RunFailureSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Request the rollups of the failed run's day."""
    day = context.dagster_run.tags.get(PARTITION_TAG)
    if day is None:
        return dg.SkipReason("the failed run had no single day")
    return dg.RunRequest(run_key=context.dagster_run.run_id, partition_key=day)
