"""The composition root: everything that Dagster loads, put together.

`build_defs` takes overrides, so that tests and the demo build variants without patching anything.
"""

from __future__ import annotations

from typing import Any, Mapping

import dagster as dg

from assets.derived import DERIVED_ASSETS
from assets.features import FEATURE_ASSETS
from assets.graph import GRAPH_ASSETS, live_network
from assets.quality import SUITE_CHECKS
from assets.raw import RAW_ASSETS
from assets.rollup import rollup_assets
from assets.simulation import SIMULATION_ASSETS
from assets.slurm_checks import COMPARISONS, no_partitions_left_failed
from jobs.analysis import analyse_day_job, analyse_yesterday_daily, compute_features_job, features_hourly
from jobs.ingest import (
    close_day_job,
    close_yesterday_daily,
    ingest_every_15_minutes,
    ingest_job,
    inventory_daily,
    inventory_job,
    roll_up_job,
)
from jobs.maintenance import maintenance, maintenance_daily
from nomade_pipeline.resources import NomadeResource
from sensors.alert_delivery import alert_delivery_sensor
from sensors.alerts import alerts_sensor
from sensors.late_data import late_data_sensor
from sensors.rollups_after_failure import rollups_after_failure
from sensors.run_failures import run_failures_sensor


def build_defs(config: NomadeResource | None = None, overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return all definitions; nothing on disk is touched.

    Args:
        config: which configuration and data folder to use; None searches the usual places at run time.
        overrides: resources in place of ours, by key.
    """
    resources: dict[str, Any] = {"nomade": config or NomadeResource()}
    return dg.Definitions(
        assets=[
            *RAW_ASSETS,
            rollup_assets,
            *DERIVED_ASSETS,
            *FEATURE_ASSETS,
            *GRAPH_ASSETS,
            live_network,
            *SIMULATION_ASSETS,
        ],
        asset_checks=[*SUITE_CHECKS, *COMPARISONS, no_partitions_left_failed],
        jobs=[
            ingest_job,
            close_day_job,
            roll_up_job,
            compute_features_job,
            analyse_day_job,
            inventory_job,
            maintenance,
        ],
        schedules=[
            ingest_every_15_minutes,
            close_yesterday_daily,
            features_hourly,
            analyse_yesterday_daily,
            inventory_daily,
            maintenance_daily,
        ],
        sensors=[
            alerts_sensor,
            alert_delivery_sensor,
            run_failures_sensor,
            late_data_sensor,
            rollups_after_failure,
        ],
        resources={**resources, **(overrides or {})},
    )


defs = build_defs()
