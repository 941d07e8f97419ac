"""Contracts of the SQLite tables: aggregates, the latest readings, and the books of the ingest."""

from __future__ import annotations

from nomade_pipeline.tables.alerts import ALERT_TABLES
from nomade_pipeline.tables.contract import CLUSTER, ROLLUP, Column, Table
from nomade_pipeline.tables.job_rollups import JOB_ROLLUP_TABLES
from nomade_pipeline.tables.operations import COLLECTION_LOG as RAW_COLLECTION_LOG

TABLE_NAME = Column("table_name", "text", "Raw table that the values come from.")
SERIES_HOST = Column(
    "host", "text", "Host of the series; empty when several hosts see the same thing (a network file system)."
)
SUBJECT = Column(
    "subject", "text", "What was measured within the host: device, CPU, mount, GPU; empty for the host itself."
)

SERIES = Table(
    "series",
    ROLLUP,
    "One rolled-up series: one quantity of one thing.",
    (
        Column("series_id", "int64", "Number of the series in this database."),
        CLUSTER,
        TABLE_NAME,
        SERIES_HOST,
        SUBJECT,
        Column("metric", "text", "Column of the raw table."),
    ),
    key=("series_id",),
)

_AGGREGATES = (
    Column("count", "int64", "Readings with a value.", "count", minimum=1),
    Column("seconds", "float64", "Time that these readings cover.", "seconds", minimum=0),
    Column("sum", "float64", "Sum of the values."),
    Column(
        "integral",
        "float64",
        "Sum of value times interval; divided by seconds it is the time-weighted mean, for a rate it is the total.",
    ),
    Column("min", "float64", "Smallest value."),
    Column("max", "float64", "Largest value."),
    Column("last", "float64", "Value of the newest reading."),
)

HOURLY = Table(
    "hourly_rollup",
    ROLLUP,
    "One series over one UTC hour. The view `hourly` shows it with names and the mean.",
    (SERIES.column("series_id"), Column("hour", "time", "Beginning of the hour.", "UTC"), *_AGGREGATES),
    key=("series_id", "hour"),
)

DAILY = Table(
    "daily_rollup",
    ROLLUP,
    "One series over one UTC day, added up from its hours. The view `daily` shows it with names and the mean.",
    (SERIES.column("series_id"), Column("date", "date", "UTC date."), *_AGGREGATES),
    key=("series_id", "date"),
)

LATEST = Table(
    "latest",
    ROLLUP,
    "The newest ingested row of each thing measured.",
    (
        CLUSTER,
        TABLE_NAME,
        Column("host", "text", "Machine that took the sample."),
        SUBJECT,
        Column("sample_time", "time", "When it was sampled.", "UTC"),
        Column("row", "text", "The row as a JSON object; times as ISO 8601 text."),
    ),
    key=("cluster", "table_name", "host", "subject"),
)

COLLECTION_LOG = Table(
    "collection_log",
    ROLLUP,
    "One run of one collector, as in the raw table of that name; kept for `[retention] collection_log_days`.",
    RAW_COLLECTION_LOG.columns,
    key=RAW_COLLECTION_LOG.key,
)

LEDGER = Table(
    "ledger",
    ROLLUP,
    "Data quality of one collector on one host in one hour: what was expected, what came, what was refused and why.",
    (
        CLUSTER,
        Column("host", "text", "Host."),
        Column("collector", "text", "Collector."),
        Column("hour", "time", "Beginning of the UTC hour.", "UTC"),
        Column(
            "expected",
            "int64",
            "Readings expected from its interval since it was first seen; 0 while it is skipped.",
            "count",
            minimum=0,
        ),
        Column("received", "int64", "Successful runs received.", "count", minimum=0),
        Column("failed", "int64", "Runs that failed.", "count", minimum=0),
        Column("skipped", "int64", "Runs skipped because there is nothing to collect.", "count", minimum=0),
        Column("rows", "int64", "Rows received.", "count", minimum=0),
        Column(
            "quarantined", "int64", "Lines and rows refused, by the collector or by the ingest.", "count", minimum=0
        ),
        Column("reasons", "text", "JSON object: reason to count, for failures, skips and refusals."),
    ),
    key=("cluster", "host", "collector", "hour"),
)

SOURCES = Table(
    "sources",
    ROLLUP,
    "One collector on one host that has ever reported: since when, until when, how often.",
    (
        CLUSTER,
        Column("host", "text", "Host."),
        Column("collector", "text", "Collector."),
        Column("first_seen", "time", "First run.", "UTC"),
        Column("last_seen", "time", "Last run.", "UTC"),
        Column("interval_seconds", "float64", "Its interval, from the newest run.", "seconds"),
    ),
    key=("cluster", "host", "collector"),
)

LAKE_HOURS = Table(
    "lake_hours",
    ROLLUP,
    "One published hour of one raw table: what the lake holds and whether the rollups have it.",
    (
        CLUSTER,
        TABLE_NAME,
        Column("hour", "time", "Beginning of the UTC hour.", "UTC"),
        Column("rows", "int64", "Rows in the lake.", "count", minimum=0),
        Column("content_hash", "text", "Hash of the rows, independent of library versions."),
        Column("published_time", "time", "When the hour was last written.", "UTC"),
        Column("rolled_up_hash", "text", "content_hash that the rollups were computed from.", null="not rolled up yet"),
    ),
    key=("cluster", "table_name", "hour"),
)

INGESTED_FILES = Table(
    "ingested_files",
    ROLLUP,
    "One spool file that is in the lake, up to the given length.",
    (
        Column("path", "text", "Path below the spool."),
        TABLE_NAME,
        Column("host", "text", "Host."),
        Column("hour", "time", "Hour of the file.", "UTC"),
        Column("bytes", "int64", "Length that was read, up to the last newline.", "bytes", minimum=0),
        Column("sha256", "text", "Hash of these bytes."),
        Column("readings", "int64", "Lines that were readings.", "count", minimum=0),
        Column("rows", "int64", "Rows published.", "count", minimum=0),
        Column("quarantined", "int64", "Lines and rows refused.", "count", minimum=0),
        Column("reasons", "text", "JSON object: reason to count."),
        Column("ingested_time", "time", "When.", "UTC"),
    ),
    key=("path",),
)

ROLLUP_TABLES: tuple[Table, ...] = (
    SERIES,
    HOURLY,
    DAILY,
    LATEST,
    COLLECTION_LOG,
    LEDGER,
    SOURCES,
    LAKE_HOURS,
    INGESTED_FILES,
    *JOB_ROLLUP_TABLES,
    *ALERT_TABLES,
)
