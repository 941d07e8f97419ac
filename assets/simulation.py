"""Simulation assets: the cloud of plausible jobs, coverage, anomalies, drift. Here belong specs and short bodies.

The arithmetic is in `nomade_pipeline.simulation`. Metadata are by cluster: ``cluster: figure``.
"""

from datetime import date
from typing import Any, Callable, Iterable, Iterator, Mapping

import dagster as dg

from assets.computed import DAILY_FRESHNESS, ONCE_A_DAY, computed_spec, picture
from assets.features import job_features
from nomade_pipeline.resources import BACKFILL, IO_RETRY, NomadeResource
from nomade_pipeline.simulation import day as days
from nomade_pipeline.simulation.pictures import PICTURES
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.simulation import (
    C2ST,
    DRIFT,
    SIMULATION_ANOMALIES,
    SIMULATION_CLOUD,
    SIMULATION_COVERAGE,
    SIMULATION_VALIDATION,
)

RESEMBLES_CHECK = "cloud_resembles_real_jobs"
# A cloud that is told apart better than this is no picture of the jobs.
LARGEST_AUC = 0.60

Compute = Callable[..., days.Figures]


def build_simulation_asset(
    subject: str, table: Table, compute: Compute, deps: Iterable[dg.AssetKey], checks: Iterable[dg.AssetCheckSpec] = ()
) -> dg.AssetsDefinition:
    """Build one asset of the simulation.

    Args:
        subject: second part of its key.
        table: the table that it fills.
        compute: writes the tables of a day and returns figures by cluster.
        deps: what it is computed from.
        checks: what is checked of the figures.
    """
    named = list(checks)
    spec = computed_spec(subject, table, deps, {"parquet", "sklearn"}, cadence=ONCE_A_DAY, freshness=DAILY_FRESHNESS)

    @dg.multi_asset(
        name=f"simulation_{subject}",
        specs=[spec],
        check_specs=named,
        backfill_policy=BACKFILL,
        pool="lake",
        retry_policy=IO_RETRY,
    )
    def simulation_asset(context: dg.AssetExecutionContext, nomade: NomadeResource) -> Iterator[Any]:
        store, config = nomade.store(), nomade.config()
        figures: days.Figures = {}
        for key in context.partition_keys:
            figures = compute(store, config, date.fromisoformat(key))
        last = date.fromisoformat(context.partition_keys[-1])
        pictures = {name: PICTURES[subject](store.lake, config, name, last) for name in _told(figures)}
        yield dg.MaterializeResult(
            metadata={**flat(figures), **{f"{name}: picture": picture(png) for name, png in pictures.items() if png}},
            check_results=[resembles(figures)] if named else [],
        )

    return simulation_asset


def _told(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the clusters of which there is something to draw."""
    return [name for name, own in figures.items() if "note" not in own]


def flat(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of all clusters side by side; without any a note."""
    found = {f"{name}: {label}": value for name, own in figures.items() for label, value in own.items()}
    return found or {"note": "no job ended in these days"}


def resembles(figures: Mapping[str, Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Return whether no cluster's cloud is told apart from real jobs too well."""
    scores = {name: own[C2ST] for name, own in figures.items() if C2ST in own}
    return dg.AssetCheckResult(
        check_name=RESEMBLES_CHECK,
        passed=all(score <= LARGEST_AUC for score in scores.values()),
        severity=dg.AssetCheckSeverity.WARN,
        description=", ".join(f"{name}: AUC {score:.3f}" for name, score in scores.items()) or "no cloud",
    )


_FEATURES = job_features.key
_CLOUD = dg.AssetKey(["simulation", "cloud"])
_RESEMBLES = dg.AssetCheckSpec(
    RESEMBLES_CHECK,
    asset=["simulation", "validation"],
    description=f"A classifier tells simulated jobs from real ones with an AUC of at most {LARGEST_AUC:g}.",
)

SIMULATION_ASSETS = [
    build_simulation_asset("cloud", SIMULATION_CLOUD, days.cloud_of_day, [_FEATURES]),
    build_simulation_asset(
        "validation", SIMULATION_VALIDATION, days.validation_of_day, [_FEATURES, _CLOUD], [_RESEMBLES]
    ),
    build_simulation_asset("coverage", SIMULATION_COVERAGE, days.coverage_of_day, [_FEATURES, _CLOUD]),
    build_simulation_asset("anomalies", SIMULATION_ANOMALIES, days.anomalies_of_day, [_FEATURES, _CLOUD]),
    build_simulation_asset("drift", DRIFT, days.drift_of_day, [_FEATURES]),
]
