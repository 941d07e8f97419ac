"""NVIDIA GPUs and MIG instances: `nvidia-smi --query-gpu=… --format=csv,nounits`.

Columns are read by the names in the header. A field that this driver does not know is left out and
the rest asked again. Where MIG is on, the GPU itself reports no utilisation, and its instances come
from `nvidia-smi -q -x` and `nvidia-smi -L`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, List, Tuple

from nomade_pipeline.collectors.base import (
    Collected,
    Collector,
    CollectorError,
    Parsed,
    Reading,
    Rejected,
    Row,
    Skipped,
)
from nomade_pipeline.collectors.commands import failure, first_line, run_any, run_tool
from nomade_pipeline.collectors.gpu_forms import Form, parse_listing, take_apart
from nomade_pipeline.collectors.gpu_rows import UUID_NAMES, Listing, empty_row, gpu_row, index_of, mig_row
from nomade_pipeline.probes import Completed, Probe
from nomade_pipeline.tables import system

if TYPE_CHECKING:
    from nomade_pipeline.config.collector_settings import GpuSettings

TOOL_NAME = "nvidia-smi"
QUERY = (
    "index", "uuid", "name", "pci.bus_id", "driver_version", "mig.mode.current", "utilization.gpu",
    "utilization.memory", "memory.total", "memory.used", "memory.free", "temperature.gpu", "temperature.memory",
    "power.draw", "enforced.power.limit", "clocks.sm", "clocks.mem", "fan.speed", "pstate",
    "ecc.errors.corrected.volatile.total", "ecc.errors.uncorrected.volatile.total", "clocks_event_reasons.active",
)  # fmt: skip
# The name of a field in older drivers.
OLDER_NAME = {"clocks_event_reasons.active": "clocks_throttle_reasons.active"}
_UNKNOWN_FIELD = re.compile(r'Field "([^"]+)" is not a valid field to query')


def parse(text: str) -> Parsed:
    """Read a recorded output: CSV of `--query-gpu` with its header, XML of `-q -x`, or text of `-q`.

    Raises:
        Skipped: it says that there is no device.
        CollectorError: nothing could be read; ``service_down`` when the driver does not answer.
    """
    _refuse_failure(text)
    rows, rejected = rows_of(take_apart(text), {})
    if not rows:
        why = rejected[0].reason if rejected else "it lists no GPU"
        raise CollectorError("parse", f"nvidia-smi: nothing could be read: {why}")
    return Parsed({"gpu": rows}, tuple(rejected))


def _refuse_failure(text: str) -> None:
    start = text[:2000]
    if "No devices were found" in start:
        raise Skipped("not_present", "nvidia-smi finds no GPU on this host")
    if "NVIDIA-SMI has failed because" in start or "Failed to initialize NVML" in start:
        category = "permission" if "Insufficient Permissions" in start else "service_down"
        raise CollectorError(category, f"the NVIDIA driver does not answer: {first_line(start)}")


def rows_of(form: Form, listing: Listing) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of GPUs, of their MIG instances and of GPUs that cannot be reached."""
    rows: Dict[str, Row] = {}
    rejected = list(form.rejected)
    for position, device in enumerate(form.devices):
        uuid = next((device.values[name].strip() for name in UUID_NAMES if name in device.values), "")
        if not uuid.startswith("GPU-") or uuid in rows:
            rejected.append(Rejected(str(device.values)[:300], f"the UUID {uuid!r} is none, or listed twice"))
            continue
        told = index_of(device.values.get("index"))
        rows[uuid] = parent = gpu_row(uuid, position if told is None else told, device.values)
        for values in device.instances:
            try:
                row = mig_row(parent, values, listing)
            except ValueError as error:
                rejected.append(Rejected(str(values)[:300], str(error)))
                continue
            rows[row["gpu_uuid"]] = row
    for bus, message in form.lost:
        rows[f"PCI-{bus}"] = {**empty_row(f"PCI-{bus}"), "pci_bus_id": bus, "health": "error", "message": message}
    return list(rows.values()), rejected


def collect(probe: Probe, settings: GpuSettings, interval: int) -> Collected:
    """Read all GPUs once; ``interval`` is the time since the last cycle.

    Raises:
        Skipped: nvidia-smi is not installed, or there is no GPU.
        CollectorError: the driver does not answer, or the output cannot be read.
        Interrupted: the agent is stopping.
    """
    if probe.which(TOOL_NAME) is None:
        raise Skipped("tool_missing", "nvidia-smi is not installed: no NVIDIA GPU is expected on this host")
    completed = _query(probe, settings.timeout)
    try:
        parsed = parse(completed.stdout or completed.stderr)
    except CollectorError as error:
        if completed.returncode != 0 and error.category == "parse":
            raise failure(completed) from error
        raise
    if completed.stdout and not completed.stdout.endswith("\n"):
        raise CollectorError("parse", f"nvidia-smi: the output is cut off: …{completed.stdout[-60:]!r}")
    rows, rejected = parsed.rows["gpu"], list(parsed.rejected)
    if any(row["mig_enabled"] for row in rows):
        instances, refused = _instances(probe, settings.timeout)
        rows = [*rows, *instances]
        rejected.extend(refused)
    return Collected((Reading("gpu", rows, probe.now(), float(interval)),), tuple(rejected))


def _query(probe: Probe, timeout: float) -> Completed:
    """Ask for all fields, then without those that this driver does not know."""
    names = list(QUERY)
    while True:
        completed = run_any(probe, (TOOL_NAME, f"--query-gpu={','.join(names)}", "--format=csv,nounits"), timeout)
        unknown = _UNKNOWN_FIELD.search(completed.stdout + completed.stderr)
        if unknown is None or unknown.group(1) not in names:
            return completed
        at = names.index(unknown.group(1))
        older = OLDER_NAME.get(names[at])
        names[at : at + 1] = [older] if older is not None else []


def _instances(probe: Probe, timeout: float) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of all MIG instances; a failure leaves the GPUs' own rows standing."""
    try:
        form = take_apart(run_tool(probe, (TOOL_NAME, "-q", "-x"), timeout).stdout)
        listing = parse_listing(run_tool(probe, (TOOL_NAME, "-L"), timeout).stdout)
    except CollectorError as error:
        return [], [Rejected("MIG instances", str(error))]
    rows, rejected = rows_of(form, listing)
    return [row for row in rows if row["parent_uuid"] is not None], rejected


COLLECTOR = Collector(
    name="gpu",
    title="NVIDIA GPUs and MIG instances: use, memory, power, clocks, health",
    command=f"nvidia-smi --query-gpu={','.join(QUERY)} --format=csv,nounits",
    tables=(system.GPU,),
    collect=collect,
    parse=parse,
    spans_interval=False,
    optional=True,
)
