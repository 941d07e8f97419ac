"""Sums over the lives of a job's processes: nothing twice, nothing lost, never less."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import HOME, PIPES, ROOT, Proc, files_of, links_of, stat_line

from nomade_pipeline.collectors.job_files import FileKinds
from nomade_pipeline.collectors.job_io import Amounts, Ledger
from nomade_pipeline.collectors.mounts import parse_mountinfo
from nomade_pipeline.collectors.process_table import parse_stat, read_some
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.replay import ReplayProbe

WRITE = "0100001"


class Locked(ReplayProbe):
    """A host on which other users' files are closed to us."""

    def read(self, path):
        if path.endswith("/io"):
            raise PermissionError(13, "Permission denied", path)
        return super().read(path)


def look(ledger, *processes, probe_class=ReplayProbe):
    probe = probe_class(files=files_of(*processes), links=links_of(*processes))
    files = FileKinds(probe, parse_mountinfo(probe.read("/proc/self/mountinfo")), (), ())
    return ledger.look(probe, [parse_stat(stat_line(each)) for each in processes], files)


def kinds(ledger):
    return ledger.kinds.network_write, ledger.kinds.local_write


def test_what_a_process_did_before_the_first_look_counts():
    ledger = Ledger()
    look(ledger, Proc(5, ticks=7, read=100, write=200, files={3: (200, WRITE, ROOT)}))
    assert (ledger.sums.cpu_ticks, ledger.sums.read, ledger.sums.write) == (7, 100, 200)
    assert kinds(ledger) == (0, 200)


def test_differences_are_added_up_over_the_looks():
    ledger = Ledger()
    for written in (100, 100, 250):
        look(ledger, Proc(5, write=written, files={3: (written, WRITE, HOME)}))
    assert ledger.sums.write == 250
    assert kinds(ledger) == (250, 0)


def test_a_process_that_ended_keeps_its_last_reading():
    """Trap 93: /proc/PID/io goes with the process."""
    ledger = Ledger()
    look(ledger, Proc(5, write=100), Proc(6, write=40))
    look(ledger, Proc(6, write=50))
    assert ledger.sums.write == 150


def test_what_a_parent_takes_over_from_a_child_counts_once():
    """The kernel adds a child's counters to the parent that waits for it."""
    ledger = Ledger()
    look(ledger, Proc(5, write=10), Proc(6, parent=5, write=400, ticks=30, files={1: (400, WRITE, HOME)}))
    assert ledger.sums.write == 410
    look(ledger, Proc(5, write=10 + 500, child_ticks=35, child_faults=90, files={1: (0, WRITE, ROOT)}))
    assert (ledger.sums.write, ledger.sums.cpu_ticks) == (510, 35)
    # The hundred bytes that nobody saw went where the child had written before.
    assert kinds(ledger) == (500, 0)


def test_a_child_that_nobody_waited_for_stays_in_the_sum():
    """A parent that ignores SIGCHLD takes nothing over."""
    ledger = Ledger()
    look(ledger, Proc(5, write=10), Proc(6, parent=5, write=400))
    look(ledger, Proc(5, write=60))
    assert ledger.sums.write == 460


def test_a_grandchild_whose_parent_ended_too_counts_once():
    ledger = Ledger()
    look(ledger, Proc(5), Proc(6, parent=5, write=30), Proc(7, parent=6, write=400))
    look(ledger, Proc(5, write=430, child_faults=5))
    assert ledger.sums.write == 430


def test_a_child_that_was_given_to_another_parent_counts_once():
    ledger = Ledger()
    look(ledger, Proc(5), Proc(6, parent=5, write=30), Proc(7, parent=6, write=400))
    look(ledger, Proc(5, write=30, child_faults=5), Proc(7, parent=1, write=450))
    assert ledger.sums.write == 480


def test_a_process_number_that_is_used_again_begins_anew():
    ledger = Ledger()
    look(ledger, Proc(5, write=1000, start=10))
    look(ledger, Proc(5, write=7, start=20))
    assert ledger.sums.write == 1007


def test_children_that_nobody_saw_are_in_the_sum_and_are_not_told():
    ledger = Ledger()
    look(ledger, Proc(5, files={1: (0, WRITE, HOME)}))
    look(ledger, Proc(5, write=900, child_faults=1, files={1: (0, WRITE, HOME)}))
    assert ledger.sums.write == 900
    assert kinds(ledger) == (0, 0)


