"""Nodes as `scontrol show node` and Slurm's JSON tell them: words by scontrol's names become rows of `node_state`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple, TypeVar

from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.slurm_records import Record, told
from nomade_pipeline.collectors.slurm_states import parse_node_state
from nomade_pipeline.collectors.slurm_values import gpus_of_tres, parse_gres, parse_time, parse_tres
from nomade_pipeline.tables.nodes import NODE_STATE

Told = TypeVar("Told")

_MEBIBYTE = 2**20
# What people write stands at the end, behind every word that is read.
_REASON = " Reason="
_FREE_TEXTS = (_REASON, " Comment=", " Extra=")
_STAMP = re.compile(r" \[([^ \[\]@]+)@([^ \[\]@]+)\](?= |$)")


@dataclass(frozen=True)
class Reason:
    """Why a node is drained or down: the admin's words, who set them, and when."""

    text: Optional[str] = None
    user: Optional[str] = None
    time: Optional[datetime] = None


def split_record(text: str) -> Tuple[Dict[str, str], Reason]:
    """Return the words and the reason in what `scontrol show node` printed of one node, on one line or several.

    A reason may hold words of scontrol's own form: nothing behind the first `Reason=`, `Comment=` or `Extra=` is read
    as a word, nor is the text of the operating system, which holds blanks.
    """
    line = " ".join(text.split())
    system = line.find(" OS=")
    if system >= 0:
        line = line[:system] + line[line.find(" RealMemory=", system) :]
    places = [place for place in map(line.find, _FREE_TEXTS) if place >= 0]
    end = min(places, default=len(line))
    # From behind, so that the first word of a name counts.
    words = dict(word.split("=", 1) for word in reversed(line[:end].split(" ")) if "=" in word)
    tail = line[end:]
    return words, split_reason(tail[len(_REASON) :]) if tail.startswith(_REASON) else Reason()


def split_reason(text: str) -> Reason:
    """Split `bad disk [root@1795501805]` into text, author and time.

    The author is in the last brackets that have the form of Slurm's stamp. A time without a year is not told.
    """
    stamps = list(_STAMP.finditer(text))
    if not stamps:
        return Reason(text or None)
    for stamp in reversed(stamps):
        try:
            return Reason(text[: stamp.start()] or None, stamp.group(1), parse_time(stamp.group(2)))
        except ValueError:
            continue
    return Reason(text[: stamps[-1].start()] or None, stamps[-1].group(1))


def node_row(words: Record, reason: Reason) -> Row:
    """Return the row of one node.

    Raises:
        ValueError: a value cannot be read.
        KeyError: the node has no name or no state.
    """
    state = _state(words["State"])
    gpus, allocated, types = _gpus(words)
    return {
        "node": words["NodeName"],
        "node_host": (told(words, "NodeHostName") or "").split(".")[0].lower() or None,
        "state_raw": words["State"],
        "state": state.state,
        "flags": ",".join(state.flags) or None,
        "responding": int(state.responding),
        "usable": int(state.usable),
        "drained": int(state.drained),
        "partitions": _sorted(told(words, "Partitions")),
        "reason": reason.text,
        "reason_user": reason.user,
        "reason_time": reason.time,
        "cpus": _number(told(words, "CPUTot") or told(words, "CPUs")),
        "cpus_allocated": _number(told(words, "CPUAlloc") or told(words, "AllocCPUs")),
        "cpu_load": _load(told(words, "CPULoad")),
        "memory_bytes": _bytes(told(words, "RealMemory")),
        "memory_allocated_bytes": _bytes(told(words, "AllocMem")),
        "memory_free_bytes": _bytes(told(words, "FreeMem")),
        "gpus": gpus,
        "gpus_allocated": allocated,
        "gpu_types": ",".join(types) or None,
        "gres": told(words, "Gres"),
        "features": told(words, "ActiveFeatures") or told(words, "Features"),
        "version": told(words, "Version"),
        "boot_time": _time(words.get("BootTime")),
        "slurmd_start_time": _time(words.get("SlurmdStartTime")),
        "last_busy_time": parse_time(words.get("LastBusyTime")),
    }


def rows_of_nodes(
    records: Iterable[Told], take_apart: Callable[[Told], Tuple[Dict[str, str], Reason]]
) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of `node_state`, and the nodes that could not be read, each with the reason.

    Args:
        records: what is told of each node.
        take_apart: makes words and the reason of it.
    """
    rows: List[Row] = []
    rejected: List[Rejected] = []
    seen = set()
    for record in records:
        try:
            row = refuse_impossible(NODE_STATE, node_row(*take_apart(record)))
        except (ValueError, KeyError) as error:
            why = f"there is no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            rejected.append(Rejected(str(record), why))
            continue
        if row["node"] in seen:
            rejected.append(Rejected(row["node"], f"node {row['node']!r:.60} is listed twice"))
            continue
        seen.add(row["node"])
        rows.append(row)
    return rows, rejected


# Thousands of nodes share a few states, lists of partitions and resources.
_state = lru_cache(maxsize=512)(parse_node_state)
_time = lru_cache(maxsize=512)(parse_time)


@lru_cache(maxsize=512)
def _sorted(names: Optional[str]) -> Optional[str]:
    return None if names is None else ",".join(sorted(names.split(",")))


def _number(text: Optional[str]) -> Optional[int]:
    return None if text is None else int(text)


def _bytes(text: Optional[str]) -> Optional[int]:
    return None if text is None else int(text) * _MEBIBYTE


def _load(text: Optional[str]) -> Optional[float]:
    return None if text is None else float(text)


def _gpus(words: Record) -> Tuple[Optional[int], Optional[int], Sequence[str]]:
    """Return how many GPUs a node has, how many are allocated, and their types.

    Only a site that accounts for GPUs has them among the trackable resources; `GresUsed` is told with `-d`.
    """
    configured, types = _gres(told(words, "Gres") or "")
    total = _tres_gpus(told(words, "CfgTRES") or "")
    if total is not None:
        return total, _tres_gpus(told(words, "AllocTRES") or "") or 0, types
    if configured == 0:
        return 0, 0, ()
    used = told(words, "GresUsed")
    return configured, None if used is None else _gres(used)[0], types


_gres = lru_cache(maxsize=512)(parse_gres)


@lru_cache(maxsize=512)
def _tres_gpus(text: str) -> Optional[int]:
    """Return the GPUs in trackable resources; None when GPUs are none of them."""
    tres = parse_tres(text)
    return gpus_of_tres(tres)[0] if any(name.startswith("gres/gpu") for name in tres) else None
