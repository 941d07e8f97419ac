"""mpstat: single CPUs, their summary, offline CPUs, and the differences of /proc/stat."""

from __future__ import annotations

import json

import pytest

from nomade_pipeline.collectors import mpstat
from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.config.collector_settings import MpstatSettings
from nomade_pipeline.replay import Recorded, ReplayProbe

USAGE = Recorded(
    ("mpstat", "-P", "ALL", "-o"), "", "Usage: mpstat [ options ] [ <interval> [ <count> ] ]\n", returncode=1
)


def cores_of(parsed):
    return {row["cpu"]: row for row in parsed.rows["mpstat"]}


def core(cpu, busy):
    return {"cpu": cpu, "busy_percent": busy, **dict.fromkeys(mpstat.SHARE_COLUMNS, 0.0)}


def test_every_cpu_of_a_report_in_json_is_a_row(shared):
    parsed = mpstat.parse(shared("mpstat/sysstat+sysstat__expected.mpstat-T-JSON.txt"))
    cores = cores_of(parsed)
    assert sorted(cores) == list(range(9))
    assert cores[2]["nice_percent"] == 78.78
    assert cores[2]["idle_percent"] == 18.18
    assert cores[2]["busy_percent"] == pytest.approx(100 - 18.18 - 1.03)


def test_the_summary_agrees_with_the_tools_own_line_for_all(shared):
    """The line `all` says: usr 1.49, nice 39.91, iowait 0.94, idle 56.00."""
    summary = mpstat.parse(shared("mpstat/sysstat+sysstat__expected.mpstat-T-JSON.txt")).rows["mpstat_summary"][0]
    assert summary["cpus"] == 9
    assert summary["busy_percent"] == pytest.approx(100 - 56.00 - 0.94, abs=0.05)
    assert summary["user_percent"] == pytest.approx(1.49, abs=0.01)
    assert summary["nice_percent"] == pytest.approx(39.91, abs=0.03)
    assert summary["busy_max_percent"] == pytest.approx(80.79)


def test_old_json_without_all_is_summarised_too(shared):
    """Trap 88: `all` is missing in JSON of 12.0.4."""
    document = json.loads(shared("mpstat/sysstat+sysstat__expected.mpstat-T-JSON.txt"))
    report = document["sysstat"]["hosts"][0]["statistics"][0]
    whole = mpstat.parse(json.dumps(document)).rows
    report["cpu-load"] = [each for each in report["cpu-load"] if each["cpu"] != "all"]
    assert mpstat.parse(json.dumps(document)).rows == whole


def test_the_newest_report_in_text_is_read_and_averages_are_not(shared):
    """Trap 83."""
    cores = cores_of(mpstat.parse(shared("mpstat/sysstat+sysstat__expected.mpstat-T.txt")))
    assert sorted(cores) == [0, 1, 2, 3, 4, 5, 7]
    assert cores[4]["user_percent"] == 3.44
    assert cores[3]["idle_percent"] == 100.0


def test_sections_of_interrupts_are_passed_over_and_twelve_hour_times_are_read(shared):
    cores = cores_of(mpstat.parse(shared("mpstat/kellyjonbrazil+jc__centos-7.7_mpstat-A.out.txt")))
    assert cores[0]["user_percent"] == 0.22
    assert cores[0]["system_percent"] == 0.37
    assert len(cores) == 1


def test_an_offline_cpu_has_no_row():
    """Trap 88: older releases list it with zeros everywhere."""
    text = (
        "12:00:00     CPU    %usr   %nice    %sys %iowait    %irq   %soft  %steal  %guest  %gnice   %idle\n"
        "12:00:01       0    1.00    0.00    0.00    0.00    0.00    0.00    0.00    0.00    0.00   99.00\n"
        "12:00:01       1    0.00    0.00    0.00    0.00    0.00    0.00    0.00    0.00    0.00    0.00\n"
    )
    parsed = mpstat.parse(text)
    assert sorted(cores_of(parsed)) == [0]
    assert parsed.rows["mpstat_summary"][0]["cpus"] == 1
    assert parsed.rejected == ()


def test_a_release_without_guests_leaves_them_null():
    text = (
        "12:00:00     CPU    %usr   %nice    %sys %iowait    %irq   %soft  %steal   %idle\n"
        "12:00:01       0    1.00    0.00    0.00    0.00    0.00    0.00    0.00   99.00\n"
    )
    parsed = mpstat.parse(text)
    assert parsed.rows["mpstat"][0]["guest_percent"] is None
    assert parsed.rows["mpstat_summary"][0]["guest_nice_percent"] is None


def test_impossible_shares_are_rejected_and_the_others_stay():
    """Trap 89."""
    text = (
        "12:00:00     CPU    %usr   %nice    %sys %iowait    %irq   %soft  %steal   %idle\n"
        "12:00:01       0  184.00    0.00    0.00    0.00    0.00    0.00    0.00   99.00\n"
        "12:00:01       1    1.00    0.00    0.00    0.00    0.00    0.00    0.00   99.00\n"
        "12:00:01       2    1.00    0.00    0.00\n"
    )
    parsed = mpstat.parse(text)
    assert sorted(cores_of(parsed)) == [1]
    assert len(parsed.rejected) == 2


def test_a_report_without_single_cpus_says_what_to_do(shared):
    with pytest.raises(CollectorError, match="-P ALL"):
        mpstat.parse(shared("mpstat/sysstat+sysstat__expected.mpstat.txt"))


