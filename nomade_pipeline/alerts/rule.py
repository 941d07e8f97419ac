"""What a rule looks at and from when on it is an alert. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from nomade_pipeline.alerts.policy import DAY, HOUR, Policy
from nomade_pipeline.tables.catalog import raw_table_named

# threshold: the newest value, or an aggregate over the window, is beyond a threshold.
# growth, acceleration: the first or second derivative is, significantly.
# forecast: the value reaches a limit within so many days or hours, with 90 % confidence.
# jump: the level has changed suddenly by so much.
# state: a column has one of some values. absence: nothing has come for so many seconds.
# finding: what `nomade queue` calls stuck, lost, a sick array, or a share out of balance.
THRESHOLD, GROWTH, ACCELERATION, FORECAST, JUMP = "threshold", "growth", "acceleration", "forecast", "jump"
STATE, ABSENCE, FINDING = "state", "absence", "finding"
KINDS = (THRESHOLD, GROWTH, ACCELERATION, FORECAST, JUMP, STATE, ABSENCE, FINDING)
# Those that look at a series.
TREND_KINDS = (GROWTH, ACCELERATION, FORECAST, JUMP)
MEASURED_KINDS = (THRESHOLD, *TREND_KINDS)

LAST, MEAN, LEAST, MOST = "last", "mean", "min", "max"
AGGREGATES = (LAST, MEAN, LEAST, MOST)
UNITS_OF_TIME = {"day": DAY, "hour": HOUR}


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: unique; the first part of an alert's key, and its heading in the on-call page.
        summary: what its alerts mean, one sentence.
        kind: one of `KINDS`.
        policy: how its alerts behave over time.
        table: raw table, or one of `sources.VIEWS`; empty for ``finding``; of ``absence`` the table of which nothing
            comes, empty for any.
        column: the judged column; of ``finding`` the kind of finding.
        where: rows that count: for each column the values that it may have, as text.
        subject: columns that name the subject; empty: the file system where the table has one, else host and subject.
        warning, critical: thresholds in the column's unit; for derivatives a ``per`` (a second time for accelerations);
            for a forecast times until the limit in ``per``; None: no such level.
        clear: value beyond which a firing alert is fine again; None: the lower threshold.
        below: small values are bad.
        aggregate: what a threshold is compared with; all but ``last`` look back over the window.
        window_seconds: how far back a series is looked at.
        per: ``day`` or ``hour``: the unit of time of derivatives and forecasts.
        limit: what a forecast must not reach: a number, or a column of the same row, or a sum of such (``a + b``).
        severity: of a finding.
        bad: of a state: value, as text, to severity.
        ok_word: what the opposite sign means.
        ahead_of: the rule whose threshold this one is meant to be ahead of; the back-test measures the lead.
    """

    name: str
    summary: str
    kind: str
    policy: Policy
    table: str = ""
    column: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subject: tuple[str, ...] = ()
    warning: float | None = None
    critical: float | None = None
    clear: float | None = None
    below: bool = False
    aggregate: str = LAST
    window_seconds: float = DAY
    per: str = "day"
    limit: float | str | None = None
    severity: str = "warning"
    bad: Mapping[str, str] = field(default_factory=dict)
    ok_word: str = ""
    ahead_of: str = ""

    @property
    def needs_series(self) -> bool:
        """Whether it looks at more than the newest sample."""
        return self.kind in TREND_KINDS or self.aggregate != LAST

    @property
    def collector(self) -> str:
        """The collector that an absence is about; empty: any."""
        return raw_table_named(self.table).collector if self.table else ""

    @property
    def levels(self) -> dict[str, float]:
        """The thresholds that it has, the least severe first."""
        pairs = (("warning", self.warning), ("critical", self.critical))
        return {severity: value for severity, value in pairs if value is not None}

    @property
    def limit_columns(self) -> tuple[str, ...]:
        """The columns that make up the limit."""
        return tuple(name.strip() for name in self.limit.split("+")) if isinstance(self.limit, str) else ()

    def holds_for(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is one that counts."""
        return all(text_of(row.get(name)) in values for name, values in self.where.items())


def text_of(value: Any) -> str:
    """Return a value as rules write it: flags as ``true`` and ``false``, null as ``null``."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
