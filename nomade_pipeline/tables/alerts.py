"""Contracts of the alert engine's tables: state, history, silences, outbox, and what rules remember between ticks.

Times here are moments of the pipeline's clock unless a description says sample time.
"""

from __future__ import annotations

from nomade_pipeline.tables.contract import CLUSTER, ROLLUP, Column, Table

# From the first to the last that an alert goes through; severities from the least to the most severe.
STATES = ("pending", "firing", "acknowledged", "resolved")
SEVERITIES = ("info", "warning", "critical")

# What may keep a firing alert from being told; held_back: a mute, or no route is open for it.
HOLDS = ("silenced", "inhibited", "held_back")

# What can happen to an alert; `told` says in its reason what was decided to be told.
EVENT_KINDS = (
    "fired",
    "worse",
    "eased",
    "acknowledged",
    "reopened",
    *HOLDS,
    "released",
    "flapping",
    "steady",
    "told",
    "resolved",
)

_RULE = Column("rule", "text", "Name of the rule.")
_SUBJECT = Column(
    "subject", "text", "What the alert is about: a file system, a node, a job …; empty for the cluster itself."
)
_EPISODE = Column("episode", "int64", "Number of the episode, from firing to resolved; unique.", "number", minimum=1)
_NOT_FIRED, _NOT_TOLD = "it has not fired yet", "nobody was told"


def _time(name: str, description: str, null: str | None = None) -> Column:
    return Column(name, "time", description, "UTC", null)


ALERTS = Table(
    "alerts",
    ROLLUP,
    "The state of one alert. The key of an alert is its rule, cluster and subject.",
    (
        _RULE,
        CLUSTER,
        _SUBJECT,
        Column("host", "text", "Machine or node that it concerns; empty when it is none in particular."),
        Column("state", "text", "Where it stands.", allowed=STATES),
        Column("severity", "text", "Of the newest verdict whose condition held.", allowed=SEVERITIES),
        Column("worst_severity", "text", "The worst severity of the episode.", allowed=SEVERITIES),
        Column(
            "episode",
            "int64",
            "Number of its newest episode, from firing to resolved.",
            "number",
            _NOT_FIRED,
            minimum=1,
        ),
        _time("since_time", "When its condition began to hold, by sample time."),
        _time("last_time", "Time of the newest verdict, by sample time."),
        _time("seen_time", "When the newest verdict was heard of."),
        _time("fired_time", "When its newest episode began.", _NOT_FIRED),
        _time("clear_since_time", "Since when it has been clear, by sample time.", "its condition holds"),
        _time("acknowledged_time", "When it was acknowledged.", "it is not acknowledged"),
        Column("acknowledged_by", "text", "Who acknowledged it.", null="it is not acknowledged"),
        _time("resolved_time", "When its newest episode ended.", "it goes on"),
        Column("reason", "text", "Why that episode ended.", null="it goes on"),
        _time("told_time", "When anybody was last told of it.", "nobody was, or the all-clear was given"),
        Column(
            "told_severity", "text", "The worst severity that was told.", null="nobody was told", allowed=SEVERITIES
        ),
        _time("unanswered_since_time", "Since when an acknowledgement has been waited for.", _NOT_TOLD),
        _time("escalated_time", "When it was escalated.", "it was not"),
        Column("told_targets", "text", "JSON array: the targets that were told of the episode."),
        Column("held", "text", "What keeps it from being told.", null="nothing does", allowed=HOLDS),
        Column("held_by", "text", "Which silence, rule or mute that is.", null="nothing does"),
        _time("flapping_time", "Since when it has counted as flapping.", "it does not flap"),
        Column("episode_times", "text", "JSON array: when its recent episodes began."),
        Column("value", "float64", "The judged quantity, in the unit of its column.", "of its column", "no number"),
        Column("summary", "text", "One line for a person."),
        Column("ok_word", "text", "What the opposite sign means; empty when nothing is to be said."),
        Column("details", "text", "JSON object: threshold, unit, projection, and what else a message needs."),
    ),
    key=("rule", "cluster", "subject"),
)

ALERT_EVENTS = Table(
    "alert_events",
    ROLLUP,
    "Something that happened to an alert that has fired: the history of the episodes.",
    (
        Column("event_id", "int64", "Number of the event, in the order of what happened.", "number", minimum=1),
        _RULE,
        CLUSTER,
        _SUBJECT,
        _EPISODE,
        _time("time", "When it happened."),
        Column("kind", "text", "What happened.", allowed=EVENT_KINDS),
        Column("severity", "text", "Of the alert then.", allowed=SEVERITIES),
        Column("value", "float64", "What was measured then, in the unit of its column.", "of its column", "no number"),
        Column("reason", "text", "Why, or what was told; empty when the kind says it."),
        Column("author", "text", "Who did it; empty for the engine."),
    ),
    key=("event_id",),
)

ALERT_SILENCES = Table(
    "alert_silences",
    ROLLUP,
    "Somebody's wish that some alerts be not told for a while. The patterns are shell patterns, all of which must fit.",
    (
        Column("silence_id", "int64", "Number of the silence.", "number", minimum=1),
        Column("rule", "text", "Pattern of the rule's name."),
        Column("cluster", "text", "Pattern of the cluster's name."),
        Column("subject", "text", "Pattern of the subject."),
        _time("created_time", "When it was made."),
        _time("ends_time", "When it ends or was ended."),
        Column("author", "text", "Who made it."),
        Column("comment", "text", "Why."),
    ),
    key=("silence_id",),
)

ALERT_OUTBOX = Table(
    "alert_outbox",
    ROLLUP,
    "A message to one target. It stays until it is accepted there, or given up.",
    (
        Column("message_id", "text", "Unique; the same when the message comes twice."),
        Column("target", "text", "Name of the target."),
        _time("created_time", "When it was decided."),
        Column("severity", "text", "The worst among its notices.", allowed=SEVERITIES),
        Column("notices", "text", "JSON array of what it tells, the most severe first."),
        Column("attempts", "int64", "Deliveries begun so far.", "count", minimum=0),
        _time("next_attempt_time", "When it is due; while a delivery is on its way, when that counts as failed."),
        _time("delivered_time", "When the target accepted it.", "it has not"),
        _time("given_up_time", "When it was given up.", "it was not"),
        Column("error", "text", "What the newest attempt failed with.", null="none has failed"),
        Column("dry_run", "bool", "It is kept and shown, never sent."),
    ),
    key=("message_id",),
)

ALERT_WINDOW = Table(
    "alert_window",
    ROLLUP,
    "A binned sample of a series that rules look at, so that a tick reads only what is new.",
    (
        Column("table_name", "text", "Raw table that the value comes from."),
        Column("column_name", "text", "Column of that table."),
        CLUSTER,
        Column("subject", "text", "Subject of the series."),
        _time("bin_time", "Beginning of the bin, by sample time."),
        Column("value", "float64", "Value of the bin, in the unit of its column.", "of its column"),
    ),
    key=("table_name", "column_name", "cluster", "subject", "bin_time"),
)

ALERT_TABLES: tuple[Table, ...] = (ALERTS, ALERT_EVENTS, ALERT_SILENCES, ALERT_OUTBOX, ALERT_WINDOW)
