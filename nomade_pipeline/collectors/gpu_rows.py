"""Rows of table gpu from named values, whichever form of nvidia-smi's output they come from.

Names are those of `--query-gpu` (dots), paths of the XML (lower case) and paths of `-q` (capitals).
A value that the device does not have (`[N/A]`, `[Not Supported]`) is null; a fault that stands in
place of a value (`[Unknown Error]`, `ERR!`, `[GPU requires reset]`) is null and an ill health
(tool_traps 75). Never zero.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Mapping, Optional, Tuple, Union

from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.ranges import impossible
from nomade_pipeline.tables import system

Values = Mapping[str, str]
Value = Union[int, float, str, bool, None]

_NOT_REPORTED = frozenset(
    {"", "n/a", "not supported", "not available", "none", "insufficient permissions", "no data", "not found"}
    | {"requested functionality has been deprecated"}
)
_FAULTS = ("unknown error", "err!", "requires reset", "is lost", "access blocked")
_NUMBER = re.compile(r"(-?\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z%]*)", re.ASCII)
_INDEX = re.compile(r"\d{1,4}", re.ASCII)
_FACTORS = {"MiB": 2**20, "KiB": 2**10, "GiB": 2**30, "B": 1, "MHz": 10**6, "GHz": 10**9}


class FaultError(ValueError):
    """The driver reports a fault in place of a value."""


def index_of(text: Optional[str]) -> Optional[int]:
    """Return an index, None when the text is none."""
    return int(text) if text is not None and _INDEX.fullmatch(text) else None


def _plain(text: str) -> str:
    return text.strip().strip("[]").strip()


def _reported(text: str) -> Optional[str]:
    """Return a value's text, None when the device does not report it.

    Raises:
        FaultError: it is a fault.
    """
    plain = _plain(text)
    if plain.lower() in _NOT_REPORTED:
        return None
    if any(word in plain.lower() for word in _FAULTS) or text.strip().startswith("["):
        raise FaultError(plain)
    return plain


def _number(text: str) -> Tuple[float, str]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise FaultError(text)
    return float(match.group(1)), match.group(2)


def text_value(text: str) -> Value:
    """Read a text."""
    return text


def plain_number(text: str) -> Value:
    """Read a number whose unit is already the column's (W, °C, %)."""
    return _number(text)[0]


def whole(text: str) -> Value:
    """Read a count."""
    return int(_number(text)[0])


def byte_count(text: str) -> Value:
    """Read memory; the unit without a letter is MiB."""
    value, unit = _number(text)
    return int(value * _FACTORS.get(unit or "MiB", 2**20))


def hertz(text: str) -> Value:
    """Read a clock; the unit without a letter is MHz."""
    value, unit = _number(text)
    return int(value * _FACTORS.get(unit or "MHz", 10**6))


def switch(text: str) -> Value:
    """Read Enabled or Disabled."""
    return {"enabled": True, "disabled": False}.get(text.lower())


