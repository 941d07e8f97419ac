"""The forms of nvidia-smi's output, taken apart into named values: CSV with a header, XML, `-q` text, `-L`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from nomade_pipeline.collectors.base import CollectorError, Rejected

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_UNIT = re.compile(r"(.*?) \[([^\]]*)\]")
_NUMERIC = re.compile(r"-?\d+(\.\d+)?")
_LISTED_GPU = re.compile(r"GPU \d+: .* \(UUID: (GPU-[^)\s]+)\)")
_LISTED_MIG = re.compile(r"MIG (\S+)\s+Device\s+(\d{1,4}): \(UUID: (MIG-[^)]+)\)")
_LOST = "Unable to determine the device handle"
_BUS_ID = re.compile(r"\b[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]\b")
_Q_LINE = re.compile(r"( *)(.*?)\s*(?::(?: (.*))?)?")


@dataclass
class Device:
    """Named values of one GPU and of its MIG instances, as printed."""

    values: Dict[str, str] = field(default_factory=dict)
    instances: List[Dict[str, str]] = field(default_factory=list)


@dataclass
class Form:
    """One output: GPUs in its order, GPUs out of reach as (PCI address, message), and what could not be read."""

    devices: List[Device] = field(default_factory=list)
    lost: List[Tuple[str, str]] = field(default_factory=list)
    rejected: List[Rejected] = field(default_factory=list)


def take_apart(text: str) -> Form:
    """Recognise the form of an output and take it apart.

    Raises:
        CollectorError: it is none of the known forms, or malformed.
    """
    body = text.lstrip("\ufeff \t\r\n")
    if body.startswith("<"):
        return _xml(body)
    if body.startswith("=") and "NVSMI LOG" in body[:80]:
        return _query_text(body)
    return _csv(body)


def _csv(text: str) -> Form:
    form = Form()
    header: List[Tuple[str, str]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(", ")]
        if _LOST in line:
            _add_lost(form, line.strip())
        elif not line.strip():
            continue
        elif not header:
            header = [_name_and_unit(cell) for cell in cells]
            if "uuid" not in [name for name, _ in header]:
                raise CollectorError(
                    "parse", f"nvidia-smi: the first line is no header with a column uuid: {line[:80]!r}"
                )
        elif len(cells) == len(header):
            form.devices.append(Device({name: _with_unit(cell, unit) for (name, unit), cell in zip(header, cells)}))
        else:
            form.rejected.append(Rejected(line, f"{len(cells)} values under {len(header)} columns"))
    return form


def _add_lost(form: Form, line: str) -> None:
    match = _BUS_ID.search(line)
    if match:
        domain, rest = match.group().upper().split(":", 1)
        form.lost.append((f"{domain:0>8}:{rest}", line))
    else:
        form.rejected.append(Rejected(line, "a GPU that cannot be reached, without its PCI address"))


def _name_and_unit(cell: str) -> Tuple[str, str]:
    match = _UNIT.fullmatch(cell)
    return (match.group(1), match.group(2)) if match else (cell, "")


def _with_unit(cell: str, unit: str) -> str:
    return f"{cell} {unit}" if unit and _NUMERIC.fullmatch(cell) else cell


def _xml(text: str) -> Form:
    if "<!ENTITY" in text:
        raise CollectorError("parse", "nvidia-smi: the XML declares entities, which nvidia-smi never does")
    # Only MIG needs it, and it is 1 MB of a small agent.
    from xml.etree import ElementTree as ET

    try:
        root = ET.fromstring(text)  # noqa: S314 - a local tool's output; entities are refused above
    except (ET.ParseError, ValueError) as error:
        raise CollectorError("parse", f"nvidia-smi: the XML is malformed: {error}") from error
    if root.tag != "nvidia_smi_log":
        raise CollectorError("parse", f"nvidia-smi: the XML is a <{root.tag[:40]}>, not an <nvidia_smi_log>")
    form = Form()
    driver = root.findtext("driver_version")
    for element in root.iterfind("gpu"):
        device = Device(_flat(element), [_flat(each) for each in element.iterfind("mig_devices/mig_device")])
        device.values.setdefault("@id", element.get("id", ""))
        if driver is not None:
            device.values["driver_version"] = driver
        form.devices.append(device)
    return form


def _flat(element: Element) -> Dict[str, str]:
    """Return the text of an element's leaves by path; lists of processes and instances are left out."""
    values: Dict[str, str] = {}
    pending = [("", element)]
    while pending:
        prefix, node = pending.pop()
        for child in node:
            if child.tag in ("processes", "mig_devices", "accounted_processes"):
                continue
            if len(child):
                pending.append((f"{prefix}{child.tag}/", child))
            else:
                values.setdefault(prefix + child.tag, (child.text or "").strip())
    return values


def _query_text(text: str) -> Form:
    form = Form()
    driver: Optional[str] = None
    path: List[Tuple[int, str]] = []
    target: Optional[Dict[str, str]] = None
    for line in text.splitlines():
        match = _Q_LINE.fullmatch(line.rstrip())
        if match is None or not match.group(2):
            continue
        indent, name, value = len(match.group(1)), match.group(2), match.group(3)
        path = [(depth, each) for depth, each in path if depth < indent]
        if indent == 0 and name.startswith("GPU ") and _BUS_ID.search(line):
            bus = line.split(" ", 1)[1].strip()
            form.devices.append(Device({"@id": bus, **({"driver_version": driver} if driver else {})}))
            target, path = form.devices[-1].values, []
        elif indent == 0:
            driver = value if name == "Driver Version" else driver
        elif form.devices and indent == 4 and name == "MIG Device" and value is None:
            form.devices[-1].instances.append({})
            target, path = form.devices[-1].instances[-1], [(4, "")]
        elif value is None:
            path.append((indent, name))
            target = form.devices[-1].values if form.devices and indent == 4 else target
        elif target is not None:
            if indent == 4:
                target = form.devices[-1].values
            names = [each for _, each in path if each]
            target.setdefault("/".join([*names, name]), value)
    if not form.devices:
        raise CollectorError("parse", "nvidia-smi: the log names no GPU")
    return form


def parse_listing(text: str) -> Dict[Tuple[str, int], Tuple[str, str]]:
    """Read `nvidia-smi -L`: UUID and profile of each MIG instance by its GPU's UUID and its index."""
    found: Dict[Tuple[str, int], Tuple[str, str]] = {}
    parent = ""
    for line in text.splitlines():
        gpu, instance = _LISTED_GPU.match(line.strip()), _LISTED_MIG.match(line.strip())
        if gpu:
            parent = gpu.group(1)
        elif instance and parent:
            found[(parent, int(instance.group(2)))] = (instance.group(3), instance.group(1))
    return found
