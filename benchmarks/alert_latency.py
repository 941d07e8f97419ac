"""From a disk that fills to the mail about it: real file systems, agent, Dagster sensors and mail server.

Each file system is a tmpfs of its own that a writer fills faster and faster. ``nomade up`` runs as an installation
does, with its sensors every 30 s. Needs root, for the mounts.
"""

from __future__ import annotations

import contextlib
import email
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from email.policy import SMTP
from pathlib import Path
from typing import Any, Iterator

from benchmarks.report import Report
from nomade_pipeline import clock
from nomade_pipeline.store.spool import decode_line, spool_files, whole_lines

FILESYSTEMS, MEGABYTES = 8, 64
# Until a file system is full: long enough for a forecast, which needs eight evaluations. Between the beginnings of two:
# no multiple of the sensors' 30 s.
FILL_SECONDS, APART_SECONDS = 420.0, 11.0
THRESHOLD_PERCENT, FULL_SHARE = 85.0, 0.97
AGENT_SECONDS, GOAL_SECONDS = 5, 60.0
FORECAST, FULL = "fills-soon", "disk-full"
_TOLD = re.compile(r"^(?:WARNING|CRITICAL) (\S+) (\S+) \(", re.MULTILINE)

RULE = f"""\
[[rule]]
name = "{FORECAST}"
summary = "Full within five minutes with 90 % confidence."
kind = "forecast"
table = "disk"
column = "used_bytes"
limit = "used_bytes + available_bytes"
per = "hour"
window = "7m"
warning = 0.08
"""


class Mailbox:
    """Takes mails and remembers when each alert was told first.

    Attributes:
        told: by rule and mount.
        mails: how many came.
    """

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], datetime] = {}
        self.mails = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        now = clock.now()
        self.mails += 1
        part = email.message_from_bytes(envelope.content, policy=SMTP).get_body(("plain",))
        assert part is not None
        for rule, subject in _TOLD.findall(part.get_content()):
            self.told.setdefault((rule, subject.rpartition(":")[2]), now)
        return "250 OK"


