"""A head node whose sacct answers with what a test says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Sequence

from nomade_pipeline.replay import Recorded, ReplayProbe

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
COLUMNS = ("JobID", "JobIDRaw", "State", "Submit", "Start", "End", "TotalCPU", "JobName")
OFFERED = Recorded(("sacct", "--helpformat"), "  ".join(COLUMNS) + "\n")
HEAD = {"/proc/1/comm": "systemd\n", "/proc/7/comm": "slurmctld\n", "/proc/sys/kernel/hostname": "Head1.example.org\n"}
MARK = "\x1f#!"
ASK = ("sacct", "--allusers")


def lines_of(*jobs: tuple[int, str], state: str = "COMPLETED", name: str = "train", ago: int = 600) -> str:
    """Return the output with an allocation and a step of each (number, CPU time), ended some seconds ago."""
    end = int(NOW.timestamp()) - ago
    records = [COLUMNS]
    for number, cpu in jobs:
        times = (str(end - 700), str(end - 600), str(end))
        records.append((f"{number}", f"{number}", state, *times, "00:00:00", name))
        records.append((f"{number}.batch", f"{number}.batch", state, *times, cpu, "batch"))
    return "".join(MARK.join(cells) + MARK + "\n" for cells in records)


class Slurm(ReplayProbe):
    """A head node whose sacct answers with these outputs in turn, and whose clock can be moved."""

    def __init__(self, *outputs: str | Recorded, files: Any = HEAD) -> None:
        answers = [each if isinstance(each, Recorded) else Recorded(ASK, each) for each in outputs]
        super().__init__([OFFERED, *answers], files, NOW)

    def windows(self) -> list[tuple[str, str]]:
        """Return start and end of each window that was asked for."""
        return [
            (option(words, "starttime"), option(words, "endtime"))
            for words in self.asked
            if "--helpformat" not in words
        ]


def option(words: Sequence[str], name: str) -> str:
    return next(word.partition("=")[2] for word in words if word.startswith(f"--{name}="))
