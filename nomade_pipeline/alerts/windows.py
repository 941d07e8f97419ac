"""The series that rules look back over: thinned samples in the database, filled from the lake after a gap.

A series keeps one sample a bin, with its own time. A rule is judged anew when a bin has passed, not with every tick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Iterable, Sequence

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.alerts.evidence import Place, Sample, sample_of, subject_columns
from nomade_pipeline.alerts.rule import LEAST, MEAN, MOST, Rule
from nomade_pipeline.alerts.sources import VIEWS
from nomade_pipeline.analysis.series import Flags, Floats, SeriesBatch
from nomade_pipeline.tables.catalog import raw_table_named

if TYPE_CHECKING:
    from nomade_pipeline.store.alerts import AlertStore
    from nomade_pipeline.store.lake import Lake

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
    _points: dict[Quantity, Points | None] = field(default_factory=dict)

    def series(self, rule: Rule, samples: Sequence[Sample]) -> SeriesBatch | None:
        """Return the series of a rule's samples; None when no bin has passed since the last look."""
        quantity = (rule.table, rule.column)
        if not samples:
            return None
        if quantity not in self._points:
            self._points[quantity] = self._with_news(quantity, samples)
        points = self._points[quantity]
        if points is None:
            return None
        pairs = [points.get(sample.place, []) for sample in samples]
        return SeriesBatch.of(([time for time, _ in pair], [value for _, value in pair]) for pair in pairs)

    def _with_news(self, quantity: Quantity, samples: Sequence[Sample]) -> Points | None:
        """Return what is remembered of a quantity and the newest samples; None when there is nothing to look at."""
        span = self.spans[quantity]
        newest = self.store.newest_bin(*quantity)
        if newest is not None and (self.now - clock.from_text(newest)).total_seconds() < span.bin:
            return None
        since = self.now - timedelta(seconds=span.reach)
        points = self._remembered(quantity, since)
        self._fill_gap(quantity, points, since, span)
        for sample in samples:
            value = sample.row[quantity[1]]
            if value is not None:
                self._add(quantity, points, sample.place, sample.time.timestamp(), float(value), span.bin)
        self.forget[quantity] = since
        return points

    def _remembered(self, quantity: Quantity, since: datetime) -> Points:
        points: Points = {}
        for cluster, subject, moment, value in self.store.window(*quantity, since):
            points.setdefault((cluster, subject), []).append((moment, value))
        return points

    def _fill_gap(self, quantity: Quantity, points: Points, since: datetime, span: Span) -> None:
        """Take from the lake what came while nobody looked; at the first look that is the whole window."""
        known = max((series[-1][0] for series in points.values()), default=since.timestamp())
        begin = clock.from_epoch(known)
        if (self.now - begin).total_seconds() <= 3 * span.bin or quantity[0] in VIEWS:
            return
        for place, moment, value in history(self.lake, quantity, begin, self.now):
            self._add(quantity, points, place, moment, value, span.bin)

    def _add(
        self, quantity: Quantity, points: Points, place: Place, moment: float, value: float, bin_seconds: float
    ) -> None:
        """Append a sample to its series; the first of each bin is remembered."""
        series = points.setdefault(place, [])
        if series and moment <= series[-1][0]:
            return
        is_first = not series or moment // bin_seconds > series[-1][0] // bin_seconds
        if is_first:
            series.append((moment, value))
            self.bins.append(
                {
                    "table_name": quantity[0],
                    "column_name": quantity[1],
                    "cluster": place[0],
                    "subject": place[1],
                    "bin_time": clock.to_text(clock.from_epoch(moment)),
                    "value": value,
                }
            )


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
