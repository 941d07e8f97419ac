"""vmstat: columns by header, units, pressure, and the differences of /proc."""

from __future__ import annotations

import pytest

from nomade_pipeline.collectors import vmstat
from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.collectors.procfs import PAGE_BYTES
from nomade_pipeline.config.collector_settings import VmstatSettings
from nomade_pipeline.replay import Recorded, ReplayProbe

MEMINFO = (
    "MemTotal: 1000 kB\nMemFree: 400 kB\nMemAvailable: 600 kB\nBuffers: 10 kB\nCached: 100 kB\n"
    "SReclaimable: 50 kB\nSwapTotal: 200 kB\nSwapFree: 150 kB\n"
)


def row_of(text):
    return vmstat.parse(text).rows["vmstat"][0]


def test_the_second_line_is_read_in_bytes(recorded):
    """Trap 83: the first line covers the time since boot. Trap 87: `gu` of procps 4."""
    row = row_of(recorded("vmstat/n-w-S-K-2-2.txt"))
    assert row["procs_running"] == 5
    assert row["free_bytes"] == 22963780 * 1024
    assert row["cache_bytes"] == 1205820 * 1024
    assert row["block_out_bytes_per_second"] == 1223458 * 1024.0
    assert row["interrupts_per_second"] == 8191.0
    assert row["user_percent"] == 34.0
    assert row["iowait_percent"] == 18.0
    assert row["guest_percent"] == 0.0
    assert row["psi_io_some_percent"] is None


def test_active_memory_and_time_stamps_do_not_shift_the_columns(recorded):
    """Trap 87: -a and -t."""
    row = row_of(recorded("vmstat/a-t-2-2.txt"))
    assert row["buffer_bytes"] is None
    assert row["cache_bytes"] is None
    assert row["free_bytes"] == 23086864 * 1024
    assert row["block_out_bytes_per_second"] == 1403392 * 1024.0
    assert row["steal_percent"] == 0.0
    assert row["guest_percent"] is None


def test_procps_3_is_read(shared):
    row = row_of(shared("vmstat/kellyjonbrazil+jc__centos-7.7_vmstat-w.out.txt"))
    assert row["free_bytes"] == 2794484 * 1024
    assert row["context_switches_per_second"] == 57.0
    assert row["idle_percent"] == 99.0


def test_guests_are_part_of_user_time_whichever_release_printed_it():
    """Trap 87: procps 4 takes guests out of `us`; the column includes them."""
    text = "r b swpd free buff cache si so bi bo in cs us sy id wa st gu\n1 0 0 5 6 7 0 0 0 0 1 1 10 5 55 0 0 30\n"
    row = row_of(text)
    assert row["user_percent"] == 40.0
    assert row["guest_percent"] == 30.0


def test_an_added_column_is_accepted_and_a_missing_one_refused():
    """Trap 87."""
    added = "r b swpd free buff cache si so bi bo in cs us sy id wa st gu zz\n1 0 0 5 6 7 0 0 0 0 1 1 10 5 85 0 0 0 9\n"
    assert row_of(added)["idle_percent"] == 85.0
    with pytest.raises(CollectorError, match="missing: cs"):
        row_of(added.replace(" cs ", " xx "))


def test_a_line_with_too_few_values_is_rejected_and_the_rest_is_read():
    header = "r b swpd free buff cache si so bi bo in cs us sy id wa st\n"
    parsed = vmstat.parse(header + "1 0 0 5 6 7 0 0 0 0 1 1 10 5 85 0 0\n" + "1 0 0 5 6\n")
    assert parsed.rows["vmstat"][0]["user_percent"] == 10.0
    assert "5 values under 17" in parsed.rejected[0].reason


def test_a_counter_that_went_back_is_refused():
    """Trap 89: vmstat prints it as a number just below 2^32."""
    text = "r b swpd free buff cache si so bi bo in cs us sy id wa st\n1 0 0 5 6 7 0 0 4294967000 0 1 1 10 5 85 0 0\n"
    with pytest.raises(CollectorError, match="reset"):
        row_of(text)


def test_the_disk_mode_is_refused(shared):
    with pytest.raises(CollectorError, match="memory mode"):
        vmstat.parse(shared("vmstat/kellyjonbrazil+jc__centos-7.7_vmstat-d.out.txt"))


# --- pressure ---------------------------------------------------------------------------------------------


