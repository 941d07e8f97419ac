"""What a job asked for and used: sums and peaks over its steps, and the three definitions of memory efficiency."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from nomade_pipeline.collectors.base import Row
from nomade_pipeline.collectors.sacct_cells import Cells
from nomade_pipeline.collectors.sacct_columns import parse_count, parse_memory_request
from nomade_pipeline.collectors.slurm_values import (
    gpus_of_tres,
    is_absent,
    parse_duration,
    parse_gres,
    parse_size,
    parse_tres,
)

Tres = Dict[str, str]


def request_columns(cells: Cells, *, started: bool) -> Row:
    """Return what was asked for and allocated; of a job that never started nothing was allocated."""
    asked, given = cells.read(parse_tres, "reqtres") or {}, cells.read(parse_tres, "alloctres") or {}
    req_cpus = cells.read(parse_count, "reqcpus") or cells.amount(asked, "cpu")
    req_nodes = cells.read(parse_count, "reqnodes") or cells.amount(asked, "node")
    nodes = cells.read(parse_count, "allocnodes") or cells.amount(given, "node") or cells.read(parse_count, "nnodes")
    cpus = cells.read(parse_count, "alloccpus", "ncpus") or cells.amount(given, "cpu")
    alloc_gpus, types = _gpus(cells, given, "alloctres", "allocgres", nodes)
    req_gpus, _ = _gpus(cells, asked, "reqtres", "reqgres", req_nodes or nodes)
    memory = cells.amount(asked, "mem") or requested_memory(cells, req_cpus or cpus, req_nodes or nodes)
    return {
        "req_cpus": req_cpus,
        "req_nodes": req_nodes,
        "req_memory_bytes": memory,
        "req_gpus": req_gpus,
        "alloc_cpus": cpus or None if started else None,
        "alloc_nodes": nodes or None if started else None,
        "alloc_memory_bytes": cells.amount(given, "mem") or None if started else None,
        "alloc_gpus": alloc_gpus if started else None,
        "gpu_types": ",".join(types) or None if started else None,
        "node_list": cells.text("nodelist") if started and not is_absent(cells.text("nodelist")) else None,
        "alloc_tres": cells.text("alloctres") if started else None,
    }


def requested_memory(cells: Cells, cpus: Optional[int], nodes: Optional[int]) -> Optional[int]:
    """Return the memory asked for over all nodes from `ReqMem`, whose `n` and `c` are per node and per CPU."""
    size, per = cells.read(parse_memory_request, "reqmem") or (None, "")
    factor = {"": 1, "n": nodes, "c": cpus}[per]
    return size * factor if size is not None and factor else None


def _gpus(
    cells: Cells, tres: Tres, tres_name: str, gres_name: str, nodes: Optional[int]
) -> Tuple[Optional[int], List[str]]:
    """Return the number of GPUs and their types; None when the source does not tell resources.

    Generic resources, of sources older than trackable ones, are told per node.
    """
    if tres:
        found = cells.read(lambda text: gpus_of_tres(parse_tres(text)), tres_name)
        return found if found is not None else (None, [])
    if cells.has(gres_name) and not cells.has(tres_name):
        count, types = cells.read(parse_gres, gres_name) or (0, [])
        return (count * nodes if nodes else (None if count else 0)), types
    return None, []


def use_columns(allocation: Cells, steps: Sequence[Cells]) -> Row:
    """Return what the steps used; where the source tells no steps, what the allocation's own record says."""
    measured = steps or (allocation,)
    taken = [(each, each.read(parse_tres, "tresusageintot") or {}) for each in measured]
    memory = {
        "memory_seff_bytes": _peak(_step_memory(each, tres) for each, tres in taken),
        "memory_max_rss_tasks_bytes": _peak(_times_tasks(each, "maxrss") for each in measured),
        "memory_max_rss_bytes": _peak(each.read(parse_size, "maxrss") for each in measured),
    }
    return {
        "steps": len(steps),
        **_cpu_columns(allocation, steps, sampled=any(memory.values())),
        **memory,
        "disk_read_bytes": _added(_disk(each, tres, "avediskread") for each, tres in taken),
        "disk_write_bytes": _added(
            _disk(each, each.read(parse_tres, "tresusageouttot") or {}, "avediskwrite") for each in measured
        ),
        "gpu_memory_bytes": _largest(each.amount(tres, "gres/gpumem") for each, tres in taken),
        "gpu_util_percent": _as_float(_largest(each.amount(tres, "gres/gpuutil") for each, tres in taken)),
        "energy_joules": _energy(allocation, taken),
    }


