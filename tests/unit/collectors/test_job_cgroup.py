"""Cgroups of jobs: where they are, who is in them, what they count."""

from __future__ import annotations

import pytest
from support.processes import cgroup_files

from nomade_pipeline.collectors.job_cgroup import find_job_cgroups, pids_of, read_cgroup
from nomade_pipeline.collectors.mounts import parse_mountinfo
from nomade_pipeline.replay import ReplayProbe

V1 = "/sys/fs/cgroup"
V1_MOUNTS = parse_mountinfo(
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n"
    "37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
)
V2_MOUNTS = parse_mountinfo("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
SCOPE = "/sys/fs/cgroup/system.slice/slurmstepd.scope"
# What `scontrol listpids` said of the recorded job, and its three slurmstepd.
LISTED, DAEMONS = {29042, 29024, 29027, 29030, 29017}, {29013, 29020, 29037}


def v2_job(folder, **values):
    """Return the files of a job's group with one process in a task."""
    counts = {
        "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
        "memory.current": "900\n",
        "memory.peak": "1000\n",
        "memory.max": "2000\n",
        "memory.swap.current": "5\n",
        "memory.stat": "anon 300\nfile 600\nshmem 100\ninactive_file 200\nactive_file 300\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n",
        "cgroup.procs": "",
        "step_0/slurm/cgroup.procs": "40\n",
        "step_0/user/task_0/cgroup.procs": "41\n42\n",
    }
    return {f"{folder}/{name}": text for name, text in {**counts, **values}.items() if text is not None}


def one(probe, mounts):
    (group,) = find_job_cgroups(probe, mounts)
    return group


def test_a_recorded_job_of_v1_has_the_processes_that_listpids_tells(recorded):
    probe = ReplayProbe(files=cgroup_files(recorded("cgroup/v1-running-job.txt")))
    group = one(probe, V1_MOUNTS)
    assert (group.job, group.node) == ("7", "lab147n002")
    assert set(group.folders) == {"memory", "cpuacct", "freezer"}
    assert pids_of(probe, group) == LISTED | DAEMONS


def test_a_recorded_job_of_v1_is_counted_whole(recorded):
    files = cgroup_files(recorded("cgroup/v1-running-job.txt"))
    reading = read_cgroup(probe := ReplayProbe(files=files), one(probe, V1_MOUNTS))
    assert reading.cpu_seconds == pytest.approx(0.179594798)
    assert reading.peak_bytes == reading.limit_bytes == 150 * 2**20
    # The dd of 60 MB is in the cache, and little else is in memory.
    assert 55 * 2**20 < reading.cache_bytes < reading.memory_bytes < reading.limit_bytes
    assert reading.swap_bytes == 0
    # v1 counts a kill in the group of the task alone.
    assert sum(reading.oom_kills.values()) == 1
    assert [folder.rpartition("/")[2] for folder, kills in reading.oom_kills.items() if kills] == ["task_0"]


def test_one_slurmd_on_a_host_has_a_root_without_the_nodes_name():
    files = {
        f"{V1}/memory/slurm/uid_5/job_9/cgroup.procs": "3\n",
        f"{V1}/memory/slurmd/uid_5/job_8/cgroup.procs": "4\n",
    }
    group = one(ReplayProbe(files=files), V1_MOUNTS)
    assert (group.job, group.node) == ("9", "")


@pytest.mark.parametrize(
    ("folder", "job", "node"),
    [
        (f"{SCOPE}/job_12", "12", ""),
        ("/sys/fs/cgroup/system.slice/node_a-1_slurmstepd.scope/job_12", "12", "node_a-1"),
        (f"{SCOPE}/s5K1KKYAYG5D00", None, ""),
    ],
)
def test_a_job_of_v2_is_found_under_each_of_its_names(folder, job, node):
    """Trap 25: 26.05 names the folder by SLUID, and several slurmd on a host put the node's name before."""
    probe = ReplayProbe(files={**v2_job(folder), f"{SCOPE}/system/cgroup.procs": "1\n"})
    group = one(probe, V2_MOUNTS)
    assert (group.job, group.node) == (job, node)
    assert pids_of(probe, group) == {40, 41, 42}


def test_a_job_of_v2_is_counted():
    probe = ReplayProbe(files=v2_job(f"{SCOPE}/job_1"))
    reading = read_cgroup(probe, one(probe, V2_MOUNTS))
    assert reading.cpu_seconds == 1.5
    assert (reading.memory_bytes, reading.cache_bytes, reading.peak_bytes) == (900, 500, 1000)
    assert (reading.limit_bytes, reading.swap_bytes) == (2000, 5)
    assert sum(reading.oom_kills.values()) == 2


def test_no_limit_no_peak_and_no_controller_are_null_and_not_zero():
    """Trap 30: `memory.max` may be the word max, and kernels before 5.19 have no memory.peak."""
    probe = ReplayProbe(files=v2_job(f"{SCOPE}/job_1", **{"memory.max": "max\n", "memory.peak": None}))
    reading = read_cgroup(probe, one(probe, V2_MOUNTS))
    assert (reading.limit_bytes, reading.peak_bytes, reading.memory_bytes) == (None, None, 900)
    bare = ReplayProbe(files={f"{SCOPE}/job_1/cgroup.procs": "", f"{SCOPE}/job_1/cpu.stat": "usage_usec 0\n"})
    reading = read_cgroup(bare, one(bare, V2_MOUNTS))
    assert (reading.cpu_seconds, reading.memory_bytes, reading.swap_bytes, reading.oom_kills) == (0.0, None, None, None)


def test_the_largest_number_of_v1_is_no_limit():
    files = {f"{V1}/memory/slurm/uid_5/job_9/memory.limit_in_bytes": "9223372036854771712\n"}
    probe = ReplayProbe(files=files)
    assert read_cgroup(probe, one(probe, V1_MOUNTS)).limit_bytes is None


def test_groups_that_a_job_made_itself_are_looked_into_and_those_of_other_namespaces_are_not_processes():
    folder = f"{SCOPE}/job_1"
    files = v2_job(folder, **{"step_0/user/task_0/libpod-1.scope/box/cgroup.procs": "50\n0\n"})
    probe = ReplayProbe(files=files)
    assert 50 in pids_of(probe, one(probe, V2_MOUNTS))
    assert 0 not in pids_of(probe, one(probe, V2_MOUNTS))


def test_groups_nested_without_end_are_given_up():
    deep = f"{SCOPE}/job_1/" + "a/" * 50
    probe = ReplayProbe(files={f"{deep}cgroup.procs": "60\n", f"{SCOPE}/job_1/cgroup.procs": "1\n"})
    assert pids_of(probe, one(probe, V2_MOUNTS)) == {1}


@pytest.mark.parametrize("name", ["job_", "job_x", "job_12345678901", "job_1\n", "sluid", "s5K1KKYAYG5D0", "user"])
def test_other_names_are_no_jobs(name):
    assert find_job_cgroups(ReplayProbe(files={f"{SCOPE}/{name}/cgroup.procs": "1\n"}), V2_MOUNTS) == []


def test_a_host_without_slurm_has_no_groups():
    assert find_job_cgroups(ReplayProbe(), (*V1_MOUNTS, *V2_MOUNTS)) == []
