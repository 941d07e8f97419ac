"""What is known of one job's features, and of all in a window, from the lake."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.features import JOB_FEATURES, REDUNDANT, VECTOR
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, OUTCOME_CLASSES, SUCCESS

if TYPE_CHECKING:
    import polars

HINT = "`nomade compute` does that; under `nomade up` Dagster does"


def features_of(config: Config, job: str, cluster: str = "") -> list[dict[str, Any]]:
    """Return the rows of `job_features` of the runs of an ended job on the newest day that has any; newest run first.

    Args:
        config: whose data folder.
        job: ``123``, ``123_4`` or ``123+1``.
        cluster: only of this cluster; empty for all.

    Raises:
        NoData: there is none.
        LakeError: a stored file cannot be read.
    """
    import polars as pl

    lake, called = Lake(config.paths.lake), (pl.col("job_id_raw") == job) | (pl.col("job_id") == job)
    clusters = [name for name in lake.clusters(JOB_FEATURES) if cluster in ("", name)]
    newest_first = sorted(((day, name) for name in clusters for day in lake.days(JOB_FEATURES, name)), reverse=True)
    for day, name in newest_first:
        numbers = lake.read_day(JOB_FEATURES, name, day, columns=("job_id_raw", "job_id"))
        if numbers.filter(called).height:
            rows = lake.read_day(JOB_FEATURES, name, day).filter(called)
            return rows.sort("submit_time", descending=True).to_dicts()
    if not newest_first:
        raise NoData(f"no features have been computed below {config.paths.root}", HINT)
    raise NoData(f"no features of job {job!r:.60} are known", "`nomade job` tells whether it has ended; " + HINT)


def newest_day(lake: Lake, cluster: str = "") -> date | None:
    """Return the newest UTC day with features, of one cluster or of any; None where there is none."""
    clusters = [name for name in lake.clusters(JOB_FEATURES) if cluster in ("", name)]
    return max((lake.days(JOB_FEATURES, name)[-1] for name in clusters if lake.days(JOB_FEATURES, name)), default=None)


def windows(config: Config, day: date | None, cluster: str = "") -> tuple[date, dict[str, polars.DataFrame]]:
    """Return the last day of the window and its jobs by cluster.

    Args:
        config: whose data folder, and how long the window is.
        day: its last day; None for the newest with features.
        cluster: only this cluster; empty for all.

    Raises:
        NoData: there are no jobs in it.
        LakeError: a stored file cannot be read.
    """
    from nomade_pipeline.features.window import window_of

    lake = Lake(config.paths.lake)
    last = day or newest_day(lake, cluster)
    if last is None:
        raise NoData(f"no features have been computed below {config.paths.root}", HINT)
    days = config.similarity.window_days
    clusters = [name for name in lake.clusters(JOB_FEATURES) if cluster in ("", name)]
    found = {name: window_of(lake, name, last, days) for name in clusters}
    found = {name: jobs for name, jobs in found.items() if jobs.height}
    if not found:
        raise NoData(f"no job with features ended in the {days} days up to {last}", HINT)
    return last, found


def report(config: Config, day: date, cluster: str, jobs: polars.DataFrame) -> dict[str, Any]:
    """Return what the features of a window's jobs say, as ``nomade report features --json`` prints it.

    ``quantities`` are rows of `feature_variance`, ``redundant`` those of `feature_correlation` that say the same,
    ``components`` the shares of the variance that the principal components hold, ``outcomes`` jobs by class.
    """
    import polars as pl

    from nomade_pipeline.features.correlation import correlation_table
    from nomade_pipeline.features.variance import components, variance_table
    from nomade_pipeline.features.vectors import vectors_of

    spread = variance_table(jobs, cluster, day, VECTOR, config.similarity.clip)
    shares, _ = components(vectors_of(jobs, VECTOR, config.similarity.clip))
    pairs = correlation_table(jobs, cluster, day).filter("redundant")
    measured = spread.filter((pl.col("measured_jobs") > 0) & pl.col("quantity").is_in(VECTOR)).height
    return {
        "cluster": cluster,
        "last_day": day.isoformat(),
        "days": config.similarity.window_days,
        "jobs": jobs.height,
        "measured_dimensions": measured,
        "dimensions": len(VECTOR),
        "outcomes": _outcomes(jobs),
        "quantities": spread.drop("cluster", "sample_time").to_dicts(),
        "redundant_from": REDUNDANT,
        "redundant": pairs.select("quantity", "other", "jobs", "pearson", "spearman").to_dicts(),
        "components": [round(float(share), 4) for share in shares],
    }


def _outcomes(jobs: polars.DataFrame) -> dict[str, Any]:
    """Return the jobs of each class, and the rate of failure among those that succeeded or failed."""
    counted = {code: int(count) for code, count in jobs["failure_class"].value_counts().iter_rows()}
    failed = sum(counted.get(code, 0) for code in FAILED_CLASSES)
    ended = failed + counted.get(SUCCESS, 0)
    return {
        **{name: counted.get(code, 0) for code, name in enumerate(OUTCOME_CLASSES)},
        "unknown": counted.get(None, 0),
        "failed_ratio": round(failed / ended, 4) if ended else None,
    }
