"""What the rule on drift looks at: the newest day of the table `drift` of each cluster, and its past."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Iterable, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.alerts.evidence import Evidence, Sample
from nomade_pipeline.alerts.rule import Rule
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.contract import ROLLUP, Column, Table
from nomade_pipeline.tables.simulation import DRIFT, DRIFT_LEVELS

# Drift is computed once a day for the day before; when it has not been for so long, the old rows are no evidence.
STILL_NEW = timedelta(days=3)
_COLUMNS = ("level", "words")

JOB_DRIFT = Table(
    "job_drift",
    ROLLUP,
    "Whether the jobs of the last days are unlike those before; from the newest day of the table drift.",
    (
        Column("cluster", "text", "Cluster."),
        Column("level", "text", "The surest level of any quantity.", allowed=DRIFT_LEVELS),
        Column("message", "text", "What has changed."),
    ),
    key=("cluster",),
    collector="slurm",
)


def newest_drift(lake: Lake, now: datetime) -> list[Sample]:
    """Return what the newest day of each cluster says, where it is new enough at a moment.

    Raises:
        LakeError: a stored file cannot be read.
    """
    found: list[Sample] = []
    for cluster in lake.clusters(DRIFT):
        # A day's rows are known when it is over.
        days = [day for day in lake.days(DRIFT, cluster) if _known_at(clock.start_of(day)) <= now]
        if days and now - clock.start_of(days[-1]) <= STILL_NEW:
            rows = lake.read_day(DRIFT, cluster, days[-1], columns=_COLUMNS).to_dicts()
            found += drift_samples(cluster, _known_at(clock.start_of(days[-1])), rows)
    return found


def _known_at(start: datetime) -> datetime:
    return start + timedelta(days=1)


def drift_samples(cluster: str, time: datetime, rows: Sequence[Mapping[str, Any]]) -> Iterable[Sample]:
    """Return the rows of `drift` of a cluster and day as one sample; none without rows."""
    if not rows:
        return ()
    level = max((row["level"] for row in rows), key=DRIFT_LEVELS.index)
    message = "; ".join(row["words"] for row in rows if row["level"] == level)
    return (Sample(cluster, "", "", time, {"cluster": cluster, "level": level, "message": message}),)


class DriftPast:
    """The past of a rule on `JOB_DRIFT`."""

    def __init__(self, lake: Lake, rule: Rule) -> None:
        self._lake, self._rule = lake, rule

    def advance(self, moment: datetime) -> Sequence[Sample]:
        """See `Past`: no rule on it looks back."""
        del moment
        return ()

    def evidence(self, moment: datetime) -> Evidence:
        """See `Past`."""
        return Evidence(tuple(s for s in newest_drift(self._lake, moment) if self._rule.holds_for(s.row)))
