"""`nomade ledger` and `nomade quarantine`: what was expected, what came, what was refused."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, faint, note, printable, shorten, shorten_end, table, width
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.live import Database
from nomade_pipeline.store.database import DatabaseError

_DATE = click.DateTime(formats=["%Y-%m-%d"])


@click.command(
    "ledger",
    epilog="\b\nExamples:\n  nomade ledger\n  nomade ledger --date 2026-01-31 --faults\n  nomade ledger --json",
)
@click.option("--date", "day", type=_DATE, metavar="DATE", help="UTC day; default today.")
@click.option("--host", metavar="NAME", help="Only this host.")
@click.option("--faults", is_flag=True, help="Only hours in which something failed, was refused or is missing.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when there is any such hour.")
@json_option
@pass_invocation
def ledger_command(
    invocation: Invocation,
    day: datetime | None,
    host: str | None,
    faults: bool,
    exit_code: bool,
    as_json: bool,
) -> int:
    """Show the data-quality ledger of a day: expected, received, failed and refused by collector, host and hour."""
    start = clock.start_of(day.date() if day is not None else clock.today())
    rows = _ledger_rows(invocation, start, host)
    if not rows:
        raise NoData(f"the ledger has no entry of {start:%Y-%m-%d}", "`nomade ingest` writes it")
    faulty = [row for row in rows if _is_faulty(row)]
    chosen = faulty if faults else rows
    if as_json:
        echo_json(chosen)
    else:
        headers = (
            "hour",
            "cluster",
            "host",
            "collector",
            "expected",
            "received",
            "failed",
            "skipped",
            "refused",
            "reasons",
        )
        lines = [
            [row["hour"][11:16], *(row[name] for name in headers[1:8]), row["quarantined"], _reasons(row["reasons"])]
            for row in chosen
        ]
        click.echo(table(headers, lines, right=headers[4:9]))
        note(faint(f"{len(faulty)} of {len(rows)} entries of {start:%Y-%m-%d} (UTC) have a fault"))
    return FINDING if exit_code and faulty else FINE


def _ledger_rows(invocation: Invocation, start: datetime, host: str | None) -> list[dict[str, Any]]:
    """Return the entries of a UTC day.

    Raises:
        DatabaseError: the database cannot be read.
    """
    database = Database(invocation.paths)
    bounds = (clock.to_text(start), clock.to_text(start + timedelta(days=1)))
    rows = database.rows(
        "SELECT * FROM ledger WHERE hour >= ? AND hour < ? ORDER BY hour, cluster, host, collector", bounds
    )
    database.close()
    if database.problem:
        raise DatabaseError(database.problem)
    return [{**row, "reasons": json.loads(row["reasons"])} for row in rows if host is None or row["host"] == host]


def _is_faulty(row: dict[str, Any]) -> bool:
    return bool(row["failed"] or row["quarantined"] or row["expected"] > row["received"] + row["failed"])


def _reasons(reasons: dict[str, int]) -> str:
    return shorten_end(
        "; ".join(f"{count}× {printable(reason)}" for reason, count in reasons.items()), max(30, width() - 85)
    )


@click.command(
    "quarantine",
    epilog="\b\nExamples:\n  nomade quarantine\n  nomade quarantine --table disk --limit 5\n  nomade quarantine --json",
)
@click.option("--table", "name", metavar="NAME", help="Only this table.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@json_option
@pass_invocation
def quarantine_command(invocation: Invocation, name: str | None, limit: int, as_json: bool) -> int:
    """Show refused lines and rows with the reason, oldest day first."""
    quarantine = invocation.store.quarantine
    found = [
        {"file": str(path.relative_to(quarantine.root)), "reason": refused.reason, "content": refused.content}
        for path, refused in islice(quarantine.entries(name), limit)
    ]
    if as_json:
        echo_json(found)
        return FINE
    if not found:
        click.echo("nothing is quarantined")
        return FINE
    for entry in found:
        click.echo(f"{printable(entry['file'])}: {printable(entry['reason'])}")
        click.echo(faint(f"  {shorten(printable(entry['content']), width() - 2)}"))
    if len(found) == limit:
        note(faint(f"the first {limit}; `--limit` shows more"))
    return FINE
