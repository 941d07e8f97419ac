"""`nomade backfill`: history that other tools have kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Iterable, Iterator, Sequence, TypeVar

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import bad, echo_json, faint, note, printable, table
from nomade_pipeline.errors import NoData

if TYPE_CHECKING:
    from nomade_pipeline.store.home import Store

_Step = TypeVar("_Step")
_DATE = click.DateTime(formats=["%Y-%m-%d"])

# sysstat keeps its archives for a month unless it is told otherwise.
USUAL_DAYS = 28
SYSSTAT = ("iostat", "mpstat", "vmstat")
JOBS = "job_metrics"


@dataclass
class Filled:
    """What a backfill added.

    Attributes:
        rows: rows added, by table and UTC day.
        refused: what could not be read, by reason.
        skipped: why the accounting was not asked; None when it was, or was not to be.
        stopped: why the accounting was not read to the end; None when it was.
    """

    rows: dict[str, dict[date, int]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    skipped: str | None = None
    stopped: str | None = None

    def add(self, name: str, day: date, rows: int) -> None:
        """Note rows that were added to a partition."""
        self.rows.setdefault(name, {})[day] = rows

    def totals(self) -> dict[str, int]:
        """Return the rows added to each table."""
        return {name: sum(days.values()) for name, days in self.rows.items()}


@click.command(
    "backfill",
    epilog="\b\nExamples:\n  nomade backfill\n  nomade backfill --since 2026-01-01 -C job_metrics",
)
@click.option("--since", type=_DATE, metavar="DATE", help=f"First UTC day; {USUAL_DAYS} days ago unless given.")
@click.option("--until", type=_DATE, metavar="DATE", help="Last UTC day; yesterday unless given.")
@click.option(
    "--collectors", "-C", "names", multiple=True, metavar="NAMES", help=f"Only these of {', '.join((*SYSSTAT, JOBS))}."
)
@json_option
@pass_invocation
def backfill_command(
    invocation: Invocation, since: datetime | None, until: datetime | None, names: tuple[str, ...], as_json: bool
) -> int:
    """Fill the past: jobs from Slurm's accounting, and iostat, mpstat and vmstat of this host from sysstat's archives.

    The accounting is asked for a day at a time, by one process at a time. Of sysstat's archives only hours without
    samples of this host are filled. Doing it again changes nothing.
    """
    chosen = _chosen(names)
    yesterday = clock.today() - timedelta(days=1)
    last = min(until.date() if until else yesterday, yesterday)
    first = since.date() if since else last - timedelta(days=USUAL_DAYS - 1)
    if first > last:
        raise click.UsageError(f"--since {first} is after {last}; today is the ingest's business")
    days = [first + timedelta(days=day) for day in range((last - first).days + 1)]
    filled = Filled()
    if set(chosen) & set(SYSSTAT):
        _fill_from_archives(invocation, days, chosen, filled)
    if JOBS in chosen:
        _fill_from_accounting(invocation, days, filled)
    _report(invocation, filled.rows)
    if as_json:
        echo_json({"since": first.isoformat(), "until": last.isoformat(), "rows": filled.totals(), **_rest(filled)})
    else:
        _tell(filled, first, last)
    return FINDING if filled.stopped or filled.refused else FINE


def _chosen(names: Sequence[str]) -> list[str]:
    """Return the collectors that were asked for; all when none was."""
    known = (*SYSSTAT, JOBS)
    asked = [name.strip() for part in names for name in part.split(",") if name.strip()]
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise click.BadParameter(f"no history of {', '.join(unknown)}; there is of {', '.join(known)}", param_hint="-C")
    return asked or list(known)


def _rest(filled: Filled) -> dict[str, object]:
    return {"refused": filled.refused, "skipped": filled.skipped, "stopped": filled.stopped}


def _tell(filled: Filled, first: date, last: date) -> None:
    """Say what was added and what is missing.

    Raises:
        NoData: there was nothing.
    """
    rows = filled.totals()
    if rows:
        click.echo(table(("table", "rows added"), list(rows.items()), right=("rows added",)))
        click.echo(faint(f"{first} to {last}; `nomade tables` shows what there is"))
    for reason, count in filled.refused.items():
        note(f"{bad('refused')}: {count}× {printable(reason)}; `nomade quarantine` shows them")
    if filled.skipped:
        note(faint(f"jobs were left out: {printable(filled.skipped)}"))
    if filled.stopped:
        note(f"{bad('error:')} {printable(filled.stopped)}")
    elif not rows and not filled.refused:
        raise NoData(
            f"neither archives of sysstat nor an accounting hold anything of {first} to {last} that is missing here",
            "Debian ships sysstat's archive switched off: set ENABLED=true in /etc/default/sysstat",
        )


def _report(invocation: Invocation, added: dict[str, dict[date, int]]) -> None:
    """Let Dagster's catalogue show the partitions that were written; where it was never used there is none."""
    if not added or not invocation.paths.dagster_home.exists():
        return
    from nomade_pipeline.resources import report_past_days
    from nomade_pipeline.tables.catalog import raw_table_named

    lake, cluster = invocation.store.lake, invocation.config.general.cluster_name
    held = {
        name: {day: lake.count(raw_table_named(name), cluster, day) for day in days} for name, days in added.items()
    }
    report_past_days(invocation.paths.dagster_home, held)


