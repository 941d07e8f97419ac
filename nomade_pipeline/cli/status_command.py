"""`nomade status`: the present state on one screen."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Iterator, Mapping, Sequence

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import (
    NULL,
    age_text,
    bad,
    cells,
    cluster_name,
    echo_json,
    faint,
    good,
    heading,
    number,
    pad,
    printable,
    shorten,
    shorten_end,
    table,
    warn,
    width,
)
from nomade_pipeline.cli.status_alerts import alert_lines
from nomade_pipeline.cli.status_screen import host_lines, percent_text
from nomade_pipeline.cli.status_slurm import slurm_lines
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.overview import overview
from nomade_pipeline.tables.contract import is_simulated

# What the summary names of a host's file systems; an absent one may be meant to be.
TROUBLE = ("hung", "denied", "error")
# More hosts than this are summarised, a line each.
MOST_FULL_HOSTS = 3


@click.command(
    "status",
    epilog="\b\nExamples:\n  nomade status\n  nomade status --host 'node0*'\n  nomade status --watch 5\n"
    "  nomade status --json",
)
@click.option(
    "--host", "hosts", multiple=True, metavar="NAME", help="Only this host; a shell pattern; may be repeated."
)
@click.option(
    "--watch", type=click.FloatRange(min=0.5), metavar="SECONDS", help="Show it again every SECONDS, until Ctrl-C."
)
@json_option
@pass_invocation
def status_command(invocation: Invocation, hosts: tuple[str, ...], watch: float | None, as_json: bool) -> int:
    """Show the present state of file systems, I/O, CPUs, memory and collectors.

    What is older than three intervals is marked stale; what is missing names the command that produces it.
    """
    if watch is None:
        _show(invocation, hosts, as_json=as_json)
        return FINE
    try:
        while True:
            _show_again(invocation, hosts, as_json=as_json)
            time.sleep(watch)
    except KeyboardInterrupt:
        return FINE


def _show(invocation: Invocation, hosts: Sequence[str], *, as_json: bool) -> None:
    now = clock.now()
    found = overview(invocation.config, now, hosts)
    if as_json:
        echo_json(found)
    else:
        click.echo("\n".join(screen(found, now, width())))


def _show_again(invocation: Invocation, hosts: Sequence[str], *, as_json: bool) -> None:
    """Show one round of a watch; an empty installation may fill while it is watched."""
    if not as_json:
        click.clear()
    try:
        _show(invocation, hosts, as_json=as_json)
    except NoData as nothing:
        click.echo(printable(nothing))


def screen(found: Mapping[str, Any], now: datetime, columns: int) -> list[str]:
    """Return the whole screen as lines."""
    hosts = found["hosts"]
    lines = [heading("═══ NØMADE Status ═══"), faint(f"{_local(now)} · {printable(found['data_dir'])}")]
    lines.extend(bad(f"! {printable(problem)}") for problem in found["problems"])
    lines.extend(alert_lines(found, columns))
    if len(hosts) <= MOST_FULL_HOSTS:
        for host in hosts:
            lines.extend(["", _host_title(host), *host_lines(host, columns)])
    else:
        lines.extend(["", *_summary(hosts, columns)])
    lines.extend(slurm_lines(found, columns))
    lines.extend(_collection(hosts, now, columns))
    return lines


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _host_title(host: Mapping[str, Any]) -> str:
    name = f"{cluster_name(host['cluster'])} / {printable(host['host'])}"
    return f"{heading(name)}  {_freshness(host)}"


def _freshness(host: Mapping[str, Any]) -> str:
    """Say how old a host's newest sample is."""
    age = host["age_seconds"]
    if age is None:
        return bad("no reading yet")
    if host["stale"]:
        again = (
            "does its agent run? `nomade logs` or `nomade collect` there tells" if age >= 0 else "is its clock right?"
        )
        return bad(f"stale: newest sample {age_text(age)}{' old' if age >= 0 else ''}; {again}")
    return good(f"newest sample {age_text(max(0.0, age))} old")


