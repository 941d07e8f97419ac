"""Nodes: what an admin writes as a reason is text, base state and flags are apart, and GPUs are counted once."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade_pipeline.collectors import node_state
from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.collectors.slurm_nodes import split_reason
from nomade_pipeline.config.collector_settings import NodeStateSettings
from nomade_pipeline.replay import Recorded, ReplayProbe

ASKED = "slurm-22.05/asked"
NODE = (
    "NodeName=n1 Arch=x86_64 CoresPerSocket=4  CPUAlloc=3 CPUEfctv=8 CPUTot=8 CPULoad=4.88 AvailableFeatures=ib,gpu "
    "ActiveFeatures=gpu Gres=gpu:a100:2(S:0-1) GresUsed=gpu:a100:1(IDX:0) NodeAddr=10.0.0.1 NodeHostName=N1.site "
    "Version=22.05.8 OS=Linux 6.1 #1 SMP State=DOWN  RealMemory=1000 AllocMem=500 FreeMem=N/A Sockets=2 Boards=1 "
    "State={state} ThreadsPerCore=1 TmpDisk=0 Weight=4 Owner=N/A MCS_label=N/A Partitions=short,batch  "
    "BootTime=1795500010 SlurmdStartTime=None LastBusyTime=1795502174 CfgTRES={cfg} AllocTRES={alloc} "
    "CapWatts=n/a CurrentWatts=0 AveWatts=0{tail}\n"
)
PROC = {"/proc/1/comm": "init\n"}


def line(state="MIXED", tail="", cfg="cpu=8,mem=1000M,billing=8", alloc=""):
    return NODE.format(state=state, tail=tail, cfg=cfg, alloc=alloc)


def rows(text):
    parsed = node_state.parse(text)
    assert parsed.rejected == ()
    return parsed.rows["node_state"]


def node(*args, **fields):
    return rows(line(*args, **fields))[0]


# --- the words --------------------------------------------------------------------------------------------


def test_a_node_is_read_by_the_names_of_its_words():
    found = node()
    assert {name: found[name] for name in found if name not in ("last_busy_time", "boot_time")} == {
        "node": "n1",
        "node_host": "n1",
        "state_raw": "MIXED",
        "state": "MIXED",
        "flags": None,
        "responding": 1,
        "usable": 1,
        "drained": 0,
        "partitions": "batch,short",
        "reason": None,
        "reason_user": None,
        "reason_time": None,
        "cpus": 8,
        "cpus_allocated": 3,
        "cpu_load": 4.88,
        "memory_bytes": 1000 * 2**20,
        "memory_allocated_bytes": 500 * 2**20,
        "memory_free_bytes": None,
        "gpus": 2,
        "gpus_allocated": 1,
        "gpu_types": "a100",
        "gres": "gpu:a100:2(S:0-1)",
        "features": "gpu",
        "version": "22.05.8",
        "slurmd_start_time": None,
    }
    assert found["boot_time"] == datetime(2026, 11, 24, 6, 0, 10, tzinfo=UTC)


def test_one_line_a_node_and_several_lines_a_node_are_the_same():
    text = line("IDLE+DRAIN", " Reason=bad fan [root@1795501805]")
    several = text.replace(" CPUAlloc", "\n   CPUAlloc").replace(" State=IDLE", "\n   State=IDLE")
    assert rows(several.replace(" Reason=", "\n   Reason=")) == rows(text)


@pytest.mark.parametrize(
    ("told", "state", "flags", "responding", "usable", "drained"),
    [
        ("IDLE", "IDLE", None, 1, 1, 0),
        ("IDLE+DRAIN", "IDLE", "DRAIN", 1, 0, 1),
        ("MIXED+DRAIN+PLANNED", "MIXED", "DRAIN,PLANNED", 1, 0, 1),
        ("DOWN*", "DOWN", "NOT_RESPONDING", 0, 0, 0),
        ("DOWN*+DRAIN", "DOWN", "DRAIN,NOT_RESPONDING", 0, 0, 1),
        ("IDLE+CLOUD+POWERED_DOWN", "IDLE", "CLOUD,POWERED_DOWN", 1, 1, 0),
        ("IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", "IDLE", "CLOUD,NOT_RESPONDING,POWERING_UP", 0, 0, 0),
        ("ALLOCATED+MAINTENANCE+RESERVED", "ALLOCATED", "MAINTENANCE,RESERVED", 1, 0, 0),
        ("FUTURE", "FUTURE", None, 1, 0, 0),
        ("UNKNOWN+INVALID_REG", "UNKNOWN", "INVALID_REG", 1, 0, 0),
        ("NOVEL+FLAG", None, "FLAG,NOVEL", 1, 0, 0),
    ],
)
def test_base_state_and_flags_are_apart(told, state, flags, responding, usable, drained):
    found = node(told)
    assert (found["state"], found["flags"]) == (state, flags)
    assert (found["responding"], found["usable"], found["drained"]) == (responding, usable, drained)


# --- reasons ----------------------------------------------------------------------------------------------


def test_a_reason_is_split_into_text_author_and_time():
    found = node("IDLE+DRAIN", " Reason=bad disk, see #12 [root@1795501805]")
    assert (found["reason"], found["reason_user"]) == ("bad disk, see #12", "root")
    assert found["reason_time"] == datetime(2026, 11, 24, 6, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "reason",
    [
        "x State=IDLE CPUTot=1 NodeName=n9",
        "x RealMemory=1 AllocMem=0",
        "x OS=Plan9 RealMemory=1",
        "x Comment=y Extra=z",
        "x [eve@1] y",
        "[eve@1795501805]",
    ],
)
def test_a_reason_that_imitates_slurm_stays_a_reason(reason):
    found = node("DOWN+DRAIN", f" Reason={reason} [root@1795501805]")
    assert (found["reason"], found["reason_user"]) == (reason, "root")
    assert (found["node"], found["state_raw"], found["cpus"]) == ("n1", "DOWN+DRAIN", 8)
    assert found["memory_bytes"] == 1000 * 2**20


@given(st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="="), min_size=1))
def test_any_reason_of_one_word_is_kept(reason):
    found = node("DOWN+DRAIN", f" Reason={reason} [root@1795501805]")
    assert (found["reason"], found["reason_user"], found["state"]) == (reason, "root", "DOWN")


@pytest.mark.parametrize(
    "tail", [" Comment=State=IDLE Reason=x", " Extra=Reason=x [eve@1]", " InstanceId=1 Extra=Gres=0"]
)
def test_comments_are_not_read_as_words(tail):
    found = node("MIXED", tail)
    assert (found["state"], found["reason"], found["gpus"]) == ("MIXED", None, 2)


def test_a_stamp_without_a_year_gives_the_author_and_no_time():
    """Releases before SLURM_TIME_FORMAT wrote `06/02-14:01:24`."""
    found = split_reason("Not responding [slurm@06/02-14:01:24]")
    assert (found.text, found.user, found.time) == ("Not responding", "slurm", None)
    assert split_reason("set by nobody").user is None
    assert split_reason("bad [root@2026-07-22T23:31:17]").time == datetime(2026, 7, 22, 23, 31, 17, tzinfo=UTC)


# --- GPUs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cfg", "alloc", "expected"),
    [
        ("cpu=8,gres/gpu=2,gres/gpu:a100=2", "cpu=3,gres/gpu=1,gres/gpu:a100=1", (2, 1)),
        ("cpu=8,gres/gpu=2", "", (2, 0)),
        ("cpu=8", "cpu=3", (2, 1)),
    ],
)
def test_gpus_are_counted_once_whether_the_accounting_knows_them_or_not(cfg, alloc, expected):
    found = node(cfg=cfg, alloc=alloc)
    assert (found["gpus"], found["gpus_allocated"]) == expected


def test_allocated_gpus_are_null_where_nothing_tells_them_and_zero_where_there_are_none():
    untold = rows(line().replace(" GresUsed=gpu:a100:1(IDX:0)", ""))[0]
    assert (untold["gpus"], untold["gpus_allocated"]) == (2, None)
    without = rows(line().replace("Gres=gpu:a100:2(S:0-1)", "Gres=(null)"))[0]
    assert (without["gpus"], without["gpus_allocated"], without["gpu_types"]) == (0, 0, None)


# --- forms ------------------------------------------------------------------------------------------------


def test_the_text_of_a_real_slurm_says_what_its_json_says(recorded):
    told = rows(recorded(f"{ASKED}/scontrol-node.txt"))
    assert told == rows(recorded(f"{ASKED}/sinfo.json"))
    drained = next(row for row in told if row["drained"])
    assert drained["reason"] == 'fan | "loud" [rack 7] State=IDLE RealMemory=1 [eve@1]'
    assert (drained["reason_user"], drained["state_raw"]) == ("root", "IDLE+DRAIN")
    raw = {entry["name"]: entry for entry in json.loads(recorded(f"{ASKED}/sinfo.json"))["nodes"]}
    for row in told:
        entry = raw[row["node"]]
        assert row["cpus_allocated"] == entry["alloc_cpus"]
        assert row["memory_bytes"] == entry["real_memory"] * 2**20
        assert row["memory_allocated_bytes"] == entry["alloc_memory"] * 2**20
        assert row["cpu_load"] == entry["cpu_load"] / 100
        assert row["partitions"].split(",") == sorted(entry["partitions"])
        assert row["state"] == entry["state"].upper()
        assert set((row["flags"] or "").split(",")) - {""} == set(entry["state_flags"])


def test_a_node_without_a_state_is_rejected_and_the_others_are_read():
    parsed = node_state.parse(line() + "NodeName=n2 CPUTot=4\n" + line().replace("n1", "n3") + line())
    assert [row["node"] for row in parsed.rows["node_state"]] == ["n1", "n3"]
    assert [each.reason for each in parsed.rejected] == ["there is no State", "node 'n1' is listed twice"]


@pytest.mark.parametrize("text", ["", "NODELIST STATE\nn1 idle\n", '{"jobs": []}', "{", "NodeName=n1\n"])
def test_what_holds_no_node_is_refused_with_the_reason(text):
    with pytest.raises(CollectorError, match=r"node_state: .{10}"):
        node_state.parse(text)


# --- collecting -------------------------------------------------------------------------------------------


def host(recorded_text, **files):
    return ReplayProbe([Recorded(("scontrol",), recorded_text, seconds=0.1)], {**PROC, **files})


def test_all_nodes_are_asked_for_in_one_command(recorded):
    probe = host(recorded(f"{ASKED}/scontrol-node.txt"))
    (reading,) = node_state.collect(probe, NodeStateSettings(), 60).readings
    assert probe.asked == [("scontrol", "-a", "-d", "-o", "show", "node")]
    assert [row["node"] for row in reading.rows] == [f"lab51n{number:03d}" for number in range(1, 5)]
    assert (reading.interval_seconds, reading.sample_time) == (60.0, probe.now())


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ((), [1, 2, 3, 4]),
        (("lab51n001",), [1]),
        (("lab51n[001-002]", "lab51n004"), [1, 2, 4]),
        (("*3", "lab51n00?"), [1, 2, 3, 4]),
        (("*3",), [3]),
        (("other*",), []),
    ],
)
def test_only_the_nodes_of_the_configuration_are_stored(recorded, names, kept):
    collected = node_state.collect(host(recorded(f"{ASKED}/scontrol-node.txt")), NodeStateSettings(nodes=names), 60)
    assert [row["node"] for row in collected.readings[0].rows] == [f"lab51n{number:03d}" for number in kept]


def test_a_list_of_nodes_that_cannot_be_read_is_an_error_that_names_the_key(recorded):
    with pytest.raises(CollectorError, match=r"\[collectors.node_state\] nodes"):
        node_state.collect(host(recorded(f"{ASKED}/scontrol-node.txt")), NodeStateSettings(nodes=("n[1-",)), 60)


def test_only_the_hosts_of_the_configuration_ask_slurm(recorded):
    files = {"/proc/sys/kernel/hostname": "head.site\n"}
    probe = host(recorded(f"{ASKED}/scontrol-node.txt"), **files)
    assert node_state.collect(probe, NodeStateSettings(hosts=("head",)), 60).readings
    with pytest.raises(Skipped, match="the hosts that ask Slurm are other; this is head"):
        node_state.collect(probe, NodeStateSettings(hosts=("other",)), 60)


def test_a_controller_that_does_not_answer_is_a_failure_and_no_slurm_is_none():
    said = "slurm_load_node error: Unable to contact slurm controller (connect failure)\n"
    silent = ReplayProbe([Recorded(("scontrol",), stderr=said, returncode=1)], PROC)
    with pytest.raises(CollectorError) as caught:
        node_state.collect(silent, NodeStateSettings(), 60)
    assert caught.value.category == "service_down"
    with pytest.raises(Skipped):
        node_state.collect(ReplayProbe(files=PROC), NodeStateSettings(), 60)


def test_ten_thousand_nodes_are_read_within_seconds():
    """A bound for a shared machine; what it takes is measured by benchmarks/slurm_scale.py."""
    text = "".join(line().replace("n1 ", f"n{number:05d} ") for number in range(10_000))
    began = time.process_time()
    assert len(rows(text)) == 10_000
    assert time.process_time() - began < 3
