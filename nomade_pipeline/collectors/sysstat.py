"""What iostat, mpstat and sadf have in common: their numbers, their JSON, their version."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Dict, List, Optional, Tuple

from nomade_pipeline.collectors.base import CollectorError

# iostat -h and --human print sizes with a letter; sysstat's letters are powers of 1024.
_HUMAN = {"B": 1.0, "k": 1024.0, "K": 1024.0, "M": 1024.0**2, "G": 1024.0**3, "T": 1024.0**4, "P": 1024.0**5}
# No rate and no amount that sysstat prints comes near; beyond it a product would not fit into 64 bits.
_IMPOSSIBLE = 1e15
_VERSION = re.compile(r"sysstat version (\d+)\.(\d+)\.(\d+)")


def number(value: Any) -> float:
    """Return a finite number from a JSON value or a text with a decimal point or comma.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{str(value)[:40]!r} is not a number")  # noqa: TRY004 - the type comes from a tool, not from a caller
    try:
        result = float(value.strip().rstrip("%").replace(",", ".")) if isinstance(value, str) else float(value)
    except OverflowError as error:
        raise ValueError(f"{str(value)[:40]} is too large") from error
    if not math.isfinite(result):
        raise ValueError(f"{str(value)[:40]} is not a finite number")
    if abs(result) >= _IMPOSSIBLE:
        raise ValueError(f"{str(value)[:40]} is impossible")
    return result


def amount(value: Any, unit_bytes: float) -> float:
    """Return bytes from a number in ``unit_bytes``, or from one with its own letter (``222.1k``).

    Raises:
        ValueError: it is no amount.
    """
    if isinstance(value, str) and value[-1:] in _HUMAN:
        return number(value[:-1]) * _HUMAN[value[-1]]
    return number(value) * unit_bytes


def load_json(text: str, tool: str) -> Any:
    """Load JSON, refusing what is cut off or malformed.

    Raises:
        CollectorError: it is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CollectorError("parse", f"{tool}: the output is not valid JSON ({str(error)[:80]})") from error


def json_host(text: str, tool: str) -> Dict[str, Any]:
    """Return the first host of sysstat's JSON.

    Raises:
        CollectorError: the text is no JSON or has another shape.
    """
    document = load_json(text, tool)
    try:
        host = document["sysstat"]["hosts"][0]
    except (KeyError, IndexError, TypeError) as error:
        raise CollectorError("parse", f"{tool}: the JSON holds no sysstat.hosts[0]") from error
    if not isinstance(host, dict):
        raise CollectorError("parse", f"{tool}: sysstat.hosts[0] is no object")
    return host


def json_reports(text: str, tool: str) -> List[Dict[str, Any]]:
    """Return the reports of sysstat's JSON in order.

    Raises:
        CollectorError: the text is no JSON or holds no report.
    """
    reports = objects(json_host(text, tool).get("statistics"))
    if not reports:
        raise CollectorError("parse", f"{tool}: the JSON holds no report")
    return reports


def objects(value: Any) -> List[Dict[str, Any]]:
    """Return the objects of a JSON list; an empty list for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def version_of(text: str) -> Optional[Tuple[int, int, int]]:
    """Return sysstat's version from the output of ``-V``; None when it is not there."""
    match = _VERSION.search(text)
    return (int(match.group(1)), int(match.group(2)), int(match.group(3))) if match else None
