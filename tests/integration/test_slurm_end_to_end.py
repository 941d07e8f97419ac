"""A real cluster, watched while a real workload runs: what `nomade` shows against what Slurm itself says.

Cluster up, agent on, workload, ingest; then each ended job field by field against `sacct --json`, the queue against
`squeue --json` and the nodes against `scontrol show node`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.lab import running_lab
from support.site import Site

pytestmark = pytest.mark.needs("slurm")

ENDED = ("CD", "F", "CA", "TO", "NF", "PR", "BF", "DL", "OOM", "RV", "RQ")
COLLECTORS = "slurm,node_state,job_metrics,job_monitor"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Watch a lab of its own with the resident agent while the workload runs, then ingest."""
    with running_lab() as lab:
        made = Site(lab, tmp_path_factory.mktemp("site"))
        made.nomade("init")
        argv = made.argv("collect", "-i", "3", "-C", COLLECTORS)
        agent = subprocess.Popen(argv, env=made.environment, cwd=made.folder, stderr=subprocess.PIPE)
        try:
            assert lab.manifest["jobs"]
            time.sleep(10)
        finally:
            agent.send_signal(signal.SIGTERM)
            _, told = agent.communicate(timeout=30)
        assert agent.returncode == 0, told
        made.nomade("collect", "--once", "-C", COLLECTORS)
        made.nomade("ingest")
        yield made


def told_by_sacct(site: Site) -> dict[tuple[str, int], Any]:
    """Return each job that has ended, by number and submission."""
    # Without states a job that was cancelled before it was eligible is in no window.
    window = ("--starttime=now-1days", "--endtime=now", f"--state={','.join(ENDED)}")
    jobs = site.slurm_json("sacct", "--allusers", "--duplicates", *window, "--json")["jobs"]
    # The JSON of 22.05 loses the exit status: it says 0 for every job that was not killed by a signal.
    columns = ("--allocations", "--parsable2", "--noheader", "--format=JobIDRaw,Submit,ExitCode")
    lines = site.slurm("env", "SLURM_TIME_FORMAT=%s", "sacct", "--allusers", "--duplicates", *window, *columns)
    codes = {(job, int(submit)): code for job, submit, code in (line.split("|") for line in lines.decode().split())}
    ended = {(str(job["job_id"]), job["time"]["submission"]): job for job in jobs if job["time"]["end"]}
    return {key: {**job, "exit": [int(part) for part in codes[key].split(":")]} for key, job in ended.items()}


def epoch(text: str | None) -> int:
    from nomade_pipeline import clock

    return 0 if text is None else int(clock.from_text(text).timestamp())


def seff_bytes(job: Any) -> int | None:
    """Return seff's peak: the largest over the steps of what their tasks added up to."""
    sums = [
        entry["count"]
        for step in job["steps"]
        for entry in step["tres"]["requested"]["total"]
        if entry["type"] == "mem" and 0 <= entry["count"] < 2**63
    ]
    # No process ever holds no memory: 0 is what Slurm has of a step that ended before its first look at it.
    return max(sums, default=0) or None


def cpu_seconds(job: Any) -> float | None:
    """Return the CPU time over all steps; none is what Slurm has of a job whose node was lost."""
    times = [step["time"]["total"] for step in job["steps"]]
    return sum(time["seconds"] + time["microseconds"] / 1e6 for time in times) or None


def expected(job: Any) -> dict[str, Any]:
    """Return a job of `sacct --json` in our words."""
    seconds = job["time"]
    started = seconds["start"] if job["nodes"] not in ("None assigned", "", None) else 0
    return {
        "user": job["association"]["user"],
        "account": job["account"],
        "partition": job["partition"],
        "qos": job["qos"],
        "state": job["state"]["current"],
        "end": seconds["end"],
        "start": started,
        "eligible": seconds["eligible"],
        "elapsed": seconds["elapsed"],
        "limit": seconds["limit"] * 60,
        "exit_code": job["exit"][0],
        "exit_signal": job["exit"][1],
        "nodes": job["allocation_nodes"] if started else None,
        "req_cpus": job["required"]["CPUs"],
        "array": str(job["array"]["job_id"]) if job["array"]["job_id"] else None,
        "task": job["array"]["task_id"],
        "het": str(job["het"]["job_id"]) if job["het"]["job_id"] else None,
        "cpu_seconds": pytest.approx(cpu_seconds(job), abs=0.002) if started else None,
        "memory": seff_bytes(job) if started else None,
    }


def shown(row: Any) -> dict[str, Any]:
    """Return a job of `nomade jobs --json` in the same words."""
    return {
        "user": row["user"],
        "account": row["account"],
        "partition": row["partition"],
        "qos": row["qos"],
        "state": row["state"],
        "end": epoch(row["end_time"]),
        "start": epoch(row["start_time"]),
        "eligible": epoch(row["eligible_time"]),
        "elapsed": row["elapsed_seconds"],
        "limit": row["time_limit_seconds"],
        "exit_code": row["exit_code"],
        "exit_signal": row["exit_signal"],
        "nodes": row["alloc_nodes"],
        "req_cpus": row["req_cpus"],
        "array": row["array_job_id"],
        "task": row["array_task_id"],
        "het": row["het_job_id"],
        "cpu_seconds": row["cpu_seconds"],
        "memory": row["memory_seff_bytes"],
    }


def ended_rows(site: Site) -> dict[tuple[str, int], Any]:
    rows = site.json("jobs", "--since", "1d", "--limit", "100000")
    return {(row["job_id_raw"], epoch(row["submit_time"])): row for row in rows}


