"""One job of the accounting as a row: each case is one that some monitoring system read wrongly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.collectors.sacct_rows import rows_of
from nomade_pipeline.collectors.sacct_split import split
from nomade_pipeline.tables import outcomes
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

T = datetime(2026, 3, 5, 10, 0, tzinfo=UTC)
GIB = 2**30

JOB = {
    "JobID": "100",
    "JobIDRaw": "100",
    "State": "COMPLETED",
    "Submit": "2026-03-05T10:00:00",
    "Eligible": "2026-03-05T10:00:05",
    "Start": "2026-03-05T10:01:00",
    "End": "2026-03-05T11:01:00",
    "ElapsedRaw": "3600",
    "ReqCPUS": "4",
    "AllocCPUS": "4",
    "AllocNodes": "2",
    "ReqMem": "8G",
    "ReqTRES": "billing=4,cpu=4,mem=8G,node=2",
    "AllocTRES": "billing=4,cpu=4,mem=8G,node=2",
    "NodeList": "n[1-2]",
    "ExitCode": "0:0",
}
STEP = {"JobID": "100.batch", "JobIDRaw": "100.batch", "State": "COMPLETED", "NTasks": "1", "ExitCode": "0:0"}


def jobs_of(*records: dict[str, str], zone: Any = UTC) -> Any:
    return rows_of([{name.lower(): text for name, text in record.items()} for record in records], zone)


def row(*steps: dict[str, str], without: tuple[str, ...] = (), **cells: str) -> dict[str, Any]:
    """Return the row of the usual job with some other cells, and its steps, of which nothing is refused."""
    own = {name: text for name, text in {**JOB, **cells}.items() if name not in without}
    found = jobs_of(own, *({**STEP, **step} for step in steps))
    assert found.rejected == []
    assert len(found.rows) == 1
    assert set(found.rows[0]) <= set(JOB_METRICS.column_names)
    return found.rows[0]


def notices(**cells: str) -> list[tuple[str, str]]:
    return [(each.text, each.reason) for each in jobs_of({**JOB, **cells}).rejected]


# --- identity -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "raw", "expected"),
    [
        ("100", "100", {"job_id": "100", "array_job_id": None, "het_job_id": None}),
        ("90_7", "100", {"job_id": "90_7", "array_job_id": "90", "array_task_id": 7, "job_id_raw": "100"}),
        ("90_[5-9%2]", "90", {"array_job_id": "90", "array_task_id": None, "job_id": "90_[5-9%2]"}),
        ("90_[1,3,5,7", "90", {"array_job_id": "90", "array_task_id": None}),
        ("90+2", "92", {"het_job_id": "90", "het_job_offset": 2, "job_id_raw": "92"}),
    ],
)
def test_numbers_of_array_tasks_and_het_components_are_taken_apart(told, raw, expected):
    found = row(JobID=told, JobIDRaw=raw)
    assert {name: found[name] for name in expected} == expected


def test_without_the_plain_number_the_number_of_people_identifies_the_job():
    found = jobs_of(
        {name: text for name, text in {**JOB, "JobID": "90_7"}.items() if name != "JobIDRaw"},
        {"JobID": "90_7.batch", "State": "COMPLETED"},
    )
    assert [(each["job_id_raw"], each["steps"]) for each in found.rows] == [("90_7", 1)]


def test_a_requeued_job_has_a_row_a_run_and_each_its_own_steps():
    """The time of submission is reset at a requeue; NOMAD kept the first outcome for ever."""
    first = {**JOB, "State": "NODE_FAIL"}
    second = {**JOB, "Submit": "2026-03-05T11:02:00", "Start": "2026-03-05T11:03:00", "End": "2026-03-05T12:03:00"}
    steps = [
        {**STEP, "Start": "2026-03-05T11:03:00", "TotalCPU": "00:00:07"},
        {**STEP, "Start": "2026-03-05T10:01:00", "TotalCPU": "00:00:03"},
    ]
    found = jobs_of(first, second, *steps)
    assert [(each["state"], each["cpu_seconds"]) for each in found.rows] == [("NODE_FAIL", 3), ("COMPLETED", 7)]
    assert found.rejected == []


def test_a_step_that_tells_no_start_belongs_to_the_allocation_it_follows():
    second = {**JOB, "Submit": "2026-03-05T11:02:00"}
    found = jobs_of(JOB, {**STEP, "TotalCPU": "00:00:03"}, second, {**STEP, "TotalCPU": "00:00:07"})
    assert [each["cpu_seconds"] for each in found.rows] == [3, 7]


def test_one_record_told_twice_is_one_row_and_two_with_one_key_are_told():
    assert len(jobs_of(JOB, JOB).rows) == 1
    assert jobs_of(JOB, JOB).rejected == []
    later = {**JOB, "End": "2026-03-05T12:00:00"}
    for order in ((JOB, later), (later, JOB)):
        found = jobs_of(*order)
        assert [each["end_time"] for each in found.rows] == [T + timedelta(hours=2)]
        assert [each.reason for each in found.rejected] == ["a second job with the same number and submission"]


def test_the_same_number_on_two_clusters_is_two_jobs():
    found = jobs_of({**JOB, "Cluster": "a"}, {**JOB, "Cluster": "b"}, {**STEP, "Cluster": "b"})
    assert [each["steps"] for each in found.rows] == [0, 1]


def test_steps_without_their_allocation_are_told_and_make_no_job():
    found = jobs_of(STEP, {**STEP, "JobID": "100.0", "JobIDRaw": "100.0"})
    assert found.rows == []
    assert [(each.text, each.reason) for each in found.rejected] == [
        ("100.0, .batch", "steps whose allocation is not in the output")
    ]


def test_without_a_time_of_submission_the_start_or_the_end_stands_in_the_key_and_says_so():
    assert row()["submit_time_source"] == "submit"
    by_start = row(without=("Submit",))
    assert (by_start["submit_time"], by_start["submit_time_source"]) == (T + timedelta(minutes=1), "start")
    assert by_start["wait_seconds"] is None
    by_end = row(without=("Submit", "Start"))
    assert (by_end["submit_time"], by_end["submit_time_source"]) == (T + timedelta(minutes=61), "end")


# --- which jobs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "SUSPENDED", "COMPLETING", "RESIZING", "REQUEUE_HOLD"])
def test_a_job_that_goes_on_gives_no_row_even_where_its_end_was_cut_to_the_window(state):
    found = jobs_of({**JOB, "State": state})
    assert (found.rows, found.rejected) == ([], [])


def test_a_job_that_ended_without_an_end_is_refused_since_its_day_is_not_known():
    for end in ("Unknown", "", "0", "None"):
        found = jobs_of({**JOB, "End": end})
        assert found.rows == []
        assert [each.reason for each in found.rejected] == ["its End is not told"]


def test_an_unknown_state_is_kept_as_told_and_counted_and_has_no_class():
    found = jobs_of({**JOB, "State": "FOO"})
    assert [(each["state_raw"], each["state"], each["failure_class"]) for each in found.rows] == [("FOO", None, None)]
    assert found.rows[0]["class_source"] == "unknown"
    assert [(each.text, each.reason) for each in found.rejected] == [
        ("100 state=FOO", "a state that is in no list; its job has no class")
    ]
    assert [each.reason for each in jobs_of({**JOB, "State": "FOO", "End": "Unknown"}).rejected] == [
        "a state that is in no list, and no End"
    ]


def test_a_source_without_states_has_jobs_without_class():
    found = row(without=("State",))
    assert (found["state_raw"], found["state"], found["failure_class"]) == (None, None, None)
    assert found["class_source"] == "unknown"


def test_a_job_without_state_and_without_end_goes_on():
    found = jobs_of({name: text for name, text in {**JOB, "End": "Unknown"}.items() if name != "State"})
    assert (found.rows, found.rejected) == ([], [])


def test_a_time_that_is_part_of_the_key_must_be_readable():
    for name in ("Submit", "Start", "End"):
        found = jobs_of({**JOB, name: "yesterday"})
        assert found.rows == []
        assert [each.reason for each in found.rejected] == [f"{name.lower()} is no time"]
        assert f"{name.lower()}=yesterday" in found.rejected[0].text


# --- times ----------------------------------------------------------------------------------------------------


def test_times_waits_and_limits_of_a_usual_job():
    found = row(TimelimitRaw="90", Suspended="00:00:30")
    assert found["start_time"] == T + timedelta(minutes=1)
    assert found["eligible_time"] == T + timedelta(seconds=5)
    assert found["wait_seconds"] == 60
    assert found["elapsed_seconds"] == 3600
    assert found["suspended_seconds"] == 30
    assert (found["time_limit_kind"], found["time_limit_seconds"]) == ("limited", 5400)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"TimelimitRaw": "UNLIMITED"}, ("unlimited", None)),
        ({"TimelimitRaw": "Partition_Limit"}, ("partition", None)),
        ({"TimelimitRaw": "", "Timelimit": "1-00:00:00"}, ("limited", 86400)),
        ({"Timelimit": "Partition_Limit"}, ("partition", None)),
        ({"Timelimit": ""}, ("unknown", None)),
        ({}, ("unknown", None)),
    ],
)
def test_no_limit_is_never_a_limit_of_zero(cells, expected):
    found = row(**cells)
    assert (found["time_limit_kind"], found["time_limit_seconds"]) == expected


def test_a_negative_wait_is_null():
    assert row(Submit="2026-03-05T10:02:00")["wait_seconds"] is None


def test_elapsed_is_read_in_both_forms_and_found_from_start_and_end_where_it_is_not_told():
    assert row(without=("ElapsedRaw",), Elapsed="1-00:00:01")["elapsed_seconds"] == 86401
    assert row(without=("ElapsedRaw",))["elapsed_seconds"] == 3600


def test_times_without_offset_are_in_the_zone_of_the_source():
    found = jobs_of(JOB, zone=ZoneInfo("Europe/Berlin")).rows[0]
    assert found["submit_time"] == T - timedelta(hours=1)
    assert found["eligible_time"] == T - timedelta(hours=1) + timedelta(seconds=5)
    epochs = jobs_of({**JOB, "Submit": "1772704800"}, zone=ZoneInfo("Europe/Berlin")).rows[0]
    assert epochs["submit_time"] == T


@pytest.mark.parametrize("start", ["None", "Unknown", "2026-03-05T11:01:00"])
def test_a_job_cancelled_before_it_started_has_no_start_no_nodes_and_no_efficiency(start):
    """Slurm writes the end as its start, on no node."""
    found = row(State="CANCELLED by 1000", Start=start, ElapsedRaw="0", NodeList="None assigned", TotalCPU="00:00:00")
    for name in ("start_time", "wait_seconds", "alloc_cpus", "alloc_nodes", "node_list", "alloc_tres", "cpu_seconds"):
        assert found.get(name) is None, name
    assert found.get("cpu_efficiency_ratio") is None
    assert found["req_cpus"] == 4
    assert (found["failure_class"], found["cancelled_by_uid"]) == (outcomes.CANCELLED, 1000)


def test_a_job_that_never_started_keeps_all_partitions_it_waited_for():
    found = row(State="CANCELLED by 1000", Start="None", ElapsedRaw="0", NodeList="None assigned", Partition="gpu,cpu")
    assert found["partition"] == "gpu,cpu"


def test_a_job_of_no_length_that_ran_on_a_node_did_start():
    found = row(ElapsedRaw="0", End="2026-03-05T10:01:00")
    assert found["start_time"] == T + timedelta(minutes=1)
    assert found["node_list"] == "n[1-2]"
    assert found["cpu_efficiency_ratio"] is None


# --- request --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reqmem", "total"),
    [
        ("8G", 8 * GIB),
        ("4Gn", 8 * GIB),
        ("4Gc", 16 * GIB),
        ("4000Mn", 2 * 4000 * 2**20),
        ("2147486648Mn", 4 * 3000 * 2**20),
        ("0", None),
        ("0n", None),
        ("", None),
        ("250.50G", 268972326912),
    ],
)
def test_requested_memory_is_that_of_all_nodes(reqmem, total):
    """Until 21.08 the suffix says whether it is a node's or a CPU's; 0 is all of a node's memory."""
    assert row(without=("ReqTRES",), ReqMem=reqmem, ReqNodes="2")["req_memory_bytes"] == total


