"""Recorded outputs of Slurm's commands: each is read correctly, or refused with the reason; none crashes or shifts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.needs import SHARED

from nomade_pipeline.collectors import node_state, slurm_parse
from nomade_pipeline.collectors.base import CollectorError

COLLECTION = SHARED / "data" / "fixtures"
FOLDERS = (
    "sacct", "sacctmgr", "scontrol_job", "scontrol_node", "scontrol_other", "sdiag", "sinfo", "slurmrestd", "sprio",
    "squeue", "sreport", "sshare",
)  # fmt: skip
LAB = Path(__file__).resolve().parents[2] / "fixtures" / "slurm-22.05"


def rows(text, table):
    parsed = slurm_parse.parse(text)
    return parsed.rows[table]


def told(rows_of_table, *columns):
    return [tuple(row[column] for column in columns) for row in rows_of_table]


# --- forms that the collection lacks ----------------------------------------------------------------------


def test_a_controllers_ping_is_a_row_of_the_scheduler():
    (row,) = rows("Slurmctld(primary) at a is DOWN\nSlurmctld(backup) at b is UP\n", "slurm_scheduler")
    assert row == {"controller": "b", "controller_up": True, "backups_down": 0}


def test_sinfo_in_json_of_newer_releases_is_read():
    """The form of 23.02 and later: one entry for each partition and state."""
    text = """{"sinfo": [{"node": {"state": ["MIXED", "DRAIN"]}, "nodes": {"total": 3, "nodes": ["a"]},
      "cpus": {"allocated": 4, "idle": 0, "other": 2, "total": 6},
      "partition": {"name": "gpu", "partition": {"state": ["UP"]}, "maximums": {"time": {"set": true, "number": 60}}}},
      {"node": {"state": ["IDLE"]}, "nodes": {"total": 1}, "cpus": {"allocated": 0, "idle": 2, "other": 0, "total": 2},
      "partition": {"name": "gpu", "partition": {"state": ["UP"]},
      "maximums": {"time": {"set": false, "infinite": true}}}}
    ], "errors": []}"""
    (row,) = rows(text, "slurm_partition")
    assert told([row], "partition", "state", "nodes", "nodes_unavailable", "nodes_idle") == [("gpu", "up", 4, 3, 1)]
    assert told([row], "cpus", "cpus_allocated", "cpus_idle", "cpus_other") == [(8, 4, 2, 2)]


@pytest.mark.parametrize(
    ("states", "column"),
    [
        ("allocated", "nodes_allocated"),
        ("alloc+", "nodes_allocated"),
        ("mixed-", "nodes_mixed"),
        ("idle~", "nodes_idle"),
        ("idle*", "nodes_unavailable"),
        ("drained", "nodes_unavailable"),
        ("draining@", "nodes_unavailable"),
        ("maint", "nodes_unavailable"),
        ("reboot^", "nodes_unavailable"),
        ("inval", "nodes_unavailable"),
        ("idle+cloud+drain+powered_down", "nodes_unavailable"),
        ("reserved", "nodes_mixed"),
        ("planned", "nodes_mixed"),
        ("completing", "nodes_mixed"),
    ],
)
def test_a_node_counts_once_by_its_state_whatever_sinfo_calls_it(states, column):
    text = f"PARTITION AVAIL NODES STATE CPUS(A/I/O/T)\ngpu* up 5 {states} 8/12/0/20\n"
    (row,) = rows(text, "slurm_partition")
    counts = {name: row[name] for name in row if name.startswith("nodes_")}
    assert {name for name, number in counts.items() if number} == {column}
    assert (row["nodes"], row[column], row["is_default"]) == (5, 5, True)


def test_equal_lines_of_different_partitions_both_count():
    text = "PARTITION AVAIL NODES STATE\na up 2 idle\nb up 2 idle\n"
    assert told(rows(text, "slurm_partition"), "partition", "nodes_idle") == [("a", 2), ("b", 2)]


def test_priorities_tell_the_partition_from_its_points():
    text = "JOBID PARTITION USER PRIORITY SITE AGE FAIRSHARE JOBSIZE PARTITION QOS NICE\n7 gpu ann 90 0 1 2 3 4 5 -6\n"
    (row,) = rows(text, "slurm_priority")
    assert told([row], "partition", "partition_points", "nice", "priority") == [("gpu", 4.0, -6.0, 90.0)]


def test_shares_of_an_association_are_compared_with_its_usage():
    text = "Account|User|RawShares|NormShares|RawUsage|EffectvUsage|FairShare|LevelFS\n"
    text += (
        "root|||0.000000|600|1.000000||\n physics||50|0.500000|600|0.250000||inf\n  physics|ann|parent|0.5|9||0.5|nan\n"
    )
    root, account, user = rows(text, "slurm_share")
    assert told([root], "account", "user", "share_ratio", "usage_per_share_ratio") == [("root", "", 0.0, None)]
    assert told([account], "raw_shares", "usage_per_share_ratio", "fairshare") == [(50, 0.5, None)]
    assert told([user], "account", "user", "raw_shares", "usage_ratio") == [("physics", "ann", None, None)]


def test_the_name_of_a_job_cannot_change_what_scontrol_says_of_it():
    text = (
        "JobId=7 JobName=a b JobState=FAILED Partition=x\n   UserId=ann(10) GroupId=ann(10) MCS_label=N/A\n"
        "   Priority=1 Account=y JobState=RUNNING Reason=None\n   Partition=gpu\n   Comment=Partition=long NumCPUs=9\n"
    )
    (row,) = rows(text, "slurm_job")
    assert told([row], "job_name", "state", "partition", "user") == [
        ("a b JobState=FAILED Partition=x", "RUNNING", "gpu", "ann")
    ]


def test_an_older_picture_in_the_same_text_is_told_and_not_mixed_with_the_newest():
    text = "$ squeue\nJOBID ST USER\n1 R ann\n2 R ann\n\n$ squeue\nJOBID ST USER\n1 R ann\n"
    parsed = slurm_parse.parse(text)
    assert told(parsed.rows["slurm_job"], "job_id_raw") == [("1",)]
    (rejected,) = parsed.rejected
    assert rejected.reason.startswith("an earlier squeue")
    assert "2 R ann" in rejected.text


def test_an_empty_queue_is_a_reading_and_nothing_recognised_is_a_refusal():
    assert rows("JOBID PARTITION NAME USER ST TIME NODES NODELIST(REASON)\n", "slurm_job") == []
    assert rows("No reservations in the system\n", "slurm_reservation") == []
    assert rows('{"jobs": [], "errors": []}', "slurm_job") == []
    with pytest.raises(CollectorError, match="Slurm answered with an error: no access"):
        slurm_parse.parse('{"jobs": [], "errors": [{"description": "no access"}]}')


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1|bio|ann|cpu|RUNNING|1|2|cpu=2\n", "record it without -h"),
        ("JOBID PRIORITY\n1 7\n", "without their states"),
        ("JobID|AveCPU|MaxRSS\n1.0|00:00|5K\n", "sacct and sstat"),
        ("JobID|State|ExitCode\n1|COMPLETED|0:0\n", "sacct and sstat"),
        ("NodeName=n1 State=IDLE\n", "nomade parse node_state"),
        ("PartitionName=a State=UP TotalNodes=2\n", "record `sinfo`"),
        ('{"nodes": []}', "nomade parse node_state"),
        ('{"jobs": [{"job_id": 1, "state": {"current": ["COMPLETED"]}}]}', "nomade parse job_metrics"),
        ('{"jobs": "x"}', "no list of objects"),
        ('{"x": 1}', "it has x"),
        ("REASON NODELIST\nbad n1\n", "PARTITION, NODES and STATE"),
    ],
)
def test_what_is_for_others_is_refused_and_told_where_it_belongs(text, reason):
    with pytest.raises(CollectorError, match=r"^slurm: ") as caught:
        slurm_parse.parse(text)
    assert reason in str(caught.value)
    assert caught.value.category == "parse"


# --- recorded in the lab ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table", "number"),
    [
        ("running/squeue.txt", "slurm_job", None),
        ("running/squeue.json", "slurm_job", None),
        ("running/scontrol-job-o.txt", "slurm_job", None),
        ("ended/scontrol-job.txt", "slurm_job", None),
        ("running/sinfo.txt", "slurm_partition", 4),
        ("running/sinfo-N-long.txt", "slurm_partition", 4),
        ("running/sprio-l.txt", "slurm_priority", None),
        ("running/sshare-a-l-P.txt", "slurm_share", 9),
        ("running/sdiag.txt", "slurm_scheduler", 1),
        ("running/scontrol-ping.txt", "slurm_scheduler", 1),
        ("running/scontrol-reservation-o.txt", "slurm_reservation", 2),
    ],
)
def test_what_the_lab_printed_is_read(recorded, name, table, number):
    found = rows(recorded(f"slurm-22.05/{name}"), table)
    assert found
    assert number in (None, len(found))


def test_numbers_of_newer_json_that_are_not_set_or_infinite_are_null():
    text = """{"jobs": [{"job_id": 7, "job_state": ["RUNNING", "COMPLETING"], "partition": "gpu",
      "time_limit": {"set": false, "infinite": true, "number": 0}, "priority": {"set": false, "number": 0},
      "start_time": {"set": true, "number": 1746000000}, "end_time": {"set": true, "number": 0},
      "array_job_id": {"set": true, "number": 0}, "tres_alloc_str": "cpu=1"}], "errors": []}"""
    (row,) = rows(text, "slurm_job")
    assert told([row], "state_raw", "state", "array_job_id") == [("RUNNING+COMPLETING", "COMPLETING", None)]
    assert told([row], "time_limit_seconds", "priority", "end_time", "gpus") == [(None, None, None, 0)]
    assert row["start_time"] == datetime(2025, 4, 30, 8, tzinfo=UTC)


def test_three_forms_of_one_queue_agree(recorded):
    """The text of scontrol and the JSON of squeue were recorded within the same second."""
    by_json = {row["job_id_raw"]: row for row in rows(recorded("slurm-22.05/running/squeue.json"), "slurm_job")}
    by_text = {row["job_id_raw"]: row for row in rows(recorded("slurm-22.05/running/scontrol-job-o.txt"), "slurm_job")}
    steady = ("user", "account", "partition", "qos", "submit_time", "array_job_id")
    assert len(by_text) > 20
    for number in set(by_text) & set(by_json):
        assert {name: by_text[number][name] for name in steady} == {name: by_json[number][name] for name in steady}


@pytest.mark.parametrize("path", sorted(LAB.glob("*/*.txt")) + sorted(LAB.glob("*/*.json")), ids=lambda path: path.name)
def test_no_output_of_the_lab_crashes_a_reader(path):
    for parse in (slurm_parse.parse, node_state.parse):
        made = outcome(parse, path)
        if isinstance(made, CollectorError):
            assert len(str(made)) > 20
        else:
            assert all(each.reason for each in made.rejected)


# --- the shared collection --------------------------------------------------------------------------------

# What each file that can be read holds: rows by table, and how many parts are rejected.
READ = {
    "squeue": {
        "SchedMD+slurm__doc_cons_tres_pre4.txt": ({"slurm_job": 2}, 1),
        "SchedMD+slurm__doc_cons_tres_pre7.txt": ({"slurm_job": 4, "slurm_partition": 1}, 0),
        "SchedMD+slurm__doc_cons_tres_pre8.txt": ({"slurm_job": 3, "slurm_partition": 1}, 0),
        "SchedMD+slurm__doc_cons_tres_pre9.txt": ({"slurm_job": 1}, 0),
        "SchedMD+slurm__doc_extra_constraints_pre23.txt": ({"slurm_job": 1}, 0),
        "SchedMD+slurm__doc_extra_constraints_pre24.txt": ({"slurm_job": 1}, 0),
        "SchedMD+slurm__doc_faq_pre14.txt": ({"slurm_job": 1}, 0),
        "SchedMD+slurm__doc_faq_pre40.txt": ({"slurm_job": 1}, 0),
        "SchedMD+slurm__doc_gang_scheduling_pre11.txt": ({"slurm_job": 6, "slurm_partition": 1}, 3),
        "SchedMD+slurm__doc_gang_scheduling_pre5.txt": ({"slurm_job": 2}, 1),
        "SchedMD+slurm__doc_gang_scheduling_pre6.txt": ({"slurm_job": 2}, 0),
        "SchedMD+slurm__doc_job_array_pre5.txt": ({"slurm_job": 5}, 0),
        "SchedMD+slurm__doc_job_array_pre6.txt": ({"slurm_job": 6}, 0),
        "SchedMD+slurm__doc_job_array_pre8.txt": ({"slurm_job": 4}, 1),
        "SchedMD+slurm__doc_mc_support_pre20.txt": ({"slurm_job": 1}, 0),
        "SchedMD+slurm__doc_preempt_pre4.txt": ({"slurm_job": 6}, 0),
        "SchedMD+slurm__doc_quickstart_pre8.txt": ({"slurm_job": 0}, 1),
        "SchedMD+slurm__man_squeue_example3.txt": ({"slurm_job": 3}, 0),
        "rivosinc+prometheus-slurm-exporter__squeue_out.json": ({"slurm_job": 2}, 0),
    },
    "sinfo": {
        "SchedMD+slurm__doc_gang_scheduling_pre1.txt": ({"slurm_partition": 1}, 0),
        "SchedMD+slurm__doc_mc_support_pre15.txt": ({"slurm_partition": 1}, 2),
        "SchedMD+slurm__man_sinfo_example4.txt": ({"slurm_partition": 1}, 0),
        "SchedMD+slurm__man_sinfo_example5.txt": ({"slurm_partition": 2}, 0),
    },
    "sdiag": {
        "SckyzO+slurm_exporter__slurm-24.11.7_scheduler.txt": ({"slurm_scheduler": 1}, 0),
        "rivosinc+prometheus-slurm-exporter__sdiag.json": ({"slurm_scheduler": 1}, 0),
        "vpenso+prometheus-slurm-exporter__sdiag.txt": ({"slurm_scheduler": 1}, 0),
    },
    "sprio": {
        "SchedMD+slurm__man_sprio_example3.txt": ({"slurm_priority": 2}, 0),
        "SchedMD+slurm__man_sprio_example4.txt": ({"slurm_priority": 2}, 0),
    },
    "sshare": {},
    "sacct": {},
    "sacctmgr": {},
    "sreport": {},
    "scontrol_job": {
        "SchedMD+slurm__doc_quickstart_admin_pre4.txt": ({"slurm_job": 1}, 0),
        "facebookresearch+gcm__scontrol_out_main_array_job.txt": ({"slurm_job": 2}, 0),
        "facebookresearch+gcm__scontrol_out_multi_node.txt": ({"slurm_job": 1}, 0),
        "facebookresearch+gcm__scontrol_out_no_gpus.txt": ({"slurm_job": 1}, 0),
        "facebookresearch+gcm__scontrol_out_some_gpus.txt": ({"slurm_job": 1}, 0),
        "facebookresearch+gcm__scontrol_out_unique_entries.txt": ({"slurm_job": 2}, 0),
        "irush-cs+slurm-scripts__parse_scontrol_show.t_jobs_L9.txt": ({"slurm_job": 2}, 0),
    },
    "scontrol_node": {},
    "scontrol_other": {
        "SchedMD+slurm__doc_reservations_pre1.txt": ({"slurm_reservation": 1}, 0),
        "SchedMD+slurm__doc_reservations_pre10.txt": ({"slurm_reservation": 1}, 0),
        "SchedMD+slurm__doc_reservations_pre2.txt": ({"slurm_reservation": 1}, 0),
        "SchedMD+slurm__doc_reservations_pre7.txt": ({"slurm_reservation": 1}, 0),
        "SckyzO+slurm_exporter__reservations.txt": ({"slurm_reservation": 1}, 0),
        "SckyzO+slurm_exporter__reservations_empty.txt": ({"slurm_reservation": 0}, 0),
        "facebookresearch+gcm__sample-scontrol-show-config-output.txt": ({"slurm_scheduler": 1}, 0),
    },
}
# Nodes in the files by folder.
NODES = {"scontrol_node": 29, "slurmrestd": 117}


def collection(folder):
    if not COLLECTION.exists():
        pytest.skip(f"no shared collection at {COLLECTION}")
    return sorted((COLLECTION / folder).iterdir())


def outcome(parse, path):
    """Return what a parser made of a file: rows, or the error with which it refused."""
    return outcome_of(parse, path.read_bytes().decode("utf-8", "surrogateescape"))


def outcome_of(parse, text):
    try:
        return parse(text)
    except CollectorError as error:
        return error


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_recorded_output_is_read_or_refused_with_a_reason(folder):
    outcomes = {path.name: outcome(slurm_parse.parse, path) for path in collection(folder)}
    read = {name: each for name, each in outcomes.items() if not isinstance(each, CollectorError)}
    for name in set(outcomes) - set(read):
        assert outcomes[name].category == "parse", name
        assert len(str(outcomes[name])) > 30, name
    numbers = {
        name: ({table: len(found) for table, found in each.rows.items()}, len(each.rejected))
        for name, each in read.items()
    }
    if folder == "slurmrestd":
        assert sum(found.get("slurm_job", 0) for found, _ in numbers.values()) == jobs_of_slurmctld()
        assert all(rejected == 0 for _, rejected in numbers.values())
    else:
        assert numbers == READ[folder]


def jobs_of_slurmctld():
    """Count the jobs in slurmrestd's files in the simplest way."""
    documents = [json.loads(path.read_text("utf-8")) for path in collection("slurmrestd")]
    return sum("job_state" in job for document in documents for job in document.get("jobs", ()))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_recorded_output_is_read_or_refused_by_the_reader_of_nodes(folder):
    outcomes = [outcome(node_state.parse, path) for path in collection(folder)]
    read = [each for each in outcomes if not isinstance(each, CollectorError)]
    assert sum(len(each.rows["node_state"]) for each in read) == NODES.get(folder, 0)
    assert all(each.rejected == () for each in read)


