"""`nomade jobs`: jobs that have ended, or that are in the queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import age_text, cluster_first, echo_json, faint, number, shorten, table
from nomade_pipeline.cli.since import since_option
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.jobs import Wanted, ended_jobs
from nomade_pipeline.status.queue import live_jobs
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES

# States in which a job is in the queue and not in the job table.
LIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING")


@click.command(
    "jobs",
    epilog="\b\nExamples:\n  nomade jobs --user jsmith\n  nomade jobs --state failed --since 7d\n"
    "  nomade jobs --state pending\n  nomade jobs --account physics --json",
)
@click.option("--user", default="", help="Only jobs of this user.")
@click.option("--account", default="", help="Only jobs of this account.")
@click.option("--partition", default="", help="Only jobs of this partition.")
@click.option(
    "--state",
    default="",
    help="A state (TIMEOUT, running, pending …), an outcome (OOM, SEGFAULT …), or `failed` for all that failed.",
)
@click.option("--name", default="", metavar="PATTERN", help="Only jobs whose name fits this shell pattern.")
@click.option("--cluster", default="", metavar="NAME", help="Only jobs of this cluster.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most jobs to show.")
@since_option("24h")
@json_option
@pass_invocation
def jobs_command(
    invocation: Invocation,
    user: str,
    account: str,
    partition: str,
    state: str,
    name: str,
    cluster: str,
    limit: int,
    since: datetime,
    as_json: bool,
) -> int:
    """List jobs that have ended, the newest first; with a state of the queue those that are in it."""
    wanted = Wanted(since, user, account, partition, state, name, cluster)
    if state.upper() in LIVE:
        rows = [job for job in live_jobs(invocation.paths.spool, clock.now()) if _is_wanted(job, wanted)]
        return _show_live(rows, state.upper(), limit, as_json=as_json)
    rows, count = ended_jobs(invocation.config, wanted, limit)
    if as_json:
        echo_json([described(row) for row in rows])
        return FINE
    if not rows:
        click.echo(f"no such job ended since {_local(clock.to_text(since))}; `--since 7d` looks further back")
        return FINE
    headers = ("job", "user", "partition", "name", "outcome", "ended", "ran", "waited", "CPU", "memory")
    shown, lines = cluster_first(headers, rows, [_row(row) for row in rows])
    click.echo(table(shown, lines, right=headers[-4:]))
    if count > len(rows):
        click.echo(faint(f"{len(rows)} of {count}; --limit shows more"))
    return FINE


def described(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job with its outcome class in words beside the number."""
    return {**row, "outcome": outcome_word(row)}


def outcome_word(row: Mapping[str, Any]) -> str | None:
    """Return the outcome class in words, None without one."""
    code = row["failure_class"]
    return None if code is None else OUTCOME_CLASSES[code]


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["job_id"] or row["job_id_raw"],
        row["user"],
        row["partition"],
        shorten(row["job_name"] or "", 24),
        outcome_word(row) or row["state_raw"],
        _local(row["end_time"]),
        None if row["elapsed_seconds"] is None else age_text(row["elapsed_seconds"]),
        None if row["wait_seconds"] is None else age_text(row["wait_seconds"]),
        percent(row["cpu_efficiency_ratio"]),
        percent(row["memory_efficiency_ratio"]),
    )


def percent(ratio: float | None) -> str | None:
    """Format a ratio as a percentage; None stays None."""
    return None if ratio is None else number(100 * ratio, ".0f", "%")


def _local(text: str) -> str:
    moment = clock.from_text(text).astimezone()
    return moment.strftime("%m-%d %H:%M" if moment.year == clock.now().astimezone().year else "%Y-%m-%d %H:%M")


def _is_wanted(job: Mapping[str, Any], wanted: Wanted) -> bool:
    from fnmatch import fnmatchcase

    return (
        job["state"] == wanted.state.upper()
        and wanted.user in ("", job["user"])
        and wanted.account in ("", job["account"])
        and wanted.cluster in ("", job["cluster"])
        and (not wanted.partition or wanted.partition in (job["partition"] or "").split(","))
        and (not wanted.name or fnmatchcase(job["job_name"] or "", wanted.name))
    )


def _show_live(rows: list[dict[str, Any]], state: str, limit: int, *, as_json: bool) -> int:
    if as_json:
        echo_json(rows)
        return FINE
    if not rows:
        raise NoData(f"no job is {state.lower()}, as far as was collected", "`nomade queue` tells how old that is")
    headers = ("job", "user", "partition", "name", "state", "reason", "priority", "CPUs", "submitted", "start")
    told = [
        (
            row["job_id"],
            row["user"],
            row["partition"],
            shorten(row["job_name"] or "", 24),
            row["state_raw"],
            row["reason"],
            row["priority"],
            row["cpus"],
            row["submit_time"] and _local(row["submit_time"]),
            row["start_time"] and _local(row["start_time"]),
        )
        for row in rows[:limit]
    ]
    shown, lines = cluster_first(headers, rows[:limit], told)
    click.echo(table(shown, lines, right=("priority", "CPUs")))
    if len(rows) > limit:
        click.echo(faint(f"{limit} of {len(rows)}; --limit shows more"))
    return FINE
