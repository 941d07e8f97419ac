"""Links between requests: only to jobs that had ended, the most similar first, whatever is not known."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import CLUSTER, DAY, T0, at, frame_of, row_of

from nomade_pipeline.config.settings import Config
from nomade_pipeline.network.compiled_requests import gower
from nomade_pipeline.network.request import LINKS, request_edges_of_day, request_links, requests_of
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.graph import REQUEST_EDGES
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

COMMON = {
    "user": "ann",
    "account": "physics",
    "partition": "long",
    "job_name": "run",
    "req_cpus": 8,
    "req_memory_bytes": 2**33,
    "time_limit_seconds": 3600.0,
}


def job(number: int, submit: float, end: float, **values: object) -> dict:
    """Return a job with times in minutes after T0."""
    return row_of(
        JOB_METRICS,
        **{
            **COMMON,
            "job_id_raw": str(number),
            "submit_time": at(submit),
            "start_time": at(submit),
            "end_time": at(end),
            "sample_time": at(end),
            **values,
        },
    )


def frame(*jobs: dict) -> pl.DataFrame:
    return frame_of(JOB_METRICS, jobs)


def links_of(jobs: pl.DataFrame, number: int) -> list[str]:
    links = request_links(jobs, jobs).filter(pl.col("job_id_raw") == str(number)).sort("rank")
    return links["earlier_job_id_raw"].to_list()


known = st.one_of(st.none(), st.integers(0, 3))
any_job = st.tuples(st.integers(0, 60), st.integers(0, 60), known, known, known, known, known)


@settings(max_examples=60, deadline=None)
@given(st.lists(any_job, max_size=40), st.integers(1, 12))
def test_no_link_ever_leads_to_a_job_that_had_not_ended_before_the_submission(drawn, k):
    texts = ("user", "account", "partition", "job_name")
    rows = [
        job(
            number,
            submit,
            submit + run,
            **{name: None if code is None else f"x{code}" for name, code in zip(texts, codes, strict=True)},
            req_cpus=cpus,
        )
        for number, (submit, run, cpus, *codes) in enumerate(drawn)
    ]
    jobs = frame(*rows)
    links = request_links(jobs, jobs, k)
    assert (links["earlier_end_time"] < links["submit_time"]).all()
    assert links["similarity"].is_between(0, 1).all()
    assert links.select("job_id_raw", "earlier_job_id_raw").is_unique().all()
    counts = links.group_by("job_id_raw").agg(pl.len(), pl.col("similarity").sort_by("rank"))
    assert all(n <= k and list(s) == sorted(s, reverse=True) for n, s in counts.select("len", "similarity").iter_rows())
    # Every job that had ended is in the block of the whole cluster, and there are fewer than are looked at.
    earlier = {row["job_id_raw"]: sum(other["end_time"] < row["submit_time"] for other in rows) for row in rows}
    found = dict(counts.select("job_id_raw", "len").iter_rows())
    knows = {row["job_id_raw"]: any(row[name] is not None for name in (*texts, "req_cpus")) for row in rows}
    assert all(found.get(name, 0) <= min(k, n) for name, n in earlier.items())
    assert all(found.get(name, 0) == min(k, n) for name, n in earlier.items() if n <= 32 and all(knows.values()))


def test_a_job_that_ends_in_the_moment_of_the_submission_had_not_ended():
    assert links_of(frame(job(1, 0, 10), job(2, 10, 20)), 2) == []
    assert links_of(frame(job(1, 0, 9), job(2, 10, 20)), 2) == ["1"]


def test_the_most_similar_request_comes_first_and_of_equals_the_one_that_ended_last():
    jobs = frame(
        job(1, 0, 5, user="bob", job_name="other"),
        job(2, 0, 1),
        job(3, 0, 4),
        job(4, 0, 3, req_cpus=64),
        job(5, 30, 60),
    )
    assert links_of(jobs, 5) == ["3", "2", "4", "1"]


def test_a_similar_job_of_the_same_user_is_found_behind_any_number_of_later_jobs_of_others():
    crowd = [job(100 + n, 0, 10 + n / 100, user=f"u{n}", job_name="x", account="a", partition="p") for n in range(200)]
    assert links_of(frame(job(1, 0, 1), *crowd, job(2, 60, 61)), 2)[0] == "1"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 1.0),
        ({"user": "bob"}, 7 / 8),
        ({"user": None}, 1.0),
        ({"req_cpus": 16}, 1 - 0.25 / 8),
        ({"req_cpus": 8 * 1024}, 7 / 8),
        ({"req_memory_bytes": None, "time_limit_seconds": None}, 1.0),
        ({"submit_time": T0 + timedelta(hours=12)}, 7 / 8),
        ({"submit_time": T0 + timedelta(hours=23)}, 1 - (1 / 12) / 8),
    ],
)
def test_the_similarity_is_that_of_gower_over_what_is_known_of_both(change, expected):
    words, numbers, hours = requests_of(frame(job(1, 0, 1), job(2, 0, 1, **change))).columns
    assert gower(words[0], numbers[0], hours[0], words[1], numbers[1], hours[1]) == pytest.approx(expected)


def test_requests_of_which_nothing_is_known_of_both_are_not_alike():
    nothing = dict.fromkeys(COMMON)
    jobs = frame(job(1, 0, 1), job(2, 10, 11, **nothing))
    assert links_of(jobs, 2) == []
    assert np.isnan(requests_of(jobs).numbers[1]).all()


def test_the_links_of_a_day_are_those_of_the_jobs_that_ended_on_it_within_the_window(tmp_path):
    store = Store.at(tmp_path)
    days = {
        DAY - timedelta(days=40): [job(1, -40 * 1440, -40 * 1440 + 1)],
        DAY - timedelta(days=2): [job(2, -2 * 1440, -2 * 1440 + 1)],
        DAY: [job(3, 0, 5), job(4, 10, 20)],
    }
    for day, rows in days.items():
        store.lake.replace(JOB_METRICS, CLUSTER, day, frame(*rows))
    assert request_edges_of_day(store, Config(), DAY) == {"jobs_linked": 2, "links": 3}
    links = store.lake.read_day(REQUEST_EDGES, CLUSTER, DAY)
    assert links.select("job_id_raw", "rank", "earlier_job_id_raw").rows() == [
        ("3", 1, "2"),
        ("4", 1, "3"),
        ("4", 2, "2"),
    ]
    assert request_edges_of_day(store, Config(), DAY + timedelta(days=1))["links"] == 0


def test_a_job_has_no_more_links_than_are_kept():
    jobs = frame(*(job(n, n, n + 0.5) for n in range(40)), job(99, 60, 61))
    assert len(links_of(jobs, 99)) == LINKS
