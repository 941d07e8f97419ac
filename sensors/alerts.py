"""The sensor that evaluates the alert rules; what each tick decided and why stands in its log.

A sensor is a shell: it reads, lets the library decide, and reports. Documentation:
https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

from nomade_pipeline import clock
from nomade_pipeline.resources import NomadeResource

# So many of the things that happened are told in the tick itself; its log has them all.
MOST_REASONS = 10


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges all alert rules on the newest samples, stores what follows, and tells it at once.",
)
def alerts_sensor(context: dg.SensorEvaluationContext, nomade: NomadeResource) -> dg.SkipReason:
    """Evaluate once; no run is ever requested."""
    from nomade_pipeline.alerts.evaluation import evaluate

    done = evaluate(nomade.config(), nomade.store(), nomade.alerts(), clock.now())
    for problem in (nomade.config_problem(), *done.problems):
        if problem is not None:
            context.log.warning(problem)
    reasons = done.reasons()
    for reason in reasons:
        context.log.info(reason)
    more = [f"… {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return dg.SkipReason("\n".join([done.summary(), *reasons[:MOST_REASONS], *more]))
