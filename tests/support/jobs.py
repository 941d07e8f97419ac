"""Jobs of a real user on a lab, and how they ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from support.lab import Lab

USER = "nomade-alice"
# Holds memory, computes, and writes for some seconds with its files open: 40 MB to scratch, 20 MB to the network.
WORK = """
import sys, time
held = bytearray(100 * 2**20)
with open(sys.argv[1] + "/local", "wb", buffering=0) as local, open(sys.argv[2] + "/net", "wb", buffering=0) as net:
    for _ in range(20):
        local.write(bytes(2 * 2**20)), net.write(bytes(2**20))
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        time.sleep(0.1)
time.sleep(float(sys.argv[3]))
"""


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found
    return found


@dataclass
class Jobs:
    """Submits jobs of a real user to a lab, and asks how they ended.

    Attributes:
        lab: the cluster.
        script: a program that every user may read.
    """

    lab: Lab
    script: Path

    def submit(self, command: str, *options: str) -> str:
        argv = ["sbatch", "--parsable", f"--uid={USER}", f"--gid={USER}", "--chdir=/", "--output=/dev/null", *options]
        done = self.lab.run([*argv, f"--wrap={command}"])
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def work(self, rest: float = 0.0) -> str:
        """Return the command line of the program above, with this user's folders."""
        places = [f"{self.lab.folder}/{name}/{USER}" for name in ("scratch", "net")]
        return f"/usr/bin/python3 {self.script} {' '.join(places)} {rest}"

    def ended(self, job: str) -> list[dict[str, str]]:
        """Wait for a job's end as the accounting tells it; return its rows, the allocation first."""
        fields = ["JobIDRaw", "State", "TotalCPU", "MaxRSS"]

        def rows() -> list[dict[str, str]]:
            done = self.lab.run(["sacct", "-n", "-P", "-j", job, "--noconvert", f"--format={','.join(fields)}"])
            found = [dict(zip(fields, line.split("|"), strict=True)) for line in done.stdout.decode().splitlines()]
            return found if found and found[0]["State"] not in ("PENDING", "RUNNING", "COMPLETING") else []

        return until(rows, 120)

    def nodes(self) -> set[str]:
        done = self.lab.run(["sinfo", "-h", "-N", "-o", "%T"])
        return set(done.stdout.decode().split())


def jobs_on(lab: Lab) -> Jobs:
    script = lab.folder / "jobs" / "monitored.py"
    script.write_text(WORK)
    script.chmod(0o755)
    return Jobs(lab, script)
