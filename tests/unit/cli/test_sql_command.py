"""`nomade sql` and `nomade tables`: everything can be read, nothing can be changed or reached."""

from __future__ import annotations

import csv
import io
import threading
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.installation import GB, fill_spool, ingest, nomade
from support.rows import CLUSTER, DAY, T0, at

from nomade_pipeline import clock
from nomade_pipeline.config.paths import DataPaths
from nomade_pipeline.errors import NoData, SqlError
from nomade_pipeline.sql import CATALOG, mentions, run
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.system import DISK


def test_a_raw_table_is_a_view_of_the_same_name(filled: Path) -> None:
    ended = nomade("sql", "SELECT count(*) AS n, max(used_bytes) AS most FROM disk", "--json", root=filled)
    assert ended.json == [{"n": 91, "most": 30 * GB + 90 * 10**7}]


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_every_table_can_be_queried_and_has_the_columns_of_its_contract(filled: Path, name: str) -> None:
    result = run(DataPaths(filled), f'SELECT * FROM "{name}" LIMIT 1')
    assert tuple(result.column_names) == CATALOG[name].column_names


def test_closed_and_open_days_are_one_table(empty: Path) -> None:
    fill_spool(empty, minutes=5)
    store = ingest(empty, minutes=5)
    fill_spool(empty, minutes=5, end=T0 + timedelta(days=1))
    with clock.set_to(T0 + timedelta(days=1, hours=1)):
        ingest(empty, minutes=5, end=T0 + timedelta(days=1))
        assert store.lake.close_day(DISK, CLUSTER, DAY)
    counted = run(store.paths, "SELECT sample_time::date AS day, count(*) AS n FROM disk GROUP BY day ORDER BY day")
    assert counted.column("n").to_pylist() == [6, 6]
    only = run(store.paths, f"SELECT count(*) AS n FROM disk WHERE sample_time < TIMESTAMPTZ '{DAY} 09:57:30+00'")
    assert only.column("n").to_pylist() == [3]


def test_a_day_that_is_closed_again_and_again_is_never_read_twice_or_missed(empty: Path) -> None:
    fill_spool(empty, minutes=5)
    store = ingest(empty, minutes=5)
    store.lake.close_day(DISK, CLUSTER, DAY)
    frame = store.lake.read_day(DISK, CLUSTER, DAY)
    stopping = threading.Event()

    def republish() -> None:
        value = 0.0
        while not stopping.is_set():
            value += 0.25
            later = frame.with_columns(statfs_seconds=value + frame["statfs_seconds"] * 0).with_columns(
                received_time=frame["received_time"].dt.offset_by(f"{int(value * 4)}s")
            )
            store.lake.publish(DISK, CLUSTER, DAY, later.select(frame.columns).cast(frame.schema))

    thread = threading.Thread(target=republish)
    thread.start()
    try:
        counts = {run(store.paths, "SELECT count(*) AS n FROM disk").column("n")[0].as_py() for _ in range(8)}
    finally:
        stopping.set()
        thread.join()
    assert counts == {6}


def test_rollups_have_types_and_not_texts(filled: Path) -> None:
    query = "SELECT typeof(hour) AS hour, typeof(count) AS count FROM hourly LIMIT 1"
    assert run(DataPaths(filled), query).to_pylist() == [{"hour": "TIMESTAMP WITH TIME ZONE", "count": "BIGINT"}]
    assert run(DataPaths(filled), "SELECT typeof(date) AS d FROM daily LIMIT 1").to_pylist() == [{"d": "DATE"}]


def test_rollups_and_raw_tables_agree(filled: Path) -> None:
    query = """
        SELECT (SELECT sum(count) FROM hourly WHERE table_name = 'disk' AND metric = 'used_bytes') AS rolled,
               (SELECT count(used_bytes) FROM disk) AS raw"""
    (row,) = run(DataPaths(filled), query).to_pylist()
    assert row["rolled"] == row["raw"] == 91


