"""One tick: samples → what the rules say → what follows, stored in one transaction → the first attempt of delivery."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Collection, Mapping, Protocol, Sequence

from nomade_pipeline import clock
from nomade_pipeline.alerts import run_failures
from nomade_pipeline.alerts.alive import note_evaluation
from nomade_pipeline.alerts.deliver import Outcome, deliver
from nomade_pipeline.alerts.engine import Controls, Decision, State, decide, with_targets
from nomade_pipeline.alerts.notice import Message
from nomade_pipeline.alerts.outbox import opened
from nomade_pipeline.alerts.policy import Policy
from nomade_pipeline.alerts.records import alert_of, alert_row, event_rows, message_row, silence_of
from nomade_pipeline.alerts.route_file import Outlets
from nomade_pipeline.alerts.routes import EpisodeKey, Routes, route
from nomade_pipeline.alerts.verdict import Judgement
from nomade_pipeline.config.settings import Config
from nomade_pipeline.store.alerts import AlertStore, AlertTransaction, OutboxStore
from nomade_pipeline.store.home import Store

# The evaluating tick tries to deliver for so long; the delivery sensor has more time.
FIRST_SECONDS = 5.0


@dataclass(frozen=True)
class Memory:
    """What the rules keep for the next tick.

    Attributes:
        bins: rows of `alert_window`.
        forget: by raw table and column, before when bins are not needed any more.
        offsets: how far spool files were read; ``gone``: those that exist no longer.
    """

    bins: Sequence[Mapping[str, Any]] = ()
    forget: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)
    gone: Sequence[str] = ()


NOTHING = Memory()


@dataclass(frozen=True)
class Settled:
    """What was decided and stored.

    Attributes:
        decision: what the engine decided.
        messages: what stands in the outbox now.
    """

    decision: Decision
    messages: tuple[Message, ...]


def settle(
    store: AlertStore,
    policies: Mapping[str, Policy],
    judgements: Sequence[Judgement],
    routes: Routes,
    now: datetime,
    memory: Memory = NOTHING,
) -> Settled:
    """Decide on judgements and store all that follows, in one transaction.

    Args:
        store: where the state lives.
        policies: of all rules, by name.
        judgements: what the rules say.
        routes: where notices go, and what is held back.
        now: the present time.
        memory: what the rules keep for the next tick.
    """
    with store.transaction() as work:
        state = _state(work, policies, now)
        controls = Controls(tuple(map(silence_of, work.silences(now))), routes.held_back)
        decision = decide(policies, state, judgements, controls, now)
        messages = tuple(route(decision.notices, routes, now, _told(state)))
        decision = with_targets(decision, messages)
        work.save([alert_row(alert) for alert in decision.changed], decision.dropped)
        work.log(event_rows(decision.events))
        work.post([message_row(message) for message in messages])
        _remember(work, memory)
    return Settled(decision, messages)


def _state(work: AlertTransaction, policies: Mapping[str, Policy], now: datetime) -> State:
    """Return the state: ended alerts are in it for as long as they may count for flapping."""
    window = max((policy.flap_window_seconds for policy in policies.values()), default=0.0)
    alerts = map(alert_of, work.alerts(now - timedelta(seconds=window)))
    return State({alert.key: alert for alert in alerts}, work.next_episode())


def _told(state: State) -> dict[EpisodeKey, Collection[str]]:
    return {
        (*alert.key, alert.episode): alert.told_targets for alert in state.alerts.values() if alert.episode is not None
    }


def _remember(work: AlertTransaction, memory: Memory) -> None:
    work.remember(memory.bins)
    for (table, column), before in memory.forget.items():
        work.forget_bins(table, column, before)
    work.note_offsets(memory.offsets, memory.gone)


class Rules(Protocol):
    """The rules of an installation."""

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Return how the alerts of each rule behave, by its name."""

    def judge(self, config: Config, store: Store, now: datetime) -> tuple[Sequence[Judgement], Memory]:
        """Return what the rules say now, and what they keep for the next tick."""


@dataclass(frozen=True)
class OwnRules:
    """The rules about the pipeline itself, which its sensors judge."""

    @property
    def policies(self) -> Mapping[str, Policy]:
        """See `Rules`."""
        return {run_failures.RULE: run_failures.POLICY}

    def judge(self, config: Config, store: Store, now: datetime) -> tuple[Sequence[Judgement], Memory]:
        """See `Rules`; sensors judge these by themselves."""
        del config, store, now
        return (), NOTHING


def installed_rules(config: Config) -> Rules:
    """Return all rules of an installation.

    Raises:
        ConfigError: they cannot be read.
    """
    del config
    return OwnRules()


@dataclass(frozen=True)
class Evaluation:
    """One tick from the samples to the first attempt of delivery.

    Attributes:
        judgements: what the rules said.
        settled: what followed.
        outcomes: how the first attempts went.
        problems: what a person should know of the tick itself.
        seconds: how long judging and deciding took, delivery not counted.
    """

    judgements: tuple[Judgement, ...]
    settled: Settled
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    def summary(self) -> str:
        """Say in one line what was decided and why, for the log of the tick."""
        told = Counter(notice.kind for notice in self.settled.decision.notices)
        states = Counter(alert.state for alert in self.settled.decision.state.alerts.values())
        failed = [outcome for outcome in self.outcomes if outcome.problem is not None]
        parts = [
            f"{len(self.judgements)} rules judged {sum(len(j.verdicts) for j in self.judgements)} subjects",
            f"{states['firing']} firing, {states['acknowledged']} acknowledged, {states['pending']} pending",
            "told: " + (", ".join(f"{count} {kind}" for kind, count in sorted(told.items())) or "nothing"),
            f"{len(self.outcomes) - len(failed)} messages delivered, {len(failed)} failed",
        ]
        return f"{'; '.join(parts)}; {self.seconds:.2f} s"


def evaluate(config: Config, store: Store, rules: Rules, outlets: Outlets, now: datetime) -> Evaluation:
    """Judge all rules, store what follows, and try to deliver it at once.

    Args:
        config: the configuration in force.
        store: stores of the data folder.
        rules: all rules there are.
        outlets: targets and routes.
        now: the present time.
    """
    began = clock.monotonic()
    judgements, memory = rules.judge(config, store, now)
    settled = settle(store.alerts, rules.policies, judgements, outlets.routes, now, memory)
    seconds = clock.monotonic() - began
    outcomes = deliver_due(store, outlets, FIRST_SECONDS)
    unheard = note_evaluation(config, clock.now())
    problems = [f"rule {judgement.rule}: {judgement.problem}" for judgement in judgements if judgement.problem]
    problems += [f"{each.message.target}: {each.problem}" for each in outcomes if each.problem is not None]
    problems += [unheard] if unheard is not None else []
    return Evaluation(tuple(judgements), settled, tuple(outcomes), tuple(problems), seconds)


def deliver_due(store: Store, outlets: Outlets, seconds: float) -> list[Outcome]:
    """Try what is due in the outbox for so many seconds; what is not tried by then stays due."""
    with opened(OutboxStore(store.rollups)) as outbox:
        return deliver(outbox, outlets.targets, clock.now(), seconds)
