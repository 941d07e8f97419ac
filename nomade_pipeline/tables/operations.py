"""Contracts of the tables in which the system keeps watch over itself."""

from __future__ import annotations

from nomade_pipeline.tables.contract import Column, raw_table

OUTCOMES = ("success", "skipped", "failed")

# Why a collector run gave no rows. One list for the agent, the ledger, the CLI and the alerts.
CATEGORIES = (
    "tool_missing",
    "not_present",
    "permission",
    "timeout",
    "parse",
    "command_failed",
    "service_down",
    "storage",
    "internal",
)

COLLECTION_LOG = raw_table(
    "collection_log",
    "One run of one collector on one host; `interval_seconds` is the time between its runs.",
    (
        Column("collector", "text", "Name of the collector."),
        Column("writer", "text", "Who ran it.", allowed=("agent", "monitor", "epilog", "manual")),
        Column("started_time", "time", "When the run began.", "UTC"),
        Column("outcome", "text", "skipped: there is nothing to collect here, and that is no fault.", allowed=OUTCOMES),
        Column("category", "text", "Kind of the error or reason.", null="success", allowed=CATEGORIES),
        Column("message", "text", "What happened, for a person.", null="success without a remark"),
        Column("rows", "int64", "Rows written to the spool.", "count", minimum=0),
        Column("quarantined", "int64", "Parts of the tool's output that could not be read.", "count", minimum=0),
        Column(
            "seconds",
            "float32",
            "How long the run took, the measured interval included.",
            "seconds",
            minimum=0,
            decimals=3,
        ),
        Column("attempts", "int32", "1, or 2 after a retry.", "count", minimum=1),
        Column("agent_version", "text", "Version of the software that ran it."),
    ),
    collector="agent",
    subject=("collector", "writer"),
)