def test_the_trackable_resources_tell_the_requested_memory_best():
    assert row(ReqMem="4Gn")["req_memory_bytes"] == 8 * GIB
    assert row(ReqTRES="cpu=4,node=2", ReqMem="4Gn")["req_memory_bytes"] == 8 * GIB


def test_allocated_memory_of_zero_means_that_it_is_not_limited():
    found = row({"TRESUsageInTot": "mem=1G"}, AllocTRES="cpu=4,mem=0,node=2")
    assert found["alloc_memory_bytes"] is None
    assert found["memory_efficiency_ratio"] is None


def test_numbers_of_nodes_and_cpus_come_from_the_columns_or_from_the_resources():
    found = row(without=("ReqCPUS", "AllocCPUS", "AllocNodes"))
    assert (found["req_cpus"], found["alloc_cpus"], found["req_nodes"], found["alloc_nodes"]) == (4, 4, 2, 2)
    many = row(AllocNodes="1.50K", ReqNodes="0.00K")
    assert (many["alloc_nodes"], many["req_nodes"]) == (1536, 2)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"AllocTRES": "cpu=4,gres/gpu=4,gres/gpu:a100=4"}, (4, "a100")),
        ({"AllocTRES": "cpu=4,gres/gpu:a100=2,gres/gpu:h100=1"}, (3, "a100,h100")),
        ({"AllocTRES": "cpu=4,gres/gpu:1g.10gb=7"}, (7, "1g.10gb")),
        ({"AllocTRES": "cpu=4,gres/shard=4"}, (0, None)),
        ({"AllocTRES": "cpu=4"}, (0, None)),
        ({"AllocTRES": ""}, (None, None)),
    ],
)
def test_gpus_are_counted_once_and_none_is_zero_and_not_told_is_null(cells, expected):
    found = row(**cells)
    assert (found["alloc_gpus"], found["gpu_types"]) == expected


