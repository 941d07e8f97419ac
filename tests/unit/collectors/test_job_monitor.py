"""The job monitor as a whole: rows, restarts, runs of one job, what it may not read, what it asks."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from support.processes import HOME, IMAGE, MOUNTINFO, ROOT, Proc, files_of, links_of

from nomade_pipeline.collectors import job_monitor
from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.collectors.job_monitor import JobMonitor
from nomade_pipeline.collectors.procfs import PAGE_BYTES
from nomade_pipeline.collectors.slurm_collectors import MONITOR
from nomade_pipeline.config.collector_settings import MonitorSettings
from nomade_pipeline.replay import Recorded, ReplayProbe

WRITE = "0100001"
SETTINGS = MonitorSettings()
SCOPE = "/sys/fs/cgroup/system.slice/slurmstepd.scope"
CGROUPS = "33 27 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
SLURMD = Proc(10, command="slurmd", title="slurmd\0-N\0n1\0")
A = "GPU-aaaaaaaa-0000-0000-0000-000000000001"


class Host(ReplayProbe):
    """A host whose processes the test changes between the looks."""

    def show(self, *processes, groups=None, mountinfo=MOUNTINFO, uptime=None):
        about = files_of(
            *processes, mountinfo=mountinfo, uptime=1000.0 + self.monotonic() if uptime is None else uptime
        )
        self.files = {**about, **(groups or {})}
        self.links = links_of(*processes)
        return self


def run(monitor, host, settings=SETTINGS, interval=1):
    return monitor.collect(host, settings, interval)


def rows(collected, table="job_monitor"):
    return next(list(each.rows) for each in collected.readings if each.table == table)


def row(monitor, host, **options):
    (found,) = rows(run(monitor, host, **options))
    return found


def group(pids, job="7", **values):
    files = {
        "memory.current": "900\n",
        "memory.peak": "1000\n",
        "memory.max": "max\n",
        "cpu.stat": "usage_usec 2500000\n",
    }
    files.update({"step_0/user/task_0/cgroup.procs": "".join(f"{pid}\n" for pid in pids), **values})
    return {f"{SCOPE}/job_{job}/{name}": text for name, text in files.items()}


# --- rows -------------------------------------------------------------------------------------------------


def test_a_job_found_by_its_environment_is_added_up_from_its_processes():
    host = Host([Recorded(("getent", "passwd", "1000"), "alice:x:1000:1000::/home/alice:/bin/sh\n")])
    one = Proc(20, ticks=150, read=10, write=400, start=50000, files={3: (400, WRITE, HOME)}).in_job("5", "n3")
    two = Proc(21, ticks=50, read=5, write=100, start=60000, files={3: (100, WRITE, ROOT)}).in_job("5", "n3")
    found = row(JobMonitor(), host.show(one, two))
    expected = {
        "job_id_raw": "5",
        "node": "n3",
        "user": "alice",
        "found_by": "environ",
        "is_final": False,
        "processes": 2,
        "unread": 0,
        "cpu_seconds": 2.0,
        "memory_bytes": 200 * PAGE_BYTES,
        "memory_peak_bytes": 200 * PAGE_BYTES,
        "memory_used_peak_bytes": 200 * PAGE_BYTES,
        "memory_source": "rss",
        "memory_limit_bytes": None,
        "swap_bytes": None,
        "oom_kills": None,
        "network_write_bytes": 400,
        "local_write_bytes": 100,
        "write_bytes": 500,
        "unattributed_write_bytes": 0,
        "read_bytes": 15,
        "gpu_uuids": None,
        "restarts": 0,
    }
    assert {name: found[name] for name in expected} == expected
    # The oldest process began 500 s after boot, 1000 s ago at the first look.
    assert abs((host.start - timedelta(seconds=500) - found["start_time"]).total_seconds()) < 0.1


def test_a_job_in_a_cgroup_is_counted_by_it():
    groups = group([20], **{"memory.stat": "file 600\nshmem 100\n", "memory.events": "oom_kill 1\n"})
    found = row(JobMonitor(), Host().show(SLURMD, Proc(20, ticks=100), groups=groups, mountinfo=MOUNTINFO + CGROUPS))
    assert (found["found_by"], found["memory_source"], found["cpu_seconds"]) == ("cgroup", "cgroup", 2.5)
    assert (found["memory_bytes"], found["memory_cache_bytes"]) == (900, 500)
    assert (found["memory_peak_bytes"], found["memory_used_peak_bytes"]) == (1000, 400)
    assert (found["memory_limit_bytes"], found["oom_kills"]) == (None, 1)


def test_a_kernel_without_a_peak_gives_the_largest_that_was_seen():
    """Trap 30: memory.peak came with Linux 5.19."""
    monitor, host = JobMonitor(), Host()
    for memory in (500, 900, 300):
        groups = {**group([20]), f"{SCOPE}/job_7/memory.current": f"{memory}\n"}
        del groups[f"{SCOPE}/job_7/memory.peak"]
        found = row(monitor, host.show(SLURMD, Proc(20), groups=groups, mountinfo=MOUNTINFO + CGROUPS))
    assert (found["memory_bytes"], found["memory_peak_bytes"]) == (300, 900)


def test_kills_in_the_groups_of_ended_steps_are_kept():
    monitor, host = JobMonitor(), Host()
    first = group([20], **{"memory.events": "oom_kill 2\n"})
    row(monitor, host.show(SLURMD, Proc(20), groups=first, mountinfo=MOUNTINFO + CGROUPS))
    found = row(monitor, host.show(SLURMD, Proc(20), groups=group([20]), mountinfo=MOUNTINFO + CGROUPS))
    assert found["oom_kills"] == 2


def test_the_gpus_of_a_jobs_processes_are_in_its_row():
    smi = [
        Recorded(
            ("nvidia-smi", "--query-compute-apps=pid,gpu_uuid,used_memory"),
            f"pid, gpu_uuid, used_gpu_memory [MiB]\n20, {A}, 5 MiB\n",
        ),
        Recorded(("nvidia-smi", "--query-gpu=uuid,utilization.gpu"), f"uuid, utilization.gpu [%]\n{A}, 0 %\n"),
    ]
    found = row(JobMonitor(), Host(smi).show(Proc(20).in_job("5")))
    assert (found["gpu_uuids"], found["gpu_util_percent"], found["gpu_memory_bytes"]) == (A, 0.0, 5 * 2**20)


def test_the_highest_rate_of_writing_is_kept():
    """Trap 90: by the time that has passed, not by the interval that was meant."""
    monitor, host = JobMonitor(), Host()
    assert row(monitor, host.show(Proc(20, write=100).in_job("5")))["write_peak_bytes_per_second"] is None
    assert row(monitor, host.show(Proc(20, write=1100).in_job("5")))["write_peak_bytes_per_second"] == 1000.0
    host.wait(99)
    assert row(monitor, host.show(Proc(20, write=3000).in_job("5")))["write_peak_bytes_per_second"] == 1000.0


def test_a_user_without_a_name_is_told_by_number():
    found = row(JobMonitor(), Host([Recorded(("getent",), "", returncode=2)]).show(Proc(20, user=4711).in_job("5")))
    assert found["user"] == "4711"


# --- settings ---------------------------------------------------------------------------------------------


def image_row(settings):
    process = Proc(20, write=60, files={3: (60, WRITE, IMAGE)}, links={3: "/images/net/data/x"}).in_job("5")
    found = row(JobMonitor(), Host().show(process), settings=settings)
    return found["network_write_bytes"], found["local_write_bytes"]


def test_a_path_of_nfs_paths_is_network_storage():
    assert image_row(MonitorSettings(nfs_paths=("/images/net",))) == (60, 0)
    assert image_row(MonitorSettings(nfs_paths=("/images",))) == (60, 0)


def test_a_path_of_local_paths_is_local_storage():
    nested = MonitorSettings(nfs_paths=("/images",), local_paths=("/images/net/data",))
    assert image_row(nested) == (0, 60)


# --- what may not be read ---------------------------------------------------------------------------------


class Locked(Host):
    """A host on which the files of other users' processes are closed."""

    def read(self, path):
        if path.endswith("/io"):
            raise PermissionError(13, "Permission denied", path)
        return super().read(path)


