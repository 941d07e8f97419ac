"""`nomade disk PATH`: one file system and how it has filled."""

from __future__ import annotations

from typing import Any, Mapping

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import (
    NULL,
    age_text,
    bar,
    echo_json,
    faint,
    heading,
    number,
    printable,
    size_text,
    spark,
    warn,
    width,
)
from nomade_pipeline.status.filesystem import look


@click.command(
    "disk", epilog="\b\nExamples:\n  nomade disk /home\n  nomade disk /scratch --hours 168\n  nomade disk / --json"
)
@click.argument("path")
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True, max=87600),
    default=24,
    show_default=True,
    help="How far back.",
)
@click.option("--host", metavar="NAME", help="Whose reading; default: this host's, else any.")
@json_option
@pass_invocation
def disk_command(invocation: Invocation, path: str, hours: float, host: str | None, as_json: bool) -> int:
    """Show space and inodes of the file system that holds PATH, and how they have changed.

    The rate is the plain difference between the first and the last reading.
    """
    found = look(invocation.config, path, hours, clock.now(), host)
    if as_json:
        echo_json(found)
    else:
        _show(found, path)
    return FINE


def _show(found: Mapping[str, Any], asked: str) -> None:
    """Print the screen, and say when it is of another path than the one asked for."""
    place = f"{printable(found['path'])} on {printable(found['cluster'])} / {printable(found['host'])}"
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
    if len(values) > 1:
        click.echo(f"  {'Used':<12} {spark(values, width() - 16)}")
        if min(values) == max(values):
            click.echo(faint("  unchanged"))


def _rate(rate: float | None, factor: float, unit: str) -> str:
    return f"{NULL} (too little time between the readings)" if rate is None else f"{rate / factor:+,.2f}{unit}"


def _local(text: str) -> str:
    return clock.from_text(text).astimezone().strftime("%Y-%m-%d %H:%M %Z")
