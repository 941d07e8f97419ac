"""The collectors of queue and nodes on a real Slurm: field by field what its JSON says, and its daemons killed."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any, Iterator

import pytest
from support.lab import Lab

from nomade_pipeline.agent.runs import run_collector
from nomade_pipeline.collectors import node_state, slurm, slurm_collectors
from nomade_pipeline.collectors.base import Collected
from nomade_pipeline.collectors.slurm_states import parse_job_state, reason_class
from nomade_pipeline.config.collector_settings import NodeStateSettings, SlurmSettings
from nomade_pipeline.probes import LiveProbe

Row = dict[str, Any]

HOSTILE = (
    b"pipe|name",
    b'two\nlines "q"',
    b"\xff\xfe caf\xe9",
    b"x State=IDLE JobState=FAILED",
    b"\x1f0123abcd\n9\x1f0123abcd",
)
LIVE = {"PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING"}


@pytest.fixture
def asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Return the lab, with the collectors of this process speaking to it."""
    monkeypatch.setenv("SLURM_CONF", lab.environment["SLURM_CONF"])
    return lab


@pytest.fixture(scope="module")
def jobs(lab: Lab) -> Iterator[list[str]]:
    """Return the numbers of jobs of every kind that a name or a request can make hard to read."""
    wrap = ["--output=/dev/null", "--time=5", "--wrap=sleep 300"]
    requests = [
        *([["--hold", b"--job-name=" + name] for name in HOSTILE]),
        ["--hold", "--partition=batch,short", "--array=1-30:3,40-47%2"],
        ["--array=0-2", "--mem=50"],
        ["--gpus-per-task=1", "--ntasks=1"],
        ["--begin=now+2hours"],
        ["--dependency=afterany:1", "--hold", "--comment=Partition=short"],
    ]
    numbers = [_submitted(lab, ["sbatch", "--parsable", *request, *wrap]) for request in requests]
    het = ["sbatch", "--parsable", "--output=/dev/null", "--ntasks=1", ":", "--ntasks=2", "--wrap=sleep 300"]
    numbers.append(_submitted(lab, het))
    time.sleep(3)
    try:
        yield numbers
    finally:
        lab.run(["scancel", *numbers])


def _submitted(lab: Lab, argv: list[str | bytes]) -> str:
    done = lab.run(argv)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def told_by(lab: Lab, command: str, part: str, key: str) -> dict[str, Row]:
    """Return what a command says in JSON, by number or name; names that are no UTF-8 keep their bytes."""
    done = lab.run([command, "--all", "--json"])
    document = json.loads(done.stdout.decode("utf-8", "surrogateescape"))
    return {str(entry[key]): entry for entry in document[part]}


def rows(collected: Collected, table: str) -> list[Row]:
    return [row for reading in collected.readings if reading.table == table for row in reading.rows]


def seconds(value: Any) -> int:
    return 0 if value is None else int(value.timestamp())


def test_every_job_is_what_squeues_own_json_says(asked: Lab, jobs: list[str]) -> None:
    """Only jobs whose JSON was the same before and after are compared: a change in between is no fault."""
    before = told_by(asked, "squeue", "jobs", "job_id")
    collected = slurm.QueueMemory().collect(LiveProbe(), SlurmSettings(), 60)
    after = told_by(asked, "squeue", "jobs", "job_id")
    assert collected.rejected == ()
    found = {row["job_id_raw"]: row for row in rows(collected, "slurm_job")}
    steady = {number: job for number, job in after.items() if before.get(number) == job and job["job_state"] in LIVE}
    assert {number.split(";")[0] for number in jobs} <= set(steady)
    assert set(steady) <= set(found)
    for number, job in steady.items():
        row = found[number]
        assert row["job_name"].encode("utf-8", "surrogateescape") == job["name"].encode("utf-8", "surrogateescape")
        assert (row["user"], row["account"], row["qos"]) == (job["user_name"], job["account"], job["qos"])
        assert (row["partition"], row["priority"]) == (job["partition"], job["priority"])
        assert (row["cpus"], row["nodes"]) == (job["cpus"], job["node_count"])
        assert row["state"] == parse_job_state(job["job_state"])[0]
        assert (row["node_list"] or "", row["dependency"] or "") == (job["nodes"], job["dependency"])
        times = ("submit_time", "eligible_time", "start_time", "end_time")
        assert [seconds(row[name]) for name in times] == [job[name] for name in times]
        assert row["time_limit_seconds"] == (None if job["time_limit"] is None else 60 * job["time_limit"])
        tres = job["tres_alloc_str"] or job["tres_req_str"]
        assert row["gpus"] == sum(int(part[9:]) for part in tres.split(",") if part.startswith("gres/gpu="))
        waits = job["job_state"] == "PENDING"
        assert row["reason_class"] == (reason_class(job["state_reason"]) if waits else None)


def test_tasks_components_and_partitions_are_counted(asked: Lab, jobs: list[str]) -> None:
    found = {row["job_id_raw"]: row for row in rows(slurm.collect(LiveProbe(), SlurmSettings(), 60), "slurm_job")}
    array = found[jobs[len(HOSTILE)]]
    # 1, 4, … 28 and 40 to 47.
    assert (array["tasks"], array["partition"]) == (18, "batch,short")
    assert array["job_id"].startswith(f"{array['job_id_raw']}_[1,4,7")
    leader = jobs[-1]
    components = sorted(row["job_id"] for row in found.values() if row["job_id"].startswith(f"{leader}+"))
    assert components == [f"{leader}+0", f"{leader}+1"]
    assert found[jobs[len(HOSTILE) + 2]]["gpus"] == 1


