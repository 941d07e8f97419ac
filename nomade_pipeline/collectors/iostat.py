"""Block devices: `iostat -xy -k -o JSON <interval> 1`, or differences of /proc/diskstats.

Columns are read by name, whichever release wrote them: `rkB/s` (KiB/s), `rMB/s` (MiB/s), `rsec/s`
(sectors of 512 bytes), `aqu-sz` or `avgqu-sz`, decimal points or commas. Times are milliseconds in
the tool and seconds in the rows; sizes are bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, List, Sequence, Tuple

from nomade_pipeline.collectors import blockdev, iostat_proc
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
from nomade_pipeline.collectors.commands import GRACE_SECONDS, run_any, run_tool
from nomade_pipeline.collectors.iostat_forms import Report, json_form, text_form
from nomade_pipeline.collectors.iostat_rows import cpu_row, device_row
from nomade_pipeline.collectors.sysstat import version_of
from nomade_pipeline.probes import Completed, Probe
from nomade_pipeline.tables import system

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import IostatSettings

# Before this release `-y` gave a wrong first CPU line, and some wrote invalid JSON (tool_traps 84).
SOUND_JSON = (12, 0, 6)
_DEVICE_NAME = re.compile(r"[A-Za-z][\w./!:+-]*")


def parse(text: str) -> Parsed:
    """Read the newest report of a recorded output, JSON or text, in any of iostat's forms.

    The first of several reports covers the time since boot and is never the newest. A single report
    recorded without `-y` covers the time since boot as well: it is read nevertheless, for nothing in
    the output tells it apart. Device kinds are judged by name.

    Raises:
        CollectorError: nothing could be read.
    """
    reports = json_form(text) if text.lstrip().startswith("{") else text_form(text)
    if not reports:
        raise CollectorError("parse", "iostat: neither a device table nor avg-cpu is in the output")
    rows, rejected = rows_of(reports[-1])
    if not rows["iostat"] and not rows["iostat_cpu"]:
        why = rejected[0].reason if rejected else "the newest report is empty"
        raise CollectorError("parse", f"iostat: nothing could be read: {why}")
    return Parsed(rows, tuple(rejected))


def rows_of(report: Report) -> Tuple[Dict[str, List[Row]], List[Rejected]]:
    """Return the rows of a report by table, and what could not be read."""
    rows: Dict[str, List[Row]] = {"iostat": [], "iostat_cpu": []}
    rejected = list(report.rejected)
    seen = set()
    for name, cells in report.devices:
        try:
            row, reasons = device_row(name, cells)
        except ValueError as error:
            rejected.append(Rejected(f"{name} {cells}", str(error)))
            continue
        rejected.extend(Rejected(f"{name} {cells}", reason) for reason in reasons)
        if name in seen:
            rejected.append(Rejected(f"{name} {cells}", "the device is listed twice"))
            continue
        seen.add(name)
        rows["iostat"].append(row)
    if report.cpu:
        try:
            rows["iostat_cpu"].append(cpu_row(report.cpu))
        except ValueError as error:
            rejected.append(Rejected(f"avg-cpu {report.cpu}", str(error)))
    return rows, rejected


def collect(probe: Probe, settings: IostatSettings, interval: int) -> Collected:
    """Measure one interval of all devices, or of those in ``settings.devices``.

    Raises:
        CollectorError: the tool failed, or neither it nor /proc is there.
        Interrupted: the agent is stopping.
    """
    if probe.which("iostat") is None:
        rows, rejected, seconds = iostat_proc.measure(probe, interval)
        source = PROC
    else:
        parsed, seconds = _ask(probe, settings.devices, interval)
        rows, rejected, source = parsed.rows, list(parsed.rejected), TOOL
    moment = probe.now()
    rows["iostat"] = _kept(rows["iostat"], settings.devices, probe)
    readings = [Reading(table, found, moment, seconds, source) for table, found in rows.items()]
    return Collected(tuple(readings), tuple(rejected))


def _ask(probe: Probe, devices: Sequence[str], interval: int) -> Tuple[Parsed, float]:
    """Run iostat in the best form that its release knows; return the rows and the seconds it measured."""
    said = run_any(probe, ("iostat", "-V"), GRACE_SECONDS)
    named = [name for name in devices if _DEVICE_NAME.fullmatch(name)]
    if (version_of(said.stdout + said.stderr) or (0, 0, 0)) >= SOUND_JSON:
        argv = ("iostat", "-xy", "-k", "-o", "JSON", *named, str(interval), "1")
        completed = run_tool(probe, argv, interval + GRACE_SECONDS)
        try:
            return parse(completed.stdout), completed.seconds
        except CollectorError as error:
            if not _is_broken_json(completed, error):
                raise
    # Two reports: the first one covers the time since boot and is dropped.
    argv = ("iostat", "-x", "-k", *named, str(interval), "2")
    completed = run_tool(probe, argv, interval + GRACE_SECONDS)
    if len(text_form(completed.stdout)) < 2:
        raise CollectorError("parse", f"{' '.join(argv)}: there is no second report in the output")
    return parse(completed.stdout), completed.seconds


def _is_broken_json(completed: Completed, error: CollectorError) -> bool:
    return error.category == "parse" and "not valid JSON" in str(error) and completed.returncode == 0


def _kept(rows: Sequence[Row], devices: Sequence[str], probe: Probe) -> List[Row]:
    """Keep the devices asked for, or all but partitions, and add kind and identity from /sys."""
    kept: List[Row] = []
    for row in rows:
        if devices and row["device"] not in devices:
            continue
        identity = blockdev.identify(row["device"], probe)
        if not devices and identity.kind == blockdev.PARTITION:
            continue
        kept.append({**row, "device_kind": identity.kind, "device_id": identity.id})
    return kept


COLLECTOR = Collector(
    name="iostat",
    title="Block devices: requests, bytes, waiting time, utilisation",
    command="iostat -xy -k -o JSON <interval> 1",
    tables=(system.IOSTAT, system.IOSTAT_CPU),
    collect=collect,
    parse=parse,
    spans_interval=True,
)
