"""The hooks as Slurm runs them, without Slurm: whatever is missing, full, slow or killed, no job fails or waits.

`tests/integration/test_job_monitor.py` runs them under a real Slurm.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pytest
from support.needs import REPOSITORY

from nomade_pipeline.slurm_hooks.install import Wish, render
from nomade_pipeline.store.spool import decode_line, spool_files, whole_lines

# What a job may wait for a hook; the machine of the tests may be busy, so the best of some runs counts.
MOST_SECONDS = 0.2
EPILOG = {
    "SLURM_JOB_ID": "77",
    "SLURMD_NODENAME": "n1",
    "SLURM_JOB_UID": str(os.getuid()),
    "SLURM_JOB_USER": "alice",
    "SLURM_JOB_ACCOUNT": "physics",
    "SLURM_JOB_PARTITION": "batch",
    "SLURM_JOB_CPUS_PER_NODE": "2",
    "SLURM_NODELIST": "n1",
    "SLURM_JOB_RESTART_COUNT": "0",
    "SLURM_JOB_EXIT_CODE2": "0:0",
    "SLURM_SCRIPT_CONTEXT": "epilog_slurmd",
}


@dataclass
class Site:
    """Rendered hooks with their folders.

    Attributes:
        folder: everything of it.
        run: where the hooks leave their files.
    """

    folder: Path
    run: Path

    def render(self, *agent: str) -> None:
        """Write the hooks with a command that delivers."""
        wish = Wish(self.folder / "slurm.conf", agent, self.run)
        for source in ("prolog.sh", "epilog.sh"):
            path = self.folder / source
            path.write_text(render(source, wish, made_folder=False))
            path.chmod(0o755)

    def call(self, source: str, **environment: str) -> tuple[int, float]:
        """Run a hook as slurmd does, with nothing but Slurm's variables; return its status and seconds."""
        began = time.monotonic()
        done = subprocess.run(
            [self.folder / source],
            env={**EPILOG, **environment},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=60,
        )
        assert done.stdout == b""
        return done.returncode, time.monotonic() - began

    def best(self, source: str, **environment: str) -> float:
        """Return the shortest of some runs; every one must end well."""
        runs = [self.call(source, **environment) for _ in range(5)]
        assert {status for status, _ in runs} == {0}
        return min(seconds for _, seconds in runs)

    def queue(self) -> list[Path]:
        return sorted((self.run / "queue").iterdir()) if (self.run / "queue").is_dir() else []

    def rows(self) -> list[dict[str, Any]]:
        files = spool_files(self.folder / "data" / "spool", "job_monitor")
        return [
            row for file in files for line in whole_lines(file.path.read_bytes()) for row in decode_line(line).to_rows()
        ]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, tmp_path / "run")
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\ncd {REPOSITORY} && exec {sys.executable} -m nomade_pipeline.agent "$@"\n')
    agent.chmod(0o755)
    made.render(str(agent), "--data-dir", str(tmp_path / "data"))
    return made


