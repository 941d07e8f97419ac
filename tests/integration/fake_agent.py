"""A program: the real agent with two collectors whose every result is also written to a file of marks.

``python fake_agent.py CONFIG MARKS [INTERVAL]``. A mark is the monotonic time and the path of a row; it
is written when the collector returns, so what is marked must reach the spool.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nomade_pipeline import clock
from nomade_pipeline.agent.serve import serve
from nomade_pipeline.collectors.base import Collected, Collector, Parsed, Reading
from nomade_pipeline.tables.system import DISK, IOSTAT


def main(config: str, marks: str, interval: str = "0.05") -> int:
    """Run until told to stop."""
    descriptor = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def collect(probe, settings, seconds):
        path = f"/{os.getpid()}/{clock.monotonic():.6f}"
        row = {"path": path, "status": "ok", "message": "x" * 300}
        os.write(descriptor, f"{clock.monotonic()} {path}\n".encode())
        return Collected((Reading("disk", (row,), clock.now(), 1.0),))

    def sleep(probe, settings, seconds):
        probe.run(["sh", "-c", "sleep 61 & sleep 61"], 100)
        return Collected(())

    collectors = [
        Collector("disk", "marks", "none", (DISK,), collect, lambda text: Parsed({}), spans_interval=False),
        Collector("iostat", "sleeps", "sleep", (IOSTAT,), sleep, lambda text: Parsed({}), spans_interval=True),
    ]
    return serve(Path(config), collectors[:1] if float(interval) < 1 else collectors, interval=float(interval))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
