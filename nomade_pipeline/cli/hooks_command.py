"""`nomade hooks`: Slurm's prolog and epilog of NOMADE."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import bad, echo_json, faint, note, printable, table
from nomade_pipeline.config.load import environment_with

if TYPE_CHECKING:
    from nomade_pipeline.slurm_hooks.install import Plan

SLURM_CONF = Path("/etc/slurm/slurm.conf")
AGENT = "nomade-agent"

conf_option = click.option(
    "--conf",
    type=click.Path(dir_okay=False, path_type=Path),
    default=lambda: Path(environment_with({}).get("SLURM_CONF") or SLURM_CONF),
    show_default="$SLURM_CONF, else /etc/slurm/slurm.conf",
    help="slurm.conf; the scripts go into prolog.d and epilog.d beside it.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group(
    "hooks",
    epilog="\b\nExamples:\n"
    "  nomade hooks show\n"
    "  nomade hooks install --dry-run\n"
    "  nomade hooks install --agent /usr/local/bin/nomade-agent\n"
    "  nomade hooks uninstall",
)
def hooks_command() -> None:
    """Slurm's prolog and epilog, which hand over each job's context and last readings.

    They never fail a job and never keep one waiting. The scripts must lie at the same place on every node.
    """


@hooks_command.command("install", epilog="\b\nExamples:\n  nomade hooks install --dry-run\n  nomade hooks install")
@conf_option
@click.option(
    "--agent",
    metavar="FILE",
    help=f"The agent on the compute nodes. Default: {AGENT} of the PATH, else this Python.",
)
@click.option(
    "--run",
    "run_folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/run/nomade"),
    show_default=True,
    help="Local folder of each node in which the hooks leave their files; /run empties itself at boot.",
)
@dry_run_option
@json_option
@pass_invocation
def install_command(
    invocation: Invocation, conf: Path, agent: str | None, run_folder: Path, dry_run: bool, as_json: bool
) -> int:
    """Put the hooks beside slurm.conf and name them in it; safe to repeat.

    A hook that is there already is never replaced: what is to be done then is said, with exit status 1.
    """
    from nomade_pipeline.slurm_hooks.install import Wish, carry_out, plan_install

    plan = plan_install(Wish(conf.absolute(), _agent_command(invocation, agent), run_folder.absolute()))
    if not dry_run:
        carry_out(plan)
    if as_json:
        echo_json(_as_json(plan, dry_run=dry_run))
    else:
        _tell(plan, dry_run=dry_run)
        if plan.conf and not dry_run:
            note(faint("copy both folders to every node that does not share them, then run `scontrol reconfigure`"))
    return FINDING if plan.advice else FINE


@hooks_command.command(
    "uninstall", epilog="\b\nExamples:\n  nomade hooks uninstall --dry-run\n  nomade hooks uninstall"
)
@conf_option
@dry_run_option
@json_option
def uninstall_command(conf: Path, dry_run: bool, as_json: bool) -> int:
    """Take the hooks away; slurm.conf is then as it was, byte by byte."""
    from nomade_pipeline.slurm_hooks.install import carry_out, plan_uninstall

    plan = plan_uninstall(conf.absolute())
    if not dry_run:
        carry_out(plan)
    if as_json:
        echo_json(_as_json(plan, dry_run=dry_run))
    else:
        _tell(plan, dry_run=dry_run)
        if plan.conf and not dry_run:
            note(faint("run `scontrol reconfigure`, so that Slurm forgets them too"))
    return FINDING if plan.advice else FINE


@hooks_command.command("show", epilog="\b\nExamples:\n  nomade hooks show\n  nomade hooks show --json")
@conf_option
@json_option
def show_command(conf: Path, as_json: bool) -> int:
    """Show which hooks slurm.conf names and whether ours are among them; exits with 1 when one is not."""
    from nomade_pipeline.slurm_hooks.install import states

    found = states(conf.absolute())
    if as_json:
        echo_json([{**asdict(state), "script": str(state.script)} for state in found])
    else:
        rows = [
            (state.setting, state.runs, "yes" if state.is_installed else "no", "yes" if state.is_active else "no")
            for state in found
        ]
        click.echo(table(("setting", "slurm.conf names", "script there", "active"), rows))
    return FINE if all(state.is_active for state in found) else FINDING


def _agent_command(invocation: Invocation, agent: str | None) -> tuple[str, ...]:
    """Return the command that delivers; it reads the configuration that this call was given."""
    if agent is not None:
        command = [str(Path(agent).absolute())]
    else:
        found = shutil.which(AGENT)
        command = [found] if found is not None else [sys.executable, "-m", "nomade_pipeline.agent"]
    if invocation.config_path is not None:
        command += ["--config", str(invocation.config_path.absolute())]
    if invocation.data_dir is not None:
        command += ["--data-dir", str(invocation.data_dir.absolute())]
    return tuple(command)


def _as_json(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "done": not dry_run,
        "written": [str(path) for path in plan.files],
        "removed": [str(path) for path in plan.removed],
        "conf": str(plan.conf[0]) if plan.conf else None,
        "lines": plan.lines,
        "advice": plan.advice,
    }


def _tell(plan: Plan, *, dry_run: bool) -> None:
    """Say what a plan did, or would do, and what is left to a person."""
    if plan.is_empty:
        click.echo("nothing to do")
    for path in plan.files:
        click.echo(f"{'would write' if dry_run else 'wrote'} {printable(path)}")
    for path in plan.removed:
        click.echo(f"{'would remove' if dry_run else 'removed'} {printable(path)}")
    if plan.conf:
        click.echo(f"{'would change' if dry_run else 'changed'} {printable(plan.conf[0])}")
        for name, value in plan.lines.items():
            click.echo(f"  {name}={printable(value)}")
    for line in plan.advice:
        note(f"{bad('left to you:')} {printable(line)}")
