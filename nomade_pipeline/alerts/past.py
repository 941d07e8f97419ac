"""What was known at each moment of the past, from the lake: the evidence that an evaluation would have had then."""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Protocol, Sequence

from nomade_pipeline.alerts.evidence import Evidence, Place, Sample, sample_of, subject_columns
from nomade_pipeline.alerts.gather import is_complete
from nomade_pipeline.alerts.rule import Rule
from nomade_pipeline.alerts.sources import LEAST_JOBS, OUTCOME_WINDOW, hosts_without_data, outcome_sample
from nomade_pipeline.alerts.windows import BINS, REACH
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.collection import Record, add_run
from nomade_pipeline.status.live import LEAST_INTERVAL, STALE_INTERVALS
from nomade_pipeline.tables.catalog import raw_table_named
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.operations import COLLECTION_LOG
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, SUCCESS
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

if TYPE_CHECKING:
    import polars

    from nomade_pipeline.store.lake import Lake

# How often the past is looked at.
STEP = timedelta(minutes=5)
# Of what a state is told with.
_REASONS = ("reason", "reason_user", "reason_time", "message", "node_host")

Row = Mapping[str, Any]


class Past(Protocol):
    """What was known of one rule; moments are asked for in ascending order."""

    def advance(self, moment: datetime) -> Sequence[Sample]:
        """Read on up to a moment; return the samples that came since, of what is a series."""

    def evidence(self, moment: datetime) -> Evidence:
        """Return what was known at the moment that was read up to."""


class Rows:
    """The rows of a table in the order of their times; one day at a time is in memory."""

    def __init__(self, days: Iterator[polars.DataFrame]) -> None:
        """Take frames in the order of time."""
        self._rows = (row for day in days for row in day.iter_rows(named=True))
        self._ahead = next(self._rows, None)

    def until(self, moment: datetime) -> Iterator[dict[str, Any]]:
        """Yield the rows up to a moment that were not yielded before."""
        while self._ahead is not None and self._ahead["sample_time"] <= moment:
            yield self._ahead
            self._ahead = next(self._rows, None)


def days_of(
    lake: Lake, table: Table, begin: datetime, end: datetime, columns: Sequence[str] | None = None
) -> Iterator[polars.DataFrame]:
    """Yield some columns of a table day by day, each day by time, cluster and host."""
    start = begin
    while start <= end:
        midnight = datetime.combine(start.date() + timedelta(days=1), time(), start.tzinfo)
        # Up to the last moment of a day only: the file of the next one need not be opened.
        stop = min(midnight, end + timedelta(milliseconds=1)) - timedelta(microseconds=1)
        yield lake.read(table, start, stop, columns=columns).sort("sample_time", "cluster", "host", maintain_order=True)
        start = midnight


class TablePast:
    """The past of a rule on a raw table: of each subject the last row a step, or the first one a bin of its series."""

    def __init__(self, lake: Lake, rule: Rule, begin: datetime, end: datetime) -> None:
        self._rule, self._table, self._begin = rule, raw_table_named(rule.table), begin
        reach = timedelta(seconds=REACH * rule.window_seconds) if rule.needs_series else STEP
        wanted = {*self._names, "interval_seconds", rule.column, *rule.where, *rule.limit_columns, *_REASONS}
        columns = [name for name in self._table.column_names if name in wanted]
        days = days_of(lake, self._table, begin - reach, end, columns)
        self._rows = Rows(self._thinned(day) for day in days)
        self._newest: dict[Place, Sample] = {}

    @property
    def _names(self) -> tuple[str, ...]:
        names = self._rule.subject or subject_columns(self._table)
        return tuple(dict.fromkeys(("cluster", "host", "sample_time", *self._table.subject, *names)))

    def _thinned(self, rows: polars.DataFrame) -> polars.DataFrame:
        """Return the rows that count, as few as the rule needs: from here on each costs some microseconds."""
        import polars as pl

        rule, series = self._rule, self._rule.needs_series
        for name, values in rule.where.items():
            rows = rows.filter(pl.col(name).cast(pl.String).fill_null("null").is_in(values))
        if series:
            rows = rows.filter(pl.col(rule.column).is_not_null())
        seconds = rule.window_seconds / BINS if series else STEP.total_seconds()
        since = (pl.col("sample_time") - self._begin).dt.total_milliseconds()
        # (begin, begin + step] is one step: a look at its end sees its last row.
        step = (since - (0 if series else 1)) // max(1, round(1000 * seconds))
        subject = [name for name in self._names if name != "sample_time"]
        return (
            rows.with_columns(step.alias("_step"))
            .unique([*subject, "_step"], keep="first" if series else "last", maintain_order=True)
            .drop("_step")
        )

    def advance(self, moment: datetime) -> Sequence[Sample]:
        """See `Past`."""
        news = []
        for row in self._rows.until(moment):
            sample = sample_of(self._table, row, self._rule.subject, row["sample_time"])
            self._newest[sample.place] = sample
            news.append(sample)
        return news

    def evidence(self, moment: datetime) -> Evidence:
        """See `Past`."""
        samples = tuple(sample for sample in self._newest.values() if _is_fresh(sample, moment))
        clusters = tuple(sorted({sample.cluster for sample in samples}))
        return Evidence(samples, is_complete(self._rule), clusters)


