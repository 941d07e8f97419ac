"""What the rules look at beside the raw tables: outcomes of jobs, findings in the queue, hosts that are silent."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, Iterable, Mapping

from nomade_pipeline import clock
from nomade_pipeline.alerts.drift_source import JOB_DRIFT
from nomade_pipeline.alerts.evidence import Evidence, Sample, sample_of
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.collection import Record
from nomade_pipeline.status.live import LEAST_INTERVAL, STALE_INTERVALS, Database, configured_interval, newest
from nomade_pipeline.tables.contract import ROLLUP, Column, Table
from nomade_pipeline.tables.nodes import NODE_STATE
from nomade_pipeline.tables.operations import OUTCOMES
from nomade_pipeline.tables.outcomes import FAILED_CLASSES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB, SLURM_QUEUE

_, SKIPPED, FAILED = OUTCOMES
Row = Mapping[str, Any]
# Collectors that ask the daemons of Slurm.
SLURM_COLLECTORS = (SLURM_QUEUE.collector, NODE_STATE.collector, JOB_METRICS.collector)

# The table of jobs is up to 15 minutes behind; of fewer jobs a share says little.
OUTCOME_WINDOW = timedelta(hours=2)
LEAST_JOBS = 20

JOB_OUTCOMES = Table(
    "job_outcomes",
    ROLLUP,
    "Jobs of a cluster that succeeded or failed within two hours.",
    (
        Column("cluster", "text", "Cluster."),
        Column("partition", "text", "Partition."),
        Column("jobs", "int64", "Jobs that succeeded or failed.", "jobs"),
        Column("failed_percent", "float64", "Share of them that failed.", "percent"),
    ),
    key=("cluster", "partition"),
    subject=("partition",),
    collector="slurm",
)
# Tables that rules may name beside the raw ones.
VIEWS = {view.name: view for view in (JOB_OUTCOMES, JOB_DRIFT)}

_OUTCOMES = f"""
SELECT cluster, partition, count(*) AS jobs, sum(failure_class IN ({", ".join(map(str, FAILED_CLASSES))})) AS failed,
       max(end_time) AS newest
FROM jobs WHERE end_time >= ? AND end_time <= ? AND (failure_class = 0 OR failure_class IN
      ({", ".join(map(str, FAILED_CLASSES))}))
GROUP BY cluster, partition HAVING count(*) >= {LEAST_JOBS}"""


def job_outcomes(database: Database, now: datetime) -> list[Sample]:
    """Return the share of failed jobs of each partition; of those with fewer than `LEAST_JOBS` nothing is said."""
    window = (clock.to_text(now - OUTCOME_WINDOW), clock.to_text(now))
    return [
        outcome_sample(row["cluster"], row["partition"], row["jobs"], row["failed"], clock.from_text(row["newest"]))
        for row in database.rows(_OUTCOMES, window)
    ]


def outcome_sample(cluster: str, partition: str | None, jobs: int, failed: int, newest: datetime) -> Sample:
    """Return the row of `JOB_OUTCOMES` of a partition, from counts of its jobs."""
    row = {"cluster": cluster, "partition": partition, "jobs": jobs, "failed_percent": 100 * failed / jobs}
    return Sample(cluster, partition or "", "", newest, row)


def clusters_with_queue(config: Config, database: Database, now: datetime) -> tuple[str, ...]:
    """Return the clusters whose queue is known now."""
    interval = configured_interval(config, "slurm")
    told = newest(config.paths, database, SLURM_QUEUE)
    return tuple(sorted({snapshot.cluster for snapshot in told if not snapshot.is_stale(now, interval)}))


def queued_jobs(jobs: Iterable[Row], clusters: tuple[str, ...], subject: tuple[str, ...], now: datetime) -> Evidence:
    """Return the jobs that are in the queue at a moment as what is known of it."""
    samples = (sample_of(SLURM_JOB, job, subject, now) for job in jobs if job["cluster"] in clusters)
    return Evidence(tuple(samples), complete=True, clusters=clusters)


def findings(found: Mapping[str, Iterable[Row]], kind: str, clusters: tuple[str, ...], now: datetime) -> Evidence:
    """Return the findings of one kind, by cluster, as what is known; complete for the clusters whose queue is known."""
    samples = (
        Sample(cluster, _finding_subject(kind, row), row.get("node") or "", now, row)
        for cluster in clusters
        for row in found.get(cluster, ())
    )
    return Evidence(tuple(samples), complete=True, clusters=clusters)


def _finding_subject(kind: str, row: Mapping[str, Any]) -> str:
    if kind == "arrays":
        return f"array {row['array_job_id']}"
    if kind == "shares":
        return ":".join(filter(None, (row["account"], row["user"], row["partition"])))
    if kind == "lost":
        return ":".join(filter(None, (f"job {row['job_id_raw']}", row.get("node"))))
    return f"job {row['job_id']}"


def hosts_without_data(config: Config, told: Iterable[Record], collector: str, now: datetime) -> list[Sample]:
    """Return every host that has reported within a day, with the collectors of which nothing comes.

    Args:
        config: how often each collector runs.
        told: how the collectors of each host have fared.
        collector: the only one to look at; empty: all.
        now: the present time.

    ``without_data`` counts the collectors whose newest run failed, or of which three runs are overdue; ``collectors``
    names them, ``silent_seconds`` is the longest silence among them, ``all_silent`` tells that none reports.
    """
    hosts: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in told:
        if record.last_time is not None:
            hosts[record.cluster, record.host].append(record)
    return [
        _silence(config, place, own, collector, now)
        for place, own in sorted(hosts.items())
        if _is_alive(own, now) and (not collector or any(record.collector == collector for record in own))
    ]


def _is_alive(own: list[Record], now: datetime) -> bool:
    """Whether a host is one to wait for: one that was taken out of service a day ago is not."""
    return any(record.last_time is not None and now - record.last_time < timedelta(days=1) for record in own)


def _silence(config: Config, place: tuple[str, str], own: list[Record], collector: str, now: datetime) -> Sample:
    counted = [record for record in own if record.outcome != SKIPPED and record.last_time is not None]
    silent = {record.collector: _age(record, now) for record in counted if _is_overdue(config, record, now)}
    failing = {record.collector: record.reason for record in counted if _is_failing(record)}
    missing = sorted(name for name in {*silent, *failing} if collector in ("", name))
    cluster, host = place
    row = {
        "cluster": cluster,
        "host": host,
        "without_data": len(missing),
        "collectors": ", ".join(missing),
        "reason": next((failing[name] for name in missing if name in failing and name not in silent), ""),
        "silent_seconds": max(silent.values(), default=0.0),
        "all_silent": bool(counted) and len(silent) == len(counted),
    }
    return Sample(cluster, host, host, now, row)


def _is_failing(record: Record) -> bool:
    """Whether its newest run failed for a reason that no rule on the scheduler or slurmdbd tells already."""
    is_slurm_down = record.collector in SLURM_COLLECTORS and record.reason.startswith("service_down")
    return record.outcome == FAILED and not is_slurm_down


def _age(record: Record, now: datetime) -> float:
    assert record.last_time is not None
    return (now - record.last_time).total_seconds()


def _is_overdue(config: Config, record: Record, now: datetime) -> bool:
    interval = max(LEAST_INTERVAL, configured_interval(config, record.collector), record.interval_seconds)
    return _age(record, now) > STALE_INTERVALS * interval
