"""Every collector keeps its contract: on recorded output, on damaged output, and on this machine."""

from __future__ import annotations

import math
import os
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomade_pipeline.agent.once import settings_of
from nomade_pipeline.collectors import gpu, iostat, mpstat, registry, sadf, vmstat
from nomade_pipeline.collectors.base import Collected, CollectorError, Skipped
from nomade_pipeline.config.collector_settings import DiskSettings, IostatSettings, MpstatSettings, VmstatSettings
from nomade_pipeline.config.settings import Config
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.replay import Recorded, ReplayProbe
from nomade_pipeline.tables.catalog import raw_table_named
from nomade_pipeline.tables.contract import JSON_TYPES
from nomade_pipeline.tables.operations import CATEGORIES

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SOURCES = ("tool", "proc", "sadf")
NAMES = [collector.name for collector in registry.COLLECTORS]


def recorded(name):
    return (FIXTURES / name).read_text("utf-8", "surrogateescape")


def fault_of(column, value):
    """Return what is wrong with a value, None when it fits its column."""
    if value is None:
        return None if column.nullable else "is null"
    if column.type == "time":
        return None if isinstance(value, datetime) and value.utcoffset() == timedelta() else f"is {value!r}, not UTC"
    is_flag = isinstance(value, bool)
    if is_flag != (column.type == "bool") or not isinstance(value, JSON_TYPES[column.type]):
        return f"is a {type(value).__name__}, not {column.type}"
    if column.type.startswith("float") and (not isinstance(value, float) or not math.isfinite(value)):
        return f"is {value!r}, not a finite float"
    faults = {
        "does not fit the type": column.type.startswith("int") and abs(value) >= 2 ** (int(column.type[3:]) - 1),
        "is below the minimum": column.minimum is not None and value < column.minimum,
        "is above the maximum": column.maximum is not None and value > column.maximum,
        "is not allowed": bool(column.allowed) and value not in column.allowed,
    }
    return next((f"{value!r} {fault}" for fault, found in faults.items() if found), None)


def check_rows(name, rows):
    table = raw_table_named(name)
    columns = {column.name: column for column in table.data_columns}
    for row in rows:
        assert set(row) <= set(columns), f"{name} has no columns {set(row) - set(columns)}"
        for column in columns.values():
            fault = fault_of(column, row.get(column.name))
            assert fault is None, f"{name}.{column.name} {fault}: {row}"
    keys = [tuple(row[key] for key in table.subject) for row in rows]
    assert len(set(keys)) == len(keys), f"{name} has two rows with one key: {keys}"


def check(collected: Collected, collector):
    names = {table.name for table in collector.tables}
    assert collected.readings
    for reading in collected.readings:
        assert reading.table in names
        assert reading.source in SOURCES
        # A record of something that happened covers no interval.
        assert (reading.interval_seconds > 0) != bool(raw_table_named(reading.table).own_time)
        assert reading.sample_time.utcoffset().total_seconds() == 0
        check_rows(reading.table, reading.rows)
    assert all(each.reason for each in collected.rejected)


# --- the registry -----------------------------------------------------------------------------------------


SYSTEM = {"disk", "iostat", "mpstat", "vmstat", "nfs", "gpu"}
SLURM = {"slurm", "node_state", "job_metrics"}


def test_the_collectors_of_the_system_and_of_slurm_are_registered():
    assert set(NAMES) >= SYSTEM | SLURM
    assert len(set(NAMES)) == len(NAMES)


def test_a_collector_is_found_by_its_name_and_an_unknown_one_lists_the_names():
    assert registry.collector_named("gpu") is gpu.COLLECTOR
    with pytest.raises(KeyError, match="disk, iostat, mpstat, vmstat, nfs, gpu") as caught:
        registry.collector_named("gpuu")
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize("collector", registry.COLLECTORS, ids=NAMES)
def test_the_tables_of_a_collector_name_it_and_its_section_has_its_interval(collector):
    assert {table.collector for table in collector.tables} == {collector.name}
    assert settings_of(Config(), collector).interval == collector.default_interval
    assert collector.title
    assert collector.command.split()[0].replace("-", "").isalnum()


