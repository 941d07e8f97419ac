"""iostat: columns by name, units, the since-boot report, and the differences of /proc/diskstats."""

from __future__ import annotations

import json

import pytest

from nomade_pipeline.collectors import blockdev, iostat
from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.config.collector_settings import IostatSettings
from nomade_pipeline.probes import TimedOut
from nomade_pipeline.replay import Recorded, ReplayProbe

VERSION = Recorded(("iostat", "-V"), "sysstat version 12.6.1\n(C) Sebastien Godard\n")
CPU_HEADER = "avg-cpu:  %user   %nice %system %iowait  %steal   %idle\n"
CPU_LINE = "           1,49   39,91    1,67    0,94    0,00   56,00\n"


def rows_by_device(parsed):
    return {row["device"]: row for row in parsed.rows["iostat"]}


def json_with(**cells):
    report = {"avg-cpu": {}, "disk": [{"disk_device": "sda", **cells}]}
    return json.dumps({"sysstat": {"hosts": [{"statistics": [report]}]}})


def test_a_report_in_json_is_read_in_base_units(recorded):
    parsed = iostat.parse(recorded("iostat/xy-k-json-2-1.json"))
    row = rows_by_device(parsed)["vda"]
    assert row["reads_per_second"] == 16.5
    assert row["writes_per_second"] == 5397.0
    assert row["discards_per_second"] == 654.5
    assert row["transfers_per_second"] == pytest.approx(6068.0)
    assert row["read_bytes_per_second"] == 114 * 1024
    assert row["write_bytes_per_second"] == 1221934 * 1024
    assert row["read_await_seconds"] == pytest.approx(0.00033)
    assert row["write_request_bytes"] == pytest.approx(226.41 * 1024)
    assert row["queue_length"] == 0.93
    assert row["util_percent"] == 72.6
    assert parsed.rows["iostat_cpu"] == [
        {
            "user_percent": 33.76,
            "nice_percent": 0.0,
            "system_percent": 26.65,
            "iowait_percent": 18.02,
            "steal_percent": 0.25,
            "idle_percent": 21.32,
        }
    ]
    assert parsed.rejected == ()


def test_the_first_of_two_reports_is_dropped(recorded):
    """Trap 83: the first report covers the time since boot."""
    row = rows_by_device(iostat.parse(recorded("iostat/x-k-2-2.txt")))["vda"]
    assert row["writes_per_second"] == 5478.0
    assert row["write_bytes_per_second"] == 1402368.0 * 1024


def test_the_release_of_centos_7_is_read_by_its_own_names(shared):
    """Trap 71 and 84: avgqu-sz, no rareq-sz, sixteen columns."""
    row = rows_by_device(iostat.parse(shared("iostat/kellyjonbrazil+jc__centos-7.7_iostat-x.out.txt")))["sda"]
    assert row["reads_per_second"] == 0.13
    assert row["read_bytes_per_second"] == pytest.approx(5.27 * 1024)
    assert row["await_seconds"] == pytest.approx(0.00088)
    assert row["write_await_seconds"] == pytest.approx(0.00129)
    assert row["queue_length"] == 0.0
    assert row["util_percent"] == 0.01
    assert row["read_request_bytes"] is None


def test_megabytes_are_powers_of_1024(shared):
    row = rows_by_device(iostat.parse(shared("iostat/kellyjonbrazil+jc__centos-7.7_iostat-mx.out.txt")))["sda"]
    assert row["read_bytes_per_second"] == pytest.approx(0.01 * 1024**2)


def test_sectors_are_512_bytes():
    header = "Device: rrqm/s wrqm/s r/s w/s rsec/s wsec/s avgrq-sz avgqu-sz await svctm %util\n"
    text = header + "sda 0 0 2.00 4.00 16.00 64.00 13.33 0.5 3.0 1.0 50.0\n"
    row = rows_by_device(iostat.parse(text))["sda"]
    assert row["read_bytes_per_second"] == 16 * 512
    assert row["write_bytes_per_second"] == 64 * 512
    assert row["queue_length"] == 0.5


