"""Zombies and jobs without processes: candidates must last, and Slurm must confirm them."""

from __future__ import annotations

from support.processes import Proc, stat_line

from nomade_pipeline.collectors.job_findings import ASK_SECONDS, SETTLE_SECONDS, FindingWatch
from nomade_pipeline.collectors.job_processes import FoundJob
from nomade_pipeline.collectors.process_table import parse_stat
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe


def job(number="5", pids=(20, 21), *, has_daemon=False, node="n1"):
    processes = [parse_stat(stat_line(Proc(pid, start=pid, command="a\x1bb"))) for pid in pids]
    return FoundJob(number, node, "environ", processes, has_daemon=has_daemon)


def squeue(text, **about):
    return ReplayProbe([Recorded(("squeue",), text, **about)])


def look(watch, probe, *jobs, after=0.0):
    probe.wait(after)
    return watch.look(probe, list(jobs), {"5": "alice"})


def test_processes_of_a_job_that_does_not_run_are_told_once_they_last_and_slurm_confirms():
    watch, probe = FindingWatch(), squeue("7 RUNNING\n")
    assert look(watch, probe, job()) == ([], None)
    assert probe.asked == []
    (row,), problem = look(watch, probe, job(), after=SETTLE_SECONDS)
    assert problem is None
    assert (row["finding"], row["job_id_raw"], row["node"], row["user"]) == (
        "processes_without_job",
        "5",
        "n1",
        "alice",
    )
    assert "2 processes of job 5 live on n1" in row["message"]
    assert "20 (a\x1bb)" in row["message"]
    assert (probe.now() - row["since_time"]).total_seconds() == SETTLE_SECONDS


def test_a_job_that_runs_by_slurms_word_is_no_finding():
    watch, probe = FindingWatch(), squeue("5 COMPLETING\n")
    look(watch, probe, job())
    assert look(watch, probe, job(), after=SETTLE_SECONDS) == ([], None)


def test_a_job_that_runs_without_any_process_is_told():
    watch, probe = FindingWatch(), squeue("5 RUNNING\n")
    empty = job(pids=(), has_daemon=True)
    look(watch, probe, empty)
    (row,), _ = look(watch, probe, empty, after=SETTLE_SECONDS)
    assert row["finding"] == "job_without_processes"


def test_a_job_that_is_ending_is_not_told_to_have_no_processes():
    watch, probe = FindingWatch(), squeue("5 COMPLETING\n")
    empty = job(pids=(), has_daemon=True)
    look(watch, probe, empty)
    assert look(watch, probe, empty, after=SETTLE_SECONDS) == ([], None)


def test_slurmctld_is_asked_once_for_all_and_at_most_every_ten_minutes():
    watch, probe = FindingWatch(), squeue("")
    jobs = [job(), job("6", (30,), node="n2")]
    look(watch, probe, *jobs)
    for _ in range(20):
        look(watch, probe, *jobs, after=30.0)
    (argv,) = probe.asked
    assert argv[argv.index("-w") + 1] == "n1,n2"
    look(watch, probe, *jobs, after=ASK_SECONDS)
    assert len(probe.asked) == 2


def test_nothing_is_asked_while_all_is_well():
    watch, probe = FindingWatch(), squeue("")
    for _ in range(100):
        assert look(watch, probe, job(has_daemon=True), after=30.0) == ([], None)
    assert probe.asked == []


def test_a_candidate_that_went_and_came_again_must_last_again():
    watch, probe = FindingWatch(), squeue("")
    look(watch, probe, job())
    look(watch, probe, after=SETTLE_SECONDS)
    assert look(watch, probe, job())[0] == []
    assert probe.asked == []


def test_slurm_that_does_not_answer_confirms_nothing_and_is_told():
    watch = FindingWatch()
    probe = squeue("", error=TimedOut("squeue did not answer within 10 s"))
    look(watch, probe, job())
    rows, problem = look(watch, probe, job(), after=SETTLE_SECONDS)
    assert rows == []
    assert "findings cannot be confirmed" in problem
