"""The sensors of the alerts: one evaluates and tries to deliver, the other tries again what has not arrived.

Documentation: https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

from jobs.ingest import close_day_job, ingest_job, inventory_job, roll_up_job
from jobs.maintenance import maintenance
from nomade_pipeline import clock
from nomade_pipeline.alerts.deliver import deliver
from nomade_pipeline.alerts.evaluate import Evaluator, in_words
from nomade_pipeline.alerts.outbox import opened
from nomade_pipeline.alerts.pipeline_runs import NewestRun, judge_runs
from nomade_pipeline.alerts.route_file import load_outlets
from nomade_pipeline.alerts.shipped import RUN_FAILED
from nomade_pipeline.resources import NomadeResource
from nomade_pipeline.store.alerts import OutboxStore

WATCHED_JOBS = (ingest_job, close_day_job, roll_up_job, inventory_job, maintenance)
DELIVERY_SECONDS = 20.0

# One a process: it keeps the newest alerts.toml that could be read.
_EVALUATOR = Evaluator()


def newest_runs(instance: dg.DagsterInstance) -> list[NewestRun]:
    """Return the newest finished run of each watched job."""
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    found = []
    for job in WATCHED_JOBS:
        records = instance.get_run_records(dg.RunsFilter(job_name=job.name, statuses=finished), limit=1)
        for record in records:
            failed = record.dagster_run.status == dg.DagsterRunStatus.FAILURE
            ended = clock.from_epoch(record.end_time) if record.end_time else record.update_timestamp
            found.append(NewestRun(job.name, record.dagster_run.run_id, ended, failed=failed))
    return found


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges all alert rules, stores what follows and tries to deliver it.",
)
def alert_evaluation(context: dg.SensorEvaluationContext, nomade: NomadeResource) -> dg.SkipReason:
    """Evaluate once; what was decided, and why, is the reason that the tick shows."""
    problem = nomade.config_problem()
    if problem is not None:
        context.log.warning(problem)
    config = nomade.config()
    runs = judge_runs(RUN_FAILED, config.general.cluster_name, newest_runs(context.instance), clock.now())
    evaluated = _EVALUATOR.evaluate(config, nomade.store(), [runs])
    for each in evaluated.problems:
        context.log.warning(each)
    return dg.SkipReason(in_words(evaluated))


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tries again to deliver the messages that have not arrived.",
)
def alert_delivery(context: dg.SensorEvaluationContext, nomade: NomadeResource) -> dg.SkipReason:
    """Deliver what is due; what fails comes back later, growing rarer, until it is given up and told to others."""
    outlets = load_outlets(nomade.config())
    with opened(OutboxStore(nomade.store().rollups)) as outbox:
        outcomes = deliver(outbox, outlets.targets, clock.now(), DELIVERY_SECONDS)
    failed = [outcome for outcome in outcomes if outcome.problem is not None]
    for outcome in failed:
        context.log.warning("%s: %s", outcome.message.target, outcome.problem)
    return dg.SkipReason(
        f"{len(outcomes) - len(failed)} delivered, {len(failed)} failed" if outcomes else "nothing due"
    )