def _peak(values: Iterable[Optional[int]]) -> Optional[int]:
    """Return the largest peak; 0 is what Slurm writes when a step ended before it was first sampled."""
    return _largest(values) or None


def efficiency_columns(row: Row) -> Row:
    """Return the ratios of what was used to what was there; none without both."""
    cpu_time = _product(row["elapsed_seconds"], row["alloc_cpus"])
    return {
        "cpu_efficiency_ratio": _ratio(row["cpu_seconds"], cpu_time),
        "memory_efficiency_ratio": _ratio(row["memory_seff_bytes"], row["alloc_memory_bytes"]),
        "memory_tasks_efficiency_ratio": _ratio(row["memory_max_rss_tasks_bytes"], row["req_memory_bytes"]),
    }


def _cpu_columns(allocation: Cells, steps: Sequence[Cells], *, sampled: bool) -> Row:
    """Return the CPU times; no time at all of a job that was not sampled is not measured (its node died)."""
    user = _cpu_seconds(allocation, steps, "usercpu")
    system = _cpu_seconds(allocation, steps, "systemcpu")
    total = _cpu_seconds(allocation, steps, "totalcpu")
    if total is None and user is not None and system is not None:
        total = user + system
    if not sampled and not total:
        user = system = total = None
    return {"user_cpu_seconds": user, "system_cpu_seconds": system, "cpu_seconds": total}


def _cpu_seconds(allocation: Cells, steps: Sequence[Cells], name: str) -> Optional[float]:
    """Return the CPU time over all steps.

    The allocation's own figure knows steps that the output lacks, their sum knows fractions that it has lost:
    the larger one is right.
    """
    told = [seconds for seconds in (each.read(parse_duration, name) for each in steps) if seconds is not None]
    own = allocation.read(parse_duration, name)
    sums = [round(sum(told), 3)] if told else []
    return max(sums if own is None else [*sums, own], default=None)


def _step_memory(step: Cells, tres: Tres) -> Optional[int]:
    """Return the sum of the peaks of a step's tasks; before 18.08 it is told as their mean."""
    total = step.amount(tres, "mem")
    return total if total is not None else _times_tasks(step, "averss")


def _disk(step: Cells, tres: Tres, mean: str) -> Optional[int]:
    total = step.amount(tres, "fs/disk")
    return total if total is not None else _times_tasks(step, mean)


def _times_tasks(step: Cells, name: str) -> Optional[int]:
    """Return a task's figure times the number of the step's tasks."""
    size = step.read(parse_size, name)
    tasks = step.read(parse_count, "ntasks")
    return size * tasks if size is not None and tasks else None


def _energy(allocation: Cells, taken: Sequence[Tuple[Cells, Tres]]) -> Optional[float]:
    """Return the energy of the nodes; 0 is what Slurm writes without an energy plugin.

    Each step tells that of its nodes while it ran, so the largest counts, not the sum.
    """
    own = _told_energy(allocation, allocation.read(parse_tres, "alloctres") or {})
    return _as_float(own or _largest(_told_energy(each, tres) for each, tres in taken))


def _told_energy(cells: Cells, tres: Tres) -> Optional[int]:
    """Return the energy that a record tells; suffixes are powers of 1000."""
    raw = cells.read(parse_count, "consumedenergyraw")
    return raw or cells.read(_joules, "consumedenergy") or cells.amount(tres, "energy", base=1000) or None


def _joules(text: str) -> Optional[int]:
    return parse_size(text, base=1000)


def _largest(values: Iterable[Optional[int]]) -> Optional[int]:
    return max((value for value in values if value is not None), default=None)


def _added(values: Iterable[Optional[int]]) -> Optional[int]:
    told = [value for value in values if value is not None]
    return sum(told) if told else None


def _as_float(value: Optional[int]) -> Optional[float]:
    return None if value is None else float(value)


def _product(first: Optional[float], second: Optional[float]) -> Optional[float]:
    return first * second if first is not None and second is not None else None


def _ratio(part: Optional[float], whole: Optional[float]) -> Optional[float]:
    return part / whole if part is not None and whole else None