def pressure(total):
    line = "{} avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"
    return line.format("some", total) + line.format("full", total // 2)


def test_pressure_is_the_stalled_share_of_the_interval(recorded):
    """Trap 95."""
    files = {f"/proc/pressure/{name}": (pressure(5_000_000), pressure(35_000_000)) for name in ("cpu", "memory", "io")}
    files["/proc/meminfo"] = MEMINFO
    probe = ReplayProbe([Recorded(("vmstat",), recorded("vmstat/n-w-S-K-2-2.txt"), seconds=60)], files)
    row = vmstat.collect(probe, VmstatSettings(), 60).readings[0].rows[0]
    assert row["psi_io_some_percent"] == pytest.approx(50.0)
    assert row["psi_memory_full_percent"] == pytest.approx(25.0)
    assert row["memory_total_bytes"] == 1000 * 1024
    assert row["memory_available_bytes"] == 600 * 1024


def test_a_kernel_without_pressure_gives_null(recorded):
    """Trap 95: absent on old kernels or with psi=0."""
    probe = ReplayProbe([Recorded(("vmstat",), recorded("vmstat/n-w-S-K-2-2.txt"), seconds=2)])
    row = vmstat.collect(probe, VmstatSettings(), 2).readings[0].rows[0]
    assert row["psi_cpu_some_percent"] is None
    assert row["psi_memory_full_percent"] is None
    assert row["memory_total_bytes"] is None


def test_a_stall_total_that_went_back_gives_null():
    """Trap 89."""
    row = vmstat.pressure_percent({"io": {"some": 10, "full": 0}}, {"io": {"some": 9, "full": 500_000}}, 1.0)
    assert row["psi_io_some_percent"] is None
    assert row["psi_io_full_percent"] == pytest.approx(50.0)


def test_old_kernels_have_no_line_full_for_the_cpu():
    row = vmstat.pressure_percent({"cpu": {"some": 0}}, {"cpu": {"some": 250_000}}, 1.0)
    assert row["psi_cpu_some_percent"] == pytest.approx(25.0)


# --- collect ----------------------------------------------------------------------------------------------


def test_collect_refuses_a_run_that_ended_after_the_first_line(recorded):
    """Trap 83."""
    first = "\n".join(recorded("vmstat/n-w-S-K-2-2.txt").splitlines()[:3]) + "\n"
    probe = ReplayProbe([Recorded(("vmstat",), first)])
    with pytest.raises(CollectorError, match="two lines were expected"):
        vmstat.collect(probe, VmstatSettings(), 2)
    assert probe.asked == [("vmstat", "-n", "-w", "-S", "K", "2", "2")]


def stat(ticks, interrupts, switches):
    return f"cpu {ticks}\nintr {interrupts} 1 2\nctxt {switches}\nprocs_running 3\nprocs_blocked 2\n"


def proc_files(after_swapped):
    return {
        "/proc/stat": (stat("0 0 0 0 0 0 0 0 0 0", 100, 1000), stat("40 10 20 100 10 5 5 10 20 5", 500, 3000)),
        "/proc/vmstat": ("pswpin 7\npswpout 9\npgpgin 100\npgpgout 200\n", after_swapped),
        "/proc/meminfo": MEMINFO,
    }


def test_without_the_tool_the_same_columns_come_from_proc():
    """Trap 90."""
    files = proc_files("pswpin 17\npswpout 9\npgpgin 500\npgpgout 200\n")
    collected = vmstat.collect(ReplayProbe(files=files), VmstatSettings(), 4)
    row = collected.readings[0].rows[0]
    assert collected.readings[0].source == "proc"
    assert row["procs_running"] == 3
    assert row["swap_used_bytes"] == 50 * 1024
    assert row["cache_bytes"] == 150 * 1024
    assert row["swap_in_bytes_per_second"] == pytest.approx(10 * PAGE_BYTES / 4)
    assert row["swap_out_bytes_per_second"] == 0.0
    assert row["block_in_bytes_per_second"] == 400 * 1024 / 4
    assert row["interrupts_per_second"] == 100.0
    assert row["context_switches_per_second"] == 500.0
    assert row["user_percent"] == pytest.approx(25.0)
    assert row["system_percent"] == pytest.approx(15.0)
    assert row["steal_percent"] == pytest.approx(5.0)


def test_a_counter_that_is_not_there_is_null_and_not_zero():
    row = vmstat.collect(ReplayProbe(files=proc_files("pgpgin 500\n")), VmstatSettings(), 4).readings[0].rows[0]
    assert row["swap_in_bytes_per_second"] is None


def test_a_counter_of_proc_that_went_back_gives_no_row():
    """Trap 89."""
    files = proc_files("pswpin 1\npswpout 9\npgpgin 500\npgpgout 200\n")
    with pytest.raises(CollectorError, match="pswpin went back"):
        vmstat.collect(ReplayProbe(files=files), VmstatSettings(), 4)


def test_the_recorded_differences_agree_with_what_the_tool_printed(recorded):
    names = ("stat", "vmstat", "pressure/cpu", "pressure/memory", "pressure/io")
    files = {
        f"/proc/{n}": tuple(recorded(f"proc/{n.replace('/', '-')}-{w}.txt") for w in ("before", "after")) for n in names
    }
    files["/proc/meminfo"] = recorded("proc/meminfo-after.txt")
    ours = vmstat.collect(ReplayProbe(files=files), VmstatSettings(), 2).readings[0].rows[0]
    theirs = row_of(recorded("vmstat/a-t-2-2.txt"))
    for column in ("block_out_bytes_per_second", "interrupts_per_second", "context_switches_per_second"):
        assert ours[column] == pytest.approx(theirs[column], rel=0.05), column
    for column in ("user_percent", "system_percent", "idle_percent", "iowait_percent"):
        assert ours[column] == pytest.approx(theirs[column], abs=2.0), column
    assert ours["free_bytes"] == pytest.approx(theirs["free_bytes"], rel=0.01)
    assert 0 < ours["psi_io_some_percent"] <= 100


def test_without_the_tool_and_without_proc_the_tool_is_missing():
    with pytest.raises(CollectorError, match="install procps"):
        vmstat.collect(ReplayProbe(), VmstatSettings(), 1)
