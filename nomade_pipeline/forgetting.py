"""Deleting everything of one cluster."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Iterator

from nomade_pipeline.retention import Removed, RetentionError, delete_rows
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.spool import SpoolFile, spool_files
from nomade_pipeline.tables.catalog import LAKE_TABLES
from nomade_pipeline.tables.job_rollups import JOB_ROLLUP_TABLES

_TELLS_OF_IT_ALONE = "NOT EXISTS (SELECT 1 FROM json_each(notices) WHERE json_extract(value, '$.cluster') <> ?)"


def known_clusters(store: Store) -> list[str]:
    """Return every cluster that has data in the lake or in the database, sorted."""
    names = {cluster for table in LAKE_TABLES for cluster in store.lake.clusters(table)}
    for table in ("series", "latest", "sources", "lake_hours", "ledger", "collection_log", "alerts"):
        names.update(str(row["cluster"]) for row in store.rollups.rows(f"SELECT DISTINCT cluster FROM {table}"))
    return sorted(names - {""})


def forget(store: Store, cluster: str, *, force: bool = False, dry_run: bool = False) -> Removed:
    """Delete everything of one cluster from lake, database and, with ``force``, spool.

    Doing it again after a crash finishes the work.

    Args:
        store: where.
        cluster: its name.
        force: delete its spool files too; without it their presence refuses the request, because the
            next ingest of everything would bring the cluster back.
        dry_run: only say what would be deleted.

    Raises:
        RetentionError: there is no such cluster, or spool files of it exist.
    """
    spooled = list(_spool_files_of(store.spool, cluster))
    known = known_clusters(store)
    if cluster not in known and not spooled:
        raise RetentionError(f"no cluster {cluster!r}; there are {', '.join(known) or 'none'}")
    if spooled and not force:
        raise RetentionError(
            f"the spool still holds {len(spooled)} files of cluster {cluster}, such as {spooled[0][0].path}; stop its "
            "agents, then wait until retention has taken the files, or repeat with --force to delete them"
        )
    removed = Removed()
    _forget_spool(store, spooled, removed, dry_run=dry_run)
    for table in LAKE_TABLES:
        for day in store.lake.days(table, cluster):
            removed.partitions += 1
            if not dry_run:
                store.lake.remove(table, cluster, day)
        if not dry_run:
            # A publication that runs at this moment may have made a new day.
            with contextlib.suppress(OSError):
                (store.lake.dataset(table) / f"cluster={cluster}").rmdir()
    own_series = "series_id IN (SELECT series_id FROM series WHERE cluster = ?)"
    for name in ("hourly_rollup", "daily_rollup"):
        delete_rows(store, name, own_series, (cluster,), removed, dry_run=dry_run)
    jobs = (table.name for table in JOB_ROLLUP_TABLES)
    alerts = ("alerts", "alert_events", "alert_window")
    for name in ("series", "latest", "collection_log", "ledger", "lake_hours", "sources", *jobs, *alerts):
        delete_rows(store, name, "cluster = ?", (cluster,), removed, dry_run=dry_run)
    delete_rows(store, "alert_outbox", _TELLS_OF_IT_ALONE, (cluster,), removed, dry_run=dry_run)
    if not dry_run:
        shutil.rmtree(store.paths.truth / cluster, ignore_errors=True)
    return removed


def _forget_spool(store: Store, spooled: list[tuple[SpoolFile, bool]], removed: Removed, *, dry_run: bool) -> None:
    """Delete the spool files that hold one cluster only."""
    for file, only in spooled:
        if not only:
            removed.kept["other clusters stand in it too"] += 1
            continue
        removed.spool_files += 1
        removed.spool_bytes += file.path.stat().st_size
        if not dry_run:
            path = str(file.path.relative_to(store.spool))
            file.path.unlink(missing_ok=True)
            store.rollups.execute("DELETE FROM ingested_files WHERE path = ?", (path,))


def _spool_files_of(root: Path, cluster: str) -> Iterator[tuple[SpoolFile, bool]]:
    """Yield the spool files with readings of a cluster, and whether they hold no other's."""
    # The writer's own form; within a value the quotes would be escaped, so that nothing else can match.
    mark, own = b'"cluster":', b'"cluster":' + json.dumps(cluster).encode("ascii") + b","
    for file in spool_files(root):
        data = file.path.read_bytes()
        if own in data:
            yield file, data.count(own) == data.count(mark)
