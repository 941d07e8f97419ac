"""/proc: the collection's recordings, and differences of counters."""

from __future__ import annotations

import pytest

from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.collectors.procfs import (
    CounterResetError,
    CpuTimes,
    cpu_shares,
    increase,
    parse_diskstats,
    parse_meminfo,
    parse_pressure,
    parse_stat,
    parse_vmstat_counters,
)


def test_stat_of_the_collection_is_read(shared):
    stat = parse_stat(shared("proc/prometheus+procfs__proc_stat.txt"))
    assert len(stat.cpus) == 9
    assert stat.cpus["all"].user == 301854
    assert stat.cpus["7"].idle == 1139282
    assert (stat.interrupts, stat.context_switches) == (73777505, 38014093)
    assert (stat.procs_running, stat.procs_blocked) == (2, 1)


def test_diskstats_of_all_kernels_are_read(shared):
    """Eleven numbers, fifteen with discards, seventeen with flushes."""
    disks = parse_diskstats(shared("proc/prometheus+procfs__proc_diskstats.txt"))
    assert disks["sda"].discards is None
    assert (disks["sdb"].discards, disks["sdb"].flushes) == (68851, None)
    assert (disks["sdc"].flushes, disks["sdc"].flush_ms) == (127, 182)
    assert disks["nvme0n1"].read_sectors == 4643973
    assert parse_diskstats(shared("proc/kellyjonbrazil+jc__linux-proc_diskstats.txt"))["sda"].writes == 18736


def test_the_short_partition_lines_of_old_kernels_are_left_out():
    assert parse_diskstats("8 1 sda1 1 2 3 4\n") == {}


def test_meminfo_is_read_in_bytes(shared):
    memory = parse_meminfo(shared("proc/kellyjonbrazil+jc__linux-proc_meminfo.txt"))
    assert memory["MemAvailable"] == 3386876 * 1024
    assert memory["HugePages_Total"] == 0
    assert "MemAvailable" not in parse_meminfo(shared("proc/prometheus+procfs__proc_meminfo.txt"))


def test_vmstat_counters_and_pressure_are_read(shared):
    assert parse_vmstat_counters(shared("proc/kellyjonbrazil+jc__linux-proc_vmstat.txt"))["pgpgin"] > 0
    assert parse_pressure(shared("proc/prometheus+procfs__proc_pressure_io.txt")) == {"some": 15, "full": 25}
    assert parse_pressure(shared("proc/prometheus+procfs__proc_pressure_cpu.txt")) == {"some": 15}


@pytest.mark.parametrize("text", ["", "cpu 1 2 3\n", "cpu a b\nintr 1\nctxt 1\nprocs_running 1\nprocs_blocked 1\n"])
def test_a_stat_that_lacks_a_line_is_refused(text):
    with pytest.raises(CollectorError):
        parse_stat(text)


def test_a_counter_that_went_back_is_neither_zero_nor_negative():
    """Trap 89."""
    with pytest.raises(CounterResetError, match="reads went back from 4294967295 to 3"):
        increase("reads", 4294967295, 3)
    assert increase("reads", 3, 3) == 0


def test_shares_add_up_to_a_hundred_without_the_guests():
    share = cpu_shares(
        CpuTimes(),
        CpuTimes(user=30, nice=20, system=10, idle=20, iowait=10, irq=4, softirq=5, steal=1, guest=10, guest_nice=5),
    )
    guests = share.pop("guest") + share.pop("guest_nice")
    assert guests == pytest.approx(15.0)
    assert sum(share.values()) + guests == pytest.approx(100.0)
    assert share["user"] == pytest.approx(20.0)


def test_idle_and_iowait_may_run_back_a_little():
    """proc(5); sysstat and procps take them as unchanged."""
    share = cpu_shares(CpuTimes(user=10, idle=100, iowait=7), CpuTimes(user=20, idle=190, iowait=5))
    assert share["iowait"] == 0.0
    assert share["idle"] == pytest.approx(90.0)


def test_user_time_that_ran_back_is_a_reset():
    with pytest.raises(CounterResetError):
        cpu_shares(CpuTimes(user=10), CpuTimes(user=9, idle=100))


def test_no_tick_is_no_share():
    with pytest.raises(CounterResetError, match="no tick"):
        cpu_shares(CpuTimes(user=10), CpuTimes(user=10))
