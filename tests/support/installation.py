"""A data folder as an agent and the ingest leave it, and the command line run on it in this process."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Sequence

from support.rows import CLUSTER, HOST, T0, data_of, reading_of, spool

from nomade_pipeline import clock
from nomade_pipeline.cli.main import main
from nomade_pipeline.collectors.base import Reading
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables import operations, system
from nomade_pipeline.tables.catalog import RAW_TABLES

GB = 10**9


def disk_row(path: str = "/", used: int = 30 * GB, **values: Any) -> dict[str, Any]:
    """Return a reading of a file system of 100 GB."""
    plain = {
        "path": path,
        "mount": path,
        "filesystem_id": f"{HOST}:{path}",
        "status": "ok",
        "message": None,
        "total_bytes": 100 * GB,
        "used_bytes": used,
        "free_bytes": 100 * GB - used,
        "available_bytes": 100 * GB - used,
        "used_percent": used / GB,
        "inodes_total": 1000,
        "inodes_used": 100,
        "inodes_free": 900,
        "inodes_used_percent": 10.0,
    }
    return data_of(system.DISK, **{**plain, **values})


def run_row(collector: str, outcome: str = "success", **values: Any) -> dict[str, Any]:
    """Return a row of the collection log."""
    reason = {"category": None, "message": None} if outcome == "success" else {"category": "timeout", "message": "late"}
    return data_of(
        operations.COLLECTION_LOG,
        **{"collector": collector, "writer": "agent", "outcome": outcome, "quarantined": 0, **reason, **values},
    )


def cycle(moment: datetime, used: int = 30 * GB, *, host: str = HOST) -> list[Reading]:
    """Return what one cycle of an agent gives."""
    memory = {"memory_total_bytes": 64 * GB, "memory_available_bytes": 32 * GB, "free_bytes": 12 * GB}
    return [
        reading_of(system.DISK, moment, disk_row(used=used, filesystem_id=f"{host}:/")),
        reading_of(system.IOSTAT_CPU, moment, data_of(system.IOSTAT_CPU, user_percent=45.2, iowait_percent=2.3)),
        reading_of(
            system.IOSTAT,
            moment,
            data_of(system.IOSTAT, device="vda", device_kind="disk", util_percent=15.2),
            data_of(system.IOSTAT, device="dm-0", device_kind="dm", util_percent=99.0),
        ),
        reading_of(system.MPSTAT_SUMMARY, moment, data_of(system.MPSTAT_SUMMARY, cpus=32, busy_percent=48.2)),
        reading_of(system.VMSTAT, moment, data_of(system.VMSTAT, **memory)),
        *(
            reading_of(operations.COLLECTION_LOG, moment, run_row(name, started_time=moment - timedelta(minutes=1)))
            for name in ("disk", "iostat", "mpstat", "vmstat")
        ),
    ]


def fill_spool(
    root: Path, *, end: datetime = T0, minutes: int = 90, hosts: Sequence[str] = (HOST,), cluster: str = CLUSTER
) -> None:
    """Spool a cycle a minute up to ``end``; the file system fills by 10 MB a minute."""
    for host in hosts:
        for minute in range(minutes, -1, -1):
            used = 30 * GB + (minutes - minute) * 10**7
            spool(root / "spool", *cycle(end - timedelta(minutes=minute), used, host=host), host=host, cluster=cluster)


def ingest(root: Path, *, end: datetime = T0, minutes: int = 90) -> Store:
    """Publish and roll up the days that `fill_spool` filled."""
    from nomade_pipeline.ingest.day import publish_day
    from nomade_pipeline.ingest.rollup import roll_up_day

    store = Store.at(root)
    with clock.set_to(end + timedelta(seconds=5)):
        for day in sorted({(end - timedelta(minutes=minutes)).date(), end.date()}):
            for table in RAW_TABLES:
                publish_day(store, table, day)
            roll_up_day(store, day)
    return store


@dataclass(frozen=True)
class Ended:
    """A command that ended: exit status and output."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.stdout)


def nomade(*arguments: str, root: Path | None = None, stdin: bytes = b"") -> Ended:
    """Run the command line in this process, through its error boundary."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    options = ["--data-dir", str(root)] if root is not None else []
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main([*options, *arguments])
    finally:
        sys.stdin = before
    return Ended(status, _content(out), _content(err))


def _content(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", "replace")
