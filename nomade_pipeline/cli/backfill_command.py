"""`nomade backfill`: history that other tools have kept."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, faint, table
from nomade_pipeline.errors import NoData

_DATE = click.DateTime(formats=["%Y-%m-%d"])

# sysstat keeps its archives for a month unless it is told otherwise.
USUAL_DAYS = 28


@click.command("backfill", epilog="\b\nExamples:\n  nomade backfill\n  nomade backfill --since 2026-01-01")
@click.option("--since", type=_DATE, metavar="DATE", help=f"First UTC day; {USUAL_DAYS} days ago unless given.")
@click.option("--until", type=_DATE, metavar="DATE", help="Last UTC day; yesterday unless given.")
@json_option
@pass_invocation
def backfill_command(invocation: Invocation, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Fill the past of iostat, mpstat and vmstat on this host from sysstat's archives.

    Only hours without samples of this host are filled, so doing it again changes nothing. The history
    of jobs comes with the Slurm collectors, in a later version.
    """
    yesterday = clock.today() - timedelta(days=1)
    last = min(until.date() if until else yesterday, yesterday)
    first = since.date() if since else last - timedelta(days=USUAL_DAYS - 1)
    if first > last:
        raise click.UsageError(f"--since {first} is after {last}; today is the ingest's business")
    by_day = _fill(invocation, [first + timedelta(days=day) for day in range((last - first).days + 1)])
    rows = {name: sum(days.values()) for name, days in by_day.items()}
    _report(invocation, by_day)
    if as_json:
        echo_json({"since": first.isoformat(), "until": last.isoformat(), "rows": rows})
    elif rows:
        click.echo(table(("table", "rows added"), list(rows.items()), right=("rows added",)))
    else:
        raise NoData(
            f"no archive of sysstat holds hours of {first} to {last} that are missing here",
            "Debian ships sysstat's archive switched off: set ENABLED=true in /etc/default/sysstat",
        )
    if not as_json:
        click.echo(faint(f"{first} to {last}; `nomade tables` shows what there is"))


def _report(invocation: Invocation, added: dict[str, dict[date, int]]) -> None:
    """Let Dagster's catalogue show the partitions that were written."""
    if not added:
        return
    from nomade_pipeline.resources import report_past_days
    from nomade_pipeline.tables.catalog import raw_table_named

    lake, cluster = invocation.store.lake, invocation.config.general.cluster_name
    held = {
        name: {day: lake.count(raw_table_named(name), cluster, day) for day in days} for name, days in added.items()
    }
    report_past_days(invocation.paths.dagster_home, held)


def _fill(invocation: Invocation, days: list[date]) -> dict[str, dict[date, int]]:
    """Fill days from the archives; return the rows added by table and day."""
    from rich.console import Console
    from rich.progress import track

    from nomade_pipeline.ingest.archive import ARCHIVED_COLLECTORS, publish_archive
    from nomade_pipeline.ingest.partition import close_if_over
    from nomade_pipeline.ingest.rollup import roll_up_day
    from nomade_pipeline.tables.catalog import RAW_TABLES

    console = Console(stderr=True)
    added: dict[str, dict[date, int]] = {}
    for day in track(days, "reading archives", console=console, transient=True, disable=not console.is_terminal):
        for each in RAW_TABLES:
            if each.collector not in ARCHIVED_COLLECTORS:
                continue
            rows = publish_archive(invocation.store, invocation.config, each, day)
            if rows:
                added.setdefault(each.name, {})[day] = rows
                close_if_over(invocation.store, each, day)
        if any(day in days_added for days_added in added.values()):
            roll_up_day(invocation.store, day)
    return added
