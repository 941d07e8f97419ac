"""What is simulated: the size of a cluster, its window of time, and where chance comes from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Integers
from nomade_pipeline.tables.contract import is_simulated
from nomade_pipeline.workload.errors import ScenarioError

MINUTE, HOUR, DAY = 60, 3600, 86_400
MOST_JOBS, MOST_HOSTS, MOST_DAYS = 10_000_000, 10_000, 366


@dataclass(frozen=True)
class Scenario:
    """One simulation. The same scenario gives the same rows.

    Attributes:
        cluster: its name, ``sim-…``.
        start: first moment, 00:00 UTC of a day.
        end: moment after the last, a whole minute; jobs that run then go on.
        jobs: how many are submitted.
        hosts: compute nodes, each a host of its own.
        seed: of all chance.
    """

    cluster: str
    start: datetime
    end: datetime
    jobs: int = 2000
    hosts: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated.

        Raises:
            ScenarioError: a figure is out of range, or the cluster could be taken for a real one.
        """
        if not is_simulated(self.cluster):
            raise ScenarioError(f"cluster {self.cluster!r:.80} could be taken for a real one; call it sim-…")
        for name, value, most in (("jobs", self.jobs, MOST_JOBS), ("hosts", self.hosts, MOST_HOSTS)):
            if not 1 <= value <= most:
                raise ScenarioError(f"{name} is {value}; give 1 to {most:,}")
        if not timedelta() < self.end - self.start <= timedelta(days=MOST_DAYS):
            raise ScenarioError(f"the window must last more than no time and at most {MOST_DAYS} days")

    @classmethod
    def ending(
        cls, end: datetime, days: int, *, cluster: str, jobs: int = 2000, hosts: int = 8, seed: int = 1
    ) -> Scenario:
        """Return the scenario of the UTC days that end with the one that holds the moment before ``end``."""
        last = (end - timedelta(microseconds=1)).date()
        return cls(cluster, clock.start_of(last - timedelta(days=days - 1)), end, jobs, hosts, seed)

    @property
    def seconds(self) -> int:
        """Length of the window."""
        return int((self.end - self.start).total_seconds())

    @property
    def minutes(self) -> int:
        """Length of the window."""
        return self.seconds // MINUTE

    @property
    def days(self) -> list[date]:
        """The UTC days of the window, in order."""
        return [(self.start + timedelta(days=number)).date() for number in range(-(-self.seconds // DAY))]

    def random(self, *names: object) -> np.random.Generator:
        """Return the generator of one part of the simulation: parts do not disturb each other."""
        keys = [zlib.crc32(str(name).encode()) for name in names]
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=tuple(keys)))


@dataclass(frozen=True)
class Kind:
    """A kind of node: its name's beginning, CPUs, memory and GPUs."""

    prefix: str
    cpus: int
    memory_bytes: int
    gpus: int = 0


CPU_NODE = Kind("simcpu", 64, 256 * 10**9)
BIG_NODE = Kind("simmem", 64, 1024 * 10**9)
GPU_NODE = Kind("simgpu", 32, 256 * 10**9, gpus=4)
STANDARD, GPU = PARTITIONS = ("standard", "gpu")
# The rest is the operating system's; Slurm calls what it gives out RealMemory, in MiB.
GIVEN_OUT = 0.95
MIB = 2**20
# One node in so many has GPUs, one much memory.
NODES_PER_SPECIAL = 8


@dataclass(frozen=True)
class Park:
    """The nodes, in the order of their numbers.

    Attributes:
        kinds: kind of each node.
        names: name of each, Slurm's and the host's.
        partitions: the range of nodes of each partition.
    """

    kinds: tuple[Kind, ...]
    names: tuple[str, ...]
    partitions: dict[str, slice]

    @classmethod
    def of(cls, hosts: int) -> Park:
        """Return a park: an eighth of the nodes with GPUs, an eighth with much memory, the rest plain.

        A single node serves both partitions.
        """
        special = hosts // NODES_PER_SPECIAL
        with_gpus = max(1, special)
        plain = hosts - with_gpus - special
        kinds = (CPU_NODE,) * plain + (BIG_NODE,) * special + (GPU_NODE,) * with_gpus
        numbers = (*range(plain), *range(special), *range(with_gpus))
        names = tuple(f"{kind.prefix}{number + 1:04d}" for kind, number in zip(kinds, numbers, strict=True))
        first_gpu = plain + special
        return cls(kinds, names, {STANDARD: slice(0, first_gpu or hosts), GPU: slice(first_gpu, hosts)})

    @property
    def cpus(self) -> Integers:
        """CPUs of each node."""
        return np.array([kind.cpus for kind in self.kinds], np.int64)

    @property
    def memory(self) -> Integers:
        """Bytes of memory of each node that Slurm gives out, whole MiB."""
        return np.array([int(kind.memory_bytes * GIVEN_OUT) // MIB * MIB for kind in self.kinds], np.int64)

    @property
    def gpus(self) -> Integers:
        """GPUs of each node."""
        return np.array([kind.gpus for kind in self.kinds], np.int64)
