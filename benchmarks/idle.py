"""What an idle installation costs: the CPU of everything that `nomade up` runs, its ingest included."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report
from nomade_pipeline import supervisor

# One ingest falls into any window of a quarter of an hour.
WINDOW_SECONDS = float(os.environ.get("NOMADE_BENCH_IDLE_SECONDS", "900"))
GOAL_PERCENT, GOAL_AGENT_PERCENT = 8.0, 1.0


def run() -> list[Report]:
    """Start `nomade up`, let it settle, and measure CPU seconds of each part over the window."""
    folder = Path(tempfile.mkdtemp(prefix="nomade-idle-"))
    port = _free_port()
    argv = [sys.executable, "-m", "nomade_pipeline.cli.main", "--data-dir", str(folder), "up", "--port", str(port)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        supervisor.wait_until_ready("127.0.0.1", port, 120, lambda: process.poll() is None)
        time.sleep(45)
        before, began = _cpu_by_part(process.pid), time.monotonic()
        time.sleep(WINDOW_SECONDS)
        after, seconds = _cpu_by_part(process.pid), time.monotonic() - began
        memory = _memory_by_part(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder)
    report = Report(
        f"`nomade up` idle over {seconds:.0f} s, children included", ("part", "% of a core", "PSS MB", "goal")
    )
    for part, cpu in after.items():
        goal = f"< {GOAL_AGENT_PERCENT:g} %" if part == "agent" else ""
        report.add(part, 100 * (cpu - before.get(part, 0.0)) / seconds, memory.get(part, 0.0), goal)
    report.add(
        "everything",
        100 * (sum(after.values()) - sum(before.values())) / seconds,
        sum(memory.values()),
        f"≤ {GOAL_PERCENT:g} %",
    )
    return [report]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _parts(root: int) -> dict[str, list[int]]:
    """Return the living processes of each part below the supervisor, by the part's name."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    parts = {"supervisor": [root]}
    for child in children.get(root, []):
        members, pending = [], [child]
        while pending:
            pid = pending.pop()
            members.append(pid)
            pending += children.get(pid, [])
        parts[_name(child)] = members
    return parts


def _name(pid: int) -> str:
    line = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    known = {
        "nomade_pipeline.agent": "agent",
        "dagster_webserver": "web",
        "dagster._daemon": "daemon",
        "api grpc": "code",
    }
    return next((name for part, name in known.items() if part in line), line[:30])


def _cpu_by_part(root: int) -> dict[str, float]:
    """Return the CPU seconds of each part: its processes and their children that have ended."""
    tick = os.sysconf("SC_CLK_TCK")
    seconds = {}
    for part, pids in _parts(root).items():
        total = 0
        for pid in pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:13] if part == "supervisor" else fields[11:15]))
        seconds[part] = total / tick
    return seconds


def _memory_by_part(root: int) -> dict[str, float]:
    memory = {}
    for part, pids in _parts(root).items():
        lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
        memory[part] = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
    return memory