def test_the_summary_is_plain_arithmetic():
    summary = mpstat.summarise([core(0, 0.0), core(1, 100.0), core(2, 96.0), core(3, 4.0)])
    assert summary["busy_percent"] == 50.0
    assert summary["busy_min_percent"] == 0.0
    assert summary["busy_max_percent"] == 100.0
    # Population deviation: sqrt((2500 + 2500 + 2116 + 2116) / 4)
    assert summary["busy_std_percent"] == pytest.approx(2308**0.5)
    assert summary["imbalance_ratio"] == pytest.approx(2308**0.5 / 50)
    assert summary["saturated_cpus"] == 2


def test_exactly_95_percent_is_not_saturated():
    assert mpstat.summarise([core(0, 95.0)])["saturated_cpus"] == 0


def test_imbalance_is_unknown_when_nearly_all_is_idle():
    assert mpstat.summarise([core(0, 0.0), core(1, 1.9)])["imbalance_ratio"] is None
    assert mpstat.summarise([core(0, 0.0), core(1, 2.0)])["imbalance_ratio"] == 1.0


# --- collect ----------------------------------------------------------------------------------------------


def test_collect_measures_the_interval_with_both_tables(recorded):
    probe = ReplayProbe([Recorded(("mpstat",), recorded("mpstat/P-ALL-json-2-1.json"), seconds=60.01)])
    collected = mpstat.collect(probe, MpstatSettings(), 60)
    assert probe.asked == [("mpstat", "-P", "ALL", "-o", "JSON", "60", "1")]
    assert [each.table for each in collected.readings] == ["mpstat", "mpstat_summary"]
    assert {each.interval_seconds for each in collected.readings} == {60.01}
    assert len(collected.readings[0].rows) == 2


def test_a_release_without_json_is_asked_for_text(recorded):
    """Trap 84."""
    probe = ReplayProbe([USAGE, Recorded(("mpstat",), recorded("mpstat/P-ALL-2-1.txt"), seconds=2)])
    collected = mpstat.collect(probe, MpstatSettings(), 2)
    assert collected.readings[0].rows[1]["iowait_percent"] == 66.67
    assert collected.readings[0].rows[1]["idle_percent"] == 0.0


@pytest.mark.parametrize(
    ("per_core", "summary", "tables"),
    [(False, True, ["mpstat_summary"]), (True, False, ["mpstat"]), (False, False, [])],
)
def test_the_settings_decide_which_tables_are_stored(recorded, per_core, summary, tables):
    probe = ReplayProbe([Recorded(("mpstat",), recorded("mpstat/P-ALL-json-2-1.json"))])
    collected = mpstat.collect(probe, MpstatSettings(store_per_core=per_core, store_summary=summary), 2)
    assert [each.table for each in collected.readings] == tables


def test_truncated_json_is_an_error(recorded):
    """Trap 4."""
    probe = ReplayProbe([Recorded(("mpstat",), recorded("mpstat/P-ALL-json-2-1.json")[:300] + "\n")])
    with pytest.raises(CollectorError, match="not valid JSON"):
        mpstat.collect(probe, MpstatSettings(), 2)


def test_another_failure_is_not_taken_for_an_old_release():
    probe = ReplayProbe([Recorded(("mpstat",), "", "Cannot open /proc/stat\n", returncode=2)])
    with pytest.raises(CollectorError, match="Cannot open /proc/stat"):
        mpstat.collect(probe, MpstatSettings(), 2)


TAIL = "intr 1 1\nctxt 1\nprocs_running 1\nprocs_blocked 0\n"


def test_without_the_tool_the_shares_are_differences_of_ticks():
    """Trap 83 and 90; guests are taken out of user time as mpstat does."""
    before = "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 1000 5 5 5 5 5 5 5 5 5\n" + TAIL
    after = "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 1050 5 15 35 15 5 5 5 15 5\n" + TAIL
    collected = mpstat.collect(ReplayProbe(files={"/proc/stat": (before, after)}), MpstatSettings(), 3)
    row = collected.readings[0].rows[0]
    assert collected.readings[0].source == "proc"
    assert collected.readings[0].interval_seconds == 3.0
    assert row["user_percent"] == pytest.approx(40.0)
    assert row["guest_percent"] == pytest.approx(10.0)
    assert row["idle_percent"] == pytest.approx(30.0)
    assert row["busy_percent"] == pytest.approx(60.0)


def test_cpus_that_come_online_or_whose_counters_went_back_have_no_row():
    """Trap 88 and 89."""
    before = "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 10 0 0 10\ncpu1 90 0 0 10\n" + TAIL
    after = "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 20 0 0 20\ncpu1 2 0 0 20\ncpu2 1 0 0 1\n" + TAIL
    collected = mpstat.collect(ReplayProbe(files={"/proc/stat": (before, after)}), MpstatSettings(), 3)
    assert [row["cpu"] for row in collected.readings[0].rows] == [0]
    assert {each.text for each in collected.rejected} == {"CPU 1", "CPU 2"}


def test_the_recorded_differences_agree_with_what_the_tool_printed(recorded):
    files = {"/proc/stat": (recorded("proc/stat-before.txt"), recorded("proc/stat-after.txt"))}
    ours = mpstat.collect(ReplayProbe(files=files), MpstatSettings(), 2).readings[0].rows
    theirs = mpstat.parse(recorded("mpstat/P-ALL-2-1.txt")).rows["mpstat"]
    for mine, other in zip(ours, theirs, strict=True):
        for column in ("busy_percent", "system_percent", "iowait_percent", "idle_percent"):
            assert mine[column] == pytest.approx(other[column], abs=2.0), column


def test_without_the_tool_and_without_proc_the_tool_is_missing():
    with pytest.raises(CollectorError, match="install sysstat"):
        mpstat.collect(ReplayProbe(), MpstatSettings(), 1)