@pytest.mark.parametrize("collector", registry.COLLECTORS, ids=NAMES)
@pytest.mark.parametrize("text", ["", "\n\n", "garbage\n", "\udcff\x00\n", "{}", "[]", "<x/>"])
def test_garbage_is_refused_with_a_category_and_a_message(collector, text):
    with pytest.raises(CollectorError) as caught:
        collector.parse(text)
    assert caught.value.category in CATEGORIES
    assert (
        collector.command.split()[0][:2] in str(caught.value)
        or collector.name in str(caught.value)
        or "df" in str(caught.value)
    )


@pytest.mark.parametrize("collector", registry.COLLECTORS, ids=NAMES)
def test_a_host_that_has_nothing_gives_an_error_with_a_known_category(collector):
    with pytest.raises(CollectorError) as caught:
        collector.collect(ReplayProbe(), settings_of(Config(), collector), 1)
    assert caught.value.category in CATEGORIES
    assert len(str(caught.value)) > 20
    assert isinstance(caught.value, Skipped) <= collector.optional


# --- recorded ---------------------------------------------------------------------------------------------

UUID = "GPU-aaaaaaaa-0000-0000-0000-000000000001"
GPU_CSV = (
    "index, uuid, name, mig.mode.current, utilization.gpu [%], memory.used [MiB], power.draw [W]\n"
    f"0, {UUID}, NVIDIA A100, Enabled, [N/A], 59, [Unknown Error]\n"
    "Unable to determine the device handle for GPU 0000:3B:00.0: Unknown Error\n"
)
GPU_XML = (
    f"<nvidia_smi_log><gpu id='00000000:01:00.0'><uuid>{UUID}</uuid><mig_devices><mig_device><index>0</index>"
    "<fb_memory_usage><used>26 MiB</used></fb_memory_usage></mig_device></mig_devices></gpu></nvidia_smi_log>\n"
)
PROC = {
    f"/proc/{name}": (
        recorded(f"proc/{name.replace('/', '-')}-before.txt"),
        recorded(f"proc/{name.replace('/', '-')}-after.txt"),
    )
    for name in ("stat", "diskstats", "vmstat", "meminfo", "pressure/cpu", "pressure/memory", "pressure/io")
}
NFS = {
    "/proc/self/mountinfo": recorded("proc/mountinfo.txt")
    + "40 27 0:50 / /home rw - nfs4 store01:/export/home rw,vers=4.2\n",
    "/proc/self/mountstats": (recorded("nfsiostat/mountstats-before.txt"), recorded("nfsiostat/mountstats-after.txt")),
}
MOUNTS = {"/proc/self/mountinfo": recorded("proc/mountinfo.txt"), "/proc/sys/kernel/hostname": "vm\n"}
SACCT = (
    "JobID | JobIDRaw | State | Submit | Start | End | ElapsedRaw | ReqCPUS | AllocCPUS | NTasks | TotalCPU | MaxRSS | "
    "ReqMem | AllocTRES | TRESUsageInTot | ExitCode | TimelimitRaw | ConsumedEnergyRaw | JobName\n"
    "90_7 | 100 | FAILED | 1772704800 | 1772704860 | 1772708460 | 3600 | 4 | 4 |  | 02:00:00 |  | 4Gc | "
    "cpu=4,mem=16G,gres/gpu:a100=2 |  | 1:0 | 90 | 5000 | train 1\n"
    "90_7.batch | 100.batch | OUT_OF_MEMORY | 1772704860 | 1772704860 | 1772708460 | 3600 | 4 | 4 | 1 | 02:00:00 | "
    "9M |  | cpu=4 | mem=9M,fs/disk=77 | 0:125 |  | 5000 | batch\n"
)
SLURM_HEAD = {"/proc/1/comm": "slurmctld\n"}
VERSION = Recorded(("iostat", "-V"), recorded("iostat/version.txt"))
REPLAYS = {
    "disk": ReplayProbe([Recorded(("stat",), recorded("stat/root.txt"), seconds=0.01)], MOUNTS),
    "iostat": ReplayProbe([VERSION, Recorded(("iostat", "-xy"), recorded("iostat/xy-k-json-2-1.json"), seconds=2)]),
    "iostat without the tool": ReplayProbe(files=PROC),
    "mpstat": ReplayProbe([Recorded(("mpstat",), recorded("mpstat/P-ALL-json-2-1.json"), seconds=2)]),
    "mpstat without the tool": ReplayProbe(files=PROC),
    "vmstat": ReplayProbe([Recorded(("vmstat",), recorded("vmstat/n-w-S-K-2-2.txt"), seconds=2)], PROC),
    "vmstat without the tool": ReplayProbe(files=PROC),
    "nfs": ReplayProbe([Recorded(("nfsiostat",), recorded("nfsiostat/2-2.txt"), seconds=2)], NFS),
    "nfs without the tool": ReplayProbe(files=NFS),
    "gpu": ReplayProbe(
        [
            Recorded(("nvidia-smi",), GPU_CSV),
            Recorded(("nvidia-smi", "-q"), GPU_XML),
            Recorded(("nvidia-smi", "-L"), "\n"),
        ]
    ),
    "slurm": ReplayProbe(
        [
            Recorded(("scontrol", "ping"), recorded("slurm-22.05/asked/scontrol-ping.txt")),
            Recorded(("scontrol", "-a"), recorded("slurm-22.05/asked/scontrol-reservation.txt")),
            Recorded(("sacctmgr", "ping"), "invalid keyword: ping\n", returncode=1),
            Recorded(("sacctmgr", "-n"), recorded("slurm-22.05/asked/sacctmgr-cluster.txt")),
            *(
                Recorded((tool,), recorded(f"slurm-22.05/asked/{tool}.txt"), seconds=0.1)
                for tool in ("sdiag", "squeue", "sinfo", "sshare", "sprio")
            ),
        ],
        SLURM_HEAD,
    ),
    "node_state": ReplayProbe([Recorded(("scontrol",), recorded("slurm-22.05/asked/scontrol-node.txt"))], SLURM_HEAD),
    "job_metrics": ReplayProbe(
        [Recorded(("sacct", "--helpformat"), "JobID JobIDRaw State End\n"), Recorded(("sacct", "--allusers"), SACCT)],
        SLURM_HEAD,
    ),
}