def _summary(hosts: Sequence[Mapping[str, Any]], columns: int) -> Iterator[str]:
    """Yield a line a host, those that need a look first."""
    headers = ("host", "age", "busy", "iowait", "mem free", "pressure", "fullest", "trouble")
    clusters = {host["cluster"] for host in hosts}
    several = len(clusters) > 1 or any(map(is_simulated, clusters))
    rows = [_summary_row(host, columns, several=several) for host in hosts]
    # A stale host first, then one with trouble.
    order = sorted(range(len(hosts)), key=lambda i: (not hosts[i]["stale"], not rows[i][-1], rows[i][0]))
    yield heading(f"Hosts: {len(hosts)}, {sum(host['stale'] for host in hosts)} stale; `--host NAME` shows one in full")
    yield table(headers, [rows[i] for i in order], right=headers[1:6])


def _summary_row(host: Mapping[str, Any], columns: int, *, several: bool) -> tuple[str, ...]:
    memory, files = host["memory"], host["filesystems"].get("filesystems", ())
    available, total = memory.get("memory_available_bytes"), memory.get("memory_total_bytes")
    full = [row for row in files if row["used_percent"] is not None]
    worst = max(full, key=lambda row: float(row["used_percent"]), default=None)
    trouble = [record["collector"] for record in host["collection"] if record["last_outcome"] == "failed"]
    trouble += [f"{row['status']} {printable(row['path'])}" for row in files if row["status"] in TROUBLE]
    age = NULL if host["age_seconds"] is None else age_text(host["age_seconds"])
    fullest = NULL if worst is None else shorten(printable(worst["path"]), max(8, columns // 8))
    return (
        f"{cluster_name(host['cluster'])}/{host['host']}" if several else host["host"],
        f"{age} !" if host["stale"] else age,
        number(host["cores"].get("busy_percent"), ".1f", "%"),
        number(host["cpu"].get("iowait_percent"), ".1f", "%"),
        number(100 * available / total if available is not None and total else None, ".0f", "%"),
        number(memory.get("memory_pressure"), ".2f"),
        fullest if worst is None else f"{fullest} {percent_text(worst['used_percent'])}",
        shorten_end(", ".join(trouble), max(10, columns // 4)),
    )


def _collection(hosts: Sequence[Mapping[str, Any]], now: datetime, columns: int) -> Iterator[str]:
    """Yield a line a collector: runs, success, and the last reason why there was none."""
    yield heading("Collection:") + faint(" (last 24 hours)")
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for host in hosts:
        for record in host["collection"]:
            by_name.setdefault(record["collector"], []).append(record)
    if not by_name:
        yield faint(f"  {NULL} no run is recorded")
    for name, group in by_name.items():
        yield _collector_line(name, group, now, columns)


def _collector_line(name: str, group: Sequence[Mapping[str, Any]], now: datetime, columns: int) -> str:
    runs, succeeded = sum(record["runs"] for record in group), sum(record["succeeded"] for record in group)
    skipped, missing = sum(record["skipped"] for record in group), sum(record["missing"] for record in group)
    start = f"  {pad(printable(name), 15)} {runs:>6} runs"
    reason = next(
        (record["reason"] for record in group if record["reason"] and (record["failed"] or not record["runs"])), None
    )
    if not runs:
        said = f"skipped: {printable(reason or 'nothing to collect')}" if skipped else _last_seen(group, now)
        return faint(f"{start}  {shorten_end(said, columns - len(start) - 2)}")
    share = 100 * succeeded / runs
    # Only what never failed says 100 %.
    success = f"  {'100' if succeeded == runs else f'{min(share, 99.9):.1f}'}% success"
    colour = good if succeeded == runs else bad if share < 95 else warn
    absent = f"  {missing} missing" if missing else ""
    left = columns - cells(start + success + absent) - 2
    told = "  " + shorten_end(printable(reason), left) if reason and left >= 12 else ""
    return start + colour(success) + warn(absent) + faint(told)


def _last_seen(group: Sequence[Mapping[str, Any]], now: datetime) -> str:
    times = [clock.from_text(record["last_time"]) for record in group if record["last_time"] is not None]
    return f"last run {age_text((now - max(times)).total_seconds())} ago" if times else "no run"
