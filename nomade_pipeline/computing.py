"""What is computed from the lake a UTC day at a time, in its order: the steps of `nomade compute`.

Dagster's assets call the same functions on their clocks; this is the way without Dagster, for tests and demos.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from datetime import date
from typing import Any, Callable, Mapping

from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        function: ``module:name`` of what computes a day: (store, config, day) → figures that a person can read. It is
            imported when it is called.
        window: whether it looks at the window of days that ends with the day, so that only the last of several days
            is computed unless each is asked for.
    """

    function: str
    window: bool = False

    def compute(self, store: Store, config: Config, day: date) -> Figures:
        """Write the step's tables of a UTC day anew, for all clusters; return figures to show."""
        module, _, name = self.function.partition(":")
        found: Callable[[Store, Config, date], Figures] = getattr(importlib.import_module(module), name)
        return found(store, config, day)


# In the order in which each needs the ones before.
STEPS: dict[str, Step] = {
    "trends": Step("nomade_pipeline.ingest.derive:trends_of_day", window=True),
    "features": Step("nomade_pipeline.features.day:features_of_day"),
    "correlation": Step("nomade_pipeline.features.of_window:correlation_of_day", window=True),
    "variance": Step("nomade_pipeline.features.of_window:variance_of_day", window=True),
    "request": Step("nomade_pipeline.network.request:request_edges_of_day"),
    "similarity": Step("nomade_pipeline.network.day:similarity_of_day", window=True),
    "communities": Step("nomade_pipeline.network.community_day:communities_of_day", window=True),
    "statistics": Step("nomade_pipeline.network.statistics_day:statistics_of_day", window=True),
    "layout": Step("nomade_pipeline.network.layout_day:layout_of_day", window=True),
    "hotspots": Step("nomade_pipeline.network.hotspot_day:hotspots_of_day", window=True),
    "cloud": Step("nomade_pipeline.simulation.day:cloud_of_day", window=True),
    "validation": Step("nomade_pipeline.simulation.day:validation_of_day", window=True),
    "coverage": Step("nomade_pipeline.simulation.day:coverage_of_day", window=True),
    "anomalies": Step("nomade_pipeline.simulation.day:anomalies_of_day", window=True),
    "drift": Step("nomade_pipeline.simulation.day:drift_of_day", window=True),
}


def days_with_jobs(store: Store) -> list[date]:
    """Return the UTC days on which jobs of any cluster ended, oldest first."""
    lake = store.lake
    return sorted({day for cluster in lake.clusters(JOB_METRICS) for day in lake.days(JOB_METRICS, cluster)})