# Read by a person from the files; each is a value that a reader by position or by guess gets wrong.
RIVOS = "squeue/rivosinc+prometheus-slurm-exporter__squeue_out.json"
RESTD = "slurmrestd/rackslab+Slurm-web__24.05_0.0.41_slurm"
EXPECTED = [
    ("squeue/SchedMD+slurm__doc_job_array_pre5.txt", "slurm_job", "tasks", [1020, 1, 1, 1, 1]),
    ("squeue/SchedMD+slurm__doc_job_array_pre5.txt", "slurm_job", "array_job_id", ["1080"] * 5),
    ("squeue/SchedMD+slurm__doc_faq_pre40.txt", "slurm_job", "state", ["SPECIAL_EXIT"]),
    ("squeue/SchedMD+slurm__doc_faq_pre40.txt", "slurm_job", "reason_class", ["held"]),
    ("squeue/SchedMD+slurm__doc_cons_tres_pre7.txt", "slurm_job", "node_list",
     [None, "linux[01-04]", "linux[01-03]", "linux04"]),
    ("squeue/SchedMD+slurm__doc_cons_tres_pre7.txt", "slurm_partition", "nodes_allocated", [4]),
    ("squeue/SchedMD+slurm__doc_cons_tres_pre7.txt", "slurm_partition", "cpus", [10]),
    ("squeue/SchedMD+slurm__man_squeue_example3.txt", "slurm_job", "reason", [None, "Resources", "Priority"]),
    ("squeue/SchedMD+slurm__doc_gang_scheduling_pre6.txt", "slurm_job", "state", ["RUNNING", "SUSPENDED"]),
    (RIVOS, "slurm_job", "tasks", [1, 10]),
    (RIVOS, "slurm_job", "memory_bytes", [67108864000, 2**37]),
    (RIVOS, "slurm_job", "time_limit_seconds", [1814400.0, 86340.0]),
    ("sinfo/SchedMD+slurm__man_sinfo_example5.txt", "slurm_partition", "partition", ["debug", "batch"]),
    ("sinfo/SchedMD+slurm__man_sinfo_example5.txt", "slurm_partition", "nodes_idle", [8, 6]),
    ("sinfo/SchedMD+slurm__man_sinfo_example4.txt", "slurm_partition", "nodes_unavailable", [2]),
    ("sinfo/SchedMD+slurm__man_sinfo_example4.txt", "slurm_partition", "time_limit_seconds", [1800.0]),
    ("sdiag/SckyzO+slurm_exporter__slurm-24.11.7_scheduler.txt", "slurm_scheduler", "cycle_mean_seconds", [0.000779]),
    ("sdiag/SckyzO+slurm_exporter__slurm-24.11.7_scheduler.txt", "slurm_scheduler", "backfill_last_seconds", [None]),
    ("sdiag/rivosinc+prometheus-slurm-exporter__sdiag.json", "slurm_scheduler", "backfill_last_seconds", [4.097505]),
    ("sdiag/rivosinc+prometheus-slurm-exporter__sdiag.json", "slurm_scheduler", "dbd_agent_queue", [5]),
    ("sdiag/vpenso+prometheus-slurm-exporter__sdiag.txt", "slurm_scheduler", "queue_length", [57011]),
    ("sdiag/vpenso+prometheus-slurm-exporter__sdiag.txt", "slurm_scheduler", "counters_since", [None]),
    ("sprio/SchedMD+slurm__man_sprio_example4.txt", "slurm_priority", "fairshare_points", [51077.0, 51078.0]),
    ("sprio/SchedMD+slurm__man_sprio_example3.txt", "slurm_priority", "partition_points", [10000.0, 10000.0]),
    ("scontrol_job/facebookresearch+gcm__scontrol_out_multi_node.txt", "slurm_job", "gpus", [64]),
    ("scontrol_job/facebookresearch+gcm__scontrol_out_multi_node.txt", "slurm_job", "memory_bytes", [12000 * 2**30]),
    ("scontrol_job/facebookresearch+gcm__scontrol_out_main_array_job.txt", "slurm_job", "tasks", [32, 1]),
    ("scontrol_job/irush-cs+slurm-scripts__parse_scontrol_show.t_jobs_L9.txt", "slurm_job", "user",
     ["user1", "user2"]),
    ("scontrol_other/SchedMD+slurm__doc_reservations_pre2.txt", "slurm_reservation", "nodes", [0]),
    ("scontrol_other/SchedMD+slurm__doc_reservations_pre7.txt", "slurm_reservation", "users", ["-alan"]),
    ("scontrol_other/SckyzO+slurm_exporter__reservations.txt", "slurm_reservation", "state", ["INACTIVE"]),
    (f"{RESTD}-job-gpus-per-task.json", "slurm_job", "gpus", [4]),
    (f"{RESTD}-job-gpus-multi-nodes.json", "slurm_job", "gpus", [8]),
    (f"{RESTD}-job-gpus-per-socket.json", "slurm_job", "gpus", [2]),
    (f"{RESTD}-job-gpus-pending.json", "slurm_job", "gpus", [4]),
    (f"{RESTD}-ping.json", "slurm_scheduler", "controller", ["admin.emulator"]),
    (f"{RESTD}-reservations.json", "slurm_reservation", "cpus", [25856]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "table", "column", "values"), EXPECTED)
