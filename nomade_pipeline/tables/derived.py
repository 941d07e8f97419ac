"""Contracts of the derived tables: how a quantity moves, where that leads, and how past projections did.

They lie in the lake beside the raw tables, one file a cluster and UTC day, and are made anew as a whole.
"""

from __future__ import annotations

from typing import Tuple

from nomade_pipeline.tables.contract import CLUSTER, DERIVED, Column, Table

# Of a derivative that is called different from zero; two-sided.
SIGNIFICANT_P = 0.005
# Projections are made for so many days ahead.
HORIZON_DAYS = (1, 7)

OWN_UNIT = "of the quantity"
TOO_FEW = "too few samples since the fit began anew"
NO_LIMIT = "not within a year, no limit, or no significant movement"
TREND_WORDS = ("unknown", "stable", "growing", "declining", "accelerating", "decelerating")

_SERIES = (
    CLUSTER,
    Column("host", "text", "Host of the series; empty when several hosts see the same thing."),
    Column("subject", "text", "What was measured within the host; empty for the host or the cluster itself."),
    Column("metric", "text", "The quantity."),
)


def _value(name: str, description: str, null: str = TOO_FEW, unit: str = OWN_UNIT) -> Column:
    return Column(name, "float64", description, unit, null)


def _probability(name: str, of: str) -> Column:
    return Column(name, "float64", f"Two-sided p of: the {of} is zero.", "probability", TOO_FEW, minimum=0, maximum=1)


def _moment(name: str, description: str, null: str = NO_LIMIT) -> Column:
    return Column(name, "time", description, "UTC", null)


def _projected(days: int) -> Tuple[Column, ...]:
    name, ahead = f"projected_{days}d", f"{days} day{'s' if days > 1 else ''} after sample_time"
    return (
        _value(name, f"Value expected {ahead}."),
        _value(f"{name}_low", "Lower end of its 90 % prediction interval."),
        _value(f"{name}_high", "Upper end of it."),
    )


_TREND = (
    *_SERIES,
    Column("sample_time", "time", "Newest sample of the fit.", "UTC"),
    Column("points", "int64", "Samples that the fit rests on.", "count", minimum=1),
    Column("span_seconds", "float64", "Time that they cover.", "seconds", minimum=0),
    _value("value", "Fitted value at sample_time."),
    _value("value_error", "Its standard error."),
    _value("rate_per_day", "First derivative.", unit=f"{OWN_UNIT} a day"),
    _value("rate_error", "Its standard error.", unit=f"{OWN_UNIT} a day"),
    _probability("rate_p", "rate"),
    _value("acceleration_per_day2", "Second derivative.", unit=f"{OWN_UNIT} a day squared"),
    _value("acceleration_error", "Its standard error.", unit=f"{OWN_UNIT} a day squared"),
    _probability("acceleration_p", "acceleration"),
    Column(
        "trend",
        "text",
        f"In which way it moves, as far as that is significant (p < {SIGNIFICANT_P:g}); accelerating and decelerating "
        "are of growth.",
        allowed=TREND_WORDS,
    ),
    Column("ok_word", "text", "What it means that it declines or decelerates.", null="it does neither"),
    *(column for days in HORIZON_DAYS for column in _projected(days)),
    _value("limit", "What it must not reach.", "there is none, or it is not known"),
    _moment("limit_time", "First crossing of the limit within 365 days."),
    _moment("limit_first_time", "Earlier end of its 90 % interval.", "not within a year, or no limit"),
    _moment("limit_last_time", "Later end of it.", "not within a year, or no limit"),
    Column("limit_if_rate_holds", "bool", "The crossing lies beyond twice the time that was fitted."),
    _moment("rate_limit_time", "When the limit is reached at the present rate."),
    _moment(
        "acceleration_limit_time",
        "When it is reached at the present acceleration.",
        "acceleration is not significant, or the limit is not reached within a year",
    ),
    _value("jump", "Newest sudden change of level within the window.", "there was none"),
    _moment("jump_time", "First sample after it.", "there was none"),
    _moment("restart_time", "First sample of a fit that began anew after a jump, a gap or a bend.", "it did not"),
)


def _trends(name: str, description: str) -> Table:
    return Table(
        f"{name}_trends",
        DERIVED,
        f"{description} One row a UTC day: as of its newest sample.",
        _TREND,
        key=("cluster", "host", "subject", "metric"),
    )


# Asset to contract.
TREND_TABLES = {
    "disk": _trends("disk", "How space and inodes of one file system move."),
    "queue": _trends("queue", "How the jobs of one partition that wait move."),
    "failure_rate": _trends("failure_rate", "How the share of failed jobs of a cluster or a partition moves."),
    "nfs": _trends("nfs", "How the latency of one NFS mount moves."),
    "job_memory": _trends("job_memory", "How the memory of one running job on one host moves."),
    "gpu": _trends("gpu", "How the temperature of one GPU moves."),
    "series": _trends("series", "How a quantity that `[derived] series` names moves."),
}

TREND_SCORES = Table(
    "trend_scores",
    DERIVED,
    "One projection of a derived table and what happened at the moment that it was made for.",
    (
        CLUSTER,
        Column("table_name", "text", "Derived table that made it."),
        *_SERIES[1:],
        Column("horizon_days", "int64", "For how many days ahead it was made.", "days", minimum=1),
        Column("made_time", "time", "Newest sample that it knew.", "UTC"),
        Column("sample_time", "time", "Middle of the hour that it is compared with.", "UTC"),
        Column("projected", "float64", "What it said.", OWN_UNIT),
        Column("projected_low", "float64", "Lower end of its 90 % prediction interval.", OWN_UNIT),
        Column("projected_high", "float64", "Upper end of it.", OWN_UNIT),
        Column("actual", "float64", "What happened: mean of that hour.", OWN_UNIT),
        Column("error", "float64", "actual - projected.", OWN_UNIT),
        Column("inside", "bool", "Whether what happened lies in the interval."),
    ),
    key=("cluster", "table_name", "host", "subject", "metric", "horizon_days"),
)

DERIVED_TABLES: Tuple[Table, ...] = (*TREND_TABLES.values(), TREND_SCORES)
