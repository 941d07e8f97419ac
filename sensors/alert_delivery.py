"""The sensor that tries again what the evaluating tick could not deliver.

Documentation: https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

from nomade_pipeline.resources import NomadeResource

# Well below the minute after which Dagster gives up a tick.
SECONDS = 25.0


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Delivers the messages of the outbox that are due.",
)
def alert_delivery_sensor(context: dg.SensorEvaluationContext, nomade: NomadeResource) -> dg.SkipReason:
    """Deliver what is due; no run is ever requested."""
    from nomade_pipeline.alerts.evaluation import deliver_due

    outcomes = deliver_due(nomade.store(), nomade.alerts().outlets, SECONDS)
    failed = [outcome for outcome in outcomes if outcome.problem is not None]
    for outcome in failed:
        context.log.warning("%s: %s", outcome.message.target, outcome.problem)
    if not outcomes:
        return dg.SkipReason("no message is due")
    return dg.SkipReason(f"{len(outcomes) - len(failed)} messages delivered, {len(failed)} failed")
