"""What kinds of jobs there are, and how strongly each cause acts: the constants of the model.

Everything that a proof on planted truth compares with stands here, and goes into the truth's table of effects.
"""

from __future__ import annotations

from dataclasses import dataclass

from nomade_pipeline.workload.scenario import GPU, STANDARD


@dataclass(frozen=True)
class Profile:
    """How jobs of one kind behave. Sizes are decimal; rates are those of one node.

    Attributes:
        name: of the profile.
        share: of all submissions (an array counts once).
        names: what users call such jobs.
        cpus: CPUs asked for on a node, one of these.
        minutes: median of the run time, before it is scaled to the cluster's load.
        spread: standard deviation of the run time's logarithm for one user.
        busy: share of the allocated CPUs that computes, while nothing holds it up.
        disk_wait: share of the allocated CPUs that waits for the local disk.
        nfs_share: share of the run that is network I/O when the server is quick.
        memory_gb: median of the memory peak for each CPU.
        memory_spread: standard deviation of its logarithm.
        memory_begin: share of the peak that is in use from the beginning.
        leaks: memory grows until the end; else the peak comes after a tenth to nine tenths of the run.
        nfs_write_mbps, nfs_read_mbps, local_write_mbps, local_read_mbps: rates of I/O while nothing holds it up.
        failed, segfault, cancelled: log-odds of these ends against none of them, without any cause.
        nodes: nodes asked for, one of these.
        partition: where it runs.
        gpus: GPUs asked for on a node, one of these.
        gpu_busy: share of the GPUs' time in use.
        vram_gb: median of the GPU memory for each GPU.
        tasks: mean number of tasks of an array; 1: no array.
        system: share of the CPU time that is the kernel's.
    """

    name: str
    share: float
    names: tuple[str, ...]
    cpus: tuple[int, ...]
    minutes: float
    spread: float
    busy: float
    memory_gb: float
    memory_spread: float
    failed: float
    segfault: float
    cancelled: float
    disk_wait: float = 0.0
    nfs_share: float = 0.0
    memory_begin: float = 0.6
    leaks: bool = False
    nfs_write_mbps: float = 0.05
    nfs_read_mbps: float = 0.1
    local_write_mbps: float = 0.05
    local_read_mbps: float = 0.05
    nodes: tuple[int, ...] = (1,)
    partition: str = STANDARD
    gpus: tuple[int, ...] = (0,)
    gpu_busy: float = 0.0
    vram_gb: float = 0.0
    tasks: float = 1.0
    system: float = 0.03


PROFILES: tuple[Profile, ...] = (
    Profile(
        "mpi", 0.16, ("relax", "cfd_run", "md_prod", "weather"), (32, 64), 240, 0.5, 0.95, 1.0, 0.2, -3.2, -3.6, -3.0,
        nfs_share=0.03, nfs_write_mbps=4.0, nfs_read_mbps=2.0, nodes=(1, 1, 2, 4),
    ),
    Profile(
        "memory", 0.10, ("assembly", "dmrg", "graph_build"), (4, 8, 16), 150, 0.6, 0.70, 10.0, 0.35, -2.8, -3.2, -3.0,
        nfs_share=0.05, nfs_read_mbps=8.0, memory_begin=0.3,
    ),
    Profile(
        "nfs_io", 0.14, ("collect", "convert", "postproc"), (4, 8), 80, 0.6, 0.40, 2.0, 0.3, -2.8, -4.0, -3.2,
        nfs_share=0.35, nfs_write_mbps=40.0, nfs_read_mbps=25.0, system=0.15,
    ),
    Profile(
        "local_io", 0.12, ("sort", "align", "render_cache"), (4, 8), 80, 0.6, 0.45, 2.5, 0.3, -3.2, -4.0, -3.2,
        disk_wait=0.35, nfs_share=0.04, local_write_mbps=60.0, local_read_mbps=40.0, system=0.12,
    ),
    Profile(
        "gpu", 0.12, ("train", "finetune", "infer"), (8,), 300, 0.7, 0.45, 3.0, 0.3, -2.4, -3.6, -2.4,
        nfs_share=0.06, nfs_read_mbps=12.0, local_write_mbps=2.0, partition=GPU, gpus=(1, 1, 2, 4), gpu_busy=0.85,
        vram_gb=24.0,
    ),
    Profile(
        "array", 0.14, ("sweep", "bootstrap", "mc"), (1,), 20, 0.4, 0.98, 1.5, 0.2, -3.4, -4.2, -4.5,
        nfs_share=0.04, tasks=6.0,
    ),
    Profile(
        "interactive", 0.10, ("bash", "jupyter", "sys/dashboard"), (2, 4), 60, 0.8, 0.06, 1.2, 0.6, -3.6, -4.0, -0.6,
        nfs_share=0.10,
    ),
    Profile(
        "leaky", 0.12, ("daemon_fit", "ensemble", "tracker"), (2, 4), 220, 0.5, 0.80, 3.5, 0.5, -3.0, -3.4, -3.2,
        nfs_share=0.04, memory_begin=0.1, leaks=True,
    ),
)  # fmt: skip