@pytest.mark.parametrize(
    "statement",
    [
        "DROP VIEW disk",
        "CREATE TABLE x (a INT)",
        "INSERT INTO disk VALUES (1)",
        "COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_profiling",
        "CALL pragma_version()",
        "SELECT 1; DROP VIEW disk",
        "",
    ],
)
def test_what_does_more_than_read_is_refused(filled: Path, statement: str) -> None:
    with pytest.raises(SqlError):
        run(DataPaths(filled), statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM paths",
        "SELECT getenv('HOME')",
    ],
)
def test_files_and_the_process_are_out_of_reach(filled: Path, statement: str) -> None:
    with pytest.raises(SqlError):
        run(DataPaths(filled), statement)


@pytest.mark.parametrize("statement", ["SHOW TABLES", "DESCRIBE disk", "EXPLAIN SELECT 1", "FROM disk", "VALUES (1)"])
def test_other_statements_that_read_are_allowed(filled: Path, statement: str) -> None:
    ended = nomade("sql", statement, root=filled)
    assert (ended.status, ended.stderr.count("error")) == (0, 0)
    assert ended.stdout.strip()


def test_bad_sql_is_a_message_with_the_place_and_exit_status_2(filled: Path) -> None:
    ended = nomade("sql", "SELECT frob FROM disk", root=filled)
    assert ended.status == 2
    assert "frob" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_table_is_answered_with_those_that_exist(filled: Path) -> None:
    ended = nomade("sql", "SELECT * FROM nope", root=filled)
    assert ended.status == 2
    assert "mpstat_summary" in ended.stderr


def test_a_query_on_an_empty_installation_names_the_commands_that_fill_it(empty: Path) -> None:
    with pytest.raises(NoData, match="nomade ingest"):
        run(DataPaths(empty), "SELECT * FROM disk")
    assert nomade("sql", "SELECT * FROM disk", root=empty).status == 3


def test_csv_and_parquet_hold_the_same_rows(filled: Path, tmp_path: Path) -> None:
    query = "SELECT host, used_bytes, sample_time FROM disk ORDER BY sample_time LIMIT 3"
    rows = list(csv.DictReader(io.StringIO(nomade("sql", query, "--format", "csv", root=filled).stdout)))
    target = tmp_path / "out.parquet"
    assert nomade("sql", query, "-o", str(target), root=filled).status == 0
    stored = pq.read_table(target).to_pylist()
    assert [int(row["used_bytes"]) for row in rows] == [row["used_bytes"] for row in stored]
    assert rows[0]["sample_time"] == clock.to_text(at(-90))


def test_a_query_can_come_from_standard_input(filled: Path) -> None:
    assert nomade("sql", "-", "--json", root=filled, stdin=b"SELECT 1 AS one").json == [{"one": 1}]


def test_only_words_count_as_mentions() -> None:
    assert mentions("select * from Disk", "disk")
    assert not mentions("select * from iostat_cpu", "iostat")


def test_a_corrupt_parquet_file_is_a_message_that_names_it(empty: Path) -> None:
    fill_spool(empty, minutes=2)
    store = ingest(empty, minutes=2)
    damaged = next((store.paths.lake / "raw" / "disk").rglob("*.parquet"))
    damaged.write_bytes(b"PAR1 no")
    ended = nomade("sql", "SELECT * FROM disk", root=empty)
    assert ended.status in (1, 2)
    assert damaged.name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_tables_lists_rows_and_days(filled: Path) -> None:
    listed = {row["table"]: row for row in nomade("tables", "--json", root=filled).json}
    assert (listed["disk"]["rows"], listed["disk"]["days"], listed["disk"]["clusters"]) == (91, 1, [CLUSTER])
    assert listed["gpu"]["rows"] == 0
    assert set(listed) == set(CATALOG)


def test_tables_of_one_name_shows_units_and_what_null_means(filled: Path) -> None:
    shown = nomade("tables", "gpu", root=filled).stdout
    assert "power_watts" in shown
    assert "watts" in shown
    assert "null: " in shown
    assert nomade("tables", "nope", root=filled).status == 2


def test_tables_of_an_empty_installation_are_listed_and_said_to_be_empty(empty: Path) -> None:
    ended = nomade("tables", root=empty)
    assert ended.status == 3
    assert "disk" in ended.stdout
    assert not Store.at(empty).paths.database.exists()
