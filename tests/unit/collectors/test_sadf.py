"""sadf: history of a UTC day from sysstat's archives."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from nomade_pipeline.collectors import sadf
from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.replay import Recorded, ReplayProbe

DAY = date(2026, 11, 22)


def at(readings, time):
    moment = datetime.fromisoformat(f"2026-11-22T{time}+00:00")
    return {each.table: each for each in readings if each.sample_time == moment}


def edited(text, change):
    document = json.loads(text)
    change(document["sysstat"]["hosts"][0])
    return json.dumps(document)


def test_every_table_is_filled_from_an_archive(recorded):
    found = at(sadf.parse_sadf(recorded("sadf/restart.json"), DAY), "05:56:05")
    assert set(found) == {"iostat", "iostat_cpu", "mpstat", "mpstat_summary", "vmstat"}
    assert {each.source for each in found.values()} == {"sadf"}
    assert {each.interval_seconds for each in found.values()} == {1.0}
    disk = found["iostat"].rows[0]
    assert disk["device"] == "vda"
    assert disk["transfers_per_second"] == 306.0
    assert disk["write_bytes_per_second"] == 307200 * 1024
    assert disk["await_seconds"] == pytest.approx(0.00053)
    assert disk["queue_length"] == 0.16
    assert disk["util_percent"] == 16.8
    assert disk["reads_per_second"] is None
    cpu = found["iostat_cpu"].rows[0]
    assert (cpu["user_percent"], cpu["system_percent"], cpu["iowait_percent"]) == (0.5, 1.5, 8.0)
    assert [row["cpu"] for row in found["mpstat"].rows] == [0, 1]
    assert found["mpstat"].rows[1]["iowait_percent"] == 14.14
    assert found["mpstat_summary"].rows[0]["cpus"] == 2
    memory = found["vmstat"].rows[0]
    assert memory["free_bytes"] == 23587264 * 1024
    assert memory["block_out_bytes_per_second"] == 307200 * 1024
    assert memory["context_switches_per_second"] == 1061.0
    assert memory["interrupts_per_second"] == 575.0
    assert memory["memory_total_bytes"] is None
    assert memory["psi_io_some_percent"] is not None


def test_an_interval_over_a_restart_is_left_out(recorded):
    """Trap 89 and 90: counters begin anew."""

    def lengthen(host):
        for each in host["statistics"]:
            if each["timestamp"]["time"] == "05:56:05":
                each["timestamp"]["interval"] = 5

    text = edited(recorded("sadf/restart.json"), lengthen)
    collected = sadf.read_sadf(text, DAY)
    assert at(collected.readings, "05:56:05") == {}
    assert at(collected.readings, "05:56:06") != {}
    assert "restarted" in collected.rejected[0].reason


def test_pages_are_counted_in_the_page_size_of_the_host(recorded):
    def swap(host):
        host["statistics"][0]["swap-pages"]["pswpin"] = 3.0

    readings = sadf.parse_sadf(edited(recorded("sadf/restart.json"), swap), DAY, page_bytes=65536)
    assert at(readings, "05:56:00")["vmstat"].rows[0]["swap_in_bytes_per_second"] == 3 * 65536


def test_samples_of_another_day_are_left_out(recorded):
    assert sadf.parse_sadf(recorded("sadf/restart.json"), date(2026, 11, 21)) == []


def test_local_times_are_refused(recorded):
    """Trap 57."""
    text = recorded("sadf/restart.json").replace('"utc": 1', '"utc": 0')
    with pytest.raises(CollectorError, match="local time"):
        sadf.parse_sadf(text, DAY)


def test_newer_releases_name_the_zone(recorded):
    text = recorded("sadf/restart.json").replace('"utc": 1', '"tz": "UTC"')
    assert len(sadf.parse_sadf(text, DAY)) == len(sadf.parse_sadf(recorded("sadf/restart.json"), DAY))


def test_activities_that_the_archive_does_not_keep_are_null(recorded):
    def poor(host):
        for each in host["statistics"]:
            for name in ("disk", "memory", "interrupts", "psi", "swap-pages"):
                each.pop(name)

    found = at(sadf.parse_sadf(edited(recorded("sadf/restart.json"), poor), DAY), "05:56:05")
    assert "iostat" not in found
    row = found["vmstat"].rows[0]
    assert row["free_bytes"] is None
    assert row["interrupts_per_second"] is None
    assert row["swap_in_bytes_per_second"] is None
    assert row["system_percent"] == 1.5


def test_old_archives_have_sectors_in_place_of_kilobytes(recorded):
    def old(host):
        for each in host["statistics"]:
            for disk in each["disk"]:
                for name in ("rkB", "wkB", "dkB"):
                    disk.pop(name)

    found = at(sadf.parse_sadf(edited(recorded("sadf/restart.json"), old), DAY), "05:56:05")
    assert found["iostat"].rows[0]["write_bytes_per_second"] == 614400 * 512


def test_a_negative_number_rejects_its_row_only(recorded):
    """Trap 89."""

    def negative(host):
        host["statistics"][0]["disk"][0]["tps"] = -4.0

    collected = sadf.read_sadf(edited(recorded("sadf/restart.json"), negative), DAY)
    assert "iostat" not in at(collected.readings, "05:56:00")
    assert "vmstat" in at(collected.readings, "05:56:00")
    assert "reset" in collected.rejected[0].reason


def test_truncated_json_is_refused(recorded):
    """Trap 4."""
    with pytest.raises(CollectorError, match="not valid JSON"):
        sadf.parse_sadf(recorded("sadf/restart.json")[:5000], DAY)


def test_archives_are_found_by_both_names_in_both_folders():
    files = {"/var/log/sa/sa22": "x", "/var/log/sa/sar22": "x", "/var/log/sa/sa20261123": "x", "/var/log/sa/sa21": "x"}
    probe = ReplayProbe(files=files)
    assert sadf.archive_for(DAY, probe) == "/var/log/sa/sa22"
    assert sadf.archive_for(date(2026, 11, 25), probe) is None
    assert sadf.archives_for(DAY, probe) == ["/var/log/sa/sa21", "/var/log/sa/sa22", "/var/log/sa/sa20261123"]
    assert sadf.archive_for(DAY, ReplayProbe()) is None


def test_an_archive_is_exported_in_utc_and_older_releases_are_asked_for_less(recorded):
    text = recorded("sadf/restart.json")
    argv = (
        "sadf",
        "-j",
        "/a/sa22",
        "--",
        "-u",
        "ALL",
        "-P",
        "ALL",
        "-r",
        "-S",
        "-W",
        "-B",
        "-w",
        "-I",
        "SUM",
        "-d",
        "-p",
        "-q",
    )
    assert sadf.read_archive(ReplayProbe([Recorded(argv, text)]), "/a/sa22") == text
    old = ReplayProbe([Recorded((*argv, "ALL"), "", "Usage: sadf\n", returncode=1), Recorded(argv, text)])
    assert sadf.read_archive(old, "/a/sa22") == text
    assert old.asked[-1] == argv


def test_an_archive_that_cannot_be_read_says_why():
    probe = ReplayProbe([Recorded(("sadf",), "", "Invalid system activity file: /a/sa22\n", returncode=3)])
    with pytest.raises(CollectorError, match="Invalid system activity file"):
        sadf.read_archive(probe, "/a/sa22")


def test_sample_times_are_aware(recorded):
    assert {each.sample_time.tzinfo for each in sadf.parse_sadf(recorded("sadf/restart.json"), DAY)} == {UTC}
