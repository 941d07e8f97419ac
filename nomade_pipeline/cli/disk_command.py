"""`nomade disk [PATH]`: one file system, how it has filled and when it is full; or all of them."""

from __future__ import annotations

from typing import Any, Mapping

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import (
    NULL,
    age_text,
    bar,
    cluster_name,
    echo_json,
    faint,
    heading,
    number,
    printable,
    size_text,
    table,
    warn,
    width,
)
from nomade_pipeline.cli.plot import plot
from nomade_pipeline.cli.trend_screen import COUNT, GIGABYTES, limit_word, rate_text, trend_lines
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.filesystem import look
from nomade_pipeline.status.trends import trends_now

FULL = "Full"


@click.command(
    "disk",
    epilog="\b\nExamples:\n  nomade disk\n  nomade disk /home\n  nomade disk / --hours 24\n  nomade disk / --json",
)
@click.argument("path", required=False)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True, max=87600),
    default=168,
    show_default=True,
    help="How far back; the trend is fitted to this.",
)
@click.option("--host", metavar="NAME", help="Whose reading; default: this host's, else any.")
@json_option
@pass_invocation
def disk_command(invocation: Invocation, path: str | None, hours: float, host: str | None, as_json: bool) -> int:
    """Show space and inodes of the file system that holds PATH, how they change and when it is full.

    Without PATH: the trends of all file systems over the last week.
    """
    found = _all(invocation) if path is None else look(invocation.config, path, hours, clock.now(), host)
    if as_json:
        echo_json(found)
    elif isinstance(found, dict):
        _show(found, str(path))
    else:
        click.echo(table(HEADERS, map(_row, found), right=HEADERS[3:5]))
    return FINE


HEADERS = ("cluster", "file system", "trend", "used", "rate", "full")


def _all(invocation: Invocation) -> list[dict[str, Any]]:
    """Return the trends of the space of all file systems.

    Raises:
        NoData: nothing has been rolled up.
    """
    rows = [row for row in trends_now(invocation.config, "disk", clock.now()) if row["metric"] == "used_bytes"]
    if not rows:
        raise NoData(f"no file system has been rolled up below {invocation.paths.root}", "`nomade ingest` does that")
    return rows


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    known = row["rate_per_day"] is not None
    return (
        cluster_name(row["cluster"]),
        row["subject"],
        row["ok_word"] or row["trend"],
        f"{size_text(row['value'])} of {size_text(row['limit'])}" if known else None,
        rate_text(row, GIGABYTES) if known else None,
        limit_word(row) if known and row["limit"] is not None else None,
    )


def _show(found: Mapping[str, Any], asked: str) -> None:
    """Print the screen, and say when it is of another path than the one asked for."""
    place = f"{printable(found['path'])} on {cluster_name(found['cluster'])} / {printable(found['host'])}"
    about = ", ".join(printable(found[name]) for name in ("fstype", "mount", "filesystem_id") if found[name])
    click.echo(f"{heading(place)}  {faint(about)}")
    if found["path"] != asked:
        click.echo(warn(f"no reading of {printable(asked)} itself; this is the file system that would hold it"))
    if found["stale"]:
        click.echo(warn(f"stale: {age_text(found['age_seconds'])} old"))
    if found["status"] != "ok":
        click.echo(warn(f"{found['status']}: {printable(found['message'] or 'no figures')}"))
    percent = found["used_percent"]
    if percent is not None:
        click.echo(f"  {bar(percent)} {number(percent, '.1f', '%')}")
    for label, name in (
        ("Total", "total_bytes"),
        ("Used", "used_bytes"),
        ("Free", "free_bytes"),
        ("Available", "available_bytes"),
    ):
        click.echo(f"  {label:<12} {size_text(found[name])}")
    click.echo(f"  {'Inodes':<12} {_inodes(found)}")
    _show_history(found)


def _inodes(found: Mapping[str, Any]) -> str:
    used, total, share = (found[name] for name in ("inodes_used", "inodes_total", "inodes_used_percent"))
    return f"{number(used, ',d')} of {number(total, ',d')} ({number(share, '.1f', '%')})" if used is not None else NULL


def _show_history(found: Mapping[str, Any]) -> None:
    """Print what the readings tell."""
    values = [float(point["used_bytes"]) for point in found["history"] if point["used_bytes"] is not None]
    click.echo(heading(f"Last {found['hours']:g} hours:") + faint(f" {len(values)} readings"))
    if not values:
        click.echo(faint(f"  {NULL} none with figures"))
        return
    click.echo(f"  {'First':<12} {size_text(found['first_used_bytes'])}  {faint(_local(found['first_time']))}")
    click.echo(f"  {'Last':<12} {size_text(found['last_used_bytes'])}  {faint(_local(found['last_time']))}")
    click.echo(f"  {'Rate':<12} {_rate(found['rate_bytes_per_day'], 1e9, ' GB/day')}")
    click.echo(f"  {'Inode rate':<12} {_rate(found['rate_inodes_per_day'], 1.0, ' a day')}")
    if min(values) == max(values):
        click.echo(faint("  unchanged"))
    click.echo("\n".join([heading("Trend:"), *trend_lines(found["trend"], GIGABYTES, FULL)]))
    if found["inode_trend"] is not None and found["inode_trend"]["trend"] not in ("stable", "unknown"):
        click.echo("\n".join([heading("Inodes:"), *trend_lines(found["inode_trend"], COUNT, FULL)]))
    if len(values) > 1:
        points = [(p["time"], p["used_bytes"]) for p in found["history"] if p["used_bytes"] is not None]
        click.echo(faint("  GB used, and where that leads (dotted: 90 % interval)"))
        click.echo(plot(points, found["trend"], GIGABYTES.factor, width()))


def _rate(rate: float | None, factor: float, unit: str) -> str:
    return f"{NULL} (too little time between the readings)" if rate is None else f"{rate / factor:+,.2f}{unit}"


def _local(text: str) -> str:
    return clock.from_text(text).astimezone().strftime("%Y-%m-%d %H:%M %Z")
