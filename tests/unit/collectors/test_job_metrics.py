"""The collector of ended jobs: which window it asks for, what it remembers, and what it makes of a silent slurmdbd."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.sacct import ASK, COLUMNS, HEAD, MARK, NOW, Slurm, lines_of, option

from nomade_pipeline.collectors import job_metrics
from nomade_pipeline.collectors.base import Collected, CollectorError, Skipped
from nomade_pipeline.collectors.job_metrics import JobHistory
from nomade_pipeline.collectors.sacct_command import ENDED, fresh_delimiter
from nomade_pipeline.collectors.slurm_collectors import JOBS
from nomade_pipeline.collectors.slurm_commands import require_slurm
from nomade_pipeline.config.collector_settings import JobMetricsSettings
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe
from nomade_pipeline.tables.outcomes import JOB_FLAGS, JOB_STATES

EMPTY = lines_of()


def told(collected: Collected) -> list[tuple[str, float]]:
    return [(row["job_id_raw"], row["cpu_seconds"]) for reading in collected.readings for row in reading.rows]


def collect(memory: Any, probe: ReplayProbe, **settings: Any) -> Collected:
    return memory.collect(probe, JobMetricsSettings(**settings), 60)


def test_it_is_asked_for_all_users_all_runs_with_steps_all_ended_states_and_no_rounding():
    probe = Slurm(lines_of((7, "00:00:03")))
    collect(JobHistory(), probe)
    words = probe.asked[1]
    assert {"--allusers", "--duplicates", "--local", "--parsable", "--noconvert"} <= set(words)
    assert "-X" not in words
    assert option(words, "state").split(",") == list(ENDED)
    assert option(words, "format").split(",") == list(COLUMNS)


def test_no_state_is_asked_for_that_would_switch_off_the_window():
    """sacct selects by the end for these only (as_mysql_jobacct_process.c); an unsupported one drops the time."""
    assert set(ENDED) <= {*JOB_STATES, *JOB_FLAGS}
    assert not set(ENDED) & {"PENDING", "RUNNING", "SUSPENDED", "RESIZING", "LAUNCH_FAILED", "COMPLETING"}
    assert {"OUT_OF_MEMORY", "NODE_FAIL", "DEADLINE", "BOOT_FAIL", "PREEMPTED", "REQUEUED"} <= set(ENDED)


def test_everything_within_the_lookback_is_read_at_first_and_once_an_hour():
    probe, memory = Slurm(lines_of((7, "00:00:03"), ago=60)), JobHistory()
    for minutes in (0, 1, 30, 31):
        probe.wait(60 * minutes)
        collect(memory, probe, lookback_hours=48)
    starts = [start for start, _ in probe.windows()]
    assert starts == ["2026-03-03T12:00:00", "2026-03-05T11:50:00", "2026-03-05T11:51:00", "2026-03-03T13:02:00"]
    assert probe.windows()[0][1] == "2026-03-05T12:05:00"


def test_the_window_after_a_failure_reaches_back_to_the_last_success():
    down = Recorded(ASK, "", "sacct: error: Problem talking to the database: Connection refused\n", 1)
    good = lines_of((7, "00:00:03"), ago=60)
    probe, memory = Slurm(good, down, good), JobHistory()
    collect(memory, probe)
    probe.wait(1200)
    with pytest.raises(CollectorError) as caught:
        collect(memory, probe)
    assert caught.value.category == "service_down"
    probe.wait(1200)
    collect(memory, probe)
    assert [start for start, _ in probe.windows()][-1] == "2026-03-05T11:50:00"


def test_a_job_is_told_once_and_again_when_it_changes():
    outputs = [lines_of((7, "00:00:03")), lines_of((7, "00:00:03")), lines_of((7, "00:00:05"), (8, "00:00:01"))]
    probe, memory = Slurm(*outputs), JobHistory()
    assert told(collect(memory, probe)) == [("7", 3)]
    assert told(collect(memory, probe)) == []
    assert told(collect(memory, probe)) == [("7", 5), ("8", 1)]


def test_a_late_job_is_told_when_everything_is_read_again():
    probe, memory = Slurm(lines_of((7, "00:00:03")), lines_of((7, "00:00:03"), (5, "00:00:09"))), JobHistory()
    collect(memory, probe)
    probe.wait(3600)
    assert told(collect(memory, probe)) == [("5", 9)]


def test_everything_is_told_again_after_it_was_forgotten():
    probe, memory = Slurm(lines_of((7, "00:00:03"))), JobHistory()
    collect(memory, probe)
    memory.forget()
    assert told(collect(memory, probe)) == [("7", 3)]
    assert [start for start, _ in probe.windows()] == ["2026-03-04T12:00:00"] * 2


def test_the_columns_are_asked_for_once():
    probe, memory = Slurm(lines_of((7, "00:00:03"))), JobHistory()
    collect(memory, probe)
    memory.forget()
    collect(memory, probe)
    assert [words[1] for words in probe.asked].count("--helpformat") == 1


def test_the_memory_of_jobs_that_are_no_longer_in_the_window_is_given_back():
    probe, memory = Slurm(lines_of((7, "00:00:03")), lines_of((8, "00:00:03"), ago=60)), JobHistory()
    collect(memory, probe)
    probe.wait(3600)
    collect(memory, probe)
    assert {key[0] for key in memory._told} == {"8"}


def test_a_clock_that_was_set_back_reads_everything_again():
    probe, memory = Slurm(lines_of((7, "00:00:03"))), JobHistory()
    collect(memory, probe)
    probe.wait(-1800)
    collect(memory, probe)
    assert probe.windows()[1][0] == "2026-03-04T11:30:00"


def test_rows_are_readings_of_the_hour_of_their_end():
    collected = collect(JobHistory(), Slurm(lines_of((7, "00:00:03"), ago=5400)))
    (reading,) = collected.readings
    assert (reading.table, reading.sample_time) == ("job_metrics", NOW - timedelta(minutes=90))
    assert (reading.interval_seconds, reading.source) == (0.0, "tool")


# --- silent, empty and strange answers --------------------------------------------------------------------------


def test_no_job_is_an_answer_while_none_was_told():
    assert collect(JobHistory(), Slurm(EMPTY)).readings == ()


def test_a_successful_answer_without_jobs_is_doubted_when_some_were_told_of_that_time():
    """PrivateData makes sacct succeed with nothing."""
    probe, memory = Slurm(lines_of((7, "00:00:03"), ago=60), EMPTY), JobHistory()
    collect(memory, probe)
    probe.wait(60)
    with pytest.raises(CollectorError, match="PrivateData") as caught:
        collect(memory, probe)
    assert caught.value.category == "permission"
    probe.wait(25 * 3600)
    assert collect(memory, probe).readings == ()


@pytest.mark.parametrize(
    ("stderr", "category"),
    [
        ("sacct: error: Problem talking to the database: Connection refused\n", "service_down"),
        ("sacct: error: slurm_persist_conn_open: failed to open persistent connection\n", "service_down"),
        ("sacct: error: Access/permission denied\n", "permission"),
        ("sacct: fatal: something else\n", "command_failed"),
    ],
)
def test_a_slurmdbd_that_does_not_answer_is_a_failure(stderr, category):
    with pytest.raises(CollectorError) as caught:
        collect(JobHistory(), Slurm(Recorded(ASK, "", stderr, 1)))
    assert caught.value.category == category
    assert not isinstance(caught.value, Skipped)


def test_a_slurm_without_accounting_is_skipped_with_the_reason():
    off = Recorded(("sacct", "--helpformat"), "", "Slurm accounting storage is disabled\n", 1)
    with pytest.raises(Skipped, match="keeps no accounts"):
        collect(JobHistory(), ReplayProbe([off], HEAD, NOW))


def test_commands_without_a_cluster_are_skipped_with_the_reason():
    lost = Recorded(("sacct", "--helpformat"), "", "sacct: fatal: Could not establish a configuration source\n", 1)
    with pytest.raises(Skipped, match="no cluster is configured"):
        collect(JobHistory(), ReplayProbe([lost], HEAD, NOW))


def test_a_state_that_this_slurm_does_not_know_is_left_out_from_then_on():
    unknown = Recorded(ASK, "", "sacct: fatal: unrecognized job state value 'REVOKED'\n", 1)
    probe, memory = Slurm(unknown, lines_of((7, "00:00:03"))), JobHistory()
    assert told(collect(memory, probe)) == [("7", 3)]
    collect(memory, probe)
    states = [option(words, "state") for words in probe.asked[1:]]
    assert ["REVOKED" in each for each in states] == [True, False, False]


def test_an_answer_that_is_cut_off_is_no_answer():
    with pytest.raises(CollectorError, match="cut off"):
        collect(JobHistory(), Slurm(lines_of((7, "00:00:03"))[:-1]))


def test_an_answer_without_header_is_no_answer():
    with pytest.raises(CollectorError, match="columns are not named"):
        collect(JobHistory(), Slurm("\n"))


def test_a_reading_of_everything_that_takes_too_long_is_halved_and_grows_again():
    late, good = Recorded(ASK, error=TimedOut("sacct did not answer within 60 s")), lines_of((7, "00:00:03"), ago=60)
    probe, memory = Slurm(late, late, good, good), JobHistory()
    for _ in range(2):
        with pytest.raises(CollectorError):
            collect(memory, probe)
    collect(memory, probe)
    probe.wait(3600)
    collect(memory, probe)
    assert [start[8:13] for start, _ in probe.windows()] == ["04T12", "05T00", "05T06", "05T01"]


def test_what_cannot_be_read_is_told_once():
    strange = lines_of((7, "00:00:03"), state="FOO") + MARK.join(("8", "x", "y")) + MARK + "\n"
    probe, memory = Slurm(strange), JobHistory()
    assert len(collect(memory, probe).rejected) == 2
    assert collect(memory, probe).rejected == ()


def test_a_name_can_hold_anything_since_the_delimiter_is_not_known_beforehand():
    assert fresh_delimiter() != fresh_delimiter()
    name = "x\n9\x1f9\x1fCOMPLETED\x1f|\n^|^ "
    collected = collect(JobHistory(), Slurm(lines_of((7, "00:00:03"), name=name)))
    assert [row["job_name"] for reading in collected.readings for row in reading.rows] == [name]


# --- where it runs ----------------------------------------------------------------------------------------------


def test_a_host_without_slurm_is_skipped():
    with pytest.raises(Skipped, match="no Slurm on this host"):
        collect(JobHistory(), ReplayProbe([], HEAD, NOW))


@pytest.mark.parametrize(
    "told",
    [
        "Slurmctld(primary) at Head01.cluster is DOWN\nSlurmctld(backup) at head02 is UP\n",
        "Slurmctld(primary/backup) at head02/head01 are UP/DOWN\n",
    ],
)
def test_a_controller_whose_slurmctld_is_down_still_asks(told):
    files = {"/proc/7/comm": "slurmd\n", "/proc/sys/kernel/hostname": "head01\n"}
    commands = [Recorded(("scontrol", "ping"), told), Recorded(("sacct", "--version"), "slurm 22.05.8\n")]
    require_slurm(ReplayProbe(commands, files, NOW), "sacct")
    other = ReplayProbe(commands, {**files, "/proc/sys/kernel/hostname": "n1\n"}, NOW)
    with pytest.raises(Skipped, match="head node"):
        require_slurm(other, "sacct")


def test_a_compute_node_leaves_it_to_the_head_node():
    node = {**HEAD, "/proc/7/comm": "slurmd\n"}
    with pytest.raises(Skipped, match="head node"):
        collect(JobHistory(), Slurm(EMPTY, files=node))


def test_only_the_hosts_of_the_configuration_ask():
    assert collect(JobHistory(), Slurm(EMPTY), hosts=("head1", "head2")).readings == ()
    with pytest.raises(Skipped, match="this is head1"):
        collect(JobHistory(), Slurm(EMPTY), hosts=("head2",))


def test_each_agent_has_a_memory_of_its_own_and_a_single_run_has_none():
    probe = Slurm(lines_of((7, "00:00:03")))
    settings = JobMetricsSettings()
    first, second = JOBS.fresh(), JOBS.fresh()
    assert told(first.collect(probe, settings, 60)) == told(second.collect(probe, settings, 60)) == [("7", 3)]
    assert told(first.collect(probe, settings, 60)) == []
    assert told(job_metrics.collect(probe, settings, 60)) == [("7", 3)]


def test_a_recorded_output_is_read_with_any_columns():
    parsed = job_metrics.parse(lines_of((7, "00:00:03")))
    assert [row["cpu_seconds"] for row in parsed.rows["job_metrics"]] == [3]
    with pytest.raises(CollectorError, match="sacct: there is nothing in it"):
        job_metrics.parse("\n")
