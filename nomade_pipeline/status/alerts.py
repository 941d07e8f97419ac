"""What the alert engine has decided, for people: open alerts, episodes, one alert's history, figures by rule.

Standard library only, and nothing but reading: what the tables mean is in `tables.alerts`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from statistics import median
from typing import Any, Iterable, Mapping, Sequence

from nomade_pipeline import clock
from nomade_pipeline.errors import NoData
from nomade_pipeline.status.live import Database
from nomade_pipeline.tables.alerts import SEVERITIES

Row = dict[str, Any]

_OPEN = "SELECT * FROM alerts WHERE state IN ('firing', 'acknowledged')"

_EVENTS = """
SELECT * FROM alert_events
WHERE episode IN (SELECT episode FROM alert_events WHERE time >= ?)
   OR episode IN (SELECT episode FROM alerts WHERE state IN ('firing', 'acknowledged'))
ORDER BY event_id"""

_SENT = """
SELECT json_extract(notice.value, '$.rule') AS rule, count(*) AS sent
FROM alert_outbox, json_each(alert_outbox.notices) AS notice
WHERE delivered_time >= ? GROUP BY rule"""


def open_alerts(database: Database) -> list[Row]:
    """Return the alerts that fire, the most severe and newest first."""
    found = [_of_alert(row) for row in database.rows(_OPEN)]
    found.sort(key=lambda row: str(row["fired_time"]), reverse=True)
    return sorted(found, key=lambda row: -SEVERITIES.index(row["severity"]))


def _of_alert(row: Mapping[str, Any]) -> Row:
    """Return a row of `alerts` with its JSON read."""
    texts = {name: json.loads(row[name]) for name in ("told_targets", "episode_times", "details")}
    return {**row, **texts}


def episodes(database: Database, since: datetime) -> list[Row]:
    """Return the episodes of which anything happened since a moment, and all open ones; the newest first.

    Each has ``episode``, ``rule``, ``cluster``, ``subject``, ``state``, ``severity`` (the worst), ``fired_time``,
    ``acknowledged_time``, ``acknowledged_by``, ``resolved_time``, ``reason``, ``held``, ``held_by``, ``flapping``,
    ``told`` (how often), ``value`` and ``summary``.
    """
    by_episode: dict[int, list[Row]] = defaultdict(list)
    for event in database.rows(_EVENTS, (clock.to_text(since),)):
        by_episode[event["episode"]].append(event)
    alive = {row["episode"]: row for row in database.rows(_OPEN)}
    return [_episode(events, alive.get(number)) for number, events in sorted(by_episode.items(), reverse=True)]


def _episode(events: Sequence[Row], alert: Row | None) -> Row:
    """Put an episode together from its events and, while it goes on, from the alert."""
    first = events[0]
    by_kind = {event["kind"]: event for event in events}
    # A later one takes an earlier one back.
    asked_again = max((event["event_id"] for event in events if event["kind"] == "reopened"), default=0)
    answer = by_kind.get("acknowledged")
    answer = answer if answer is not None and answer["event_id"] > asked_again else None
    end = by_kind.get("resolved")
    return {
        **{name: first[name] for name in ("episode", "rule", "cluster", "subject")},
        "state": alert["state"] if alert is not None else "resolved",
        "severity": max((event["severity"] for event in events), key=SEVERITIES.index),
        "fired_time": first["time"],
        "acknowledged_time": answer["time"] if answer else None,
        "acknowledged_by": answer["author"] if answer else None,
        "resolved_time": end["time"] if end else None,
        "reason": end["reason"] if end else None,
        "held": alert["held"] if alert else None,
        "held_by": alert["held_by"] if alert else None,
        "flapping": "flapping" in by_kind or bool(alert and alert["flapping_time"]),
        "told": sum(event["kind"] == "told" for event in events),
        "value": alert["value"] if alert else events[-1]["value"],
        "summary": alert["summary"] if alert else first["reason"],
    }


def key_of(database: Database, name: str) -> tuple[str, str, str]:
    """Return the key of an alert that is named by an episode's number or as ``rule/cluster/subject``.

    Raises:
        NoData: there is none of that name.
    """
    hint = "`nomade alerts` lists what fires, `nomade alerts --since 30d` what has"
    if name.isdecimal() and len(name) < 19:
        found = database.rows("SELECT rule, cluster, subject FROM alert_events WHERE episode = ? LIMIT 1", (int(name),))
        if found:
            return found[0]["rule"], found[0]["cluster"], found[0]["subject"]
        raise NoData(f"there is no episode {name}", hint)
    rule, _, rest = name.partition("/")
    cluster, _, subject = rest.partition("/")
    key = (rule, cluster, subject)
    for table in ("alerts", "alert_events"):
        if database.rows(f"SELECT 1 FROM {table} WHERE rule = ? AND cluster = ? AND subject = ? LIMIT 1", key):
            return key
    raise NoData(f"there is no alert {name}", hint)


def one_alert(database: Database, key: tuple[str, str, str], most: int = 100) -> Row:
    """Return all that is known of an alert.

    ``alert`` is its row, None when only its history is left; ``events`` and ``messages`` are in order of time.

    Args:
        database: where.
        key: rule, cluster and subject.
        most: newest events that are returned.
    """
    by_key = "rule = ? AND cluster = ? AND subject = ?"
    alert = next((_of_alert(row) for row in database.rows(f"SELECT * FROM alerts WHERE {by_key}", key)), None)
    events = database.rows(f"SELECT * FROM alert_events WHERE {by_key} ORDER BY event_id DESC LIMIT ?", (*key, most))
    numbers = {event["episode"] for event in events}
    return {
        "rule": key[0],
        "cluster": key[1],
        "subject": key[2],
        "alert": alert,
        "events": events[::-1],
        "messages": _messages(database, numbers),
    }


def _messages(database: Database, numbers: Iterable[int]) -> list[Row]:
    """Return the messages that tell of episodes, without what they say of others."""
    marks = sorted(numbers)
    if not marks:
        return []
    return database.rows(
        "SELECT DISTINCT message_id, target, created_time, attempts, next_attempt_time, delivered_time, given_up_time, "
        "error, dry_run FROM alert_outbox, json_each(alert_outbox.notices) AS notice "
        f"WHERE json_extract(notice.value, '$.episode') IN ({', '.join('?' * len(marks))}) ORDER BY created_time",
        tuple(marks),
    )


def silences(database: Database, now: datetime) -> list[Row]:
    """Return the silences in force, the next to end first."""
    query = "SELECT * FROM alert_silences WHERE ends_time > ? ORDER BY ends_time, silence_id"
    return database.rows(query, (clock.to_text(now),))


def undelivered(database: Database) -> list[Row]:
    """Return by target how many messages wait after a failed attempt (``waiting``) and why (``error``)."""
    return database.rows(
        "SELECT target, count(*) AS waiting, max(error) AS error FROM alert_outbox WHERE delivered_time IS NULL "
        "AND given_up_time IS NULL AND error IS NOT NULL AND NOT dry_run GROUP BY target ORDER BY target"
    )


def statistics(database: Database, since: datetime, ahead: Mapping[str, str]) -> list[Row]:
    """Return figures of each rule that has fired since a moment, by its name.

    ``episodes``; ``sent`` (notices that targets have accepted); ``untold`` (episodes of which nobody was told);
    ``acknowledged`` and ``acknowledged_after_seconds`` (median from firing); ``resolved_after_seconds`` (the same);
    ``flapped`` (episodes that flapped); ``lead_seconds`` (median time by which it fired before its threshold was
    reached). A median is None where there is nothing to take it of.

    Args:
        database: where.
        since: episodes of which anything happened since.
        ahead: rules that warn ahead of a threshold, and the rule of that threshold.
    """
    sent = {row["rule"]: row["sent"] for row in database.rows(_SENT, (clock.to_text(since),))}
    by_rule: dict[str, list[Row]] = defaultdict(list)
    for episode in episodes(database, since):
        by_rule[episode["rule"]].append(episode)
    return [
        _figures(rule, by_rule[rule], sent.get(rule, 0), leads(by_rule[rule], by_rule.get(ahead.get(rule, ""), ())))
        for rule in sorted(by_rule)
    ]


def leads(early: Iterable[Row], late: Sequence[Row]) -> list[float]:
    """Return by how many seconds episodes of one rule began before those of another of the same subject.

    Args:
        early: episodes of the rule that warns; one that had ended by then warned of something else.
        late: episodes of the rule of the threshold.
    """
    found = []
    for row in early:
        reached = [
            other["fired_time"]
            for other in late
            if (other["cluster"], other["subject"]) == (row["cluster"], row["subject"])
            and row["fired_time"] <= other["fired_time"]
            and (row["resolved_time"] is None or other["fired_time"] <= row["resolved_time"])
        ]
        if reached:
            found.append((clock.from_text(min(reached)) - clock.from_text(row["fired_time"])).total_seconds())
    return found


def _figures(rule: str, found: Sequence[Row], sent: int, lead: Sequence[float]) -> Row:
    answered = [seconds for row in found if (seconds := _seconds(row, "acknowledged_time")) is not None]
    ended = [seconds for row in found if (seconds := _seconds(row, "resolved_time")) is not None]
    return {
        "rule": rule,
        "episodes": len(found),
        "sent": sent,
        "acknowledged": len(answered),
        "acknowledged_after_seconds": median(answered) if answered else None,
        "resolved_after_seconds": median(ended) if ended else None,
        "untold": sum(not row["told"] for row in found),
        "flapped": sum(row["flapping"] for row in found),
        "lead_seconds": median(lead) if lead else None,
    }


def _seconds(row: Mapping[str, Any], name: str) -> float | None:
    if row[name] is None:
        return None
    return (clock.from_text(row[name]) - clock.from_text(row["fired_time"])).total_seconds()
