"""`nomade nodes`: the nodes' states, and when they were out of use."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import (
    NULL,
    age_text,
    bad,
    cluster_name,
    echo_json,
    faint,
    good,
    heading,
    pad,
    printable,
    table,
    warn,
)
from nomade_pipeline.cli.since import since_option
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.nodes import history, nodes

HINT = "`nomade collect --once -C node_state` asks Slurm; `nomade up` or `nomade collect` on the head node keeps asking"


@click.command(
    "nodes",
    epilog="\b\nExamples:\n  nomade nodes\n  nomade nodes --out\n  nomade nodes --history --since 7d\n"
    "  nomade nodes --json",
)
@click.option("--out", is_flag=True, help="Only nodes that are out of use.")
@click.option("--partition", metavar="NAME", help="Only nodes of this partition.")
@click.option("--node", default="", metavar="NAME", help="Only this node.")
@click.option("--history", "past", is_flag=True, help="When nodes were out of use, why, and who took them out.")
@since_option("7d")
@json_option
@pass_invocation
def nodes_command(
    invocation: Invocation,
    out: bool,
    partition: str | None,
    node: str,
    past: bool,
    since: datetime,
    as_json: bool,
) -> int:
    """Show the state of the nodes: allocation, load, memory, GPUs, and why one is out of use."""
    if past:
        return _show_history(invocation, since, node, as_json=as_json)
    found = nodes(invocation.config, clock.now())
    if not found:
        raise NoData(f"no node state has been collected below {invocation.paths.root}", HINT)
    for cluster in found:
        cluster["nodes"] = [row for row in cluster["nodes"] if _is_wanted(row, node, partition, out=out)]
    if as_json:
        echo_json(found)
        return FINE
    for cluster in found:
        mark = bad(f"stale: {age_text(cluster['age_seconds'])} old") if cluster["stale"] else good("now")
        click.echo(f"{heading(cluster_name(cluster['cluster']))}  {len(cluster['nodes'])} nodes  {mark}")
        click.echo("\n".join(line for row in cluster["nodes"] for line in node_lines(row)))
    return FINE


def _is_wanted(row: Mapping[str, Any], node: str, partition: str | None, *, out: bool) -> bool:
    in_partition = partition is None or partition in (row["partitions"] or "").split(",")
    return in_partition and node in ("", row["node"]) and not (out and row["usable"])


def node_lines(row: Mapping[str, Any], width: int = 16) -> list[str]:
    """Return one node as a line, and a second one with the reason when it is out of use."""
    state = pad(printable(row["state_raw"]), 20)
    colour = good if row["usable"] else bad
    gpus = f"  GPU: {_share(row['gpus_allocated'], row['gpus'], shown=False)}" if row["gpus"] else ""
    load = NULL if row["cpu_load"] is None else f"{row['cpu_load']:.2f}"
    memory = _percent(row["memory_allocated_bytes"], row["memory_bytes"])
    place = f"  {pad(printable(row['node']), width)} {colour(state)}"
    lines = [f"{place} CPU: {_share(row['cpus_allocated'], row['cpus'])}  Mem: {memory}  Load: {load}{gpus}"]
    if row["reason"]:
        who = f" ({printable(row['reason_user'])}{_since(row['reason_time'])})" if row["reason_user"] else ""
        lines.append(warn(f"    └─ Reason: {printable(row['reason'])}") + faint(who))
    return lines


def _since(text: str | None) -> str:
    return "" if text is None else f", {clock.from_text(text).astimezone():%Y-%m-%d %H:%M %Z}"


def _percent(part: float | None, whole: float | None) -> str:
    return NULL if part is None or not whole else f"{100 * part / whole:.0f}%"


def _share(part: int | None, whole: int | None, *, shown: bool = True) -> str:
    if part is None or whole is None:
        return NULL
    return f"{part}/{whole} ({_percent(part, whole)})" if shown else f"{part}/{whole}"


def _show_history(invocation: Invocation, since: datetime, node: str, *, as_json: bool) -> int:
    rows, problem = history(invocation.config, since, node)
    if problem:
        raise NoData(problem, "`nomade ingest` brings it up to date")
    if as_json:
        echo_json(rows)
        return FINE
    if not rows:
        click.echo(f"no node was out of use since {since.astimezone():%Y-%m-%d %H:%M %Z}, as far as was collected")
        return FINE
    headers = ("node", "state", "since", "until", "for", "reason", "by")
    click.echo(table(headers, [_history_row(row) for row in rows]))
    return FINE


def _history_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    since, until = (
        f"{clock.from_text(row[name]).astimezone():%Y-%m-%d %H:%M}" for name in ("since_time", "until_time")
    )
    return (row["node"], row["availability"], since, until, age_text(row["seconds"]), row["reason"], row["reason_user"])
