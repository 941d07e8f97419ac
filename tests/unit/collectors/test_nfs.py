"""nfs: nfsiostat by section and column names, mountstats, shared counters."""

from __future__ import annotations

import pytest

from nomade_pipeline.collectors import nfs
from nomade_pipeline.collectors.base import CollectorError, Skipped
from nomade_pipeline.collectors.mountstats import mountstats_rates, parse_mountstats
from nomade_pipeline.config.collector_settings import NfsSettings
from nomade_pipeline.replay import Recorded, ReplayProbe

MOUNTINFO = (
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "40 27 0:50 / /home rw,relatime shared:1 - nfs4 store01:/export/home rw,vers=4.2,proto=tcp\n"
    "41 27 0:51 / /scratch rw,relatime shared:2 - nfs store01:/scratch rw,vers=3,proto=tcp\n"
)


def by_mount(rows):
    return {row["mount"]: row for row in rows}


def differences(recorded, seconds=2.0, **replaced):
    before, after = (recorded(f"nfsiostat/mountstats-{when}.txt") for when in ("before", "after"))
    for old, new in replaced.values():
        assert old in after
        after = after.replace(old, new)
    return mountstats_rates(parse_mountstats(before), parse_mountstats(after), seconds)


def test_the_second_report_is_read_and_the_one_since_the_mount_dropped(recorded):
    """Trap 83."""
    row = by_mount(nfs.parse_nfsiostat(recorded("nfsiostat/2-2.txt"), 2.0).rows["nfs"])["/home"]
    assert row["filesystem_id"] == "store01:/export/home"
    assert row["operations_per_second"] == 150.0
    assert row["read_operations_per_second"] == 50.0
    assert row["read_bytes_per_second"] == pytest.approx(3132.812 * 1024)
    assert row["read_bytes_per_operation"] == pytest.approx(62.656 * 1024)
    assert row["read_rtt_seconds"] == pytest.approx(0.0065)
    assert row["write_execute_seconds"] == pytest.approx(0.0175)
    assert row["read_retransmissions_per_second"] == 1.0


def test_the_tool_and_mountstats_agree(recorded):
    theirs = by_mount(nfs.parse_nfsiostat(recorded("nfsiostat/2-2.txt"), 2.0).rows["nfs"])
    ours = by_mount(differences(recorded)[0])
    assert set(theirs) == set(ours) == {"/home", "/scratch"}
    for mount, row in theirs.items():
        for column, value in row.items():
            if isinstance(value, float):
                assert value == pytest.approx(ours[mount][column], rel=1e-3), (mount, column)
            elif column != "version":
                assert value == ours[mount][column], (mount, column)


def test_a_time_over_no_call_is_null(recorded):
    row = by_mount(nfs.parse_nfsiostat(recorded("nfsiostat/2-2.txt"), 2.0).rows["nfs"])["/scratch"]
    assert row["read_operations_per_second"] == 0.0
    assert row["read_rtt_seconds"] is None
    assert row["read_bytes_per_operation"] is None
    assert row["backlog"] is None


def test_without_the_length_of_the_interval_its_quotients_are_null(recorded):
    row = by_mount(nfs.parse(recorded("nfsiostat/2-2.txt")).rows["nfs"])["/home"]
    assert row["read_retransmissions_per_second"] is None
    assert row["backlog"] is None


def test_a_mount_that_is_only_in_the_first_report_has_no_row(recorded):
    """Trap 83."""
    text = recorded("nfsiostat/2-2.txt")
    gone = text[: text.rindex("store01:/scratch mounted on")]
    parsed = nfs.parse(gone)
    assert set(by_mount(parsed.rows["nfs"])) == {"/home"}
    assert parsed.rejected[0].text == "/scratch"


def test_columns_are_read_by_name():
    """Releases differ in columns: no queueing and no errors before 2.5."""
    text = (
        "s:/e mounted on /mnt/with blank:\n\n   op/s  \n   ops/s       rpc bklog\n  10.000  0.000\n"
        "read:             retrans     ops/s            kB/s           kB/op   avg RTT (ms)    avg exe (ms)\n"
        "               4 (2.0%)       5.000          100.0           20.00         1.500           2.500\n"
        "write:            retrans     ops/s            kB/s           kB/op   avg RTT (ms)    avg exe (ms)\n"
        "               0 (0.0%)       0.000            0.0            0.00         0.000           0.000\n"
    )
    row = nfs.parse_nfsiostat(text, 4.0).rows["nfs"][0]
    assert row["mount"] == "/mnt/with blank"
    assert row["read_operations_per_second"] == 5.0
    assert row["read_retransmissions_per_second"] == 1.0
    assert row["read_execute_seconds"] == pytest.approx(0.0025)


def test_a_mount_whose_sections_are_cut_off_is_rejected(recorded):
    """Trap 4."""
    text = recorded("nfsiostat/2-2.txt")
    parsed = nfs.parse(text[: text.rindex("write:")])
    assert set(by_mount(parsed.rows["nfs"])) == {"/home"}
    assert "missing or cut off" in parsed.rejected[0].reason


def test_one_reading_of_mountstats_is_no_rate(shared):
    with pytest.raises(CollectorError, match="two readings"):
        nfs.parse(shared("nfs_mountstats/influxdata+telegraf__mountstats.txt"))


# --- mountstats -------------------------------------------------------------------------------------------


