"""`nomade lab`: a real Slurm cluster on this one machine."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import click

from nomade_pipeline.cli.common import FINDING, FINE, json_option
from nomade_pipeline.cli.output import bad, echo_json, faint, good, heading, note, printable, table

if TYPE_CHECKING:
    from nomade_pipeline.lab.cluster import LabStatus
    from nomade_pipeline.lab.layout import Layout

LAB_FOLDER, SCALE_FOLDER = Path("/var/lib/nomade-lab"), Path("/var/lib/nomade-lab-scale")
PROFILES = ("small", "busy", "failing")


def _folder(default: Path) -> Callable[[Any], Any]:
    return click.option(
        "--folder",
        type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
        default=default,
        show_default=True,
        help="Everything of the lab lies below it; each folder has its own ports.",
    )


folder_option = _folder(LAB_FOLDER)
scale_folder_option = _folder(SCALE_FOLDER)
purge_option = click.option("--purge", is_flag=True, help="Remove the folder and the users of the lab too.")


@click.group(
    "lab",
    epilog="\b\nExamples:\n"
    "  nomade lab up\n"
    "  nomade lab run --profile small --wait\n"
    "  SLURM_CONF=/var/lib/nomade-lab/etc/slurm.conf squeue\n"
    "  nomade lab down --purge",
)
def lab_command() -> None:
    """Run a real Slurm cluster on this machine: four nodes, accounting, users, and a workload for them.

    For root on Debian. It touches no other Slurm, munge or MariaDB of the machine.
    """


@lab_command.command("up", epilog="\b\nExamples:\n  nomade lab up\n  nomade lab up --folder /srv/lab --nodes 8")
@folder_option
@click.option("--nodes", type=click.IntRange(4, 64), help="Number of nodes; 4 in a new lab.")
@click.option("--no-cgroups", is_flag=True, help="Track jobs by their processes: no job can end as OUT_OF_MEMORY.")
def up_command(folder: Path, nodes: int | None, no_cgroups: bool) -> None:
    """Bring the lab up, or whatever of it is missing; safe to repeat."""
    from nomade_pipeline.lab import cluster

    started = cluster.up(folder, nodes, cgroups=False if no_cgroups else None)
    click.echo(f"started {', '.join(started)}" if started else "everything was running")
    note(faint("`nomade lab run` gives it work, `nomade lab env` tells how to ask it, `nomade lab down` ends it"))


@lab_command.command("down", epilog="\b\nExamples:\n  nomade lab down\n  nomade lab down --purge")
@folder_option
@purge_option
def down_command(folder: Path, purge: bool) -> None:
    """Cancel all jobs and end everything of the lab; its accounting stays unless it is purged."""
    from nomade_pipeline.lab import cluster

    click.echo(_ended(folder, purge) if cluster.down(folder, purge=purge) else f"there is no lab in {folder}")


@lab_command.command("status", epilog="\b\nExamples:\n  nomade lab status\n  nomade lab status --json")
@folder_option
@json_option
def status_command(folder: Path, as_json: bool) -> int:
    """Show daemons, nodes and file systems of the lab; exits with 1 when something is missing."""
    from nomade_pipeline.lab import cluster

    state = cluster.status(cluster.require_lab(folder))
    if as_json:
        echo_json(asdict(state))
    else:
        _show(state)
    return FINE if all(service.pid for service in state.services) else FINDING


@lab_command.command(
    "run", epilog="\b\nExamples:\n  nomade lab run --profile small --wait\n  nomade lab run --profile failing --seed 7"
)
@folder_option
@click.option("--profile", type=click.Choice(PROFILES), default="small", show_default=True, help="Which jobs.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same jobs.")
@click.option("--wait", is_flag=True, help="Wait until all jobs that are meant to end have ended.")
def run_command(folder: Path, profile: str, seed: int, wait: bool) -> None:
    """Submit a workload as the users of the lab, and write down how each job is meant to end.

    small: one of each kind, a minute. failing: the same with more failures. busy: a hundred short jobs.
    What earlier runs left pending for good is cancelled first. The last line printed is the manifest's path.
    """
    from nomade_pipeline.lab import cluster, driver

    click.echo(driver.run(cluster.require_lab(folder), profile, seed, wait=wait))


@lab_command.command("env", epilog='\b\nExamples:\n  nomade lab env\n  eval "$(nomade lab env)"')
@folder_option
def env_command(folder: Path) -> None:
    """Print the shell lines with which Slurm's commands, sbatch and our collectors speak to the lab."""
    from nomade_pipeline.lab import cluster

    _export(cluster.require_lab(folder))


@lab_command.group(
    "scale", epilog="\b\nExamples:\n  nomade lab scale up\n  nomade lab scale env\n  nomade lab scale down"
)
def scale_command() -> None:
    """Run a controller that lists 10,000 nodes and 10,000 queued tasks, and runs nothing."""


@scale_command.command("up", epilog="\b\nExamples:\n  nomade lab scale up")
@scale_folder_option
def scale_up_command(folder: Path) -> None:
    """Bring it up and fill its queue; safe to repeat."""
    from nomade_pipeline.lab import cluster

    started = cluster.up_scale(folder)
    click.echo(f"started {', '.join(started)}" if started else "everything was running")


@scale_command.command("down", epilog="\b\nExamples:\n  nomade lab scale down")
@scale_folder_option
def scale_down_command(folder: Path) -> None:
    """End it and remove its folder; nothing in it is worth keeping."""
    from nomade_pipeline.lab import cluster

    click.echo(_ended(folder, purge=True) if cluster.down(folder, purge=True) else f"there is no lab in {folder}")


@scale_command.command("env", epilog="\b\nExamples:\n  nomade lab scale env")
@scale_folder_option
def scale_env_command(folder: Path) -> None:
    """Print the shell lines with which Slurm's commands speak to it."""
    from nomade_pipeline.lab import cluster

    _export(cluster.require_lab(folder))


def _ended(folder: Path, purge: bool) -> str:
    return f"ended, and {folder} removed" if purge else f"ended; `nomade lab up` goes on with {folder}"


def _export(layout: Layout) -> None:
    for name, value in layout.environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _show(state: LabStatus) -> None:
    """Print the state of a lab for people."""
    click.echo(heading(f"{state.folder}, ports from {state.first_port}"))
    rows = [[service.name, service.pid, service.log] for service in state.services]
    click.echo(table(("daemon", "pid", "log"), rows, right=("pid",)))
    missing = [service.name for service in state.services if service.pid is None]
    click.echo(bad(f"not running: {', '.join(missing)}; `nomade lab up` starts them") if missing else good("all run"))
    nodes = Counter(state.nodes.values())
    click.echo(table(("nodes", "state"), [[count, name] for name, count in sorted(nodes.items())], right=("nodes",)))
    click.echo(table(("jobs", "state"), [[count, name] for name, count in sorted(state.jobs.items())], right=("jobs",)))
    for path, mounted in state.mounts.items():
        click.echo(f"{printable(path)}  {'mounted' if mounted else 'a plain folder'}")
