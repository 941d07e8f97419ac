"""Stuck jobs, sick arrays and shares out of balance, by the definitions of docs/slurm.md."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline import clock
from nomade_pipeline.analysis.queue_findings import (
    array_health,
    quantile,
    share_imbalances,
    stuck_jobs,
    waiting_can_clear,
)
from nomade_pipeline.collectors.slurm_states import reason_class
from nomade_pipeline.tables import outcomes

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


def job(reason="JobHeldUser", days=8.0, **columns):
    """Return a row of a job that has waited so many days."""
    usual = {
        "job_id": "7",
        "user": "ann",
        "partition": "gpu",
        "state": "PENDING",
        "reason": reason,
        "reason_class": reason_class(reason),
        "submit_time": NOW - timedelta(days=days),
        "eligible_time": None,
        "end_time": None,
        "node_list": None,
    }
    return {**usual, **columns}


# --- stuck jobs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason",
    [
        "JobHeldUser",
        "JobHeldAdmin",
        "launch failed requeued held",
        "DependencyNeverSatisfied",
        "PartitionDown",
        "PartitionTimeLimit",
        "PartitionNodeLimit",
        "QOSMaxCpuPerJobLimit",
        "AssocMaxWallDurationPerJobLimit",
        "QOSMinCpuNotSatisfied",
        "MaxMemPerLimit",
        "InvalidAccount",
        "QOSNotAllowed",
        "BadConstraints",
        "ReqNodeNotAvail, UnavailableNodes:n[1-9]",
        "ReservationDeleted",
    ],
)
def test_reasons_that_waiting_cannot_clear_make_a_job_stuck(reason):
    (found,) = stuck_jobs([job(reason)], NOW, 7)
    assert (found.job_id, found.kind, found.user, found.seconds) == ("7", "pending", "ann", 8 * 86400)
    assert found.message == f"job 7 waits 8.0 days for {reason}, which waiting does not clear"


@pytest.mark.parametrize(
    "reason",
    [
        "Resources",
        "Priority",
        "Dependency",
        "BeginTime",
        "Licenses",
        "Reservation",
        "JobArrayTaskLimit",
        "QOSMaxJobsPerUserLimit",
        "AssocGrpCpuLimit",
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
        "None",
        "ReqNodeNotAvail, May be reserved for other job",
        "ReqNodeNotAvail, Reserved for maintenance",
        "SomethingNew",
        None,
    ],
)
def test_reasons_that_time_may_clear_do_not(reason):
    assert stuck_jobs([job(reason, days=30)], NOW, 7) == []
    assert waiting_can_clear(reason_class(reason), reason)


def test_the_time_counts_from_when_it_became_eligible_and_the_limit_itself_is_not_exceeded():
    assert stuck_jobs([job(days=7.0)], NOW, 7) == []
    assert stuck_jobs([job(days=30, eligible_time=NOW - timedelta(days=1))], NOW, 7) == []
    assert stuck_jobs([job(days=1.5)], NOW, 1)[0].since_time == NOW - timedelta(days=1.5)


def test_a_job_that_has_been_completing_for_more_than_ten_minutes_is_stuck():
    def completing(minutes):
        ended = NOW - timedelta(minutes=minutes)
        return job(None, state="COMPLETING", reason_class=None, end_time=ended, node_list="n[1-2]")

    (found,) = stuck_jobs([completing(12), completing(9), job(state="RUNNING", reason_class=None)], NOW, 7)
    assert (found.kind, found.message) == ("completing", "job 7 has been completing for 12 min on n[1-2]")


def test_times_may_be_texts_of_the_spool_and_the_longest_comes_first():
    rows = [
        job(days=days, job_id=str(days), submit_time=clock.to_text(NOW - timedelta(days=days))) for days in (8, 20, 9)
    ]
    assert [each.job_id for each in stuck_jobs(rows, NOW, 7)] == ["20", "9", "8"]


def test_without_a_time_nothing_is_claimed():
    assert stuck_jobs([job(submit_time=None), job(state="COMPLETING", reason_class=None)], NOW, 7) == []


# --- arrays -----------------------------------------------------------------------------------------------


def task(failure_class, seconds=100.0, array="9"):
    return {"array_job_id": array, "failure_class": failure_class, "elapsed_seconds": seconds}


def test_an_array_has_a_failed_share_and_a_spread_of_run_times():
    good = [task(outcomes.SUCCESS, seconds) for seconds in (60, 100, 100, 100, 140)]
    bad = [task(outcomes.OOM), task(outcomes.TIMEOUT), task(outcomes.NODE_FAIL)]
    neither = [task(outcomes.CANCELLED), task(outcomes.DEPENDENCY), task(None)]
    (found,) = array_health([*good, *bad, *neither, task(outcomes.FAILED, array=None)])
    assert (found.array_job_id, found.ended, found.failed_ratio) == ("9", 8, 3 / 8)
    assert (found.median_seconds, found.spread_ratio) == (100, 0.0)


def test_the_spread_is_that_of_the_middle_half_so_that_one_straggler_does_not_make_it():
    straggler = [task(outcomes.SUCCESS, seconds) for seconds in (100, 100, 100, 100, 9000)]
    even = [task(outcomes.SUCCESS, seconds, "10") for seconds in (50, 75, 100, 125, 150)]
    first, second = sorted(array_health([*straggler, *even]), key=lambda each: each.array_job_id, reverse=True)
    assert first.spread_ratio == 0
    assert second.spread_ratio == 0.5


def test_too_few_tasks_have_no_share_and_no_spread():
    (found,) = array_health([task(outcomes.FAILED)] * 4)
    assert (found.ended, found.failed_ratio, found.spread_ratio) == (4, None, None)
    (instant,) = array_health([task(outcomes.SUCCESS, 0.0)] * 5)
    assert (instant.failed_ratio, instant.median_seconds, instant.spread_ratio) == (0.0, 0.0, None)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30))
def test_quartiles_are_those_of_the_standard_library(values):
    expected = statistics.quantiles(values, n=4, method="inclusive")
    assert [quantile(sorted(values), part) for part in (0.25, 0.5, 0.75)] == pytest.approx(expected)


def test_there_is_no_quantile_of_nothing():
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


# --- shares -----------------------------------------------------------------------------------------------


def share(account, ratio, part=0.2, user=""):
    return {
        "account": account,
        "user": user,
        "partition": "",
        "share_ratio": part,
        "usage_per_share_ratio": ratio,
    }


def test_usage_out_of_proportion_to_the_share_is_found_on_both_sides():
    rows = [share("a", 1.0), share("b", 2.0), share("c", 2.1), share("d", 0.5), share("e", 0.1), share("f", 5.0)]
    found = [(each.account, each.kind) for each in share_imbalances(rows)]
    assert found == [("f", "over"), ("c", "over"), ("e", "under")]


def test_a_tiny_share_and_one_that_is_not_told_are_left_out():
    assert share_imbalances([share("a", 9.0, 0.001), {**share("b", None), "share_ratio": None}]) == []
    (found,) = share_imbalances([share("a", 9.0, 0.001, "ann")], least_share=0.0005)
    assert (found.user, found.usage_per_share_ratio, found.share_ratio) == ("ann", 9.0, 0.001)
    assert share_imbalances([share("a", 9.0)], band=(0.1, 10)) == []
