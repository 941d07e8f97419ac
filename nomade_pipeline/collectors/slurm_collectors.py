"""The collectors of Slurm as the registry holds them; their modules are imported only where Slurm is installed.

A compute node without Slurm, or a workstation, would otherwise carry 2 MB of code that it never runs.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from nomade_pipeline.collectors.base import Collected, Collector, LastingMemory, Memory, Parsed, Skipped
from nomade_pipeline.probes import Probe
from nomade_pipeline.tables.nodes import JOB_FINDING, JOB_MONITOR, NODE_STATE
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS
from nomade_pipeline.tables.slurm_queue import SLURM_TABLES

# A cluster's services may be kept busy for this share of the time.
LOAD_BUDGET = 0.05


class Deferred:
    """A memory of a collector that is made when it is first needed.

    Args:
        module: name of the collector's module.
        memory: name of the memory's class in it.
        tools: commands of which one must be installed.
    """

    def __init__(self, module: str, memory: str, tools: Tuple[str, ...]) -> None:
        self._module, self._memory, self._tools = module, memory, tools
        self._made: Optional[Memory] = None

    def collect(self, probe: Probe, settings: Any, interval: int) -> Collected:
        """See Memory.

        Raises:
            Skipped: Slurm is not installed on this host.
        """
        if self._made is None:
            _require_any(probe, self._tools)
        return self._make().collect(probe, settings, interval)

    def forget(self) -> None:
        """See Memory."""
        if self._made is not None:
            self._made.forget()

    def _make(self) -> Memory:
        if self._made is None:
            self._made = getattr(_module(self._module), self._memory)()
        return self._made


class LastingDeferred(Deferred):
    """The same of a memory that outlives a restart of the agent."""

    def to_state(self, boot_id: str) -> Optional[Dict[str, Any]]:
        """See LastingMemory; None while there is nothing to keep."""
        return self._made.to_state(boot_id) if isinstance(self._made, LastingMemory) else None

    def recall(self, state: Mapping[str, Any], boot_id: str) -> None:
        """See LastingMemory."""
        made = self._make()
        assert isinstance(made, LastingMemory)
        made.recall(state, boot_id)


def _module(name: str) -> Any:
    return importlib.import_module(f"nomade_pipeline.collectors.{name}")


def _require_any(probe: Probe, tools: Tuple[str, ...]) -> None:
    if not any(probe.which(tool) for tool in tools):
        raise Skipped("not_present", f"{tools[0]} is not installed: there is no Slurm on this host")


def _collector(
    name: str,
    tools: Tuple[str, ...],
    remembering: Optional[Callable[[], Memory]] = None,
    parser: str = "",
    **about: Any,
) -> Collector:
    """Build a collector whose functions, or whose memory, are those of the module with its name.

    Args:
        name: of the collector and its module.
        tools: commands of which one must be installed.
        remembering: see Collector.
        parser: the module that parses, where it is another one.
        about: the other attributes of Collector.
    """

    def collect(probe: Probe, settings: Any, interval: int) -> Collected:
        if remembering is not None:
            return remembering().collect(probe, settings, interval)
        _require_any(probe, tools)
        collected: Collected = _module(name).collect(probe, settings, interval)
        return collected

    def parse(text: str) -> Parsed:
        parsed: Parsed = _module(parser or name).parse(text)
        return parsed

    return Collector(name=name, collect=collect, parse=parse, remembering=remembering, optional=True, **about)


SLURM = _collector(
    "slurm",
    ("squeue",),
    lambda: Deferred("slurm", "QueueMemory", ("squeue",)),
    parser="slurm_parse",
    title="Slurm's queue: jobs, reasons, partitions, scheduler, shares, priorities",
    command="squeue -a -O …",
    tables=SLURM_TABLES,
    spans_interval=False,
    load_budget=LOAD_BUDGET,
)

NODES = _collector(
    "node_state",
    ("scontrol",),
    title="Nodes of the cluster: state, drain reason, allocation, load, memory, GPUs",
    command="scontrol -a -d -o show node",
    tables=(NODE_STATE,),
    spans_interval=False,
    load_budget=LOAD_BUDGET,
)

JOBS = _collector(
    "job_metrics",
    ("sacct",),
    lambda: Deferred("job_metrics", "JobHistory", ("sacct",)),
    title="Jobs that have ended: request, use, efficiency, outcome",
    command="sacct --allusers --duplicates --local --parsable --state=<ended> --starttime=<t> --endtime=<t>",
    tables=(JOB_METRICS,),
    spans_interval=False,
    load_budget=LOAD_BUDGET,
)

_NODE_TOOLS = ("scontrol", "slurmd", "srun")

MONITOR = _collector(
    "job_monitor",
    _NODE_TOOLS,
    lambda: LastingDeferred("job_monitor", "JobMonitor", _NODE_TOOLS),
    title="Running jobs: CPU, memory, network and local I/O, GPUs of their processes",
    command="scontrol listpids",
    tables=(JOB_MONITOR, JOB_FINDING),
    spans_interval=True,
    default_interval=30,
)
