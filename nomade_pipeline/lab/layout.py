"""Where everything of a lab lies: folders, ports, names; all of it follows from the folder.

Two labs on one machine share nothing: each folder has its own slot of ports, and its own node names,
because Slurm names the cgroups of a node by the node alone.
"""

from __future__ import annotations

import json
import os
import socket
import zlib
from dataclasses import dataclass
from pathlib import Path

from nomade_pipeline.lab.errors import LabError

DEFAULT_FOLDER = Path("/var/lib/nomade-lab")
SCALE_FOLDER = Path("/var/lib/nomade-lab-scale")
# The workload needs a node to lose, one to preempt on, one with GPUs, and one for the rest.
LEAST_NODES, DEFAULT_NODES, MOST_NODES = 4, 4, 64
SCALE_NODES, SCALE_GPU_NODES = 10_000, 1_000
CPUS_PER_NODE, MEMORY_MB_PER_NODE, GPUS = 8, 16000, 2

# Below Linux' ephemeral ports (32768 and up), which any program may be holding.
FIRST_PORT, PORTS_PER_SLOT, SLOTS = 12000, 100, 200
# The longest socket below a folder is a job step's: /slurm/spool/NODE/NODE_JOBID.STEPID; a path has 108 bytes.
LONGEST_FOLDER = 48


@dataclass(frozen=True)
class Layout:
    """The plan of one lab.

    Attributes:
        folder: everything is below it; absolute.
        slot: number of its range of ports.
        nodes: number of compute nodes.
        cgroups: jobs are tracked and limited by cgroups (v1); else by the tree of processes, and no job
            can end as OUT_OF_MEMORY.
        scale: a controller alone, with ten thousand nodes that do not exist; see `scale`.
    """

    folder: Path
    slot: int = 0
    nodes: int = DEFAULT_NODES
    cgroups: bool = True
    scale: bool = False

    def port(self, offset: int) -> int:
        """Return a port of the slot."""
        return FIRST_PORT + self.slot * PORTS_PER_SLOT + offset

    @property
    def slurmctld_port(self) -> int:
        """Where slurmctld listens."""
        return self.port(0)

    @property
    def slurmdbd_port(self) -> int:
        """Where slurmdbd listens."""
        return self.port(1)

    @property
    def mariadb_port(self) -> int:
        """Where MariaDB listens, on 127.0.0.1 only."""
        return self.port(2)

    def slurmd_port(self, index: int) -> int:
        """Return where the slurmd of a node listens; nodes count from 0."""
        return self.port(10 + index)

    @property
    def node_prefix(self) -> str:
        """What the names of the nodes begin with."""
        return "node" if self.slot == 0 else f"lab{self.slot}n"

    @property
    def node_names(self) -> list[str]:
        """The nodes that run, one slurmd each; the last one has the GPUs."""
        return [f"{self.node_prefix}{index + 1:03d}" for index in range(self.nodes)]

    @property
    def cluster(self) -> str:
        """The name of the cluster in Slurm's accounting."""
        return "lab" if self.slot == 0 else f"lab{self.slot}"

    @property
    def etc(self) -> Path:
        """Configuration files."""
        return self.folder / "etc"

    @property
    def slurm_conf(self) -> Path:
        """What SLURM_CONF names."""
        return self.etc / "slurm.conf"

    @property
    def munge(self) -> Path:
        """Key, socket, log and pid of munged; owned by munge."""
        return self.folder / "munge"

    @property
    def munge_socket(self) -> Path:
        """The socket of munged."""
        return self.munge / "munge.socket"

    @property
    def mysql(self) -> Path:
        """Data, socket, log and pid of MariaDB; owned by mysql."""
        return self.folder / "mysql"

    @property
    def mysql_socket(self) -> Path:
        """The socket of MariaDB."""
        return self.mysql / "mariadb.sock"

    @property
    def slurm(self) -> Path:
        """State, spool, logs and pids of Slurm's daemons; owned by slurm."""
        return self.folder / "slurm"

    @property
    def logs(self) -> Path:
        """Logs of Slurm's daemons."""
        return self.slurm / "log"

    @property
    def gpus(self) -> Path:
        """Devices that stand for GPUs."""
        return self.folder / "gpu"

    @property
    def scratch(self) -> Path:
        """The local scratch file system of the jobs."""
        return self.folder / "scratch"

    @property
    def network(self) -> Path:
        """The file system that plays the network file system."""
        return self.folder / "net"

    @property
    def job_scripts(self) -> Path:
        """The scripts of the workload, readable for its users."""
        return self.folder / "jobs"

    @property
    def manifests(self) -> Path:
        """What each run of the workload submitted."""
        return self.folder / "manifests"

    @property
    def record(self) -> Path:
        """The file that makes a folder a lab's."""
        return self.folder / "lab.json"

    def environment(self) -> dict[str, str]:
        """Return the variables with which Slurm's commands speak to this lab and to no other."""
        return {"SLURM_CONF": str(self.slurm_conf)}


def load(folder: Path) -> Layout | None:
    """Return the plan of a folder's lab, None when there is none.

    Raises:
        LabError: its record cannot be read.
    """
    path = folder / "lab.json"
    try:
        record = json.loads(path.read_text("utf-8"))
        return Layout(folder, record["slot"], record["nodes"], record["cgroups"], record["scale"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path} is not a lab's record: {error}") from error


def save(layout: Layout) -> None:
    """Write the record of a lab."""
    record = {
        "slot": layout.slot,
        "first_port": layout.port(0),
        "nodes": layout.nodes,
        "cgroups": layout.cgroups,
        "scale": layout.scale,
    }
    layout.record.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def free_slot(folder: Path) -> int:
    """Return the slot for a new lab: 0 for the default folder, else by its name, the next one while ports are taken.

    Raises:
        LabError: no slot is free.
    """
    first = 0 if folder == DEFAULT_FOLDER else 1 + zlib.crc32(os.fsencode(folder)) % (SLOTS - 1)
    for step in range(SLOTS):
        slot = (first + step) % SLOTS
        if all(_is_free(FIRST_PORT + slot * PORTS_PER_SLOT + offset) for offset in (0, 1, 2, 10, 11, 12, 13)):
            return slot
    raise LabError("no range of ports between 12000 and 32000 is free; `ss -ltnp` shows who listens")


def _is_free(port: int) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def check(layout: Layout) -> None:
    """Make sure that a lab can lie in its folder.

    Raises:
        LabError: the path is too long for sockets, or has characters that Slurm's configuration cannot hold.
    """
    text = str(layout.folder)
    if len(os.fsencode(text)) > LONGEST_FOLDER:
        raise LabError(
            f"{text} is longer than {LONGEST_FOLDER} bytes, so sockets below it would not work; use --folder"
        )
    if not all(char.isascii() and (char.isalnum() or char in "/._-") for char in text):
        raise LabError(f"{text}: a lab's folder may have letters, digits and / . _ - in its name; use --folder")
