"""What a person does with alerts: `nomade alerts ack`, `resolve`, `silence` and `unsilence`."""

from __future__ import annotations

import os
import pwd
from datetime import timedelta
from typing import Any, Callable, TypeVar

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, good, printable, table
from nomade_pipeline.cli.since import Length

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _user() -> str:
    """Return the name of who runs this; the number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _signed(function: _Function) -> _Function:
    """Add the options that say who acts, and why."""
    author = click.option("--author", default=_user, show_default="the user", help="Who does it.")
    comment = click.option("--comment", default="", metavar="TEXT", help="Why; it is kept in the history.")
    return author(comment(function))


@click.command("ack", epilog="\b\nExamples:\n  nomade alerts ack 42\n  nomade alerts ack 42 --comment 'disk ordered'")
@click.argument("names", metavar="NO|RULE/CLUSTER/SUBJECT", nargs=-1, required=True)
@_signed
@pass_invocation
def ack_command(invocation: Invocation, names: tuple[str, ...], author: str, comment: str) -> int:
    """Say that you look after an alert: it is not repeated and not escalated, unless it becomes worse."""
    from nomade_pipeline.alerts.acts import acknowledge

    for key in _keys(invocation, names):
        alert = acknowledge(invocation.store.alerts, key, author, comment, clock.now())
        click.echo(good(f"acknowledged: {printable('/'.join(alert.key))}"))
    return FINE


@click.command("resolve", epilog="\b\nExamples:\n  nomade alerts resolve 42 --comment 'disk replaced'")
@click.argument("names", metavar="NO|RULE/CLUSTER/SUBJECT", nargs=-1, required=True)
@_signed
@pass_invocation
def resolve_command(invocation: Invocation, names: tuple[str, ...], author: str, comment: str) -> int:
    """End an alert by hand; it fires anew with the next sample for which its condition holds."""
    from nomade_pipeline.alerts.acts import resolve

    for key in _keys(invocation, names):
        alert = resolve(invocation.store.alerts, key, author, comment, clock.now())
        click.echo(good(f"resolved: {printable('/'.join(alert.key))}; those who were told hear of it within a minute"))
    return FINE


def _keys(invocation: Invocation, names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    from nomade_pipeline.cli.alerts_commands import reading
    from nomade_pipeline.status.alerts import key_of

    database = reading(invocation)
    try:
        return [key_of(database, name) for name in names]
    finally:
        database.close()


@click.command(
    "silence",
    epilog="\b\nExamples:\n  nomade alerts silence --rule 'disk*' --subject 'node7:*' --for 2h --comment 'new disk'\n"
    "  nomade alerts silence --cluster alpha --for 1d",
)
@click.option("--rule", default="*", metavar="PATTERN", help="Alerts of these rules; a shell pattern.")
@click.option("--cluster", default="*", metavar="PATTERN", help="Alerts of these clusters; a shell pattern.")
@click.option("--subject", default="*", metavar="PATTERN", help="Alerts of these subjects; a shell pattern.")
@click.option("--for", "length", type=Length(), required=True, help="How long: 30m, 2h, 7d, 2w.")
@_signed
@pass_invocation
def silence_command(
    invocation: Invocation, rule: str, cluster: str, subject: str, length: timedelta, author: str, comment: str
) -> int:
    """Keep alerts from being told for a while; they are tracked, and what then still fires is told."""
    from nomade_pipeline.alerts.acts import silence
    from nomade_pipeline.alerts.engine import Silence
    from nomade_pipeline.cli.alerts_commands import reading

    now = clock.now()
    if (rule, cluster, subject) == ("*", "*", "*"):
        raise click.UsageError("say which alerts: --rule, --cluster or --subject (--rule '?*' stands for all)")
    reading(invocation).close()
    wanted = Silence(0, rule, cluster, subject, now + length, author, comment)
    made = silence(invocation.store.alerts, wanted, now)
    click.echo(good(f"silence {made.silence_id} until {made.ends_time.astimezone():%Y-%m-%d %H:%M %Z}"))
    return FINE


@click.command("unsilence", epilog="\b\nExamples:\n  nomade alerts unsilence\n  nomade alerts unsilence 3")
@click.argument("number", type=int, required=False)
@json_option
@pass_invocation
def unsilence_command(invocation: Invocation, number: int | None, as_json: bool) -> int:
    """End the silence NUMBER; without a number, list the silences in force."""
    from nomade_pipeline.cli.alerts_commands import local, reading
    from nomade_pipeline.status.alerts import silences

    database = reading(invocation)
    try:
        found = silences(database, clock.now())
    finally:
        database.close()
    if number is not None:
        if not invocation.store.alerts.end_silence(number, clock.now()):
            known = ", ".join(str(row["silence_id"]) for row in found) or "none"
            raise click.UsageError(f"there is no silence {number} in force; there are {known}")
        click.echo(good(f"silence {number} has ended; what still fires is told within a minute"))
    elif as_json:
        echo_json(found)
    elif not found:
        click.echo("no silence is in force")
    else:
        names = ("silence_id", "rule", "cluster", "subject")
        headers = ("no", "rule", "cluster", "subject", "until", "by", "why")
        rows = [(*(row[n] for n in names), local(row["ends_time"]), row["author"], row["comment"]) for row in found]
        click.echo(table(headers, rows))
    return FINE
