"""The memory of one running job on one node, and its row at each look."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, Mapping, Optional, Sequence

from nomade_pipeline import clock
from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.job_cgroup import CgroupReading
from nomade_pipeline.collectors.job_files import FileKinds
from nomade_pipeline.collectors.job_gpu import JobGpus
from nomade_pipeline.collectors.job_io import Ledger
from nomade_pipeline.collectors.job_processes import FoundJob
from nomade_pipeline.collectors.job_sstat import StepSums
from nomade_pipeline.collectors.process_table import TICKS_PER_SECOND, Process
from nomade_pipeline.collectors.procfs import PAGE_BYTES
from nomade_pipeline.probes import Probe

CGROUP, RSS, SSTAT = "cgroup", "rss", "sstat"


@dataclass
class JobWatch:
    """One job on one node, from its first look to its last.

    Attributes:
        job, node: its number, and Slurm's name of the node.
        seen_time: last look.
        start_time: begin of its oldest process.
        user: name of its user, None while not known.
        restarts: how often Slurm has started it again, None when not told.
        ledger: CPU time and I/O of its processes.
        unread: processes of the last look whose I/O could not be read.
        told_at, told_write: when the last row was made, monotonic clock, and the bytes written until then.
        write_peak: highest rate of writing so far, bytes a second.
        cpu_seconds, peak_bytes, used_peak_bytes: largest so far, None for none yet.
        oom_kills: kills by group; groups of ended steps are kept.
        row: as told at the last look.
    """

    job: str
    node: str
    seen_time: datetime
    start_time: Optional[datetime] = None
    user: Optional[str] = None
    restarts: Optional[int] = None
    ledger: Ledger = field(default_factory=Ledger)
    unread: int = 0
    told_at: Optional[float] = None
    told_write: int = 0
    write_peak: Optional[float] = None
    cpu_seconds: Optional[float] = None
    peak_bytes: Optional[int] = None
    used_peak_bytes: Optional[int] = None
    oom_kills: Dict[str, int] = field(default_factory=dict)
    row: Row = field(default_factory=dict)

    def knows_any_of(self, processes: Sequence[Process]) -> bool:
        """Whether one of the processes was there at the last look."""
        return any(each.identity in self.ledger.known for each in processes)

    def look(self, probe: Probe, processes: Sequence[Process], files: FileKinds) -> None:
        """Take in what the processes have done since the last look."""
        self.unread = self.ledger.look(probe, processes, files)
        self.seen_time = probe.now()

    def _note_rate(self, now: float) -> None:
        """Take note of the rate of writing since the last row."""
        if not self.ledger.is_read:
            return
        written = self.ledger.sums.write
        if self.told_at is not None and now > self.told_at:
            self.write_peak = _larger(self.write_peak, (written - self.told_write) / (now - self.told_at))
        self.told_at, self.told_write = now, written

    def row_of(self, now: float, found: FoundJob, group: CgroupReading, gpus: JobGpus, sums: StepSums) -> Row:
        """Return the row of this look.

        Args:
            now: monotonic clock, seconds.
            found: the job as found now.
            group: what its cgroup counts.
            gpus: the GPUs that it uses.
            sums: what sstat told of it, if it was asked.
        """
        self._note_rate(now)
        self.row = {
            "job_id_raw": self.job,
            "node": self.node,
            "start_time": self.start_time,
            "user": self.user,
            "found_by": found.found_by,
            "is_final": False,
            "processes": len(found.processes),
            "unread": self.unread,
            "cpu_seconds": self._cpu(found, group, sums),
            **self._memory(found, group, sums),
            **self._io(sums),
            "write_peak_bytes_per_second": self.write_peak,
            "gpu_uuids": gpus.uuids,
            "gpu_util_percent": gpus.util_percent,
            "gpu_memory_bytes": gpus.memory_bytes,
            "restarts": self.restarts,
        }
        return self.row

    def _cpu(self, found: FoundJob, group: CgroupReading, sums: StepSums) -> Optional[float]:
        told = group.cpu_seconds
        if told is None and (found.processes or self.ledger.known):
            told = self.ledger.sums.cpu_ticks / TICKS_PER_SECOND
        self.cpu_seconds = _larger(self.cpu_seconds, sums.cpu_seconds if told is None else told)
        return self.cpu_seconds

    def _memory(self, found: FoundJob, group: CgroupReading, sums: StepSums) -> Row:
        source: Optional[str] = CGROUP
        memory, used = group.memory_bytes, group.memory_bytes
        if memory is not None and group.cache_bytes is not None:
            used = max(0, memory - group.cache_bytes)
        elif memory is None and found.processes:
            memory = used = sum(each.rss_pages for each in found.processes) * PAGE_BYTES
            source = RSS
        elif memory is None:
            memory = used = sums.memory_bytes
            source = SSTAT if memory is not None else None
        self.peak_bytes = _larger(self.peak_bytes, memory if group.peak_bytes is None else group.peak_bytes)
        self.used_peak_bytes = _larger(self.used_peak_bytes, used)
        for folder, kills in (group.oom_kills or {}).items():
            self.oom_kills[folder] = max(kills, self.oom_kills.get(folder, 0))
        return {
            "memory_bytes": memory,
            "memory_cache_bytes": group.cache_bytes,
            "memory_peak_bytes": self.peak_bytes,
            "memory_used_peak_bytes": self.used_peak_bytes,
            "memory_limit_bytes": group.limit_bytes,
            "memory_source": source,
            "swap_bytes": group.swap_bytes,
            "oom_kills": sum(self.oom_kills.values()) if self.oom_kills else None,
        }

    def _io(self, sums: StepSums) -> Row:
        if not self.ledger.is_read:
            return {"read_bytes": sums.read_bytes, "write_bytes": sums.write_bytes}
        total, kinds = self.ledger.sums, self.ledger.kinds
        return {
            "network_read_bytes": kinds.network_read,
            "network_write_bytes": kinds.network_write,
            "local_read_bytes": kinds.local_read,
            "local_write_bytes": kinds.local_write,
            "read_bytes": total.read,
            "write_bytes": total.write,
            "unattributed_write_bytes": total.write - kinds.network_write - kinds.local_write,
        }

    def to_dict(self) -> Dict[str, Any]:
        """Return the watch for JSON."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {
            **plain,
            "seen_time": clock.to_text(self.seen_time),
            "start_time": None if self.start_time is None else clock.to_text(self.start_time),
            "ledger": self.ledger.to_dict(),
            "oom_kills": self.oom_kills,
            "row": {k: clock.to_text(v) if isinstance(v, datetime) else v for k, v in self.row.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> JobWatch:
        """Return the watch that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            **{name: content[name] for name in _PLAIN},
            seen_time=clock.from_text(content["seen_time"]),
            start_time=None if content["start_time"] is None else clock.from_text(content["start_time"]),
            ledger=Ledger.from_dict(content["ledger"]),
            oom_kills={str(folder): int(kills) for folder, kills in content["oom_kills"].items()},
            row=row_from_state(content["row"]),
        )


# Attributes that JSON holds as they are.
_PLAIN = (
    "job", "node", "user", "restarts", "unread", "told_at", "told_write", "write_peak", "cpu_seconds", "peak_bytes",
    "used_peak_bytes",
)  # fmt: skip


def row_from_state(content: Mapping[str, Any]) -> Row:
    """Return a row as `to_dict` wrote it.

    Raises:
        TypeError, ValueError: it is none.
    """
    row = dict(content)
    if row.get("start_time") is not None:
        row["start_time"] = clock.from_text(row["start_time"])
    return row


def _larger(before: Any, value: Any) -> Any:
    """Return the larger of two numbers that may be None."""
    return before if value is None else value if before is None else max(before, value)
