"""`nomade alerts`: what fires, what has fired, and how well the rules do."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Mapping, Sequence

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.alert_act_commands import ack_command, resolve_command, silence_command, unsilence_command
from nomade_pipeline.cli.alert_rules_commands import backtest_command, rules_command
from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import (
    age_text,
    bad,
    cluster_name,
    echo_json,
    faint,
    good,
    heading,
    printable,
    shorten_end,
    table,
    warn,
)
from nomade_pipeline.cli.since import since_option
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.alerts import episodes, key_of, one_alert, silences, statistics, undelivered
from nomade_pipeline.status.live import Database
from nomade_pipeline.tables.alerts import SEVERITIES

COLOURS: Mapping[str, Callable[[str], str]] = {"critical": bad, "warning": warn, "info": faint}
NO_ALERTS = "`nomade up` evaluates the rules every 30 s; `nomade migrate` brings an older database up to date"


def reading(invocation: Invocation) -> Database:
    """Open the database.

    Raises:
        NoData: there is none, or it has no table of alerts.
    """
    database = Database(invocation.paths)
    database.rows("SELECT 1 FROM alerts LIMIT 1")
    if database.problem is not None or not invocation.paths.database.exists():
        about = f": {database.problem}" if database.problem else ""
        database.close()
        raise NoData(f"no alert has been evaluated below {invocation.paths.root}{about}", NO_ALERTS)
    return database


@click.group(
    "alerts",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  nomade alerts --unresolved\n  nomade alerts --severity critical --since 7d\n"
    "  nomade alerts ack 42 --comment 'disk ordered'\n"
    "  nomade alerts silence --rule 'disk*' --subject 'node7:*' --for 2h\n  nomade alerts stats --since 30d",
)
@click.option("--unresolved", is_flag=True, help="Only those that still hold.")
@click.option(
    "--severity", type=click.Choice(SEVERITIES), default=SEVERITIES[0], show_default=True, help="The least to show."
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 when there is any.")
@since_option("24h")
@json_option
@click.pass_context
def alerts_command(
    context: click.Context, unresolved: bool, severity: str, exit_code: bool, since: datetime, as_json: bool
) -> int:
    """List alerts: those that fire, and those that have since. A subcommand acts on one."""
    if context.invoked_subcommand is not None:
        return FINE
    invocation = context.find_object(Invocation)
    assert invocation is not None
    database = reading(invocation)
    try:
        found = [row for row in episodes(database, since) if _is_wanted(row, severity, unresolved=unresolved)]
        silent, waiting = silences(database, clock.now()), undelivered(database)
    finally:
        database.close()
    if as_json:
        echo_json(found)
    else:
        click.echo("\n".join(_list(found, silent, waiting, unresolved=unresolved)))
    return FINDING if exit_code and found else FINE


def _is_wanted(row: Mapping[str, Any], severity: str, *, unresolved: bool) -> bool:
    grave = SEVERITIES.index(row["severity"]) >= SEVERITIES.index(severity)
    return grave and not (unresolved and row["state"] == "resolved")


def _list(
    found: Sequence[Mapping[str, Any]],
    silent: Sequence[Mapping[str, Any]],
    waiting: Sequence[Mapping[str, Any]],
    *,
    unresolved: bool,
) -> list[str]:
    """Return the list, and what keeps alerts from reaching anybody."""
    lines = []
    if found:
        headers = ("no", "severity", "state", "since", "rule", "cluster", "subject", "what")
        lines.append(table(headers, [_row(row) for row in found], right=headers[:1]))
        lines.append(faint("`nomade alerts show NO` tells all of one, `nomade alerts ack NO` acknowledges it"))
    else:
        lines.append(
            "no alert fires" if unresolved else "no alert fires, and none has; `--since 7d` looks further back"
        )
    if silent:
        lines.append(warn(f"silences in force: {len(silent)}; `nomade alerts unsilence` lists them"))
    lines += [
        bad(f"messages waiting for {printable(row['target'])}: {row['waiting']} ({printable(row['error'])})")
        for row in waiting
    ]
    return lines


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["episode"],
        row["severity"],
        state_words(row),
        local(row["fired_time"]),
        row["rule"],
        cluster_name(row["cluster"]),
        shorten_end(row["subject"], 32),
        shorten_end(row["summary"], 60),
    )


def state_words(row: Mapping[str, Any]) -> str:
    """Return where an alert stands, with what keeps it from being told."""
    parts = [row["state"]]
    if row["state"] == "acknowledged":
        parts.append(f"by {row['acknowledged_by']}")
    if row["held"] is not None:
        parts.append(f"({row['held'].replace('_', ' ')})")
    if row.get("flapping"):
        parts.append("(flaps)")
    return " ".join(parts)


def local(text: str | None) -> str | None:
    """Return a time for people, None for null."""
    return None if text is None else clock.from_text(text).astimezone().strftime("%m-%d %H:%M")


@alerts_command.command(
    "show",
    epilog="\b\nExamples:\n  nomade alerts show 42\n  nomade alerts show disk_full/alpha/node7:/scratch\n"
    "  nomade alerts show 42 --json",
)
@click.argument("name", metavar="NO|RULE/CLUSTER/SUBJECT")
@json_option
@pass_invocation
def show_command(invocation: Invocation, name: str, as_json: bool) -> int:
    """Show all of one alert: its state, what happened and who did it, and what was sent to whom."""
    database = reading(invocation)
    try:
        found = one_alert(database, key_of(database, name))
    finally:
        database.close()
    if as_json:
        echo_json(found)
    else:
        click.echo("\n".join(_one(found)))
    return FINE


def _one(found: Mapping[str, Any]) -> list[str]:
    key = printable("/".join((found["rule"], found["cluster"], found["subject"])))
    alert = found["alert"]
    lines = [heading(key)]
    if alert is not None:
        lines.append(f"{COLOURS[alert['severity']](alert['severity'])}  {printable(state_words(alert))}")
        lines.append(printable(alert["summary"]))
        lines += [f"  {name}: {printable(value)}" for name, value in alert["details"].items()]
        lines.append(f"condition since {local(alert['since_time'])}, newest sample {local(alert['last_time'])}")
    lines += ["", heading("History")]
    headers = ("time", "no", "what", "severity", "value", "by", "why")
    lines.append(table(headers, [_event_row(event) for event in found["events"]]))
    lines += ["", heading("Messages")]
    lines += [_message_line(message) for message in found["messages"]] or [faint("none")]
    return lines


def _event_row(event: Mapping[str, Any]) -> tuple[Any, ...]:
    value = None if event["value"] is None else f"{event['value']:g}"
    told = (event["author"] or None, event["reason"] or None)
    return (local(event["time"]), event["episode"], event["kind"], event["severity"], value, *told)


def _message_line(message: Mapping[str, Any]) -> str:
    start = f"{local(message['created_time'])}  {printable(message['target'])}  "
    if message["dry_run"]:
        return start + faint("dry run, not sent")
    if message["delivered_time"] is not None:
        return start + good(f"delivered {local(message['delivered_time'])}")
    if message["given_up_time"] is not None:
        return start + bad(f"given up {local(message['given_up_time'])}: {printable(message['error'])}")
    tried = f"tried {message['attempts']} times, next {local(message['next_attempt_time'])}"
    return start + warn(f"{tried}: {printable(message['error'])}" if message["error"] else tried)


@alerts_command.command(
    "stats",
    epilog="\b\nExamples:\n  nomade alerts stats\n  nomade alerts stats --since 30d --json",
)
@since_option("30d")
@json_option
@pass_invocation
def stats_command(invocation: Invocation, since: datetime, as_json: bool) -> int:
    """Show by rule how often it fired, what was sent, how soon it was acknowledged, and whether it flapped."""
    from nomade_pipeline.alerts.rule_file import load_rules

    ahead = {rule.name: rule.ahead_of for rule in load_rules(invocation.config) if rule.ahead_of}
    database = reading(invocation)
    try:
        found = statistics(database, since, ahead)
    finally:
        database.close()
    if as_json:
        echo_json(found)
    elif not found:
        click.echo(f"no alert has fired since {since.astimezone():%Y-%m-%d %H:%M %Z}")
    else:
        headers = ("rule", "fired", "sent", "untold", "acknowledged", "after", "resolved after", "flapped", "lead time")
        click.echo(table(headers, [_figures_row(row) for row in found], right=headers[1:]))
    return FINE


def _figures_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["rule"],
        row["episodes"],
        row["sent"],
        row["untold"],
        row["acknowledged"],
        _length(row["acknowledged_after_seconds"]),
        _length(row["resolved_after_seconds"]),
        row["flapped"],
        _length(row["lead_seconds"]),
    )


def _length(seconds: float | None) -> str | None:
    return None if seconds is None else age_text(seconds)


for _command in (
    ack_command,
    resolve_command,
    silence_command,
    unsilence_command,
    rules_command,
    backtest_command,
):
    alerts_command.add_command(_command)
