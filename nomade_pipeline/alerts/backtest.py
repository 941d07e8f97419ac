"""What rules would have sent in the past: the same judgement and engine, fed from the lake.

The lake is looked at every `past.STEP`, at series every `SERIES_STEP`, for findings every `SLOW_STEP`, with what had
been measured by then.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Sequence

from nomade_pipeline.alerts.drift_source import JOB_DRIFT, DriftPast
from nomade_pipeline.alerts.engine import Controls, State, decide
from nomade_pipeline.alerts.evidence import Evidence, Place, Sample
from nomade_pipeline.alerts.judge import judge
from nomade_pipeline.alerts.notice import Notice
from nomade_pipeline.alerts.past import STEP, OutcomesPast, Past, SilencePast, TablePast
from nomade_pipeline.alerts.past_queue import FindingsPast, QueuePast
from nomade_pipeline.alerts.rule import ABSENCE, FINDING, Rule
from nomade_pipeline.alerts.sources import JOB_OUTCOMES
from nomade_pipeline.alerts.verdict import Judgement, Verdict
from nomade_pipeline.alerts.windows import BINS, REACH
from nomade_pipeline.config.settings import Config
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

if TYPE_CHECKING:
    from nomade_pipeline.store.lake import Lake

# The analysis of a series is what a back-test costs.
SERIES_STEP = timedelta(minutes=15)
# Findings change slowly, and a look at them takes all jobs of the queue or of a day.
SLOW_STEP = timedelta(hours=1)
# Samples of a series that are looked at, and series that are analysed at once.
KEPT = int(REACH * BINS) + 1
BLOCK = 2048

# Seconds since 1970 UTC, value.
Point = tuple[float, float]
Judgements = Iterator[tuple[datetime, Judgement]]


@dataclass(frozen=True)
class Episode:
    """An alert that a rule would have sent.

    Attributes:
        rule, cluster, subject, severity, summary: as told at its beginning.
        fired_time: when it would have been told; ``resolved_time``: its end, None when it still fired.
        lead_seconds: how long before the threshold of the rule that it is ahead of was passed; None: it was not passed,
            or there is no such rule.
    """

    rule: str
    cluster: str
    subject: str
    severity: str
    summary: str
    fired_time: datetime
    resolved_time: datetime | None = None
    lead_seconds: float | None = None


@dataclass(frozen=True)
class Tested:
    """What a rule would have sent.

    Attributes:
        rule: the rule.
        looks: moments at which something was known of what it looks at; 0: the lake holds nothing of it.
        episodes: the oldest first.
    """

    rule: Rule
    looks: int
    episodes: tuple[Episode, ...]

    def summary(self) -> dict[str, Any]:
        """Return how often it would have spoken (None: nothing is known), and how long before the threshold."""
        leads = sorted(each.lead_seconds for each in self.episodes if each.lead_seconds is not None)
        return {
            "looks": self.looks,
            "episodes": len(self.episodes) if self.looks else None,
            "subjects": len({(each.cluster, each.subject) for each in self.episodes}) if self.looks else None,
            "with_lead": len(leads),
            "lead_median_seconds": median(leads) if leads else None,
        }


def backtest(lake: Lake, config: Config, rules: Sequence[Rule], rule: Rule, begin: datetime, end: datetime) -> Tested:
    """Return what a rule would have sent.

    Args:
        lake: the measurements.
        config: thresholds of the findings, and how often each collector runs.
        rules: all rules, for the one that this is ahead of.
        rule: the rule.
        begin: first moment; the series of its windows reach back before it.
        end: last moment.
    """
    tested = _tested(rule, _judgements(lake, config, rule, begin, end))
    ahead = next((each for each in rules if each.name == rule.ahead_of), None)
    if ahead is None or not tested.episodes:
        return tested
    passed = _passings(ahead, _judgements(lake, config, ahead, begin, end))
    return replace(tested, episodes=tuple(_with_lead(episode, passed) for episode in tested.episodes))


def _past_of(lake: Lake, config: Config, rule: Rule, begin: datetime, end: datetime) -> Past:
    if rule.kind == FINDING:
        return FindingsPast(lake, rule, config, begin, end)
    if rule.kind == ABSENCE:
        return SilencePast(lake, rule, config, begin, end)
    if rule.table == JOB_OUTCOMES.name:
        return OutcomesPast(lake, rule, begin, end)
    if rule.table == JOB_DRIFT.name:
        return DriftPast(lake, rule)
    if rule.table == SLURM_JOB.name:
        return QueuePast(lake, rule, begin, end)
    return TablePast(lake, rule, begin, end)


def _judgements(lake: Lake, config: Config, rule: Rule, begin: datetime, end: datetime) -> Judgements:
    """Yield each moment with what the rule would have said then."""
    past = _past_of(lake, config, rule, begin, end)
    if rule.needs_series:
        yield from _by_series(rule, past, _moments(begin, end, SERIES_STEP))
        return
    for moment in _moments(begin, end, SLOW_STEP if rule.kind == FINDING else STEP):
        past.advance(moment)
        yield moment, judge(rule, past.evidence(moment))


def _moments(begin: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    moment = begin
    while moment <= end:
        yield moment
        moment += step


def _by_series(rule: Rule, past: Past, moments: Iterable[datetime]) -> Judgements:
    """Judge the series of many moments at once: the analysis is made for thousands."""
    points: dict[Place, deque[Point]] = defaultdict(lambda: deque(maxlen=KEPT))
    block: list[tuple[datetime, Sample, list[Point]]] = []
    for moment in moments:
        news = {sample.place: sample for sample in past.advance(moment) if _remember(rule, points, sample)}
        block += [(moment, sample, list(points[place])) for place, sample in news.items()]
        if len(block) >= BLOCK:
            yield from _judged(rule, block)
            block = []
    yield from _judged(rule, block)


def _remember(rule: Rule, points: dict[Place, deque[Point]], sample: Sample) -> bool:
    """Append a sample to its series if it is the first of its bin; return whether it is."""
    series, seconds = points[sample.place], sample.time.timestamp()
    size = max(1.0, rule.window_seconds / BINS)
    if series and seconds // size <= series[-1][0] // size:
        return False
    series.append((seconds, float(sample.row[rule.column])))
    return True


def _judged(rule: Rule, block: Sequence[tuple[datetime, Sample, list[Point]]]) -> Judgements:
    from nomade_pipeline.analysis.series import SeriesBatch

    series = SeriesBatch.of(([time for time, _ in points], [value for _, value in points]) for _, _, points in block)
    samples = tuple(sample for _, sample, _ in block)
    verdicts = judge(rule, Evidence(samples, series=series, plots=False)).verdicts
    said = {(*verdict.key, verdict.time): verdict for verdict in verdicts}
    by_moment: dict[datetime, list[Verdict]] = {}
    for moment, sample, _ in block:
        verdict = said.get((rule.name, *sample.place, sample.time))
        by_moment.setdefault(moment, []).extend([verdict] if verdict else [])
    for moment, found in by_moment.items():
        yield moment, Judgement(rule.name, tuple(found))


def _tested(rule: Rule, judgements: Judgements) -> Tested:
    """Run the engine over the moments; every ``firing`` notice is an episode, ``resolved`` ends it."""
    state, looks = State(), 0
    policies = {rule.name: replace(rule.policy, inhibited_by=())}
    found: dict[int, Episode] = {}
    for moment, judgement in judgements:
        decision = decide(policies, state, [judgement], Controls(), moment)
        state = decision.state
        looks += bool(judgement.verdicts or judgement.clusters)
        for notice in decision.notices:
            _note(found, notice)
    return Tested(rule, looks, tuple(sorted(found.values(), key=lambda episode: episode.fired_time)))


def _note(found: dict[int, Episode], notice: Notice) -> None:
    if notice.kind == "firing":
        found[notice.episode] = Episode(
            notice.rule, notice.cluster, notice.subject, notice.severity, notice.summary, notice.time
        )
    elif notice.kind == "resolved" and notice.episode in found:
        known = found[notice.episode]
        found[notice.episode] = replace(known, resolved_time=notice.time)


def _passings(rule: Rule, judgements: Judgements) -> dict[Place, list[datetime]]:
    """Return when the condition of a rule began to hold, by subject."""
    passed: dict[Place, list[datetime]] = defaultdict(list)
    holding: dict[Place, bool] = {}
    for _, judgement in judgements:
        for verdict in judgement.verdicts:
            place = (verdict.cluster, verdict.subject)
            holds = verdict.level in rule.levels
            if holds and not holding.get(place, False):
                passed[place].append(verdict.time)
            holding[place] = holds
    return passed


def _with_lead(episode: Episode, passed: dict[Place, list[datetime]]) -> Episode:
    """Add the time until the next passing of the threshold, if it came before the alert was over."""
    until = episode.resolved_time
    later = [
        moment
        for moment in passed[episode.cluster, episode.subject]
        if moment >= episode.fired_time and (until is None or moment <= until)
    ]
    lead = (later[0] - episode.fired_time).total_seconds() if later else None
    return replace(episode, lead_seconds=lead)