def test_what_could_not_be_read_is_null_counted_and_told():
    collected = run(JobMonitor(), Locked().show(SLURMD, Proc(20, ticks=100).in_job("5"), Proc(21).in_job("5")))
    (found,) = rows(collected)
    assert (found["unread"], found["processes"], found["cpu_seconds"]) == (2, 2, 1.0)
    for column in ("read_bytes", "write_bytes", "network_write_bytes", "local_write_bytes", "unattributed_write_bytes"):
        assert found.get(column) is None
    assert collected.note.startswith("scontrol is not installed")
    assert "2 processes of other users could not be read; run as root" in collected.note


def test_sstat_tells_what_may_not_be_read_and_is_asked_every_ten_minutes_at_most():
    host = Locked([Recorded(("sstat",), "5.batch|n1|cpu=00:00:09,fs/disk=70,mem=1K|fs/disk=900\n")])
    monitor = JobMonitor()
    found = row(monitor, host.show(Proc(20).in_job("5")))
    assert (found["read_bytes"], found["write_bytes"]) == (70, 900)
    for _ in range(10):
        assert row(monitor, host.show(Proc(20).in_job("5"))).get("write_bytes") is None
    assert [argv[0] for argv in host.asked if argv[0] == "sstat"] == ["sstat"]
    host.wait(600)
    assert row(monitor, host.show(Proc(20).in_job("5")))["write_bytes"] == 900


