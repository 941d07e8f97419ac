"""How long a person waits: the command line's answers and the loading of the definitions."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report

REPEATS = 7
# The reference implementation's `nomade status`, as the issue states it.
EARLIER_STATUS_SECONDS = 1.5

NOMADE = [sys.executable, "-m", "nomade_pipeline.cli.main"]
LOAD = "from nomade_pipeline.definitions import defs; defs.get_repository_def()"


def run() -> list[Report]:
    """Time each command on a small real data folder: median of seven, after one to warm up."""
    folder = Path(tempfile.mkdtemp(prefix="nomade-bench-"))
    data = ["--data-dir", str(folder)]
    try:
        for arguments in (["collect", "--once", "--interval", "1"], ["ingest"]):
            subprocess.run([*NOMADE, *data, *arguments], check=True, capture_output=True)
        report = Report(
            "Seconds to the answer (median of 7, warm)", ("what", "seconds", "budget", "ratio to the earlier system")
        )
        for name, argv, budget in (
            ("nomade --help", [*NOMADE, "--help"], 0.35),
            ("nomade version", [*NOMADE, "version"], 0.35),
            ("nomade status", [*NOMADE, *data, "status"], 0.35),
            ("nomade sql", [*NOMADE, *data, "sql", "SELECT * FROM disk"], None),
            ("python -c pass (the floor)", [sys.executable, "-c", "pass"], None),
            ("loading the definitions", [sys.executable, "-c", LOAD], 2.5),
        ):
            seconds = _median(argv)
            ratio = f"{EARLIER_STATUS_SECONDS / seconds:.1f} × faster than 1.5 s" if name == "nomade status" else ""
            report.add(name, seconds, f"< {budget} s" if budget else "", ratio)
        return [report]
    finally:
        shutil.rmtree(folder)


def _median(argv: list[str]) -> float:
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run(argv, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])