def test_a_process_that_is_ending_has_closed_its_files_and_is_told_as_before():
    ledger = Ledger()
    look(ledger, Proc(5, write=100, files={3: (100, WRITE, HOME)}))
    look(ledger, Proc(5, write=160))
    assert kinds(ledger) == (160, 0)


def test_what_may_not_be_read_is_counted_and_no_zero():
    ledger = Ledger()
    assert look(ledger, Proc(5, ticks=9), Proc(6), probe_class=Locked) == 2
    assert not ledger.is_read
    # CPU time is open to everyone.
    assert ledger.sums.cpu_ticks == 9


def test_a_process_that_ends_while_we_look_is_settled_by_the_next_look():
    ledger = Ledger()
    look(ledger, Proc(5, write=100))
    look(ledger, Proc(5, read=None))
    assert ledger.sums.write == 100
    look(ledger, Proc(5, write=130))
    assert ledger.sums.write == 130


def test_the_ledger_outlives_a_restart():
    ledger = Ledger()
    before = [
        Proc(5, write=100, files={3: (100, WRITE, HOME)}),
        Proc(6, parent=5, write=50, files={4: (50, WRITE, ROOT)}),
    ]
    look(ledger, *before)
    again = Ledger.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert again == ledger
    look(again, Proc(5, write=190, child_faults=4, files={3: (130, WRITE, HOME)}))
    assert again.sums.write == 190
    # 30 by position, and 10 more that the child wrote after it was last seen.
    assert kinds(again) == (130, 60)


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(2, 6), st.integers(1, 6), st.integers(0, 10**6), st.integers(0, 9)),
            max_size=5,
            unique_by=lambda each: each[0],
        ),
        max_size=8,
    )
)
def test_sums_never_fall_and_what_is_told_never_exceeds_them(looks):
    """Whatever processes come and go, and whoever their parents are."""
    ledger = Ledger()
    for processes in looks:
        before = replace(ledger.sums)
        look(
            ledger,
            *(
                Proc(
                    pid,
                    parent=parent,
                    write=write,
                    child_faults=faults,
                    files={1: (write, WRITE, PIPES), 3: (9, WRITE, HOME)},
                )
                for pid, parent, write, faults in processes
            ),
        )
        assert ledger.sums.covers(before)
        assert sum(kinds(ledger)) <= ledger.sums.write


def test_amounts_are_never_negative():
    assert Amounts(1, 2, 3, 4, 5).minus(Amounts(9, 1, 9, 1, 9)) == Amounts(0, 1, 0, 3, 0)


# --- real processes ---------------------------------------------------------------------------------------

SHELL = """
dd if=/dev/zero of={folder}/a bs=1M count=30 2>/dev/null
read -r _
dd if=/dev/zero of={folder}/b bs=1M count=50 2>/dev/null
read -r _
"""


@pytest.fixture
def shell(tmp_path):
    process = subprocess.Popen(["sh", "-c", SHELL.format(folder=tmp_path)], stdin=subprocess.PIPE)
    yield process
    process.stdin.close()
    process.wait(10)


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_real_shell_and_the_real_programs_it_runs_are_counted_once(shell, tmp_path):
    """The kernel's own accounting, without a stand-in: 80 MB are 80 MB, however they were seen."""
    probe, ledger = LiveProbe(), Ledger()
    files = FileKinds(probe, parse_mountinfo(probe.read("/proc/self/mountinfo")), (), ())

    def see():
        children = [int(word) for word in probe.read(f"/proc/{shell.pid}/task/{shell.pid}/children").split()]
        ledger.look(probe, read_some(probe, [shell.pid, *children]), files)

    for name, size in (("a", 30), ("b", 50)):
        until(lambda: (see(), (tmp_path / name).exists() and (tmp_path / name).stat().st_size == size * 2**20)[1])  # noqa: B023
        until(lambda: not probe.read(f"/proc/{shell.pid}/task/{shell.pid}/children").split())
        see()
        shell.stdin.write(b"\n")
        shell.stdin.flush()
    assert 80 * 2**20 <= ledger.sums.write < 80 * 2**20 + 10_000


def test_a_real_program_that_writes_by_position_is_told(tmp_path):
    script = (
        "import os, sys; file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "os.pwrite(file, bytes(2**20), 0); print(1, flush=True); input()"
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "file")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        probe, ledger = LiveProbe(), Ledger()
        mounts = parse_mountinfo(probe.read("/proc/self/mountinfo"))
        ledger.look(probe, read_some(probe, [process.pid]), FileKinds(probe, mounts, (), (str(tmp_path),)))
        process.stdin.close()
    assert ledger.kinds.local_write == pytest.approx(2**20, abs=4096)