def test_values_of_the_collection_are_those_that_a_person_reads(shared, name, table, column, values):
    assert [row[column] for row in rows(shared(name), table)] == values


NODE_VALUES = [
    ("scontrol_node/SchedMD+slurm__doc_quickstart_pre3.txt",
     ("DOWN", "NOT_RESPONDING", "Not responding", "slurm", None)),
    ("slurmrestd/rackslab+Slurm-web__24.05_0.0.41_slurm-node-draining.json",
     ("MIXED", "DRAIN", "ECC memory error", "root", datetime(2025, 11, 11, 10, 54, 22, tzinfo=UTC))),
    ("slurmrestd/rackslab+Slurm-web__25.05_0.0.43_slurm-node-down.json",
     ("DOWN", None, "CPU dead", "root", datetime(2025, 11, 12, 10, 20, 29, tzinfo=UTC))),
    ("scontrol_node/SckyzO+slurm_exporter__scontrol_nodes.txt",
     ("MIXED", "DRAIN,DYNAMIC_NORM,MAINTENANCE,RESERVED", "planned_maintenance", "root",
      datetime(2026, 7, 22, 23, 31, 17, tzinfo=UTC))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values"), NODE_VALUES)
def test_nodes_of_the_collection_are_what_a_person_reads(shared, name, values):
    first = node_state.parse(shared(name)).rows["node_state"][0]
    assert tuple(first[column] for column in ("state", "flags", "reason", "reason_user", "reason_time")) == values


# --- values of the wrong kind -----------------------------------------------------------------------------

WRONG = (None, True, -1, 1e300, "x", "9" * 50, [], [None], {}, {"set": True, "number": None}, {"number": {"number": 1}})


@pytest.mark.parametrize(
    ("name", "part", "parse"),
    [
        ("squeue.json", "jobs", slurm_parse.parse),
        ("sinfo.json", "nodes", node_state.parse),
    ],
)
def test_a_value_of_the_wrong_kind_anywhere_in_json_is_null_or_rejected(recorded, name, part, parse):
    document = json.loads(recorded(f"slurm-22.05/asked/{name}"))
    entry = document[part][-1]
    for key in entry:
        for wrong in WRONG:
            made = outcome_of(parse, json.dumps({**document, part: [{**entry, key: wrong}]}))
            assert isinstance(made, CollectorError) or all(each.reason for each in made.rejected), (key, wrong)
    for wrong in (*WRONG, [[]], [1]):
        assert isinstance(outcome_of(parse, json.dumps({part: wrong})), CollectorError) or wrong == []
