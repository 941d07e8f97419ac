"""The nodes as they are now, and when they were out of use."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Iterable, Mapping

from nomade_pipeline import clock
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.live import Database, configured_interval
from nomade_pipeline.status.queue import newest_by_cluster
from nomade_pipeline.tables.job_rollups import NODE_HISTORY
from nomade_pipeline.tables.nodes import NODE_STATE

# Stretches with the same reason and no longer gap between them are one: a few readings may have been missed.
SAME_STRETCH = timedelta(minutes=15)


def nodes(config: Config, now: datetime) -> list[dict[str, Any]]:
    """Return the newest reading of each cluster's nodes.

    Each has ``cluster``, ``host``, ``sample_time``, ``age_seconds``, ``stale`` and ``nodes``.
    """
    database = Database(config.paths)
    try:
        found = newest_by_cluster(config, database, NODE_STATE)
    finally:
        database.close()
    interval = configured_interval(config, "node_state")
    return [
        {
            "cluster": cluster,
            "host": snapshot.host,
            "sample_time": clock.to_text(snapshot.sample_time),
            "age_seconds": round(snapshot.age(now), 1),
            "stale": snapshot.is_stale(now, interval),
            "nodes": [{c.name: row.get(c.name) for c in NODE_STATE.data_columns} for row in snapshot.rows],
        }
        for cluster, snapshot in sorted(found.items())
    ]


def history(config: Config, since: datetime, node: str = "") -> tuple[list[dict[str, Any]], str | None]:
    """Return the stretches in which nodes were out of use, newest first, and why the database cannot be read.

    Args:
        config: whose data folder.
        since: stretches that ended before are left out.
        node: only this node; empty for all.
    """
    database = Database(config.paths)
    try:
        rows = database.rows(
            "SELECT * FROM node_history WHERE until_time >= ? AND (? = '' OR node = ?) "
            "ORDER BY cluster, node, since_time",
            (clock.to_text(since), node, node),
        )
        return sorted(joined(rows), key=lambda row: str(row["since_time"]), reverse=True), database.problem
    finally:
        database.close()


def joined(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join stretches of neighbouring hours, given by cluster, node and time; each gets its length in ``seconds``."""
    stretches: list[dict[str, Any]] = []
    same = ("cluster", "node", "availability", "reason", "reason_user")
    for row in rows:
        before = stretches[-1] if stretches else None
        if (
            before is not None
            and all(before[name] == row[name] for name in same)
            and clock.from_text(row["since_time"]) - clock.from_text(before["until_time"]) <= SAME_STRETCH
        ):
            before["until_time"] = row["until_time"]
            before["readings"] += row["readings"]
        else:
            stretches.append({name: row[name] for name in NODE_HISTORY.column_names if name != "hour"})
    for stretch in stretches:
        length = clock.from_text(stretch["until_time"]) - clock.from_text(stretch["since_time"])
        stretch["seconds"] = length.total_seconds()
    return stretches