def test_every_ended_job_is_there_once_and_as_sacct_says_field_by_field(site: Site) -> None:
    told, rows = told_by_sacct(site), ended_rows(site)
    assert {key: rows[key] for key in set(rows) - set(told)} == {}
    assert set(told) - set(rows) == set()
    assert len(rows) > 25
    wrong = {}
    for key, job in told.items():
        wanted, found = expected(job), shown(rows[key])
        differing = {name: (wanted[name], found[name]) for name in wanted if wanted[name] != found[name]}
        if differing:
            wrong[key] = differing
    assert not wrong


def test_the_outcome_classes_are_what_the_workload_was_meant_to_end_as(site: Site) -> None:
    rows = ended_rows(site).values()

    def outcomes(state: str, signals: tuple[int, ...] = ()) -> set[str]:
        return {
            row["outcome"] for row in rows if row["state"] == state and (not signals or row["exit_signal"] in signals)
        }

    assert outcomes("COMPLETED") == {"SUCCESS"}
    assert outcomes("TIMEOUT") == {"TIMEOUT"}
    assert outcomes("FAILED", (11,)) == {"SEGFAULT"}
    assert outcomes("FAILED", (9,)) <= {"FAILED", "OOM"}
    assert outcomes("CANCELLED") <= {"CANCELLED", "DEPENDENCY"}
    assert outcomes("NODE_FAIL") <= {"NODE_FAIL"}


def test_the_queue_is_as_squeue_says(site: Site) -> None:
    jobs = site.slurm_json("squeue", "--json")["jobs"]
    told = {str(job["job_id"]): job for job in jobs if job["job_state"] in ("PENDING", "RUNNING", "SUSPENDED")}
    found = {}
    for state in ("pending", "running"):
        found.update({row["job_id_raw"]: row for row in site.json("jobs", "--state", state)})
    assert set(found) == set(told)
    for number, job in told.items():
        row = found[number]
        assert row["user"] == job["user_name"]
        assert row["account"] == job["account"]
        assert row["partition"] == job["partition"]
        assert row["qos"] == job["qos"]
        assert row["state"] == job["job_state"]
        assert epoch(row["submit_time"]) == job["submit_time"]
        assert row["time_limit_seconds"] == job["time_limit"] * 60
        # Slurm computes it anew every few seconds; that of a held job is 0.
        assert (row["priority"] == 0) == (job["priority"] == 0)
        if job["job_state"] == "PENDING" and job["state_reason"] not in ("None", ""):
            assert row["reason"] == job["state_reason"]


def test_the_partitions_count_what_is_in_the_queue(site: Site) -> None:
    (queue,) = site.json("queue")
    lines = site.slurm("squeue", "--noheader", "--array", "--format=%T").split()
    assert queue["total"]["pending_jobs"] == lines.count(b"PENDING")
    assert queue["total"]["running_jobs"] == lines.count(b"RUNNING")
    assert queue["scheduler"]["controller_up"] is True
    assert queue["scheduler"]["dbd_up"] is True
    partitions = set(site.slurm("sinfo", "--noheader", "--format=%R").decode().split())
    assert {row["partition"] for row in queue["partitions"]} == partitions


def test_the_nodes_are_as_scontrol_says(site: Site) -> None:
    (cluster,) = site.json("nodes")
    told = dict.fromkeys(site.slurm("sinfo", "--noheader", "--Node", "--format=%N").decode().split())
    assert [row["node"] for row in cluster["nodes"]] == sorted(told)
    for row in cluster["nodes"]:
        text = site.slurm("scontrol", "show", "node", "--oneliner", row["node"]).decode()
        fields = dict(word.split("=", 1) for word in text.split() if "=" in word)
        assert str(row["cpus"]) == fields["CPUTot"]
        assert str(row["cpus_allocated"]) == fields["CPUAlloc"]
        assert row["memory_bytes"] == int(fields["RealMemory"]) * 2**20
        assert row["memory_allocated_bytes"] == int(fields["AllocMem"]) * 2**20
        assert row["state"] == fields["State"].split("+")[0].rstrip("*~#")


def test_status_shows_the_cluster(site: Site) -> None:
    status = site.nomade("status")
    assert "batch           Running:" in status
    for node in site.slurm("sinfo", "--noheader", "--Node", "--format=%N").decode().split():
        assert node in status
    assert "100% success" in status


def test_most_jobs_that_ran_have_metrics(site: Site) -> None:
    (row,) = json.loads(site.nomade("sql", "SELECT * FROM metrics_coverage", "--format", "json"))
    assert row["started_jobs"] > 25
    assert row["measured_ratio"] > 0.8


def test_what_was_written_was_seen_by_the_monitor(site: Site) -> None:
    watched = [row for row in ended_rows(site).values() if row["monitor_readings"]]
    assert watched
    assert any(row["write_bytes"] for row in watched)


def test_features_of_each_ended_job_have_its_efficiency_and_a_score_by_its_outcome(site: Site) -> None:
    site.nomade("compute", "features")
    query = "SELECT * FROM job_features JOIN jobs USING (cluster, job_id_raw, submit_time)"
    rows = json.loads(site.nomade("sql", query, "--format", "json"))
    assert len(rows) == len(ended_rows(site))
    for row in rows:
        assert row["cpu_efficiency"] == pytest.approx(row["cpu_efficiency_ratio"], abs=1e-4)
        if row["health_score"] is not None:
            assert (row["health_score"] >= 0.5) == (row["failure_class"] == 0)


def test_reading_the_accounting_again_changes_no_byte(site: Site) -> None:
    def content() -> dict[str, bytes]:
        folder = site.folder / "lake" / "raw" / "job_metrics"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}

    before = content()
    site.nomade("collect", "--once", "-C", "job_metrics")
    site.nomade("ingest")
    assert content() == before
    assert os.listdir(site.folder / "spool" / "job_metrics")