# Column, reader, names in order of preference; names joined by `+` are added up.
Field = Tuple[str, Callable[[str], Value], Tuple[str, ...]]
FIELDS: Tuple[Field, ...] = (
    ("name", text_value, ("name", "product_name", "Product Name")),
    ("pci_bus_id", text_value, ("pci.bus_id", "pci/pci_bus_id", "PCI/Bus Id", "@id")),
    ("driver_version", text_value, ("driver_version",)),
    ("mig_enabled", switch, ("mig.mode.current", "mig_mode/current_mig", "MIG Mode/Current")),
    (
        "utilization_percent",
        plain_number,
        ("utilization.gpu", "utilization/gpu_util", "Utilization/GPU", "Utilization/Gpu"),
    ),
    (
        "memory_utilization_percent",
        plain_number,
        ("utilization.memory", "utilization/memory_util", "Utilization/Memory"),
    ),
    ("memory_total_bytes", byte_count, ("memory.total", "fb_memory_usage/total", "FB Memory Usage/Total")),
    ("memory_used_bytes", byte_count, ("memory.used", "fb_memory_usage/used", "FB Memory Usage/Used")),
    ("memory_free_bytes", byte_count, ("memory.free", "fb_memory_usage/free", "FB Memory Usage/Free")),
    ("temperature_celsius", plain_number, ("temperature.gpu", "temperature/gpu_temp", "Temperature/GPU Current Temp")),
    (
        "memory_temperature_celsius",
        plain_number,
        ("temperature.memory", "temperature/memory_temp", "Temperature/Memory Current Temp"),
    ),
    (
        "power_watts",
        plain_number,
        (
            "power.draw",
            "gpu_power_readings/power_draw",
            "gpu_power_readings/average_power_draw",
            "gpu_power_readings/instant_power_draw",
            "power_readings/power_draw",
            "GPU Power Readings/Power Draw",
            "GPU Power Readings/Average Power Draw",
            "GPU Power Readings/Instantaneous Power Draw",
            "Power Readings/Power Draw",
        ),
    ),
    (
        "power_limit_watts",
        plain_number,
        (
            "enforced.power.limit",
            "power.limit",
            "gpu_power_readings/current_power_limit",
            "power_readings/enforced_power_limit",
            "power_readings/power_limit",
            "GPU Power Readings/Current Power Limit",
            "Power Readings/Enforced Power Limit",
        ),
    ),
    ("sm_clock_hertz", hertz, ("clocks.current.sm", "clocks.sm", "clocks/sm_clock", "Clocks/SM")),
    ("memory_clock_hertz", hertz, ("clocks.current.memory", "clocks.mem", "clocks/mem_clock", "Clocks/Memory")),
    ("fan_percent", plain_number, ("fan.speed", "fan_speed", "Fan Speed")),
    ("performance_state", text_value, ("pstate", "performance_state", "Performance State")),
    (
        "ecc_corrected_total",
        whole,
        (
            "ecc.errors.corrected.volatile.total",
            "ecc_errors/volatile/single_bit/total",
            "ecc_errors/volatile/sram_correctable+ecc_errors/volatile/dram_correctable",
            "ECC Errors/Volatile/Single Bit/Total",
            "ECC Errors/Volatile/SRAM Correctable+ECC Errors/Volatile/DRAM Correctable",
        ),
    ),
    (
        "ecc_uncorrected_total",
        whole,
        (
            "ecc.errors.uncorrected.volatile.total",
            "ecc_errors/volatile/double_bit/total",
            "ecc_errors/volatile/sram_uncorrectable+ecc_errors/volatile/dram_uncorrectable",
            "+".join(
                f"ecc_errors/volatile/{part}"
                for part in ("sram_uncorrectable_parity", "sram_uncorrectable_secded", "dram_uncorrectable")
            ),
            "ECC Errors/Volatile/Double Bit/Total",
            "ECC Errors/Volatile/SRAM Uncorrectable+ECC Errors/Volatile/DRAM Uncorrectable",
            "+".join(
                f"ECC Errors/Volatile/{part}"
                for part in ("SRAM Uncorrectable Parity", "SRAM Uncorrectable SEC-DED", "DRAM Uncorrectable")
            ),
        ),
    ),
    ("throttle_reasons", text_value, ("clocks_event_reasons.active", "clocks_throttle_reasons.active")),
)

UUID_NAMES = ("uuid", "GPU UUID")
COLUMNS = tuple(column.name for column in system.GPU.data_columns)


def empty_row(uuid: str) -> Row:
    """Return a row of which nothing but the identity is known."""
    row: Row = dict.fromkeys(COLUMNS)
    row.update(gpu_uuid=uuid, health="ok")
    return row


def gpu_row(uuid: str, index: Optional[int], values: Values) -> Row:
    """Build the row of a whole GPU."""
    row = empty_row(uuid)
    row["gpu_index"] = index
    _fill(row, FIELDS, values)
    return row