def test_an_old_source_tells_gpus_as_generic_resources_of_each_node():
    found = row(without=("AllocTRES", "ReqTRES"), AllocGRES="gpu:k80:2", ReqGRES="gpu:2", ReqNodes="2")
    assert (found["alloc_gpus"], found["gpu_types"], found["req_gpus"]) == (4, "k80", 4)
    assert row(without=("AllocTRES", "ReqTRES"), AllocGRES="")["alloc_gpus"] == 0
    assert row(without=("AllocTRES", "ReqTRES"))["alloc_gpus"] is None


# --- use ------------------------------------------------------------------------------------------------------

BATCH = {"UserCPU": "01:30:00", "SystemCPU": "00:10:00", "TotalCPU": "01:40:00", "MaxRSS": "1G", "AveRSS": "1G"}
EXTERN = {"JobID": "100.extern", "JobIDRaw": "100.extern", "TotalCPU": "00:00.250", "MaxRSS": "100M", "NTasks": "2"}
SRUN = {
    "JobID": "100.0",
    "JobIDRaw": "100.0",
    "NTasks": "4",
    "UserCPU": "00:20:00",
    "SystemCPU": "00:00:00",
    "TotalCPU": "00:20:00",
    "MaxRSS": "2G",
    "AveRSS": "1536M",
    "TRESUsageInTot": "cpu=00:20:00,energy=0,fs/disk=1000,gres/gpumem=16G,gres/gpuutil=180,mem=6G,vmem=0",
    "TRESUsageOutTot": "energy=0,fs/disk=5000",
}


