"""Recorded outputs of the shared collection: each is read rightly or refused with a reason, and no record is lost.

The expectations were read off the files by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.needs import SHARED

from nomade_pipeline.collectors.sacct_rows import Jobs, rows_of
from nomade_pipeline.collectors.sacct_split import Split, split
from nomade_pipeline.tables import outcomes

FOLDER = SHARED / "data" / "fixtures" / "sacct"
FILES = sorted(FOLDER.iterdir()) if FOLDER.is_dir() else []
NORDIC, GCM, XDMOD = "NordicHPC+slurm2sql__", "facebookresearch+gcm__", "ubccr+xdmod__"
REPORTSEFF = "troycomi+reportseff__"
GIB = 2**30

pytestmark = pytest.mark.needs("shared")

# reportseff's recordings have no header: these are the columns that it asked for.
JOBSTATS = (
    "AdminComment", "AllocCPUS", "Elapsed", "JobID", "JobIDRaw", "MaxRSS", "NNodes", "ReqMem", "State", "Timelimit",
    "TotalCPU",
)  # fmt: skip
ENERGY = (
    "AdminComment", "AllocCPUS", "Elapsed", "JobID", "JobIDRaw", "MaxRSS", "NNodes", "NTasks", "ReqMem", "State",
    "TRESUsageOutAve", "Timelimit", "TotalCPU",
)  # fmt: skip


def output_of(name: str, columns: Any = ()) -> Split:
    return split((FOLDER / name).read_bytes().decode("utf-8", "surrogateescape"), columns)


def jobs_of(name: str) -> Jobs:
    return rows_of(output_of(name).records)


def only(name: str) -> dict[str, Any]:
    (row,) = jobs_of(name).rows
    return row


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_recording_is_read_or_refused_with_a_reason(path):
    found = output_of(path.name)
    jobs = rows_of(found.records)
    assert found.records or found.rejected
    assert jobs.rows or jobs.rejected or found.rejected
    for refused in (*found.rejected, *jobs.rejected):
        assert refused.text
        assert len(refused.reason) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_line_of_a_recording_is_in_a_record_or_refused(path):
    """Counted by the lines that begin with, or hold as their own cell, a job's number."""
    found = output_of(path.name)
    if found.layout is None:
        assert [each.text for each in found.rejected] == [path.read_text()]
        return
    lines = [line for line in path.read_text().splitlines() if found.layout.delimiter in line]
    broken = sum(text.count("\n") for record in found.records for text in record.values())
    header = "JobID" in lines[0]
    assert len(found.records) + len(found.rejected) + broken + header == len(lines)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_allocation_of_a_recording_is_lost(path):
    """Each ends as a row, goes on, or is told; steps go with theirs or are told."""
    found = output_of(path.name)
    jobs = rows_of(found.records)
    allocations = [each for each in found.records if "." not in each.get("jobid", each.get("jobidraw", ""))]
    ended = [each for each in allocations if each.get("state", "?").split()[0] != "RUNNING"]
    unusable = [each for each in jobs.rejected if "second job" in each.reason or "End" in each.reason]
    assert len(jobs.rows) + len(unusable) == len(ended)
    steps = sum(row["steps"] for row in jobs.rows)
    assert steps > 0 or len(found.records) == len(allocations) or jobs.rejected


def test_a_full_set_of_columns_of_slurm_19():
    row = only(f"{NORDIC}test-data1.csv")
    assert (row["job_id_raw"], row["state"], row["cancelled_by_uid"]) == ("43974388", "CANCELLED", 1300204)
    assert row["failure_class"] == outcomes.CANCELLED
    assert row["submit_time"] == datetime(2019, 7, 31, 22, 29, 13, tzinfo=UTC)
    assert row["end_time"] == datetime(2019, 8, 1, 2, 2, 39, tzinfo=UTC)
    assert (row["wait_seconds"], row["elapsed_seconds"], row["time_limit_seconds"]) == (1, 12805, 432000)
    assert (row["steps"], row["cpu_seconds"], row["user_cpu_seconds"]) == (2, 15.057, 13.03)
    assert row["cpu_efficiency_ratio"] == 15.057 / (12805 * 2)
    assert (row["memory_max_rss_bytes"], row["req_memory_bytes"]) == (231092 * 1024, 2252800 * 1024)
    assert row["disk_read_bytes"] == round(85399.46 * 1024)
    assert (row["alloc_nodes"], row["req_nodes"], row["node_list"]) == (1, None, "pe2")
    assert [each.reason for each in jobs_of(f"{NORDIC}test-data1.csv").rejected] == ["its End is not told"]


def test_a_name_with_a_newline_and_delimiters_and_a_column_told_twice():
    name = f"{GCM}sacct-one-multiline.txt"
    found = output_of(name)
    assert [each["submitline"] for each in found.records][2] == "sbatch --job-name job_name || \n "
    failed, requeued = jobs_of(name).rows
    assert (failed["job_id_raw"], failed["exit_code"], failed["derived_exit_signal"]) == ("201729", 6, 6)
    assert (failed["alloc_cpus"], failed["alloc_gpus"], failed["alloc_nodes"]) == (12288, 1024, 128)
    assert failed["req_memory_bytes"] == 60 * 2**40
    assert failed["steps"] == 1
    assert failed["cpu_seconds"] == 1784 * 86400 + 21 * 3600 + 21 * 60 + 35
    assert failed["reason"] == "Dependency"
    assert failed["end_time"] == datetime(2023, 1, 16, 1, 4, 26, tzinfo=UTC)
    assert (requeued["state"], requeued["wait_seconds"], requeued["reason"]) == ("REQUEUED", 1, None)
    assert requeued["user"] == "test_user"


