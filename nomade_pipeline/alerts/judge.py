"""What a rule says of its evidence: a pure function, the same for the live tick and the back-test."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from nomade_pipeline import clock
from nomade_pipeline.alerts import words
from nomade_pipeline.alerts.evidence import Evidence, Sample
from nomade_pipeline.alerts.phrases import column_of, label, phrase_of, state_of
from nomade_pipeline.alerts.rule import ABSENCE, FINDING, LAST, STATE, Rule, text_of
from nomade_pipeline.alerts.verdict import BETWEEN, FINE, Judgement, Verdict
from nomade_pipeline.status.findings import in_words


def judge(rule: Rule, evidence: Evidence) -> Judgement:
    """Return the verdicts of a rule on all its samples.

    Of a rule that looks back, no series means that nothing is new: its alerts stay as they are.
    """
    if evidence.problem is not None:
        return Judgement(rule.name, problem=evidence.problem)
    if not rule.needs_series:
        found = tuple(filter(None, (_judge_one(rule, sample) for sample in evidence.samples)))
        return Judgement(rule.name, found, evidence.complete, evidence.clusters)
    if evidence.series is None:
        return Judgement(rule.name)
    from nomade_pipeline.alerts.judge_trends import judge_series

    trends = tuple(judge_series(rule, evidence.samples, evidence.series, plots=evidence.plots))
    return Judgement(rule.name, trends, evidence.complete, evidence.clusters)


def _judge_one(rule: Rule, sample: Sample) -> Verdict | None:
    if rule.kind == FINDING:
        return verdict_of(rule, sample, rule.severity, None, in_words(sample.row))
    if rule.kind == STATE:
        return _judge_state(rule, sample)
    if rule.kind == ABSENCE:
        return _judge_absence(rule, sample)
    value = sample.row[rule.column]
    return None if value is None else judge_value(rule, sample, float(value))


def judge_value(rule: Rule, sample: Sample, value: float) -> Verdict:
    """Return what a threshold rule says of a value, the newest one or an aggregate."""
    level = level_of(rule, value)
    unit = column_of(rule).unit
    over = "" if rule.aggregate == LAST else f", {rule.aggregate} of {words.duration(rule.window_seconds)}"
    threshold = rule.levels.get(level)
    side = "below" if rule.below else "from"
    beyond = "" if threshold is None else f" ({level} {side} {words.quantity(threshold, unit)})"
    told = phrase_of(rule).value.format(words.quantity(value, unit))
    summary = f"{label(rule, sample)}{told}{over}{beyond}"
    ok_word = rule.ok_word if level == FINE else ""
    return verdict_of(rule, sample, level, value, summary, ok_word=ok_word, threshold=threshold, unit=unit)


def level_of(rule: Rule, value: float) -> str:
    """Return the level of a value: beyond a threshold, fine, or between threshold and clear."""
    sign = -1.0 if rule.below else 1.0
    for severity, threshold in reversed(rule.levels.items()):
        if sign * value >= sign * threshold:
            return severity
    lowest = next(iter(rule.levels.values()))
    clear = lowest if rule.clear is None else rule.clear
    return BETWEEN if sign * value > sign * clear else FINE


def _judge_state(rule: Rule, sample: Sample) -> Verdict | None:
    """Return what a state rule says; what is not known is no state."""
    value = sample.row[rule.column]
    if value is None:
        return None
    level = rule.bad.get(text_of(value), FINE)
    about = [label(rule, sample) + state_of(rule, sample)]
    user, since = sample.row.get("reason_user"), sample.row.get("reason_time")
    reason = sample.row.get("reason") or sample.row.get("message")
    if level != FINE and reason:
        about.append(
            f"reason: {reason}" + (f", by {user}" if user else "") + (f", since {_as_text(since)}" if since else "")
        )
    return verdict_of(rule, sample, level, None, "; ".join(about))


def _as_text(moment: datetime | str) -> str:
    """Return a moment as text: the spool has texts, the lake datetimes."""
    return moment if isinstance(moment, str) else clock.to_text(moment)


def _judge_absence(rule: Rule, sample: Sample) -> Verdict:
    row = sample.row
    if not row["without_data"]:
        return verdict_of(rule, sample, FINE, 0.0, f"{sample.subject}: all collectors report")
    if row["all_silent"]:
        text = f"{sample.subject} has sent nothing for {words.duration(row['silent_seconds'])}"
    else:
        told = f": {row['reason']}" if row["reason"] else ""
        text = f"{sample.subject}: nothing comes from {row['collectors']}{told}"
    return verdict_of(rule, sample, level_of(rule, row["without_data"]), float(row["without_data"]), text)


def verdict_of(
    rule: Rule, sample: Sample, level: str, value: float | None, summary: str, *, ok_word: str = "", **details: Any
) -> Verdict:
    """Return a verdict on a sample; details without a value are left out."""
    kept = {name: each for name, each in details.items() if each is not None}
    finite = None if value is None or not math.isfinite(value) else value
    return Verdict(
        rule=rule.name,
        cluster=sample.cluster,
        subject=sample.subject,
        level=level,
        time=sample.time,
        host=sample.host,
        value=finite,
        summary=summary,
        ok_word=ok_word,
        details=kept,
    )
