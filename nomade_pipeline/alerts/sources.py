"""What the rules look at beside the raw tables: outcomes of jobs, findings in the queue, hosts that are silent."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, Mapping

from nomade_pipeline import clock
from nomade_pipeline.alerts.evidence import Evidence, Sample
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.collection import Record, records
from nomade_pipeline.status.findings import KINDS, findings_by_cluster
from nomade_pipeline.status.live import LEAST_INTERVAL, STALE_INTERVALS, Database, configured_interval, newest
from nomade_pipeline.tables.contract import ROLLUP, Column, Table
from nomade_pipeline.tables.operations import OUTCOMES
from nomade_pipeline.tables.outcomes import FAILED_CLASSES
from nomade_pipeline.tables.slurm_queue import SLURM_QUEUE

_, SKIPPED, FAILED = OUTCOMES

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
VIEWS = {JOB_OUTCOMES.name: JOB_OUTCOMES}

_OUTCOMES = f"""
SELECT cluster, partition, count(*) AS jobs, avg(failure_class IN ({", ".join(map(str, FAILED_CLASSES))})) AS failed,
       max(end_time) AS newest
FROM jobs WHERE end_time >= ? AND end_time <= ? AND (failure_class = 0 OR failure_class IN
      ({", ".join(map(str, FAILED_CLASSES))}))
GROUP BY cluster, partition HAVING count(*) >= {LEAST_JOBS}"""


def job_outcomes(database: Database, now: datetime) -> list[Sample]:
    """Return the share of failed jobs of each partition; of those with fewer than `LEAST_JOBS` nothing is said."""
    window = (clock.to_text(now - OUTCOME_WINDOW), clock.to_text(now))
    return [
        Sample(
            row["cluster"],
            row["partition"] or "",
            "",
            clock.from_text(row["newest"]),
            {
                "cluster": row["cluster"],
                "partition": row["partition"],
                "jobs": row["jobs"],
                "failed_percent": 100 * row["failed"],
            },
        )
        for row in database.rows(_OUTCOMES, window)
    ]


def findings(config: Config, database: Database, now: datetime) -> dict[str, Evidence]:
    """Return the findings of each kind; they are complete for the clusters whose queue is known now."""
    interval = configured_interval(config, "slurm")
    fresh = {
        snapshot.cluster
        for snapshot in newest(config.paths, database, SLURM_QUEUE)
        if not snapshot.is_stale(now, interval)
    }
    found = findings_by_cluster(config, now)
    return {
        kind: Evidence(
            tuple(
                Sample(cluster, _finding_subject(kind, row), row.get("node") or "", now, row)
                for cluster in sorted(fresh)
                for row in found.get(cluster, {}).get(kind, ())
            ),
            complete=True,
            clusters=tuple(sorted(fresh)),
        )
        for kind in KINDS
    }


def _finding_subject(kind: str, row: Mapping[str, Any]) -> str:
    if kind == "arrays":
        return f"array {row['array_job_id']}"
    if kind == "shares":
        return ":".join(filter(None, (row["account"], row["user"], row["partition"])))
    if kind == "lost":
        return ":".join(filter(None, (f"job {row['job_id_raw']}", row.get("node"))))
    return f"job {row['job_id']}"


def hosts_without_data(config: Config, database: Database, now: datetime) -> list[Sample]:
    """Return every host that has reported within a day, with the collectors of which nothing comes.

    ``without_data`` counts the collectors whose newest run failed, or of which three runs are overdue; ``collectors``
    names them, ``silent_seconds`` is the longest silence among them, ``all_silent`` tells that none reports.
    """
    hosts: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records(config.paths, database, now):
        if record.last_time is not None:
            hosts[record.cluster, record.host].append(record)
    return [_silence(config, place, own, now) for place, own in sorted(hosts.items()) if _is_alive(own, now)]


def _is_alive(own: list[Record], now: datetime) -> bool:
    """Whether a host is one to wait for: one that was taken out of service a day ago is not."""
    return any(record.last_time is not None and now - record.last_time < timedelta(days=1) for record in own)


def _silence(config: Config, place: tuple[str, str], own: list[Record], now: datetime) -> Sample:
    counted = [record for record in own if record.outcome != SKIPPED and record.last_time is not None]
    silent = {record.collector: _age(record, now) for record in counted if _is_overdue(config, record, now)}
    failing = {record.collector: record.reason for record in counted if record.outcome == FAILED}
    row = {
        "without_data": len({*silent, *failing}),
        "collectors": ", ".join(sorted({*silent, *failing})),
        "reason": next((reason for name, reason in sorted(failing.items()) if name not in silent), ""),
        "silent_seconds": max(silent.values(), default=0.0),
        "all_silent": bool(counted) and len(silent) == len(counted),
    }
    cluster, host = place
    return Sample(cluster, host, host, now, row)


def _age(record: Record, now: datetime) -> float:
    assert record.last_time is not None
    return (now - record.last_time).total_seconds()


def _is_overdue(config: Config, record: Record, now: datetime) -> bool:
    interval = max(LEAST_INTERVAL, configured_interval(config, record.collector))
    return _age(record, now) > STALE_INTERVALS * interval
