"""GPUs that processes use: `nvidia-smi --query-compute-apps` and the utilisation of those GPUs, by UUID.

Never by index: CUDA's ordinals, NVML's and the minor numbers differ (tool_traps 74). A process that computes through
NVIDIA's MPS server is not listed as itself (80), so its job shows no GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import AbstractSet, Dict, List, Optional, Set

from nomade_pipeline.collectors.base import CollectorError
from nomade_pipeline.collectors.commands import run_any
from nomade_pipeline.collectors.gpu import TOOL_NAME
from nomade_pipeline.collectors.gpu import parse as parse_gpus
from nomade_pipeline.collectors.gpu_rows import byte_count
from nomade_pipeline.probes import Probe

_SECONDS = 10.0
_APPS = ("--query-compute-apps=pid,gpu_uuid,used_memory", "--format=csv")
_GPUS = ("--query-gpu=uuid,utilization.gpu", "--format=csv")
_MEMORY_NAMES = ("used_gpu_memory", "used_memory")


@dataclass
class GpuUse:
    """What one process uses of one GPU; memory_bytes is None when the driver does not tell."""

    pid: int
    uuid: str
    memory_bytes: Optional[int]


@dataclass
class GpuPicture:
    """All GPU use of a host at one moment.

    Attributes:
        uses: by process and GPU.
        utilization: percent by UUID; a GPU that does not tell is missing.
        problem: why something could not be read.
    """

    uses: List[GpuUse] = field(default_factory=list)
    utilization: Dict[str, float] = field(default_factory=dict)
    problem: Optional[str] = None


def read_gpus(probe: Probe) -> GpuPicture:
    """Ask nvidia-smi; an empty picture where it is not installed.

    Raises:
        Interrupted: the agent is stopping.
    """
    picture = GpuPicture()
    if probe.which(TOOL_NAME) is None:
        return picture
    try:
        picture.uses = parse_apps(run_any(probe, (TOOL_NAME, *_APPS), _SECONDS).stdout)
        if picture.uses:
            text = run_any(probe, (TOOL_NAME, *_GPUS), _SECONDS).stdout
            told = {row["gpu_uuid"]: row["utilization_percent"] for row in parse_gpus(text).rows["gpu"]}
            picture.utilization = {uuid: value for uuid, value in told.items() if value is not None}
    except CollectorError as error:
        picture.problem = str(error)
    return picture


def parse_apps(text: str) -> List[GpuUse]:
    """Read the CSV of `--query-compute-apps`; lines that are no process are left out.

    Raises:
        CollectorError: there is no header with pid and gpu_uuid.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or "No devices were found" in lines[0]:
        return []
    names = [name.split(" [")[0].strip() for name in lines[0].split(",")]
    if not {"pid", "gpu_uuid"} <= set(names):
        raise CollectorError("parse", f"nvidia-smi: the first line has no pid and gpu_uuid: {lines[0][:80]!r}")
    memory = next((name for name in _MEMORY_NAMES if name in names), None)
    uses = []
    for line in lines[1:]:
        # A path of a program may hold a comma; what we ask for ourselves has none.
        cells = dict(zip(names, (cell.strip() for cell in line.split(", "))))
        if len(line.split(", ")) == len(names) and cells["pid"].isdigit() and cells["gpu_uuid"]:
            uses.append(GpuUse(int(cells["pid"]), cells["gpu_uuid"], _bytes(cells.get(memory or "", ""))))
    return uses


def _bytes(text: str) -> Optional[int]:
    """Read `370 MiB`; None for [N/A] and for a fault."""
    try:
        value = byte_count(text)
    except ValueError:
        return None
    return value if isinstance(value, int) and value >= 0 else None


@dataclass(frozen=True)
class JobGpus:
    """GPU use of one job: its UUIDs, the mean utilisation of those GPUs, the memory of its processes."""

    uuids: Optional[str] = None
    util_percent: Optional[float] = None
    memory_bytes: Optional[int] = None


def gpus_of(picture: GpuPicture, pids: AbstractSet[int]) -> JobGpus:
    """Return what a job's processes use. A GPU at 0 % counts in the mean (tool_traps 79)."""
    uses = [use for use in picture.uses if use.pid in pids]
    uuids: Set[str] = {use.uuid for use in uses}
    if not uuids:
        return JobGpus()
    told = [picture.utilization[uuid] for uuid in uuids if uuid in picture.utilization]
    memory = [use.memory_bytes for use in uses if use.memory_bytes is not None]
    return JobGpus(",".join(sorted(uuids)), sum(told) / len(told) if told else None, sum(memory) if memory else None)
