"""Derived tables: from hourly means to trends and projections, and from projections to scores."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Iterable

import pytest
from support.installation import GB, disk_row
from support.rows import CLUSTER, DAY, HOST, frame_of, row_of

from nomade_pipeline import clock
from nomade_pipeline.analysis.aggregate import hourly_aggregates
from nomade_pipeline.config.settings import Config, DerivedSettings
from nomade_pipeline.ingest.derive import derive_day, score_day
from nomade_pipeline.sql import run as run_sql
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables import rollups as contracts
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.derived import TREND_SCORES, TREND_TABLES
from nomade_pipeline.tables.job_rollups import USAGE_HOURLY
from nomade_pipeline.tables.nodes import JOB_MONITOR
from nomade_pipeline.tables.slurm_queue import SLURM_QUEUE
from nomade_pipeline.tables.system import DISK, GPU, VMSTAT

NOON = clock.start_of(DAY) + timedelta(hours=12)
HOURS = [NOON - timedelta(hours=back) for back in range(180, 0, -1)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def roll_up(store: Store, table: Table, rows: Iterable[tuple[datetime, dict[str, Any]]]) -> None:
    """Write the rollups of hours that one reading each covers, at once."""
    readings = [
        row_of(table, **{"sample_time": hour + timedelta(minutes=59), "interval_seconds": 3600.0, **values})
        for hour, values in rows
    ]
    names: dict[tuple[str, ...], int] = {}
    hours = []
    for row in hourly_aggregates(frame_of(table, readings), table).to_dicts():
        name = (row["cluster"], table.name, row["host"], row["subject"], row["metric"])
        number = names.setdefault(name, len(names) + 1)
        hours.append({**row, "series_id": number, "hour": clock.to_text(row["hour"])})
    columns = contracts.SERIES.column_names
    store.rollups.upsert(contracts.SERIES, [dict(zip(columns, (n, *name), strict=True)) for name, n in names.items()])
    store.rollups.upsert(contracts.HOURLY, hours)


def filling(hour: datetime) -> dict[str, Any]:
    """Return a disk of 100 GB that fills by 2.4 GB a day, 30 GB at noon."""
    return disk_row(used=round((30 + (hour + timedelta(minutes=30) - NOON) / timedelta(hours=10)) * GB))


def derived(store: Store, name: str, day: date = DAY, config: Config | None = None) -> list[dict[str, Any]]:
    with clock.set_to(NOON if day == DAY else clock.start_of(day + timedelta(days=2))):
        derive_day(store, config or Config(), name, day)
    return store.lake.read_day(TREND_TABLES[name], CLUSTER, day).to_dicts()


def test_a_disk_that_fills_has_its_rate_its_projections_and_the_day_it_is_full(store: Store) -> None:
    roll_up(store, DISK, [(hour, filling(hour)) for hour in HOURS])
    rows = {row["metric"]: row for row in derived(store, "disk")}
    assert set(rows) == {"used_bytes", "inodes_used"}
    used = rows["used_bytes"]
    assert used["subject"] == f"{HOST}:/"
    assert used["rate_per_day"] == pytest.approx(2.4 * GB, rel=1e-3)
    assert used["trend"] == "growing"
    assert used["ok_word"] is None
    assert used["limit"] == pytest.approx(100 * GB)
    assert used["limit_time"] == used["rate_limit_time"]
    assert used["limit_time"] - NOON == pytest.approx(timedelta(days=70 / 2.4), abs=timedelta(minutes=5))
    assert used["acceleration_limit_time"] is None
    assert used["projected_7d"] == pytest.approx((30 - 0.05 + 7 * 2.4) * GB, rel=1e-3)
    assert rows["inodes_used"]["trend"] == "stable"
    assert rows["inodes_used"]["limit"] == pytest.approx(1000)
    assert rows["inodes_used"]["limit_time"] is None


def test_a_disk_that_is_cleaned_up_says_so(store: Store) -> None:
    roll_up(
        store, DISK, [(hour, disk_row(used=50 * GB + (NOON - hour) // timedelta(hours=1) * 10**8)) for hour in HOURS]
    )
    (used,) = [row for row in derived(store, "disk") if row["metric"] == "used_bytes"]
    assert (used["trend"], used["ok_word"]) == ("declining", "clean-up in progress")


def test_a_past_day_comes_out_as_it_was_known_at_its_end(store: Store) -> None:
    roll_up(store, DISK, [(hour, filling(hour)) for hour in HOURS])
    yesterday = DAY - timedelta(days=1)
    (before, _) = derived(store, "disk", yesterday)
    assert before["sample_time"] == clock.start_of(DAY) - timedelta(minutes=30)
    files = [path.read_bytes() for path in store.paths.lake.rglob("*.parquet")]
    derived(store, "disk", yesterday)
    assert [path.read_bytes() for path in store.paths.lake.rglob("*.parquet")] == files


def test_what_is_silent_today_has_no_row_today(store: Store) -> None:
    roll_up(store, DISK, [(hour, filling(hour)) for hour in HOURS if hour < clock.start_of(DAY)])
    assert derived(store, "disk") == []


def test_rows_that_no_longer_hold_are_replaced(store: Store) -> None:
    roll_up(store, DISK, [(hour, filling(hour)) for hour in HOURS])
    assert len(derived(store, "disk")) == 2
    store.rollups.execute("DELETE FROM hourly_rollup", ())
    assert derived(store, "disk") == []


def test_a_queue_that_empties_drains_normally(store: Store) -> None:
    roll_up(
        store,
        SLURM_QUEUE,
        [(hour, {"partition": "gpu", "pending_jobs": 500 - 2 * place}) for place, hour in enumerate(HOURS)],
    )
    (row,) = derived(store, "queue")
    assert (row["subject"], row["metric"]) == ("gpu", "pending_jobs")
    assert row["rate_per_day"] == pytest.approx(-48)
    assert row["ok_word"] == "draining normally"


def test_the_failure_rate_leaves_out_what_was_cancelled_and_hours_without_jobs(store: Store) -> None:
    rows = [
        {
            **{column.name: 0 for column in USAGE_HOURLY.columns},
            "cluster": CLUSTER,
            "dimension": "partition",
            "name": "main",
            "hour": clock.to_text(hour),
            **(
                {}
                if place % 5 == 0
                else {"success_jobs": 90, "failed_jobs": 6, "timeout_jobs": 4, "cancelled_jobs": 50}
            ),
        }
        for place, hour in enumerate(HOURS)
    ]
    store.rollups.upsert(USAGE_HOURLY, rows)
    (row,) = derived(store, "failure_rate")
    assert (row["subject"], row["trend"]) == ("main", "stable")
    assert row["value"] == pytest.approx(0.1)
    assert row["points"] < 140


def test_a_gpu_that_gets_warmer_has_the_day_on_which_it_warns(store: Store) -> None:
    roll_up(
        store,
        GPU,
        [(hour, {"gpu_uuid": "GPU-1", "temperature_celsius": 60 + place / 10}) for place, hour in enumerate(HOURS)],
    )
    (row,) = derived(store, "gpu")
    assert row["limit"] == 83.0
    assert row["limit_time"] is not None


def test_a_job_whose_memory_grows_reaches_its_limit(store: Store) -> None:
    rows = [
        row_of(
            JOB_MONITOR,
            job_id_raw="7",
            sample_time=NOON - timedelta(minutes=back),
            memory_bytes=4 * GB - back * 10**7,
            memory_limit_bytes=5 * GB,
        )
        for back in range(120)
    ]
    store.lake.publish(JOB_MONITOR, CLUSTER, DAY, frame_of(JOB_MONITOR, rows))
    with clock.set_to(NOON + timedelta(minutes=1)):
        derive_day(store, Config(), "job_memory", DAY)
    (row,) = store.lake.read_day(TREND_TABLES["job_memory"], CLUSTER, DAY).to_dicts()
    assert (row["subject"], row["limit"]) == ("7", 5 * GB)
    assert row["limit_time"] - NOON == pytest.approx(timedelta(minutes=100), abs=timedelta(minutes=2))


def test_a_quantity_of_the_configuration_is_followed(store: Store) -> None:
    roll_up(store, VMSTAT, [(hour, {"swap_used_bytes": place * 1000}) for place, hour in enumerate(HOURS)])
    config = replace(Config(), derived=DerivedSettings(series=("vmstat.swap_used_bytes",)))
    (row,) = derived(store, "series", config=config)
    assert row["metric"] == "vmstat.swap_used_bytes"
    assert row["rate_per_day"] == pytest.approx(24_000)
    assert derived(store, "series") == []


def test_projections_are_held_against_what_happened(store: Store) -> None:
    roll_up(store, DISK, [(hour, filling(hour)) for hour in HOURS])
    yesterday, before = DAY - timedelta(days=1), DAY - timedelta(days=7)
    for day in (yesterday, before):
        derived(store, "disk", day)
    with clock.set_to(NOON):
        assert score_day(store, Config(), DAY) == []
    roll_up(store, DISK, [(NOON + timedelta(hours=hour), filling(NOON + timedelta(hours=hour))) for hour in range(12)])
    with clock.set_to(NOON + timedelta(days=1)):
        score_day(store, Config(), DAY)
    rows = store.lake.read_day(TREND_SCORES, CLUSTER, DAY).to_dicts()
    (used,) = [row for row in rows if row["metric"] == "used_bytes" and row["horizon_days"] == 1]
    assert used["table_name"] == "disk_trends"
    assert used["made_time"] == clock.start_of(DAY) - timedelta(minutes=30)
    assert used["sample_time"] == used["made_time"] + timedelta(days=1)
    assert abs(used["error"]) < 0.01 * GB
    assert used["inside"] == (used["projected_low"] <= used["actual"] <= used["projected_high"])


def test_nomade_sql_knows_the_derived_tables(store: Store) -> None:
    roll_up(store, DISK, [(hour, filling(hour)) for hour in HOURS])
    derived(store, "disk")
    found = run_sql(store.paths, "SELECT trend FROM disk_trends WHERE metric = 'used_bytes'")
    assert found.to_pydict() == {"trend": ["growing"]}
    assert run_sql(store.paths, "SELECT count(*) AS n FROM trend_scores").to_pydict() == {"n": [0]}


def test_the_books_of_the_ingest_know_nothing_of_derived_tables(store: Store) -> None:
    roll_up(store, DISK, [(hour, filling(hour)) for hour in HOURS])
    derived(store, "disk")
    assert store.rollups.rows(f"SELECT * FROM {contracts.LAKE_HOURS.name} WHERE table_name = 'disk_trends'") == []
