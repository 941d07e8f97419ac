"""How many others waited and ran at a submission: what was known then, and nothing of what came later."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from support.rows import CLUSTER, DAY, T0, at, frame_of, row_of

from nomade_pipeline.features.queue_state import counts_of, queue_at, queue_columns
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_JOB

TIME = pl.Datetime("ms", "UTC")
SCHEMA = {"user": pl.String, "partition": pl.String, "submit_time": TIME, "start_time": TIME, "end_time": TIME}
LONG_AGO = T0 - timedelta(days=90)


def jobs(*rows: tuple[str | None, float, float | None, float | None]) -> pl.DataFrame:
    """Return jobs: user, and minutes of submission, start and end after T0; None for not yet."""
    moments = [[None if minute is None else at(minute) for minute in row[1:]] for row in rows]
    plain = [(row[0], "main", *times) for row, times in zip(rows, moments, strict=True)]
    return pl.DataFrame(plain, schema=SCHEMA, orient="row")


def counted(frame: pl.DataFrame, others: pl.DataFrame | None = None) -> list[tuple[int | None, ...]]:
    return counts_of(frame, iter([frame if others is None else others]), LONG_AGO).rows()


def test_others_wait_and_run_just_before_a_submission():
    found = counted(
        jobs(
            ("ann", 0, 5, 30),  # the first
            ("ann", 3, 20, 40),  # the first waits
            ("ann", 10, 20, 40),  # the first runs, the second waits
            ("bob", 10, 12, 13),  # these are of ann
            ("ann", 35, 36, 37),  # the first has ended, two run
        )
    )
    assert found == [(0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 1, 1), (0, 0, 1, 1), (0, 2, 0, 2)]


def test_tasks_of_an_array_that_are_submitted_together_do_not_count_each_other():
    assert counted(jobs(*[("ann", 0, 0, 9)] * 3)) == [(0, 0, 0, 0)] * 3


def test_a_job_that_never_started_waits_until_it_is_gone():
    assert counted(jobs(("ann", 5, 6, 7), ("ann", 9, 10, 11)), jobs(("ann", 0, None, 8)))[0][0] == 1
    assert counted(jobs(("ann", 9, 10, 11)), jobs(("ann", 0, None, 8)))[0][0] == 0


def test_who_is_not_told_is_not_counted_and_an_absurd_submission_neither():
    assert counted(jobs((None, 5, 6, 7))) == [(None, None, 0, 0)]
    assert counted(jobs(("ann", -60 * 24 * 100, 6, 7))) == [(None, None, None, None)]


def test_clocks_that_differ_make_no_negative_counts():
    others = jobs(("ann", 4, 2, 1), ("ann", 3, 9, 2))
    assert all(count >= 0 for row in counted(jobs(*[("ann", m, m, m) for m in range(10)]), others) for count in row)


LIVES = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]), st.integers(0, 50), st.integers(0, 30), st.integers(0, 30), st.booleans()
    ),
    min_size=1,
    max_size=30,
)


@given(LIVES, st.data())
def test_what_becomes_of_the_others_after_a_submission_changes_nothing(lives, data):
    frame = jobs(*[(who, s, s + w if ran else None, s + w + r) for who, s, w, r, ran in lives])
    asked = frame[data.draw(st.integers(0, len(lives) - 1))]
    moment: datetime = asked["submit_time"][0]
    known = frame.filter(pl.col("submit_time") <= moment).with_columns(
        pl.when(pl.col(name) <= moment).then(name).alias(name) for name in ("start_time", "end_time")
    )
    assert counted(asked, frame) == counted(asked, known)


def record(number: int, submit: float, start: float, end: float) -> dict[str, object]:
    times = {"submit_time": at(submit), "start_time": at(start), "end_time": at(end), "sample_time": at(end)}
    return row_of(JOB_METRICS, job_id_raw=str(number), user="ann", partition="main", **times)


def store_of(root: Path, table: Table, *rows: dict[str, object]) -> Store:
    store = Store.at(root)
    frame = frame_of(table, rows)
    for (day,), part in frame.group_by(pl.col("sample_time").dt.date()):
        store.lake.publish(table, CLUSTER, day, part)
    return store


NEXT_DAY = 24 * 60


def asked(store: Store) -> list[tuple[int, ...]]:
    records = store.lake.read_day(JOB_METRICS, CLUSTER, DAY)
    return queue_columns(store.lake, CLUSTER, DAY, records).rows()


def test_a_job_that_ends_on_a_later_day_was_there_all_the_same(tmp_path):
    store = store_of(tmp_path, JOB_METRICS, record(1, 0, 1, NEXT_DAY), record(2, 5, 6, 7))
    assert asked(store) == [(0, 1, 0, 1)]


def queue_row(kind: str, minute: float, number: int, state: str, **values: object) -> dict[str, object]:
    told = {"user": "ann", "partition": "main,other", "submit_time": at(-5), "start_time": at(1), "tasks": 1, **values}
    return row_of(SLURM_JOB, sample_time=at(minute), kind=kind, job_id_raw=str(number), state=state, **told)


def test_where_the_queue_was_collected_later_rows_change_no_count(tmp_path):
    end = (14 * 60) - 1  # a minute before midnight
    queue = store_of(
        tmp_path,
        SLURM_JOB,
        queue_row("full", end - 30, 1, "RUNNING"),
        queue_row("full", end - 30, 7, "PENDING", tasks=3),
        queue_row("gone", end - 20, 8, "RUNNING"),
    )
    store_of(tmp_path, JOB_METRICS, record(2, 5, 6, 7))
    before = asked(queue)
    store_of(tmp_path, JOB_METRICS, record(1, -5, 1, NEXT_DAY), record(7, -5, NEXT_DAY, NEXT_DAY + 1))
    store_of(tmp_path, SLURM_JOB, queue_row("full", end + 30, 9, "RUNNING"))
    assert before == asked(queue) == [(3, 1, 3, 1)]


def test_the_queue_of_a_moment_is_the_newest_picture_and_what_changed_since(tmp_path):
    store = store_of(
        tmp_path,
        SLURM_JOB,
        queue_row("full", 0, 1, "PENDING"),
        queue_row("full", 0, 2, "RUNNING"),
        queue_row("changed", 1, 1, "RUNNING"),
        queue_row("gone", 2, 2, "RUNNING"),
        queue_row("changed", 9, 3, "RUNNING"),
    )
    found = queue_at(store.lake, CLUSTER, at(5))
    assert found is not None
    assert found["job_id_raw"].to_list() == ["1"]
    assert found["start_time"].to_list() == [at(1)]
    assert queue_at(store.lake, CLUSTER, at(-1)) is None
    assert queue_at(store.lake, CLUSTER, at(500)) is None
