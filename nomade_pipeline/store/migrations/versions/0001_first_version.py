"""The first version of the rollup database."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """CREATE TABLE series (
    "series_id" INTEGER NOT NULL,
    "cluster" TEXT NOT NULL,
    "table_name" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "metric" TEXT NOT NULL,
    PRIMARY KEY ("series_id")
) WITHOUT ROWID""",
    """CREATE TABLE hourly_rollup (
    "series_id" INTEGER NOT NULL,
    "hour" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "seconds" REAL NOT NULL,
    "sum" REAL NOT NULL,
    "integral" REAL NOT NULL,
    "min" REAL NOT NULL,
    "max" REAL NOT NULL,
    "last" REAL NOT NULL,
    PRIMARY KEY ("series_id", "hour")
) WITHOUT ROWID""",
    """CREATE TABLE daily_rollup (
    "series_id" INTEGER NOT NULL,
    "date" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "seconds" REAL NOT NULL,
    "sum" REAL NOT NULL,
    "integral" REAL NOT NULL,
    "min" REAL NOT NULL,
    "max" REAL NOT NULL,
    "last" REAL NOT NULL,
    PRIMARY KEY ("series_id", "date")
) WITHOUT ROWID""",
    """CREATE TABLE latest (
    "cluster" TEXT NOT NULL,
    "table_name" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "sample_time" TEXT NOT NULL,
    "row" TEXT NOT NULL,
    PRIMARY KEY ("cluster", "table_name", "host", "subject")
) WITHOUT ROWID""",
    """CREATE TABLE collection_log (
    "cluster" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "sample_time" TEXT NOT NULL,
    "interval_seconds" REAL NOT NULL,
    "source" TEXT NOT NULL,
    "collector" TEXT NOT NULL,
    "writer" TEXT NOT NULL,
    "started_time" TEXT NOT NULL,
    "outcome" TEXT NOT NULL,
    "category" TEXT,
    "message" TEXT,
    "rows" INTEGER NOT NULL,
    "quarantined" INTEGER NOT NULL,
    "seconds" REAL NOT NULL,
    "attempts" INTEGER NOT NULL,
    "agent_version" TEXT NOT NULL,
    "received_time" TEXT NOT NULL,
    PRIMARY KEY ("cluster", "host", "collector", "writer", "sample_time")
) WITHOUT ROWID""",
    """CREATE TABLE ledger (
    "cluster" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "collector" TEXT NOT NULL,
    "hour" TEXT NOT NULL,
    "expected" INTEGER NOT NULL,
    "received" INTEGER NOT NULL,
    "failed" INTEGER NOT NULL,
    "skipped" INTEGER NOT NULL,
    "rows" INTEGER NOT NULL,
    "quarantined" INTEGER NOT NULL,
    "reasons" TEXT NOT NULL,
    PRIMARY KEY ("cluster", "host", "collector", "hour")
) WITHOUT ROWID""",
    """CREATE TABLE sources (
    "cluster" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "collector" TEXT NOT NULL,
    "first_seen" TEXT NOT NULL,
    "last_seen" TEXT NOT NULL,
    "interval_seconds" REAL NOT NULL,
    PRIMARY KEY ("cluster", "host", "collector")
) WITHOUT ROWID""",
    """CREATE TABLE lake_hours (
    "cluster" TEXT NOT NULL,
    "table_name" TEXT NOT NULL,
    "hour" TEXT NOT NULL,
    "rows" INTEGER NOT NULL,
    "content_hash" TEXT NOT NULL,
    "published_time" TEXT NOT NULL,
    "rolled_up_hash" TEXT,
    PRIMARY KEY ("cluster", "table_name", "hour")
) WITHOUT ROWID""",
    """CREATE TABLE ingested_files (
    "path" TEXT NOT NULL,
    "table_name" TEXT NOT NULL,
    "host" TEXT NOT NULL,
    "hour" TEXT NOT NULL,
    "bytes" INTEGER NOT NULL,
    "sha256" TEXT NOT NULL,
    "readings" INTEGER NOT NULL,
    "rows" INTEGER NOT NULL,
    "quarantined" INTEGER NOT NULL,
    "reasons" TEXT NOT NULL,
    "ingested_time" TEXT NOT NULL,
    PRIMARY KEY ("path")
) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX series_by_name ON series (cluster, table_name, host, subject, metric)""",
    """CREATE INDEX hourly_by_hour ON hourly_rollup (hour)""",
    """CREATE INDEX daily_by_date ON daily_rollup (date)""",
    """CREATE INDEX collection_log_by_time ON collection_log (sample_time)""",
    """CREATE INDEX ledger_by_hour ON ledger (hour)""",
    """CREATE INDEX ingested_files_by_hour ON ingested_files (table_name, hour)""",
    """CREATE VIEW hourly AS
        SELECT s.cluster, s.table_name, s.host, s.subject, s.metric, r.hour, r.count, r.seconds, r.sum, r.integral,
               CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END AS mean,
               r.min, r.max, r.last
        FROM hourly_rollup r JOIN series s ON s.series_id = r.series_id""",
    """CREATE VIEW daily AS
        SELECT s.cluster, s.table_name, s.host, s.subject, s.metric, r.date, r.count, r.seconds, r.sum, r.integral,
               CASE WHEN r.seconds > 0 THEN r.integral / r.seconds ELSE r.sum / r.count END AS mean,
               r.min, r.max, r.last
        FROM daily_rollup r JOIN series s ON s.series_id = r.series_id""",
)


def upgrade() -> None:
    """Create every table, index and view; the statements are frozen text."""
    for statement in STATEMENTS:
        op.execute(statement)