def run() -> list[Report]:
    """Fill the file systems and time every message."""
    if os.geteuid() != 0:
        print("alert_latency needs root: each file system is a mount of its own", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="nomade-latency-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        box, port = stack.enter_context(_mail_server())
        mounts = [stack.enter_context(_mounted(folder / f"fs{number}")) for number in range(FILESYSTEMS)]
        _configure(folder, port, mounts)
        stack.enter_context(_installation(folder))
        _fill(mounts)
        _wait_for(box, {(FULL, str(mount)) for mount in mounts})
        return [_report(box, _stored(folder / "data"), list(map(str, mounts)))]


@contextlib.contextmanager
def _mail_server() -> Iterator[tuple[Mailbox, int]]:
    from aiosmtpd.controller import Controller

    box, port = Mailbox(), _free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()  # type: ignore[no-untyped-call]
    try:
        yield box, port
    finally:
        controller.stop()  # type: ignore[no-untyped-call]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _mounted(path: Path) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "nomade-latency", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def _configure(folder: Path, port: int, mounts: list[Path]) -> None:
    (folder / "alerts.toml").write_text(RULE)
    others = ("iostat", "mpstat", "vmstat", "nfs", "gpu", "slurm", "job_metrics", "node_state")
    (folder / "nomade.toml").write_text(
        f'[general]\ncluster_name = "bench"\nhost = "bench"\ndata_dir = "{folder / "data"}"\n'
        f"[monitor]\nenabled = false\n"
        f"[collectors.disk]\ninterval = {AGENT_SECONDS}\nfilesystems = {[str(mount) for mount in mounts]}\n"
        + "".join(f"[collectors.{name}]\nenabled = false\n" for name in others)
        + '[alerts]\nemail_enabled = true\nemail_to = ["oncall@example.org"]\nemail_from = "nomade@example.org"\n'
        + f'smtp_host = "127.0.0.1"\nsmtp_port = {port}\n'
    )


@contextlib.contextmanager
def _installation(folder: Path) -> Iterator[None]:
    """Run `nomade up` until the block ends; it has a minute to come up."""
    command = [sys.executable, "-m", "nomade_pipeline.cli.main", "--config", str(folder / "nomade.toml")]
    with (folder / "up.log").open("wb") as log:
        subprocess.run([*command, "init"], check=True, stdout=log, stderr=log)
        up = subprocess.Popen([*command, "up", "--port", str(_free_port())], stdout=log, stderr=log)
        try:
            beat, deadline = folder / "data" / "heartbeat.json", time.monotonic() + 120
            while not beat.exists():
                if up.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((folder / "up.log").read_text()[-3000:])
                time.sleep(0.5)
            yield
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


def _fill(mounts: list[Path]) -> None:
    """Fill each file system in a thread, one after the other beginning."""
    threads = []
    for mount in mounts:
        threads.append(threading.Thread(target=_write, args=(mount,)))
        threads[-1].start()
        time.sleep(APART_SECONDS)
    for thread in threads:
        thread.join()


def _write(mount: Path) -> None:
    """Write until the file system is nearly full: slowly at first, then faster and faster."""
    began, size = time.monotonic(), MEGABYTES * 2**20
    with (mount / "data").open("wb", buffering=0) as file:
        while (passed := (time.monotonic() - began) / FILL_SECONDS) < 1.0:
            wanted = int(size * min(FULL_SHARE, 0.15 * passed + 0.85 * passed**2))
            file.write(bytes(max(0, wanted - file.tell())))
            time.sleep(0.2)


def _wait_for(box: Mailbox, wanted: set[tuple[str, str]]) -> None:
    deadline = time.monotonic() + 120
    while not wanted <= set(box.told) and time.monotonic() < deadline:
        time.sleep(1)


def _stored(data: Path) -> dict[str, datetime]:
    """Return by mount when the first sample beyond the threshold was stored."""
    found: dict[str, datetime] = {}
    for file in spool_files(data / "spool", "disk"):
        for line in whole_lines(file.path.read_bytes()):
            for row in decode_line(line).to_rows():
                if row["used_percent"] is not None and row["used_percent"] >= THRESHOLD_PERCENT:
                    found.setdefault(row["mount"], clock.from_text(row["received_time"]))
    return found


def _report(box: Mailbox, stored: dict[str, datetime], mounts: list[str]) -> Report:
    full = [(box.told[FULL, mount] - stored[mount]).total_seconds() for mount in mounts if (FULL, mount) in box.told]
    ahead = [
        (stored[mount] - box.told[FORECAST, mount]).total_seconds() for mount in mounts if (FORECAST, mount) in box.told
    ]
    report = Report(
        f"{FILESYSTEMS} file systems that fill faster and faster: sample → sensor every 30 s → mail server",
        ("what", "figure", "goal"),
    )
    report.add("told that it is full, of those that were", f"{len(full)} of {len(stored)}", "all")
    report.add("from the first sample beyond 85 % stored to the mail taken, median, s", statistics.median(full), "")
    report.add("the same, 95th percentile, s", _percentile(full, 0.95), f"≤ {GOAL_SECONDS:.0f}")
    report.add("the same, worst, s", max(full), "")
    report.add("told before by the forecast", f"{sum(lead > 0 for lead in ahead)} of {len(stored)}", "all")
    if ahead:
        report.add(
            "how long before the threshold, median (least), s",
            f"{statistics.median(ahead):.0f} ({min(ahead):.0f})",
            "> 0",
        )
    report.add("mails", box.mails, "")
    report.notes.append(
        f"Each is a tmpfs of {MEGABYTES} MiB that is full after {FILL_SECONDS:.0f} s; the agent samples every "
        f"{AGENT_SECONDS} s, the forecast looks back 7 min at one sample an evaluation, from the eighth on, and warns "
        "of less than 5 min with 90 % confidence. "
        "`nomade up` with its web server and daemon, on the machine of the writers."
    )
    return report


def _percentile(values: list[float], share: float) -> float:
    """Return the smallest value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    for each in run():
        print(each.markdown())
