"""`nomade compute`: features, networks and simulations from what the lake holds, without Dagster."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Iterator, Mapping, Sequence

import click

from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, printable, table
from nomade_pipeline.computing import STEPS, days_with_jobs
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.jobs import HINT

_DATE = click.DateTime(formats=["%Y-%m-%d"])


@click.command(
    "compute",
    epilog="\b\nExamples:\n  nomade compute\n  nomade compute features --since 2026-01-01\n"
    "  nomade compute --date 2026-01-31 --json",
)
@click.argument("names", nargs=-1, metavar=f"[{'|'.join(STEPS)}]...", type=click.Choice(list(STEPS)))
@click.option("--date", "day", type=_DATE, metavar="DATE", help="Only this UTC day.")
@click.option("--since", type=_DATE, metavar="DATE", help="From this UTC day on.")
@click.option("--each-day", is_flag=True, help="Steps that look at a window: of each day, not of the last one only.")
@json_option
@pass_invocation
def compute_command(
    invocation: Invocation,
    names: Sequence[str],
    day: datetime | None,
    since: datetime | None,
    each_day: bool,
    as_json: bool,
) -> int:
    """Compute features of jobs and what follows from them. Dagster does this on its own; so works a site without it.

    Days are those on which jobs ended. Without --date or --since all of them. Doing it again changes nothing.
    """
    if day is not None and since is not None:
        raise click.UsageError("--date and --since exclude each other")
    days = _days(invocation, day, since)
    told = []
    work = [(step, each) for step in names or STEPS for each in _of_step(step, days, each_day)]
    for name, each in _tracked(work):
        figures = STEPS[name].compute(invocation.store, invocation.config, each)
        told.append({"step": name, "date": each.isoformat(), **figures})
    if as_json:
        echo_json(told)
    else:
        _tell(told)
    return FINE


def _days(invocation: Invocation, day: datetime | None, since: datetime | None) -> list[date]:
    """Return the days to compute.

    Raises:
        NoData: no job is known to have ended on any of them.
    """
    days = days_with_jobs(invocation.store) if invocation.paths.lake.exists() else []
    if day is not None:
        days = [each for each in days if each == day.date()]
    elif since is not None:
        days = [each for each in days if each >= since.date()]
    if not days:
        raise NoData(f"no job that ended then is known below {invocation.paths.root}", HINT)
    return days


def _of_step(name: str, days: list[date], each_day: bool) -> list[date]:
    return days[-1:] if STEPS[name].window and not each_day else days


def _tracked(work: list[tuple[str, date]]) -> Iterator[tuple[str, date]]:
    """Yield what is to be done, under a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(work, "computing", console=console, transient=True, disable=not console.is_terminal)


def _tell(told: Sequence[dict[str, Any]]) -> None:
    """Print a line a step and day."""
    rows = [
        (one["step"], one["date"], ", ".join(_figure(*pair) for pair in one.items() if pair[0] not in ("step", "date")))
        for one in told
    ]
    click.echo(table(("step", "date", "result"), rows))


def _figure(name: str, value: object) -> str:
    """Return a figure in words; names of what was found need no label, figures of a cluster stand behind its name."""
    if isinstance(value, Mapping):
        return f"{printable(name)}: " + ", ".join(_figure(*pair) for pair in value.items())
    if isinstance(value, str):
        return value or f"no {name.replace('_', ' ')}"
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)
    return f"{name.replace('_', ' ')} {shown}"
