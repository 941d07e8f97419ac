"""One file system: its present state and how it came there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Mapping, Optional, Sequence

from nomade_pipeline import clock
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData
from nomade_pipeline.ingest.derived_sources import QUANTITIES
from nomade_pipeline.status.live import Database, Snapshot, configured_interval, newest
from nomade_pipeline.status.sections import filesystems
from nomade_pipeline.status.trends import trend_of
from nomade_pipeline.store.tail import batches_since
from nomade_pipeline.tables.system import DISK

# Readings themselves up to here; beyond, hourly means say as much and load a sixtieth.
RAW_HOURS = 72
DAY_SECONDS = 86400.0
# A rate over less is noise times a large factor.
LEAST_COVERED_SECONDS = 300.0
HALF_HOUR = timedelta(minutes=30)
# The mean of an hour that is covered in part belongs to an unknown moment of it, which would bend the rate.
FULL_HOUR_SECONDS = 3420.0


@dataclass(frozen=True)
class Point:
    """One reading, or the mean of an hour at its middle. Null: not measured."""

    time: datetime
    used_bytes: Optional[float]
    inodes_used: Optional[float]


def look(config: Config, path: str, hours: float, now: datetime, host: Optional[str] = None) -> dict[str, Any]:
    """Return state and history of the file system that holds a path, as ``nomade disk --json`` prints it.

    ``rate_bytes_per_day`` is the plain difference of last and first reading over the time between
    them; null when that is less than five minutes. ``trend`` and ``inode_trend`` are those of `trends.trend_of`.

    Args:
        config: whose data folder is looked at.
        path: a configured path, a mount point, or a path below one.
        hours: how far back.
        now: the present UTC time.
        host: whose reading; None for this host, else any that has the path.

    Raises:
        NoData: no reading of this path.
        LakeError: the lake cannot be read.
    """
    database = Database(config.paths)
    try:
        snapshot, row = _find(newest(config.paths, database, DISK), path, host, config.general.host)
        points = history(config.paths, database, snapshot, row, hours, now)
    finally:
        database.close()
    used = [point for point in points if point.used_bytes is not None]
    return {
        "cluster": snapshot.cluster,
        "host": snapshot.host,
        "sample_time": clock.to_text(snapshot.sample_time),
        "age_seconds": round(snapshot.age(now), 1),
        "stale": snapshot.is_stale(now, configured_interval(config, "disk")),
        **filesystems([row])["filesystems"][0],
        "free_bytes": row.get("free_bytes"),
        "inodes_total": row.get("inodes_total"),
        "inodes_used": row.get("inodes_used"),
        "hours": hours,
        "readings": len(points),
        **_ends(used),
        "rate_bytes_per_day": _rate(used, "used_bytes"),
        "rate_inodes_per_day": _rate([p for p in points if p.inodes_used is not None], "inodes_used"),
        "trend": _trend(used, "used_bytes", hours, _full(row, "used_bytes", "available_bytes")),
        "inode_trend": _trend(
            [p for p in points if p.inodes_used is not None], "inodes_used", hours, row.get("inodes_total")
        ),
        "history": [
            {"time": clock.to_text(p.time), "used_bytes": p.used_bytes, "inodes_used": p.inodes_used} for p in points
        ],
    }


def _find(
    snapshots: Sequence[Snapshot], path: str, host: Optional[str], own_host: str
) -> tuple[Snapshot, Mapping[str, Any]]:
    """Return the reading that serves a path best: as configured, else the nearest mount above it; own host first."""
    asked = PurePosixPath(path)
    candidates = []
    for snapshot in snapshots:
        if host is not None and snapshot.host != host:
            continue
        for row in snapshot.rows:
            length = _match(row, asked)
            if length is not None:
                candidates.append((length, snapshot.host == own_host, snapshot.sample_time, snapshot, row))
    if not candidates:
        known = sorted({str(row["path"]) for snapshot in snapshots for row in snapshot.rows})
        where = f" on host {host}" if host is not None else ""
        raise NoData(
            f"no reading of {path}{where}" + (f"; there are {', '.join(known)}" if known else ""),
            "`nomade collect --once -C disk` takes one of the configured paths",
        )
    best = max(candidates, key=lambda candidate: candidate[:3])
    return best[3], best[4]


def _match(row: Mapping[str, Any], asked: PurePosixPath) -> Optional[int]:
    """Return how well a row serves a path: exactly, or by so many parts of a mount above it; None for not at all."""
    if row["path"] == str(asked):
        return 10_000
    if not row.get("mount"):
        return None
    mount = PurePosixPath(row["mount"])
    return len(mount.parts) if mount == asked or mount in asked.parents else None


def history(
    paths: DataPaths, database: Database, snapshot: Snapshot, row: Mapping[str, Any], hours: float, now: datetime
) -> list[Point]:
    """Return the readings of a path in the last hours, oldest first.

    Raises:
        LakeError: the lake cannot be read.
    """
    start = now - timedelta(hours=hours)
    found: dict[datetime, Point] = {}
    if hours > RAW_HOURS and row.get("filesystem_id") is not None:
        found.update(_hourly(database, snapshot.cluster, str(row["filesystem_id"]), start))
        if found:
            start = max(found) + HALF_HOUR
    found.update(_from_lake(paths, snapshot, str(row["path"]), start, now))
    for batch in batches_since(paths.spool, DISK.name, start):
        if (batch.cluster, batch.host) == (snapshot.cluster, snapshot.host):
            for reading in batch.to_rows():
                if reading["path"] == row["path"]:
                    time = clock.from_text(reading["sample_time"])
                    found[time] = Point(time, reading.get("used_bytes"), reading.get("inodes_used"))
    return [found[time] for time in sorted(found)]


def _hourly(database: Database, cluster: str, filesystem_id: str, start: datetime) -> dict[datetime, Point]:
    """Return the means of the hours that are fully covered, each at the middle of its hour.

    The middle is right to half an interval between two readings.
    """
    rows = database.rows(
        "SELECT metric, hour, mean FROM hourly WHERE cluster = ? AND table_name = ? AND subject = ? AND hour >= ? "
        "AND seconds >= ? AND metric IN ('used_bytes', 'inodes_used') ORDER BY hour",
        (cluster, DISK.name, filesystem_id, clock.to_text(clock.hour_of(start)), FULL_HOUR_SECONDS),
    )
    means: dict[datetime, dict[str, float]] = {}
    for entry in rows:
        middle = clock.from_text(entry["hour"]) + HALF_HOUR
        means.setdefault(middle, {})[entry["metric"]] = entry["mean"]
    return {time: Point(time, values.get("used_bytes"), values.get("inodes_used")) for time, values in means.items()}


def _from_lake(
    paths: DataPaths, snapshot: Snapshot, path: str, start: datetime, now: datetime
) -> dict[datetime, Point]:
    """Return the readings that the lake has."""
    if not paths.dataset("raw", DISK.name).exists():
        return {}
    import polars as pl

    from nomade_pipeline.store.lake import Lake

    columns = ("host", "path", "sample_time", "used_bytes", "inodes_used")
    rows = Lake(paths.lake).read(DISK, start, now, clusters=[snapshot.cluster], columns=columns)
    own = rows.filter((pl.col("host") == snapshot.host) & (pl.col("path") == path))
    return {
        time: Point(time, used, inodes)
        for time, used, inodes in own.select("sample_time", "used_bytes", "inodes_used").iter_rows()
    }


def _ends(used: Sequence[Point]) -> dict[str, Any]:
    """Return time and used bytes of the first and the last reading; null without any."""
    ends = {"first": used[0], "last": used[-1]} if used else {"first": None, "last": None}
    return {
        f"{end}_{name}": value
        for end, point in ends.items()
        for name, value in (
            ("time", clock.to_text(point.time) if point else None),
            ("used_bytes", point.used_bytes if point else None),
        )
    }


def _full(row: Mapping[str, Any], *parts: str) -> Optional[float]:
    """Return what the parts make together; None when one was not measured."""
    values = [row.get(part) for part in parts]
    return None if None in values else float(sum(filter(None, values)))


def _trend(points: Sequence[Point], quantity: str, hours: float, limit: Optional[float]) -> Optional[dict[str, Any]]:
    times, values = [point.time for point in points], [float(getattr(point, quantity)) for point in points]
    return trend_of(times, values, hours * 3600, limit, QUANTITIES["disk"].ok_word)


def _rate(points: Sequence[Point], quantity: str) -> Optional[float]:
    """Return the difference of last and first point per day; None when too little time lies between them."""
    if len(points) < 2:
        return None
    seconds = (points[-1].time - points[0].time).total_seconds()
    if seconds < LEAST_COVERED_SECONDS:
        return None
    return float((getattr(points[-1], quantity) - getattr(points[0], quantity)) / seconds * DAY_SECONDS)
