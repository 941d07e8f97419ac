"""What has drifted, from the lake: for `nomade drift`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.features import HINT
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.features import JOB_FEATURES
from nomade_pipeline.tables.simulation import DRIFT, DRIFT_LEVELS


@dataclass(frozen=True)
class ClusterDrift:
    """What is known of one cluster.

    Attributes:
        cluster: its name.
        day: UTC day that it was judged on; None: it has not been.
        level: the surest level of any quantity; None: not judged.
        since: first UTC day of what has changed; None: nothing has.
        quantities: rows of the table `drift`, the surest first.
        note: why it was not judged; empty when it was.
    """

    cluster: str
    day: date | None
    level: str | None
    since: date | None
    quantities: list[dict[str, Any]]
    note: str


def drift_of(config: Config, day: date | None = None, cluster: str = "") -> list[ClusterDrift]:
    """Return what has drifted in each cluster.

    Args:
        config: whose data folder.
        day: UTC day on which it was judged; None for the newest of each cluster.
        cluster: only this cluster; empty for all.

    Raises:
        NoData: no features of jobs are known.
        LakeError: a stored file cannot be read.
    """
    lake = Lake(config.paths.lake)
    clusters = [name for name in lake.clusters(JOB_FEATURES) if cluster in ("", name)]
    if not clusters:
        raise NoData(f"no features of jobs {f'of {cluster!r:.60} ' if cluster else ''}are known", HINT)
    return [_of_cluster(lake, name, day) for name in clusters]


def _of_cluster(lake: Lake, cluster: str, day: date | None) -> ClusterDrift:
    judged = [each for each in lake.days(DRIFT, cluster) if day in (None, each)]
    rows = lake.read_day(DRIFT, cluster, judged[-1]).to_dicts() if judged else []
    if not rows:
        on = "" if day is None else f" on {day}"
        note = f"not judged{on}: `nomade compute drift` does it, or says what is missing"
        return ClusterDrift(cluster, None, None, None, [], note)
    rows.sort(key=lambda row: (-DRIFT_LEVELS.index(row["level"]), row["p"], row["quantity"]))
    changed = [row["since"] for row in rows if row["since"] is not None]
    return ClusterDrift(cluster, judged[-1], rows[0]["level"], min(changed, default=None), rows, "")
