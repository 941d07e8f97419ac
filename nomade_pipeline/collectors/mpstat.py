"""Logical CPUs: `mpstat -P ALL -o JSON <interval> 1`, or differences of /proc/stat.

A CPU that is offline has no row: older releases list it with zeros everywhere. The summary is
computed from the single CPUs in every case, also where old JSON has no `all` (tool_traps 88).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

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
from nomade_pipeline.collectors.commands import GRACE_SECONDS, failure, run_any, run_tool
from nomade_pipeline.collectors.procfs import CounterResetError, Stat, cpu_shares, parse_stat
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.sysstat import json_reports, number, objects
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables import system

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import MpstatSettings

Cells = Mapping[str, Any]

# Column and the names it has had in mpstat; the flag says that a report without it cannot be read.
_SHARES: Tuple[Tuple[str, Tuple[str, ...], bool], ...] = (
    ("user_percent", ("usr", "user"), True),
    ("nice_percent", ("nice",), True),
    ("system_percent", ("sys", "system"), True),
    ("iowait_percent", ("iowait",), True),
    ("irq_percent", ("irq",), True),
    ("soft_percent", ("soft",), True),
    ("steal_percent", ("steal",), True),
    ("guest_percent", ("guest",), False),
    ("guest_nice_percent", ("gnice",), False),
    ("idle_percent", ("idle",), True),
)
SHARE_COLUMNS = tuple(column for column, _, _ in _SHARES)

# Ten rounded shares may add up to a little more than 100.
SUM_TOLERANCE = 0.5
_CPU = re.compile(r"\d{1,6}", re.ASCII)
SATURATED_PERCENT = 95.0
IDLE_PERCENT = 1.0


def busy(idle: float, iowait: float) -> float:
    """Return 100 - idle - iowait within 0-100 (the two are rounded by the tool)."""
    return min(100.0, max(0.0, 100.0 - idle - iowait))


def core_row(cpu: object, cells: Cells) -> Optional[Row]:
    """Build a row of table mpstat; None for a CPU that is offline.

    Raises:
        ValueError: a share is missing, no number or impossible.
    """
    name = str(cpu)
    if not _CPU.fullmatch(name):
        raise ValueError(f"there is no CPU {name[:20]!r}")
    row: Row = {"cpu": int(name), "busy_percent": None}
    for column, names, needed in _SHARES:
        found = next((each for each in names if each in cells), None)
        if found is None and needed:
            raise ValueError(f"the column {names[0]} is missing")
        row[column] = None if found is None else number(cells[found])
    shares = [row[column] for column in SHARE_COLUMNS if row[column] is not None]
    if not any(shares):
        return None
    if row["idle_percent"] + row["iowait_percent"] > 100 + SUM_TOLERANCE:
        raise ValueError("idle and iowait are more than 100 together")
    row["busy_percent"] = busy(row["idle_percent"], row["iowait_percent"])
    return refuse_impossible(system.MPSTAT, row)


def summarise(cores: Sequence[Row]) -> Row:
    """Build the row of table mpstat_summary from rows of table mpstat (at least one).

    Means are unweighted, the standard deviation is the population's, imbalance is std / mean and
    unknown below a mean of 1 %, saturated counts CPUs above 95 %.
    """
    values = [row["busy_percent"] for row in cores]
    mean = sum(values) / len(values)
    deviation: float = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return {
        "cpus": len(values),
        "busy_percent": mean,
        "busy_min_percent": min(values),
        "busy_max_percent": max(values),
        "busy_std_percent": deviation,
        "imbalance_ratio": deviation / mean if mean >= IDLE_PERCENT else None,
        "saturated_cpus": sum(1 for value in values if value > SATURATED_PERCENT),
        **{column: _mean([row[column] for row in cores]) for column in SHARE_COLUMNS},
    }


def _mean(values: Sequence[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def parse(text: str) -> Parsed:
    """Read the newest report of a recorded output, JSON or text; averages over reports are left out.

    A single report recorded without an interval covers the time since boot; it is read nevertheless,
    for nothing in the output tells it apart.

    Raises:
        CollectorError: no single CPU could be read.
    """
    cpus, rejected = (_json_form if text.lstrip().startswith("{") else _text_form)(text)
    cores, refused = _read_all(cpus, lambda entry: core_row(entry[0], entry[1]))
    rejected.extend(refused)
    if not cores:
        why = rejected[0].reason if rejected else "the newest report lists none; run it with -P ALL"
        raise CollectorError("parse", f"mpstat: no single CPU could be read: {why}")
    return Parsed({"mpstat": cores, "mpstat_summary": [summarise(cores)]}, tuple(rejected))


Entry = Tuple[str, Dict[str, Any]]


def _read_all(entries: Sequence[Entry], read: Callable[[Entry], Optional[Row]]) -> Tuple[List[Row], List[Rejected]]:
    rows: Dict[int, Row] = {}
    rejected: List[Rejected] = []
    for entry in entries:
        try:
            row = read(entry)
        except ValueError as error:
            rejected.append(Rejected(f"CPU {entry[0]} {entry[1]}", str(error)))
            continue
        if row is not None and row["cpu"] in rows:
            rejected.append(Rejected(f"CPU {entry[0]} {entry[1]}", "the CPU is listed twice"))
        elif row is not None:
            rows[row["cpu"]] = row
    return list(rows.values()), rejected


def _json_form(text: str) -> Tuple[List[Entry], List[Rejected]]:
    """Return the single CPUs of the newest JSON report."""
    entries: List[Entry] = []
    for cells in objects(json_reports(text, "mpstat")[-1].get("cpu-load")):
        name = str(cells.get("cpu"))
        if name not in ("all", "-1"):
            entries.append((name, {key.lstrip("%"): value for key, value in cells.items()}))
    return entries, []


def _text_form(text: str) -> Tuple[List[Entry], List[Rejected]]:
    """Return the single CPUs of the newest text report; sections of interrupts and NUMA nodes are passed over."""
    header: Optional[List[str]] = None
    entries: List[Entry] = []
    rejected: List[Rejected] = []
    at = 0
    for line in text.splitlines():
        words = line.split()
        if not words:
            header = None
        elif "CPU" in words and words[-1] != "CPU)":
            is_load = "%idle" in words and words[0] != "Average:"
            header = [word.lstrip("%") for word in words] if is_load else None
            if header is not None:
                at, entries, rejected = words.index("CPU"), [], []
        elif header is not None and len(words) > at and words[at] != "all":
            if len(words) == len(header):
                entries.append((words[at], dict(zip(header, words))))
            else:
                rejected.append(Rejected(line, f"{len(words)} values under {len(header)} columns"))
    return entries, rejected


def collect(probe: Probe, settings: MpstatSettings, interval: int) -> Collected:
    """Measure one interval; which of the two tables is stored is up to the settings.

    Raises:
        CollectorError: the tool failed, or neither it nor /proc is there.
        Interrupted: the agent is stopping.
    """
    if probe.which("mpstat") is None:
        cores, rejected, seconds = _measure_proc(probe, interval)
        rows, source = {"mpstat": cores, "mpstat_summary": [summarise(cores)] if cores else []}, PROC
    else:
        parsed, seconds = _ask(probe, interval)
        rows, rejected, source = parsed.rows, list(parsed.rejected), TOOL
    stored = {"mpstat": settings.store_per_core, "mpstat_summary": settings.store_summary}
    moment = probe.now()
    readings = [Reading(table, rows[table], moment, seconds, source) for table, wanted in stored.items() if wanted]
    return Collected(tuple(readings), tuple(rejected))


def _ask(probe: Probe, interval: int) -> Tuple[Parsed, float]:
    """Run mpstat with JSON; a release that does not know JSON refuses at once and is asked for text."""
    completed = run_any(probe, ("mpstat", "-P", "ALL", "-o", "JSON", str(interval), "1"), interval + GRACE_SECONDS)
    if completed.returncode != 0:
        if "Usage:" not in completed.stdout + completed.stderr:
            raise failure(completed)
        completed = run_tool(probe, ("mpstat", "-P", "ALL", str(interval), "1"), interval + GRACE_SECONDS)
    return parse(completed.stdout), completed.seconds


def _measure_proc(probe: Probe, interval: float) -> Tuple[List[Row], List[Rejected], float]:
    before = _snapshot(probe)
    probe.wait(interval)
    after = _snapshot(probe)
    cores, rejected = core_rows(before[0], after[0])
    return cores, rejected, after[1] - before[1]


def _snapshot(probe: Probe) -> Tuple[Stat, float]:
    try:
        return parse_stat(probe.read("/proc/stat")), probe.monotonic()
    except OSError as error:
        raise CollectorError(
            "tool_missing", "mpstat is not installed and /proc/stat cannot be read: install sysstat"
        ) from error


def core_rows(before: Stat, after: Stat) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of table mpstat from two readings of /proc/stat, and the CPUs without one."""
    rows: List[Row] = []
    rejected: List[Rejected] = []
    for name, ticks in after.cpus.items():
        if name == "all" or not name.isdecimal():
            continue
        if name not in before.cpus:
            rejected.append(Rejected(f"CPU {name}", "came online during the interval: no share yet"))
            continue
        try:
            share = cpu_shares(before.cpus[name], ticks)
        except CounterResetError as error:
            rejected.append(Rejected(f"CPU {name}", str(error)))
            continue
        rows.append(
            {
                "cpu": int(name),
                "busy_percent": busy(share["idle"], share["iowait"]),
                "user_percent": share["user"],
                "nice_percent": share["nice"],
                "system_percent": share["system"],
                "iowait_percent": share["iowait"],
                "irq_percent": share["irq"],
                "soft_percent": share["softirq"],
                "steal_percent": share["steal"],
                "guest_percent": min(100.0, share["guest"]),
                "guest_nice_percent": min(100.0, share["guest_nice"]),
                "idle_percent": share["idle"],
            }
        )
    return rows, rejected


COLLECTOR = Collector(
    name="mpstat",
    title="Logical CPUs: shares of time, and how evenly they are spread",
    command="mpstat -P ALL -o JSON <interval> 1",
    tables=(system.MPSTAT, system.MPSTAT_SUMMARY),
    collect=collect,
    parse=parse,
    spans_interval=True,
)
