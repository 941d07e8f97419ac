"""Memory, paging, run queue and pressure: `vmstat -n -w -S K <interval> 2`, or /proc differences.

The first line of vmstat covers the time since boot and is dropped. Memory and swap rates are KiB
under `-S K`; `bi` and `bo` are KiB/s under every `-S`. procps 4 takes guests out of `us` and shows
them as `gu`; here user_percent always includes them. vmstat's `cache` includes reclaimable slab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from nomade_pipeline.collectors.base import (
    PROC,
    TOOL,
    Collected,
    Collector,
    CollectorError,
    Parsed,
    Reading,
    Rejected,
    Row,
)
from nomade_pipeline.collectors.commands import GRACE_SECONDS, run_tool
from nomade_pipeline.collectors.procfs import (
    PAGE_BYTES,
    CounterResetError,
    Stat,
    cpu_shares,
    increase,
    parse_meminfo,
    parse_pressure,
    parse_stat,
    parse_vmstat_counters,
)
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.sysstat import number
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables import system

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import VmstatSettings

KIB = 1024

_GAUGES = {"r": ("procs_running", 1), "b": ("procs_blocked", 1)}
_MEMORY = {
    "swpd": ("swap_used_bytes", KIB),
    "free": ("free_bytes", KIB),
    "buff": ("buffer_bytes", KIB),
    "cache": ("cache_bytes", KIB),
}
_RATES = {
    "si": ("swap_in_bytes_per_second", KIB),
    "so": ("swap_out_bytes_per_second", KIB),
    "bi": ("block_in_bytes_per_second", KIB),
    "bo": ("block_out_bytes_per_second", KIB),
    "in": ("interrupts_per_second", 1),
    "cs": ("context_switches_per_second", 1),
}
_SHARES = {
    "us": "user_percent",
    "sy": "system_percent",
    "id": "idle_percent",
    "wa": "iowait_percent",
    "st": "steal_percent",
    "gu": "guest_percent",
}
_REQUIRED = frozenset({"r", "b", "swpd", "free", "si", "so", "bi", "bo", "in", "cs", "us", "sy", "id"})
# vmstat prints a counter that went back as a number just below 2^32.
_WRAPPED = 2**31

_MEMINFO = {
    "memory_total_bytes": "MemTotal",
    "memory_available_bytes": "MemAvailable",
    "swap_total_bytes": "SwapTotal",
}
# Column, file of /proc/pressure, line in it.
_PRESSURE = (
    ("psi_cpu_some_percent", "cpu", "some"),
    ("psi_memory_some_percent", "memory", "some"),
    ("psi_memory_full_percent", "memory", "full"),
    ("psi_io_some_percent", "io", "some"),
    ("psi_io_full_percent", "io", "full"),
)
_COLUMNS = tuple(column.name for column in system.VMSTAT.data_columns)


def parse(text: str) -> Parsed:
    """Read the newest line of a recorded `vmstat`, `-w`, `-a` or `-t`, in the default unit KiB.

    A single line covers the time since boot; it is read nevertheless. What vmstat does not report
    (total memory, pressure; buffers and cache under `-a`) is null.

    Raises:
        CollectorError: there is no line of vmstat's memory mode.
    """
    lines, rejected = _lines(text)
    if not lines:
        why = rejected[-1].reason if rejected else "no header with the columns of vmstat's memory mode"
        raise CollectorError("parse", f"vmstat: nothing could be read: {why}")
    try:
        row = _row(lines[-1])
    except ValueError as error:
        raise CollectorError("parse", f"vmstat: nothing could be read: {error}") from error
    return Parsed({"vmstat": [row]}, tuple(rejected))


def _lines(text: str) -> Tuple[List[Dict[str, str]], List[Rejected]]:
    """Return the lines as cells by column name; headers may repeat, columns may be added."""
    header: Optional[List[str]] = None
    lines: List[Dict[str, str]] = []
    rejected: List[Rejected] = []
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["r", "b"]:
            header = words
        elif header is not None and words and words[0].isdecimal():
            # With -t the header ends with the zone and the line with date and time.
            if len(words) - len(header) in ((0, 1) if header[-1] not in _SHARES else (0,)):
                lines.append(dict(zip(header, words)))
            else:
                rejected.append(Rejected(line, f"{len(words)} values under {len(header)} columns"))
    return lines, rejected


def _row(cells: Mapping[str, str]) -> Row:
    missing = sorted(_REQUIRED - set(cells))
    if missing:
        raise ValueError(f"columns are missing: {', '.join(missing)}")
    row: Row = dict.fromkeys(_COLUMNS)
    for name, (column, factor) in {**_GAUGES, **_MEMORY}.items():
        if name in cells:
            row[column] = int(number(cells[name])) * factor
    for name, (column, factor) in _RATES.items():
        value = int(number(cells[name]))
        if value >= _WRAPPED:
            raise ValueError(f"{name} is {value}: the counter was reset")
        row[column] = float(value * factor)
    for name, column in _SHARES.items():
        if name in cells:
            row[column] = _share(cells[name])
    refuse_impossible(system.VMSTAT, row)
    if row["guest_percent"] is not None:
        row["user_percent"] = min(100.0, row["user_percent"] + row["guest_percent"])
    return row


def _share(text: str) -> float:
    value = number(text)
    # procps rounds each share on its own.
    return 100.0 if 100 < value <= 101 else value


def collect(probe: Probe, settings: VmstatSettings, interval: int) -> Collected:
    """Measure one interval.

    Raises:
        CollectorError: the tool failed, or neither it nor /proc is there.
        Interrupted: the agent is stopping.
    """
    del settings
    stalls = _stalls(probe)
    began = probe.monotonic()
    if probe.which("vmstat") is None:
        row, seconds = _measure_proc(probe, interval)
        rejected: Tuple[Rejected, ...] = ()
        source = PROC
    else:
        row, rejected, seconds = _ask(probe, interval)
        source = TOOL
    pressure = pressure_percent(stalls, _stalls(probe), probe.monotonic() - began)
    row = {**row, **_totals(probe), **pressure}
    return Collected((Reading("vmstat", [row], probe.now(), seconds, source),), rejected)


def _ask(probe: Probe, interval: int) -> Tuple[Row, Tuple[Rejected, ...], float]:
    argv = ("vmstat", "-n", "-w", "-S", "K", str(interval), "2")
    completed = run_tool(probe, argv, interval + GRACE_SECONDS)
    if len(_lines(completed.stdout)[0]) != 2:
        raise CollectorError("parse", f"{' '.join(argv)}: two lines were expected: {completed.stdout[-200:]!r}")
    parsed = parse(completed.stdout)
    return parsed.rows["vmstat"][0], parsed.rejected, completed.seconds


def _totals(probe: Probe) -> Row:
    try:
        memory = parse_meminfo(probe.read("/proc/meminfo"))
    except (OSError, CollectorError):
        return dict.fromkeys(_MEMINFO)
    return {column: memory.get(name) for column, name in _MEMINFO.items()}


def _stalls(probe: Probe) -> Dict[str, Dict[str, int]]:
    """Return the stall totals of each resource; nothing for a kernel without them (`psi=0` gives EOPNOTSUPP)."""
    totals: Dict[str, Dict[str, int]] = {}
    for name in ("cpu", "memory", "io"):
        try:
            totals[name] = parse_pressure(probe.read(f"/proc/pressure/{name}"))
        except OSError:
            totals[name] = {}
    return totals


def pressure_percent(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]], seconds: float
) -> Row:
    """Return the psi columns from two readings of stall totals (microseconds).

    A column is null where a total is missing or went back.
    """
    row: Row = dict.fromkeys(column for column, _, _ in _PRESSURE)
    for column, name, line in _PRESSURE:
        old, new = before.get(name, {}).get(line), after.get(name, {}).get(line)
        if old is not None and new is not None and new >= old and seconds > 0:
            row[column] = min(100.0, (new - old) / (seconds * 1e6) * 100.0)
    return row


Snapshot = Tuple[Stat, Dict[str, int], float]


def _measure_proc(probe: Probe, interval: float) -> Tuple[Row, float]:
    before = _snapshot(probe)
    probe.wait(interval)
    after = _snapshot(probe)
    try:
        memory = parse_meminfo(probe.read("/proc/meminfo"))
        return proc_row(before, after, memory), after[2] - before[2]
    except OSError as error:
        raise _proc_unreadable("/proc/meminfo") from error
    except CounterResetError as error:
        raise CollectorError("parse", f"vmstat: no value for this interval: {error}") from error


def _snapshot(probe: Probe) -> Snapshot:
    try:
        stat = parse_stat(probe.read("/proc/stat"))
        return stat, parse_vmstat_counters(probe.read("/proc/vmstat")), probe.monotonic()
    except OSError as error:
        raise _proc_unreadable("/proc/stat or /proc/vmstat") from error


def _proc_unreadable(path: str) -> CollectorError:
    return CollectorError("tool_missing", f"vmstat is not installed and {path} cannot be read: install procps")


def proc_row(before: Snapshot, after: Snapshot, memory: Mapping[str, int]) -> Row:
    """Return the columns that vmstat would report, from two readings of /proc and one of meminfo (bytes).

    Raises:
        CounterResetError: a counter went back, or no time has passed.
    """
    seconds = after[2] - before[2]
    if seconds <= 0:
        raise CounterResetError("no time has passed")

    def paged(name: str, unit: int) -> Any:
        if name not in before[1] or name not in after[1]:
            return None
        return increase(name, before[1][name], after[1][name]) * unit / seconds

    def difference(name: str, values: Tuple[int, int]) -> float:
        return increase(name, *values) / seconds

    share = cpu_shares(before[0].cpus["all"], after[0].cpus["all"])
    row: Row = dict.fromkeys(_COLUMNS)
    row.update(
        procs_running=after[0].procs_running,
        procs_blocked=after[0].procs_blocked,
        swap_used_bytes=_minus(memory.get("SwapTotal"), memory.get("SwapFree")),
        free_bytes=memory.get("MemFree"),
        buffer_bytes=memory.get("Buffers"),
        cache_bytes=memory["Cached"] + memory.get("SReclaimable", 0) if "Cached" in memory else None,
        swap_in_bytes_per_second=paged("pswpin", PAGE_BYTES),
        swap_out_bytes_per_second=paged("pswpout", PAGE_BYTES),
        block_in_bytes_per_second=paged("pgpgin", KIB),
        block_out_bytes_per_second=paged("pgpgout", KIB),
        interrupts_per_second=difference("intr", (before[0].interrupts, after[0].interrupts)),
        context_switches_per_second=difference("ctxt", (before[0].context_switches, after[0].context_switches)),
        user_percent=min(100.0, share["user"] + share["nice"] + share["guest"] + share["guest_nice"]),
        system_percent=min(100.0, share["system"] + share["irq"] + share["softirq"]),
        idle_percent=share["idle"],
        iowait_percent=share["iowait"],
        steal_percent=share["steal"],
        guest_percent=min(100.0, share["guest"] + share["guest_nice"]),
    )
    return row


def _minus(total: Optional[int], free: Optional[int]) -> Optional[int]:
    return None if total is None or free is None else max(0, total - free)


COLLECTOR = Collector(
    name="vmstat",
    title="Memory, paging, run queue and pressure",
    command="vmstat -n -w -S K <interval> 2",
    tables=(system.VMSTAT,),
    collect=collect,
    parse=parse,
    spans_interval=True,
)