def test_jobs_told_by_three_columns_are_identified_by_their_end():
    jobs = jobs_of(f"{GCM}sacct-output-midnight-edge-case-small.txt")
    assert jobs.rejected == []
    assert [(row["job_id_raw"], row["steps"]) for row in jobs.rows] == [
        ("39125549", 3),
        ("39125551", 3),
        ("39125552", 2),
    ]
    assert {row["submit_time_source"] for row in jobs.rows} == {"end"}
    assert jobs.rows[0]["end_time"] == datetime(2021, 4, 7, 23, 59, 38, tzinfo=UTC)


@pytest.mark.parametrize("name", ["sacct-output.txt", "sacct-running-output.txt"])
def test_steps_alone_are_told_and_make_no_job(name):
    jobs = jobs_of(f"{GCM}{name}")
    assert jobs.rows == []
    assert {each.reason for each in jobs.rejected} == {"steps whose allocation is not in the output"}


def test_xdmods_dumps_are_known_without_header():
    timeout, cancelled, completed, strange = jobs_of(f"{XDMOD}accounting-logs.log.txt").rows
    assert (timeout["failure_class"], timeout["exit_code"], timeout["alloc_nodes"]) == (outcomes.TIMEOUT, 1, 32)
    assert timeout["req_memory_bytes"] == 256 * 3000 * 2**20
    assert timeout["alloc_memory_bytes"] == 3000 * 2**20
    assert cancelled["cancelled_by_uid"] == 102216
    assert cancelled["req_memory_bytes"] == 3 * 48000 * 2**20
    assert (completed["user"], completed["group_name"], completed["account"]) == ("anonuser", "anongroup", "anonacct")
    assert (completed["elapsed_seconds"], completed["time_limit_seconds"]) == (50449, 51600)
    assert completed["req_memory_bytes"] == completed["alloc_memory_bytes"] == 144000 * 2**20
    assert (strange["partition"], strange["alloc_gpus"], strange["eligible_time"]) == (None, 2, None)
    assert strange["job_name"] == "allocation"


def test_arrays_that_were_never_split_share_number_and_submission_and_are_told():
    jobs = jobs_of(f"{XDMOD}accounting-logs-with-job-arrays.log.txt")
    assert len(jobs.rows) == 1
    assert len(jobs.rejected) == 5


def test_states_that_nobody_knows_are_kept_and_counted():
    jobs = jobs_of(f"{XDMOD}unknown-job-state.log.txt")
    assert [(row["state_raw"], row["failure_class"]) for row in jobs.rows] == [("FOO", None), ("BAR", None)]
    assert [each.text for each in jobs.rejected] == ["3451067 state=FOO", "3483276 state=BAR"]


@pytest.mark.parametrize(
    ("name", "count"),
    [("single_core", 4), ("multi_node", 3), ("bad_gpu", 3), ("bad_gpu_used", 3), ("multi_node_multi_gpu", 3)],
)
def test_an_output_without_header_is_read_when_its_columns_are_given(name, count):
    found = output_of(f"{REPORTSEFF}conftest_{name}.txt", JOBSTATS)
    assert (len(found.records), found.rejected) == (count, [])
    assert {each["jobidraw"].split(".")[0] for each in found.records} == {found.records[0]["jobidraw"]}


def test_an_unusual_delimiter_is_found_when_the_columns_are_given():
    found = output_of(f"{REPORTSEFF}test_reportseff_test_energy_reporting_L887.txt", ENERGY)
    assert found.layout is not None
    assert (found.layout.delimiter, found.layout.trailing) == ("^|^", True)
    assert len(found.records) == 12
    assert found.records[1]["tresusageoutave"] == "energy=33,fs/disk=0"
    assert found.records[1]["totalcpu"] == "00:47.733"


def test_a_job_whose_end_is_not_in_the_columns_is_refused():
    found = rows_of(output_of(f"{REPORTSEFF}conftest_multi_node.txt", JOBSTATS).records)
    assert [each.reason for each in found.rejected] == ["its End is not told"]


def test_figures_of_a_job_on_several_nodes():
    """With an end of our own, since reportseff does not ask for it."""
    records = output_of(f"{REPORTSEFF}conftest_multi_node.txt", JOBSTATS).records
    (row,) = rows_of([{**each, "end": "2022-08-01T00:00:00"} for each in records]).rows
    assert row["cpu_seconds"] == 16 * 60 + 1.272
    assert (row["alloc_cpus"], row["alloc_nodes"], row["steps"]) == (80, 4, 2)
    assert row["cpu_efficiency_ratio"] == 961.272 / (146 * 80)
    assert row["memory_max_rss_bytes"] == 1764224 * 1024
    assert row["req_memory_bytes"] == round(312.5 * GIB)


def test_figures_of_an_array_task_with_all_kinds_of_steps():
    records = output_of(f"{REPORTSEFF}conftest_single_core.txt", JOBSTATS).records
    (row,) = rows_of([{**each, "end": "2022-08-01T00:00:00"} for each in records]).rows
    assert (row["array_job_id"], row["array_task_id"], row["job_id_raw"]) == ("39889258", 1426, "39895850")
    assert (row["cpu_seconds"], row["memory_max_rss_bytes"]) == (3 * 3600 + 43 * 60 + 27.082, 3501608 * 1024)
