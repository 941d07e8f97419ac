"""One evaluation: gather, judge, settle, and the first delivery attempt; the same for the sensor and for a person."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from nomade_pipeline import clock
from nomade_pipeline.alerts.alive import note_evaluation
from nomade_pipeline.alerts.deliver import Outcome, deliver
from nomade_pipeline.alerts.gather import Gatherer
from nomade_pipeline.alerts.judge import judge
from nomade_pipeline.alerts.outbox import opened
from nomade_pipeline.alerts.route_file import Outlets, load_outlets
from nomade_pipeline.alerts.route_file import outlets as outlets_of
from nomade_pipeline.alerts.rule import EVENT, Rule
from nomade_pipeline.alerts.rule_file import load_rules, rules_of
from nomade_pipeline.alerts.shipped import BROKEN_RULES
from nomade_pipeline.alerts.tick import Memory, Settled, settle
from nomade_pipeline.alerts.verdict import FINE, Judgement, Verdict
from nomade_pipeline.alerts.windows import Windows, spans
from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.live import Database
from nomade_pipeline.store.alerts import AlertStore, OutboxStore
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.alerts import STATES
from nomade_pipeline.transport.words import one_line

if TYPE_CHECKING:
    from nomade_pipeline.alerts.policy import Policy

# Events that a tick names one by one.
MOST_EVENTS = 20
# The evaluating tick's own part of delivering; what fails is tried again by the delivery sensor.
DELIVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation did.

    Attributes:
        rules: how many were judged.
        subjects: how many subjects they spoke of.
        problems: rules that could not be judged, and a configuration that is not in force.
        settled: what was decided and stored.
        outcomes: how the first attempts of delivery went.
        seconds: how long it took, delivery included.
    """

    rules: int
    subjects: int
    problems: tuple[str, ...]
    settled: Settled
    outcomes: tuple[Outcome, ...]
    seconds: float


class Evaluator:
    """Evaluates again and again with the newest alerts.toml that could be read.

    A broken one changes nothing where a good one was read before; at first the shipped rules hold, and what
    nomade.toml says of delivery. That it is broken is an alert.
    """

    def __init__(self) -> None:
        self._read: tuple[tuple[Rule, ...], Outlets] | None = None

    def evaluate(self, config: Config, store: Store, also: Sequence[Judgement] = ()) -> Evaluated:
        """Judge all rules now, store what follows, and try to deliver it.

        Args:
            config: nomade.toml.
            store: the data folder.
            also: judgements from elsewhere, of rules that there are.
        """
        began, now = clock.monotonic(), clock.now()
        (rules, outlets), broken = self._configuration(config)
        alerts = AlertStore(store.rollups)
        windows = Windows(alerts, store.lake, now, spans(rules))
        judgements = [*judge_all(config, rules, windows), *also, _configuration_judged(config, broken, now)]
        memory = Memory(bins=windows.bins, forget=windows.forget)
        settled = settle(alerts, policies_of(rules), judgements, outlets.routes, now, memory)
        with opened(OutboxStore(store.rollups)) as outbox:
            outcomes = deliver(outbox, outlets.targets, now, DELIVERY_SECONDS)
        problems = [f"{each.rule}: {each.problem}" for each in judgements if each.problem is not None]
        problems += filter(None, (broken, note_evaluation(config, now)))
        subjects = sum(len(judgement.verdicts) for judgement in judgements)
        seconds = clock.monotonic() - began
        return Evaluated(len(rules), subjects, tuple(problems), settled, tuple(outcomes), seconds)

    def _configuration(self, config: Config) -> tuple[tuple[tuple[Rule, ...], Outlets], str | None]:
        """Return the rules and outlets in force, and why alerts.toml is not."""
        broken = None
        try:
            self._read = load_rules(config), load_outlets(config)
        except ConfigError as error:
            broken = str(error)
        if self._read is None:
            self._read = rules_of(config, (), Path()), outlets_of(config, (), Path())
        return self._read, broken


def _configuration_judged(config: Config, broken: str | None, now: datetime) -> Judgement:
    """Return the judgement on alerts.toml itself."""
    level, text = (FINE, "") if broken is None else ("warning", f"the alerts go on with the settings before: {broken}")
    return Judgement(
        BROKEN_RULES, (Verdict(BROKEN_RULES, config.general.cluster_name, "alerts.toml", level, now, summary=text),)
    )


def judge_all(config: Config, rules: Sequence[Rule], windows: Windows) -> list[Judgement]:
    """Return what each rule says now; one that cannot be judged says why, and the others go on."""
    database = Database(config.paths)
    try:
        gatherer = Gatherer(config, database, windows, windows.now)
        return [_judged(gatherer, rule) for rule in rules if rule.kind != EVENT]
    finally:
        database.close()


def _judged(gatherer: Gatherer, rule: Rule) -> Judgement:
    try:
        return judge(rule, gatherer.evidence(rule))
    except Exception as error:  # noqa: BLE001 - one faulty rule must not keep the others from being judged; it is told
        return Judgement(rule.name, problem=f"{type(error).__name__}: {error}")


def policies_of(rules: Sequence[Rule]) -> dict[str, Policy]:
    """Return the policies of rules by name."""
    return {rule.name: rule.policy for rule in rules}


def in_words(evaluated: Evaluated) -> str:
    """Return what an evaluation decided and why, for the tick in Dagster's UI."""
    decision = evaluated.settled.decision
    counts = Counter(alert.state for alert in decision.state.alerts.values())
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "no alerts"
    lines = [
        f"{evaluated.rules} rules, {evaluated.subjects} verdicts in {evaluated.seconds:.2f} s: {states}",
        *(f"{event.kind}: {event.rule} {event.subject}: {event.reason}" for event in decision.events[:MOST_EVENTS]),
        *(
            f"to {outcome.message.target}: "
            + ("delivered" if outcome.problem is None else f"failed: {outcome.problem}")
            for outcome in evaluated.outcomes
        ),
        *(f"problem: {problem}" for problem in evaluated.problems),
    ]
    return "\n".join(map(one_line_of, lines))


def one_line_of(text: str) -> str:
    """Return a text of strangers on one line."""
    return one_line(text, 500)
