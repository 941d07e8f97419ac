"""Upkeep: retention of spool, lake, rollups and quarantine, and of Dagster's own runs."""

from datetime import timedelta

import dagster as dg

from nomade_pipeline import clock
from nomade_pipeline.resources import NomadeResource

# Deleting a run costs 20 ms; a backlog of months is worked off over some days.
RUNS_A_DAY = 2000

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op(description="Delete what `[retention]` no longer keeps, and mend what a crash left in the lake.")
def apply_retention(context: dg.OpExecutionContext, nomade: NomadeResource) -> None:
    """Run the library's retention and report what it removed."""
    from nomade_pipeline.retention import apply

    store = nomade.store()
    store.lake.recover()
    removed = apply(store, nomade.config().retention)
    context.add_output_metadata(removed.summary())


@dg.op(description="Delete runs of Dagster that ended before `[retention] dagster_runs_days`.")
def purge_runs(context: dg.OpExecutionContext, nomade: NomadeResource) -> None:
    """Delete old runs with their events; materialisations of assets stay in the catalogue."""
    days = nomade.config().retention.dagster_runs_days
    if not days:
        return
    old = dg.RunsFilter(statuses=_ENDED, created_before=clock.now() - timedelta(days=days))
    runs = context.instance.get_run_records(old, limit=RUNS_A_DAY)
    for record in runs:
        context.instance.delete_run(record.dagster_run.run_id)
    context.add_output_metadata({"runs_deleted": len(runs)})


@dg.job(executor_def=dg.in_process_executor, description="Retention and purge of old runs.")
def maintenance() -> None:
    """Compose the upkeep of a day."""
    apply_retention()
    purge_runs()


maintenance_daily = dg.ScheduleDefinition(
    name="maintenance_daily",
    job=maintenance,
    cron_schedule="40 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
