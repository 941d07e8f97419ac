"""The configuration files of a lab, rendered from the templates in `deploy/lab/`."""

from __future__ import annotations

import socket
from importlib import resources
from string import Template

from nomade_pipeline.lab.layout import CPUS_PER_NODE, GPUS, MEMORY_MB_PER_NODE, SCALE_GPU_NODES, SCALE_NODES, Layout

# A job that is requeued may start again after this; launching one on a busy machine must not take longer.
CREDENTIAL_SECONDS = 20

ANY_LOOPBACK = "127.0.0.1"

_BY_CGROUPS = {
    "proctrack": "proctrack/cgroup",
    "task_plugin": "task/cgroup",
    "gather": "jobacct_gather/cgroup",
    "gather_params": "",
    "prolog_flags": "Alloc,Contain",
}
_BY_PROCESS_TREE = {
    "proctrack": "proctrack/linuxproc",
    "task_plugin": "task/none",
    "gather": "jobacct_gather/linux",
    "gather_params": "JobAcctGatherParams=OverMemoryKill",
    "prolog_flags": "Alloc",
}


def render(layout: Layout, password: str, own_address: str | None) -> dict[str, str]:
    """Return the text of each configuration file.

    Args:
        layout: the lab.
        password: of slurmdbd at MariaDB.
        own_address: see `own_loopback_address`; None: Slurm's daemons listen on all addresses.
    """
    values = {
        **_of_controller(layout, own_address),
        **(_BY_CGROUPS if layout.cgroups else _BY_PROCESS_TREE),
        "slurmdbd_port": str(layout.slurmdbd_port),
        "mariadb_port": str(layout.mariadb_port),
        "etc": str(layout.etc),
        "cred_expire": str(CREDENTIAL_SECONDS),
        "node_lines": node_lines(layout, own_address or ANY_LOOPBACK),
        "gpu_node": layout.node_names[-1],
        "gpu_files": f"{layout.gpus}/a100-[0-{GPUS - 1}]",
        "password": password,
    }
    names = ["slurm.conf", "slurmdbd.conf", "gres.conf", *(["cgroup.conf"] if layout.cgroups else [])]
    return {name: template(name).substitute(values) for name in names}


def render_scale(layout: Layout, own_address: str | None) -> dict[str, str]:
    """Return the one configuration file of a controller of many nodes; see `scale`."""
    cpu = SCALE_NODES - SCALE_GPU_NODES
    values = {
        **_of_controller(layout, own_address),
        "cpu_nodes": f"n[00001-{cpu:05d}]",
        "gpu_nodes": f"n[{cpu + 1:05d}-{SCALE_NODES:05d}]",
    }
    return {"slurm.conf": template("slurm-scale.conf").substitute(values)}


def _of_controller(layout: Layout, own_address: str | None) -> dict[str, str]:
    return {
        "cluster": layout.cluster,
        "address": own_address or ANY_LOOPBACK,
        "communication": "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if own_address else "",
        "slurmctld_port": str(layout.slurmctld_port),
        "munge_socket": str(layout.munge_socket),
        "slurm": str(layout.slurm),
    }


def own_loopback_address() -> str | None:
    """Return the loopback address that this host's name resolves to, None when it is none.

    Slurm's daemons can listen on one address only if it is that of the host's name (Debian: 127.0.1.1).
    """
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        return None
    return address if address.startswith("127.") else None


def template(name: str) -> Template:
    """Return one of the templates."""
    return Template(resources.files("nomade_pipeline.lab").joinpath("templates", name).read_text("utf-8"))


def node_lines(layout: Layout, address: str) -> str:
    """Return the lines of slurm.conf that declare the nodes, all of them on this host."""
    lines = []
    for index, name in enumerate(layout.node_names):
        kind = f"Features=gpu Gres=gpu:a100:{GPUS}" if index == layout.nodes - 1 else "Features=cpu"
        lines.append(
            f"NodeName={name} NodeHostname=localhost NodeAddr={address} Port={layout.slurmd_port(index)} "
            f"Sockets=2 CoresPerSocket={CPUS_PER_NODE // 2} ThreadsPerCore=1 RealMemory={MEMORY_MB_PER_NODE} "
            f"Weight={index + 1} {kind} State=UNKNOWN"
        )
    return "\n".join(lines)
