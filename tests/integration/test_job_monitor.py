"""The job monitor and the hooks on a real Slurm: against what the jobs really did, and against sacct."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pytest
from support.jobs import USER, Jobs, jobs_on, until
from support.lab import LAB_SECONDS, Lab, must, new_lab_folder, nomade_lab
from support.needs import REPOSITORY

from nomade_pipeline.collectors.job_monitor import JobMonitor
from nomade_pipeline.collectors.slurm_values import parse_duration, parse_size
from nomade_pipeline.config.collector_settings import MonitorSettings
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.store.spool import decode_line, spool_files, whole_lines

pytestmark = [pytest.mark.needs("slurm"), pytest.mark.needs("root")]

MIB = 2**20


@pytest.fixture
def jobs(lab: Lab) -> Jobs:
    return jobs_on(lab)


def watch(lab: Lab, monitor: JobMonitor, job: str) -> dict[str, Any] | None:
    """Look for a second; return the row of a job, None when it is not there."""
    settings = MonitorSettings(nfs_paths=(f"{lab.folder}/net",), local_paths=(f"{lab.folder}/scratch",))
    collected = monitor.collect(LiveProbe(), settings, 1)
    rows = next(reading.rows for reading in collected.readings if reading.table == "job_monitor")
    return next((row for row in rows if row["job_id_raw"] == job and row["node"].startswith(node_prefix(lab))), None)


def node_prefix(lab: Lab) -> str:
    """Return what the names of a lab's nodes begin with; other labs may run on this machine."""
    done = lab.run(["sinfo", "-h", "-N", "-o", "%N"])
    return re.sub(r"\d+$", "", done.stdout.decode().split()[0])


def watched(lab: Lab, job: str) -> list[dict[str, Any]]:
    """Watch a job from now to its end; return its rows."""
    monitor, rows = JobMonitor(), []
    until(lambda: watch(lab, monitor, job))
    while row := watch(lab, monitor, job):
        rows.append(row)
    return rows


def test_a_job_is_seen_as_it_is_and_as_the_accounting_tells(lab: Lab, jobs: Jobs) -> None:
    job = jobs.submit(jobs.work(rest=4.0), "--mem=400")
    rows = watched(lab, job)
    last, batch = rows[-1], jobs.ended(job)[1]
    assert (last["user"], last["found_by"], last["restarts"], last["unread"]) == (USER, "cgroup", 0, 0)
    assert last["memory_limit_bytes"] == 400 * MIB
    # What it wrote, told apart by where the file is.
    if os.path.ismount(lab.folder / "net"):
        assert last["network_write_bytes"] == pytest.approx(20 * MIB, abs=65536)
        assert last["local_write_bytes"] == pytest.approx(40 * MIB, abs=65536)
    assert last["write_bytes"] == pytest.approx(60 * MIB, abs=200_000)
    # sacct's own figure is left out: of the same job it is 60 MB one time and 1 byte another.
    # CPU time: the cgroup's, which sacct reads too.
    assert last["cpu_seconds"] == pytest.approx(parse_duration(jobs.ended(job)[0]["TotalCPU"]), abs=0.3)
    # sacct's MaxRSS is the resident memory alone; the kernel's own share comes on top of it.
    resident = parse_size(batch["MaxRSS"])
    assert resident is not None
    assert resident > 100 * MIB
    assert last["memory_used_peak_bytes"] == pytest.approx(resident, rel=0.15)
    assert last["memory_peak_bytes"] >= last["memory_used_peak_bytes"]
    for column in ("cpu_seconds", "write_bytes", "read_bytes", "local_write_bytes", "memory_peak_bytes"):
        values = [row[column] for row in rows]
        assert values == sorted(values), column


