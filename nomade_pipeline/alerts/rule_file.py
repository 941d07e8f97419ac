"""The rules of an installation: those that are shipped, changed and added to by `[[rule]]` of alerts.toml."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Sequence

from nomade_pipeline.alerts.fields import Fields, nearest
from nomade_pipeline.alerts.phrases import TABLES
from nomade_pipeline.alerts.policy import SEVERITIES, Policy
from nomade_pipeline.alerts.rule import (
    ABSENCE,
    ACCELERATION,
    AGGREGATES,
    FINDING,
    FORECAST,
    GROWTH,
    JUMP,
    KINDS,
    MEASURED_KINDS,
    STATE,
    THRESHOLD,
    UNITS_OF_TIME,
    Rule,
)
from nomade_pipeline.alerts.shipped import shipped_rules
from nomade_pipeline.alerts.sources import VIEWS
from nomade_pipeline.config.entries import Entry, alerts_file, read_entries
from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.config.settings import Config
from nomade_pipeline.status.findings import KINDS as FINDINGS
from nomade_pipeline.tables.contract import Column, Table
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

# Keys that not all kinds have, and the kinds that have them.
_KINDS_WITH = {
    "table": (*MEASURED_KINDS, STATE, ABSENCE),
    "column": (*MEASURED_KINDS, STATE, FINDING),
    "where": (*MEASURED_KINDS, STATE, ABSENCE),
    "subject": (THRESHOLD, STATE),
    "warning": (*MEASURED_KINDS, ABSENCE),
    "critical": (*MEASURED_KINDS, ABSENCE),
    "clear": (THRESHOLD, GROWTH, ACCELERATION, JUMP),
    "below": (THRESHOLD, GROWTH, FORECAST, JUMP),
    "aggregate": (THRESHOLD,),
    "window": MEASURED_KINDS,
    "per": (GROWTH, ACCELERATION, FORECAST),
    "limit": (FORECAST, ACCELERATION),
    "severity": (FINDING,),
    "bad": (STATE,),
    "ok_word": MEASURED_KINDS,
}

# Keys of lengths of time, and the attribute of the policy that each sets.
_TIMES = {
    "for": "for_seconds",
    "clear_for": "clear_for_seconds",
    "repeat": "repeat_seconds",
    "escalate": "escalate_seconds",
    "flap_window": "flap_window_seconds",
    "vanished": "vanished_seconds",
    "group": "group_seconds",
}


def load_rules(config: Config) -> tuple[Rule, ...]:
    """Return the rules of an installation; see `rules_of`.

    Raises:
        ConfigError: alerts.toml cannot be used.
    """
    path = alerts_file(config)
    return rules_of(config, () if path is None else read_entries(path), path or Path())


def rules_of(config: Config, entries: Sequence[Entry], path: Path) -> tuple[Rule, ...]:
    """Return the shipped rules, as the entries change them, and the entries' own.

    Args:
        config: nomade.toml.
        entries: those of alerts.toml, of whatever kind.
        path: that file, for errors.

    Raises:
        ConfigError: entries are faulty; all faults are named with file and line.
    """
    problems: list[str] = []
    rules = {rule.name: rule for rule in shipped_rules(config)}
    seen: set[str] = set()
    for entry in entries:
        if entry.kind != "rule":
            continue
        fields = Fields(entry, path, problems)
        name = fields.name()
        if name in seen:
            fields.fault("name", f"there is a [[rule]] {name!r:.60} already")
        seen.add(name)
        enabled = fields.flag("enabled", True)
        rule = _rule(fields, name, rules.get(name), [*rules])
        fields.finish()
        rules[name] = rule
        if not enabled:
            del rules[name]
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(rules.values())


def _rule(fields: Fields, name: str, shipped: Rule | None, names: Sequence[str]) -> Rule:
    """Return a rule of the file: a changed one, or a new one."""
    base = shipped or Rule(name, "", "", Policy(name))
    required = shipped is None
    kind = fields.text("kind", base.kind, choices=KINDS, required=required)
    rule = replace(
        base,
        kind=kind,
        summary=fields.text("summary", base.summary, required=required),
        table=fields.text("table", base.table),
        column=fields.text("column", base.column),
        where=_where(fields, base.where),
        subject=fields.texts("subject") or base.subject,
        warning=fields.number("warning", base.warning),
        critical=fields.number("critical", base.critical),
        clear=fields.number("clear", base.clear),
        below=fields.flag("below", base.below),
        aggregate=fields.text("aggregate", base.aggregate, choices=AGGREGATES),
        window_seconds=_length(fields, "window", base.window_seconds),
        per=fields.text("per", base.per, choices=tuple(UNITS_OF_TIME)),
        limit=_limit(fields, base.limit),
        severity=fields.text("severity", base.severity, choices=SEVERITIES),
        bad=_bad(fields, base.bad),
        ok_word=fields.text("ok_word", base.ok_word),
        policy=_policy(fields, base.policy, [*names, name]),
    )
    _check(fields, rule)
    return rule


def _policy(fields: Fields, base: Policy, names: Sequence[str]) -> Policy:
    times: dict[str, Any] = {
        attribute: _length(fields, key, getattr(base, attribute)) for key, attribute in _TIMES.items()
    }
    inhibited_by = fields.texts("inhibited_by") or base.inhibited_by
    for name in inhibited_by:
        if name not in names:
            fields.fault("inhibited_by", f"there is no rule {name!r:.60}{nearest(name, names)}")
    limit = fields.whole("flap_limit", base.flap_limit, 2, 1000)
    return replace(base, inhibited_by=inhibited_by, flap_limit=limit, **times)


def _length(fields: Fields, key: str, default: float) -> float:
    """Return a length of time in seconds, written like ``90s``, ``5m``, ``24h``, ``7d``; ``0s`` for never."""
    text = fields.text(key)
    if not text:
        return default
    match = _LENGTH.fullmatch(text)
    if match is None:
        fields.fault(key, f"{text!r:.40} is no length of time; write 90s, 5m, 24h or 7d")
        return default
    return float(match.group(1)) * _SECONDS[match.group(2)]


def _where(fields: Fields, base: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """Return the filter: ``where = { partition = "gpu", state = ["IDLE", "MIXED"] }``."""
    given = fields.take("where", dict, None, 'columns with their values: { column = "value" }')
    if given is None:
        return base
    found = {}
    for column, values in given.items():
        texts = values if isinstance(values, list) else [values]
        if not all(isinstance(each, (str, bool, int)) for each in texts):
            fields.fault("where", f"{column}: expected a text, a whole number, true or false, or a list of them")
            continue
        found[column] = tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in texts)
    return found


def _bad(fields: Fields, base: Mapping[str, str]) -> Mapping[str, str]:
    """Return the values of a state that are bad: ``bad = { DOWN = "critical" }``."""
    given = fields.take("bad", dict, None, 'values with their severity: { DOWN = "critical" }')
    if given is None:
        return base
    for value, severity in given.items():
        if severity not in SEVERITIES:
            fields.fault("bad", f"{value}: {severity!r:.40} is none of {', '.join(SEVERITIES)}")
            return base
    return {str(value): str(severity) for value, severity in given.items()}


def _limit(fields: Fields, base: float | str | None) -> float | str | None:
    """Return a limit: a number, or columns that are added up."""
    value = fields.entry.values.get("limit")
    if isinstance(value, str):
        return fields.text("limit")
    return base if value is None else fields.number("limit", None)


def _check(fields: Fields, rule: Rule) -> None:
    """Check what holds between the keys of a rule, and that its columns exist."""
    if rule.kind not in KINDS:
        return
    for key, kinds in _KINDS_WITH.items():
        if key in fields.entry.values and rule.kind not in kinds:
            fields.fault(key, f"means nothing for a rule of kind {rule.kind}")
    if rule.kind == FINDING:
        if rule.column not in FINDINGS:
            fields.fault("column", f"{rule.column!r:.60} is none of {', '.join(FINDINGS)}")
        return
    if rule.kind == STATE and not rule.bad:
        fields.fault("bad", "is missing: which values are bad, and how bad")
    if rule.kind != STATE and not rule.levels:
        fields.fault("warning", "neither warning nor critical is given")
    _check_order(fields, rule)
    table = TABLES.get(rule.table)
    if table is not None:
        _check_columns(fields, rule, table)
    elif rule.table or rule.kind != ABSENCE:
        fields.fault("table", f"there is no table {rule.table!r:.60}{nearest(rule.table, [*TABLES])}")


def _check_order(fields: Fields, rule: Rule) -> None:
    """A critical threshold lies beyond the warning one; for a forecast sooner is worse."""
    if rule.warning is None or rule.critical is None:
        return
    lower_is_worse = rule.below or rule.kind == FORECAST
    if (rule.critical >= rule.warning) if lower_is_worse else (rule.critical <= rule.warning):
        fields.fault("critical", f"{rule.critical:g} is not beyond the warning threshold ({rule.warning:g})")


def _check_columns(fields: Fields, rule: Rule, table: Table) -> None:
    if rule.kind == ABSENCE:
        _check_silence(fields, rule, table)
        return
    names = list(table.column_names)
    for key, columns in (("column", (rule.column,)), ("where", tuple(rule.where)), ("subject", rule.subject),
                         ("limit", rule.limit_columns)):  # fmt: skip
        for column in columns:
            if column not in names:
                fields.fault(key, f"table {table.name} has no column {column!r:.60}{nearest(column, names)}")
    for name, values in rule.where.items():
        if name in names:
            _check_values(fields, "where", table.column(name), values)
    if rule.column in names:
        _check_judged(fields, rule, table.column(rule.column))
    if rule.kind == FORECAST and rule.limit is None:
        fields.fault("limit", "is missing: a number, or a column of the table")
    if rule.needs_series:
        _check_series(fields, rule, table)


def _check_series(fields: Fields, rule: Rule, table: Table) -> None:
    if table is SLURM_JOB:
        fields.fault("table", f"{table.name} has no series: it tells what changed in the queue")
    if rule.subject:
        fields.fault("subject", "cannot be chosen for a rule that looks back")


def _check_silence(fields: Fields, rule: Rule, table: Table) -> None:
    if table.name in VIEWS:
        fields.fault("table", f"{table.name} has no collector of its own")
    for name in rule.where:
        if name not in ("cluster", "host"):
            fields.fault("where", f"{name}: a rule of kind {ABSENCE} knows cluster and host only")


def _check_judged(fields: Fields, rule: Rule, column: Column) -> None:
    """Check the judged column: that it fits the kind, and that it can have the values that are bad."""
    if rule.kind == STATE:
        _check_values(fields, "bad", column, tuple(rule.bad))
    elif not column.type.startswith(("int", "float")):
        fields.fault("column", f"{column.name} is no number; a rule of kind state looks at texts and flags")
    elif rule.kind == THRESHOLD:
        low, high = column.minimum, column.maximum
        for key, value in rule.levels.items():
            if (low is not None and value < low) or (high is not None and value > high):
                fields.fault(key, f"{value:g} is nothing that {column.name} ({column.unit}) can be")


def _check_values(fields: Fields, key: str, column: Column, values: Sequence[str]) -> None:
    """Check that a column can have some values, where its contract lists them."""
    known = ("true", "false") if column.type == "bool" else column.allowed
    for value in values:
        if known and value not in (*known, "null"):
            fields.fault(key, f"{column.name} is never {value!r:.40}; it is {', '.join(known)} or null")