def test_all_protocol_versions_of_the_collection_are_read(shared):
    """Trap 94: v3 with eight numbers, v4.2 with nine."""
    found = parse_mountstats(shared("nfs_mountstats/influxdata+telegraf__mountstats.txt"))
    assert {point: stats.version for point, stats in found.items()} == {"/A": "3", "/B": "4", "/C": "3", "/D": "4.2"}
    assert found["/A"].operations["READ"].received_bytes == 604
    assert found["/A"].sent == 96172963
    assert found["/C"].operations["GETATTR"].calls == 145712


def test_several_connections_are_added_up(recorded):
    """nfsiostat takes only the last `xprt:` line."""
    line = "\txprt:\ttcp 0 1 2 0 11 50300 50300 0 90500 2150 16 5000 7000\n"
    rows, _ = differences(recorded, second=(line, line + "\txprt:\ttcp 0 1 2 0 11 40 40 0 0 8 16 0 0\n"))
    assert by_mount(rows)["/home"]["operations_per_second"] == 170.0


def test_udp_and_rdma_have_their_own_places(recorded):
    text = recorded("nfsiostat/mountstats-before.txt")
    udp = text.replace("tcp 0 1 2 0 11 50000 50000 0 90000 2000 16 5000 7000", "udp 700 1 123 124 0 9 77")
    assert (parse_mountstats(udp)["/home"].sent, parse_mountstats(udp)["/home"].backlog) == (123, 77)
    rdma = text.replace("tcp 0 1 2 0 11 50000 50000 0 90000 2000 16", "rdma 0 1 2 0 11 50000 50000 0 90000 2000 16")
    assert (parse_mountstats(rdma)["/home"].sent, parse_mountstats(rdma)["/home"].backlog) == (50000, 2000)


def test_a_mount_counted_anew_has_no_rate(recorded):
    """Trap 89: a remount resets the counters."""
    rows, rejected = differences(recorded, age=("age:\t86402", "age:\t1"))
    assert set(by_mount(rows)) == {"/scratch"}
    assert "went back" in rejected[0].reason


def test_a_counter_that_went_back_has_no_rate(recorded):
    """Trap 89."""
    rows, rejected = differences(recorded, read=("READ: 1100 1104", "READ: 900 904"))
    assert set(by_mount(rows)) == {"/scratch"}
    assert "read calls went back" in rejected[0].reason


def test_a_mount_that_appears_has_no_rate_yet(recorded):
    after = parse_mountstats(recorded("nfsiostat/mountstats-after.txt"))
    rows, rejected = mountstats_rates({}, after, 2.0)
    assert rows == []
    assert {each.reason for each in rejected} == {"mounted during the interval: no rate yet"}


# --- collect ----------------------------------------------------------------------------------------------


def stats_files(recorded, mountinfo=MOUNTINFO):
    stats = tuple(recorded(f"nfsiostat/mountstats-{when}.txt") for when in ("before", "after"))
    return {"/proc/self/mountinfo": mountinfo, "/proc/self/mountstats": stats}


def test_a_host_without_nfs_is_skipped_with_the_reason():
    probe = ReplayProbe(files={"/proc/self/mountinfo": MOUNTINFO.splitlines()[0] + "\n"})
    with pytest.raises(Skipped, match="no NFS file system is mounted") as caught:
        nfs.collect(probe, NfsSettings(), 2)
    assert caught.value.category == "not_present"


def test_collect_runs_the_tool_over_the_interval(recorded):
    command = Recorded(("nfsiostat",), recorded("nfsiostat/2-2.txt"), seconds=2.03)
    probe = ReplayProbe([command], stats_files(recorded))
    collected = nfs.collect(probe, NfsSettings(), 2)
    assert probe.asked == [("nfsiostat", "2", "2")]
    row = by_mount(collected.readings[0].rows)["/home"]
    assert row["version"] == "4.2"
    assert row["backlog"] == pytest.approx(0.5)
    assert row["shared_with"] is None
    assert collected.readings[0].source == "tool"


def test_collect_refuses_a_single_report(recorded):
    """Trap 83."""
    text = recorded("nfsiostat/2-2.txt")
    first = text[: text.index("store01:/export/home", 10)]
    with pytest.raises(CollectorError, match="no second report"):
        nfs.collect(ReplayProbe([Recorded(("nfsiostat",), first)], stats_files(recorded)), NfsSettings(), 2)


def test_without_the_tool_the_rates_come_from_mountstats(recorded):
    collected = nfs.collect(ReplayProbe(files=stats_files(recorded)), NfsSettings(), 2)
    assert collected.readings[0].source == "proc"
    assert by_mount(collected.readings[0].rows)["/home"]["read_operations_per_second"] == 50.0


@pytest.mark.parametrize(
    "change", [("proto=tcp", "proto=tcp,nconnect=8"), ("proto=tcp", "proto=rdma"), ("/scratch rw", "/scr\\040atch rw")]
)
def test_mounts_that_the_tool_misreads_are_measured_from_mountstats(recorded, change):
    files = stats_files(recorded, MOUNTINFO.replace(*change))
    probe = ReplayProbe([Recorded(("nfsiostat",), recorded("nfsiostat/2-2.txt"))], files)
    assert nfs.collect(probe, NfsSettings(), 2).readings[0].source == "proc"
    assert probe.asked == []


def test_bind_mounts_say_whose_counters_they_show(recorded):
    """Trap 94: mounts of one file system share their counters."""
    files = stats_files(recorded, MOUNTINFO.replace("0:51", "0:50"))
    rows = by_mount(nfs.collect(ReplayProbe(files=files), NfsSettings(), 2).readings[0].rows)
    assert rows["/home"]["shared_with"] is None
    assert rows["/scratch"]["shared_with"] == "/home"
