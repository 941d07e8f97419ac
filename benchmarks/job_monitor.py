"""What the job monitor costs a node, and how long a job waits for its hooks.

``python -m benchmarks.job_monitor``: real processes that a Slurm job could have started; no Slurm is needed.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Iterator

from benchmarks.report import Report
from nomade_pipeline.collectors.job_files import FileKinds
from nomade_pipeline.collectors.job_monitor import JobMonitor
from nomade_pipeline.collectors.mounts import parse_mountinfo
from nomade_pipeline.probes import LiveProbe
from nomade_pipeline.slurm_hooks.install import Wish, render

JOBS, PROCESSES = 20, 10
LOOKS, HOOK_RUNS = 20, 50
INTERVAL = 30
MOST_SECONDS = 0.2
# A job: processes that hold a file open and write to it, or do not.
JOB = """
import os, sys, time
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
with open(f"{sys.argv[2]}/{os.getpid()}", "wb", buffering=0) as file:
    while True:
        if sys.argv[3] == "writing":
            file.write(b"x" * 4096)
        time.sleep(0.2)
"""
HOOK = {"SLURM_JOB_ID": "1", "SLURMD_NODENAME": "bench", "SLURM_JOB_UID": str(os.getuid()), "SLURM_JOB_USER": "bench"}


def run() -> list[Report]:
    """Measure looks at idle and at writing jobs, and the hooks."""
    looks = Report(
        f"One look of the job monitor at {JOBS} jobs of {PROCESSES} processes, every {INTERVAL} s",
        ("jobs", "first look, ms", "later look, ms (median)", "worst, ms", "CPU, % of a core"),
    )
    for kind in ("idle", "writing"):
        with tempfile.TemporaryDirectory() as folder, jobs(Path(folder), kind):
            first, *later = _looks()
        median = statistics.median(later)
        looks.add(f"{kind}", first * 1e3, median * 1e3, max(later) * 1e3, median / INTERVAL * 100)
    looks.notes.append(
        "CPU is that of the looks alone; the processes of the whole host are read, and every open file of those that "
        "wrote. Jobs whose processes change are glanced at once a second besides, for at most 2 % of the time."
    )
    return [looks, _hooks()]


@contextlib.contextmanager
def jobs(folder: Path, kind: str) -> Iterator[None]:
    """Run the jobs for a block."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", JOB, str(PROCESSES), str(folder), kind],
            env={**os.environ, "SLURM_JOB_ID": str(900_000 + number), "SLURMD_NODENAME": "bench"},
            process_group=0,
        )
        for number in range(JOBS)
    ]
    while len(list(folder.iterdir())) < JOBS * PROCESSES:
        time.sleep(0.1)
    try:
        yield
    finally:
        for process in started:
            os.killpg(process.pid, 9)
            process.wait()


def _looks() -> list[float]:
    """Return the CPU seconds of successive looks, the first with an empty memory."""
    probe, monitor = LiveProbe(), JobMonitor()
    spent = []
    for _ in range(LOOKS):
        files = FileKinds(probe, parse_mountinfo(probe.read("/proc/self/mountinfo")), (), ())
        began = time.process_time()
        found = monitor._look(probe, files)  # noqa: SLF001 - without the waiting between two looks
        spent.append(time.process_time() - began)
        assert sum(len(job.processes) for job in found.jobs.values()) >= JOBS * PROCESSES
        time.sleep(0.5)
    return spent


def _hooks() -> Report:
    """Measure what a job waits for, with an agent that hangs."""
    report = Report(
        f"How long a job waits for its hooks, {HOOK_RUNS} runs each", ("hook", "median, ms", "worst, ms", "budget, ms")
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wish = Wish(folder / "slurm.conf", ("/bin/sleep", "5"), folder / "run")
        for source in ("prolog.sh", "epilog.sh"):
            (folder / source).write_text(render(source, wish, made_folder=False))
            (folder / source).chmod(0o755)
        cases: dict[str, Callable[[], float]] = {
            "prolog": lambda: _timed(folder / "prolog.sh", {}),
            "end of a task": lambda: _timed(folder / "epilog.sh", {"SLURM_LOCALID": "0"}),
            "epilog": lambda: _timed(folder / "epilog.sh", {}),
            "/bin/true (the floor)": lambda: _timed(Path("/bin/true"), {}),
        }
        for case, measure in cases.items():
            times = [measure() for _ in range(HOOK_RUNS)]
            budget = "" if "floor" in case else f"< {MOST_SECONDS * 1e3:.0f}"
            report.add(case, statistics.median(times) * 1e3, max(times) * 1e3, budget)
    return report


def _timed(script: Path, more: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run([script], env={**HOOK, **more}, check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    for each in run():
        print(each.markdown())
