"""Queue and nodes on the status screen, in the reference's layout."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterator, Mapping, Sequence

from nomade_pipeline.cli.nodes_command import node_lines
from nomade_pipeline.cli.output import (
    NULL,
    age_text,
    bad,
    cluster_name,
    faint,
    heading,
    pad,
    printable,
    shorten,
    shorten_end,
    warn,
)
from nomade_pipeline.tables.contract import is_simulated

# More nodes than this are summarised; those out of use are named.
MOST_NODES, MOST_OUT_OF_USE = 16, 8


def slurm_lines(found: Mapping[str, Any], columns: int) -> Iterator[str]:
    """Yield the sections Queue and Nodes of all clusters."""
    yield heading("Queue:") + _mark(found["queue"])
    if not found["queue"]:
        yield _missing(found, "queue", columns)
    for queue in found["queue"]:
        yield from _queue_lines(queue, several=len(found["queue"]) > 1 or is_simulated(queue["cluster"]))
    yield heading("Nodes:") + _mark(found["nodes"])
    if not found["nodes"]:
        yield _missing(found, "nodes", columns)
    for cluster in found["nodes"]:
        yield from _node_lines(cluster["nodes"])


def _mark(parts: Sequence[Mapping[str, Any]]) -> str:
    stale = [part["age_seconds"] for part in parts if part["stale"]]
    return f" {warn(f'(stale: {age_text(max(stale))} old)')}" if stale else ""


def _missing(found: Mapping[str, Any], name: str, columns: int) -> str:
    return faint(f"  {NULL} {shorten_end(printable(found['notes'][name]), columns - 4)}")


def _queue_lines(queue: Mapping[str, Any], *, several: bool) -> Iterator[str]:
    """Yield a line a partition, and one for a scheduler that does not answer."""
    scheduler = queue["scheduler"]
    if scheduler is not None and not scheduler["controller_up"]:
        yield bad("  the scheduler does not answer")
    if scheduler is not None and scheduler["dbd_up"] is False:
        yield bad("  slurmdbd does not answer")
    for row in queue["partitions"]:
        if row.get("running_jobs") is None:
            continue
        name = f"{cluster_name(queue['cluster'])}/{row['partition']}" if several else row["partition"]
        state = "" if row.get("state") in (None, "up") else warn(f"  {row['state']}")
        size = 32 if is_simulated(queue["cluster"]) else 15
        label = pad(shorten(printable(name), size), size)
        yield f"  {label} Running: {row['running_jobs']:>4}  Pending: {row['pending_jobs']:>4}{state}"


def _node_lines(nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield each node of a small cluster, or the states of a large one and the nodes that are out of use."""
    if len(nodes) <= MOST_NODES:
        for row in nodes:
            yield from node_lines(row)
        return
    states = Counter(row["state"] or "other" for row in nodes if row["usable"])
    out = [row for row in nodes if not row["usable"]]
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    yield f"  {len(nodes)} nodes: {told or 'none in use'}" + (f", {bad(f'{len(out)} out of use')}" if out else "")
    for row in out[:MOST_OUT_OF_USE]:
        yield from node_lines(row)
    if len(out) > MOST_OUT_OF_USE:
        yield faint(f"  … {len(out) - MOST_OUT_OF_USE} more: `nomade nodes --out`")
