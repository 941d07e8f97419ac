"""Partitions as `sinfo` tells them: its lines, one a partition and state of nodes, become one row a partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Tuple

from nomade_pipeline.collectors.base import Rejected, Row
from nomade_pipeline.collectors.ranges import refuse_impossible
from nomade_pipeline.collectors.slurm_records import Record, count, reject, told
from nomade_pipeline.collectors.slurm_states import UNUSABLE_FLAGS, UNUSABLE_STATES, parse_node_state
from nomade_pipeline.collectors.slurm_values import parse_time_limit
from nomade_pipeline.tables.slurm_queue import SLURM_PARTITION

# What `sinfo -O` is asked for. StateComplete has every flag; releases that do not know it leave the column out.
FIELDS = ("Partition", "Available", "Time", "Nodes", "StateLong", "StateComplete", "CPUsState")

_AVAILABLE = ("up", "down", "drain", "inact")
_BY_BASE = {"ALLOCATED": "nodes_allocated", "MIXED": "nodes_mixed", "IDLE": "nodes_idle"}
_CPUS = ("cpus_allocated", "cpus_idle", "cpus_other", "cpus")
_NODES = ("nodes", "nodes_allocated", "nodes_mixed", "nodes_idle", "nodes_unavailable")


@dataclass
class _Partition:
    """One partition while its lines are added up."""

    is_default: bool = False
    state: str = "unknown"
    limit: Optional[float] = None
    nodes: Dict[str, int] = field(default_factory=lambda: dict.fromkeys(_NODES, 0))
    cpus: Dict[str, Optional[int]] = field(default_factory=lambda: dict.fromkeys(_CPUS, 0))

    def add(self, record: Record) -> None:
        """Add the nodes of one state.

        Raises:
            ValueError, KeyError: the record cannot be read, and nothing of it was added.
        """
        number = count(record["NODES"]) or 0
        cpus = _cpus(record, number)
        state = _kind(told(record, "STATECOMPLETE") or record["STATE"], cpus)
        limit = parse_time_limit(record.get("TIMELIMIT"))[1]
        self.nodes["nodes"] += number
        self.nodes[state] += number
        for name, value in cpus.items():
            sum_before = self.cpus[name]
            self.cpus[name] = None if value is None or sum_before is None else sum_before + value
        self.is_default |= record["PARTITION"].endswith("*")
        self.state = next((word for word in _AVAILABLE if word == record.get("AVAIL")), "unknown")
        self.limit = limit


def partitions_of(records: Iterable[Record]) -> Tuple[List[Row], List[Rejected]]:
    """Return the rows of `slurm_partition` in records by title, and the records that could not be read."""
    found: Dict[str, _Partition] = {}
    rejected: List[Rejected] = []
    for record in records:
        try:
            if told(record, "PARTITION") is None:
                # A node that is in no partition.
                continue
            name = record["PARTITION"].rstrip("*")
            partition = found.get(name) or _Partition()
            partition.add(record)
            found[name] = partition
        except (ValueError, KeyError) as error:
            rejected.append(reject(record, error))
    rows = []
    for name, partition in found.items():
        row = {
            "partition": name,
            "state": partition.state,
            "is_default": partition.is_default,
            **partition.nodes,
            **partition.cpus,
            "time_limit_seconds": partition.limit,
        }
        try:
            rows.append(refuse_impossible(SLURM_PARTITION, row))
        except ValueError as error:
            rejected.append(Rejected(str(row), str(error)))
    return rows, rejected


def _cpus(record: Record, nodes: int) -> Dict[str, Optional[int]]:
    """Return the CPUs of a line by what they do; None where it does not tell.

    Raises:
        ValueError: they are no numbers.
    """
    by_state = told(record, "CPUS(A/I/O/T)")
    if by_state is not None:
        numbers = [count(part) for part in by_state.split("/")]
        if len(numbers) != len(_CPUS):
            raise ValueError(f"{by_state!r:.40} is not allocated/idle/other/total")
        return dict(zip(_CPUS, numbers))
    each = told(record, "CPUS")
    # `8+` is the smallest number of several.
    total = None if each is None or each.endswith("+") else (count(each) or 0) * nodes
    return {**dict.fromkeys(_CPUS, None), "cpus": total}


def _kind(text: str, cpus: Dict[str, Optional[int]]) -> str:
    """Return the column in which nodes of a state count.

    Some words (`completing`, `reserved`, `powering_up`) do not tell whether CPUs are in use: then the CPUs tell it.

    Raises:
        ValueError: it is no state of a node.
    """
    found = parse_node_state(text)
    if not text or not text[0].isalpha():
        raise ValueError(f"{text!r:.40} is no state of a node: the columns are shifted")
    if found.state in UNUSABLE_STATES or UNUSABLE_FLAGS.intersection(found.flags):
        return "nodes_unavailable"
    if found.state in _BY_BASE:
        return _BY_BASE[found.state]
    if not cpus["cpus_allocated"]:
        return "nodes_idle"
    return "nodes_mixed" if cpus["cpus_idle"] else "nodes_allocated"
