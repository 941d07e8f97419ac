"""One evaluation: samples → what the rules say → what follows, in one transaction → the first attempt of delivery."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Sequence

from nomade_pipeline import clock
from nomade_pipeline.alerts.alive import note_evaluation
from nomade_pipeline.alerts.deliver import Outcome, deliver
from nomade_pipeline.alerts.gather import Gatherer
from nomade_pipeline.alerts.installation import BROKEN_RULE, Installation
from nomade_pipeline.alerts.judge import judge
from nomade_pipeline.alerts.outbox import opened
from nomade_pipeline.alerts.policy import MINUTE
from nomade_pipeline.alerts.route_file import Outlets
from nomade_pipeline.alerts.rule import Rule
from nomade_pipeline.alerts.tick import Memory, Settled, settle
from nomade_pipeline.alerts.verdict import Judgement, Verdict
from nomade_pipeline.alerts.windows import Windows, spans
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.live import Database
from nomade_pipeline.store.alerts import OutboxStore
from nomade_pipeline.store.heartbeat import last_beat
from nomade_pipeline.store.home import Store

# The evaluating tick tries to deliver for so long; the delivery sensor has more time.
FIRST_SECONDS = 5.0
# Agents that were down with the pipeline need some minutes until their samples come again.
PAUSE_SECONDS = 10 * MINUTE


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        judgements: what the rules said.
        settled: what followed.
        outcomes: how the first attempts of delivery went.
        problems: what a person should know of the evaluation itself.
        seconds: how long judging and deciding took, delivery not counted.
    """

    judgements: tuple[Judgement, ...]
    settled: Settled
    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]
    seconds: float

    def summary(self) -> str:
        """Say in one line what was decided, for the log of the tick."""
        decision = self.settled.decision
        told = Counter(notice.kind for notice in decision.notices)
        states = Counter(alert.state for alert in decision.state.alerts.values())
        failed = sum(outcome.problem is not None for outcome in self.outcomes)
        parts = (
            f"{len(self.judgements)} rules judged {sum(len(each.verdicts) for each in self.judgements)} subjects",
            f"{states['firing']} firing, {states['acknowledged']} acknowledged, {states['pending']} pending",
            "told: " + (", ".join(f"{count} {kind}" for kind, count in sorted(told.items())) or "nothing"),
            f"{len(self.outcomes) - failed} messages delivered, {failed} failed",
            f"{self.seconds:.2f} s",
        )
        return "; ".join(parts)

    def reasons(self) -> list[str]:
        """Return a line for each thing that happened to an alert, and why."""
        return [
            f"{event.kind} {event.rule}/{event.cluster}/{event.subject}" + (f": {event.reason}" if event.reason else "")
            for event in self.settled.decision.events
        ]


def evaluate(config: Config, store: Store, installation: Installation, now: datetime) -> Evaluation:
    """Judge all rules, store what follows, and try to deliver it at once.

    Args:
        config: the configuration in force.
        store: stores of the data folder.
        installation: rules and routes.
        now: the present time.
    """
    began = clock.monotonic()
    judgements, memory = judge_all(config, store, installation.rules, now)
    judgements = (*judgements, _on_the_rules(judgements, installation, config.general.cluster_name, now))
    resumed = _has_paused(config, now)
    policies, routes = installation.policies, installation.outlets.routes
    settled = settle(store.alerts, policies, judgements, routes, now, memory, resumed=resumed)
    seconds = clock.monotonic() - began
    outcomes = deliver_due(store, installation.outlets, FIRST_SECONDS)
    unheard = note_evaluation(config, clock.now())
    problems = [f"rule {judgement.rule}: {judgement.problem}" for judgement in judgements if judgement.problem]
    problems += [f"{each.message.target}: {each.problem}" for each in outcomes if each.problem is not None]
    problems += [each for each in (installation.problem, unheard) if each is not None]
    return Evaluation(judgements, settled, tuple(outcomes), tuple(problems), seconds)


def _has_paused(config: Config, now: datetime) -> bool:
    """Whether nothing was evaluated for a while, or nothing is known of it."""
    try:
        beat = last_beat(config.paths.heartbeat)
    except (OSError, ValueError):
        return True
    return beat is None or (now - beat.time).total_seconds() > PAUSE_SECONDS


def judge_all(
    config: Config, store: Store, rules: Sequence[Rule], now: datetime
) -> tuple[tuple[Judgement, ...], Memory]:
    """Return what all rules say, and what they keep for the next time."""
    windows = Windows(store.alerts, store.lake, now, spans(rules))
    database = Database(config.paths)
    try:
        gatherer = Gatherer(config, database, windows, now)
        judgements = tuple(_judge(rule, gatherer) for rule in rules)
    finally:
        database.close()
    return judgements, Memory(windows.bins, windows.forget)


def _judge(rule: Rule, gatherer: Gatherer) -> Judgement:
    try:
        return judge(rule, gatherer.evidence(rule))
    except Exception as error:  # noqa: BLE001 - a rule that fails must not silence the others; it is told as an alert
        return Judgement(rule.name, problem=f"{type(error).__name__}: {error}")


def _on_the_rules(
    judgements: Sequence[Judgement], installation: Installation, cluster: str, now: datetime
) -> Judgement:
    """Return the judgement on the rules themselves: which cannot be judged, and whether alerts.toml is in force."""
    problems = {each.rule: each.problem for each in judgements if each.problem is not None}
    if installation.problem is not None:
        problems["alerts.toml"] = installation.problem
    found = tuple(
        Verdict(BROKEN_RULE, cluster, name, "warning", now, summary=f"{name} is not in force: {problem}")
        for name, problem in problems.items()
    )
    return Judgement(BROKEN_RULE, found, complete=True, clusters=(cluster,))


def deliver_due(store: Store, outlets: Outlets, seconds: float) -> list[Outcome]:
    """Try what is due in the outbox for so many seconds; what is not tried by then stays due."""
    with opened(OutboxStore(store.rollups)) as outbox:
        return deliver(outbox, outlets.targets, clock.now(), seconds)
