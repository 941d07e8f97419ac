"""The keys of the collectors, `[collectors.*]`, and of the job monitor, `[monitor]`. See `settings`.

Standard library only, Python 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Tuple

from nomade_pipeline.config.keys import key

_SETTINGS_TEST = "tests/unit/config/test_settings_effects.py"
_AGENT_TEST = "tests/unit/agent/test_agent_settings.py"
_COLLECTOR_TESTS = "tests/unit/collectors"
_MONITOR_TEST = "tests/unit/agent/test_job_monitor_in_the_agent.py"


def _enabled(**about: Any) -> Any:
    return key(
        True,
        "false: this collector does not run.",
        **{"test": f"{_AGENT_TEST}::test_a_disabled_collector_does_not_run", **about},
    )


def _interval(**about: Any) -> Any:
    test = f"{_AGENT_TEST}::test_each_collector_has_its_own_interval"
    return key(60, "Seconds between two samples.", **{"minimum": 1, "maximum": 86400, "test": test, **about})


@dataclass(frozen=True)
class DiskSettings:
    """`[collectors.disk]`."""

    enabled: bool = _enabled()
    interval: int = _interval()
    filesystems: Tuple[str, ...] = key(
        (),
        "Paths whose file systems are measured; an absent one is a reading `absent`. "
        "Empty: every mounted real file system.",
        form="path",
        test=f"{_COLLECTOR_TESTS}/test_disk.py::test_only_the_paths_of_the_configuration_are_read_and_tmpfs_is_one_of_them",
    )
    statfs_timeout: float = key(
        5.0,
        "Seconds after which a file system that does not answer is a reading `hung`.",
        minimum=0.1,
        maximum=600,
        test=f"{_COLLECTOR_TESTS}/test_disk.py::test_a_hung_path_delays_only_until_its_deadline_and_never_has_two_children",
    )


@dataclass(frozen=True)
class IostatSettings:
    """`[collectors.iostat]`."""

    enabled: bool = _enabled()
    interval: int = _interval()
    devices: Tuple[str, ...] = key(
        (),
        "Kernel names of the devices to keep. Empty: all.",
        form="device",
        test=f"{_COLLECTOR_TESTS}/test_iostat.py::test_only_the_devices_of_the_configuration_are_kept",
    )


@dataclass(frozen=True)
class MpstatSettings:
    """`[collectors.mpstat]`."""

    enabled: bool = _enabled()
    interval: int = _interval()
    store_per_core: bool = key(
        True,
        "One row a logical CPU is stored (table `mpstat`).",
        test=f"{_COLLECTOR_TESTS}/test_mpstat.py::test_the_settings_decide_which_tables_are_stored",
    )
    store_summary: bool = key(
        True,
        "The mean over CPUs and its spread are stored (table `mpstat_summary`).",
        test=f"{_COLLECTOR_TESTS}/test_mpstat.py::test_the_settings_decide_which_tables_are_stored",
    )


@dataclass(frozen=True)
class VmstatSettings:
    """`[collectors.vmstat]`."""

    enabled: bool = _enabled()
    interval: int = _interval()


@dataclass(frozen=True)
class NfsSettings:
    """`[collectors.nfs]`: skipped with the reason where nothing is mounted."""

    enabled: bool = _enabled()
    interval: int = _interval()


@dataclass(frozen=True)
class GpuSettings:
    """`[collectors.gpu]`: skipped with the reason where there is no GPU."""

    enabled: bool = _enabled()
    interval: int = _interval()
    timeout: float = key(
        15.0,
        "Seconds after which `nvidia-smi` is killed.",
        minimum=0.1,
        maximum=600,
        test=f"{_SETTINGS_TEST}::test_the_gpu_timeout_ends_a_wedged_tool",
    )


def _asking_hosts(**about: Any) -> Any:
    return key(
        (),
        "Short names of the hosts that ask Slurm. Empty: every host but those that run a slurmd and no slurmctld.",
        form="name",
        **about,
    )


@dataclass(frozen=True)
class SlurmSettings:
    """`[collectors.slurm]`."""

    enabled: bool = _enabled()
    interval: int = _interval()
    hosts: Tuple[str, ...] = _asking_hosts(
        test=f"{_COLLECTOR_TESTS}/test_slurm.py::test_only_the_hosts_of_the_configuration_ask_slurm"
    )
    partitions: Tuple[str, ...] = key(
        (),
        "Partitions whose queue is measured; nothing of others is stored, but `(cluster)` counts all. Empty: all.",
        test=f"{_COLLECTOR_TESTS}/test_slurm.py::test_only_the_partitions_of_the_configuration_are_stored",
    )


@dataclass(frozen=True)
class JobMetricsSettings:
    """`[collectors.job_metrics]`: skipped with the reason where there is no Slurm."""

    enabled: bool = _enabled()
    interval: int = _interval()
    hosts: Tuple[str, ...] = _asking_hosts(
        test=f"{_COLLECTOR_TESTS}/test_job_metrics.py::test_only_the_hosts_of_the_configuration_ask"
    )
    lookback_hours: int = key(
        24,
        "Hours back that ended jobs are asked for at the start and once an hour, so that late ones are found.",
        minimum=1,
        maximum=8784,
        test=f"{_COLLECTOR_TESTS}/test_job_metrics.py::test_everything_within_the_lookback_is_read_at_first_and_once_an_hour",
    )
    min_runtime_seconds: int = key(
        10,
        "Jobs that ran shorter have no quantities of their hosts in the features: the samples say more of others.",
        minimum=0,
        test="tests/unit/features/test_features_of_a_day.py::test_a_job_that_ran_too_short_has_no_quantities_of_its_host",
    )


@dataclass(frozen=True)
class NodeStateSettings:
    """`[collectors.node_state]`."""

    enabled: bool = _enabled()
    interval: int = _interval()
    hosts: Tuple[str, ...] = _asking_hosts(
        test=f"{_COLLECTOR_TESTS}/test_node_state.py::test_only_the_hosts_of_the_configuration_ask_slurm"
    )
    nodes: Tuple[str, ...] = key(
        (),
        "Nodes whose state is stored, as Slurm writes them (`n[001-064]`) or as shell patterns (`gpu*`). Empty: all.",
        test=f"{_COLLECTOR_TESTS}/test_node_state.py::test_only_the_nodes_of_the_configuration_are_stored",
    )


@dataclass(frozen=True)
class CollectorsSettings:
    """`[collectors]`: one section a collector, named like it."""

    disk: DiskSettings = field(default_factory=DiskSettings)
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    job_metrics: JobMetricsSettings = field(default_factory=JobMetricsSettings)
    iostat: IostatSettings = field(default_factory=IostatSettings)
    mpstat: MpstatSettings = field(default_factory=MpstatSettings)
    vmstat: VmstatSettings = field(default_factory=VmstatSettings)
    node_state: NodeStateSettings = field(default_factory=NodeStateSettings)
    gpu: GpuSettings = field(default_factory=GpuSettings)
    nfs: NfsSettings = field(default_factory=NfsSettings)


@dataclass(frozen=True)
class MonitorSettings:
    """`[monitor]`: the job I/O monitor and the agent's health."""

    enabled: bool = key(
        True,
        "false: the agent does not watch running jobs; `nomade monitor` does all the same.",
        test=f"{_MONITOR_TEST}::test_the_agent_watches_jobs_unless_it_is_switched_off",
    )
    sample_interval: int = key(
        30,
        "Seconds between two readings of a job.",
        minimum=1,
        maximum=3600,
        test=f"{_MONITOR_TEST}::test_jobs_are_read_in_the_interval_of_the_section_monitor",
    )
    nfs_paths: Tuple[str, ...] = key(
        ("/home", "/scratch", "/project"),
        "Paths that count as network storage where the type of the file system does not tell; the longest path wins.",
        form="path",
        test=f"{_COLLECTOR_TESTS}/test_job_monitor.py::test_a_path_of_nfs_paths_is_network_storage",
    )
    local_paths: Tuple[str, ...] = key(
        ("/localscratch", "/tmp", "/dev/shm"),  # noqa: S108 - paths to be watched, nothing is written there
        "Paths that count as local storage where the type of the file system does not tell.",
        form="path",
        test=f"{_COLLECTOR_TESTS}/test_job_monitor.py::test_a_path_of_local_paths_is_local_storage",
    )
    port: int = key(
        0,
        "Port of 127.0.0.1 on which a node's agent answers `GET /health`; 0: off (the reference: 27001).",
        minimum=0,
        maximum=65535,
        test="tests/unit/agent/test_health.py::test_the_port_of_the_configuration_answers_health_requests",
    )

    @property
    def interval(self) -> int:
        """Seconds between two samples, under the name that every collector's section has."""
        return self.sample_interval