_MIG_FIELDS: Tuple[Field, ...] = (
    (
        "memory_total_bytes",
        byte_count,
        ("fb_memory_usage/total", "Shared FB Memory Usage/Total", "FB Memory Usage/Total"),
    ),
    ("memory_used_bytes", byte_count, ("fb_memory_usage/used", "Shared FB Memory Usage/Used", "FB Memory Usage/Used")),
    ("memory_free_bytes", byte_count, ("fb_memory_usage/free", "Shared FB Memory Usage/Free", "FB Memory Usage/Free")),
    (
        "ecc_uncorrected_total",
        whole,
        ("ecc_error_count/volatile_count/sram_uncorrectable", "ECC Errors/Volatile/SRAM Uncorrectable"),
    ),
)
_MIG_INDEX = ("index", "Index")
_MIG_GPU_INSTANCE = ("gpu_instance_id", "GPU Instance ID")
_MIG_COMPUTE_INSTANCE = ("compute_instance_id", "Compute Instance ID")

# UUID and profile of a MIG instance by the UUID of its GPU and its index (`nvidia-smi -L`).
Listing = Mapping[Tuple[str, int], Tuple[str, str]]


def mig_row(parent: Row, values: Values, listing: Listing) -> Row:
    """Build the row of a MIG instance of the GPU in ``parent``.

    Neither XML nor `-q` tells the instance's UUID. Without a listing its identity is the form that
    drivers before 470 used: `MIG-<GPU's UUID>/<GPU instance>/<compute instance>`.

    Raises:
        ValueError: the instance has no index.
    """
    index = index_of(_first(values, _MIG_INDEX))
    if index is None:
        raise ValueError("a MIG instance without an index")
    instances = f"{_first(values, _MIG_GPU_INSTANCE)}/{_first(values, _MIG_COMPUTE_INSTANCE)}"
    old_form = (f"MIG-{parent['gpu_uuid']}/{instances}", None)
    uuid, profile = listing.get((parent["gpu_uuid"], index), old_form)
    row = empty_row(uuid)
    row.update(parent_uuid=parent["gpu_uuid"], gpu_index=index, name=profile)
    row.update(pci_bus_id=parent["pci_bus_id"], driver_version=parent["driver_version"])
    _fill(row, _MIG_FIELDS, values)
    return row


def _first(values: Values, names: Tuple[str, ...]) -> Optional[str]:
    return next((values[name].strip() for name in names if name in values), None)


def _fill(row: Row, fields: Tuple[Field, ...], values: Values) -> None:
    """Fill the columns and collect the faults in ``health`` and ``message``."""
    faults: Dict[str, List[str]] = {}
    for column, read, names in fields:
        try:
            row[column] = _possible(column, _value(read, names, values))
        except FaultError as fault:
            faults.setdefault(str(fault), []).append(column)
    if faults:
        row["health"] = "error"
        row["message"] = "; ".join(f"{fault}: {', '.join(columns)}" for fault, columns in faults.items())


def _possible(column: str, value: Value) -> Value:
    reason = impossible(system.GPU.column(column), value)
    if reason is not None:
        raise FaultError(reason)
    return value


def _value(read: Callable[[str], Value], names: Tuple[str, ...], values: Values) -> Value:
    """Return the first name's value that is reported.

    Raises:
        FaultError: none is, and at least one is a fault.
    """
    fault: Optional[FaultError] = None
    for name in names:
        parts = name.split("+")
        if any(part not in values for part in parts):
            continue
        try:
            found = [_reported(values[part]) for part in parts]
            known = [read(text) for text in found if text is not None]
        except FaultError as error:
            fault = error
            continue
        if len(known) == len(parts):
            return known[0] if len(known) == 1 else sum(int(value) for value in known if value is not None)
    if fault is not None:
        raise fault
    return None
