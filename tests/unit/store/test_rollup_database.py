"""The rollup database: its schema is the contracts', every version upgrades, a newer one is refused."""

from __future__ import annotations

import re
import sqlite3

import pytest
from support.rows import at

from nomade_pipeline.store import database
from nomade_pipeline.store.database import (
    DatabaseError,
    create_statements,
    head_version,
    migrate,
    open_readonly,
    version_of,
)
from nomade_pipeline.store.rollups import Rollups, upsert_statement
from nomade_pipeline.tables import rollups as contracts


def revisions() -> list[str]:
    """Return all revisions, oldest first."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(database._alembic_config(None))
    return [each.revision for each in script.walk_revisions()][::-1]


def plain(statement: str) -> str:
    return re.sub(r"\s+", " ", statement).strip()


def schema_of(path) -> set[str]:
    """Return the normalised DDL of everything in a database but Alembic's own table."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
        return {plain(row[0]) for row in rows}
    finally:
        connection.close()


def test_the_newest_version_has_the_schema_of_the_contracts(tmp_path):
    migrate(tmp_path / "db")
    assert schema_of(tmp_path / "db") == {plain(statement) for statement in create_statements()}


def test_migrating_again_changes_nothing(tmp_path):
    assert migrate(tmp_path / "db") == migrate(tmp_path / "db") == head_version() == version_of(tmp_path / "db")


@pytest.mark.parametrize("revision", revisions())
def test_every_earlier_version_upgrades_and_keeps_its_rows(tmp_path, revision):
    import alembic.command

    path = tmp_path / "db"
    alembic.command.upgrade(database._alembic_config(path), revision)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO sources VALUES ('c', 'h', 'disk', '2026', '2026', 60)")
    connection.close()
    migrate(path)
    assert schema_of(path) == {plain(statement) for statement in create_statements()}
    assert Rollups(path).rows("SELECT count(*) AS n FROM sources") == [{"n": 1}]


def test_a_database_of_a_newer_release_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "db"
    migrate(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseError, match=r"9999.*written by a newer nomade"):
        migrate(path)
    assert version_of(path) == "9999"


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "db"
    path.write_bytes(b"this is no database, " * 100)
    for use in (migrate, open_readonly):
        with pytest.raises(DatabaseError, match=f"{path}: file is not a database"):
            use(path)


def test_a_database_that_is_not_there_is_said_so_and_not_made_by_reading(tmp_path):
    with pytest.raises(DatabaseError, match="nomade init"):
        open_readonly(tmp_path / "db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match=str(tmp_path / "file")):
        migrate(tmp_path / "file" / "db")


@pytest.mark.parametrize("name", ["question?mark", "hash#sign", "per%20cent", "two words", "ø"])
def test_a_folder_may_have_any_name(tmp_path, name):
    path = tmp_path / name / "db"
    migrate(path)
    assert path.exists()
    assert version_of(path) == head_version()


def test_a_reader_cannot_write(tmp_path):
    migrate(tmp_path / "db")
    connection = open_readonly(tmp_path / "db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM ledger")
    connection.close()


def test_an_upsert_of_a_known_key_replaces_the_row(tmp_path):
    rollups = Rollups(tmp_path / "db")
    row = {
        "cluster": "c",
        "host": "h",
        "collector": "disk",
        "first_seen": "1",
        "last_seen": "1",
        "interval_seconds": 60.0,
    }
    rollups.upsert(contracts.SOURCES, [row])
    rollups.upsert(contracts.SOURCES, [{**row, "last_seen": "2"}])
    rollups.upsert(contracts.SOURCES, [])
    assert rollups.rows("SELECT last_seen FROM sources") == [{"last_seen": "2"}]


@pytest.mark.parametrize("table", contracts.ROLLUP_TABLES, ids=lambda table: table.name)
def test_a_key_with_null_is_refused_and_cannot_double(tmp_path, table):
    """SQL lets rows with a null in a unique key double; NOT NULL keys do not."""
    rollups = Rollups(tmp_path / "db")
    import sqlalchemy as sa

    with pytest.raises(sa.exc.IntegrityError), rollups.engine.begin() as connection:
        connection.exec_driver_sql(upsert_statement(table), tuple(None for _ in table.columns))


def test_an_hour_published_again_with_the_same_content_keeps_its_roll_up(tmp_path):
    rollups = Rollups(tmp_path / "db")
    hour = at(0)
    rollups.record_hours("disk", "c", {hour: ("hash-1", 5)})
    rollups.execute("UPDATE lake_hours SET rolled_up_hash = content_hash")
    rollups.record_hours("disk", "c", {hour: ("hash-1", 5)})
    assert rollups.hours_to_roll_up(hour.date()) == {}
    rollups.record_hours("disk", "c", {hour: ("hash-2", 6)})
    assert rollups.hours_to_roll_up(hour.date()) == {"disk": [("c", hour, "hash-2")]}
    assert rollups.booked_hours("disk", hour.date()) == {"c": {hour: 6}}