@pytest.mark.parametrize("case", REPLAYS)
def test_replayed_rows_fit_their_contract(case):
    collector = registry.collector_named(case.split()[0])
    collected = collector.collect(REPLAYS[case], settings_of(Config(), collector), 2)
    check(collected, collector)
    assert sum(len(reading.rows) for reading in collected.readings) > 0
    assert collected.rejected == ()


def test_rows_of_archives_fit_their_contracts():
    readings = sadf.parse_sadf(recorded("sadf/restart.json"), date(2026, 11, 22))
    assert len(readings) == 20
    for reading in readings:
        check_rows(reading.table, reading.rows)


@pytest.mark.parametrize("collector", registry.COLLECTORS, ids=NAMES)
def test_the_contract_check_itself_can_fail(collector):
    """A guard for this file: a row without its required columns must be found."""
    with pytest.raises(AssertionError):
        check_rows(collector.tables[0].name, [{"no_such_column": 1}])


SAMPLES = [
    ("disk", recorded("df/P.txt")),
    ("disk", recorded("df/i.txt")),
    ("iostat", recorded("iostat/xy-k-json-2-1.json")),
    ("iostat", recorded("iostat/x-k-2-2.txt")),
    ("mpstat", recorded("mpstat/P-ALL-json-2-1.json")),
    ("mpstat", recorded("mpstat/P-ALL-2-1.txt")),
    ("vmstat", recorded("vmstat/n-w-S-K-2-2.txt")),
    ("nfs", recorded("nfsiostat/2-2.txt")),
    ("gpu", GPU_CSV),
    ("gpu", GPU_XML),
    *(("slurm", recorded(f"slurm-22.05/running/{name}.txt")) for name in ("sinfo", "sdiag", "sprio-l", "sshare-a-l-P")),
    ("slurm", recorded("slurm-22.05/running/squeue.txt")),
    ("slurm", recorded("slurm-22.05/asked/scontrol-reservation.txt")),
    ("node_state", recorded("slurm-22.05/asked/scontrol-node.txt")),
    ("job_metrics", SACCT),
]
WORDS = st.sampled_from(
    ["-1", "0", "99", "101", "4294967295", "1e12", "1e18", "nan", "9" * 40, "-0.01", "100.01", "1,5", "sda", "[N/A]"]
)