def until(condition: Any, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def fake_cgroups(folder: Path, job: str = "77") -> Path:
    """Make the groups of a job of v2, as files."""
    group = folder / "cgroup" / "system.slice" / "n1_slurmstepd.scope" / f"job_{job}"
    group.mkdir(parents=True)
    (group / "memory.peak").write_text("900\n")
    (group / "memory.max").write_text("max\n")
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (group / "memory.events").write_text("low 0\nmax 3\noom 1\noom_kill 2\n")
    return folder / "cgroup"


# --- that they do their work ------------------------------------------------------------------------------


def test_prolog_and_epilog_hand_over_a_job(site: Site) -> None:
    assert site.call("prolog.sh", SLURM_SCRIPT_CONTEXT="prolog_slurmd")[0] == 0
    assert (site.run / "jobs" / "77.n1").stat().st_mode & 0o777 == 0o700
    assert site.call("epilog.sh", NOMADE_CGROUP=str(fake_cgroups(site.folder)))[0] == 0
    assert until(lambda: len(site.rows()) == 2)
    first, last = site.rows()
    assert (first["found_by"], last["found_by"], last["is_final"]) == ("prolog", "epilog", True)
    assert (last["user"], last["account"], last["partition"], last["cpus"]) == ("alice", "physics", "batch", 2)
    assert (last["memory_peak_bytes"], last["memory_limit_bytes"]) == (900, None)
    assert (last["cpu_seconds"], last["oom_kills"]) == (2.5, 2)
    assert until(lambda: not (site.run / "jobs" / "77.n1").exists())


def test_the_end_of_a_task_leaves_readings_that_the_epilog_no_longer_sees(site: Site) -> None:
    cgroups = fake_cgroups(site.folder)
    site.call("prolog.sh")
    # As the job's user, with a task's variables.
    assert site.call("epilog.sh", SLURM_LOCALID="0", NOMADE_CGROUP=str(cgroups))[0] == 0
    shutil.rmtree(cgroups)
    site.call("epilog.sh", NOMADE_CGROUP=str(cgroups))
    assert until(lambda: [row for row in site.rows() if row["is_final"]])
    (last,) = [row for row in site.rows() if row["is_final"]]
    assert (last["memory_peak_bytes"], last["cpu_seconds"]) == (900, 2.5)


def test_a_task_of_a_job_without_a_folder_leaves_nothing(site: Site) -> None:
    assert site.call("epilog.sh", SLURM_LOCALID="0")[0] == 0
    assert not site.run.exists()


@pytest.mark.needs("root")
def test_the_groups_of_v1_are_read_where_the_kernel_lists_them(site: Site) -> None:
    """A real group of a real kernel, with the hook in it, as a task's end is."""
    top = Path("/sys/fs/cgroup/memory")
    if not (top / "memory.usage_in_bytes").exists():
        pytest.skip("no cgroup v1 with memory here")
    group = top / "slurm_nomadetest" / "uid_0" / "job_77"
    step = group / "step_batch" / "task_0"
    step.mkdir(parents=True)
    try:
        (group / "memory.limit_in_bytes").write_text(str(500 * 2**20))
        site.call("prolog.sh", SLURMD_NODENAME="nomadetest")
        script = (
            f"echo 0 > {step}/cgroup.procs; head -c 50000000 /dev/zero > /dev/shm/nomadetest; rm /dev/shm/nomadetest; "
        )
        script += f"SLURM_LOCALID=0 SLURMD_NODENAME=nomadetest {site.folder}/epilog.sh"
        assert subprocess.run(["sh", "-c", script], env=EPILOG, check=False).returncode == 0
        text = (site.run / "jobs" / "77.nomadetest" / "last").read_text()
        values = dict(line.split("=") for line in text.splitlines())
        assert int(values["memory_limit_bytes"]) == 500 * 2**20
        assert 50_000_000 < int(values["memory_peak_bytes"]) < 70_000_000
        assert values["oom_kills"] == "0"
    finally:
        for folder in (step, step.parent, group, group.parent, group.parent.parent):
            folder.rmdir()


# --- that they never keep a job waiting -------------------------------------------------------------------


@pytest.mark.parametrize("source", ["prolog.sh", "epilog.sh"])
def test_a_hook_takes_less_than_a_fifth_of_a_second(site: Site, source: str) -> None:
    assert site.best(source) < MOST_SECONDS


def test_the_end_of_a_task_takes_less_than_a_fifth_of_a_second(site: Site) -> None:
    site.call("prolog.sh")
    assert site.best("epilog.sh", SLURM_LOCALID="0") < MOST_SECONDS


def test_an_agent_that_hangs_keeps_nobody_waiting(site: Site) -> None:
    hanging = site.folder / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 30\n")
    hanging.chmod(0o755)
    site.render(str(hanging))
    began = time.monotonic()
    assert site.best("epilog.sh") < MOST_SECONDS
    assert time.monotonic() - began < 5
    for pid in pids_of("sleep", site.folder):
        os.kill(pid, signal.SIGKILL)


def pids_of(command: str, folder: Path) -> Iterator[int]:
    """Yield the processes of a program that stand in the test's folder: those that a hook has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == command and (entry / "cwd").readlink() == folder:
                yield int(entry.name)


# --- that they never fail one -----------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["/no/such/agent", "/bin/false", "/etc/passwd", "/"])
def test_an_agent_that_is_missing_or_broken_fails_no_job(site: Site, agent: str) -> None:
    site.render(agent)
    for source in ("prolog.sh", "epilog.sh"):
        assert site.call(source)[0] == 0
    assert len(site.queue()) == 2


def test_what_a_killed_delivery_left_is_delivered_by_the_next_hook(site: Site) -> None:
    """kill -9 of the part in the background."""
    slow = site.folder / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    agent = (site.folder / "epilog.sh").read_text()
    site.render(str(slow))
    assert site.call("epilog.sh")[0] == 0
    assert until(lambda: list(pids_of("sleep", site.folder)))
    for pid in pids_of("sleep", site.folder):
        os.kill(pid, signal.SIGKILL)
    assert len(site.queue()) == 1
    (site.folder / "epilog.sh").write_text(agent)
    assert site.call("epilog.sh", SLURM_JOB_ID="78")[0] == 0
    assert until(lambda: {row["job_id_raw"] for row in site.rows()} == {"77", "78"})


def test_the_background_part_survives_that_its_process_group_is_killed(site: Site) -> None:
    """slurmd ends what is left of a hook's process group."""
    process = subprocess.Popen([site.folder / "epilog.sh"], env=EPILOG, cwd=site.folder, process_group=0)
    assert process.wait(10) == 0
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert until(site.rows)


def test_a_hook_that_is_told_to_end_ends_well(site: Site) -> None:
    text = (site.folder / "epilog.sh").read_text()
    (site.folder / "epilog.sh").write_text(text.replace("(main) <", "sleep 5 & wait $!\n(main) <"))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        process = subprocess.Popen([site.folder / "epilog.sh"], env=EPILOG, cwd=site.folder)
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.mark.parametrize("kind", ["a file in the way", "read-only", "full"])
def test_a_folder_that_cannot_be_written_fails_no_job(site: Site, kind: str) -> None:
    if kind == "a file in the way":
        site.run.write_text("")
    else:
        if os.geteuid() != 0:
            pytest.skip("needs root to mount")
        site.run.mkdir()
        size = "size=4k" if kind == "full" else "ro"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", site.run], check=True)
    try:
        if kind == "full":
            (site.run / "queue").mkdir()
            (site.run / "fill").write_bytes(bytes(4096))
        for source in ("prolog.sh", "epilog.sh"):
            assert site.call(source)[0] == 0
            assert site.best(source) < MOST_SECONDS
    finally:
        if os.path.ismount(site.run):
            subprocess.run(["umount", site.run], check=True)


def test_a_spool_that_cannot_be_written_fails_no_job_and_keeps_what_was_left(site: Site) -> None:
    (site.folder / "data").write_text("in the way")
    assert site.call("epilog.sh")[0] == 0
    time.sleep(2)
    assert len(site.queue()) == 1


GARBAGE = [
    {"SLURM_JOB_ID": ""},
    {"SLURM_JOB_ID": "7; touch /tmp/pwned"},
    {"SLURM_JOB_ID": "../../../etc"},
    {"SLURMD_NODENAME": "../x"},
    {"SLURMD_NODENAME": ""},
    {"SLURM_JOB_UID": "root"},
    {"SLURM_JOB_UID": "-1"},
    {"SLURM_JOB_USER": "$(touch pwned)", "SLURM_JOB_ACCOUNT": "`touch pwned`", "SLURM_JOB_PARTITION": "a\nis_final=1"},
    {"SLURM_JOB_USER": "x" * 100_000},
    {"IFS": "0123456789", "PS4": "$(touch pwned)", "ENV": "/dev/zero", "BASH_ENV": "/dev/zero"},
    {"PATH": "/nowhere", "LD_PRELOAD": "", "LC_ALL": "xx_YY", "TMPDIR": "/nowhere"},
    {"SLURM_JOB_NODELIST": "\udcff", "SLURM_JOB_CPUS_PER_NODE": "4(x999999999)"},
]


@pytest.mark.parametrize("environment", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("source", ["prolog.sh", "epilog.sh"])
def test_an_environment_of_garbage_fails_no_job_and_runs_nothing(
    site: Site, source: str, environment: dict[str, str]
) -> None:
    status, seconds = site.call(source, **environment)
    assert status == 0
    assert seconds < 5
    names = {path.name for path in site.folder.iterdir()}
    assert names <= {"agent", "data", "epilog.sh", "prolog.sh", "run"}
    for path in site.queue():
        with contextlib.suppress(FileNotFoundError):
            lines = path.read_text().splitlines()
            assert lines[-1] == "end=1"
            assert all("=" in line for line in lines)
            assert not any(line.startswith("is_final") for line in lines)


def test_no_environment_at_all_fails_no_job(site: Site) -> None:
    for source in ("prolog.sh", "epilog.sh"):
        assert subprocess.run([site.folder / source], env={}, check=False).returncode == 0


@pytest.mark.needs("root")
def test_a_host_that_cannot_fork_any_more_fails_no_job(site: Site) -> None:
    """A user's limit of processes is the nearest to it; /bin/sh ends with status 2 when it cannot fork."""
    for folder in (site.folder, *site.folder.parents):
        if len(folder.parts) > 2:
            folder.chmod(0o755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "prlimit", "--nproc=1"]
    for source in ("prolog.sh", "epilog.sh"):
        done = subprocess.run(
            [*as_nobody, site.folder / source], env={**EPILOG, "PATH": os.environ["PATH"]}, check=False
        )
        assert done.returncode == 0
