"""Rows of the tables iostat and iostat_cpu from the named cells of a report."""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Optional, Tuple

from nomade_pipeline.collectors import blockdev
from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.sysstat import amount, number
from nomade_pipeline.tables import system

Cells = Mapping[str, object]

KIB, MIB, GIB = 1024.0, 1024.0**2, 1024.0**3
_UNITS = {"kB": KIB, "MB": MIB, "GB": GIB, "B": 1.0, "sec": 512.0, "Blk": 512.0}
# Extended reports write `rkB/s`, plain ones `kB_read/s`; POSIX blocks and sectors are 512 bytes.
_EXTENDED = re.compile(r"([rwd])(kB|MB|GB|B|sec)/s")
_PLAIN = re.compile(r"(kB|MB|GB|B|Blk)_(read|wrtn|dscd)/s")
_PLAIN_KIND = {"read": "r", "wrtn": "w", "dscd": "d"}
_BYTES_COLUMN = {"r": "read_bytes_per_second", "w": "write_bytes_per_second", "d": "discard_bytes_per_second"}

# A busy time of a little more than the interval is a matter of rounding; more than this is not.
UTIL_TOLERANCE = 101.0


def capped_util(percent: float) -> Tuple[Optional[float], Optional[str]]:
    """Return %util within 0-100, or None and the reason why it is not believed."""
    if percent > UTIL_TOLERANCE:
        return None, f"%util of {percent:g} is impossible"
    return min(percent, 100.0), None


def per_request(value: Optional[float], rate: Optional[float]) -> Optional[float]:
    """Return a mean per request: the tool prints 0 where there was no request, which is unknown."""
    return None if value == 0 and not rate else value


def weighted_await(parts: List[Tuple[Optional[float], Optional[float]]]) -> Optional[float]:
    """Return the mean time over all requests from pairs of (rate, mean time); None without requests."""
    known = [(rate, mean) for rate, mean in parts if rate and mean is not None]
    total = sum(rate for rate, _ in known)
    return sum(rate * mean for rate, mean in known) / total if total else None


def _bytes_per_second(cells: Cells) -> Dict[str, float]:
    found: Dict[str, float] = {}
    for name, value in cells.items():
        extended, plain = _EXTENDED.fullmatch(name), _PLAIN.fullmatch(name)
        if extended:
            found[_BYTES_COLUMN[extended.group(1)]] = amount(value, _UNITS[extended.group(2)])
        elif plain:
            found[_BYTES_COLUMN[_PLAIN_KIND[plain.group(2)]]] = amount(value, _UNITS[plain.group(1)])
    return found


def device_row(name: str, cells: Cells) -> Tuple[Row, List[str]]:
    """Build a row of table iostat and the reasons why single values were left out.

    Raises:
        ValueError: a cell is no number, a rate is negative (counters were reset), or no column is known.
    """

    def cell(*names: str) -> Optional[float]:
        return next((number(cells[each]) for each in names if each in cells), None)

    def scaled(factor: float, *names: str) -> Optional[float]:
        value = cell(*names)
        return None if value is None else value * factor

    reads, writes, discards = cell("r/s"), cell("w/s"), cell("d/s")
    transfers = cell("tps")
    if transfers is None and reads is not None and writes is not None:
        transfers = reads + writes + (discards or 0.0)
    read_await = per_request(scaled(0.001, "r_await"), reads)
    write_await = per_request(scaled(0.001, "w_await"), writes)
    discard_await = scaled(0.001, "d_await")
    mean_await = per_request(scaled(0.001, "await"), transfers)
    if "await" not in cells:
        mean_await = weighted_await([(reads, read_await), (writes, write_await), (discards, discard_await)])
    util = cell("util")
    util, reason = (None, None) if util is None else capped_util(util)
    moved = _bytes_per_second(cells)
    row: Row = {
        "device": name,
        "device_kind": blockdev.kind_of_name(name),
        "device_id": None,
        "transfers_per_second": transfers,
        "reads_per_second": reads,
        "writes_per_second": writes,
        "discards_per_second": discards,
        "flushes_per_second": cell("f/s"),
        **{column: moved.get(column) for column in _BYTES_COLUMN.values()},
        "await_seconds": mean_await,
        "read_await_seconds": read_await,
        "write_await_seconds": write_await,
        "read_request_bytes": per_request(_size(cells, "rareq-sz"), reads),
        "write_request_bytes": per_request(_size(cells, "wareq-sz"), writes),
        "queue_length": cell("aqu-sz", "avgqu-sz"),
        "util_percent": util,
    }
    if not any(isinstance(value, float) for value in row.values()):
        raise ValueError("no column of iostat is known here")
    refuse_impossible(system.IOSTAT, row)
    return row, [reason] if reason else []


def _size(cells: Cells, name: str) -> Optional[float]:
    # Request sizes are kilobytes whatever -k or -m says.
    return amount(cells[name], KIB) if name in cells else None


_CPU_CELLS = ("user", "nice", "system", "iowait", "steal", "idle")


def cpu_row(cells: Cells) -> Row:
    """Build the row of table iostat_cpu.

    Raises:
        ValueError: a cell is missing, no number, or no percentage.
    """
    missing = [name for name in _CPU_CELLS if name not in cells]
    if missing:
        raise ValueError(f"avg-cpu lacks {', '.join(missing)}")
    return refuse_impossible(system.IOSTAT_CPU, {f"{name}_percent": number(cells[name]) for name in _CPU_CELLS})
