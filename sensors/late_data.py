"""The sensor that notices late spool files and requests their days.

A sensor is a shell: it reads, lets a pure function decide, and reports.
Documentation: https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

from jobs.ingest import close_day_job
from nomade_pipeline import clock
from nomade_pipeline.ingest.late import find_late_days
from nomade_pipeline.resources import NomadeResource


@dg.sensor(
    job=close_day_job,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests the closed days whose spool holds more than the lake has of them.",
)
def late_data_sensor(context: dg.SensorEvaluationContext, nomade: NomadeResource) -> dg.SensorResult | dg.SkipReason:
    """Request each late day once per look; the cursor counts the looks that found any."""
    problem = nomade.config_problem()
    if problem is not None:
        context.log.warning(problem)
    late = find_late_days(nomade.store(), clock.today())
    if not late:
        return dg.SkipReason("no late spool files")
    generation = int(context.cursor or 0) + 1
    requests = [
        dg.RunRequest(run_key=f"{generation}/{day}", partition_key=day.isoformat(), tags={"late_files": str(files)})
        for day, files in late.items()
    ]
    return dg.SensorResult(run_requests=requests, cursor=str(generation))
