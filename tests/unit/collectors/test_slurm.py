"""The collector of the queue: what it asks how often, what it remembers, what it says when Slurm does not answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from nomade_pipeline.collectors import slurm
from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.collectors.slurm_services import DBD_QUESTION
from nomade_pipeline.config.collector_settings import SlurmSettings
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe

ASKED = "slurm-22.05/asked"
FILES = {"/proc/1/comm": "init\n", "/proc/sys/kernel/hostname": "head.site\n"}
START = datetime(2026, 11, 24, 7, 26, tzinfo=UTC)
DOWN = "Slurmctld(primary) at head is DOWN\n*****************\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n"
MARK = "\x1f0123abcd"
NO_PING = Recorded(("sacctmgr", "ping"), "invalid keyword: ping\n", returncode=1)


def queue(*rows):
    """Return what squeue prints of jobs given as id, state and partition."""
    titles = ("JOBID", "STATE", "PARTITION", "USER", "PRIORITY", "TRES_ALLOC", "START_TIME", "NAME")
    lines = (titles, *((job, state, place, "ann", "7", "cpu=1", "N/A", "x") for job, state, place in rows))
    return "".join("".join(f"{cell}{MARK}" for cell in line) + "\n" for line in lines)


class Cluster:
    """A recorded cluster; `replace` puts other answers in the place of some of its commands."""

    def __init__(self, recorded):
        self._answers = {
            ("scontrol", "ping"): recorded(f"{ASKED}/scontrol-ping.txt"),
            ("sacctmgr", "-n"): recorded(f"{ASKED}/sacctmgr-cluster.txt"),
            ("sdiag",): recorded(f"{ASKED}/sdiag.txt"),
            ("squeue",): recorded(f"{ASKED}/squeue.txt"),
            ("sinfo",): recorded(f"{ASKED}/sinfo.txt"),
            ("sshare",): recorded(f"{ASKED}/sshare.txt"),
            ("sprio",): recorded(f"{ASKED}/sprio.txt"),
            ("scontrol", "-a"): recorded(f"{ASKED}/scontrol-reservation.txt"),
            ("sacct",): "\x1f".join(("JobIDRaw", "User", "Partition", "Start", "State")) + "\n",
        }

    def replace(self, **answers):
        """Return a probe; keys are commands, values a text, several in turn, or a recording of a failure."""
        kept = [NO_PING]
        for prefix, text in self._answers.items():
            name = "_".join(prefix).replace("-", "")
            given = answers.pop(name, text)
            for each in given if isinstance(given, list) else [given]:
                kept.append(each if isinstance(each, Recorded) else Recorded(prefix, each, seconds=0.05))
        assert not answers
        return ReplayProbe(kept, FILES, start=START)


@pytest.fixture
def cluster(recorded):
    return Cluster(recorded)


def rows(collected, table):
    return [row for reading in collected.readings if reading.table == table for row in reading.rows]


def jobs(collected):
    return {row["job_id_raw"]: row["kind"] for row in rows(collected, "slurm_job")}


def times_asked(probe, *words):
    return sum(asked[: len(words)] == words for asked in probe.asked)


# --- one picture ------------------------------------------------------------------------------------------


def test_every_table_is_filled_from_a_real_slurm(cluster):
    collected = slurm.collect(cluster.replace(), SlurmSettings(), 60)
    assert collected.rejected == ()
    assert {reading.table: len(reading.rows) for reading in collected.readings} == {
        "slurm_scheduler": 1,
        "slurm_queue": 5,
        "slurm_pending": 17,
        "slurm_partition": 4,
        "slurm_share": 9,
        "slurm_priority": 5,
        "slurm_reservation": 2,
        "slurm_job": 14,
    }
    seconds = {reading.table: reading.interval_seconds for reading in collected.readings}
    assert (seconds["slurm_queue"], seconds["slurm_share"]) == (60.0, 600.0)


def test_one_squeue_and_one_sinfo_serve_all_tables(cluster):
    probe = cluster.replace()
    slurm.collect(probe, SlurmSettings(), 60)
    assert (times_asked(probe, "squeue"), times_asked(probe, "sinfo"), times_asked(probe, "sdiag")) == (1, 1, 1)


def test_the_counts_are_those_of_squeues_own_json(cluster, recorded):
    """An independent reading: the JSON lists the same jobs; it has those that ended, too."""
    collected = slurm.collect(cluster.replace(), SlurmSettings(), 60)
    told = json.loads(recorded(f"{ASKED}/squeue.json"))["jobs"]
    total = rows(collected, "slurm_queue")[0]
    pending = [job for job in told if job["job_state"] == "PENDING"]
    tasks = [18 - 2 if job["array_task_string"] else 1 for job in pending]
    assert total["partition"] == "(cluster)"
    assert total["pending_jobs"] == sum(tasks)
    assert total["pending_cpus"] == sum(job["cpus"] * many for job, many in zip(pending, tasks, strict=True))
    assert total["running_jobs"] == sum(job["job_state"] == "RUNNING" for job in told)
    assert total["users"] == len({job["user_name"] for job in told if job["job_state"] in ("PENDING", "RUNNING")})
    assert total["pending_gpus"] == 2 + sum("gres/gpu=2" in job["tres_req_str"] for job in pending)


def test_a_reading_says_what_the_scheduler_and_slurmdbd_do(cluster):
    (found,) = rows(slurm.collect(cluster.replace(), SlurmSettings(), 60), "slurm_scheduler")
    assert (found["controller"], found["controller_up"], found["backups_down"]) == ("vm", True, 0)
    assert (found["dbd_up"], found["dbd_ping_seconds"], found["squeue_seconds"]) == (True, 0.05, 0.05)
    assert found["server_threads"] >= 1
    assert found["counters_since"].tzinfo is UTC


def test_only_the_partitions_of_the_configuration_are_stored(cluster):
    collected = slurm.collect(cluster.replace(), SlurmSettings(partitions=("short",)), 60)
    assert [row["partition"] for row in rows(collected, "slurm_queue")] == ["(cluster)", "short"]
    assert {row["partition"] for row in rows(collected, "slurm_partition")} == {"short"}
    assert {row["partition"] for row in rows(collected, "slurm_pending")} == {"(cluster)", "short"}
    assert {row["partition"] for row in rows(collected, "slurm_priority")} <= {"short"}
    places = {row["partition"] for row in rows(collected, "slurm_job")}
    assert places == {"short", "batch,short"}
    assert rows(collected, "slurm_queue")[0]["running_jobs"] > rows(collected, "slurm_queue")[1]["running_jobs"]


def test_only_the_hosts_of_the_configuration_ask_slurm(cluster):
    assert slurm.collect(cluster.replace(), SlurmSettings(hosts=("head.site",)), 60).readings
    probe = cluster.replace()
    with pytest.raises(Skipped, match="the hosts that ask Slurm are other"):
        slurm.collect(probe, SlurmSettings(hosts=("other",)), 60)
    assert probe.asked == []


def test_a_host_without_slurm_is_skipped_with_the_reason():
    with pytest.raises(Skipped, match="there is no Slurm on this host"):
        slurm.collect(ReplayProbe(files=FILES), SlurmSettings(), 60)


# --- what is remembered -----------------------------------------------------------------------------------


def pictures(cluster, *queues, step=60.0, **answers):
    """Return a memory, and a function that lets time pass and collects the next picture."""
    probe = cluster.replace(squeue=list(queues), sinfo=queue_of_partitions(), **answers)
    memory = slurm.QueueMemory()

    def next_one(settings=None, seconds=step):
        probe.wait(seconds)
        return memory.collect(probe, settings or SlurmSettings(), 60)

    return probe, memory, next_one


def queue_of_partitions():
    titles = ("PARTITION", "AVAIL", "TIMELIMIT", "NODES", "STATE", "CPUS(A/I/O/T)")
    lines = (titles, ("gpu*", "up", "infinite", "4", "mixed", "3/1/0/4"))
    return "".join("".join(f"{cell}{MARK}" for cell in line) + "\n" for line in lines)


ONE = queue(("1", "PENDING", "gpu"), ("2", "RUNNING", "gpu"))
TWO = queue(("1", "RUNNING", "gpu"), ("3", "PENDING", "gpu"))


def test_the_first_picture_is_full_and_then_changed_and_gone_jobs_are_told(cluster):
    _, _, look = pictures(cluster, ONE, ONE, TWO)
    assert jobs(look()) == {"1": "full", "2": "full"}
    assert jobs(look()) == {}
    third = look()
    assert jobs(third) == {"1": "changed", "3": "changed", "2": "gone"}
    gone = next(row for row in rows(third, "slurm_job") if row["kind"] == "gone")
    assert gone == {"job_id_raw": "2", "kind": "gone", "job_id": "2", "state_raw": "RUNNING", "state": "RUNNING"}


def test_once_an_hour_the_picture_is_full(cluster):
    _, _, look = pictures(cluster, ONE)
    assert set(jobs(look()).values()) == {"full"}
    assert [len(jobs(look())) for _ in range(58)] == [0] * 58
    assert jobs(look(seconds=110)) == {"1": "full", "2": "full"}
    assert jobs(look()) == {}


def test_after_forgetting_the_picture_is_full_even_if_it_is_asked_for_within_a_run(cluster):
    probe, memory, look = pictures(cluster, ONE)
    look()
    memory.forget()
    assert jobs(look()) == {"1": "full", "2": "full"}
    # Told while a run is under way, it holds for the next run at the latest.
    listed = probe.listdir
    probe.listdir = lambda path: (memory.forget(), listed(path))[1]
    look()
    probe.listdir = listed
    memory.forget()
    assert jobs(look()) == {"1": "full", "2": "full"}


def test_a_run_that_failed_loses_no_change(cluster):
    failure = Recorded(("squeue",), stderr="slurm_load_jobs error: Socket timed out\n", returncode=1)
    _, _, look = pictures(cluster, ONE, failure, TWO)
    look()
    with pytest.raises(CollectorError):
        look()
    assert jobs(look()) == {"1": "changed", "3": "changed", "2": "gone"}


def test_other_partitions_in_the_configuration_make_the_picture_full(cluster):
    _, _, look = pictures(cluster, queue(("1", "PENDING", "gpu"), ("2", "RUNNING", "long")))
    look()
    assert jobs(look(SlurmSettings(partitions=("gpu",)))) == {"1": "full", "2": "gone"}


def test_a_new_priority_or_expected_start_is_no_change_but_a_new_reason_is():
    from nomade_pipeline.collectors.slurm_changes import fingerprint
    from nomade_pipeline.collectors.slurm_squeue import job_of

    def of(**fields):
        return fingerprint(job_of({"JOBID": "1", "STATE": "PENDING", "REASON": "Priority", **fields}))

    assert of(PRIORITY="1", START_TIME="100", END_TIME="200") == of(PRIORITY="2", START_TIME="300", END_TIME="400")
    assert of() != of(REASON="Resources")
    running = {"STATE": "RUNNING", "START_TIME": "100"}
    assert of(**running, END_TIME="200") != of(**running, END_TIME="400")


def test_shares_priorities_and_reservations_are_asked_for_every_ten_minutes(cluster):
    probe, _, look = pictures(cluster, ONE)
    for _ in range(21):
        look()
    assert times_asked(probe, "squeue") == 21
    assert times_asked(probe, "sshare") == times_asked(probe, "sprio") == times_asked(probe, "scontrol", "-a") == 3


def test_how_slurmdbd_is_asked_is_found_out_once(cluster):
    """Slurm 22.05 has no `sacctmgr ping`."""
    probe, _, look = pictures(cluster, ONE)
    for _ in range(3):
        look()
    assert times_asked(probe, "sacctmgr", "ping") == 1
    assert times_asked(probe, *DBD_QUESTION) == 3


# --- runaway jobs -----------------------------------------------------------------------------------------

LONG_AGO = str(int((START - timedelta(days=2)).timestamp()))
JUST_NOW = str(int(START.timestamp()))


def accounting(*records):
    lines = (("JobIDRaw", "User", "Partition", "Start", "State"), *records)
    return "".join("\x1f".join(line) + "\n" for line in lines)


def test_a_job_that_only_the_accounting_knows_is_a_runaway_one(cluster):
    told = accounting(
        ("2", "ann", "gpu", LONG_AGO, "RUNNING"),
        ("9", "bob", "gpu", LONG_AGO, "RUNNING"),
        ("10", "bob", "gpu", JUST_NOW, "RUNNING"),
        ("11", "bob", "gpu", LONG_AGO, "COMPLETED"),
    )
    probe, _, look = pictures(cluster, ONE, sacct=told)
    assert rows(look(), "slurm_runaway") == []
    (found,) = rows(look(), "slurm_runaway")
    assert (found["job_id_raw"], found["user"], found["partition"]) == ("9", "bob", "gpu")
    assert found["since_time"] == START - timedelta(days=2)
    asked = next(words for words in probe.asked if words[0] == "sacct")
    assert asked[asked.index("-S") + 1 : asked.index("-S") + 4 : 2] == ("2026-11-24T07:27:00", "2026-11-24T07:28:00")


def test_a_job_that_was_in_the_queue_a_minute_ago_is_none(cluster):
    """slurmdbd hears of its end a little later."""
    _, _, look = pictures(cluster, ONE, TWO, sacct=accounting(("2", "ann", "gpu", LONG_AGO, "RUNNING")))
    look()
    assert rows(look(), "slurm_runaway") == []


def test_sacct_is_run_once_an_hour_and_only_when_slurmdbd_is_up_to_date(cluster, recorded):
    probe, _, look = pictures(cluster, ONE)
    for _ in range(65):
        look()
    assert times_asked(probe, "sacct") == 2
    behind = recorded(f"{ASKED}/sdiag.txt").replace("DBD Agent queue size: 0", "DBD Agent queue size: 7")
    probe, _, look = pictures(cluster, ONE, sdiag=behind)
    for _ in range(5):
        look()
    assert times_asked(probe, "sacct") == 0


# --- Slurm that does not answer ---------------------------------------------------------------------------


def scheduler_of(error):
    (reading,) = error.readings
    assert reading.table == "slurm_scheduler"
    return reading.rows[0]


def test_a_controller_that_is_down_is_a_failure_with_a_row_that_says_so(cluster):
    probe = cluster.replace(scontrol_ping=Recorded(("scontrol", "ping"), DOWN, returncode=1))
    with pytest.raises(CollectorError) as caught:
        slurm.collect(probe, SlurmSettings(), 60)
    assert not isinstance(caught.value, Skipped)
    assert caught.value.category == "service_down"
    assert scheduler_of(caught.value) == {
        "controller": None,
        "controller_up": False,
        "backups_down": 0,
        "dbd_up": True,
        "dbd_ping_seconds": 0.05,
    }
    assert times_asked(probe, "squeue") == 0


def test_a_backup_that_answers_for_the_primary_is_up(cluster):
    text = DOWN + "Slurmctld(backup1) at spare is UP\nSlurmctld(backup2) at third is DOWN\n"
    (found,) = rows(slurm.collect(cluster.replace(scontrol_ping=text), SlurmSettings(), 60), "slurm_scheduler")
    assert (found["controller"], found["controller_up"], found["backups_down"]) == ("spare", True, 1)


@pytest.mark.parametrize(
    "ping",
    [
        Recorded(("scontrol", "ping"), error=TimedOut("scontrol did not answer within 20 s")),
        Recorded(("scontrol", "ping"), stderr="scontrol: fatal: Could not establish a configuration\n", returncode=1),
    ],
)
def test_a_ping_that_says_nothing_of_a_controller_means_that_none_answers(cluster, ping):
    with pytest.raises(CollectorError, match="no slurmctld answers: scontrol") as caught:
        slurm.collect(cluster.replace(scontrol_ping=ping), SlurmSettings(), 60)
    assert caught.value.category == "service_down"
    assert scheduler_of(caught.value)["controller_up"] is False


@pytest.mark.parametrize("tool", ["squeue", "sinfo"])
def test_a_scheduler_that_times_out_is_a_failure_that_keeps_what_is_known(cluster, tool):
    said = "slurm_load_jobs error: Socket timed out on send/recv operation\n"
    probe = cluster.replace(**{tool: Recorded((tool,), stderr=said, returncode=1)})
    with pytest.raises(CollectorError, match="Socket timed out") as caught:
        slurm.collect(probe, SlurmSettings(), 60)
    assert caught.value.category == "service_down"
    assert scheduler_of(caught.value)["controller_up"] is True
    assert scheduler_of(caught.value)["server_threads"] >= 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Recorded(("sacctmgr", "-n"), stderr="sacctmgr: error: Problem talking to the database\n", returncode=1),
            False,
        ),
        (Recorded(("sacctmgr", "-n"), error=TimedOut("sacctmgr did not answer within 5 s")), False),
        (
            Recorded(
                ("sacctmgr", "-n"),
                stderr="You are not running a supported accounting_storage plugin\n"
                "Only 'accounting_storage/slurmdbd' is supported.\n",
                returncode=1,
            ),
            None,
        ),
    ],
)
def test_a_slurmdbd_that_is_down_is_told_and_one_that_is_not_there_is_null(cluster, answer, expected):
    collected = slurm.collect(cluster.replace(sacctmgr_n=answer), SlurmSettings(), 60)
    (found,) = rows(collected, "slurm_scheduler")
    assert (found["dbd_up"], found["dbd_ping_seconds"]) == (expected, None)
    assert rows(collected, "slurm_queue")


@pytest.mark.parametrize(("state", "expected"), [("UP", True), ("DOWN", False)])
def test_sacctmgr_ping_is_believed_where_it_exists(state, expected):
    from nomade_pipeline.collectors.slurm_services import Database

    answer = Recorded(("sacctmgr", "ping"), f"slurmdbd(primary) at db is {state}\n", seconds=0.02)
    assert Database().ask(ReplayProbe([answer])) == (expected, 0.02 if expected else None)


def test_a_backup_slurmdbd_that_answers_is_enough():
    from nomade_pipeline.collectors.slurm_services import Database

    said = "slurmdbd(primary) at a is DOWN\nslurmdbd(backup) at b is UP\n"
    assert Database().ask(ReplayProbe([Recorded(("sacctmgr", "ping"), said, returncode=1)])) == (True, 0.0)


def test_what_is_not_needed_may_fail_and_is_told(cluster):
    denied = Recorded(("sdiag",), stderr="slurm_get_statistics: Access/permission denied\n", returncode=1)
    broken = Recorded(("sprio",), "nonsense\n")
    collected = slurm.collect(cluster.replace(sdiag=denied, sprio=broken), SlurmSettings(), 60)
    assert rows(collected, "slurm_scheduler")[0].get("server_threads") is None
    assert [each.text for each in collected.rejected] == ["sdiag", collected.rejected[1].text]
    assert "denied" in collected.rejected[0].reason
    assert "its header is not in the output" in collected.rejected[1].reason
    assert len(rows(collected, "slurm_job")) == 14


# --- empty, and yet successful ----------------------------------------------------------------------------


def test_an_empty_queue_is_not_believed_while_the_scheduler_counts_jobs(cluster):
    """PrivateData=jobs makes squeue answer with nothing, successfully."""
    with pytest.raises(CollectorError, match="squeue shows no job and sdiag counts 29: PrivateData") as caught:
        slurm.collect(cluster.replace(squeue=[queue(), ""]), SlurmSettings(), 60)
    assert caught.value.category == "permission"
    assert scheduler_of(caught.value)["controller_up"] is True


def test_a_queue_that_has_just_emptied_is_believed(cluster):
    """The scheduler counts twice a minute only."""
    _, _, look = pictures(cluster, ONE, queue())
    look()
    emptied = look()
    assert rows(emptied, "slurm_queue")[0]["pending_jobs"] == 0
    assert jobs(emptied) == {"1": "gone", "2": "gone"}


def test_an_empty_queue_is_believed_at_the_first_run_when_squeue_shows_jobs_that_ended(cluster):
    probe = cluster.replace(squeue=[queue(), "17\n"])
    assert rows(slurm.collect(probe, SlurmSettings(), 60), "slurm_queue")[0]["pending_jobs"] == 0
    assert probe.asked[-1][0] != "squeue"
    assert ("squeue", "-a", "-h", "-t", "all", "-o", "%A") in probe.asked


def test_an_empty_queue_of_an_idle_cluster_is_a_row_of_zeros(cluster):
    idle = "Server thread count: 1\nJobs pending: 0\nJobs running: 0\nMain schedule statistics (microseconds):\n"
    collected = slurm.collect(cluster.replace(squeue=queue(), sdiag=idle), SlurmSettings(), 60)
    assert rows(collected, "slurm_queue")[0]["running_jobs"] == 0
    assert rows(collected, "slurm_job") == []
