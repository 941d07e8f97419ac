"""What Slurm's prolog and epilog left in their queue, delivered to the spool as rows of `job_monitor`.

The hooks (`deploy/slurm`) only write small files below /run and start this detached, so that neither a slow disk nor a
missing Python reaches a job. What could not be delivered stays in the queue for the hook after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import stat
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import PROC, Reading, Row
from nomade_pipeline.collectors.job_watch import row_from_state
from nomade_pipeline.collectors.slurm_values import expand_hostlist, parse_exit_code
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.spool import SpoolError, SpoolWriter, is_folder_name
from nomade_pipeline.tables.nodes import JOB_MONITOR

WRITER = "epilog"
# The kernel ends this process after so long, whatever it waits for (unless that is a dead file server).
DEADLINE_SECONDS = 60
_LOCK_SECONDS = 20.0
# A hook's file has a few hundred bytes.
_LARGEST_BYTES = 65536
# A file that is not whole after so long never will be; one that cannot be delivered for so long is given up.
_TORN_SECONDS, _OLD_SECONDS = 60.0, 86400.0
_UNLIMITED = 1 << 62

Snapshot = Dict[str, str]


def deliver(run: Path, config: Config) -> int:
    """Store what waits in the queue below a folder; return the number of rows stored.

    Raises:
        OSError: the queue cannot be read.
        SpoolError: the spool cannot be written; the rest stays in the queue.
    """
    signal.alarm(DEADLINE_SECONDS)
    queue = run / "queue"
    with _locked(run / "lock") as is_ours:
        if not is_ours:
            return 0
        stored = 0
        for path in sorted(queue.iterdir(), key=lambda each: each.name):
            stored += _deliver_file(path, run, config)
        return stored


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock of the queue for a block; yields whether it could be had in time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _take(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    deadline = clock.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True


def _deliver_file(path: Path, run: Path, config: Config) -> int:
    """Deliver one file of the queue and remove it, or leave it for the next time.

    Raises:
        SpoolError: the spool cannot be written.
    """
    read = read_snapshot(path, os.geteuid())
    if read is None:
        _give_up_after(path, _TORN_SECONDS)
        return 0
    snapshot, moment = read
    folder = run / "jobs" / f"{snapshot.get('job_id', '')}.{snapshot.get('node', '')}"
    row = _row(snapshot, folder, config)
    if row is not None:
        try:
            _store(config, Reading(JOB_MONITOR.name, (row,), moment, 0.0, PROC))
        except SpoolError:
            _give_up_after(path, _OLD_SECONDS)
            raise
    path.unlink()
    if row is not None and row["is_final"]:
        _remove(folder)
    return int(row is not None)


def read_snapshot(path: Path, owner: int) -> Optional[Tuple[Snapshot, datetime]]:
    """Return the names and values of a hook's file, and when it was written.

    None when it is not there, not whole, no plain file, or not its owner's: a task's file lies in a folder that
    belongs to the job's user, who may put anything there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != owner or about.st_size > _LARGEST_BYTES:
            return None
        text = os.read(descriptor, _LARGEST_BYTES).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    pairs = (line.partition("=") for line in text.splitlines())
    snapshot = {name: value for name, equals, value in pairs if equals}
    if snapshot.get("end") != "1" or "hook" not in snapshot:
        return None
    return snapshot, datetime.fromtimestamp(about.st_mtime, tz=timezone.utc)


def _row(snapshot: Snapshot, folder: Path, config: Config) -> Optional[Row]:
    """Return the row that a hook tells; None for a file that names no job."""
    job, node = snapshot.get("job_id", ""), snapshot.get("node", "")
    if not (job.isascii() and job.isdigit()) or not is_folder_name(node):
        return None
    about: Row = {
        "job_id_raw": job,
        "node": node,
        "user": snapshot.get("user"),
        "found_by": snapshot["hook"],
        "is_final": snapshot["hook"] == "epilog",
        "unread": 0,
        "restarts": _number(snapshot, "restarts"),
        "account": snapshot.get("account"),
        "partition": snapshot.get("partition"),
        "cpus": _cpus(snapshot.get("cpus", ""), snapshot.get("nodes", ""), node),
    }
    if snapshot["hook"] != "epilog":
        return about
    status, killed_by = _exit(snapshot.get("exit"))
    seen = _last_row(config, job, node, about["restarts"])
    own = read_snapshot(folder / "last", _number(snapshot, "uid") or 0)
    measured = [_measured(snapshot), _measured(own[0] if own is not None else {})]
    return {**seen, **about, **_largest([seen, *measured]), "exit_code": status, "exit_signal": killed_by}