def test_cpu_time_is_the_sum_and_memory_the_largest_over_the_steps():
    """Batch holds the first node only, and extern what came in over ssh."""
    found = row(BATCH, EXTERN, SRUN)
    assert found["steps"] == 3
    assert found["cpu_seconds"] == 7200.25
    assert (found["user_cpu_seconds"], found["system_cpu_seconds"]) == (6600, 600)
    assert found["memory_max_rss_bytes"] == 2 * GIB
    assert found["cpu_efficiency_ratio"] == 7200.25 / (3600 * 4)


def test_cpu_time_of_steps_that_are_not_in_the_output_is_in_that_of_the_allocation():
    assert row(BATCH, TotalCPU="1-00:00:00")["cpu_seconds"] == 86400
    assert row({"TotalCPU": "00:15.054"}, TotalCPU="00:00:15")["cpu_seconds"] == 15.054


def test_elapsed_times_cpus_is_no_use_of_the_processors():
    """CPUTime and CPUTimeRAW are what was held, of a job that slept too."""
    found = row(CPUTime="04:00:00", CPUTimeRAW="14400")
    assert (found.get("cpu_seconds"), found.get("cpu_efficiency_ratio")) == (None, None)
    assert row(CPUTime="04:00:00", TotalCPU="01:00:00")["cpu_efficiency_ratio"] == 0.25