PROFILE_NAMES = tuple(profile.name for profile in PROFILES)

# Ends that are drawn at the beginning, by a multinomial logit; the others follow from what the job does.
FATES = ("FAILED", "SEGFAULT", "CANCELLED")


@dataclass(frozen=True)
class Effect:
    """What one cause adds to the log-odds of one fate.

    Attributes:
        fate: one of `FATES`.
        cause: name of the column of the truth.
        strength: log-odds for one unit of the cause.
        unit: what one unit is.
    """

    fate: str
    cause: str
    strength: float
    unit: str


EFFECTS: tuple[Effect, ...] = (
    Effect("FAILED", "inexperience", 0.7, "standard deviation between users"),
    Effect("FAILED", "broken_build", 2.5, "the build that the job uses is broken"),
    Effect("FAILED", "log2_nodes", 0.4, "doubling of the nodes"),
    Effect("SEGFAULT", "inexperience", 0.4, "standard deviation between users"),
    Effect("SEGFAULT", "broken_build", 2.0, "the build that the job uses is broken"),
    Effect("CANCELLED", "inexperience", 0.3, "standard deviation between users"),
)

# A build of a user's job name is broken with this probability, and is built anew with the other at each submission.
BROKEN_SHARE, NEW_BUILD_SHARE = 0.12, 1 / 12

# Time of a fate within the run: u² of it with u uniform, so that half come in its first quarter.
EARLINESS = 2.0

# Requests: how many times the user's median run time and memory, with the users' own standard deviation (of the
# logarithm) and what inexperience takes off it.
LIMIT_FACTOR, LIMIT_SPREAD, LIMIT_INEXPERIENCE = 2.6, 0.35, 0.25
MEMORY_FACTOR, MEMORY_FACTOR_SPREAD, MEMORY_INEXPERIENCE = 1.9, 0.25, 0.15

# Storms of the file server: a day's mean number, median and spread of their length, bounds of the slow-down of NFS.
STORMS_PER_DAY, STORM_MINUTES, STORM_SPREAD, STORM_FACTORS = 1.0, 80.0, 0.6, (3.0, 12.0)
NFS_SECONDS = 0.0008

# Nodes: mean days between failures of a sound one, share and factor of weak ones, hours out of use.
DAYS_BETWEEN_FAILURES, WEAK_SHARE, WEAK_FACTOR = 30.0, 0.15, 6.0
DAYS_BETWEEN_DRAINS = 45.0
HOURS_OUT, HOURS_OUT_SPREAD = 4.0, 0.5

# Load of a partition's CPUs, or of its GPUs, that run times are scaled to, and the bounds of that scale.
TARGET_LOAD, SCALE_BOUNDS = 0.85, (0.01, 3.0)

# Share of jobs that wait for the user's job before to end well, if that is at most so old.
DEPENDENT_SHARE, DEPENDENT_HOURS = 0.08, 6.0
# Share of jobs whose users lose patience, and after what in the mean.
IMPATIENT_SHARE, PATIENCE_HOURS = 0.06, 3.0

# Spread of the logarithm between jobs of one profile: busy share of the CPUs, rates of I/O, GPU memory.
BUSY_SPREAD, IO_SPREAD, VRAM_SPREAD = 0.08, 0.4, 0.3
