"""`nomade ingest`: from the spool to Parquet and to the rollups."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Callable, Sequence

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import bad, echo_json, faint, note, printable, table, warn
from nomade_pipeline.errors import NoData

if TYPE_CHECKING:
    from nomade_pipeline.store.home import Store
    from nomade_pipeline.tables.contract import Table

_DATE = click.DateTime(formats=["%Y-%m-%d"])


@dataclass
class Result:
    """What an ingest did.

    Attributes:
        lines: figures of each table and day that has rows or was refused.
        problems: what kept a table of a day from being published.
    """

    lines: list[dict[str, object]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@click.command(
    "ingest",
    epilog="\b\nExamples:\n  nomade ingest\n  nomade ingest --date 2026-01-31 --table disk\n"
    "  nomade ingest --since 2026-01-01 --everything",
)
@click.option("--date", "day", type=_DATE, metavar="DATE", help="Only this UTC day.")
@click.option("--since", type=_DATE, metavar="DATE", help="From this UTC day on.")
@click.option("--table", "names", multiple=True, metavar="NAME", help="Only this table; may be repeated.")
@click.option("--everything", is_flag=True, help="Read and roll up again what is ingested already.")
@click.option("--accept-refused", is_flag=True, help="Publish the good rows however many are refused.")
@json_option
@pass_invocation
def ingest_command(
    invocation: Invocation,
    day: datetime | None,
    since: datetime | None,
    names: tuple[str, ...],
    everything: bool,
    accept_refused: bool,
    as_json: bool,
) -> int:
    """Publish the spool to Parquet, close days that are over, and roll up. Doing it again changes nothing.

    Without --date or --since it takes every day that the spool holds. Exits with 1 when a table was not published.
    """
    if day is not None and since is not None:
        raise click.UsageError("--date and --since exclude each other")
    tables = _tables(names)
    days = _days(invocation, day, since)
    if not days:
        raise NoData(f"the spool {invocation.paths.spool} holds no reading", "`nomade collect --once` takes a sample")
    limit = 100.0 if accept_refused else invocation.config.pipeline.quarantine_limit_percent
    result = ingest(invocation.store, tables, days, everything=everything, limit_percent=limit)
    _report(invocation, result)
    if as_json:
        echo_json({"tables": result.lines, "problems": result.problems})
    else:
        _tell(result)
    return FINDING if result.problems else FINE


def _tables(names: Sequence[str]) -> list[Table]:
    from nomade_pipeline.tables.catalog import RAW_TABLES, raw_table_named

    try:
        return [raw_table_named(name) for name in names] if names else list(RAW_TABLES)
    except KeyError as error:
        raise click.BadParameter(printable(error.args[0]), param_hint="--table") from error


def _days(invocation: Invocation, day: datetime | None, since: datetime | None) -> list[date]:
    """Return the days to ingest: the given one, else those that the spool holds."""
    from nomade_pipeline.store.spool import spool_files

    if day is not None:
        return [day.date()]
    held = {file.hour.date() for file in spool_files(invocation.paths.spool)}
    return sorted(held if since is None else (each for each in held if each >= since.date()))


def ingest(
    store: Store, tables: Sequence[Table], days: Sequence[date], *, everything: bool, limit_percent: float
) -> Result:
    """Publish, close and roll up days; a table that is refused does not keep the others from it.

    Raises:
        LakeError, DatabaseError, OSError: the stores cannot be written.
    """
    from nomade_pipeline.ingest.day import TooManyRefused, publish_day
    from nomade_pipeline.ingest.partition import close_if_over
    from nomade_pipeline.ingest.rollup import roll_up_day

    result = Result()
    with ExitStack() as stack:
        advance = _progress(stack, len(days) * (len(tables) + 1))
        for day in days:
            for table_ in tables:
                advance(f"{day} {table_.name}")
                try:
                    report = publish_day(store, table_, day, everything=everything, limit_percent=limit_percent)
                except TooManyRefused as error:
                    result.problems.append(str(error))
                    continue
                close_if_over(store, table_, day)
                if report.rows or report.refused:
                    result.lines.append(
                        {
                            "date": day.isoformat(),
                            "table": table_.name,
                            "files": report.files,
                            "rows": report.rows,
                            "added": report.added,
                            "refused": dict(report.refused),
                        }
                    )
            advance(f"{day} rollups")
            roll_up_day(store, day, everything=everything)
    return result


def _report(invocation: Invocation, result: Result) -> None:
    """Let Dagster's catalogue show the closed days that were written; today's partition is its next run's."""
    written: dict[str, dict[date, int]] = {}
    for line in result.lines:
        day = date.fromisoformat(str(line["date"]))
        if line["added"] and day < clock.today():
            written.setdefault(str(line["table"]), {})[day] = int(str(line["rows"]))
    if written:
        from nomade_pipeline.resources import report_past_days

        report_past_days(invocation.paths.dagster_home, written)


def _progress(stack: ExitStack, steps: int) -> Callable[[str], None]:
    """Return what to call before each step; a bar is drawn on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda _: None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = bar.add_task("ingest", total=steps)

    def advance(description: str) -> None:
        bar.update(task, description=description, advance=1)

    return advance


def _tell(result: Result) -> None:
    """Print a line a table and day."""
    headers = ("date", "table", "files", "rows", "added", "refused")
    rows = [
        [line["date"], line["table"], line["files"], line["rows"], line["added"], sum(_counts(line).values())]
        for line in result.lines
    ]
    click.echo(table(headers, rows, right=headers[2:]))
    for line in result.lines:
        for reason, count in _counts(line).items():
            click.echo(warn(f"{line['table']}: {count} refused: {printable(reason)}; `nomade quarantine` shows them"))
    if not result.lines and not result.problems:
        note(faint("nothing new in the spool"))
    for problem in result.problems:
        note(f"{bad('not published:')} {printable(problem)}")


def _counts(line: dict[str, object]) -> dict[str, int]:
    counts = line["refused"]
    assert isinstance(counts, dict)
    return counts