def test_the_three_definitions_of_memory_stand_side_by_side():
    found = row(BATCH, EXTERN, SRUN)
    assert found["memory_seff_bytes"] == 6 * GIB
    assert found["memory_max_rss_tasks_bytes"] == 8 * GIB
    assert found["memory_max_rss_bytes"] == 2 * GIB
    assert found["memory_efficiency_ratio"] == 6 / 8
    assert found["memory_tasks_efficiency_ratio"] == 1.0


def test_before_the_totals_were_told_the_mean_times_the_tasks_is_the_total():
    old = {name: text for name, text in SRUN.items() if not name.startswith("TRES")}
    found = row({**old, "AveDiskRead": "1M", "AveDiskWrite": "2M"})
    assert found["memory_seff_bytes"] == 6 * GIB
    assert (found["disk_read_bytes"], found["disk_write_bytes"]) == (4 * 2**20, 8 * 2**20)


def test_a_step_that_was_never_sampled_is_not_measured_rather_than_zero():
    found = row({"MaxRSS": "", "TRESUsageInTot": "", "TotalCPU": "00:00.012"})
    assert found["cpu_seconds"] == 0.012
    for name in ("memory_seff_bytes", "memory_max_rss_bytes", "memory_max_rss_tasks_bytes", "disk_read_bytes"):
        assert found[name] is None


def test_no_bytes_of_disk_are_measured_but_no_memory_at_all_is_not():
    """Slurm writes 0 for a step that ended before it was first sampled; no process does without memory."""
    found = row({"MaxRSS": "0", "TRESUsageInTot": "mem=0,fs/disk=0", "TotalCPU": "00:00.116"})
    assert found["disk_read_bytes"] == 0
    assert (found["memory_max_rss_bytes"], found["memory_seff_bytes"]) == (None, None)
    assert found["memory_efficiency_ratio"] is None
    assert found["cpu_seconds"] == 0.116


def test_no_cpu_time_counts_only_where_the_job_was_sampled():
    assert row({"TotalCPU": "00:00:00", "MaxRSS": "2M"})["cpu_efficiency_ratio"] == 0
    assert row({"TotalCPU": "00:00:00", "MaxRSS": "0"}, TotalCPU="00:00:00")["cpu_seconds"] is None


def test_the_sentinels_of_slurm_are_not_measured():
    found = row(
        {"MaxRSS": "18446744073709551615", "TRESUsageInTot": "mem=18446744073709551615", "NTasks": "4294967294"}
    )
    assert (found["memory_max_rss_bytes"], found["memory_seff_bytes"]) == (None, None)


def test_an_allocation_without_steps_tells_its_own_sums():
    found = row(TotalCPU="02:00:00")
    assert (found["steps"], found["cpu_seconds"], found["memory_seff_bytes"]) == (0, 7200, None)
    assert found["oom_killed"] is None


def test_disk_and_gpu_figures_come_from_the_totals_of_the_steps():
    found = row(BATCH, SRUN, {**SRUN, "JobID": "100.1", "JobIDRaw": "100.1"})
    assert (found["disk_read_bytes"], found["disk_write_bytes"]) == (2000, 10000)
    assert (found["gpu_memory_bytes"], found["gpu_util_percent"]) == (16 * GIB, 180.0)


