"""The series that rules look back over: thinned samples in the database, filled from the lake after a gap.

A series keeps one sample a bin, with its own time. A subject is judged anew when a bin of its own begins, not with
every tick.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Iterable, Sequence

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.alerts.evidence import Place, Sample, sample_of, subject_columns
from nomade_pipeline.alerts.policy import HOUR
from nomade_pipeline.alerts.rule import LEAST, MEAN, MOST, Rule
from nomade_pipeline.alerts.sources import VIEWS
from nomade_pipeline.analysis.series import Flags, Floats, SeriesBatch
from nomade_pipeline.tables.catalog import raw_table_named

if TYPE_CHECKING:
    from nomade_pipeline.store.alerts import AlertStore
    from nomade_pipeline.store.lake import Lake
    from nomade_pipeline.store.rollups import Rollups

# So many bins a window: enough for a parabola, few enough for thousands of series.
BINS = 96
# An acceleration is looked at in two windows, the earlier one a quarter of a window before the other.
REACH = 1.25

# Table and column.
Quantity = tuple[str, str]
# Seconds since 1970 UTC, value.
Points = dict[Place, list[tuple[float, float]]]


@dataclass(frozen=True)
class Span:
    """How far back a quantity is kept, and how densely.

    Attributes:
        reach: seconds that are kept.
        bin: seconds of a bin.
    """

    reach: float
    bin: float


def spans(rules: Iterable[Rule]) -> dict[Quantity, Span]:
    """Return the span of each quantity that some rule looks back over."""
    windows: dict[Quantity, list[float]] = {}
    for rule in rules:
        if rule.needs_series:
            windows.setdefault((rule.table, rule.column), []).append(rule.window_seconds)
    return {each: Span(REACH * max(found), max(1.0, min(found) / BINS)) for each, found in windows.items()}


@dataclass
class Windows:
    """The remembered series of one tick.

    Attributes:
        bins: rows to be remembered; ``forget``: by quantity, before when nothing is needed any more.
    """

    store: AlertStore
    lake: Lake
    now: datetime
    spans: dict[Quantity, Span]
    bins: list[dict[str, Any]] = field(default_factory=list)
    forget: dict[Quantity, datetime] = field(default_factory=dict)
    _looks: dict[Quantity, dict[Place, list[tuple[float, float]] | None]] = field(default_factory=dict)

    def series(self, rule: Rule, samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], SeriesBatch] | None:
        """Return the samples with which a new bin has begun, and their series in the same order; None without any."""
        quantity = (rule.table, rule.column)
        looks = self._looks.setdefault(quantity, {})
        looks.update(self._look(quantity, [sample for sample in samples if sample.place not in looks]))
        due = [(sample, points) for sample in samples if (points := looks[sample.place]) is not None]
        if not due:
            return None
        pairs = (([time for time, _ in points], [value for _, value in points]) for _, points in due)
        return tuple(sample for sample, _ in due), SeriesBatch.of(pairs)

    def _look(self, quantity: Quantity, samples: Sequence[Sample]) -> dict[Place, list[tuple[float, float]] | None]:
        """Return the series of each sample's place, None where no bin has begun since the last look."""
        span, since = self.spans[quantity], self.now - timedelta(seconds=self.spans[quantity].reach)
        newest = self.store.newest_bins(*quantity, (sample.place for sample in samples))
        due = [sample for sample in samples if _begins_bin(sample, quantity[1], newest.get(sample.place), span.bin)]
        points: Points = self.store.window(*quantity, since, (sample.place for sample in due))
        if due:
            self._fill_gap(quantity, points, max(newest.values(), default=since.timestamp()))
            self.forget[quantity] = since
        for sample in due:
            self._add(quantity, points[sample.place], sample.place, sample.time.timestamp(), sample.row[quantity[1]])
        return {sample.place: points.get(sample.place) for sample in samples}

    def _fill_gap(self, quantity: Quantity, points: Points, known: float) -> None:
        """Take from the lake what came while nobody looked; at the first look that is the whole window."""
        begin = clock.from_epoch(known)
        if (self.now - begin).total_seconds() <= 3 * self.spans[quantity].bin or quantity[0] in VIEWS:
            return
        for place, moment, value in self._past(quantity, begin):
            if place in points:
                self._add(quantity, points[place], place, moment, value)

    def _past(self, quantity: Quantity, begin: datetime) -> list[tuple[Place, float, float]]:
        """Return what came since a moment; of weeks from the rollups, where an hour is dense enough."""
        if self.spans[quantity].bin >= HOUR and _is_rolled_up(quantity):
            return hourly_history(self.store.rollups, quantity, begin, self.now)
        return history(self.lake, quantity, begin, self.now)

    def _add(
        self, quantity: Quantity, series: list[tuple[float, float]], place: Place, moment: float, value: float
    ) -> None:
        """Append a sample to its series; the first of each bin is remembered."""
        seconds = self.spans[quantity].bin
        if series and bin_of(place, moment, seconds) <= bin_of(place, series[-1][0], seconds):
            return
        series.append((moment, float(value)))
        self.bins.append(
            {
                "table_name": quantity[0],
                "column_name": quantity[1],
                "cluster": place[0],
                "subject": place[1],
                "bin_time": clock.to_text(clock.from_epoch(moment)),
                "value": float(value),
            }
        )


