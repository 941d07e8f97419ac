"""Which processes belong to which job."""

from __future__ import annotations

import pytest
from support.processes import Proc, cgroup_files, files_of, stat_line

from nomade_pipeline.collectors.job_processes import Finder, parse_listpids
from nomade_pipeline.collectors.mounts import parse_mountinfo
from nomade_pipeline.collectors.process_table import parse_stat
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe

MOUNTS = parse_mountinfo("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
SCOPE = "/sys/fs/cgroup/system.slice/slurmstepd.scope"
SLURMD = Proc(10, command="slurmd", title="/usr/sbin/slurmd\0-N\0n1\0")


def stepd(pid, step, **values):
    return Proc(pid, command="slurmstepd", title=f"slurmstepd: [{step}]\0", **values)


def found(processes, groups=None, commands=(), finder=None):
    probe = ReplayProbe(commands, {**files_of(*processes), **(groups or {})})
    return (finder or Finder()).find(probe, MOUNTS), probe


def group(pids, name="job_7", scope=SCOPE):
    return {f"{scope}/{name}/step_0/user/task_0/cgroup.procs": "".join(f"{pid}\n" for pid in pids)}


def pids(job):
    return sorted(process.pid for process in job.processes)


# --- /proc/PID/stat ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["a b", ") S 1 (", "x) R 99 ", "", "\udcff"])
def test_a_command_may_hold_anything(command):
    process = parse_stat(stat_line(Proc(7, parent=3, command=command, ticks=11, child_ticks=4, child_faults=9)))
    assert (process.pid, process.parent, process.command) == (7, 3, command)
    assert (process.cpu_ticks, process.child_faults, process.rss_pages) == (15, 9, 100)


@pytest.mark.parametrize("text", ["", "7", "7 (x) S 1", "x (y) S " + "1 " * 30, "7 (x) S " + "no " * 30])
def test_a_torn_line_is_no_process(text):
    assert parse_stat(text) is None


# --- by cgroup --------------------------------------------------------------------------------------------


def test_the_processes_of_a_group_are_the_jobs_whatever_their_environment_says():
    sight, _ = found([SLURMD, Proc(20).in_job("666"), Proc(21)], group([20, 21]))
    job = sight.jobs["7", "n1"]
    assert (job.found_by, pids(job)) == ("cgroup", [20, 21])


def test_slurms_own_processes_make_a_job_known_but_do_not_count():
    processes = [
        SLURMD,
        stepd(30, "7.extern"),
        Proc(31, parent=30, command="sleep"),
        stepd(40, "7.batch"),
        Proc(41, parent=40, command="sleep"),
    ]
    sight, _ = found(processes, group([30, 31, 40, 41]))
    job = sight.jobs["7", "n1"]
    assert pids(job) == [41]
    assert job.has_daemon


def test_a_folder_named_by_sluid_gets_its_number_from_the_daemon():
    """Trap 25."""
    sight, _ = found([SLURMD, stepd(30, "77.0"), Proc(31, parent=30)], group([30, 31], "s5K1KKYAYG5D00"))
    assert set(sight.jobs) == {("77", "n1")}


def test_a_folder_named_by_sluid_gets_its_number_from_an_environment_without_a_daemon():
    sight, _ = found([SLURMD, Proc(31).in_job("78")], group([31], "s5K1KKYAYG5D00"))
    assert set(sight.jobs) == {("78", "n1")}


def test_a_folder_named_by_sluid_of_which_nothing_tells_the_number_is_no_job():
    sight, _ = found([SLURMD, Proc(31)], group([31], "s5K1KKYAYG5D00"))
    assert sight.jobs == {}


def test_several_slurmd_on_one_host_keep_their_jobs_apart():
    groups = {
        **group([20], scope="/sys/fs/cgroup/system.slice/a_slurmstepd.scope"),
        **group([21], scope="/sys/fs/cgroup/system.slice/b_slurmstepd.scope"),
    }
    sight, _ = found([Proc(20), Proc(21)], groups)
    assert {key: pids(job) for key, job in sight.jobs.items()} == {("7", "a"): [20], ("7", "b"): [21]}


def test_the_node_is_named_by_the_environment_then_by_slurmds_option_then_by_the_host():
    assert set(found([SLURMD, Proc(20).in_job("7", "deep")], group([20]))[0].jobs) == {("7", "deep")}
    assert set(found([SLURMD, Proc(20)], group([20]))[0].jobs) == {("7", "n1")}
    assert set(found([Proc(10, command="slurmd"), Proc(20)], group([20]))[0].jobs) == {("7", "host1")}


def test_a_group_that_nobody_is_in_is_a_leftover():
    sight, _ = found([SLURMD], group([]))
    assert sight.jobs == {}
    assert sight.slurm_is_here


# --- by listpids ------------------------------------------------------------------------------------------


def test_without_groups_listpids_tells(recorded):
    text = recorded("slurm-22.05/running/scontrol-listpids.txt")
    listed = list(parse_listpids(text))
    assert listed == [("4", 26971), ("4", 26760)]
    processes = [SLURMD, Proc(26971, command="bash")]
    sight, probe = found(processes, commands=[Recorded(("scontrol", "listpids"), text)])
    job = sight.jobs["4", "n1"]
    assert (job.found_by, pids(job)) == ("listpids", [26971])
    assert probe.asked == [("scontrol", "listpids")]


def test_listpids_is_not_asked_where_groups_tell_nor_where_no_slurm_runs():
    scontrol = [Recorded(("scontrol", "listpids"), "")]
    assert found([SLURMD, Proc(20)], group([20]), scontrol)[1].asked == []
    assert found([Proc(20)], commands=scontrol)[1].asked == []


def test_listpids_that_fails_is_told_and_the_environment_still_helps():
    late = [Recorded(("scontrol",), error=TimedOut("scontrol did not answer within 10 s"))]
    sight, _ = found([SLURMD, Proc(20).in_job("5")], commands=late)
    assert "did not answer" in sight.problem
    assert sight.jobs["5", "n1"].found_by == "environ"


def test_no_job_steps_is_an_answer():
    none = [Recorded(("scontrol",), "PID JOBID\n", "No job steps exist on this node.\n", returncode=1)]
    assert found([SLURMD], commands=none)[0].problem is None


# --- by environment ---------------------------------------------------------------------------------------


def test_a_shell_of_salloc_on_a_login_node_is_no_process_of_the_job():
    shell = Proc(20)
    shell.environment = {"SLURM_JOB_ID": "5"}
    assert found([shell])[0].jobs == {}


@pytest.mark.parametrize("job", ["5; rm -rf /", "", "-1", "12345678901", "５", "5.0", "../5"])
def test_a_job_number_that_is_none_is_ignored(job):
    assert found([Proc(20).in_job(job)])[0].jobs == {}


@pytest.mark.parametrize("node", ["", "../etc", "a\nb", "-x", "a" * 65])
def test_a_node_name_that_is_none_is_ignored(node):
    assert found([Proc(20).in_job("5", node)])[0].jobs == {}


def test_a_process_that_left_its_group_is_the_jobs_if_it_is_the_same_users():
    mine, forged = Proc(22).in_job("7"), Proc(23, user=1001).in_job("7")
    sight, _ = found([SLURMD, Proc(20), mine, forged], group([20]))
    job = sight.jobs["7", "n1"]
    assert (job.found_by, pids(job)) == ("cgroup", [20, 22])


def test_an_environment_is_read_once_unless_the_process_is_young():
    finder = Finder()
    old, young = Proc(20, start=10), Proc(21, start=9000)
    found([old, young], finder=finder)
    # Between fork and exec slurmstepd's child has not yet the job's environment.
    sight, _ = found([Proc(20, start=10).in_job("5"), Proc(21, start=9000).in_job("5")], finder=finder)
    assert pids(sight.jobs["5", "n1"]) == [21]


def test_a_number_that_is_used_again_is_another_process():
    finder = Finder()
    found([Proc(20, start=10), Proc(30, start=9000)], finder=finder)
    sight, _ = found([Proc(20, start=20).in_job("5"), Proc(30, start=9000)], finder=finder)
    assert pids(sight.jobs["5", "n1"]) == [20]


def test_a_daemon_without_any_process_makes_its_job_known():
    sight, _ = found([SLURMD, stepd(30, "9.batch")], commands=[Recorded(("scontrol",), "PID JOBID\n")])
    job = sight.jobs["9", "n1"]
    assert (job.found_by, job.processes, job.has_daemon) == ("slurmstepd", [], True)


def test_kernel_threads_are_left_out():
    files = files_of(Proc(20).in_job("5"))
    files["/proc/20/stat"] = files["/proc/20/stat"].replace(" 4194560 ", " 69238880 ")
    assert Finder().find(ReplayProbe(files=files), MOUNTS).jobs == {}


def test_the_recorded_groups_hold_no_process_of_this_replay(recorded):
    """The numbers of the recording are not those of the processes here."""
    groups = cgroup_files(recorded("cgroup/v1-running-job.txt"))
    mounts = parse_mountinfo("35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
    probe = ReplayProbe(files={**files_of(Proc(20)), **groups})
    assert Finder().find(probe, mounts).jobs == {}