@pytest.mark.parametrize(
    ("cells", "step", "joules"),
    [
        ({"ConsumedEnergyRaw": "0"}, {"TRESUsageInTot": "energy=0"}, None),
        ({"ConsumedEnergyRaw": ""}, {"ConsumedEnergyRaw": "0"}, None),
        ({"ConsumedEnergyRaw": "18446744073709551614"}, {}, None),
        ({"ConsumedEnergyRaw": "5000"}, {}, 5000.0),
        ({}, {"ConsumedEnergyRaw": "5000"}, 5000.0),
        ({}, {"TRESUsageInTot": "energy=33,mem=1G"}, 33.0),
        ({"ConsumedEnergy": "1.5K"}, {}, 1500.0),
        ({"AllocTRES": "cpu=4,energy=70,mem=8G"}, {}, 70.0),
    ],
)
def test_energy_is_null_without_a_plugin_and_its_suffixes_are_powers_of_1000(cells, step, joules):
    assert row(step, **cells)["energy_joules"] == joules


def test_energy_of_the_steps_is_the_largest_since_they_share_the_nodes():
    batch = {"ConsumedEnergyRaw": "33"}
    assert row(batch, {**EXTERN, "ConsumedEnergyRaw": "34"})["energy_joules"] == 34.0


# --- outcome --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "steps", "expected"),
    [
        ({"State": "COMPLETED"}, [], (outcomes.SUCCESS, "state")),
        ({"State": "COMPLETED"}, [{"State": "FAILED", "ExitCode": "1:0"}], (outcomes.SUCCESS, "state")),
        ({"State": "COMPLETED"}, [{"State": "OUT_OF_MEMORY"}], (outcomes.SUCCESS, "state")),
        ({"State": "CANCELLED by 0"}, [], (outcomes.CANCELLED, "state")),
        ({"State": "CANCELLED+"}, [], (outcomes.CANCELLED, "state")),
        ({"State": "OUT_OF_MEMORY", "ExitCode": "0:125"}, [], (outcomes.OOM, "state")),
        ({"State": "FAILED", "ExitCode": "0:125"}, [], (outcomes.OOM, "oom_kill")),
        ({"State": "FAILED", "ExitCode": "1:0"}, [{"State": "OUT_OF_MEMORY"}], (outcomes.OOM, "oom_kill")),
        ({"State": "FAILED", "ExitCode": "0:9"}, [], (outcomes.FAILED, "state")),
        ({"State": "FAILED", "ExitCode": "137:0"}, [], (outcomes.FAILED, "state")),
        ({"State": "FAILED", "ExitCode": "139:0"}, [], (outcomes.SEGFAULT, "signal")),
        ({"State": "FAILED", "ExitCode": "0:11"}, [], (outcomes.SEGFAULT, "signal")),
        ({"State": "FAILED", "ExitCode": "0:0", "DerivedExitCode": "0:11"}, [], (outcomes.SEGFAULT, "signal")),
        ({"State": "FAILED", "ExitCode": "0:0"}, [], (outcomes.FAILED, "state")),
        ({"State": "NODE_FAIL"}, [], (outcomes.NODE_FAIL, "state")),
        ({"State": "BOOT_FAIL"}, [], (outcomes.NODE_FAIL, "state")),
        ({"State": "DEADLINE"}, [], (outcomes.TIMEOUT, "state")),
        ({"State": "TIMEOUT"}, [{"State": "CANCELLED"}], (outcomes.TIMEOUT, "state")),
        ({"State": "PREEMPTED"}, [], (outcomes.CANCELLED, "state")),
        (
            {"State": "CANCELLED", "Start": "None", "Reason": "DependencyNeverSatisfied"},
            [],
            (outcomes.DEPENDENCY, "reason"),
        ),
        ({"State": "CANCELLED", "Reason": "Dependency"}, [], (outcomes.CANCELLED, "state")),
    ],
)
def test_the_outcome_class_follows_the_state_and_the_evidence(cells, steps, expected):
    found = row(*steps, **cells)
    assert (found["failure_class"], found["class_source"]) == expected


def test_who_cancelled_is_kept():
    found = row(State="CANCELLED by 1185300516")
    assert (found["state_raw"], found["state"]) == ("CANCELLED by 1185300516", "CANCELLED")
    assert found["cancelled_by_uid"] == 1185300516


def test_exit_codes_and_signals_are_kept_apart_and_the_steps_tell_the_derived_one():
    found = row(ExitCode="3:0", DerivedExitCode="49:9")
    assert (found["exit_code"], found["exit_signal"]) == (3, 0)
    assert (found["derived_exit_code"], found["derived_exit_signal"]) == (49, 9)
    numbered = [{**SRUN, "ExitCode": "2:0"}, {**SRUN, "JobID": "100.1", "JobIDRaw": "100.1", "ExitCode": "7:0"}]
    assert row({"ExitCode": "9:0"}, *numbered)["derived_exit_code"] == 7


