"""The sensor that makes alerts of the pipeline's own failed runs, through the same engine as all others.

It looks at the runs that have ended since its last look, not at each failure by itself, so that a run that succeeds
ends the alert of one that failed. Documentation: https://docs.dagster.io/guides/automate/sensors
"""

from datetime import UTC, datetime

import dagster as dg

from nomade_pipeline import clock
from nomade_pipeline.alerts.run_failures import EndedRun, judge_runs
from nomade_pipeline.resources import NomadeResource

PARTITION_TAG = "dagster/partition"
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
# Most runs of one look; the rest is looked at the next time.
MOST_RUNS = 200
# The first look goes back so far; each other one begins a little before the last run that was seen.
FIRST_SECONDS, OVERLAP_SECONDS = 86400.0, 2.0


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Raises an alert for a run of the pipeline that failed, until one of the same job and day succeeds.",
)
def run_failures_sensor(context: dg.SensorEvaluationContext, nomade: NomadeResource) -> dg.SensorResult:
    """Judge the runs that have ended; the cursor is the time of the newest one."""
    from nomade_pipeline.alerts.evaluation import FIRST_SECONDS as DELIVERY_SECONDS
    from nomade_pipeline.alerts.evaluation import deliver_due
    from nomade_pipeline.alerts.tick import settle

    since = float(context.cursor) if context.cursor else clock.now().timestamp() - FIRST_SECONDS
    records = context.instance.get_run_records(
        dg.RunsFilter(statuses=ENDED, updated_after=datetime.fromtimestamp(since - OVERLAP_SECONDS, tz=UTC)),
        limit=MOST_RUNS,
        order_by="update_timestamp",
        ascending=True,
    )
    if not records:
        return dg.SensorResult(skip_reason=dg.SkipReason("no run has ended"), cursor=str(since))
    installation = nomade.alerts()
    runs = [_ended(context.instance, record) for record in records]
    judgements = [judge_runs(runs, nomade.config().general.cluster_name)]
    routes = installation.outlets.routes
    settled = settle(nomade.store().alerts, installation.policies, judgements, routes, clock.now())
    if settled.messages:
        deliver_due(nomade.store(), installation.outlets, DELIVERY_SECONDS)
    told = ", ".join(f"{notice.kind} {notice.subject}" for notice in settled.decision.notices) or "nothing"
    newest = max(since, *(record.update_timestamp.timestamp() for record in records))
    return dg.SensorResult(
        skip_reason=dg.SkipReason(f"{len(records)} runs have ended; told: {told}"), cursor=str(newest)
    )


def _ended(instance: dg.DagsterInstance, record: dg.RunRecord) -> EndedRun:
    run = record.dagster_run
    failed = run.status == dg.DagsterRunStatus.FAILURE
    return EndedRun(
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get(PARTITION_TAG, ""),
        failed=failed,
        time=datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), tz=UTC),
        message=_why(instance, run.run_id) if failed else "",
    )


def _why(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the steps that failed, and the first line of the first error."""
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=20).records
    events = [record.event_log_entry.dagster_event for record in found]
    steps = [event.step_key for event in events if event is not None and event.step_key is not None]
    errors = [event.step_failure_data.error for event in events if event is not None]
    # Dagster's own words stand around the cause.
    causes = [error.cause or error for error in errors if error is not None]
    lines = [line for cause in causes for line in cause.message.strip().splitlines()[:1]]
    return ": ".join([", ".join(steps), *lines[:1]]) if steps else ""
