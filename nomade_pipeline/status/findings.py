"""What is wrong with the jobs of each cluster now: stuck jobs, zombies, sick arrays, shares out of balance.

The judgements are those of `analysis.queue_findings`; here the rows come together that they are made of.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Iterable, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.analysis.queue_findings import array_health, is_sick, share_imbalances, stuck_jobs
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.live import Database, newest
from nomade_pipeline.status.queue import live_jobs, newest_by_cluster
from nomade_pipeline.tables.nodes import JOB_FINDING
from nomade_pipeline.tables.slurm_queue import SLURM_RUNAWAY, SLURM_SHARE

# Arrays are judged by the tasks that ended within this.
ARRAY_WINDOW = timedelta(days=1)
KINDS = ("stuck", "lost", "arrays", "shares")

Found = dict[str, list[dict[str, Any]]]

_TASKS = """
SELECT cluster, array_job_id, failure_class, elapsed_seconds, "user", job_name FROM jobs
WHERE array_job_id IS NOT NULL AND end_time >= ?"""


def findings_by_cluster(config: Config, now: datetime) -> dict[str, Found]:
    """Return the findings of each cluster; a cluster in which nothing is wrong may be missing.

    ``stuck``: stuck jobs; ``lost``: processes without a job, jobs without processes, and runaway jobs; ``arrays``: sick
    arrays, of the tasks that ended within a day; ``shares``: associations out of balance.
    """
    database = Database(config.paths)
    try:
        found = {
            "stuck": _stuck(config, now),
            "lost": _lost(config, database, now),
            "arrays": _arrays(database, now),
            "shares": _shares(config, database),
        }
    finally:
        database.close()
    clusters = {cluster for each in found.values() for cluster in each}
    return {cluster: {kind: found[kind].get(cluster, []) for kind in KINDS} for cluster in clusters}


def _by_cluster(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["cluster"]].append(row)
    return groups


def _stuck(config: Config, now: datetime) -> Found:
    days = config.alerts.queue_stuck_days
    jobs = _by_cluster(live_jobs(config.paths.spool, now))
    return {cluster: stuck_of(queued, now, days) for cluster, queued in jobs.items()}


def stuck_of(jobs: Iterable[Mapping[str, Any]], now: datetime, days: float) -> list[dict[str, Any]]:
    """Return the findings ``stuck`` of the jobs in the queue of one cluster."""
    return [{**asdict(job), "since_time": clock.to_text(job.since_time)} for job in stuck_jobs(jobs, now, days)]


def _lost(config: Config, database: Database, now: datetime) -> Found:
    """Return the zombies and runaways that were told lately; one that is over is simply not told again."""
    found: Found = defaultdict(list)
    for table in (JOB_FINDING, SLURM_RUNAWAY):
        for snapshot in newest(config.paths, database, table):
            if not snapshot.is_stale(now, config.monitor.interval):
                found[snapshot.cluster] += [
                    {column.name: row.get(column.name) for column in table.data_columns} for row in snapshot.rows
                ]
    return found


def _arrays(database: Database, now: datetime) -> Found:
    rows = _by_cluster(database.rows(_TASKS, (clock.to_text(now - ARRAY_WINDOW),)))
    return {cluster: arrays_of(tasks) for cluster, tasks in rows.items()}


def arrays_of(tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings ``arrays`` of the ended tasks of one cluster, given as rows of `job_metrics`."""
    about = {task["array_job_id"]: {"user": task["user"], "job_name": task["job_name"]} for task in tasks}
    return [{**asdict(health), **about[health.array_job_id]} for health in array_health(tasks) if is_sick(health)]


def _shares(config: Config, database: Database) -> Found:
    return {
        cluster: shares_of(snapshot.rows)
        for cluster, snapshot in newest_by_cluster(config, database, SLURM_SHARE).items()
    }


def shares_of(shares: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings ``shares`` of one cluster, of rows of `slurm_share`."""
    return [asdict(share) for share in share_imbalances(shares)]


def in_words(finding: Mapping[str, Any]) -> str:
    """Return one finding, of whatever kind, as a sentence."""
    if "message" in finding:
        return str(finding["message"])
    return _array_in_words(finding) if "array_job_id" in finding else _share_in_words(finding)


def _array_in_words(array: Mapping[str, Any]) -> str:
    failed, spread = array["failed_ratio"], array["spread_ratio"]
    told = [f"{failed:.0%} of {array['ended']} ended tasks failed"] if failed else []
    if spread:
        told.append(f"run times spread over {spread:.0%} of their median of {array['median_seconds'] / 60:.1f} min")
    return f"array {array['array_job_id']} {array['job_name']} of {array['user']}: {', '.join(told)}"


def _share_in_words(share: Mapping[str, Any]) -> str:
    who = f"account {share['account']}" + (f", user {share['user']}" if share["user"] else "")
    where = f" in {share['partition']}" if share["partition"] else ""
    return f"{who}{where} has used {share['usage_per_share_ratio']:.2f} times its share of {share['share_ratio']:.1%}"
