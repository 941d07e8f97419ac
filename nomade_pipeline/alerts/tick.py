"""What follows from what the rules say: decided, and stored with state, history and outbox in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Collection, Mapping, Sequence

from nomade_pipeline.alerts.engine import Controls, Decision, State, decide, with_targets
from nomade_pipeline.alerts.notice import Message
from nomade_pipeline.alerts.policy import Policy
from nomade_pipeline.alerts.records import alert_of, alert_row, event_rows, message_row, silence_of
from nomade_pipeline.alerts.routes import EpisodeKey, Routes, route
from nomade_pipeline.alerts.verdict import Judgement
from nomade_pipeline.store.alerts import AlertStore, AlertTransaction


@dataclass(frozen=True)
class Memory:
    """What the rules keep for the next tick.

    Attributes:
        bins: rows of `alert_window`.
        forget: by raw table and column, before when bins are not needed any more.
    """

    bins: Sequence[Mapping[str, Any]] = ()
    forget: Mapping[tuple[str, str], datetime] = field(default_factory=dict)


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
    *,
    resumed: bool = False,
) -> Settled:
    """Decide on judgements and store all that follows, in one transaction.

    Args:
        store: where the state lives.
        policies: of all rules, by name.
        judgements: what the rules say.
        routes: where notices go, and what is held back.
        now: the present time.
        memory: what the rules keep for the next tick.
        resumed: see `engine.Controls`.
    """
    with store.transaction() as work:
        state = _state(work, policies, now)
        controls = Controls(tuple(map(silence_of, work.silences(now))), routes.held_back, resumed)
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
