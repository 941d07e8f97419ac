"""History from sysstat's archives: `sadf -j FILE`, for hours in which no agent ran.

An archive tells requests but not reads from writes, and no memory total; such columns are null.
Times are UTC: sadf prints local time only with -T or -t, and such output is refused.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from nomade_pipeline.collectors import blockdev
from nomade_pipeline.collectors.base import Collected, CollectorError, Reading, Rejected, Row
from nomade_pipeline.collectors.commands import run_any, run_tool
from nomade_pipeline.collectors.iostat_rows import capped_util, per_request
from nomade_pipeline.collectors.mpstat import core_row, summarise
from nomade_pipeline.collectors.procfs import PAGE_BYTES, SECTOR_BYTES
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.sysstat import json_host, number, objects
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables import system
from nomade_pipeline.tables.contract import Table

SOURCE = "sadf"
KIB = 1024

# Debian keeps archives in the first folder, Red Hat in the second.
_FOLDERS = ("/var/log/sysstat", "/var/log/sa")
_READ_SECONDS = 120.0
_ACTIVITIES = ("-u", "ALL", "-P", "ALL", "-r", "-S", "-W", "-B", "-w", "-I", "SUM", "-d", "-p")

Entry = Mapping[str, Any]
Report = Tuple[datetime, float, Entry]


def archive_for(day: date, probe: Probe) -> Optional[str]:
    """Return the archive of a day of the host's local time; None when there is none.

    A file `saDD` may be a month old: its samples carry their dates and `parse_sadf` keeps the right ones.
    """
    for folder in _FOLDERS:
        try:
            present = probe.listdir(folder)
        except OSError:
            continue
        for name in (f"sa{day:%Y%m%d}", f"sa{day:%d}"):
            if name in present:
                return f"{folder}/{name}"
    return None


def archives_for(day: date, probe: Probe) -> List[str]:
    """Return the archives that may hold samples of a UTC day: files are cut at local midnight."""
    found = (archive_for(day + timedelta(days=offset), probe) for offset in (-1, 0, 1))
    return list(dict.fromkeys(path for path in found if path is not None))


def read_archive(probe: Probe, path: str) -> str:
    """Return an archive as JSON with UTC times.

    Raises:
        CollectorError: sadf is missing or cannot read the file.
        Interrupted: the agent is stopping.
    """
    argv = ("sadf", "-j", path, "--", *_ACTIVITIES)
    completed = run_any(probe, (*argv, "-q", "ALL"), _READ_SECONDS)
    if completed.returncode == 0 and completed.stdout.endswith("\n"):
        return completed.stdout
    # Releases before 12.3 know neither pressure nor the word ALL after -q.
    return run_tool(probe, (*argv, "-q"), _READ_SECONDS).stdout


def parse_sadf(text: str, day: date, page_bytes: int = PAGE_BYTES) -> List[Reading]:
    """Return the readings of a UTC day; see `read_sadf`."""
    return list(read_sadf(text, day, page_bytes).readings)


def read_sadf(text: str, day: date, page_bytes: int = PAGE_BYTES) -> Collected:
    """Return the readings of a UTC day from sadf's JSON, and what could not be read.

    Intervals in which the host was restarted are left out. ``page_bytes`` is the page size of the
    host that wrote the archive.

    Raises:
        CollectorError: the text is no JSON of sadf, or its times are local.
    """
    host = json_host(text, "sadf")
    restarts = [_moment(each.get("boot")) for each in objects(host.get("restarts"))]
    readings: List[Reading] = []
    rejected: List[Rejected] = []
    for entry in objects(host.get("statistics")):
        stamp = entry.get("timestamp")
        moment = _moment(stamp)
        seconds = _seconds(stamp)
        if moment is None or seconds is None:
            rejected.append(Rejected(str(stamp)[:200], "a sample without a time or an interval"))
            continue
        began = moment - timedelta(seconds=seconds)
        if moment.date() != day:
            continue
        if any(restart is not None and began < restart <= moment for restart in restarts):
            rejected.append(Rejected(str(stamp), "the host was restarted in this interval"))
            continue
        for table, read in _READERS.items():
            rows = read(entry, rejected, page_bytes)
            if rows:
                readings.append(Reading(table, rows, moment, seconds, SOURCE))
    return Collected(tuple(readings), tuple(rejected))


def _moment(stamp: object) -> Optional[datetime]:
    """Read `{"date", "time", "utc": 1}`, or `"tz": "UTC"` of newer releases.

    Raises:
        CollectorError: the time is local.
    """
    if not isinstance(stamp, dict) or "date" not in stamp or "time" not in stamp:
        return None
    if stamp.get("utc") != 1 and stamp.get("tz") != "UTC":
        raise CollectorError("parse", f"sadf: {str(stamp)[:80]} is local time; export the archive without -T and -t")
    try:
        naive = datetime.strptime(f"{stamp['date']} {stamp['time']}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - UTC, checked above
    except ValueError:
        return None
    return naive.replace(tzinfo=timezone.utc)


def _seconds(stamp: object) -> Optional[float]:
    try:
        seconds = number(stamp.get("interval")) if isinstance(stamp, dict) else 0.0
    except ValueError:
        return None
    return seconds if 0 < seconds <= 86400 else None


def _cell(entry: Entry, *names: str) -> Optional[float]:
    """Return the first of the named numbers that is there."""
    value = next((entry[name] for name in names if name in entry), None)
    return None if value is None else number(value)


def _scaled(entry: Entry, factor: float, *names: str) -> Optional[float]:
    value = _cell(entry, *names)
    return None if value is None else value * factor


def _cpus(entry: Entry) -> Sequence[Entry]:
    return objects(entry.get("cpu-load") or entry.get("cpu-load-all"))


def _attempt(
    table: Table, build: Callable[[Entry], Optional[Row]], entry: Entry, rejected: List[Rejected]
) -> Optional[Row]:
    """Return the row built from a part of a sample; None, and a rejected part, when it cannot be."""
    try:
        row = build(entry)
        return None if row is None else refuse_impossible(table, row)
    except ValueError as error:
        rejected.append(Rejected(str(entry)[:300], str(error)))
        return None


def _iostat(entry: Entry, rejected: List[Rejected], page_bytes: int) -> List[Row]:
    del page_bytes
    rows: Dict[str, Row] = {}
    for disk in objects(entry.get("disk")):
        row = _attempt(system.IOSTAT, _disk, disk, rejected)
        if row is None:
            continue
        rows[row["device"]] = row
        if row["util_percent"] is None and "util-percent" in disk:
            rejected.append(Rejected(str(disk)[:300], "%util is impossible"))
    return list(rows.values())


def _disk(disk: Entry) -> Row:
    name = disk.get("disk-device")
    if not isinstance(name, str) or not name:
        raise ValueError("a device without a name")
    row: Row = dict.fromkeys(column.name for column in system.IOSTAT.data_columns)
    transfers, util = _cell(disk, "tps"), _cell(disk, "util-percent")
    row.update(
        device=name,
        device_kind=blockdev.kind_of_name(name),
        transfers_per_second=transfers,
        read_bytes_per_second=_bytes(disk, "rkB", "rd_sec"),
        write_bytes_per_second=_bytes(disk, "wkB", "wr_sec"),
        discard_bytes_per_second=_bytes(disk, "dkB", "dc_sec"),
        await_seconds=per_request(_scaled(disk, 0.001, "await"), transfers),
        queue_length=_cell(disk, "aqu-sz", "avgqu-sz"),
        util_percent=None if util is None else capped_util(util)[0],
    )
    return row


def _bytes(disk: Entry, kilobytes: str, sectors: str) -> Optional[float]:
    value = _scaled(disk, KIB, kilobytes)
    return _scaled(disk, SECTOR_BYTES, sectors) if value is None else value


def _all_cpus(entry: Entry) -> Optional[Row]:
    cells = next((each for each in _cpus(entry) if str(each.get("cpu")) in ("all", "-1")), None)
    if cells is None:
        return None
    shares = {name: _cell(cells, name) or 0.0 for name in ("guest", "gnice", "irq", "soft")}
    user, nice, kernel = _cell(cells, "usr", "user"), _cell(cells, "nice"), _cell(cells, "sys", "system")
    iowait, steal, idle = _cell(cells, "iowait"), _cell(cells, "steal"), _cell(cells, "idle")
    if user is None or nice is None or kernel is None or iowait is None or steal is None or idle is None:
        raise ValueError("a share of the CPUs is missing")
    return {
        "user_percent": min(100.0, user + shares["guest"]),
        "nice_percent": min(100.0, nice + shares["gnice"]),
        "system_percent": min(100.0, kernel + shares["irq"] + shares["soft"]),
        "iowait_percent": iowait,
        "steal_percent": steal,
        "idle_percent": idle,
    }


def _iostat_cpu(entry: Entry, rejected: List[Rejected], page_bytes: int) -> List[Row]:
    del page_bytes
    row = _attempt(system.IOSTAT_CPU, _all_cpus, entry, rejected)
    return [] if row is None else [row]


def _cores(entry: Entry, rejected: List[Rejected]) -> List[Row]:
    single = [each for each in _cpus(entry) if str(each.get("cpu")) not in ("all", "-1")]
    rows = [_attempt(system.MPSTAT, _core, each, rejected) for each in single]
    return list({row["cpu"]: row for row in rows if row is not None}.values())


def _core(cells: Entry) -> Optional[Row]:
    return core_row(cells.get("cpu"), cells)


def _mpstat(entry: Entry, rejected: List[Rejected], page_bytes: int) -> List[Row]:
    del page_bytes
    return _cores(entry, rejected)


def _mpstat_summary(entry: Entry, rejected: List[Rejected], page_bytes: int) -> List[Row]:
    del rejected, page_bytes
    cores = _cores(entry, [])
    return [summarise(cores)] if cores else []


def _vmstat(entry: Entry, rejected: List[Rejected], page_bytes: int) -> List[Row]:
    row = _attempt(system.VMSTAT, partial(_memory, page_bytes), entry, rejected)
    return [] if row is None else [row]


def _memory(page_bytes: int, entry: Entry) -> Optional[Row]:
    row: Row = dict.fromkeys(column.name for column in system.VMSTAT.data_columns)
    memory, queue = _part(entry, "memory"), _part(entry, "queue")
    swap, paging = _part(entry, "swap-pages"), _part(entry, "paging")
    used, free = _whole(memory, KIB, "swpused"), _whole(memory, KIB, "swpfree")
    shares = _all_cpus(entry)
    row.update(
        procs_running=_whole(queue, 1, "runq-sz"),
        procs_blocked=_whole(queue, 1, "blocked"),
        swap_used_bytes=used,
        free_bytes=_whole(memory, KIB, "memfree"),
        buffer_bytes=_whole(memory, KIB, "buffers"),
        cache_bytes=_whole(memory, KIB, "cached"),
        memory_available_bytes=_whole(memory, KIB, "avail"),
        swap_total_bytes=None if used is None or free is None else used + free,
        swap_in_bytes_per_second=_scaled(swap, page_bytes, "pswpin"),
        swap_out_bytes_per_second=_scaled(swap, page_bytes, "pswpout"),
        block_in_bytes_per_second=_scaled(paging, KIB, "pgpgin"),
        block_out_bytes_per_second=_scaled(paging, KIB, "pgpgout"),
        interrupts_per_second=_interrupts(entry),
        context_switches_per_second=_cell(_part(entry, "process-and-context-switch"), "cswch"),
        **_pressure(_part(entry, "psi")),
    )
    if shares is not None:
        row.update(
            user_percent=min(100.0, shares["user_percent"] + shares["nice_percent"]),
            **{name: shares[name] for name in ("system_percent", "idle_percent", "iowait_percent", "steal_percent")},
        )
    return row if any(value is not None for value in row.values()) else None


def _part(entry: Entry, name: str) -> Entry:
    part = entry.get(name)
    return part if isinstance(part, dict) else {}


def _whole(entry: Entry, factor: int, name: str) -> Optional[int]:
    value = _cell(entry, name)
    return None if value is None else int(value) * factor


def _interrupts(entry: Entry) -> Optional[float]:
    total = next((each for each in objects(entry.get("interrupts")) if each.get("intr") == "sum"), {})
    # Releases before 12.5 call the number `value`.
    return _cell(total, "all", "value")


def _pressure(psi: Entry) -> Dict[str, Optional[float]]:
    shares = {
        "psi_cpu_some_percent": ("psi-cpu", "some_avg"),
        "psi_memory_some_percent": ("psi-mem", "some_avg"),
        "psi_memory_full_percent": ("psi-mem", "full_avg"),
        "psi_io_some_percent": ("psi-io", "some_avg"),
        "psi_io_full_percent": ("psi-io", "full_avg"),
    }
    found = {column: _cell(_part(psi, part), name) for column, (part, name) in shares.items()}
    return {column: None if value is None else min(100.0, value) for column, value in found.items()}


_READERS: Dict[str, Callable[[Entry, List[Rejected], int], List[Row]]] = {
    "iostat": _iostat,
    "iostat_cpu": _iostat_cpu,
    "mpstat": _mpstat,
    "mpstat_summary": _mpstat_summary,
    "vmstat": _vmstat,
}
