"""Writing a simulated history: days that are over straight into the lake, the last hour of an open day to the spool."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Callable, Iterator

from nomade_pipeline import clock
from nomade_pipeline.ingest.partition import is_over
from nomade_pipeline.ingest.readings import write_to_spool
from nomade_pipeline.ingest.records import publish_past
from nomade_pipeline.quality.contract import check
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.nodes import JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.workload.device_rows import device_rows
from nomade_pipeline.workload.history import History
from nomade_pipeline.workload.host_load import HostLoad, host_load
from nomade_pipeline.workload.host_rows import system_rows
from nomade_pipeline.workload.job_rows import job_metrics
from nomade_pipeline.workload.log_rows import collection_log
from nomade_pipeline.workload.monitor_rows import job_monitor
from nomade_pipeline.workload.node_rows import node_state
from nomade_pipeline.workload.queue_rows import queue_rows
from nomade_pipeline.workload.running import Running, ending_on, running_on, seconds_of
from nomade_pipeline.workload.truth import write_truth

if TYPE_CHECKING:
    import polars

# Readers of the present look at the newest lines of the spool, so the last hour must stand there.
IN_SPOOL = timedelta(hours=1)


@dataclass
class Written:
    """What was written.

    Attributes:
        rows: by table.
        days: rows of each table and day that went straight into the lake.
        spooled: rows that went to the spool.
    """

    rows: Counter[str] = field(default_factory=Counter)
    days: dict[str, dict[date, int]] = field(default_factory=dict)
    spooled: int = 0


def write_history(store: Store, history: History, progress: Callable[[str, float], None]) -> Written:
    """Write all rows of a history, a day at a time, and the truth beside them.

    Args:
        store: where.
        history: what happened.
        progress: is told what is done and its share, 0 to 1.

    Raises:
        LakeError, SpoolError, OSError: it cannot be written.
    """
    written = Written()
    days = history.scenario.days
    for number, day in enumerate(days):
        progress(f"writing {day}", number / len(days))
        for table, frame in tables_of_day(history, day):
            _write(store, history, day, table, _sound(table, frame), written)
    write_truth(store.paths.truth / history.scenario.cluster, history)
    return written


def tables_of_day(history: History, day: date) -> Iterator[tuple[Table, polars.DataFrame]]:
    """Yield the rows of each table of a UTC day, one table after the other, so that no two are held at a time."""
    running = running_on(history, day)
    load = host_load(running)
    # The log tells how many rows the head node's collectors had in each minute.
    told: dict[Table, polars.Series] = {}
    for table, frame in _asked_of_slurm(running, load, history, day):
        told[table] = frame["sample_time"]
        yield table, frame
    yield JOB_MONITOR, job_monitor(running, ending_on(history, day))
    yield from system_rows(running, load)
    yield from device_rows(running, load)
    yield COLLECTION_LOG, collection_log(running, load, told)


def _asked_of_slurm(
    running: Running, load: HostLoad, history: History, day: date
) -> Iterator[tuple[Table, polars.DataFrame]]:
    yield JOB_METRICS, job_metrics(history, seconds_of(history, day))
    yield NODE_STATE, node_state(running, load)
    yield from queue_rows(running, load).items()


def _sound(table: Table, frame: polars.DataFrame) -> polars.DataFrame:
    """Return rows that fulfil the contract; others than these would be a fault of ours."""
    checked = check(frame, table, clock.now())
    assert checked.bad.is_empty(), f"simulated rows of {table.name} break the contract: {checked.reasons()}"
    return checked.good


def _write(store: Store, history: History, day: date, table: Table, frame: polars.DataFrame, written: Written) -> None:
    import polars as pl

    cluster = history.scenario.cluster
    late = pl.lit(False) if is_over(day, clock.now()) else pl.col("sample_time") > history.scenario.end - IN_SPOOL
    past, newest = frame.filter(~late), frame.filter(late)
    if past.height:
        published = publish_past(store, table, cluster, day, past)
        written.days.setdefault(table.name, {})[day] = published.rows
    written.spooled += write_to_spool(store.spool, cluster, table, newest)
    written.rows[table.name] += frame.height