def _tracked(steps: Iterable[_Step], total: int, what: str) -> Iterator[_Step]:
    """Yield what a backfill does step by step, under a progress bar."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(steps, what, total, console=console, transient=True, disable=not console.is_terminal)


def _fill_from_archives(invocation: Invocation, days: list[date], chosen: Sequence[str], filled: Filled) -> None:
    """Fill days from sysstat's archives."""
    from nomade_pipeline.ingest.archive import ARCHIVED_COLLECTORS, publish_archive
    from nomade_pipeline.ingest.partition import close_if_over
    from nomade_pipeline.ingest.rollup import roll_up_day
    from nomade_pipeline.tables.catalog import RAW_TABLES

    wanted = [each for each in RAW_TABLES if each.collector in ARCHIVED_COLLECTORS and each.collector in chosen]
    for day in _tracked(days, len(days), "reading archives"):
        for each in wanted:
            rows = publish_archive(invocation.store, invocation.config, each, day)
            if rows:
                filled.add(each.name, day, rows)
                close_if_over(invocation.store, each, day)
        if any(day in days_added for days_added in filled.rows.values()):
            roll_up_day(invocation.store, day)


def _fill_from_accounting(invocation: Invocation, days: list[date], filled: Filled) -> None:
    """Fill days from Slurm's accounting, up to the first that it does not tell."""
    from nomade_pipeline.collectors.base import CollectorError, Skipped
    from nomade_pipeline.collectors.slurm_commands import require_slurm
    from nomade_pipeline.ingest.accounting import read_accounting
    from nomade_pipeline.probes import LiveProbe

    probe, store, done = LiveProbe(), invocation.store, 0
    try:
        require_slurm(probe, "sacct", invocation.config.collectors.job_metrics.hosts)
        read = read_accounting(store, invocation.config, days, probe)
        for result in _tracked(read, len(days), "reading the accounting"):
            done += 1
            if result.added:
                filled.add(JOBS, result.day, result.added)
            for reason, count in result.refused.items():
                filled.refused[reason] = filled.refused.get(reason, 0) + count
            _roll_up(store, result.day)
    except Skipped as error:
        filled.skipped = str(error)
    except CollectorError as error:
        goes_on = f"`nomade backfill -C {JOBS} --since {days[done]}` goes on"
        filled.stopped = f"{error}; {done} of {len(days)} days are stored, {goes_on}"


def _roll_up(store: Store, day: date) -> None:
    """Roll up a day of which the lake holds something new."""
    from nomade_pipeline.ingest.rollup import roll_up_day

    if JOBS in store.rollups.hours_to_roll_up(day):
        roll_up_day(store, day)
