"""The job monitor by itself: one look at the running jobs of this host, with rates.

Resident it is `serve` with this one collector and the writer `monitor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from nomade_pipeline.agent.keeping import recall
from nomade_pipeline.agent.runs import RunReport, run_collector
from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.slurm_collectors import MONITOR
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables.nodes import JOB_FINDING, JOB_MONITOR

WRITER = "monitor"
# The first look only gives the base of the rates.
_BASE_SECONDS = 1
_RATES = (
    ("cpu_seconds", "cpus_used"),
    ("network_read_bytes", "network_read_bytes_per_second"),
    ("network_write_bytes", "network_write_bytes_per_second"),
    ("local_read_bytes", "local_read_bytes_per_second"),
    ("local_write_bytes", "local_write_bytes_per_second"),
)
HEADERS = ("job", "node", "user", "procs", "CPUs", "memory", "net read", "net write", "local read", "local write")
_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))


@dataclass(frozen=True)
class Snapshot:
    """One look.

    Attributes:
        report: how it went; its readings can be stored.
        jobs: rows of `job_monitor`, each with its rates over the last seconds: CPUs in use and bytes a second.
        findings: rows of `job_finding`.
    """

    report: RunReport
    jobs: Tuple[Row, ...] = ()
    findings: Tuple[Row, ...] = ()


def snapshot(config: Config, probe: Probe, seconds: int) -> Snapshot:
    """Look at the jobs of this host for some seconds.

    Counters go on from what a resident agent or monitor of this host keeps, if it may be read.

    Raises:
        Interrupted: it was stopped.
    """
    collector = MONITOR.fresh()
    for writer in ("agent", WRITER):
        recall(collector, config.paths.agent_state(config.general.host, writer, collector.name), probe)
    base = run_collector(collector, probe, config.monitor, _BASE_SECONDS)
    if base.outcome != "success":
        return Snapshot(base)
    report = run_collector(collector, probe, config.monitor, seconds)
    before = {_key(row): row for row in _rows(base, JOB_MONITOR.name)}
    jobs = tuple(
        {**row, **_rates_of(row, before.get(_key(row)), report.seconds)} for row in _rows(report, JOB_MONITOR.name)
    )
    return Snapshot(report, jobs, tuple(_rows(report, JOB_FINDING.name)))


def _rows(report: RunReport, table: str) -> List[Row]:
    return [row for reading in report.readings if reading.table == table for row in reading.rows]


def _key(row: Row) -> Tuple[Any, Any]:
    return row["job_id_raw"], row["node"]


def _rates_of(row: Row, before: Optional[Row], seconds: float) -> Dict[str, Optional[float]]:
    """Return the rates of a job between two looks; null for one that is new, and for what could not be read."""
    rates: Dict[str, Optional[float]] = {}
    for column, name in _RATES:
        then, now = (before or {}).get(column), row.get(column)
        rates[name] = None if then is None or now is None else max(0.0, (now - then) / seconds)
    return rates


def cells(row: Row) -> List[str]:
    """Return what a table shows of a job under `HEADERS`; a dash stands for null."""
    used = row["cpus_used"]
    return [
        row["job_id_raw"],
        row["node"],
        _or_dash(row["user"]),
        _or_dash(row["processes"]),
        _or_dash(None if used is None else f"{used:.2f}"),
        _size(row["memory_bytes"]),
        *(
            f"{_size(row.get(column))} {_rate(row[rate])}"
            for column, rate in _RATES
            if rate.endswith("_bytes_per_second")
        ),
    ]


def table(rows: Sequence[Row]) -> str:
    """Lay out jobs as plain text, for the agent's own program."""
    lines = [list(HEADERS), *(cells(row) for row in rows)]
    sizes = [max(len(line[place]) for line in lines) for place in range(len(HEADERS))]
    return "\n".join("  ".join(text.ljust(size) for text, size in zip(line, sizes)).rstrip() for line in lines)


def _or_dash(value: Any) -> str:
    return "–" if value is None else str(value)


def _size(value: Optional[float]) -> str:
    if value is None:
        return "–"
    for factor, unit in _UNITS:
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:.0f} B"


def _rate(value: Optional[float]) -> str:
    return "" if not value else f"(+{_size(value)}/s)"
