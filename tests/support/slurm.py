"""What the Slurm collectors leave in a spool: a small queue, its nodes, jobs waiting, running and ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from support.rows import data_of, reading_of

from nomade_pipeline.collectors.base import Reading, event_readings
from nomade_pipeline.tables import nodes, slurm_queue
from nomade_pipeline.tables.slurm_jobs import JOB_METRICS

GB = 2**30

# Numbers of the jobs that `slurm_cycle` tells of.
ENDED, FAILED, WAITING, RUNNING = "4711", "4712", "4800", "4801"


def ended_job(number: str, end: datetime, **values: Any) -> dict[str, Any]:
    """Return a job that ran 20 minutes on four CPUs, used half of them and a quarter of its memory, and succeeded."""
    plain = {
        "job_id_raw": number,
        "job_id": number,
        "array_job_id": None,
        "array_task_id": None,
        "het_job_id": None,
        "het_job_offset": None,
        "user": "alice",
        "account": "physics",
        "partition": "standard",
        "job_name": "simulate",
        "submit_time": end - timedelta(minutes=30),
        "start_time": end - timedelta(minutes=20),
        "end_time": end,
        "wait_seconds": 600.0,
        "elapsed_seconds": 1200.0,
        "time_limit_seconds": 36000.0,
        "time_limit_kind": "limited",
        "alloc_cpus": 4,
        "alloc_gpus": 0,
        "alloc_memory_bytes": 8 * GB,
        "state_raw": "COMPLETED",
        "state": "COMPLETED",
        "failure_class": 0,
        "class_source": "state",
        "exit_code": 0,
        "exit_signal": 0,
        "cpu_seconds": 2400.0,
        "cpu_efficiency_ratio": 0.5,
        "memory_seff_bytes": 2 * GB,
        "memory_efficiency_ratio": 0.25,
    }
    return data_of(JOB_METRICS, **{**plain, **values})


def queued_job(number: str, moment: datetime, **values: Any) -> dict[str, Any]:
    """Return a job that waits for resources."""
    plain = {
        "job_id_raw": number,
        "job_id": number,
        "array_job_id": None,
        "kind": "full",
        "tasks": 1,
        "user": "alice",
        "account": "physics",
        "partition": "standard",
        "job_name": "simulate",
        "state_raw": "PENDING",
        "state": "PENDING",
        "reason": "Resources",
        "reason_class": "resources",
        "cpus": 4,
        "gpus": 0,
        "submit_time": moment - timedelta(hours=3),
        "start_time": moment + timedelta(hours=1),
        "time_limit_seconds": 36000.0,
        "dependency": None,
    }
    return data_of(slurm_queue.SLURM_JOB, **{**plain, **values})


def running_job(number: str, moment: datetime, **values: Any) -> dict[str, Any]:
    """Return a job that has run for an hour."""
    running = {"state_raw": "RUNNING", "state": "RUNNING", "reason": None, "reason_class": None, "node_list": "node001"}
    return queued_job(number, moment, **{**running, "start_time": moment - timedelta(hours=1), **values})


def partition_row(name: str, **values: Any) -> dict[str, Any]:
    """Return the queue of a partition: four jobs run, twelve wait."""
    plain = {"partition": name, "running_jobs": 4, "pending_jobs": 12, "suspended_jobs": 0, "completing_jobs": 0}
    return data_of(slurm_queue.SLURM_QUEUE, **{**plain, "other_jobs": 0, "wait_max_seconds": 10800.0, **values})


def node_row(name: str, **values: Any) -> dict[str, Any]:
    """Return a node with 28 of 32 CPUs allocated."""
    plain = {
        "node": name,
        "node_host": name,
        "state_raw": "MIXED",
        "state": "MIXED",
        "flags": None,
        "drained": 0,
        "partitions": "standard",
        "reason": None,
        "reason_user": None,
        "reason_time": None,
        "cpus": 32,
        "cpus_allocated": 28,
        "cpu_load": 27.4,
        "memory_bytes": 100 * GB,
        "memory_allocated_bytes": 92 * GB,
        "gpus": 0,
        "gpus_allocated": 0,
    }
    return data_of(nodes.NODE_STATE, **{**plain, **values})


def drained_node(name: str) -> dict[str, Any]:
    """Return a node that an admin has drained."""
    why = {"reason": "GPU memory errors - investigating", "reason_user": "root"}
    out = {"state_raw": "IDLE+DRAIN", "state": "IDLE", "flags": "DRAIN", "drained": 1, "usable": 0}
    return node_row(name, cpus_allocated=0, memory_allocated_bytes=0, cpu_load=0.01, **why, **out)


def slurm_cycle(moment: datetime) -> list[Reading]:
    """Return what one cycle of the Slurm collectors on a head node gives."""
    idle = {"partition": "fast", "state": "up", "cpus_idle": 64, "time_limit_seconds": 86400.0}
    busy = {"partition": "standard", "state": "up", "cpus_idle": 0, "time_limit_seconds": None}
    waits = {"partition": "standard", "reason_class": "resources", "jobs": 12, "example_reason": "Resources"}
    scheduler = {"controller": "head", "controller_up": True, "dbd_up": True, "backups_down": 0}
    parts = {
        "job_id_raw": WAITING,
        "partition": "standard",
        "priority": 1500.0,
        "age": 1000.0,
        "fairshare_points": 500.0,
    }
    others = dict.fromkeys(("site", "association", "job_size", "partition_points", "qos_points", "nice"), 0.0)
    failed = {"state_raw": "OUT_OF_MEMORY", "state": "OUT_OF_MEMORY", "failure_class": 4, "user": "bob"}
    return [
        reading_of(
            slurm_queue.SLURM_QUEUE, moment, partition_row("standard"), partition_row(slurm_queue.WHOLE_CLUSTER)
        ),
        reading_of(slurm_queue.SLURM_PENDING, moment, data_of(slurm_queue.SLURM_PENDING, **waits)),
        reading_of(
            slurm_queue.SLURM_PARTITION,
            moment,
            data_of(slurm_queue.SLURM_PARTITION, **busy),
            data_of(slurm_queue.SLURM_PARTITION, **idle),
        ),
        reading_of(slurm_queue.SLURM_SCHEDULER, moment, data_of(slurm_queue.SLURM_SCHEDULER, **scheduler)),
        reading_of(slurm_queue.SLURM_JOB, moment, queued_job(WAITING, moment), running_job(RUNNING, moment)),
        reading_of(slurm_queue.SLURM_PRIORITY, moment, data_of(slurm_queue.SLURM_PRIORITY, **{**parts, **others})),
        reading_of(nodes.NODE_STATE, moment, node_row("node001"), drained_node("node003")),
        *event_readings(
            JOB_METRICS,
            [
                ended_job(ENDED, moment - timedelta(minutes=5)),
                ended_job(FAILED, moment - timedelta(minutes=4), **failed),
            ],
        ),
    ]
