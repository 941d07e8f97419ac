"""The present state of everything, put together from spool and database."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.alerts import open_alerts
from nomade_pipeline.status.collection import Record, records
from nomade_pipeline.status.live import Database, Snapshot, configured_interval, newest
from nomade_pipeline.status.nodes import nodes
from nomade_pipeline.status.queue import queues
from nomade_pipeline.status.sections import SECTIONS
from nomade_pipeline.store.heartbeat import last_beat

# Parts of the screen that are about a cluster, and the collector that fills each.
_SLURM_PARTS = {"queue": "slurm", "nodes": "node_state"}


def overview(config: Config, now: datetime, hosts: Sequence[str] = ()) -> dict[str, Any]:
    """Return the status of all hosts, as ``nomade status --json`` prints it.

    Args:
        config: whose data folder is looked at; its intervals decide what is stale.
        now: the present UTC time.
        hosts: only hosts whose name matches one of these shell patterns; empty for all.

    Raises:
        NoData: nothing has been collected, or no host matches.
    """
    database = Database(config.paths)
    try:
        snapshots = {name: newest(config.paths, database, table) for name, table, _ in SECTIONS}
        log = records(config.paths, database, now)
        alerts = _alerts(config, database, now)
    finally:
        database.close()
    places = sorted(
        {(s.cluster, s.host) for found in snapshots.values() for s in found} | {(r.cluster, r.host) for r in log}
    )
    slurm = {"queue": queues(config, now), "nodes": nodes(config, now)}
    if not places and not any(slurm.values()):
        # A broken database is no empty one: what it held may be all there is.
        about = f"; {database.problem}" if database.problem else ""
        raise NoData(
            f"nothing has been collected below {config.paths.root}{about}",
            "`nomade collect --once` takes a sample; `nomade up` or `nomade collect` keeps sampling",
        )
    chosen = [place for place in places if not hosts or any(fnmatchcase(place[1], pattern) for pattern in hosts)]
    if hosts and not chosen:
        raise NoData(f"no host matches {', '.join(hosts)}", f"there are {', '.join(host for _, host in places)}")
    return {
        "time": clock.to_text(now),
        "data_dir": str(config.paths.root),
        "hosts": [_host(config, now, place, snapshots, log) for place in chosen],
        **slurm,
        "alerts": alerts,
        "notes": {name: _why_no_slurm(collector, log) for name, collector in _SLURM_PARTS.items()},
        "problems": [database.problem] if database.problem else [],
    }


def _alerts(config: Config, database: Database, now: datetime) -> dict[str, Any]:
    """Return the open alerts, and how long ago rules were last evaluated (None: never, or it cannot be read)."""
    try:
        beat = last_beat(config.paths.heartbeat)
    except (OSError, ValueError):
        # Of an evaluation that cannot be read nothing is known.
        beat = None
    age = None if beat is None else round((now - beat.time).total_seconds(), 1)
    return {"evaluated_age_seconds": age, "open": open_alerts(database)}


def _host(
    config: Config,
    now: datetime,
    place: tuple[str, str],
    snapshots: dict[str, list[Snapshot]],
    log: Sequence[Record],
) -> dict[str, Any]:
    """Put one host's sections together."""
    own = [record for record in log if (record.cluster, record.host) == place]
    parts: dict[str, Any] = {}
    times: list[datetime] = []
    fresh = False
    for name, table, build in SECTIONS:
        snapshot = next((s for s in snapshots[name] if (s.cluster, s.host) == place), None)
        if snapshot is None:
            parts[name] = {"missing": why_missing(table.collector, own)}
            continue
        if _has_gone(snapshot, table.collector, own):
            parts[name] = {"missing": why_missing(table.collector, own)}
            continue
        stale = snapshot.is_stale(now, configured_interval(config, table.collector))
        times.append(snapshot.sample_time)
        fresh = fresh or not stale
        parts[name] = {
            "sample_time": clock.to_text(snapshot.sample_time),
            "age_seconds": round(snapshot.age(now), 1),
            "stale": stale,
            "interval_seconds": snapshot.interval_seconds,
            "source": snapshot.source,
            **build(snapshot.rows),
        }
    newest_time = max(times, default=None)
    return {
        "cluster": place[0],
        "host": place[1],
        "newest_time": None if newest_time is None else clock.to_text(newest_time),
        "age_seconds": None if newest_time is None else round((now - newest_time).total_seconds(), 1),
        "stale": not fresh,
        **parts,
        "collection": [record.to_dict() for record in own],
    }


def _why_no_slurm(collector: str, log: Sequence[Record]) -> str:
    """Say why there is no reading of the scheduler from any host."""
    own = sorted(
        (record for record in log if record.collector == collector), key=lambda record: record.outcome != "failed"
    )
    return why_missing(collector, own)


def _has_gone(snapshot: Snapshot, collector: str, own: Sequence[Record]) -> bool:
    """Whether the collector has since found that there is nothing to measure any more (a GPU was taken out)."""
    record = next((record for record in own if record.collector == collector), None)
    return (
        record is not None
        and record.outcome == "skipped"
        and record.last_time is not None
        and record.last_time > snapshot.sample_time
    )


def why_missing(collector: str, own: Sequence[Record]) -> str:
    """Say why a host has no reading of a collector, with the command that takes one."""
    record = next((record for record in own if record.collector == collector), None)
    if record is None:
        return f"never collected here; `nomade collect --once -C {collector}` takes a sample"
    if record.outcome in ("skipped", "failed"):
        return f"{record.outcome}: {record.reason}"
    return "nothing to report"