def test_slurmctld_is_never_asked_while_all_can_be_read():
    """Commands that go to slurmctld: none, however long it runs."""
    tools = ("squeue", "sstat", "scontrol", "sacct", "sinfo", "getent")
    host = Host([Recorded((tool,), "") for tool in tools])
    monitor = JobMonitor()
    daemon = Proc(19, command="slurmstepd", title="slurmstepd: [7.batch]\0")
    for _ in range(50):
        processes = (SLURMD, daemon, Proc(20))
        run(monitor, host.show(*processes, groups=group([19, 20]), mountinfo=MOUNTINFO + CGROUPS), interval=30)
    assert {argv[0] for argv in host.asked} == {"getent"}


# --- time -------------------------------------------------------------------------------------------------


def test_a_job_started_again_under_its_number_is_counted_anew():
    """Trap 15: a requeued job keeps its number."""
    monitor, host = JobMonitor(), Host()
    row(monitor, host.show(Proc(20, write=500, start=1000).in_job("5")))
    found = row(monitor, host.show(Proc(30, write=70, start=90000).in_job("5", SLURM_RESTART_COUNT="1")))
    assert (found["write_bytes"], found["restarts"]) == (70, 1)
    assert found["start_time"] > host.start - timedelta(seconds=200)


def test_a_pause_between_the_steps_of_a_job_is_no_new_job():
    monitor, host = JobMonitor(), Host()
    row(monitor, host.show(Proc(20, write=500).in_job("5")))
    assert rows(run(monitor, host.show(SLURMD))) == []
    assert row(monitor, host.show(Proc(30, write=70).in_job("5")))["write_bytes"] == 570


def test_counters_do_not_fall_when_the_monitor_is_started_again():
    first, host = JobMonitor(), Host()
    row(first, host.show(Proc(20, write=100, ticks=300).in_job("5"), Proc(21, write=900, ticks=500).in_job("5")))
    before = row(first, host.show(Proc(20, write=150, ticks=400).in_job("5")))
    second = JobMonitor()
    second.recall(json.loads(json.dumps(first.to_state("boot-1"))), "boot-1")
    after = row(second, host.show(Proc(20, write=160, ticks=500).in_job("5")))
    for column in ("write_bytes", "cpu_seconds", "memory_peak_bytes"):
        assert after[column] >= before[column], column
    assert (before["write_bytes"], after["write_bytes"]) == (1050, 1060)
    assert after["start_time"] == before["start_time"]


def test_what_was_kept_before_the_host_was_booted_is_not_of_these_processes():
    first = JobMonitor()
    row(first, Host().show(Proc(20, write=100).in_job("5")))
    second = JobMonitor()
    second.recall(first.to_state("boot-1"), "boot-2")
    assert row(second, Host().show(Proc(20, write=7).in_job("5")))["write_bytes"] == 7


@pytest.mark.parametrize(
    "state", [{}, {"boot_id": "b", "jobs": [{}]}, {"boot_id": "b", "jobs": 5}, {"boot_id": "b", "jobs": [7]}]
)
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises((KeyError, TypeError, ValueError)):
        JobMonitor().recall(state, "b")