def test_the_counts_are_those_of_squeue_array(asked: Lab, jobs: list[str]) -> None:
    """`squeue --array` writes each task on a line of its own: the independent count."""
    collected = slurm.collect(LiveProbe(), SlurmSettings(), 60)
    lines = asked.run(["squeue", "-a", "--array", "-h", "-o", "%T %P"]).stdout.decode().split("\n")[:-1]
    states = [line.split()[0] for line in lines]
    total, *_ = rows(collected, "slurm_queue")
    assert total["pending_jobs"] == states.count("PENDING")
    assert total["running_jobs"] == states.count("RUNNING")
    short = next(row for row in rows(collected, "slurm_queue") if row["partition"] == "short")
    assert short["pending_jobs"] == sum(line.startswith("PENDING") and "short" in line for line in lines)
    assert len(jobs) > 5


def test_every_node_is_what_sinfos_own_json_says(asked: Lab, jobs: list[str]) -> None:
    name = asked.run(["sinfo", "-h", "-N", "-o", "%N"]).stdout.decode().split()[0]
    reason = 'fan "3" | State=IDLE RealMemory=1 [eve@1]'
    asked.run(["scontrol", "update", f"NodeName={name}", "State=DRAIN", f"Reason={reason}"])
    try:
        before = told_by(asked, "sinfo", "nodes", "name")
        collected = node_state.collect(LiveProbe(), NodeStateSettings(), 60)
        after = told_by(asked, "sinfo", "nodes", "name")
    finally:
        asked.run(["scontrol", "update", f"NodeName={name}", "State=RESUME"])
    found = {row["node"]: row for row in rows(collected, "node_state")}
    assert set(found) == set(after)
    steady = {node: entry for node, entry in after.items() if before[node] == entry}
    assert name in steady
    for node, entry in steady.items():
        row = found[node]
        assert (row["state"], set((row["flags"] or "").split(",")) - {""}) == (
            entry["state"].upper(),
            set(entry["state_flags"]),
        )
        assert (row["cpus"], row["cpus_allocated"]) == (entry["cpus"], entry["alloc_cpus"])
        assert row["memory_bytes"] == entry["real_memory"] * 2**20
        assert row["memory_allocated_bytes"] == entry["alloc_memory"] * 2**20
        assert row["memory_free_bytes"] == entry["free_memory"] * 2**20
        assert row["cpu_load"] == entry["cpu_load"] / 100
        assert (row["reason"] or "", row["reason_user"]) == (entry["reason"], entry["reason_set_by_user"])
        assert seconds(row["reason_time"]) == entry["reason_changed_at"]
        assert [seconds(row[column]) for column in ("boot_time", "slurmd_start_time", "last_busy_time")] == [
            entry[column] for column in ("boot_time", "slurmd_start_time", "last_busy")
        ]
        assert (row["gres"] or "", row["version"]) == (entry["gres"], entry["slurmd_version"])
        used = [part for part in (entry["tres_used"] or "").split(",") if part.startswith("gres/gpu=")]
        assert row["gpus_allocated"] == sum(int(part[9:]) for part in used)
        assert row["partitions"].split(",") == sorted(entry["partitions"])
    assert found[name]["reason"] == reason
    assert found[name]["drained"] == 1


def test_jobs_that_come_and_go_are_told_between_full_pictures(asked: Lab) -> None:
    memory = slurm.QueueMemory()
    memory.collect(LiveProbe(), SlurmSettings(), 60)
    number = _submitted(asked, ["sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true"])
    came = memory.collect(LiveProbe(), SlurmSettings(), 60)
    assert [row["kind"] for row in rows(came, "slurm_job") if row["job_id_raw"] == number] == ["changed"]
    asked.run(["scancel", number])
    time.sleep(1)
    went = memory.collect(LiveProbe(), SlurmSettings(), 60)
    assert [row["kind"] for row in rows(went, "slurm_job") if row["job_id_raw"] == number] == ["gone"]


def test_slurmdbd_that_is_killed_is_told_and_the_queue_is_still_read(asked: Lab) -> None:
    os.kill(asked.pids()["slurmdbd"], signal.SIGKILL)
    try:
        collected = slurm.collect(LiveProbe(), SlurmSettings(), 60)
    finally:
        asked.up()
    (scheduler,) = rows(collected, "slurm_scheduler")
    assert (scheduler["controller_up"], scheduler["dbd_up"], scheduler["dbd_ping_seconds"]) == (True, False, None)
    assert rows(collected, "slurm_queue")
    (again,) = rows(slurm.collect(LiveProbe(), SlurmSettings(), 60), "slurm_scheduler")
    assert again["dbd_up"] is True


def test_a_controller_that_is_killed_is_a_failed_run_with_a_row(asked: Lab) -> None:
    os.kill(asked.pids()["slurmctld"], signal.SIGKILL)
    try:
        report = run_collector(slurm_collectors.SLURM, LiveProbe(), SlurmSettings(), 5)
        nodes = run_collector(slurm_collectors.NODES, LiveProbe(), NodeStateSettings(), 5)
    finally:
        asked.up()
    assert (report.outcome, report.category) == ("failed", "service_down")
    (reading,) = report.readings
    assert (reading.table, reading.rows[0]["controller_up"]) == ("slurm_scheduler", False)
    assert (nodes.outcome, nodes.category) == ("failed", "service_down")
    assert run_collector(slurm_collectors.SLURM, LiveProbe(), SlurmSettings(), 5).outcome == "success"
