"""Fairshare and priorities, as `sshare` and `sprio` tell them."""

from __future__ import annotations

import re
from functools import partial
from typing import List, Optional, Tuple

from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.collectors.slurm_records import Record, rows_of, told
from nomade_pipeline.collectors.slurm_tables import Table
from nomade_pipeline.tables.slurm_queue import SLURM_PRIORITY, SLURM_SHARE

SSHARE = (
    "sshare", "-a", "-m", "-P", "-o", "Account,User,Partition,RawShares,NormShares,RawUsage,EffectvUsage,FairShare",
)  # fmt: skip

# The letters of `sprio -o` for what table slurm_priority holds.
SPRIO_LETTERS = "iruYSABFJPQNT"

_POINTS = {
    "priority": "PRIORITY",
    "site": "SITE",
    "age": "AGE",
    "association": "ASSOC",
    "fairshare_points": "FAIRSHARE",
    "job_size": "JOBSIZE",
    "qos_points": "QOS",
    "nice": "NICE",
}
_WHOLE = re.compile(r"-?\d+")


def sprio_command(mark: str) -> Tuple[str, ...]:
    """Return the command for the priorities of all waiting jobs, each field followed by the mark."""
    return ("sprio", "-o", "".join(f"%{letter}{mark}" for letter in SPRIO_LETTERS))


def shares_of(table: Table) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of `slurm_share` in a table of sshare, and the records that could not be read."""
    return rows_of(table.rows, _share, SLURM_SHARE)


def priorities_of(table: Table) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of `slurm_priority` in a table of sprio, and the records that could not be read.

    Two columns are called PARTITION: before PRIORITY it is the partition, after it its points.
    """
    own = table.titles.index("PRIORITY") if "PRIORITY" in table.titles else len(table.titles)
    name = points = ""
    for place, title in enumerate(table.titles):
        if title.startswith("PARTITION"):
            name, points = (title, points) if place < own else (name, title)
    return rows_of(table.rows, partial(_priority, name=name, points=points), SLURM_PRIORITY)


def _share(record: Record) -> Row:
    share = _ratio(told(record, "NORMSHARES"))
    usage = _ratio(told(record, "EFFECTVUSAGE"))
    raw = told(record, "RAWSHARES")
    return {
        # Blanks before the name show the place in the tree.
        "account": record["ACCOUNT"].strip(),
        "user": record["USER"].strip(),
        "partition": told(record, "PARTITION") or "",
        "raw_shares": int(raw) if raw is not None and raw != "parent" else None,
        "share_ratio": share,
        "raw_usage_seconds": _ratio(told(record, "RAWUSAGE")),
        "usage_ratio": usage,
        "fairshare": _ratio(told(record, "FAIRSHARE")),
        "usage_per_share_ratio": usage / share if share and usage is not None else None,
    }


def _ratio(text: Optional[str]) -> Optional[float]:
    """Read a number; None for none and for `inf` and `nan`, which Slurm writes for a division by zero."""
    return None if text is None or text.lower() in ("inf", "nan", "-nan") else float(text)


def _priority(record: Record, name: str, points: str) -> Row:
    titles = {**_POINTS, "partition_points": points}
    return {
        "job_id_raw": record["JOBID"],
        "partition": told(record, name) or "",
        "user": told(record, "USER"),
        **{column: _points(told(record, title)) for column, title in titles.items()},
        "tres": told(record, "TRES"),
    }


def _points(text: Optional[str]) -> Optional[float]:
    """Read points.

    Raises:
        ValueError: it is no whole number: a normalised priority (`sprio -n`) is no number of points.
    """
    if text is None:
        return None
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text!r:.40} is no number of points; the normalised ones of `sprio -n` are not read")
    return float(text)
