"""What the agent costs a node: CPU with its children, memory, and the time it needs to start.

``python -m benchmarks.agent_cost [--minutes 3] [--interval 60] [--program "nomade-agent.pyz"]``
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report

BUDGET_CPU_PERCENT, BUDGET_RSS_MB, BUDGET_START_SECONDS = 0.1, 20.0, 0.3
TICK = os.sysconf("SC_CLK_TCK")


def start(program: list[str], folder: Path, interval: int) -> tuple[subprocess.Popen[bytes], float]:
    """Start an agent; return it with the seconds until it sampled (its lock is signed just before)."""
    environment = {**os.environ, "NOMADE_GENERAL__HOST": "bench"}
    began = time.monotonic()
    process = subprocess.Popen(
        [*program, "--interval", str(interval), "--data-dir", str(folder)], env=environment, stderr=subprocess.DEVNULL
    )
    log = folder / "logs" / "agent-bench.log"
    while not (log.exists() and "the agent started" in log.read_text()):
        if process.poll() is not None:
            raise SystemExit(f"the agent ended with {process.returncode}")
        time.sleep(0.002)
    return process, time.monotonic() - began


def stop(process: subprocess.Popen[bytes]) -> float:
    """End an agent; return the seconds that took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    return time.monotonic() - began


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return own / TICK, children / TICK


def memory(pid: int, name: str) -> float:
    """Return a figure of /proc/PID/status in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(name)


def to_boundary(interval: int) -> None:
    """Sleep until a third of an interval after the next boundary: the tools of the cycle have ended."""
    time.sleep(interval - time.time() % interval + min(5.0, interval / 3))


def run() -> list[Report]:
    """Measure the agent as it is installed."""
    return [measure([sys.executable, "-m", "nomade_pipeline.agent"])]


def measure(program: list[str], interval: int = 60, minutes: float = 3.0) -> Report:
    """Measure an agent over whole cycles, its tools included."""
    starts = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            process, seconds = start(program, Path(folder), interval)
            starts.append(seconds)
            stop(process)
    with tempfile.TemporaryDirectory() as folder:
        process, _ = start(program, Path(folder), interval)
        to_boundary(interval)
        began, (own, children) = time.monotonic(), cpu_seconds(process.pid)
        while time.monotonic() - began < minutes * 60 - 1:
            to_boundary(interval)
        length = time.monotonic() - began
        own_after, children_after = cpu_seconds(process.pid)
        rss, peak = memory(process.pid, "VmRSS"), memory(process.pid, "VmHWM")
        ended = stop(process)
    own_percent, child_percent = (own_after - own) / length * 100, (children_after - children) / length * 100
    report = Report(
        f"The agent at {interval} s with all system collectors, measured {length:.0f} s: {' '.join(program)}",
        ("what", "figure", "budget"),
    )
    report.add("CPU, agent itself, % of a core", own_percent, "")
    report.add("CPU, its tools, % of a core", child_percent, "")
    report.add("CPU, together, % of a core", own_percent + child_percent, f"≤ {BUDGET_CPU_PERCENT}")
    report.add("resident memory, MB", f"{rss:.1f} (peak {peak:.1f})", f"≤ {BUDGET_RSS_MB:.0f}")
    report.add(
        "start, s", f"{statistics.median(starts):.3f} (worst of 5: {max(starts):.3f})", f"≤ {BUDGET_START_SECONDS}"
    )
    report.add("end after SIGTERM, s", ended, "< 2")
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--interval", type=int, default=60)
    parser.add_argument("--program", default=f"{sys.executable} -m nomade_pipeline.agent")
    options = parser.parse_args()
    print(measure(shlex.split(options.program), options.interval, options.minutes).markdown())