def _last_row(config: Config, job: str, node: str, restarts: Optional[int]) -> Row:
    """Return what the monitor last told of a job, without what is no longer true; empty when it told nothing."""
    for writer in ("agent", "monitor"):
        path = config.paths.agent_state(config.general.host, writer, JOB_MONITOR.name)
        try:
            jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
            rows = [row_from_state(each["row"]) for each in jobs if (each["job"], each["node"]) == (job, node)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # None was kept, or it is being damaged by someone: the epilog's own readings must do.
            continue
        for row in rows:
            if row and (restarts is None or row.get("restarts") in (None, restarts)):
                return {name: value for name, value in row.items() if name not in _PASSING}
    return {}


# What describes a moment at which the job still ran.
_PASSING = frozenset(
    ("processes", "memory_bytes", "memory_cache_bytes", "memory_source", "swap_bytes", "gpu_util_percent", "unread")
)
_COUNTERS = ("cpu_seconds", "memory_peak_bytes", "oom_kills")


def _measured(snapshot: Mapping[str, str]) -> Row:
    """Return what a snapshot holds of the cgroup."""
    row: Row = {name: _number(snapshot, name) for name in ("memory_peak_bytes", "memory_limit_bytes", "oom_kills")}
    for name, factor in (("cpu_nanoseconds", 1e9), ("cpu_microseconds", 1e6)):
        value = _number(snapshot, name)
        if value is not None:
            row["cpu_seconds"] = value / factor
    return row


def _largest(rows: List[Row]) -> Row:
    """Return the largest of each counter, and the limit that was told last."""
    found: Row = {}
    for name in _COUNTERS:
        values = [row[name] for row in rows if row.get(name) is not None]
        found[name] = max(values) if values else None
    limits = [row["memory_limit_bytes"] for row in rows if row.get("memory_limit_bytes") is not None]
    found["memory_limit_bytes"] = limits[-1] if limits else None
    return found


def _number(snapshot: Mapping[str, str], name: str) -> Optional[int]:
    text = snapshot.get(name, "")
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return value if value is None or value < _UNLIMITED else None


def _exit(text: Optional[str]) -> Tuple[Optional[int], Optional[int]]:
    try:
        return parse_exit_code(text)
    except ValueError:
        return None, None


def _cpus(text: str, nodes: str, node: str) -> Optional[int]:
    """Return a node's CPUs out of `4(x2),2`, which goes along the list of nodes; None when it does not fit."""
    try:
        counts = [
            int(count)
            for part in text.split(",")
            for count, _, times in [part.rstrip(")").partition("(x")]
            for _ in range(min(int(times or 1), 100_000))
        ]
        return counts[expand_hostlist(nodes).index(node)]
    except (ValueError, IndexError):
        return None


def _store(config: Config, reading: Reading) -> None:
    """Append to the spool as the user whom the data folder belongs to, so that the agent can write there too.

    Raises:
        SpoolError: it could not be written.
    """
    spool = SpoolWriter(config.paths.spool, config.general.cluster_name, config.general.host, WRITER)
    with _owner_of(config.paths.root):
        spool.append([reading])


@contextlib.contextmanager
def _owner_of(folder: Path) -> Iterator[None]:
    """Be the owner of a folder for a block, if we are root and there is one."""
    try:
        about = folder.stat() if os.geteuid() == 0 else None
    except OSError:
        about = None
    if about is None:
        yield
        return
    os.setegid(about.st_gid)
    os.seteuid(about.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _give_up_after(path: Path, seconds: float) -> None:
    """Remove a file that is older than so many seconds."""
    try:
        age = clock.now() - datetime.fromtimestamp(path.lstat().st_mtime, tz=timezone.utc)
        if age > timedelta(seconds=seconds):
            path.unlink()
    except OSError:
        # Somebody else removed it, or it is a folder that nobody of ours made.
        return


def _remove(folder: Path) -> None:
    """Remove the folder of a job with whatever its user put there; links in it are not followed."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