def test_whether_a_step_ran_out_of_memory_is_null_where_no_step_is_told():
    assert row()["oom_killed"] is None
    assert row({})["oom_killed"] is False
    assert row({"State": "OUT_OF_MEMORY"})["oom_killed"] is True
    assert row({"ExitCode": "0:125"})["oom_killed"] is True


def test_a_reason_of_none_is_no_reason():
    assert row(Reason="None")["reason"] is None
    assert row(Reason="JobHeldUser")["reason"] == "JobHeldUser"


# --- hostile and damaged --------------------------------------------------------------------------------------


def test_names_are_kept_as_they_are():
    found = row(User="DOM\\ann+x@site", JobName="None", Account="", Comment="a|b\nc", WorkDir="/h/\udcff")
    assert (found["user"], found["job_name"], found["account"]) == ("DOM\\ann+x@site", "None", None)
    assert (found["comment"], found["work_dir"]) == ("a|b\nc", "/h/\udcff")


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"ReqMem": "12?", "ReqTRES": ""}, "req_memory_bytes", "reqmem cannot be read and is null"),
        ({"AllocCPUS": "many", "AllocTRES": "mem=1G"}, "alloc_cpus", "alloccpus cannot be read and is null"),
        ({"ExitCode": "x"}, "exit_code", "exitcode cannot be read and is null"),
        ({"TotalCPU": "-1"}, "cpu_seconds", "totalcpu cannot be read and is null"),
        ({"TRESUsageInTot": "mem=12?"}, "memory_seff_bytes", "mem cannot be read and is null"),
        ({"MaxRSS": "9999999999P"}, "memory_max_rss_bytes", "memory_max_rss_bytes is out of range"),
        ({"AllocCPUS": "999999999999999999E"}, "alloc_cpus", "alloc_cpus is out of range"),
    ],
)
def test_what_cannot_be_read_is_null_and_told_and_the_job_is_kept(cells, column, reason):
    found = jobs_of({**JOB, **cells})
    assert [each[column] for each in found.rows] == [None]
    assert reason in [each.reason for each in found.rejected]


def test_a_cell_that_several_columns_are_made_of_is_told_once():
    assert notices(AllocTRES="nonsense") == [("100 alloctres=nonsense", "alloctres cannot be read and is null")]


CELLS = st.sampled_from(
    ["", "0", "-1", "9" * 25, "None", "Unknown", "1.5G", "2026-03-05T10:00:00", "1-02:03:04", "x=y"]
)


@given(
    st.dictionaries(st.sampled_from([*JOB, "MaxRSS", "NTasks", "Suspended", "Timelimit", "Restarts"]), CELLS),
    st.dictionaries(st.sampled_from(["MaxRSS", "NTasks", "TRESUsageInTot", "TotalCPU", "ExitCode", "State"]), CELLS),
)
def test_a_row_fits_its_contract_whatever_the_cells_hold(cells, step):
    found = jobs_of({**JOB, **cells}, {**STEP, **step})
    for each in found.rows:
        for column in JOB_METRICS.data_columns:
            value = each.get(column.name)
            assert value is not None or column.nullable, column.name
            if value is not None and column.minimum is not None:
                assert column.minimum <= value < 2**63, column.name
            assert not column.allowed or value is None or value in column.allowed
    assert len(found.rows) + len(found.rejected) >= 1 or cells.get("State") is not None or cells.get("End") is not None


def test_an_output_goes_the_whole_way_from_text_to_row():
    text = (
        "JobIDRaw|JobID|State|Submit|Start|End|JobName\n"
        "7|7|COMPLETED|1772704800|1772704860|1772708460|a|b\n"
        "7.batch|7.batch|COMPLETED|1772704860|1772704860|1772708460|batch\n"
    )
    found = rows_of(split(text).records)
    assert [(each["job_name"], each["steps"], each["elapsed_seconds"]) for each in found.rows] == [("a|b", 1, 3600)]