def test_a_job_that_is_out_of_memory_is_seen_to_be(lab: Lab, jobs: Jobs) -> None:
    grow = "/usr/bin/python3 -c 'held = []\nwhile True: held.append(bytearray(2**22))'"
    job = jobs.submit(f"sleep 2; {grow}; sleep 4; exit 1", "--mem=100")
    rows = watched(lab, job)
    assert rows[-1]["oom_kills"] == 1
    assert rows[-1]["memory_peak_bytes"] == pytest.approx(100 * MIB, rel=0.05)
    assert "OUT_OF_MEMORY" in jobs.ended(job)[0]["State"]


def test_the_steps_of_a_job_are_added_up(lab: Lab, jobs: Jobs) -> None:
    step = "head -c 3000000 /dev/zero > /dev/null; sleep 2.5"
    job = jobs.submit(f"srun -n2 sh -c '{step}'; srun -n1 sh -c '{step}'", "--ntasks=2")
    rows = watched(lab, job)
    assert max(row["processes"] for row in rows) >= 5
    assert rows[-1]["read_bytes"] >= 9_000_000
    assert jobs.ended(job)[0]["State"] == "COMPLETED"


def test_the_monitor_as_a_process_stores_what_it_sees_and_goes_on_after_a_kill(
    lab: Lab, jobs: Jobs, tmp_path: Path
) -> None:
    environment = {**lab.environment, "NOMADE_GENERAL__HOST": "h", "NOMADE_MONITOR__NFS_PATHS": f'["{lab.folder}/net"]'}
    argv = [sys.executable, "-m", "nomade_pipeline.cli.main", "--data-dir", str(tmp_path), "monitor", "-i", "1"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, env=environment, cwd=REPOSITORY, stderr=subprocess.DEVNULL)

    job = jobs.submit(jobs.work(rest=8.0), "--mem=400")
    with start() as first:
        until(lambda: any(row["write_bytes"] for row in rows_in(tmp_path, job)))
        first.send_signal(signal.SIGKILL)
    count = len(rows_in(tmp_path, job))
    with start() as second:
        until(lambda: len(rows_in(tmp_path, job)) > count + 1)
        jobs.ended(job)
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    values = [row["write_bytes"] for row in rows_in(tmp_path, job)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(60 * MIB, abs=200_000)


def rows_in(folder: Path, job: str) -> list[dict[str, Any]]:
    files = spool_files(folder / "spool", "job_monitor")
    lines = (line for file in files for line in whole_lines(file.path.read_bytes()))
    rows = [row for line in lines for row in decode_line(line).to_rows()]
    return [row for row in rows if row["job_id_raw"] == job]


# --- hooks ------------------------------------------------------------------------------------------------


@dataclass
class Hooks:
    """A lab with the hooks installed.

    Attributes:
        folder: data folder, and the folder of the hooks' files below it.
        agent: what delivers; the tests change it.
    """

    folder: Path
    agent: Path

    def queue(self) -> list[Path]:
        return list((self.folder / "run" / "queue").glob("*"))

    def use(self, *argv: str) -> None:
        self.agent.write_text(f"#!/bin/sh\n{' '.join(argv)}\n")
        self.agent.chmod(0o755)

    def deliver(self) -> None:
        """Let the agent deliver, as it is meant to."""
        own = f"{sys.executable} -m nomade_pipeline.agent --data-dir {self.folder}/data"
        self.use(f'cd {REPOSITORY} && exec {own} "$@"')

    def rows(self, job: str) -> list[dict[str, Any]]:
        return rows_in(self.folder / "data", job)


@pytest.fixture
def hooks(lab: Lab, tmp_path: Path) -> Iterator[Hooks]:
    """Install the hooks into the lab's slurm.conf, and take them away again byte by byte."""
    conf = lab.folder / "etc" / "slurm.conf"
    before = conf.read_bytes()
    run = new_lab_folder()
    run.chmod(0o755)
    made = Hooks(run, run / "agent")
    made.deliver()
    nomade = [sys.executable, "-m", "nomade_pipeline.cli.main", "hooks"]

    def call(*arguments: str) -> None:
        must(
            subprocess.run(
                [*nomade, *arguments, "--conf", str(conf)], cwd=REPOSITORY, capture_output=True, text=True, check=False
            )
        )
        assert lab.run(["scontrol", "reconfigure"]).returncode == 0

    call("install", "--agent", str(made.agent), "--run", str(run / "run"))
    try:
        yield made
    finally:
        call("uninstall")
        shutil.rmtree(run, ignore_errors=True)
    assert conf.read_bytes() == before
    assert not (conf.parent / "prolog.d").exists()


def test_the_epilog_tells_the_last_readings_of_a_job_that_nobody_watched(lab: Lab, jobs: Jobs, hooks: Hooks) -> None:
    job = jobs.submit(f"{jobs.work()}; exit 3", "--mem=400")
    told = jobs.ended(job)
    first, last = until(lambda: rows if len(rows := hooks.rows(job)) == 2 else None)
    assert (first["found_by"], first["user"], first["account"], first["partition"]) == (
        "prolog",
        USER,
        "physics",
        "batch",
    )
    assert (last["is_final"], last["exit_code"], last["exit_signal"], last["cpus"]) == (True, 3, 0, 1)
    assert last["cpu_seconds"] == pytest.approx(parse_duration(told[0]["TotalCPU"]), abs=0.1)
    assert last["memory_limit_bytes"] == 400 * MIB
    assert 100 * MIB < last["memory_peak_bytes"] <= 400 * MIB
    assert last["oom_kills"] == 0
    assert until(lambda: not list((hooks.folder / "run" / "jobs").glob(f"{job}.*")))


def test_the_final_row_has_what_the_monitor_saw(lab: Lab, jobs: Jobs, hooks: Hooks) -> None:
    environment = {**lab.environment, "NOMADE_MONITOR__NFS_PATHS": f'["{lab.folder}/net"]'}
    data = ["--data-dir", str(hooks.folder / "data")]
    argv = [sys.executable, "-m", "nomade_pipeline.agent", *data, "--monitor", "--interval", "1"]
    with subprocess.Popen(argv, env=environment, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as monitor:
        job = jobs.submit(jobs.work(rest=3.0), "--mem=400")
        jobs.ended(job)
        (last,) = until(lambda: [row for row in hooks.rows(job) if row["is_final"]])
        monitor.send_signal(signal.SIGTERM)
        assert monitor.wait(20) == 0
    seen = [row for row in hooks.rows(job) if row["found_by"] == "cgroup"]
    assert seen
    assert last["write_bytes"] == max(row["write_bytes"] for row in seen)
    assert last["write_bytes"] == pytest.approx(60 * MIB, abs=200_000)
    assert last["start_time"] == seen[0]["start_time"]
    assert last["cpu_seconds"] >= max(row["cpu_seconds"] for row in seen)


def test_hooks_that_are_killed_and_broken_fail_no_job(lab: Lab, jobs: Jobs, hooks: Hooks) -> None:
    """The part in the background is killed, hangs, is missing, and cannot write; then it delivers all."""
    states = []
    submitted = []
    for broken in ("kill -9 $$", "exec sleep 300", "exec /no/such/agent", "exec /bin/false"):
        hooks.use(broken)
        submitted.append(jobs.submit("true"))
        states.append(jobs.ended(submitted[-1])[0]["State"])
    for process in hanging(hooks):
        os.kill(process, signal.SIGKILL)
    assert states == ["COMPLETED"] * 4
    # A hook that fails drains its node.
    assert not {state for state in jobs.nodes() if "drain" in state}
    until(lambda: len(hooks.queue()) == 8)
    hooks.deliver()
    submitted.append(jobs.submit("true"))
    jobs.ended(submitted[-1])
    for job in submitted:
        assert until(lambda: len(hooks.rows(job)) == 2, 30)  # noqa: B023


def hanging(hooks: Hooks) -> list[int]:
    """Return the hanging parts: they were started from the queue's folder and sleep for 300 s."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\x00300\x00":
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_job_waits_for_its_hooks_no_fifth_of_a_second(lab: Lab, jobs: Jobs, hooks: Hooks) -> None:
    """Even with an agent that hangs; slurmd logs nothing of it, so the hooks note their own times."""
    hooks.use("exec sleep 300")
    times = hooks.folder / "times"
    times.touch()
    for name in ("prolog.d", "epilog.d"):
        path = lab.folder / "etc" / name / "nomade.sh"
        text = path.read_text()
        now = "date +%s.%N"
        wrapped = text.replace("(main) <", f"began=$({now})\n(main) <").replace(
            "\nexit 0\n", f'\n[ -w {times} ] && echo "$began $({now})" >>{times}\nexit 0\n'
        )
        assert wrapped != text
        path.write_text(wrapped)
    for _ in range(3):
        jobs.ended(jobs.submit("true"))
    for process in hanging(hooks):
        os.kill(process, signal.SIGKILL)
    seconds = sorted(
        float(end) - float(begin) for begin, end in (line.split() for line in times.read_text().splitlines())
    )
    assert len(seconds) >= 6
    # The machine of the tests has two busy cores, so the middle one counts.
    assert seconds[len(seconds) // 2] < 0.2


# --- without cgroups --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab_without_cgroups() -> Iterator[Lab]:
    made = Lab(new_lab_folder())
    try:
        made.up("--no-cgroups")
        yield made
    finally:
        must(nomade_lab("down", "--folder", str(made.folder), "--purge"))
        shutil.rmtree(made.folder, ignore_errors=True)


@pytest.mark.timeout(LAB_SECONDS + 120)
def test_without_cgroups_the_processes_are_found_by_listpids(
    lab_without_cgroups: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_without_cgroups
    monkeypatch.setenv("SLURM_CONF", lab.environment["SLURM_CONF"])
    jobs = jobs_on(lab)
    job = jobs.submit(jobs.work(rest=4.0))
    rows = watched(lab, job)
    told = jobs.ended(job)
    last = rows[-1]
    assert (last["found_by"], last["memory_source"], last["memory_limit_bytes"]) == ("listpids", "rss", None)
    assert last["cpu_seconds"] == pytest.approx(parse_duration(told[0]["TotalCPU"]), abs=0.3)
    assert last["memory_peak_bytes"] == pytest.approx(parse_size(told[1]["MaxRSS"]), rel=0.15)
    assert last["write_bytes"] == pytest.approx(60 * MIB, abs=200_000)


@pytest.mark.timeout(LAB_SECONDS + 120)
def test_a_monitor_without_privileges_says_so_and_asks_sstat(lab_without_cgroups: Lab, tmp_path: Path) -> None:
    """As SlurmUser, who may ask about every job and read nobody's processes."""
    lab = lab_without_cgroups
    jobs = jobs_on(lab)
    job = jobs.submit(jobs.work(rest=8.0))
    time.sleep(6)
    for folder in (tmp_path, *tmp_path.parents):
        if len(folder.parts) > 2:
            folder.chmod(0o755)
    as_slurm = ["setpriv", "--reuid=slurm", "--regid=slurm", "--clear-groups"]
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from nomade_pipeline.collectors.job_monitor import JobMonitor\n"
        "from nomade_pipeline.config.collector_settings import MonitorSettings\n"
        "from nomade_pipeline.probes import LiveProbe\n"
        "seen = JobMonitor().collect(LiveProbe(), MonitorSettings(), 1)\n"
        "print(json.dumps([seen.note, [row for reading in seen.readings for row in reading.rows]], default=str))\n"
    )
    done = subprocess.run(
        [*as_slurm, "/usr/bin/python3", "-c", script, str(REPOSITORY)],
        env=lab.environment,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    note, rows = json.loads(done.stdout)
    (row,) = [each for each in rows if each["job_id_raw"] == job and each["node"].startswith(node_prefix(lab))]
    assert "could not be read; run as root" in note
    assert row["unread"] == row["processes"] > 0
    assert row.get("network_write_bytes") is None
    assert row["write_bytes"] == pytest.approx(60 * MIB, rel=0.1)
    jobs.ended(job)
