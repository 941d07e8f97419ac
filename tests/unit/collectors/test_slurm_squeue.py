"""Jobs of the queue: numbers, arrays, states, GPUs and reasons, each a way in which a monitoring system went wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.collectors.slurm_queue_rows import count_queue, waiting_seconds
from nomade_pipeline.collectors.slurm_squeue import count_tasks, job_of, jobs_of
from nomade_pipeline.tables.slurm_queue import WHOLE_CLUSTER

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def record(**fields):
    """Return a record of a waiting job; a time that is a number is so many seconds before NOW."""
    times = {name: value for name, value in fields.items() if name.endswith("_TIME") and isinstance(value, int)}
    written = {name: str(int((NOW - timedelta(seconds=value)).timestamp())) for name, value in times.items()}
    usual = {"JOBID": "7", "STATE": "PENDING", "PARTITION": "gpu", "USER": "ann", "CPUS": "4", "NODES": "2"}
    return {**usual, "REASON": "Resources", "TRES_ALLOC": "cpu=4,mem=8G,node=2,billing=4", **fields, **written}


def row(**fields):
    return job_of(record(**fields)).row


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job_id", "tasks"),
    [
        ("123", 1),
        ("123_4", 1),
        ("123+1", 1),
        ("123_[5-9%2]", 5),
        ("123_[0]", 1),
        ("123_[1,5,7-9]", 5),
        ("123_[1-30:3,40-47%2]", 18),
        ("123_[0-9999]", 10000),
        ("123_[1-9,11,13...]", None),
        ("123_[1-9,11", None),
    ],
)
def test_waiting_array_tasks_count_one_by_one_and_a_cut_list_is_not_known(job_id, tasks):
    assert count_tasks(job_id) == tasks


@given(st.sets(st.integers(0, 500), min_size=1), st.sampled_from(["", "%3"]))
def test_every_list_of_tasks_is_counted(numbers, throttle):
    assert count_tasks(f"1_[{','.join(map(str, sorted(numbers)))}{throttle}]") == len(numbers)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"JOBID": "9"}, ("9", "9", None)),
        ({"JOBID": "9", "ARRAY_JOB_ID": "9", "ARRAY_TASK_ID": "N/A"}, ("9", "9", None)),
        ({"JOBID": "12", "ARRAY_JOB_ID": "9", "ARRAY_TASK_ID": "3"}, ("12", "9_3", "9")),
        ({"JOBID": "12", "ARRAY_JOB_ID": "12", "ARRAY_TASK_ID": "0"}, ("12", "12_0", "12")),
        ({"JOBID": "9", "ARRAY_JOB_ID": "9", "ARRAY_TASK_ID": "4-8%2"}, ("9", "9_[4-8%2]", "9")),
        ({"JOBID": "8", "HET_JOB_ID": "7", "HET_JOB_OFFSET": "1"}, ("8", "7+1", None)),
        ({"JOBID": "9_[4-8]"}, ("9", "9_[4-8]", "9")),
        ({"JOBID": "9_4"}, ("9_4", "9_4", "9")),
        ({"JOBID": "7+1"}, ("7+1", "7+1", None)),
    ],
)
def test_a_job_has_its_plain_number_and_the_one_that_people_write(fields, expected):
    found = row(**fields)
    assert (found["job_id_raw"], found["job_id"], found["array_job_id"]) == expected


@pytest.mark.parametrize("wrong", [{"JOBID": "gpu"}, {"STATE": "0:00"}, {"CPUS": "n1"}, {"SUBMIT_TIME": "9" * 20}])
def test_a_shifted_or_damaged_record_is_rejected_with_the_reason(wrong):
    jobs, (rejected,) = jobs_of([record(**wrong)])
    assert jobs == []
    assert rejected.reason
    assert "Resources" in rejected.text


def test_a_job_that_is_listed_twice_is_read_once_and_told():
    jobs, (rejected,) = jobs_of([record(), record()])
    assert len(jobs) == 1
    assert rejected.reason == "the job is listed twice"


# --- states and reasons -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "state", "group"),
    [
        ("PENDING", "PENDING", "pending"),
        ("CONFIGURING", "CONFIGURING", "running"),
        ("COMPLETING", "COMPLETING", "completing"),
        ("RUNNING+COMPLETING", "COMPLETING", "completing"),
        ("PENDING+REQUEUED", "REQUEUED", "pending"),
        ("SPECIAL_EXIT", "SPECIAL_EXIT", "pending"),
        ("STOPPED", "STOPPED", "suspended"),
        ("CG", "COMPLETING", "completing"),
        ("CANCELLED", "CANCELLED", "other"),
        ("NOVEL_STATE", None, "other"),
    ],
)
def test_a_state_is_grouped_and_an_unknown_one_is_kept_and_never_defaulted(told, state, group):
    job = job_of(record(STATE=told))
    assert (job.row["state"], job.row["state_raw"], job.group) == (state, told, group)


def test_only_a_waiting_job_has_a_reason():
    assert row(STATE="RUNNING", REASON="None")["reason_class"] is None
    waiting = row(REASON="ReqNodeNotAvail, UnavailableNodes:n[1-9]")
    assert (waiting["reason"], waiting["reason_class"]) == (
        "ReqNodeNotAvail, UnavailableNodes:n[1-9]",
        "node_unavailable",
    )
    assert (row(REASON="None")["reason"], row(REASON="None")["reason_class"]) == (None, "none")


def test_a_user_may_be_called_none_and_an_absent_text_is_null():
    assert row(USER="none", ACCOUNT="(null)")["user"] == "none"
    assert row(USER="none", ACCOUNT="(null)")["account"] is None


def test_unlimited_is_no_zero_and_a_priority_between_0_and_1_is_none_in_points():
    assert row(TIME_LIMIT="UNLIMITED")["time_limit_seconds"] is None
    assert row(TIME_LIMIT="1-00:00:00")["time_limit_seconds"] == 86400.0
    assert row(PRIORITY="0.00001459")["priority"] is None
    assert row(PRIORITY="4294901286")["priority"] == 4294901286


# --- GPUs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "gpus"),
    [
        ({"TRES_ALLOC": "cpu=4,mem=8G,gres/gpu=4,gres/gpu:a100=4"}, 4),
        ({"TRES_ALLOC": "cpu=4,gres/gpu:a100=1,gres/gpu:h100=2"}, 3),
        ({"TRES_ALLOC": "cpu=4,mem=8G"}, 0),
        ({"TRES_ALLOC": ""}, None),
        # A site whose accounting does not know GPUs: what was asked for.
        ({"TRES_PER_NODE": "gres:gpu:a100:2"}, 4),
        ({"TRES_PER_TASK": "gres/gpu=2", "TASKS": "3"}, 6),
        ({"TRES_PER_TASK": "cpu=2,gres/gpu:1", "TASKS": "3"}, 3),
        ({"TRES_PER_JOB": "gres/gpu:h100:8"}, 8),
        ({"TRES_PER_SOCKET": "gres:gpu:1"}, None),
        ({"TRES_PER_NODE": "gres:shard:2"}, 0),
    ],
)
def test_gpus_are_counted_however_they_were_asked_for(fields, gpus):
    """`%b` loses --gpus-per-task, and a typed and an untyped entry are one set told twice."""
    assert row(**fields)["gpus"] == gpus


# --- the queue counted ------------------------------------------------------------------------------------


def counted(*records, wanted=(), partitions=(), since=None):
    jobs, rejected = jobs_of(records)
    assert rejected == []
    queue, pending = count_queue(jobs, partitions, wanted, NOW, since)
    return {each["partition"]: each for each in queue}, {
        (each["partition"], each["reason_class"]): each for each in pending
    }


def test_a_job_in_several_partitions_counts_in_each_and_once_in_the_cluster():
    queue, pending = counted(record(PARTITION="gpu,long", SUBMIT_TIME=100))
    assert {name: each["pending_jobs"] for name, each in queue.items()} == {WHOLE_CLUSTER: 1, "gpu": 1, "long": 1}
    assert pending[WHOLE_CLUSTER, "resources"]["jobs"] == 1


def test_array_tasks_multiply_jobs_cpus_nodes_and_gpus():
    array = record(ARRAY_JOB_ID="7", ARRAY_TASK_ID="0-9%3", TRES_ALLOC="cpu=4,gres/gpu=2", SUBMIT_TIME=60)
    queue, pending = counted(array, record(JOBID="8", STATE="RUNNING"))
    total = queue[WHOLE_CLUSTER]
    assert [total[f"pending_{thing}"] for thing in ("jobs", "cpus", "nodes", "gpus")] == [10, 40, 20, 20]
    assert [total[f"running_{thing}"] for thing in ("jobs", "cpus", "nodes", "gpus")] == [1, 4, 2, 0]
    assert (pending["gpu", "resources"]["jobs"], pending["gpu", "resources"]["cpus"]) == (10, 40)


def test_components_of_a_heterogeneous_job_count_one_by_one():
    parts = [
        record(JOBID=str(7 + n), HET_JOB_ID="7", HET_JOB_OFFSET=str(n), PARTITION=name) for n, name in enumerate("ab")
    ]
    queue, _ = counted(*parts)
    assert {name: each["pending_jobs"] for name, each in queue.items()} == {WHOLE_CLUSTER: 2, "a": 1, "b": 1}


def test_waiting_begins_when_a_job_becomes_eligible_else_when_it_is_submitted():
    assert waiting_seconds(row(SUBMIT_TIME=500, ELIGIBLE_TIME=100), NOW) == 100
    assert waiting_seconds(row(SUBMIT_TIME=500), NOW) == 500
    assert waiting_seconds(row(SUBMIT_TIME=500, ELIGIBLE_TIME=-100), NOW) is None
    assert waiting_seconds(row(), NOW) is None


def test_the_median_counts_tasks_and_a_job_that_is_not_to_start_yet_does_not_count():
    tasks = record(ARRAY_JOB_ID="7", ARRAY_TASK_ID="0-2", SUBMIT_TIME=10)
    early = record(JOBID="8", SUBMIT_TIME=900, ELIGIBLE_TIME=-900)
    queue, pending = counted(tasks, record(JOBID="9", SUBMIT_TIME=100), early)
    assert queue["gpu"]["pending_jobs"] == 5
    assert [queue["gpu"][f"wait_{name}_seconds"] for name in ("mean", "median", "max")] == [32.5, 10, 100]
    assert pending["gpu", "resources"]["wait_max_seconds"] == 100


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 4)), min_size=1, max_size=8))
def test_the_median_is_that_of_the_jobs_written_out(waits):
    import statistics

    records = [
        record(JOBID=str(n), ARRAY_JOB_ID=str(n), ARRAY_TASK_ID=f"0-{tasks - 1}", SUBMIT_TIME=seconds)
        for n, (seconds, tasks) in enumerate(waits)
    ]
    queue, _ = counted(*records)
    written_out = [seconds for seconds, tasks in waits for _ in range(tasks)]
    assert queue["gpu"]["wait_median_seconds"] == statistics.median(written_out)
    assert queue["gpu"]["wait_mean_seconds"] == pytest.approx(statistics.fmean(written_out))


def test_the_example_is_the_reason_of_the_one_that_waits_longest():
    _, pending = counted(
        record(JOBID="1", REASON="QOSMaxJobsPerUserLimit", SUBMIT_TIME=10),
        record(JOBID="2", REASON="AssocGrpCpuLimit", SUBMIT_TIME=99),
        record(JOBID="3", REASON="QOSMaxCpuPerUserLimit"),
    )
    assert pending["gpu", "limit"]["example_reason"] == "AssocGrpCpuLimit"


def test_gpus_of_which_one_job_does_not_tell_are_null_and_not_less():
    queue, _ = counted(record(TRES_PER_SOCKET="gres:gpu:1"), record(JOBID="8", STATE="RUNNING"))
    assert queue["gpu"]["pending_gpus"] is None
    assert queue["gpu"]["running_gpus"] == 0


def test_jobs_that_started_since_the_run_before_are_counted_and_at_the_first_run_not_known():
    started = record(STATE="RUNNING", START_TIME=30, SUBMIT_TIME=130)
    earlier = record(JOBID="8", STATE="RUNNING", START_TIME=90, SUBMIT_TIME=130)
    assert counted(started, earlier)[0]["gpu"]["started_jobs"] is None
    queue, _ = counted(started, earlier, since=NOW - timedelta(seconds=60))
    assert (queue["gpu"]["started_jobs"], queue["gpu"]["started_wait_mean_seconds"]) == (1, 100)


def test_a_partition_without_a_job_has_zeros_and_an_empty_queue_is_a_row_of_zeros():
    queue, pending = counted(partitions=("gpu", "long"))
    assert set(queue) == {WHOLE_CLUSTER, "gpu", "long"}
    assert queue["gpu"]["pending_jobs"] == 0
    assert queue["gpu"]["wait_mean_seconds"] is None
    assert pending == {}
