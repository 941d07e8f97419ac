"""Recorded output of `df`: with `-P`, `-k`, `-h`, `-T`, `-i`, and with long device names on their own line."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from nomade_pipeline.collectors.base import CollectorError, Parsed, Rejected, Row
from nomade_pipeline.collectors.mounts import decoded
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.tables import system

# Header and what the column is; sizes are followed by the bytes of one block.
_BLOCKS = re.compile(r"(\d{0,6})([KMG]?)(?:B)?-blocks")
_SIZES = {"Size": "total", "Used": "used", "Available": "available", "Avail": "available"}
_INODES = {"Inodes": "inodes", "IUsed": "inodes_used", "IFree": "inodes_free"}
_PERCENT = {"Use%": "used_percent", "Capacity": "used_percent", "IUse%": "inodes_used_percent"}
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50, "E": 2**60}
# Fifteen digits are a petabyte of kilobytes; more is damage, and would not fit into 64 bits.
_AMOUNT = re.compile(r"(\d{1,15}(?:[.,]\d{1,3})?)([KMGTPE]?)", re.ASCII)
_CELL = r"(-|[0-9]{1,15}(?:[.,][0-9]{1,3})?[KMGTPE]?%?)"

COLUMNS = tuple(column.name for column in system.DISK.data_columns)


def parse(text: str) -> Parsed:
    """Read every line of a recorded `df`; percentages are df's own.

    Sizes of `-h` are powers of 1024 and rounded; df does not print free blocks, so free_bytes is null.

    Raises:
        CollectorError: there is no header of df, or no line could be read.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.split()[0] == "Filesystem" and "Mounted" in line), None)
    if start is None:
        raise CollectorError("parse", "df: no line begins with 'Filesystem' and names 'Mounted on'")
    columns, block_bytes = _header(lines[start])
    pattern = _line_pattern(columns)
    rows: List[Row] = []
    rejected: List[Rejected] = []
    pending = ""
    for line in lines[start + 1 :]:
        match = pattern.fullmatch(pending + line.strip())
        if match is None and len(line.split()) == 1 and not pending:
            pending = line.strip() + " "  # without -P a long device name stands on its own line
            continue
        pending = ""
        if match is None:
            rejected.append(Rejected(line, "the line does not fit the header"))
            continue
        try:
            rows.append(refuse_impossible(system.DISK, _row(columns, match.groups(), block_bytes)))
        except ValueError as error:
            rejected.append(Rejected(line, str(error)))
    if not rows:
        raise CollectorError("parse", "df: no line could be read")
    return Parsed({"disk": _latest(rows)}, tuple(rejected))


def _latest(rows: List[Row]) -> List[Row]:
    """Keep one row a mount point: the last one covers the others."""
    return list({row["path"]: row for row in rows}.values())


def _header(line: str) -> Tuple[List[str], int]:
    columns: List[str] = []
    block_bytes = 1024
    for word in line.replace("Mounted on", "Mounted").split()[1:]:
        blocks = _BLOCKS.fullmatch(word)
        if blocks:
            block_bytes = int(blocks.group(1) or 1) * _UNITS[blocks.group(2)]
            columns.append("total")
        else:
            columns.append({**_SIZES, **_INODES, **_PERCENT, "Type": "fstype", "Mounted": "mount"}.get(word, word))
    return columns, block_bytes


def _line_pattern(columns: List[str]) -> re.Pattern[str]:
    cells = {"mount": r"(/.*)", "fstype": r"(\S+)"}
    return re.compile(r"\s+".join(["(.+?)", *(cells.get(column, _CELL) for column in columns)]))


def _row(columns: List[str], cells: Tuple[Optional[str], ...], block_bytes: int) -> Row:
    found: Dict[str, str] = dict(zip(["device", *columns], (cell or "" for cell in cells)))
    mount, device = found["mount"], found["device"]
    row: Row = dict.fromkeys(COLUMNS)
    row.update(path=decoded(mount), mount=decoded(mount), device=device, fstype=found.get("fstype"), status="ok")
    row["filesystem_id"] = device if ":/" in device else None
    for name in ("total", "used", "available"):
        row[f"{name}_bytes"] = _amount(found.get(name), block_bytes)
    row["inodes_total"] = _amount(found.get("inodes"), 1)
    row["inodes_used"] = _amount(found.get("inodes_used"), 1)
    row["inodes_free"] = _amount(found.get("inodes_free"), 1)
    if not row["inodes_total"]:
        row.update(inodes_total=None, inodes_used=None, inodes_free=None)
    row["used_percent"] = _percent(found.get("used_percent"))
    row["inodes_used_percent"] = _percent(found.get("inodes_used_percent")) if row["inodes_total"] else None
    return row


def _amount(text: Optional[str], unit: int) -> Optional[int]:
    match = _AMOUNT.fullmatch(text or "")
    if match is None:
        return None
    letter = match.group(2)
    value = match.group(1).replace(",", ".")
    # A letter is its own unit; plain digits count blocks and are exact.
    return int(float(value) * _UNITS[letter]) if letter or "." in value else int(value) * unit


def _percent(text: Optional[str]) -> Optional[float]:
    if text is None or not text.endswith("%"):
        return None
    value = float(text[:-1].replace(",", "."))
    return value if 0 <= value <= 100 else None
