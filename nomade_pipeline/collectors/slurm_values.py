"""How Slurm writes values: times, durations, sizes, trackable resources, generic resources, exit codes, node lists.

All functions are pure. A text that stands for "not known" is None, never zero; a text that cannot be read is a
ValueError, so that the row can be quarantined with the reason.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone, tzinfo
from typing import Dict, Iterator, List, Optional, Tuple

# What Slurm writes for no value: unset, infinite, not applicable, and NO_VAL in its integer widths.
ABSENT = frozenset(
    ("", "unknown", "none", "n/a", "na", "(null)", "null", "none assigned", "invalid", "notset", "4294967294",
     "18446744073709551614", "18446744073709551615", "no_val")
)  # fmt: skip
_SUFFIXES = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
# No figure of Slurm has more digits; a longer one is an accident, and would be an overflow.
_SIZE = re.compile(r"(\d{1,19}(?:\.\d{0,19})?)([KMGTPE]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(?:(\d{1,9})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
_DAYS_HOURS = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)
_NUMBER = re.compile(r"\d{1,19}(\.\d{1,19})?", re.ASCII)
_EXIT = re.compile(r"(\d{1,9})(?::(\d{1,9}))?", re.ASCII)
_GRES = re.compile(r"(?:gres[/:])?gpu(?::([^:(]+?))?(?::(\d+)([KM]?))?(?:\(.*\))?")
_BRACKETS = re.compile(r"\[([^][]*)\]")

# A list of this many names is no list of a cluster's nodes but an accident or an attack.
LARGEST_HOSTLIST = 200_000


def is_absent(text: Optional[str]) -> bool:
    """Whether a text stands for no value."""
    return text is None or text.strip().lower() in ABSENT


def parse_time(text: Optional[str], zone: tzinfo = timezone.utc) -> Optional[datetime]:
    """Read a time: seconds since 1970, or ISO 8601; None for Unknown, None, N/A, 0.

    Args:
        text: what Slurm wrote.
        zone: where a time without an offset was written; our own commands run with ``TZ=UTC``.

    Raises:
        ValueError: it is no time.
    """
    if is_absent(text):
        return None
    assert text is not None
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        seconds = float(stripped)
        try:
            return datetime.fromtimestamp(seconds, tz=timezone.utc) if seconds else None
        except (OverflowError, OSError) as error:
            raise ValueError(f"{stripped} is no time") from error
    try:
        moment = datetime.fromisoformat(stripped[:-1] + "+00:00" if stripped.endswith("Z") else stripped)
    except ValueError as error:
        raise ValueError(f"{stripped!r:.40} is no time") from error
    if moment.year <= 1970 and moment.month == moment.day == 1:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(timezone.utc)


def parse_duration(text: Optional[str]) -> Optional[float]:
    """Read ``[D-]HH:MM:SS[.mmm]``, ``MM:SS[.mmm]`` or ``D-HH`` as seconds.

    Raises:
        ValueError: it is no duration; UNLIMITED is none, see `parse_time_limit`.
    """
    if is_absent(text):
        return None
    assert text is not None
    match = _DURATION.fullmatch(text.strip())
    if match:
        days, hours, minutes, seconds = match.groups()
        if days is not None and hours is None:
            # D-HH:MM, as squeue accepts it.
            return int(days) * 86400 + int(minutes) * 3600 + float(seconds) * 60
        return int(days or 0) * 86400 + int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    match = _DAYS_HOURS.fullmatch(text.strip())
    if match:
        return int(match.group(1)) * 86400.0 + int(match.group(2)) * 3600
    raise ValueError(f"{text!r:.40} is no duration")


def parse_time_limit(text: Optional[str], *, bare_unit_seconds: int = 60) -> Tuple[str, Optional[float]]:
    """Read a time limit as its kind (limited, unlimited, partition, unknown) and seconds.

    A number alone is minutes (``TimelimitRaw``) unless ``bare_unit_seconds`` says otherwise.

    Raises:
        ValueError: it is no time limit.
    """
    lowered = (text or "").strip().lower()
    if lowered in ("unlimited", "infinite", "4294967295"):
        return "unlimited", None
    if lowered in ("partition_limit", "partition limit"):
        return "partition", None
    if is_absent(text):
        return "unknown", None
    if _NUMBER.fullmatch(lowered):
        return "limited", float(lowered) * bare_unit_seconds
    return "limited", parse_duration(text)


def parse_size(text: Optional[str], *, bare_unit: int = 1, base: int = 1024) -> Optional[int]:
    """Read a size in bytes: a decimal number with K M G T P E, powers of 1024 as Slurm means them.

    Args:
        text: what Slurm wrote.
        bare_unit: bytes that a number without suffix counts: 1 for TRES usage, 2**20 for a node's memory.
        base: what the suffixes are powers of; energy and frequency use 1000.

    Raises:
        ValueError: it is no size; Slurm writes ``?`` for what it has no suffix for.
    """
    if is_absent(text):
        return None
    assert text is not None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r:.40} is no size")
    number, suffix = match.group(1), match.group(2).upper()
    factor = base ** _SUFFIXES[suffix] if suffix else bare_unit
    return round(float(number) * factor) if "." in number else int(number) * factor


def parse_tres(text: Optional[str]) -> Dict[str, str]:
    """Split ``cpu=4,mem=16G,gres/gpu:a100=2`` into its parts; empty for none.

    Raises:
        ValueError: a part has no ``=``.
    """
    if is_absent(text):
        return {}
    assert text is not None
    parts: Dict[str, str] = {}
    for part in filter(None, text.strip().split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r:.40} is no trackable resource")
        parts[name.strip()] = value.strip()
    return parts


def gpus_of_tres(tres: Dict[str, str]) -> Tuple[int, List[str]]:
    """Return the number of GPUs in trackable resources and their types, sorted.

    ``gres/gpu=4,gres/gpu:a100=4`` is one set told twice: the untyped total counts, else the sum of the typed ones.

    Raises:
        ValueError: a count is no number.
    """
    typed = {name[len("gres/gpu:") :]: int(value) for name, value in tres.items() if name.startswith("gres/gpu:")}
    total = int(tres["gres/gpu"]) if "gres/gpu" in tres else sum(typed.values())
    return total, sorted(name for name, count in typed.items() if count)


def parse_gres(text: Optional[str]) -> Tuple[int, List[str]]:
    """Return the number of GPUs in generic resources such as ``gpu:a100:2(S:0-1)`` and their types, sorted.

    MIG slices (``gpu:1g.10gb:7``) count; shards and MPS shares are no GPUs.

    Raises:
        ValueError: a part that begins with ``gpu`` cannot be read.
    """
    if is_absent(text):
        return 0, []
    assert text is not None
    count, types = 0, set()
    for part in split_outside(text.strip()):
        if not re.match(r"(gres[/:])?gpu(?![A-Za-z])", part):
            continue
        match = _GRES.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r:.40} is no generic resource")
        kind, number, suffix = match.groups()
        if number is None and kind is not None and kind.isdigit():
            kind, number = None, kind
        found = int(number) * {"": 1, "K": 1024, "M": 1024**2}[suffix or ""] if number is not None else 1
        count += found
        if kind and found:
            types.add(kind)
    return count, sorted(types)


def split_outside(text: str) -> List[str]:
    """Split at commas that stand outside of brackets and parentheses."""
    parts, depth, begin = [], 0, 0
    for place, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if char == "," and depth <= 0:
            parts.append(text[begin:place])
            begin = place + 1
    parts.append(text[begin:])
    return [part for part in parts if part]


def parse_exit_code(text: Optional[str]) -> Tuple[Optional[int], Optional[int]]:
    """Read ``status:signal``; a status alone has no signal told.

    Raises:
        ValueError: it is no exit code.
    """
    if is_absent(text):
        return None, None
    assert text is not None
    match = _EXIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r:.40} is no exit code")
    return int(match.group(1)), None if match.group(2) is None else int(match.group(2))


def expand_hostlist(text: Optional[str], limit: int = LARGEST_HOSTLIST) -> List[str]:
    """Return the names in ``n[001-004,7],gpu-[1-2]-ib[0-1]``; empty for none.

    Raises:
        ValueError: the list is broken, or has more than ``limit`` names.
    """
    if is_absent(text):
        return []
    assert text is not None
    names: List[str] = []
    for part in split_outside(text.strip()):
        for name in _expanded(part):
            names.append(name)
            if len(names) > limit:
                raise ValueError(f"{text!r:.40} names more than {limit} nodes")
    return names


def _expanded(part: str) -> Iterator[str]:
    match = _BRACKETS.search(part)
    if match is None:
        if "[" in part or "]" in part:
            raise ValueError(f"{part!r:.40} is no node list")
        yield part
        return
    head, rest = part[: match.start()], part[match.end() :]
    for piece in match.group(1).split(","):
        first, dash, last = piece.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"{piece!r:.40} is no range of nodes")
        for number in range(int(first), int(last or first) + 1):
            for tail in _expanded(rest) if rest else ("",):
                yield f"{head}{number:0{len(first)}d}{tail}"