def test_decimal_commas_are_read():
    """Trap 84: releases before 11.5.2 wrote the decimal sign of the locale."""
    parsed = iostat.parse(
        CPU_HEADER + CPU_LINE + "\nDevice r/s w/s rkB/s wkB/s %util\nsda 6,90 1,69 222,14 57,08 0,46\n"
    )
    assert parsed.rows["iostat_cpu"][0]["nice_percent"] == 39.91
    assert rows_by_device(parsed)["sda"]["read_bytes_per_second"] == pytest.approx(222.14 * 1024)


def test_an_added_column_does_not_shift_the_others():
    """Trap 71: at 23 fields a reader by position took f_await for the queue."""
    text = "Device new/s r/s w/s rkB/s wkB/s f_await other aqu-sz %util\nsda 99 1.0 2.0 3.0 4.0 77.0 88 0.25 5.0\n"
    row = rows_by_device(iostat.parse(text))["sda"]
    assert (row["reads_per_second"], row["queue_length"], row["util_percent"]) == (1.0, 0.25, 5.0)


def test_human_sizes_carry_their_own_unit(shared):
    row = rows_by_device(iostat.parse(shared("iostat/sysstat+sysstat__expected.iostat-h.txt")))["sda"]
    assert row["read_bytes_per_second"] == pytest.approx(222.1 * 1024)
    assert row["transfers_per_second"] == 8.59


def test_a_missing_column_is_null_and_not_zero(shared):
    row = rows_by_device(iostat.parse(shared("iostat/sysstat+sysstat__expected.iostat-xs.txt")))["sda"]
    assert row["transfers_per_second"] == 6.4
    assert row["reads_per_second"] is None
    assert row["read_bytes_per_second"] is None
    assert row["util_percent"] == 0.32


def test_a_mean_over_no_request_is_null(shared):
    row = rows_by_device(iostat.parse(shared("iostat/sysstat+sysstat__expected.iostat-x.txt")))["sda"]
    assert row["reads_per_second"] == 0.0
    assert row["read_await_seconds"] is None
    assert row["read_request_bytes"] is None
    assert row["await_seconds"] is None


def test_a_mean_of_zero_over_some_requests_stays_zero():
    cells = {"r/s": 5.0, "w/s": 0.0, "r_await": 0.0, "w_await": 0.0}
    row = rows_by_device(iostat.parse(json_with(**cells)))["sda"]
    assert row["read_await_seconds"] == 0.0
    assert row["write_await_seconds"] is None


def test_the_sum_of_a_group_is_not_a_device(shared):
    """Trap 86: groups would count I/O twice."""
    parsed = iostat.parse(shared("iostat/sysstat+sysstat__expected.iostat-g-JSON.txt"))
    assert set(rows_by_device(parsed)) == {"sda", "sdb", "sdc", "sdd"}
    assert [each.text for each in parsed.rejected] == [" disks", " other"]


def test_a_group_in_text_is_not_a_device():
    text = "Device tps kB_read/s kB_wrtn/s\nsda 8.59 222.14 57.08\n disks 8.60 222.43 57.08\n"
    assert set(rows_by_device(iostat.parse(text))) == {"sda"}


def test_a_long_name_on_its_own_line_belongs_to_the_next_line():
    text = "Device: tps kB_read/s kB_wrtn/s\nmapper_with_a_long_name\n      8.59 222.14 57.08\nsda 1.0 2.0 3.0\n"
    rows = rows_by_device(iostat.parse(text))
    assert rows["mapper_with_a_long_name"]["transfers_per_second"] == 8.59
    assert rows["sda"]["transfers_per_second"] == 1.0


def test_utilisation_a_little_above_100_is_rounding_and_far_above_is_rejected():
    """Trap 85 and 89."""
    cells = {"r/s": 1.0, "w/s": 1.0}
    assert rows_by_device(iostat.parse(json_with(**cells, util=100.8)))["sda"]["util_percent"] == 100.0
    parsed = iostat.parse(json_with(**cells, util=12345.0))
    assert rows_by_device(parsed)["sda"]["util_percent"] is None
    assert "12345" in parsed.rejected[0].reason


