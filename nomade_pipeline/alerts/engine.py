"""What the engine decides in one tick: a pure function of policies, state, judgements, controls and the time.

No alert is lost: whatever keeps a firing alert from being told (a silence, another alert, a mute, flapping, waiting
for others of its group) is looked at again in each tick, and what then still fires is told.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Callable, Iterable, Iterator, Mapping, Sequence

from nomade_pipeline.alerts import machine, telling
from nomade_pipeline.alerts.history import Event, event_of, events_between
from nomade_pipeline.alerts.machine import Alert, Key
from nomade_pipeline.alerts.notice import Message, Notice
from nomade_pipeline.alerts.policy import Policy
from nomade_pipeline.alerts.verdict import Judgement

# Answers why an alert is not to be told now, None when it may be: `Routes.held_back`.
HeldBack = Callable[[Alert, datetime], "str | None"]


@dataclass(frozen=True)
class Silence:
    """Somebody's wish that some alerts be not told for a while.

    Attributes:
        silence_id: its number.
        rule, cluster, subject: shell patterns; all must fit.
        ends_time: when it ends.
        author, comment: who wishes it, and why.
    """

    silence_id: int
    rule: str
    cluster: str
    subject: str
    ends_time: datetime
    author: str = ""
    comment: str = ""

    def holds(self, alert: Alert, now: datetime) -> bool:
        """Whether it keeps an alert from being told."""
        pairs = ((alert.rule, self.rule), (alert.cluster, self.cluster), (alert.subject, self.subject))
        return now < self.ends_time and all(fnmatchcase(text, pattern) for text, pattern in pairs)

    def words(self) -> str:
        """Return it in a few words."""
        return f"silence {self.silence_id} of {self.author}" + (f": {self.comment}" if self.comment else "")


def _nothing(_alert: Alert, _now: datetime) -> str | None:
    return None


@dataclass(frozen=True)
class Controls:
    """What people and the calendar ask of the engine.

    Attributes:
        silences: those in force, or others: the time decides.
        held_back: mutes and routes.
        resumed: nothing was evaluated for a while, so that it proves nothing that a subject was not heard of.
    """

    silences: tuple[Silence, ...] = ()
    held_back: HeldBack = _nothing
    resumed: bool = False


@dataclass(frozen=True)
class State:
    """All alerts by key, and the number of the next episode."""

    alerts: Mapping[Key, Alert] = field(default_factory=dict)
    next_episode: int = 1


@dataclass(frozen=True)
class Decision:
    """What a tick decided.

    Attributes:
        state: afterwards.
        changed: alerts that differ from before.
        dropped: keys of pending alerts that are over and have no history.
        events: what happened, in order.
        notices: what is to be told.
    """

    state: State
    changed: tuple[Alert, ...] = ()
    dropped: tuple[Key, ...] = ()
    events: tuple[Event, ...] = ()
    notices: tuple[Notice, ...] = ()


def decide(
    policies: Mapping[str, Policy],
    state: State,
    judgements: Sequence[Judgement],
    controls: Controls,
    now: datetime,
) -> Decision:
    """Return what follows from the judgements of a moment.

    Args:
        policies: of all rules there are, by name; alerts of any other rule are over.
        state: as the last decision left it.
        judgements: of all rules or some; alerts of the others, and of a rule that could not be judged, go on.
        controls: what people and the calendar ask for.
        now: the present time.
    """
    tick = _Tick(policies, state, controls, now)
    # Those who were told of an episode that a person has ended hear of it before a new one may begin.
    tick.tell_ends()
    for judgement in judgements:
        if judgement.problem is None and judgement.rule in policies:
            tick.judge(judgement)
    tick.end_removed_rules()
    tick.calm()
    tick.hold()
    tick.tell_ends()
    tick.tell_what_goes_on()
    tick.tell_beginnings()
    return tick.decision()


# By cluster, the hosts that firing alerts of a rule are about.
Hosts = dict[str, set[str]]


def _hosts(alerts: Iterable[Alert]) -> Hosts:
    found: Hosts = defaultdict(set)
    for alert in alerts:
        found[alert.cluster].add(alert.host)
    return found


class _Tick:
    """One decision on its way; each step changes `alerts`, and the difference to `before` is what happened."""

    def __init__(self, policies: Mapping[str, Policy], state: State, controls: Controls, now: datetime) -> None:
        self.policies, self.controls, self.now = policies, controls, now
        self.before = state.alerts
        self.alerts = {key: machine.not_in_the_future(alert, now) for key, alert in state.alerts.items()}
        if controls.resumed:
            self.alerts = {key: replace(alert, seen_time=now) for key, alert in self.alerts.items()}
        self.by_rule: dict[str, list[Key]] = defaultdict(list)
        for key in self.alerts:
            self.by_rule[key[0]].append(key)
        self.next_episode = state.next_episode
        self.notices: list[Notice] = []

    def judge(self, judgement: Judgement) -> None:
        """Advance the alerts of a rule, and end those whose subject is gone."""
        policy = self.policies[judgement.rule]
        heard = set()
        for verdict in judgement.verdicts:
            heard.add(verdict.key)
            after = machine.advance(self.alerts.get(verdict.key), verdict, policy, self.now, self._episodes())
            self._put(verdict.key, after)
        silent = [key for key in self.by_rule[judgement.rule] if key not in heard]
        for key in silent:
            if judgement.complete and key[1] in judgement.clusters:
                self._end(key, machine.GONE)
            elif self._is_silent_for(key, policy.vanished_seconds):
                self._end(key, machine.VANISHED)

    def _episodes(self) -> Iterator[int]:
        while True:
            self.next_episode += 1
            yield self.next_episode - 1

    def _put(self, key: Key, alert: Alert | None) -> None:
        if alert is None:
            self.alerts.pop(key, None)
        else:
            self.alerts[key] = alert

    def _end(self, key: Key, reason: str) -> None:
        if key in self.alerts:
            self._put(key, machine.over(self.alerts[key], reason, self.now))

    def _is_silent_for(self, key: Key, seconds: float) -> bool:
        alert = self.alerts.get(key)
        return alert is not None and seconds > 0 and self.now - alert.seen_time >= timedelta(seconds=seconds)

    def end_removed_rules(self) -> None:
        """End the alerts of rules that the configuration no longer has."""
        for rule in self.by_rule.keys() - self.policies.keys():
            for key in self.by_rule[rule]:
                self._end(key, machine.RULE_REMOVED)

    def calm(self) -> None:
        """Let what has been quiet for long enough count as flapping no longer."""
        for key, alert in self.alerts.items():
            if alert.flapping_time is not None and alert.rule in self.policies:
                self.alerts[key] = machine.calmed(alert, self.policies[alert.rule], self.now)

    def hold(self) -> None:
        """Note for each firing alert what keeps it from being told.

        An inhibited alert inhibits no rule that is looked at after its own, so that of rules that inhibit each other
        one is always told.
        """
        firing: dict[str, list[Alert]] = defaultdict(list)
        for alert in self.alerts.values():
            if alert.is_open:
                firing[alert.rule].append(alert)
        hosts = {rule: _hosts(alerts) for rule, alerts in firing.items()}
        for rule in sorted(firing):
            held = [self._held(alert, hosts) for alert in firing[rule]]
            self.alerts.update((alert.key, alert) for alert in held)
            hosts[rule] = _hosts(alert for alert in held if alert.held != machine.INHIBITED)

    def _held(self, alert: Alert, hosts: Mapping[str, Hosts]) -> Alert:
        held, by = self._hold_of(alert, hosts)
        return replace(alert, held=held, held_by=by)

    def _hold_of(self, alert: Alert, hosts: Mapping[str, Hosts]) -> tuple[str | None, str | None]:
        for silence in self.controls.silences:
            if silence.holds(alert, self.now):
                return machine.SILENCED, silence.words()
        for rule in self.policies[alert.rule].inhibited_by:
            others = hosts.get(rule, {}).get(alert.cluster, set())
            if rule != alert.rule and (others & {alert.host, ""} or (others and not alert.host)):
                return machine.INHIBITED, rule
        reason = self.controls.held_back(alert, self.now)
        return (None, None) if reason is None else (machine.HELD_BACK, reason)

    def tell_ends(self) -> None:
        """Give the all-clear to those who were told."""
        self._tell((alert, "resolved") for alert in list(self.alerts.values()) if telling.ends(alert))

    def tell_what_goes_on(self) -> None:
        """Tell what has become worse, and what nobody has acknowledged for so long."""
        for alert in list(self.alerts.values()):
            if alert.is_open:
                kinds = telling.goes_on(alert, self.policies[alert.rule], self.now)
                self._tell((self.alerts[alert.key], kind) for kind in kinds)

    def tell_beginnings(self) -> None:
        """Tell what has begun to fire; alerts of one group wait for each other."""
        waiting: dict[tuple[str, str], list[tuple[Alert, str]]] = defaultdict(list)
        for alert in self.alerts.values():
            kind = telling.begins(alert)
            if kind is not None:
                waiting[alert.rule, alert.cluster].append((alert, kind))
        for (rule, _cluster), group in waiting.items():
            first = min(alert.fired_time or self.now for alert, _kind in group)
            if self.now - first >= timedelta(seconds=self.policies[rule].group_seconds):
                self._tell(group)

    def _tell(self, what: Iterable[tuple[Alert, str]]) -> None:
        for alert, kind in what:
            self.notices.append(telling.notice_of(alert, kind, self.now))
            self.alerts[alert.key] = telling.told(self.alerts[alert.key], kind, self.now)

    def decision(self) -> Decision:
        """Return what has come of it."""
        changed = tuple(alert for key, alert in self.alerts.items() if alert != self.before.get(key))
        events = [event for after in changed for event in events_between(self.before.get(after.key), after, self.now)]
        told = [event_of(self._as_told(notice), "told", self.now, notice.kind) for notice in self.notices]
        return Decision(
            State(self.alerts, self.next_episode),
            changed,
            tuple(self.before.keys() - self.alerts.keys()),
            (*events, *told),
            tuple(self.notices),
        )

    def _as_told(self, notice: Notice) -> Alert:
        """Return the alert as a notice saw it: the episode that it tells of may not be the newest."""
        alert = self.alerts[notice.rule, notice.cluster, notice.subject]
        return replace(alert, episode=notice.episode, severity=notice.severity)


def with_targets(decision: Decision, messages: Iterable[Message]) -> Decision:
    """Return the decision with what the routes made of it: which targets each episode was told to."""
    targets: dict[int, set[str]] = defaultdict(set)
    for message in messages:
        for notice in message.notices:
            targets[notice.episode].add(message.target)
    changed = tuple(
        replace(alert, told_targets=tuple(sorted({*alert.told_targets, *targets[alert.episode]})))
        if alert.episode in targets and alert.episode is not None
        else alert
        for alert in decision.changed
    )
    alerts = {**decision.state.alerts, **{alert.key: alert for alert in changed}}
    return replace(decision, state=replace(decision.state, alerts=alerts), changed=changed)
