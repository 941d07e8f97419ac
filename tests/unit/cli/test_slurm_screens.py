"""What queue, nodes, jobs, job, efficiency and status show of Slurm, against a spool whose content is known."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.installation import ingest, nomade
from support.rows import CLUSTER, T0, at, data_of, reading_of, spool
from support.slurm import (
    ENDED,
    FAILED,
    RUNNING,
    WAITING,
    ended_job,
    node_row,
    partition_row,
    queued_job,
    running_job,
    slurm_cycle,
)

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import event_readings
from nomade_pipeline.store.spool import SpoolWriter
from nomade_pipeline.tables.nodes import JOB_FINDING, NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import (
    SLURM_JOB,
    SLURM_QUEUE,
    SLURM_RUNAWAY,
    SLURM_SCHEDULER,
    SLURM_SHARE,
    WHOLE_CLUSTER,
)


def fill(root, *readings):
    with clock.set_to(at(0.1)):
        SpoolWriter(root / "spool", CLUSTER, "head").append(readings or slurm_cycle(T0))
    ingest(root, minutes=60)
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def _half_a_minute_later():
    with clock.set_to(at(0.5)):
        yield


def test_the_queue_shows_what_runs_what_waits_and_why(site):
    shown = nomade("queue", root=site).stdout
    assert "up on head" in shown
    standard = next(line for line in shown.splitlines() if line.startswith("standard"))
    assert standard.split()[1:3] == ["4", "12"]
    assert "fast" in shown, "a partition without jobs is shown too"
    assert "waits for enough free CPUs" in shown
    assert WHOLE_CLUSTER not in shown


def test_the_queue_as_json_counts_every_job_once_in_its_total(site):
    (queue,) = nomade("queue", "--json", root=site).json
    assert queue["total"]["running_jobs"] == 4
    assert [row["partition"] for row in queue["partitions"]] == ["fast", "standard"]
    assert not queue["stale"]


def test_an_old_queue_is_marked_stale(site):
    with clock.set_to(at(30)):
        assert "stale: 30 min old" in nomade("queue", root=site).stdout


def test_what_waited_before_is_not_shown_once_nothing_waits(tmp_path):
    later = reading_of(SLURM_QUEUE, at(0.2), partition_row("standard", pending_jobs=0), partition_row(WHOLE_CLUSTER))
    fill(tmp_path, *slurm_cycle(T0), later)
    assert "Why jobs wait" not in nomade("queue", root=tmp_path).stdout


def test_a_scheduler_that_does_not_answer_is_shown_by_queue_and_status(tmp_path):
    down = data_of(SLURM_SCHEDULER, controller=None, controller_up=False, dbd_up=False, squeue_seconds=None)
    fill(tmp_path, *slurm_cycle(T0 - timedelta(minutes=1)), reading_of(SLURM_SCHEDULER, T0, down))
    assert nomade("queue", root=tmp_path).stdout.count("does not answer") == 2
    assert "the scheduler does not answer" in nomade("status", root=tmp_path).stdout


def test_status_shows_queue_and_nodes_as_the_reference_does(site):
    shown = nomade("status", root=site).stdout
    assert "  standard        Running:    4  Pending:   12" in shown
    assert "  node001          MIXED                CPU: 28/32 (88%)  Mem: 92%  Load: 27.40" in shown
    assert "└─ Reason: GPU memory errors - investigating (root)" in shown


def test_a_large_cluster_is_summarised_and_its_broken_nodes_are_named(tmp_path):
    rows = [node_row(f"n{number:03d}") for number in range(40)]
    rows[7] = node_row("n007", state_raw="DOWN*", state="DOWN", flags="NOT_RESPONDING", usable=0, responding=0)
    fill(tmp_path, reading_of(NODE_STATE, T0, *rows))
    shown = nomade("status", root=tmp_path).stdout
    assert "40 nodes: 39 MIXED, 1 out of use" in shown
    assert "n007" in shown
    assert "n008" not in shown


def test_nodes_can_be_limited_to_those_out_of_use(site):
    shown = nomade("nodes", "--out", root=site).stdout
    assert "node003" in shown
    assert "node001" not in shown


def test_the_history_of_the_nodes_joins_hours_and_names_who_did_it(tmp_path):
    drained = slurm_cycle(T0)[6].rows[1]
    times = [T0 - timedelta(minutes=minutes) for minutes in range(90, 0, -5)]
    for moment in times:
        spool(tmp_path / "spool", reading_of(NODE_STATE, moment, drained), host="head")
    ingest(tmp_path, minutes=120)
    (row,) = nomade("nodes", "--history", "--json", root=tmp_path).json
    assert (row["node"], row["availability"], row["reason_user"]) == ("node003", "drained", "root")
    assert row["seconds"] == 85 * 60
    assert "GPU memory errors" in nomade("nodes", "--history", root=tmp_path).stdout


def test_ended_jobs_are_listed_and_filtered(site):
    assert [row["job_id"] for row in nomade("jobs", "--json", root=site).json] == [FAILED, ENDED]
    assert [row["outcome"] for row in nomade("jobs", "--user", "bob", "--json", root=site).json] == ["OOM"]
    assert [row["job_id"] for row in nomade("jobs", "--state", "failed", "--json", root=site).json] == [FAILED]
    assert [row["job_id"] for row in nomade("jobs", "--state", "completed", "--json", root=site).json] == [ENDED]
    assert [row["job_id"] for row in nomade("jobs", "--state", "success", "--json", root=site).json] == [ENDED]
    assert nomade("jobs", "--name", "nothing*", "--json", root=site).json == []
    shown = nomade("jobs", root=site).stdout
    assert "OOM" in shown
    assert "50%" in shown


def test_jobs_of_the_queue_are_listed_by_their_state(site):
    assert [row["job_id"] for row in nomade("jobs", "--state", "pending", "--json", root=site).json] == [WAITING]
    assert [row["job_id"] for row in nomade("jobs", "--state", "RUNNING", "--json", root=site).json] == [RUNNING]
    assert "Resources" in nomade("jobs", "--state", "pending", root=site).stdout


def test_a_moment_that_is_none_is_wrong_usage(site):
    ended = nomade("jobs", "--since", "yesterday-ish", root=site)
    assert ended.status == 2
    assert "7d" in ended.stderr


def test_changes_bring_the_picture_of_the_queue_up_to_date(tmp_path):
    changes = [
        queued_job("5000", T0, kind="changed"),
        queued_job(WAITING, T0, kind="gone"),
        running_job(RUNNING, T0, kind="changed", priority=7),
    ]
    fill(tmp_path, *slurm_cycle(T0), reading_of(SLURM_JOB, at(0.2), *changes))
    assert [row["job_id"] for row in nomade("jobs", "--state", "pending", "--json", root=tmp_path).json] == ["5000"]
    assert [row["priority"] for row in nomade("jobs", "--state", "running", "--json", root=tmp_path).json] == [7]


def test_a_queue_that_was_found_empty_has_no_jobs_any_more(tmp_path):
    none = dict.fromkeys(("running_jobs", "pending_jobs", "suspended_jobs", "completing_jobs", "other_jobs"), 0)
    fill(tmp_path, *slurm_cycle(T0), reading_of(SLURM_QUEUE, at(0.2), partition_row(WHOLE_CLUSTER, **none)))
    assert nomade("jobs", "--state", "pending", root=tmp_path).status == 3


def test_an_ended_job_is_shown_with_three_definitions_of_its_memory(site):
    shown = nomade("job", ENDED, root=site).stdout
    assert "SUCCESS" in shown
    assert "memory, seff" in shown
    assert "MaxRSS x tasks" in shown
    assert "cgroup peak" in shown
    assert "efficiency 50%" in shown


def test_a_waiting_job_says_why_what_its_priority_is_made_of_and_what_would_help(tmp_path):
    past = [ended_job(str(number), T0 - timedelta(minutes=10 + number)) for number in range(6)]
    fill(tmp_path, *slurm_cycle(T0), *event_readings(JOB_METRICS, past))
    shown = nomade("job", WAITING, root=tmp_path).stdout
    assert "it is next in line" in shown
    assert "1500 = age 1000, fairshare_points 500" in shown
    assert "a shorter time limit lets it be backfilled" in shown
    assert "fast (64 CPUs)" in shown
    assert "Others of this name or array" in shown


def test_a_job_that_nobody_knows_is_no_data(site):
    ended = nomade("job", "99999", root=site)
    assert ended.status == 3
    assert "nothing is known of job '99999'" in ended.stderr


def test_a_hostile_job_name_does_not_steer_the_terminal(tmp_path):
    fill(
        tmp_path,
        *event_readings(JOB_METRICS, [ended_job(ENDED, T0 - timedelta(minutes=1), job_name="a\x1b[2J\nb'; DROP")]),
    )
    for arguments in (("jobs",), ("job", ENDED)):
        shown = nomade(*arguments, root=tmp_path).stdout
        assert "\x1b[2J" not in shown
        assert "\\x1b[2J" in shown


def test_efficiency_divides_sums_and_counts_failures(site):
    rows = {row["name"]: row for row in nomade("efficiency", "--json", root=site).json}
    assert rows["alice"]["cpu_efficiency_ratio"] == 0.5
    assert rows["alice"]["memory_efficiency_ratio"] == 0.25
    assert rows["alice"]["failed_ratio"] == 0.0
    assert rows["bob"]["failed_ratio"] == 1.0
    (whole,) = nomade("efficiency", "--by", "cluster", "--json", root=site).json
    assert whole["jobs"] == 2
    assert "alice" in nomade("efficiency", root=site).stdout


@pytest.mark.parametrize(("days", "stuck"), [("0.5", True), ("30", False)])
def test_a_job_that_waiting_does_not_help_is_shown_as_stuck(tmp_path, monkeypatch, days, stuck):
    monkeypatch.setenv("NOMADE_ALERTS__QUEUE_STUCK_DAYS", days)
    long_ago = T0 - timedelta(days=2)
    held = queued_job(
        "77", T0, reason="JobHeldAdmin", reason_class="held", submit_time=long_ago, eligible_time=long_ago
    )
    fill(tmp_path, *slurm_cycle(T0 - timedelta(minutes=1)), reading_of(SLURM_JOB, T0, held))
    assert ("Stuck:" in nomade("queue", root=tmp_path).stdout) == stuck


def test_zombies_sick_arrays_and_unfair_shares_are_shown(tmp_path):
    zombie = data_of(
        JOB_FINDING,
        finding="processes_without_job",
        node="n1",
        job_id_raw="66",
        since_time=T0,
        message="2 processes live",
    )
    runaway = data_of(SLURM_RUNAWAY, job_id_raw="65", since_time=T0, message="job 65 runs for the accounting")
    share = data_of(SLURM_SHARE, account="physics", user="", partition="", share_ratio=0.25, usage_per_share_ratio=3.0)
    tasks = [
        ended_job(str(900 + task), T0, array_job_id="900", array_task_id=task, failure_class=3 if task < 2 else 0)
        for task in range(5)
    ]
    fill(
        tmp_path,
        *slurm_cycle(T0),
        reading_of(JOB_FINDING, T0, zombie),
        reading_of(SLURM_RUNAWAY, T0, runaway),
        reading_of(SLURM_SHARE, T0, share),
        *event_readings(JOB_METRICS, tasks),
    )
    shown = nomade("queue", root=tmp_path).stdout
    assert "Zombies and runaways:\n  2 processes live\n  job 65 runs for the accounting" in shown
    assert "Sick arrays:\n  array 900 simulate of alice: 40% of 5 ended tasks failed" in shown
    assert "Shares out of balance:\n  account physics has used 3.00 times its share of 25.0%" in shown
    with clock.set_to(at(30)):
        (queue,) = nomade("queue", "--json", root=tmp_path).json
    assert queue["findings"]["lost"] == [], "what is not told again is over"
    assert queue["findings"]["arrays"][0]["failed_ratio"] == 0.4


def test_where_jobs_are_of_several_clusters_the_lines_say_of_which_and_one_can_be_chosen(tmp_path):
    fill(tmp_path, *slurm_cycle(T0))
    with clock.set_to(at(0.1)):
        SpoolWriter(tmp_path / "spool", "second", "head2").append(event_readings(JOB_METRICS, [ended_job("5", T0)]))
    ingest(tmp_path, minutes=60)
    for command in (("jobs", "--since", "2d"), ("efficiency",)):
        both = nomade(*command, root=tmp_path).stdout
        assert both.startswith("cluster")
        assert "second" in both
        one = nomade(*command, "--cluster", CLUSTER, root=tmp_path).stdout
        assert not one.startswith("cluster")
        rows = nomade(*command, "--cluster", "second", "--json", root=tmp_path).json
        assert {row["cluster"] for row in rows} == {"second"}