def _is_fresh(sample: Sample, moment: datetime) -> bool:
    interval: float = max(sample.row["interval_seconds"], LEAST_INTERVAL)
    return (moment - sample.time).total_seconds() <= STALE_INTERVALS * interval


class OutcomesPast:
    """The past of a rule on `sources.JOB_OUTCOMES`."""

    def __init__(self, lake: Lake, rule: Rule, begin: datetime, end: datetime) -> None:
        reach = OUTCOME_WINDOW + timedelta(seconds=REACH * rule.window_seconds if rule.needs_series else 0)
        columns = ("cluster", "host", "sample_time", "partition", "failure_class")
        self._rule = rule
        self._rows = Rows(days_of(lake, JOB_METRICS, begin - reach, end, columns))
        self._ended: dict[Place, deque[tuple[datetime, bool]]] = defaultdict(deque)

    def advance(self, moment: datetime) -> Sequence[Sample]:
        """See `Past`."""
        touched = set()
        for row in self._rows.until(moment):
            if row["failure_class"] in (SUCCESS, *FAILED_CLASSES):
                place = (row["cluster"], row["partition"] or "")
                self._ended[place].append((row["sample_time"], row["failure_class"] in FAILED_CLASSES))
                touched.add(place)
        return [sample for sample in self.evidence(moment).samples if sample.place in touched]

    def evidence(self, moment: datetime) -> Evidence:
        """See `Past`."""
        for ended in self._ended.values():
            while ended and ended[0][0] < moment - OUTCOME_WINDOW:
                ended.popleft()
        samples = (
            outcome_sample(*place, len(ended), sum(failed for _, failed in ended), ended[-1][0])
            for place, ended in sorted(self._ended.items())
            if len(ended) >= LEAST_JOBS
        )
        return Evidence(tuple(sample for sample in samples if self._rule.holds_for(sample.row)))


class SilencePast:
    """The past of a rule on silence, from the log of the collectors' runs."""

    def __init__(self, lake: Lake, rule: Rule, config: Config, begin: datetime, end: datetime) -> None:
        self._rule, self._config = rule, config
        columns = ("cluster", "host", "sample_time", "interval_seconds", "collector", "outcome", "category", "message")
        self._rows = Rows(days_of(lake, COLLECTION_LOG, begin - timedelta(hours=1), end, columns))
        self._records: dict[tuple[str, str, str], Record] = {}

    def advance(self, moment: datetime) -> Sequence[Sample]:
        """See `Past`."""
        for row in self._rows.until(moment):
            place = (row["cluster"], row["host"], row["collector"])
            add_run(self._records.setdefault(place, Record(*place)), row, row["sample_time"])
        return ()

    def evidence(self, moment: datetime) -> Evidence:
        """See `Past`."""
        samples = hosts_without_data(self._config, self._records.values(), self._rule.collector, moment)
        return Evidence(tuple(sample for sample in samples if self._rule.holds_for(sample.row)))
