"""A message in words, for every kind of target: subject, counts, and each alert as labels and values.

Whatever comes from outside (names, summaries, details) is on one line and printable when it leaves this module.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Iterator, Sequence

from nomade_pipeline.alerts.notice import Message, Notice
from nomade_pipeline.alerts.policy import SEVERITIES
from nomade_pipeline.alerts.routes import MOST_IN_FULL
from nomade_pipeline.transport.words import one_line

MORE_HINT = "`nomade alerts` lists them all."
_MOST_RULES = 10
_LONGEST_SUBJECT = 120
_LONGEST_VALUE = 500
_KIND_WORDS = {
    "firing": "",
    "worse": "now worse",
    "repeated": "still firing",
    "escalated": "nobody has acknowledged it",
    "flapping": "comes and goes; further changes are not told until it is quiet",
    "resolved": "resolved",
}
_TOLD_ELSEWHERE = ("series", "unit")


def subject(message: Message) -> str:
    """Return one line for the whole message: of several alerts how many, and the most severe."""
    several = f"{counts(message)}; first " if len(message.notices) > 1 else ""
    return one_line(f"[nomade] {several}{headline(message.notices[0])}", _LONGEST_SUBJECT)


def headline(notice: Notice) -> str:
    """Return who and what in one line: ``CRITICAL disk_full /home (alpha): 97 % full``."""
    told = "RESOLVED" if notice.kind == "resolved" else notice.severity.upper()
    about = f" {notice.subject}" if notice.subject else ""
    summary = f": {notice.summary}" if notice.summary else ""
    return one_line(f"{told} {notice.rule}{about} ({notice.cluster}){summary}", _LONGEST_VALUE)


def counts(message: Message) -> str:
    """Return how many alerts of which severity: ``1000 alerts: 3 critical, 997 warning``."""
    firing = Counter(notice.severity for notice in message.notices if notice.kind != "resolved")
    parts = [f"{firing[severity]} {severity}" for severity in reversed(SEVERITIES) if firing[severity]]
    resolved = sum(notice.kind == "resolved" for notice in message.notices)
    parts += [f"{resolved} resolved"] if resolved else []
    total = len(message.notices)
    return f"{total} alert{'' if total == 1 else 's'}: {', '.join(parts)}"


def counts_by_rule(message: Message) -> list[str]:
    """Return ``disk_full: 12`` for each rule, the most frequent first; empty for a single alert."""
    if len(message.notices) == 1:
        return []
    found = sorted(Counter(notice.rule for notice in message.notices).items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{one_line(rule)}: {count}" for rule, count in found[:_MOST_RULES]]
    left = len(found) - _MOST_RULES
    return [*lines, f"{left} more rules"] if left > 0 else lines


def told_in_full(message: Message) -> tuple[Sequence[Notice], int]:
    """Return the alerts to tell in full and the number of the others."""
    return message.notices[:MOST_IN_FULL], max(0, len(message.notices) - MOST_IN_FULL)


def facts(notice: Notice) -> Iterator[tuple[str, str]]:
    """Yield what is known of one alert as labels and values."""
    kind = _KIND_WORDS[notice.kind]
    if kind:
        yield "state", one_line(f"{kind}: {notice.reason}" if notice.reason else kind)
    yield "since", time_text(notice.since)
    if notice.host and notice.host not in notice.subject:
        yield "host", one_line(notice.host)
    if notice.value is not None:
        yield "value", f"{notice.value:.6g} {unit_of(notice)}".rstrip()
    for name, value in notice.details.items():
        if name not in _TOLD_ELSEWHERE and value not in (None, "", [], {}):
            yield one_line(name).replace("_", " "), one_line(_plain(value), _LONGEST_VALUE)


def unit_of(notice: Notice) -> str:
    """Return the unit of the value; empty when the rule does not say."""
    return one_line(notice.details.get("unit") or "")


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return str(value)


def time_text(moment: datetime) -> str:
    """Return a time for people, in UTC as everywhere."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def body(message: Message) -> str:
    """Return the whole message as plain text."""
    lines = [counts(message), *(f"  {line}" for line in counts_by_rule(message))]
    notices, left = told_in_full(message)
    for notice in notices:
        lines += ["", headline(notice), *(f"  {label}: {value}" for label, value in facts(notice))]
    if left:
        lines += ["", f"… and {left} more. {MORE_HINT}"]
    return "\n".join([*lines, ""])
