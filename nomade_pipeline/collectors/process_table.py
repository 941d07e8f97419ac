"""The host's processes at one moment, from /proc/PID/stat."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Tuple

from nomade_pipeline.probes import Probe

# Fields of /proc/PID/stat after the command and the state (proc(5)), from 0.
_PARENT, _FLAGS, _CHILD_FAULTS, _CPU, _START, _RSS = 0, 5, (7, 9), slice(10, 14), 18, 20
# PF_KTHREAD of the kernel's sched.h.
_KERNEL_THREAD = 0x00200000

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Which process: its number and its start, since numbers are used again.
Identity = Tuple[int, int]


@dataclass(frozen=True)
class Process:
    """One process.

    Attributes:
        pid, parent: process ids.
        start_ticks: when it began, ticks since boot.
        command: name of its program, up to 15 bytes.
        cpu_ticks: CPU time, that of children it has waited for included.
        child_faults: page faults of children it has waited for; it grows with every one of them.
        rss_pages: resident memory.
    """

    pid: int
    parent: int
    start_ticks: int
    command: str
    cpu_ticks: int
    child_faults: int
    rss_pages: int
    is_kernel_thread: bool = False

    @property
    def identity(self) -> Identity:
        """Number and start."""
        return self.pid, self.start_ticks


def parse_stat(text: str) -> Optional[Process]:
    """Read /proc/PID/stat; None when it is none, or cut off."""
    head, _, rest = text.rpartition(")")
    pid, _, command = head.partition(" (")
    words = rest.split()
    try:
        numbers = [int(word) for word in words[1 : _RSS + 2]]
        return Process(
            pid=int(pid),
            parent=numbers[_PARENT],
            start_ticks=numbers[_START],
            command=command,
            cpu_ticks=sum(numbers[_CPU]),
            child_faults=sum(numbers[each] for each in _CHILD_FAULTS),
            rss_pages=numbers[_RSS],
            is_kernel_thread=bool(numbers[_FLAGS] & _KERNEL_THREAD),
        )
    except (ValueError, IndexError):
        return None


def read_processes(probe: Probe) -> Dict[int, Process]:
    """Return the processes of the host by number, kernel threads left out.

    Raises:
        OSError: /proc cannot be listed.
    """
    pids = [int(name) for name in probe.listdir("/proc") if name.isdigit()]
    return {each.pid: each for each in read_some(probe, pids) if not each.is_kernel_thread}


def read_some(probe: Probe, pids: Iterable[int]) -> List[Process]:
    """Return those of some processes that still are."""
    found = []
    for pid in pids:
        try:
            process = parse_stat(probe.read(f"/proc/{pid}/stat"))
        except OSError:
            # It ended while we looked.
            continue
        if process is not None:
            found.append(process)
    return found


_STEP_DAEMON = re.compile(r"slurmstepd: \[(\d{1,10})\.(\w+)")


def step_of(probe: Probe, process: Process) -> Optional[Tuple[str, str]]:
    """Return job number and step that a slurmstepd serves, as its title tells; None when it does not."""
    try:
        match = _STEP_DAEMON.match(probe.read(f"/proc/{process.pid}/cmdline"))
    except OSError:
        return None
    return (match.group(1), match.group(2)) if match else None
