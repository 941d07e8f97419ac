"""A recording of a real Slurm 22.05 against what the workload meant and what `sacct --json` says of the same jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.needs import REPOSITORY

from nomade_pipeline.collectors.sacct_rows import rows_of
from nomade_pipeline.collectors.sacct_split import split

FOLDER = REPOSITORY / "tests/fixtures/slurm-22.05/ended"
ALL_FIELDS = ("sacct-all-fields-epoch-noconvert.txt", "sacct-all-fields.txt")
MIB = 2**20

# Whose name and command line both hold the delimiter of this recording: nothing proves where their cells end.
UNSETTLED = {"8", "25", "39"}
# Held until it was cancelled: a recording that names no states lacks jobs that were never eligible.
NEVER_ELIGIBLE = "13"
# Slurm ends it with status 1, which the description of the workload leaves out.
NOT_COMPARED = {"deadline"}


def text_of(name: str) -> str:
    return (FOLDER / name).read_bytes().decode("utf-8", "surrogateescape")


def rows(name: str = ALL_FIELDS[0]) -> list[dict[str, Any]]:
    return rows_of(split(text_of(name)).records).rows


JSON_JOBS = json.loads(text_of("sacct-one-of-each.json"))["jobs"]
MEANT = [job for job in json.loads(text_of("manifest.json"))["jobs"] if job["ends"]]


def told_by_json(job: dict[str, Any]) -> dict[str, Any]:
    """Return what the JSON says of a job, in our columns; 22.05 writes every exit status as 0 there."""
    time, steps = job["time"], job.get("steps", [])
    tres = {each["type"]: each["count"] for each in job["tres"]["allocated"]}
    asked = {each["type"]: each["count"] for each in job["tres"]["requested"]}
    peaks = [
        each["count"]
        for step in steps
        for each in step["tres"]["requested"]["total"]
        if each["type"] == "mem" and each["count"]
    ]
    return {
        "job_id_raw": str(job["job_id"]),
        "submit_time": datetime.fromtimestamp(time["submission"], UTC),
        "start_time": datetime.fromtimestamp(time["start"], UTC) if time["elapsed"] else None,
        "end_time": datetime.fromtimestamp(time["end"], UTC),
        "elapsed_seconds": float(time["elapsed"]),
        "time_limit_seconds": time["limit"] * 60.0,
        "state": job["state"]["current"],
        "user": job["association"]["user"],
        "account": job["account"],
        "partition": job["partition"],
        "qos": job["qos"],
        "work_dir": job["working_directory"] or None,
        "req_cpus": job["required"]["CPUs"],
        "req_memory_bytes": asked["mem"] * MIB,
        "alloc_cpus": tres.get("cpu"),
        "alloc_nodes": tres.get("node"),
        "alloc_memory_bytes": tres["mem"] * MIB if "mem" in tres else None,
        "memory_seff_bytes": max(peaks, default=None),
        "steps": len(steps),
        "exit_signal": job["exit_code"].get("signal", {"signal_id": 0})["signal_id"],
    }


@pytest.mark.parametrize("name", ALL_FIELDS)
def test_every_job_that_ended_is_a_row_but_those_that_nothing_settles(name):
    found = split(text_of(name))
    jobs = rows_of(found.records)
    ended = {str(job["job_id"]) for job in MEANT if not job["tasks"]} - UNSETTLED - {NEVER_ELIGIBLE}
    assert ended <= {row["job_id_raw"] for row in jobs.rows}
    assert {each.text.split(".")[0] for each in jobs.rejected} == UNSETTLED
    assert {each.reason for each in found.rejected} == {"not 109 cells"}
    assert all("unit\x1fseparator" in each.text for each in found.rejected)


def test_epochs_and_local_text_and_raw_and_converted_units_give_the_same_rows():
    raw, converted = ({(row["job_id_raw"], row["submit_time"]): row for row in rows(name)} for name in ALL_FIELDS)
    assert raw.keys() == converted.keys()
    for key, row in raw.items():
        for name, value in row.items():
            # Converted sizes have two decimals.
            rounded = name.startswith(("memory_", "disk_")) or name == "alloc_tres"
            assert rounded or value == converted[key][name], (key, name)


def test_the_outcome_of_each_job_is_what_the_workload_meant():
    last = {row["job_id_raw"]: row for row in sorted(rows(), key=lambda row: row["end_time"])}
    for job in MEANT:
        row = last.get(str(job["job_id"]))
        if row is None or job["tasks"]:
            continue
        assert row["state"] == job["state"].split()[0], job["scenario"]
        if job["exit_code"] is not None and job["scenario"] not in NOT_COMPARED:
            assert f"{row['exit_code']}:{row['exit_signal']}" == job["exit_code"], job["scenario"]


def test_earlier_runs_of_a_requeued_job_are_rows_of_their_own():
    runs = [row for row in rows() if row["job_id_raw"] == "2"]
    assert [row["state"] for row in runs] == ["PREEMPTED", "COMPLETED"]
    assert [row["steps"] for row in runs] == [2, 2]


@pytest.mark.parametrize("job", JSON_JOBS, ids=lambda job: f"{job['job_id']}-{job['state']['current']}")
def test_the_row_of_a_job_agrees_with_its_json_field_by_field(job):
    found = {(row["job_id_raw"], row["submit_time"]): row for row in rows()}
    expected = told_by_json(job)
    row = found.get((expected["job_id_raw"], expected["submit_time"]))
    if row is None:
        going_on = job["state"]["current"] in ("RUNNING", "PENDING")
        assert going_on or expected["job_id_raw"] in {*UNSETTLED, NEVER_ELIGIBLE}
        return
    if row["start_time"] is None:
        for name in ("alloc_cpus", "alloc_nodes", "alloc_memory_bytes", "elapsed_seconds"):
            expected.pop(name)
    assert {name: row.get(name) for name in expected} == expected