def test_jobs_that_have_gone_are_forgotten_after_their_epilog():
    monitor, host = JobMonitor(), Host()
    row(monitor, host.show(Proc(20).in_job("5")))
    host.wait(job_monitor.KEPT_SECONDS / 2)
    run(monitor, host.show(SLURMD))
    assert [each["job"] for each in monitor.to_state("b")["jobs"]] == ["5"]
    host.wait(job_monitor.KEPT_SECONDS)
    run(monitor, host.show(SLURMD))
    assert monitor.to_state("b")["jobs"] == []


# --- glances ----------------------------------------------------------------------------------------------


class Busy(Host):
    """A host on which a program runs only between two full looks."""

    def wait(self, seconds):
        super().wait(seconds)
        second = int(self.monotonic())
        shell = Proc(20, start=10, files={1: (0, WRITE, ROOT)})
        copier = Proc(30, parent=20, start=100300, write=second * 100, files={3: (second * 100, WRITE, HOME)})
        if 3 <= second <= 5:
            self.show(shell, copier, groups=group([20, 30]), mountinfo=MOUNTINFO + CGROUPS)
        elif second > 5:
            shell = Proc(20, start=10, write=650, child_faults=9, files={1: (0, WRITE, ROOT)})
            self.show(shell, groups=group([20]), mountinfo=MOUNTINFO + CGROUPS)


def test_a_program_that_lives_for_seconds_within_an_interval_shows_where_it_writes():
    host = Busy()
    host.show(Proc(20, start=10), groups=group([20]), mountinfo=MOUNTINFO + CGROUPS)
    found = row(JobMonitor(), host, interval=30)
    assert (found["write_bytes"], found["network_write_bytes"]) == (650, 650)


def test_a_run_takes_its_interval():
    host = Host().show(Proc(20).in_job("5"))
    collected = run(JobMonitor(), host, interval=30)
    assert host.monotonic() == 30.0
    assert {each.interval_seconds for each in collected.readings} == {30.0}


# --- hosts ------------------------------------------------------------------------------------------------


def test_a_host_without_slurm_is_skipped_with_the_reason():
    with pytest.raises(Skipped, match="no slurmd runs on this host"):
        run(JobMonitor(), Host().show(Proc(20)))


def test_a_node_without_jobs_is_no_failure():
    collected = run(JobMonitor(), Host([Recorded(("scontrol",), "PID JOBID\n")]).show(SLURMD))
    assert rows(collected) == []
    assert collected.note is None


def test_a_slurmd_that_does_not_answer_is_told_and_no_failure():
    """Slurm installed and silent: what the host itself shows is still told."""
    silent = [Recorded(("scontrol",), "", "scontrol: error: slurmd is dead\n", returncode=1)]
    collected = run(JobMonitor(), Host(silent).show(SLURMD, Proc(20).in_job("5")))
    assert len(rows(collected)) == 1
    assert "slurmd is dead" in collected.note


def test_zombies_are_told_with_their_user():
    monitor = JobMonitor()
    host = Host(
        [Recorded(("squeue",), ""), Recorded(("getent",), "bob:x:1000:\n"), Recorded(("scontrol",), "PID JOBID\n")]
    )
    run(monitor, host.show(SLURMD, Proc(20).in_job("5")))
    host.wait(300)
    (finding,) = rows(run(monitor, host.show(SLURMD, Proc(20).in_job("5"))), "job_finding")
    assert (finding["finding"], finding["user"]) == ("processes_without_job", "bob")


def test_a_recorded_listpids_is_read(recorded):
    (found,) = MONITOR.parse(recorded("slurm-22.05/running/scontrol-listpids.txt")).rows["job_monitor"]
    assert (found["job_id_raw"], found["processes"]) == ("4", 2)
    with pytest.raises(CollectorError, match="listpids"):
        MONITOR.parse("NAME STATE\n")


def test_every_memory_is_a_collectors_own():
    first, second = JobMonitor(), JobMonitor()
    first.collect(Host().show(Proc(20, write=5).in_job("5")), SETTINGS, 1)
    assert first.to_state("b")["jobs"]
    assert second.to_state("b")["jobs"] == []