def bin_of(place: Place, moment: float, seconds: float) -> float:
    """Return the number of the bin that holds a moment.

    The bins of each place begin at moments of its own: thousands of series are then analysed a few with each tick, not
    all with one of them.
    """
    phase = zlib.crc32("/".join(place).encode("utf-8", "backslashreplace")) / 2**32
    return (moment / seconds + phase) // 1


def _begins_bin(sample: Sample, column: str, newest: float | None, seconds: float) -> bool:
    if sample.row[column] is None:
        return False
    moment = sample.time.timestamp()
    return newest is None or bin_of(sample.place, moment, seconds) > bin_of(sample.place, newest, seconds)


def _is_rolled_up(quantity: Quantity) -> bool:
    """Whether the rollups have the quantity, under names from which its places can be told."""
    table = raw_table_named(quantity[0])
    return table.column(quantity[1]).rollup and len({*table.rollup_by} - {"host"}) <= 1


def hourly_history(
    rollups: Rollups, quantity: Quantity, begin: datetime, end: datetime
) -> list[tuple[Place, float, float]]:
    """Return (place, seconds since 1970 UTC, mean) of the whole hours of a quantity between two moments, by time.

    Each stands in the middle of its hour, or of the part of it that was measured.
    """
    table = raw_table_named(quantity[0])
    by_host = "host" in subject_columns(table)
    rows = rollups.rows(
        "SELECT cluster, host, subject, hour, seconds, mean FROM hourly WHERE table_name = ? AND metric = ? "
        "AND hour >= ? AND hour < ? AND seconds > 0 ORDER BY hour",
        (*quantity, clock.to_text(clock.hour_of(begin)), clock.to_text(clock.hour_of(end))),
    )
    hours = {text: clock.from_text(text).timestamp() for text in {row["hour"] for row in rows}}
    return [
        (
            (row["cluster"], ":".join(filter(None, (row["host"] if by_host else "", row["subject"])))),
            hours[row["hour"]] + min(row["seconds"], HOUR) / 2,
            row["mean"],
        )
        for row in rows
    ]


def history(lake: Lake, quantity: Quantity, begin: datetime, end: datetime) -> list[tuple[Place, float, float]]:
    """Return (place, seconds since 1970 UTC, value) of a column in the lake after ``begin``, ordered by time."""
    import polars as pl

    table, column = raw_table_named(quantity[0]), quantity[1]
    names = subject_columns(table)
    columns = list(dict.fromkeys(("cluster", "host", "sample_time", *names, *table.subject, column)))
    rows = lake.read(table, begin + timedelta(milliseconds=1), end, columns=columns)
    rows = rows.filter(pl.col(column).is_not_null()).sort("sample_time")
    return [
        (sample_of(table, row, names, row["sample_time"]).place, row["sample_time"].timestamp(), float(row[column]))
        for row in rows.iter_rows(named=True)
    ]


def aggregated(series: SeriesBatch, aggregate: str, window_seconds: float) -> Floats:
    """Return the mean, least or greatest value of each series over its window; NaN without samples."""
    window = series.last(window_seconds).values
    empty: Flags = np.all(np.isnan(window), axis=1)
    filled = np.where(empty[:, None], 0.0, window)
    return np.where(empty, np.nan, _FUNCTIONS[aggregate](filled, axis=1))


_FUNCTIONS: dict[str, Any] = {MEAN: np.nanmean, LEAST: np.nanmin, MOST: np.nanmax}
