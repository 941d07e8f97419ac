"""Alerts: state, history, silences, outbox, and what rules remember between ticks."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """CREATE TABLE alerts (
    "rule" TEXT NOT NULL,
    "cluster" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "severity" TEXT NOT NULL,
    "worst_severity" TEXT NOT NULL,
    "episode" INTEGER,
    "since_time" TEXT NOT NULL,
    "last_time" TEXT NOT NULL,
    "seen_time" TEXT NOT NULL,
    "fired_time" TEXT,
    "clear_since_time" TEXT,
    "acknowledged_time" TEXT,
    "acknowledged_by" TEXT,
    "resolved_time" TEXT,
    "reason" TEXT,
    "told_time" TEXT,
    "told_severity" TEXT,
    "unanswered_since_time" TEXT,
    "escalated_time" TEXT,
    "told_targets" TEXT NOT NULL,
    "held" TEXT,
    "held_by" TEXT,
    "flapping_time" TEXT,
    "episode_times" TEXT NOT NULL,
    "value" REAL,
    "summary" TEXT NOT NULL,
    "ok_word" TEXT NOT NULL,
    "details" TEXT NOT NULL,
    PRIMARY KEY ("rule", "cluster", "subject")
) WITHOUT ROWID""",
    """CREATE TABLE alert_events (
    "event_id" INTEGER NOT NULL,
    "rule" TEXT NOT NULL,
    "cluster" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "episode" INTEGER NOT NULL,
    "time" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "severity" TEXT NOT NULL,
    "value" REAL,
    "reason" TEXT NOT NULL,
    "author" TEXT NOT NULL,
    PRIMARY KEY ("event_id")
) WITHOUT ROWID""",
    """CREATE TABLE alert_silences (
    "silence_id" INTEGER NOT NULL,
    "rule" TEXT NOT NULL,
    "cluster" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "created_time" TEXT NOT NULL,
    "ends_time" TEXT NOT NULL,
    "author" TEXT NOT NULL,
    "comment" TEXT NOT NULL,
    PRIMARY KEY ("silence_id")
) WITHOUT ROWID""",
    """CREATE TABLE alert_outbox (
    "message_id" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "created_time" TEXT NOT NULL,
    "severity" TEXT NOT NULL,
    "notices" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "next_attempt_time" TEXT NOT NULL,
    "delivered_time" TEXT,
    "given_up_time" TEXT,
    "error" TEXT,
    "dry_run" INTEGER NOT NULL,
    PRIMARY KEY ("message_id")
) WITHOUT ROWID""",
    """CREATE TABLE alert_window (
    "table_name" TEXT NOT NULL,
    "column_name" TEXT NOT NULL,
    "cluster" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "bin_time" TEXT NOT NULL,
    "value" REAL NOT NULL,
    PRIMARY KEY ("table_name", "column_name", "cluster", "subject", "bin_time")
) WITHOUT ROWID""",
    """CREATE INDEX alert_events_by_time ON alert_events (time)""",
    """CREATE INDEX alert_events_by_episode ON alert_events (episode)""",
    """CREATE INDEX alerts_by_episode ON alerts (episode)""",
    """CREATE INDEX alert_window_by_time ON alert_window (table_name, column_name, bin_time)""",
    """CREATE INDEX alert_outbox_by_time ON alert_outbox (created_time)""",
    """CREATE INDEX alert_outbox_waiting ON alert_outbox (next_attempt_time)
    WHERE delivered_time IS NULL AND given_up_time IS NULL""",
)


def upgrade() -> None:
    """Create the new tables and indexes; the statements are frozen text."""
    for statement in STATEMENTS:
        op.execute(statement)
