"""What the agent costs a node: CPU with its children, memory, and the time it needs to start.

``python benchmarks/agent_cost.py [--minutes 2] [--interval 60] [--program "nomade-agent.pyz"]``
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


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--interval", type=int, default=60)
    parser.add_argument("--program", default=f"{sys.executable} -m nomade_pipeline.agent")
    options = parser.parse_args()
    program = shlex.split(options.program)
    starts = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            process, seconds = start(program, Path(folder), options.interval)
            starts.append(seconds)
            stop(process)
    with tempfile.TemporaryDirectory() as folder:
        process, _ = start(program, Path(folder), options.interval)
        to_boundary(options.interval)
        began, (own, children) = time.monotonic(), cpu_seconds(process.pid)
        while time.monotonic() - began < options.minutes * 60 - 1:
            to_boundary(options.interval)
        length = time.monotonic() - began
        own_after, children_after = cpu_seconds(process.pid)
        rss, peak = memory(process.pid, "VmRSS"), memory(process.pid, "VmHWM")
        stored = sum(file.stat().st_size for file in Path(folder).rglob("*.ndjson"))
        ended = stop(process)
    own_percent, child_percent = (own_after - own) / length * 100, (children_after - children) / length * 100
    rows = [
        ("CPU, agent itself", f"{own_percent:.3f} % of a core", ""),
        ("CPU, its tools", f"{child_percent:.3f} % of a core", ""),
        ("CPU, together", f"{own_percent + child_percent:.3f} % of a core", f"<= {BUDGET_CPU_PERCENT} %"),
        ("resident memory", f"{rss:.1f} MB (peak {peak:.1f})", f"<= {BUDGET_RSS_MB:.0f} MB"),
        ("start", f"{statistics.median(starts):.3f} s (worst {max(starts):.3f})", f"<= {BUDGET_START_SECONDS} s"),
        ("end after SIGTERM", f"{ended:.2f} s", "< 2 s"),
        ("spool written", f"{stored} bytes in {length:.0f} s", ""),
    ]
    print(f"interval {options.interval} s, measured {length:.0f} s, Python {sys.version.split()[0]}")
    for name, value, budget in rows:
        print(f"{name:20} {value:32} {budget}")


if __name__ == "__main__":
    main()
