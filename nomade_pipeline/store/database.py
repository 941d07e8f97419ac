"""The SQLite database of rollups: its DDL from the contracts, its migrations, its connections.

SQLAlchemy owns schema, migrations and writes (PostgreSQL by another URL); commands that only read use
`open_readonly`, which needs nothing but the standard library.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from nomade_pipeline.store.views import VIEWS
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.rollups import ROLLUP_TABLES

if TYPE_CHECKING:
    import alembic.config
    import sqlalchemy

# A writer that meets another waits; the longest transaction (an hour of 100 hosts) takes 2 s.
BUSY_SECONDS = 60.0

_SQL_TYPES = {
    "text": "TEXT",
    "bool": "INTEGER",
    "int32": "INTEGER",
    "int64": "INTEGER",
    "float32": "REAL",
    "float64": "REAL",
    "time": "TEXT",
    "date": "TEXT",
}

# Searches that a primary key does not serve.
INDEXES = {
    "series_by_name": "CREATE UNIQUE INDEX series_by_name ON series (cluster, table_name, host, subject, metric)",
    "hourly_by_hour": "CREATE INDEX hourly_by_hour ON hourly_rollup (hour)",
    "daily_by_date": "CREATE INDEX daily_by_date ON daily_rollup (date)",
    "collection_log_by_time": "CREATE INDEX collection_log_by_time ON collection_log (sample_time)",
    "ledger_by_hour": "CREATE INDEX ledger_by_hour ON ledger (hour)",
    "ingested_files_by_hour": "CREATE INDEX ingested_files_by_hour ON ingested_files (table_name, hour)",
    "jobs_by_end": "CREATE INDEX jobs_by_end ON jobs (end_time)",
    "jobs_by_user": "CREATE INDEX jobs_by_user ON jobs (cluster, user, end_time)",
    "jobs_by_array": "CREATE INDEX jobs_by_array ON jobs (cluster, array_job_id) WHERE array_job_id IS NOT NULL",
    "job_usage_by_hour": "CREATE INDEX job_usage_by_hour ON job_usage (hour)",
    "usage_hourly_by_hour": "CREATE INDEX usage_hourly_by_hour ON usage_hourly (hour)",
    "node_history_by_hour": "CREATE INDEX node_history_by_hour ON node_history (hour)",
    "alert_events_by_time": "CREATE INDEX alert_events_by_time ON alert_events (time)",
    "alert_events_by_episode": "CREATE INDEX alert_events_by_episode ON alert_events (episode)",
    "alerts_by_episode": "CREATE INDEX alerts_by_episode ON alerts (episode)",
    "alert_window_by_time": "CREATE INDEX alert_window_by_time ON alert_window (table_name, column_name, bin_time)",
    "alert_outbox_by_time": "CREATE INDEX alert_outbox_by_time ON alert_outbox (created_time)",
    "alert_outbox_waiting": "CREATE INDEX alert_outbox_waiting ON alert_outbox (next_attempt_time) "
    "WHERE delivered_time IS NULL AND given_up_time IS NULL",
}


class DatabaseError(Exception):
    """The database cannot be opened or is of a newer version; the message says what to do."""


def create_table_statement(table: Table) -> str:
    """Return the SQLite DDL of a rollup contract: keys are NOT NULL and the primary key."""
    lines = [
        f'    "{column.name}" {_SQL_TYPES[column.type]}{"" if column.nullable else " NOT NULL"}'
        for column in table.columns
    ]
    key = ", ".join(f'"{name}"' for name in table.key)
    return f"CREATE TABLE {table.name} (\n" + ",\n".join([*lines, f"    PRIMARY KEY ({key})"]) + "\n) WITHOUT ROWID"


def create_statements() -> list[str]:
    """Return the whole DDL that the contracts ask for: tables, indexes, views."""
    tables = [create_table_statement(table) for table in ROLLUP_TABLES]
    views = [f"CREATE VIEW {name} AS{query}" for name, query in VIEWS.items()]
    return [*tables, *INDEXES.values(), *views]


def engine_for(path: Path) -> sqlalchemy.Engine:
    """Return an engine for writing: WAL, a long busy timeout, one connection a use."""
    import sqlalchemy as sa

    url = sa.URL.create("sqlite", database=str(path))
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that first reads and then writes would fail at once when another wrote between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def migrate(path: Path) -> str:
    """Create the database or bring it to the newest version; return that version.

    Raises:
        DatabaseError: the folder cannot be written, or the database is of a newer release.
    """
    import alembic.command
    import alembic.util
    import sqlalchemy as sa

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        alembic.command.upgrade(_alembic_config(path), "head")
    except alembic.util.CommandError as error:
        raise DatabaseError(f"{path}: {error}; was it written by a newer nomade?") from error
    except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
        raise DatabaseError(f"{path}: {getattr(error, 'orig', None) or error}") from error
    return head_version()


def head_version() -> str:
    """Return the newest version that this release knows."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory.from_config(_alembic_config(Path("unused"))).get_current_head())


def _alembic_config(path: Path) -> alembic.config.Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["database"] = path
    return config


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open the database for reading only; rows are addressed by column name.

    Raises:
        DatabaseError: there is none, or it cannot be read.
    """
    try:
        try:
            return _open_uri(path, "mode=ro")
        except sqlite3.OperationalError:
            # Who may not write beside it cannot open a WAL database that no writer holds open. Such a one is at
            # rest, and what a writer who comes meanwhile adds goes to the log before it goes to the file.
            if path.with_name(f"{path.name}-wal").exists():
                raise
            return _open_uri(path, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise DatabaseError(f"{path}: {error}; `nomade init` creates it, `nomade ingest` fills it") from error


def _open_uri(path: Path, options: str) -> sqlite3.Connection:
    """Open a database and read from it, which is when SQLite finds out whether it can."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, timeout=BUSY_SECONDS)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def version_of(path: Path) -> str | None:
    """Return the version of a database, None when it has none yet.

    Raises:
        DatabaseError: see `open_readonly`.
    """
    connection = open_readonly(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()
    return str(row[0]) if row else None
