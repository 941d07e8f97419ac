"""What rules would have sent in the past: the same judgement and engine, fed from the lake.

The lake is looked at every `STEP`, with what had been measured by then. Rules that look at the queue's findings or at
silence have no past in the lake; `can_be_tested` tells.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from nomade_pipeline.alerts.engine import Controls, State, decide
from nomade_pipeline.alerts.evidence import Evidence, Place, Sample, sample_of
from nomade_pipeline.alerts.judge import judge
from nomade_pipeline.alerts.notice import Notice
from nomade_pipeline.alerts.rule import ABSENCE, FINDING, STATE, Rule
from nomade_pipeline.alerts.sources import VIEWS
from nomade_pipeline.alerts.verdict import Judgement, Verdict
from nomade_pipeline.alerts.windows import BINS, REACH
from nomade_pipeline.tables.catalog import raw_table_named

if TYPE_CHECKING:
    import polars

    from nomade_pipeline.store.lake import Lake

STEP = timedelta(minutes=5)
# A sample older than this says nothing of the moment.
FRESH = timedelta(minutes=10)
# Samples of a series that are looked at, and series that are analysed at once.
KEPT = int(REACH * BINS) + 1
BLOCK = 2048

# Seconds since 1970 UTC, value.
Points = list[tuple[float, float]]


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


def can_be_tested(rule: Rule) -> bool:
    """Whether the lake holds what a rule looks at."""
    return rule.kind not in (FINDING, ABSENCE) and rule.table not in VIEWS


def backtest(lake: Lake, rules: Sequence[Rule], rule: Rule, begin: datetime, end: datetime) -> list[Episode]:
    """Return what a rule would have sent, the oldest first.

    Args:
        lake: the measurements.
        rules: all rules, for the one that this is ahead of.
        rule: the rule; `can_be_tested`.
        begin: first moment; the series of its windows reach back before it.
        end: last moment.
    """
    episodes = list(_episodes(_Past(lake, rule, begin, end)))
    ahead = next((each for each in rules if each.name == rule.ahead_of), None)
    if ahead is None or not episodes:
        return episodes
    passed = _passings(_Past(lake, ahead, begin, end))
    return [_with_lead(episode, passed) for episode in episodes]


@dataclass
class _Past:
    """The samples of one rule's table, to be asked for what was known at a moment."""

    lake: Lake
    rule: Rule
    begin: datetime
    end: datetime
    _next: int = 0
    _newest: dict[Place, Sample] = field(default_factory=dict)
    _points: dict[Place, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        reach = timedelta(seconds=REACH * self.rule.window_seconds) if self.rule.needs_series else STEP
        rows = self.lake.read(raw_table_named(self.rule.table), self.begin - reach, self.end)
        self._rows = rows.sort("sample_time", maintain_order=True)
        self._times: polars.Series = self._rows["sample_time"]

    def judgements(self) -> Iterator[tuple[datetime, Judgement]]:
        """Yield each moment with what the rule would have said then."""
        return self._by_series() if self.rule.needs_series else self._by_samples()

    def _by_samples(self) -> Iterator[tuple[datetime, Judgement]]:
        for moment in self._moments():
            self._read_until(moment)
            samples = self._fresh(moment)
            clusters = tuple(sorted({sample.cluster for sample in samples}))
            complete = self.rule.kind == STATE and bool(samples)
            yield moment, judge(self.rule, Evidence(samples, complete, clusters))

    def _by_series(self) -> Iterator[tuple[datetime, Judgement]]:
        """Judge the series of many moments at once: the analysis is made for thousands."""
        block: list[tuple[datetime, Sample, Points]] = []
        for moment in self._moments():
            since = self._next
            self._read_until(moment)
            if self._next > since:
                block += [(moment, each, self._points[each.place][-KEPT:]) for each in self._fresh(moment)]
            if len(block) >= BLOCK:
                yield from self._judged(block)
                block = []
        yield from self._judged(block)

    def _judged(self, block: Sequence[tuple[datetime, Sample, Points]]) -> Iterator[tuple[datetime, Judgement]]:
        from nomade_pipeline.analysis.series import SeriesBatch

        samples = tuple(sample for _, sample, _ in block)
        series = SeriesBatch.of(
            ([time for time, _ in points], [value for _, value in points]) for _, _, points in block
        )
        verdicts = judge(self.rule, Evidence(samples, series=series, plots=False)).verdicts
        said = {(*verdict.key, verdict.time): verdict for verdict in verdicts}
        by_moment: dict[datetime, list[Verdict]] = {}
        for moment, sample, _ in block:
            verdict = said.get((self.rule.name, *sample.place, sample.time))
            by_moment.setdefault(moment, []).extend([verdict] if verdict else [])
        for moment, found in by_moment.items():
            yield moment, Judgement(self.rule.name, tuple(found))

    def _moments(self) -> Iterator[datetime]:
        moment = self.begin
        while moment <= self.end:
            yield moment
            moment += STEP

    def _fresh(self, moment: datetime) -> tuple[Sample, ...]:
        return tuple(sample for sample in self._newest.values() if moment - sample.time <= FRESH)

    def _read_until(self, moment: datetime) -> None:
        table = raw_table_named(self.rule.table)
        upto = int(self._times.search_sorted(moment, side="right"))
        for row in self._rows.slice(self._next, upto - self._next).iter_rows(named=True):
            if self.rule.holds_for(row):
                sample = sample_of(table, row, self.rule.subject, row["sample_time"])
                self._newest[sample.place] = sample
                if self.rule.needs_series:
                    self._remember(sample)
        self._next = upto

    def _remember(self, sample: Sample) -> None:
        value, seconds = sample.row[self.rule.column], sample.time.timestamp()
        points, size = self._points[sample.place], max(1.0, self.rule.window_seconds / BINS)
        if value is not None and (not points or seconds // size > points[-1][0] // size):
            points.append((seconds, float(value)))


def _episodes(past: _Past) -> Iterator[Episode]:
    """Run the engine over the moments; every ``firing`` notice is an episode, ``resolved`` ends it."""
    rule, state = past.rule, State()
    policies = {rule.name: replace(rule.policy, inhibited_by=())}
    found: dict[int, Episode] = {}
    for moment, judgement in past.judgements():
        decision = decide(policies, state, [judgement], Controls(), moment)
        state = decision.state
        for notice in decision.notices:
            _note(found, notice)
    yield from sorted(found.values(), key=lambda episode: episode.fired_time)


def _note(found: dict[int, Episode], notice: Notice) -> None:
    if notice.kind == "firing":
        found[notice.episode] = Episode(
            notice.rule, notice.cluster, notice.subject, notice.severity, notice.summary, notice.time
        )
    elif notice.kind == "resolved" and notice.episode in found:
        known = found[notice.episode]
        found[notice.episode] = replace(known, resolved_time=notice.time)


def _passings(past: _Past) -> dict[Place, list[datetime]]:
    """Return when the condition of a rule began to hold, by subject."""
    passed: dict[Place, list[datetime]] = defaultdict(list)
    holding: dict[Place, bool] = {}
    for _, judgement in past.judgements():
        for verdict in judgement.verdicts:
            place = (verdict.cluster, verdict.subject)
            holds = verdict.level in past.rule.levels
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


def summary(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Return how often a rule would have spoken, and how long before the threshold in the median."""
    leads = sorted(each.lead_seconds for each in episodes if each.lead_seconds is not None)
    return {
        "episodes": len(episodes),
        "subjects": len({(each.cluster, each.subject) for each in episodes}),
        "with_lead": len(leads),
        "lead_median_seconds": leads[len(leads) // 2] if leads else None,
    }
