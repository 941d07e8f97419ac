"""The lab: a real Slurm cluster comes up, stays up, does what its workload says, and goes without a trace."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from support.lab import Lab, must, new_lab_folder, nomade_lab

from nomade_pipeline.lab.processes import all_processes
from nomade_pipeline.lab.scale import TASKS

pytestmark = pytest.mark.needs("slurm")

US = "\x1f"
TERMINAL = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE"}


def until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def sacct(lab: Lab, *fields: str, jobs: str | None = None, steps: bool = False) -> list[dict[str, str]]:
    """Return the rows of the accounting; names that are no UTF-8 keep their bytes as surrogates."""
    argv = ["sacct", "-a", "-D", "-P", "-n", f"--delimiter={US}", "-S", "1970-01-02", "-o", ",".join(fields)]
    # Without --jobs, sacct leaves out jobs that never became eligible.
    argv += ([] if jobs is None else ["--jobs", jobs]) + ([] if steps else ["-X"])
    done = lab.run(argv)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode("utf-8", "surrogateescape").split("\n")
    return [dict(zip(fields, line.split(US, len(fields) - 1), strict=True)) for line in lines if US in line]


def by_scenario(lab: Lab, scenario: str) -> dict[str, Any]:
    (job,) = [job for job in lab.manifest["jobs"] if job["scenario"] == scenario]
    return job


def rows_of(lab: Lab, job: dict[str, Any]) -> list[dict[str, str]]:
    return sacct(lab, "JobIDRaw", "JobID", "State", "ExitCode", "Start", "End", jobs=str(job["job_id"]))


def test_four_nodes_wait_for_jobs_and_every_daemon_runs(lab: Lab) -> None:
    status = lab.status()
    assert len(status["nodes"]) == 4
    assert not [state for state in status["nodes"].values() if state.startswith(("down", "unk")) or "*" in state]
    assert None not in lab.pids().values()
    assert all(status["mounts"].values())


def test_env_prints_what_makes_slurms_commands_speak_to_the_lab(lab: Lab) -> None:
    printed = must(nomade_lab("env", "--folder", str(lab.folder)))
    assert printed == f"export SLURM_CONF={lab.folder}/etc/slurm.conf\n"


def test_a_second_up_changes_nothing(lab: Lab) -> None:
    before = lab.pids()
    assert lab.up() == "everything was running\n"
    assert lab.pids() == before


def test_a_killed_slurmd_is_started_again_and_the_others_are_left_alone(lab: Lab) -> None:
    before = lab.pids()
    victim = next(name for name in before if name.startswith("slurmd "))
    os.kill(before[victim], signal.SIGKILL)
    assert lab.up() == f"started {victim}\n"
    after = lab.pids()
    assert after[victim] != before[victim]
    assert {**after, victim: 0} == {**before, victim: 0}


@pytest.mark.parametrize(
    "scenario", ["failed", "timeout", "out_of_memory", "node_fail", "deadline", "cancelled_pending"]
)
def test_jobs_end_as_they_were_meant_to_once_and_for_all(lab: Lab, scenario: str) -> None:
    job = by_scenario(lab, scenario)
    (row,) = rows_of(lab, job)
    assert row["State"].split()[0] == job["state"]


def test_every_job_that_ends_has_ended_as_the_manifest_says(lab: Lab) -> None:
    wrong = []
    for job in lab.manifest["jobs"]:
        if not job["ends"] or job["tasks"]:
            continue
        # slurmdbd hears of an end a moment later than squeue.
        assert until(lambda job=job: rows_of(lab, job)[-1]["State"].split()[0] in TERMINAL, 15), job
        *earlier, last = rows_of(lab, job) if job["scenario"] != "het" else rows_of(lab, job)[:1]
        got = ([row["State"] for row in earlier], last["State"].split()[0], last["ExitCode"])
        want = (job["earlier"], job["state"], job["exit_code"] or last["ExitCode"])
        if got != want:
            wrong.append((job["scenario"], got, want))
    assert wrong == []


def test_the_tasks_of_the_array_end_as_they_were_told(lab: Lab) -> None:
    job = by_scenario(lab, "array")
    states = {row["JobID"].split("_")[1]: row["State"] for row in rows_of(lab, job)}
    assert states == job["tasks"]
    assert set(states.values()) == {"COMPLETED", "FAILED"}


def test_both_components_of_the_heterogeneous_job_are_there(lab: Lab) -> None:
    job = by_scenario(lab, "het")
    rows = rows_of(lab, job)
    assert [row["JobID"] for row in rows] == [f"{job['job_id']}+0", f"{job['job_id']}+1"]
    assert {row["State"] for row in rows} == {"COMPLETED"}


def test_a_cancelled_job_tells_who_cancelled_it(lab: Lab) -> None:
    by_user, by_admin = (by_scenario(lab, f"cancelled_by_{who}") for who in ("user", "admin"))
    assert rows_of(lab, by_user)[0]["State"] == f"CANCELLED by {pwd.getpwnam(by_user['user']).pw_uid}"
    assert rows_of(lab, by_admin)[0]["State"] == "CANCELLED by 0"


def test_what_waits_waits_for_the_reason_that_was_meant(lab: Lab) -> None:
    waiting = [job for job in lab.manifest["jobs"] if not job["ends"]]
    assert {job["state"] for job in waiting} == {"PENDING", "RUNNING"}

    def reasons() -> dict[int, tuple[str, str | None]]:
        lines = lab.run(["squeue", "--noheader", "--format=%A %T %r"]).stdout.decode().splitlines()
        found = {int(job_id): (state, reason) for job_id, state, reason in map(str.split, lines)}
        return {job_id: (state, None if state == "RUNNING" else reason) for job_id, (state, reason) in found.items()}

    want = {job["job_id"]: (job["state"], job["reason"]) for job in waiting}
    # The reason is that of the scheduler's last look.
    assert until(lambda: reasons() == want, 30), (reasons(), want)


def test_names_come_back_from_the_controller_as_the_bytes_that_were_given(lab: Lab) -> None:
    """The controller keeps bytes; the accounting replaces double quotes and what is no UTF-8."""
    job = by_scenario(lab, "held")
    name = base64.b64decode(job["name_base64"])
    shown = lab.run(["squeue", "--noheader", "--format=%j", "--jobs", str(job["job_id"])]).stdout
    assert shown.removesuffix(b"\n") == name


def test_accounting_keeps_every_name_that_is_utf8_and_unquoted(lab: Lab) -> None:
    checked = 0
    for job in lab.manifest["jobs"]:
        name = base64.b64decode(job["name_base64"])
        if b"\n" in name or b'"' in name or b"\xe9" in name:
            continue
        (row, *_) = sacct(lab, "JobID", "JobName", jobs=str(job["job_id"]))
        assert row["JobName"].encode("utf-8", "surrogateescape") == name
        checked += 1
    assert checked > 10


def test_work_really_uses_cpu_and_memory(lab: Lab) -> None:
    """Memory is seen when Slurm looks, every two seconds: what is shorter may show nothing."""
    long = [job for job in lab.manifest["jobs"] if job["script"][0] == "work.sh" and int(job["script"][1]) >= 4]
    assert long
    for job in long:
        rows = sacct(lab, "JobID", "MaxRSS", "TotalCPU", jobs=str(job["job_id"]), steps=True)
        (batch,) = [row for row in rows if row["JobID"].endswith(".batch")]
        assert int(batch["MaxRSS"].removesuffix("K")) > 1024 * int(job["script"][2])
        assert batch["TotalCPU"] > "00:00.500"


def test_the_step_that_failed_is_seen_under_the_job_that_did_not(lab: Lab) -> None:
    job = by_scenario(lab, "steps")
    rows = {row["JobID"]: row for row in sacct(lab, "JobID", "State", "ExitCode", jobs=str(job["job_id"]), steps=True)}
    assert rows[str(job["job_id"])]["State"] == "COMPLETED"
    assert rows[f"{job['job_id']}.1"]["ExitCode"] == "4:0"


def test_shares_and_priorities_have_content(lab: Lab) -> None:
    assert lab.manifest
    shares = lab.run(["sshare", "-a", "-l", "-P"]).stdout.decode()
    assert {"nomade-alice", "nomade-bob", "nomade-carol", "nomade-dave"} <= set(shares.replace("|", " ").split())
    assert len(lab.run(["sprio", "--noheader", "-l"]).stdout.splitlines()) >= 1


def test_all_daemons_killed_at_once_come_back_and_the_accounting_is_whole(lab: Lab) -> None:
    assert lab.manifest
    before, rows = lab.pids(), len(sacct(lab, "JobID", "State"))
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    assert lab.up().startswith("started mariadbd, munged, slurmdbd, slurmctld, slurmd ")
    after = lab.pids()
    assert None not in after.values()
    assert not set(after.values()) & set(before.values())
    assert len(sacct(lab, "JobID", "State")) == rows


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = new_lab_folder()
    try:
        (folder / "thesis.tex").write_text("precious")
        refused = nomade_lab("up", "--folder", str(folder))
        assert refused.returncode == 1
        assert "holds other things and no lab" in refused.stderr
        assert nomade_lab("down", "--folder", str(folder), "--purge").stdout == f"there is no lab in {folder}\n"
        assert (folder / "thesis.tex").read_text() == "precious"
    finally:
        shutil.rmtree(folder)


def test_a_daemon_that_does_not_come_is_named_with_the_end_of_its_log(lab: Lab) -> None:
    local, conf = lab.folder / "etc" / "local.conf", lab.folder / "etc" / "slurm.conf"
    kept = local.read_text()
    try:
        os.kill(lab.pids()["slurmctld"], signal.SIGKILL)
        local.write_text(f"{kept}StateSaveLocation=/proc/nowhere\n")
        failed = nomade_lab("up", "--folder", str(lab.folder))
        assert failed.returncode == 1
        assert "slurmctld" in failed.stderr
        assert "StateSaveLocation" in failed.stderr or "/proc/nowhere" in failed.stderr
    finally:
        local.write_text(kept)
        assert conf.exists()
        assert lab.up() == "started slurmctld\n"


def traces(folder: Path) -> list[str]:
    """Return what of a lab is left on the machine."""
    mark = os.fsencode(str(folder))
    found = [f"process {each.pid}: {each.argv}" for each in all_processes() if mark in b"\0".join(each.environment)]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]
    found += [
        line for line in subprocess.check_output(["losetup", "-a"], text=True).splitlines() if str(folder) in line
    ]
    return found


@pytest.fixture
def other(lab: Lab) -> Iterator[Lab]:
    """A second lab beside the first one, without cgroups."""
    made = Lab(new_lab_folder())
    try:
        made.up("--no-cgroups")
        yield made
    finally:
        nomade_lab("down", "--folder", str(made.folder), "--purge")
        shutil.rmtree(made.folder, ignore_errors=True)


def submit(lab: Lab, *script: str) -> str:
    """Submit a job of a user; return its id."""
    options = ["--parsable", "--uid=nomade-alice", "--chdir=/", "--output=/dev/null", "--mem=60M"]
    done = lab.run(["sbatch", *options, *script])
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def test_a_second_lab_without_cgroups_works_beside_the_first_and_goes_without_a_trace(lab: Lab, other: Lab) -> None:
    before = lab.pids()
    greedy = submit(other, str(other.folder / "jobs" / "memory.sh"), "240")
    assert until(lambda: [row["State"] for row in sacct(other, "JobID", "State", jobs=greedy)] == ["FAILED"], 40)

    submit(other, "--wrap=sleep 600")
    assert until(lambda: other.run(["squeue", "-h", "-o", "%T"]).stdout == b"RUNNING\n")
    # The hardest end: nobody is left whom one could ask to cancel the job.
    os.kill(other.pids()["slurmctld"], signal.SIGKILL)
    assert traces(other.folder)
    must(nomade_lab("down", "--folder", str(other.folder), "--purge"))
    assert traces(other.folder) == []
    assert not other.folder.exists()
    assert lab.pids() == before
    assert pwd.getpwnam("nomade-alice"), "the first lab still needs its users"


def test_down_ends_the_jobs_and_removes_the_cgroups_and_up_goes_on_with_the_accounting(lab: Lab) -> None:
    nodes = list(lab.status()["nodes"])

    def groups() -> list[Path]:
        return [group for node in nodes for group in Path("/sys/fs/cgroup").glob(f"*/slurm_{node}")]

    job = submit(lab, "--wrap=sleep 600")
    assert until(lambda: lab.run(["squeue", "-h", "-o", "%T", "--jobs", job]).stdout == b"RUNNING\n")
    assert len(groups()) >= len(nodes)
    must(nomade_lab("down", "--folder", str(lab.folder)))
    assert groups() == []
    assert traces(lab.folder) == []
    lab.up()
    (row,) = sacct(lab, "JobID", "State", jobs=job)
    assert row["State"].startswith("CANCELLED")


def test_the_scale_profile_lists_ten_thousand_nodes_and_tasks(lab: Lab) -> None:
    folder = new_lab_folder()
    large = Lab(folder)
    try:
        assert must(nomade_lab("scale", "up", "--folder", str(folder))) == "started munged, slurmctld\n"
        assert len(large.run(["scontrol", "show", "node", "--oneliner"]).stdout.splitlines()) == 10_000
        waiting = large.run(["squeue", "--array", "--noheader", "--states=PENDING", "--format=%A %r"]).stdout
        assert len(waiting.splitlines()) == TASKS
        assert {line.split()[1] for line in waiting.decode().splitlines()} <= {"Resources", "Priority"}
        assert must(nomade_lab("scale", "up", "--folder", str(folder))) == "everything was running\n"
    finally:
        must(nomade_lab("scale", "down", "--folder", str(folder)))
    assert traces(folder) == []
    assert not folder.exists()
