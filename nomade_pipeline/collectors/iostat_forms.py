"""The forms in which iostat prints a report, taken apart into named cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from nomade_pipeline.collectors.base import Rejected
from nomade_pipeline.collectors.sysstat import json_reports, objects


@dataclass
class Report:
    """One report: cells by column name for each device and for the CPU, as printed."""

    devices: List[Tuple[str, Dict[str, Any]]] = field(default_factory=list)
    cpu: Dict[str, Any] = field(default_factory=dict)
    rejected: List[Rejected] = field(default_factory=list)


def json_form(text: str) -> List[Report]:
    """Take JSON apart.

    Raises:
        CollectorError: it is no JSON of iostat.
    """
    return [_json_report(each) for each in json_reports(text, "iostat")]


def _json_report(statistics: Dict[str, Any]) -> Report:
    report = Report()
    cpu = statistics.get("avg-cpu")
    if isinstance(cpu, dict):
        report.cpu = cpu
    for entry in objects(statistics.get("disk")):
        cells = dict(entry)
        name = cells.pop("disk_device", None)
        _add(report, name, {key.lstrip("%"): value for key, value in cells.items()})
    return report


def _add(report: Report, name: object, cells: Dict[str, Any]) -> None:
    if not isinstance(name, str) or not name.strip():
        report.rejected.append(Rejected(str(cells)[:200], "a device without a name"))
    elif name != name.strip():
        # `iostat -g` writes the sum of a group with a blank before its name.
        report.rejected.append(Rejected(name, "the sum of a group of devices, not a device"))
    else:
        report.devices.append((name, cells))


def text_form(text: str) -> List[Report]:
    """Take text apart: a report begins at each CPU header, or at each device header when there is none."""
    reports: List[Report] = []
    header: Optional[List[str]] = None
    pending: List[str] = []
    has_cpu = "avg-cpu:" in text
    for line in text.splitlines():
        words = line.split()
        if not words:
            header, pending = None, []
        elif words[0] == "avg-cpu:":
            reports.append(Report())
            header = [word.lstrip("%") for word in words]
        elif words[0] in ("Device", "Device:") or words[-1] == "Device":
            header = ["Device" if word == "Device:" else word.lstrip("%") for word in words]
            if not has_cpu or not reports:
                reports.append(Report())
        elif header is not None:
            pending = _values(reports[-1], header, line, [*pending, *words])
    return reports


def _values(report: Report, header: List[str], line: str, words: List[str]) -> List[str]:
    """Add a line of values to a report; return the words of a device name that stands on its own line."""
    expected = len(header) - 1 if header[0] == "avg-cpu:" else len(header)
    if len(words) == 1 and expected > 1:
        return words
    if len(words) != expected:
        report.rejected.append(Rejected(line, f"{len(words)} values under {expected} columns"))
    elif header[0] == "avg-cpu:":
        report.cpu = dict(zip(header[1:], words))
    else:
        cells = dict(zip(header, words))
        name = cells.pop("Device")
        is_group = header[0] == "Device" and line.lstrip().startswith(name) and line[0] == " "
        _add(report, f" {name}" if is_group else name, cells)
    return []