def test_a_negative_rate_is_rejected_with_its_device():
    """Trap 89: a counter reset shows as a negative rate."""
    text = "Device r/s w/s rkB/s wkB/s %util\nsda -3.0 1.0 2.0 3.0 4.0\nsdb 1.0 1.0 2.0 3.0 4.0\n"
    parsed = iostat.parse(text)
    assert set(rows_by_device(parsed)) == {"sdb"}
    assert "reset" in parsed.rejected[0].reason


def test_truncated_json_is_refused(recorded):
    """Trap 4."""
    text = recorded("iostat/xy-k-json-2-1.json")
    with pytest.raises(CollectorError, match="not valid JSON"):
        iostat.parse(text[: len(text) // 2])


def test_numbers_that_are_not_finite_are_refused():
    parsed = iostat.parse(
        json_with(**{"r/s": float("nan"), "w/s": 1.0}).replace(
            '"avg-cpu": {}', '"avg-cpu": {"user":0,"nice":0,"system":0,"iowait":0,"steal":0,"idle":100}'
        )
    )
    assert parsed.rows["iostat"] == []
    assert "finite" in parsed.rejected[0].reason


# --- collect ----------------------------------------------------------------------------------------------


def test_collect_asks_for_one_report_over_the_interval_and_marks_its_end(recorded):
    probe = ReplayProbe([VERSION, Recorded(("iostat", "-xy"), recorded("iostat/xy-k-json-2-1.json"), seconds=60.002)])
    collected = iostat.collect(probe, IostatSettings(), 60)
    assert probe.asked[-1] == ("iostat", "-xy", "-k", "-o", "JSON", "60", "1")
    reading = collected.readings[0]
    assert (reading.table, reading.source, reading.interval_seconds) == ("iostat", "tool", 60.002)
    assert reading.sample_time == probe.now()


def test_an_old_release_is_asked_for_two_reports_in_text(recorded):
    """Trap 84: up to 12.0.5 `-y` gave a wrong first CPU line and JSON was invalid."""
    old = Recorded(("iostat", "-V"), "", "sysstat version 10.1.5\n")
    probe = ReplayProbe([old, Recorded(("iostat", "-x"), recorded("iostat/x-k-2-2.txt"), seconds=2)])
    collected = iostat.collect(probe, IostatSettings(), 2)
    assert probe.asked[-1] == ("iostat", "-x", "-k", "2", "2")
    assert collected.readings[0].rows[0]["writes_per_second"] == 5478.0


def test_invalid_json_falls_back_to_text(recorded):
    """Trap 84."""
    broken = recorded("iostat/xy-k-json-2-1.json").replace("},", "}", 1)
    probe = ReplayProbe(
        [
            VERSION,
            Recorded(("iostat", "-xy"), broken, seconds=2),
            Recorded(("iostat", "-x"), recorded("iostat/x-k-2-2.txt"), seconds=2),
        ]
    )
    assert iostat.collect(probe, IostatSettings(), 2).readings[0].rows[0]["writes_per_second"] == 5478.0


def test_the_since_boot_report_alone_is_never_a_sample(recorded):
    """Trap 83: a text run that ended after its first report gives an error, not a row."""
    text = recorded("iostat/x-k-2-2.txt")
    first = text[: text.index("avg-cpu", text.index("avg-cpu") + 1)]
    old = Recorded(("iostat", "-V"), "sysstat version 10.1.5\n")
    probe = ReplayProbe([old, Recorded(("iostat", "-x"), first)])
    with pytest.raises(CollectorError, match="no second report"):
        iostat.collect(probe, IostatSettings(), 2)


def test_a_failing_tool_is_reported_with_its_first_words():
    probe = ReplayProbe(
        [VERSION, Recorded(("iostat", "-xy"), "", "\nCannot open /proc/diskstats: boom\nmore\n", returncode=2)]
    )
    with pytest.raises(CollectorError, match="Cannot open /proc/diskstats: boom") as caught:
        iostat.collect(probe, IostatSettings(), 2)
    assert caught.value.category == "command_failed"


def test_a_tool_that_hangs_is_a_time_out():
    probe = ReplayProbe([VERSION, Recorded(("iostat", "-xy"), error=TimedOut("iostat did not answer within 17 s"))])
    with pytest.raises(CollectorError) as caught:
        iostat.collect(probe, IostatSettings(), 2)
    assert caught.value.category == "timeout"


def test_output_cut_off_in_the_middle_of_a_line_is_refused(recorded):
    """Trap 4."""
    old = Recorded(("iostat", "-V"), "sysstat version 10.1.5\n")
    probe = ReplayProbe([old, Recorded(("iostat", "-x"), recorded("iostat/x-k-2-2.txt").rstrip()[:-3])])
    with pytest.raises(CollectorError, match="cut off"):
        iostat.collect(probe, IostatSettings(), 2)


SYS = {
    "/sys/class/block/vda/device/vendor": "0x1af4\n",
    "/sys/class/block/vda/serial": "disk-1\n",
    "/sys/class/block/sda/device/wwid": "naa.5000c500a1b2c3d4\n",
    "/sys/class/block/sda1/partition": "1\n",
    "/sys/class/block/sda1/../device/wwid": "naa.5000c500a1b2c3d4\n",
    "/sys/class/block/dm-0/dm/uuid": "LVM-abc\n",
    "/sys/class/block/sr0/device/vendor": "QEMU\n",
    "/sys/class/block/nvme0n1/wwid": "eui.0025385b71b00e49\n",
    "/sys/class/block/nvme0n1/device/serial": "S4EVNX0N\n",
    "/sys/class/block/cciss!c0d0/device/wwid": "naa.6001\n",
}


@pytest.mark.parametrize(
    ("device", "kind", "identity"),
    [
        ("vda", "disk", "disk-1"),
        ("sda", "disk", "naa.5000c500a1b2c3d4"),
        ("sda1", "partition", "naa.5000c500a1b2c3d4-part1"),
        ("dm-0", "dm", "LVM-abc"),
        ("sr0", "other", None),
        ("nvme0n1", "disk", "eui.0025385b71b00e49"),
        ("cciss/c0d0", "disk", "naa.6001"),
        ("loop3", "loop", None),
        ("md127", "md", None),
        ("zram0", "other", None),
        ("nvme0n1p2", "partition", None),
        ("../../etc", "other", None),
    ],
)
def test_kind_and_stable_identity_of_a_device(device, kind, identity):
    """Trap 86: names change at reboot; layers and parts of disks count I/O twice."""
    assert blockdev.identify(device, ReplayProbe(files=SYS)) == blockdev.Identity(kind, identity)


def test_only_the_devices_of_the_configuration_are_kept(recorded):
    text = "Device r/s w/s rkB/s wkB/s %util\nsda 1 1 2 3 4\nsdb 1 1 2 3 4\n"
    old = Recorded(("iostat", "-V"), "sysstat version 10.1.5\n")
    probe = ReplayProbe([old, Recorded(("iostat", "-x"), text + "\n" + text)])
    collected = iostat.collect(probe, IostatSettings(devices=("sdb",)), 2)
    assert [row["device"] for row in collected.readings[0].rows] == ["sdb"]
    assert probe.asked[-1] == ("iostat", "-x", "-k", "sdb", "2", "2")


# --- /proc ------------------------------------------------------------------------------------------------

STAT = "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nintr 1 1\nctxt 1\nprocs_running 1\nprocs_blocked 0\n"
BUSY = STAT.replace("cpu 0 0 0 0 0 0 0 0 0 0", "cpu 50 10 20 100 10 4 6 0 20 10")


def proc_probe(before, after, stats=(STAT, BUSY)):
    return ReplayProbe(files={"/proc/diskstats": (before, after), "/proc/stat": stats})


def test_without_the_tool_the_rates_are_differences_over_the_real_time():
    """Trap 83 and 90."""
    probe = proc_probe(
        "8 0 sda 100 0 800 50 10 0 160 20 0 100 70\n", "8 0 sda 160 0 1760 170 10 0 160 20 3 1100 3070\n"
    )
    collected = iostat.collect(probe, IostatSettings(), 4)
    disk, cpu = collected.readings
    row = disk.rows[0]
    assert (disk.source, disk.interval_seconds) == ("proc", 4.0)
    assert row["reads_per_second"] == 15.0
    assert row["read_bytes_per_second"] == 960 * 512 / 4
    assert row["read_await_seconds"] == pytest.approx(0.002)
    assert row["read_request_bytes"] == 960 * 512 / 60
    assert row["write_await_seconds"] is None
    assert row["discards_per_second"] is None
    assert row["queue_length"] == pytest.approx(0.75)
    assert row["util_percent"] == pytest.approx(25.0)
    # 200 ticks in all; guests are part of user and nice.
    assert cpu.rows[0]["user_percent"] == pytest.approx(25.0)
    assert cpu.rows[0]["system_percent"] == pytest.approx(15.0)
    assert cpu.rows[0]["idle_percent"] == pytest.approx(50.0)


def test_a_counter_that_went_back_gives_no_row_but_a_reason():
    """Trap 89: a reset or a 32-bit wrap is neither zero nor negative."""
    probe = proc_probe(
        "8 0 sda 100 0 4294967000 50 10 0 160 20 0 100 70\n8 16 sdb 1 0 8 1 1 0 8 1 0 1 2\n",
        "8 0 sda 160 0 200 170 10 0 160 20 3 1100 3070\n8 16 sdb 2 0 16 1 1 0 8 1 0 1 2\n",
    )
    collected = iostat.collect(probe, IostatSettings(), 4)
    assert [row["device"] for row in collected.readings[0].rows] == ["sdb"]
    assert "read_sectors went back" in collected.rejected[0].reason


def test_a_device_that_appears_has_no_rate_yet():
    probe = proc_probe("", "8 0 sda 160 0 1760 170 10 0 160 20 3 1100 3070\n")
    collected = iostat.collect(probe, IostatSettings(), 4)
    assert collected.readings[0].rows == []
    assert "appeared" in collected.rejected[0].reason


def test_partitions_and_idle_devices_are_left_out_like_the_tool_does():
    """Trap 86."""
    line = "8 {0} {1} {2} 0 80 5 1 0 8 1 0 10 6\n"
    text = line.format(0, "sda", 10) + line.format(1, "sda1", 9) + "7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n"
    collected = iostat.collect(proc_probe(text, text), IostatSettings(), 4)
    assert [row["device"] for row in collected.readings[0].rows] == ["sda"]


def test_without_the_tool_and_without_proc_the_tool_is_missing():
    with pytest.raises(CollectorError, match="install sysstat") as caught:
        iostat.collect(ReplayProbe(), IostatSettings(), 4)
    assert caught.value.category == "tool_missing"


def test_the_recorded_differences_agree_with_what_the_tool_printed(recorded):
    """The same two seconds, measured by iostat and from /proc."""
    files = {
        f"/proc/{name}": (recorded(f"proc/{name}-before.txt"), recorded(f"proc/{name}-after.txt"))
        for name in ("diskstats", "stat")
    }
    ours = iostat.collect(ReplayProbe(files=files), IostatSettings(), 2).readings[0].rows[0]
    theirs = rows_by_device(iostat.parse(recorded("iostat/x-k-2-2.txt")))["vda"]
    # The two snapshots lie some milliseconds apart from iostat's own.
    for column in (
        "writes_per_second",
        "write_bytes_per_second",
        "write_await_seconds",
        "queue_length",
        "util_percent",
    ):
        assert ours[column] == pytest.approx(theirs[column], rel=0.05), column