@pytest.mark.parametrize(
    ("name", "text"), SAMPLES, ids=[f"{name} {number}" for number, (name, _) in enumerate(SAMPLES)]
)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_output_never_gives_a_row_outside_its_contract(name, text, data):
    """A wrong number is worse than none: what is impossible must be rejected or null."""
    words = text.split(" ")
    places = [at for at, word in enumerate(words) if any(c.isdigit() for c in word)]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places))
        tail = "".join(c for c in words[at] if c in ",}]\n%")
        words[at] = data.draw(WORDS) + tail
    try:
        parsed = registry.collector_named(name).parse(" ".join(words))
    except CollectorError:
        return
    for table, rows in parsed.rows.items():
        check_rows(table, rows)


# --- this machine -----------------------------------------------------------------------------------------


class WithoutTools(LiveProbe):
    """This machine as if neither sysstat nor procps were installed."""

    def which(self, tool):
        return None


def need(tool):
    if LiveProbe().which(tool) is None:
        message = f"{tool} is not installed; apt-get install sysstat procps"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def rows_of(collected, table):
    return next(reading.rows for reading in collected.readings if reading.table == table)


@pytest.mark.parametrize("name", ["disk", "iostat", "mpstat", "vmstat"])
def test_live_rows_fit_their_contract(name):
    collector = registry.collector_named(name)
    need(collector.command.split()[0])
    collected = collector.collect(LiveProbe(), settings_of(Config(), collector), 1)
    check(collected, collector)
    assert rows_of(collected, name)
    assert {reading.source for reading in collected.readings} == {"tool"}


@pytest.mark.parametrize("name", ["iostat", "mpstat", "vmstat"])
def test_live_rows_without_the_tools_fit_their_contract(name):
    collector = registry.collector_named(name)
    collected = collector.collect(WithoutTools(), settings_of(Config(), collector), 1)
    check(collected, collector)
    assert {reading.source for reading in collected.readings} == {"proc"}
    assert all(0.9 < reading.interval_seconds < 3 for reading in collected.readings)


def test_live_figures_of_the_root_agree_with_statvfs():
    collected = registry.collector_named("disk").collect(
        LiveProbe(), DiskSettings(filesystems=("/", "/no/such/path")), 1
    )
    root, absent = rows_of(collected, "disk")
    expected = os.statvfs("/")
    assert root["total_bytes"] == expected.f_blocks * expected.f_frsize
    assert root["inodes_total"] == expected.f_files
    assert root["used_bytes"] == pytest.approx(shutil.disk_usage("/").used, rel=0.02)
    assert root["mount"] == "/"
    assert absent["status"] == "absent"


def test_live_tool_and_proc_see_the_same_memory_and_cpus():
    """The same machine through both doors, a second apart."""
    need("vmstat")
    need("mpstat")
    with_tool = rows_of(vmstat.collect(LiveProbe(), VmstatSettings(), 1), "vmstat")[0]
    without = rows_of(vmstat.collect(WithoutTools(), VmstatSettings(), 1), "vmstat")[0]
    assert with_tool["memory_total_bytes"] == without["memory_total_bytes"]
    assert with_tool["free_bytes"] == pytest.approx(without["free_bytes"], rel=0.2)
    assert with_tool["cache_bytes"] == pytest.approx(without["cache_bytes"], rel=0.2, abs=2**26)
    assert with_tool["swap_used_bytes"] == pytest.approx(without["swap_used_bytes"], rel=0.2, abs=2**20)
    tool = rows_of(mpstat.collect(LiveProbe(), MpstatSettings(), 1), "mpstat")
    proc = rows_of(mpstat.collect(WithoutTools(), MpstatSettings(), 1), "mpstat")
    assert [row["cpu"] for row in tool] == [row["cpu"] for row in proc]


def test_live_tool_and_proc_see_the_same_devices():
    need("iostat")
    tool = rows_of(iostat.collect(LiveProbe(), IostatSettings(), 1), "iostat")
    proc = rows_of(iostat.collect(WithoutTools(), IostatSettings(), 1), "iostat")
    described = [{(row["device"], row["device_kind"], row["device_id"]) for row in rows} for rows in (tool, proc)]
    assert described[0] == described[1]
