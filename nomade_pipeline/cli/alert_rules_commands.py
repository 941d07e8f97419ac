"""`nomade alerts rules` and `nomade alerts backtest`: which rules there are, and what they would have sent."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import age_text, echo_json, faint, printable, shorten, table
from nomade_pipeline.cli.since import since_option
from nomade_pipeline.errors import NoData

if TYPE_CHECKING:
    from nomade_pipeline.alerts.backtest import Tested
    from nomade_pipeline.alerts.rule import Rule

MOST_EPISODES = 20


@click.command("rules", epilog="\b\nExamples:\n  nomade alerts rules\n  nomade alerts rules --json")
@json_option
@pass_invocation
def rules_command(invocation: Invocation, as_json: bool) -> int:
    """List the rules in force: those that are shipped, as alerts.toml changes them, and its own."""
    from nomade_pipeline.alerts.rule_file import load_rules

    rules = load_rules(invocation.config)
    if as_json:
        echo_json([asdict(rule) for rule in rules])
        return FINE
    headers = ("rule", "looks at", "warning", "critical", "for", "meaning")
    click.echo(table(headers, [_rule_row(rule) for rule in rules], right=("warning", "critical")))
    click.echo(faint("what to do: docs/on-call.md; how to change them: docs/alert-rules.md"))
    return FINE


def _rule_row(rule: Rule) -> tuple[Any, ...]:
    from nomade_pipeline.alerts.phrases import when_told

    what = ".".join(filter(None, (rule.table, rule.column)))
    return (
        rule.name,
        f"{rule.kind} {what}".strip(),
        when_told(rule, "warning") or None,
        when_told(rule, "critical") or None,
        age_text(rule.policy.for_seconds) if rule.policy.for_seconds else None,
        shorten(rule.summary, 60),
    )


@click.command(
    "backtest",
    epilog="\b\nExamples:\n  nomade alerts backtest --since 30d\n"
    "  nomade alerts backtest --since 7d --rule disk-forecast\n  nomade alerts backtest --rule 'disk*' --json\n"
    "  nomade alerts backtest --file new-alerts.toml",
)
@click.option("--rule", "pattern", default="*", metavar="PATTERN", help="Only rules whose name fits.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="ALERTS.TOML",
    help="Rules to try instead of those in force.",
)
@since_option("30d")
@json_option
@pass_invocation
def backtest_command(invocation: Invocation, pattern: str, file: Path | None, since: datetime, as_json: bool) -> int:
    """Show what the rules would have sent: how often, when, and how long before the threshold.

    The data of the lake are looked at every five minutes, series every fifteen, and what is wrong with jobs every hour.
    """
    from fnmatch import fnmatchcase

    from nomade_pipeline.alerts.backtest import backtest
    from nomade_pipeline.alerts.rule_file import load_rules, rules_of
    from nomade_pipeline.config.entries import read_entries
    from nomade_pipeline.tables.catalog import RAW_TABLES

    config, lake = invocation.config, invocation.store.lake
    rules = load_rules(config) if file is None else rules_of(config, read_entries(file), file)
    chosen = [rule for rule in rules if fnmatchcase(rule.name, pattern)]
    if not chosen:
        raise NoData(f"no rule is called {printable(pattern)}", "`nomade alerts rules` lists them")
    if not any(map(lake.clusters, RAW_TABLES)):
        raise NoData(f"the lake below {invocation.paths.root} holds nothing", "`nomade ingest` fills it")
    now = clock.now()
    found = [backtest(lake, config, rules, rule, since, now) for rule in chosen]
    if as_json:
        echo_json([_as_json(tested) for tested in found])
    else:
        _show(found)
    return FINE


def _as_json(tested: Tested) -> dict[str, Any]:
    alerts = [
        {**asdict(each), "fired_time": _told(each.fired_time), "resolved_time": _told(each.resolved_time)}
        for each in tested.episodes
    ]
    return {"rule": tested.rule.name, **tested.summary(), "alerts": alerts}


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else clock.to_text(moment)


def _show(found: Sequence[Tested]) -> None:
    headers = ("rule", "alerts", "subjects", "median lead")
    click.echo(table(headers, [_tested_row(tested) for tested in found], right=("alerts", "subjects")))
    if not all(tested.looks for tested in found):
        click.echo(faint("without a number: the lake holds nothing of what the rule looks at"))
    episodes = sorted((each for tested in found for each in tested.episodes), key=lambda each: each.fired_time)
    if episodes:
        click.echo()
    for episode in episodes[-MOST_EPISODES:]:
        moment = episode.fired_time.astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{moment}  {episode.severity}  {episode.rule}: {printable(episode.summary)}")
    if len(episodes) > MOST_EPISODES:
        click.echo(faint(f"the newest {MOST_EPISODES} of {len(episodes)}; --json has all"))


def _tested_row(tested: Tested) -> tuple[Any, ...]:
    told, rule = tested.summary(), tested.rule
    lead = told["lead_median_seconds"]
    ahead = f"{age_text(lead)} before {rule.ahead_of} ({told['with_lead']}×)" if lead is not None else None
    return rule.name, told["episodes"], told["subjects"], ahead
