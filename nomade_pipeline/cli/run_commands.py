"""`up`, `start`, `stop` and `demo`: running an installation."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from nomade_pipeline import supervisor
from nomade_pipeline.agent.runs import RunReport
from nomade_pipeline.cli.common import FINDING, Invocation, pass_invocation
from nomade_pipeline.cli.output import bad, faint, good, heading
from nomade_pipeline.cli.progress import Bar
from nomade_pipeline.cli.simulate_command import days_option, seed_option
from nomade_pipeline.config.settings import Config

DEMO_FOLDER = "~/.local/share/nomade-demo"
PORT = 3000

host_option = click.option("--host", default="127.0.0.1", show_default=True, help="Address of Dagster's web UI.")
port_option = click.option("--port", default=PORT, show_default=True, type=click.IntRange(1, 65535), help="Its port.")
agent_option = click.option("--agent/--no-agent", default=True, help="Sample this host too (the default).")


@click.command("up", epilog="\b\nExamples:\n  nomade up\n  nomade up --port 3001 --no-agent")
@host_option
@port_option
@agent_option
@pass_invocation
def up_command(invocation: Invocation, host: str, port: int, agent: bool) -> None:
    """Run agent, Dagster's web server and its daemon in the foreground, until Ctrl-C.

    Everything they say goes to logs/nomade.log too.
    """
    supervisor.serve(invocation.paths, host, port, agent=agent, config_path=_config_path(invocation))


@click.command("start", epilog="\b\nExamples:\n  nomade start\n  nomade start --port 3001")
@host_option
@port_option
@agent_option
@pass_invocation
def start_command(invocation: Invocation, host: str, port: int, agent: bool) -> None:
    """Run what `up` runs in the background; `nomade stop` ends it."""
    paths = invocation.paths
    supervisor.require_free_port(host, port)
    options = ["--data-dir", str(paths.root)]
    config_path = _config_path(invocation)
    if config_path is not None:
        options += ["--config", str(config_path)]
    switch = "--agent" if agent else "--no-agent"
    process = supervisor.start(paths, [*options, "up", "--host", host, "--port", str(port), switch])
    if not supervisor.wait_until_ready(host, port, supervisor.READY_SECONDS, lambda: process.poll() is None):
        supervisor.stop(paths)
        raise supervisor.SupervisorError(f"Dagster's web server does not answer; see {paths.logs / 'nomade.log'}")
    click.echo(f"running, pid {process.pid}: {supervisor.console_address(host, port)}")
    click.echo(
        faint("`nomade status` shows what is collected, `nomade logs --follow` what happens, `nomade stop` ends it")
    )


@click.command("stop", epilog="\b\nExamples:\n  nomade stop")
@pass_invocation
def stop_command(invocation: Invocation) -> None:
    """End what `start` or `up` runs on this data folder."""
    click.echo("stopped" if supervisor.stop(invocation.paths) else "nothing was running")


@click.command("demo", epilog="\b\nExamples:\n  nomade demo\n  nomade demo --no-serve\n  nomade demo --port 3001")
@click.option(
    "--jobs",
    type=click.IntRange(0, 10_000_000),
    default=500,
    show_default=True,
    help="Jobs of the simulated cluster; 0: this machine alone.",
)
@days_option(2)
@seed_option
@click.option("--no-serve", is_flag=True, envvar="NOMADE_DEMO_NO_SERVE", help="End without leaving the web UI running.")
@host_option
@port_option
@pass_invocation
def demo_command(invocation: Invocation, jobs: int, days: int, seed: int, no_serve: bool, host: str, port: int) -> int:
    """Sample this machine, run the whole pipeline on it, show the result, and leave the web UI running.

    A simulated cluster, sim-demo, stands beside this machine. Needs no cluster and no root. All data lies in a folder
    of its own (~/.local/share/nomade-demo, or --data-dir). NOMADE_DEMO_SERVE=0 is the same as --no-serve.
    """
    from nomade_pipeline import demo

    folder = (invocation.data_dir or Path(DEMO_FOLDER)).expanduser().absolute()
    serve = not no_serve and invocation.environment.get("NOMADE_DEMO_SERVE") != "0"
    try:
        config_path, config = demo.prepare(folder)
        _sample(config, jobs, days, seed)
        return _run_demo(folder, config_path, config, host, port, serve=serve)
    except demo.DemoFailed as error:
        click.echo(f"{bad('the demo failed:')} {error}", err=True)
        return FINDING


def _sample(config: Config, jobs: int, days: int, seed: int) -> None:
    from nomade_pipeline import demo

    click.echo(heading(f"1. Sampling this machine: {demo.CYCLES} cycles of {demo.CYCLE_SECONDS} s"))
    demo.sample(config, _show_cycle)
    if jobs == 0:
        click.echo(heading("2. No simulated cluster"))
        return
    click.echo(heading(f"2. Simulating a cluster, {demo.SIMULATED}: {jobs:,} jobs in {days} days, seed {seed}"))
    with Bar() as progress:
        done = demo.simulate(config, jobs, days, seed, progress)
    click.echo("  " + "  ".join(f"{name} {count:,}" for name, count in done.outcomes.items()))


def _run_demo(folder: Path, config_path: Path, config: Config, host: str, port: int, *, serve: bool) -> int:
    from nomade_pipeline import demo

    click.echo(
        heading("3. Publishing: spool → checks → Parquet → SQLite, as Dagster assets; then features and networks")
    )
    summary = demo.materialise(config, config_path)
    for name, rows in summary.rows.items():
        click.echo(f"  {name:<22} {'computed' if rows is None else f'{rows:>7} rows'}")
    click.echo(
        f"  {good(f'{summary.passed} checks passed')}"
        + "".join(f"\n  {bad('failed')} {line}" for line in summary.failed)
    )
    click.echo(heading("4. What is known now: nomade status"))
    demo.show(config_path, folder, ["status"])
    for number, (question, query) in enumerate(demo.QUERIES, start=5):
        click.echo(heading(f"{number}. {question}"))
        click.echo(faint(f'nomade sql "{query}"'))
        demo.show(config_path, folder, ["sql", query])
    click.echo(heading("Where it is"))
    click.echo(f"  Parquet  {config.paths.lake}\n  SQLite   {config.paths.database}")
    if serve:
        address = demo.serve_in_background(config, config_path, host, port)
        click.echo(f"  Dagster  {good(address)}   (the agent goes on sampling every 15 s)")
        click.echo(f"  stop it  {_program()} --data-dir {shlex.quote(str(folder))} stop")
    return FINDING if summary.failed else 0


def _program() -> str:
    """Return how to call this program: by its name when it is on the PATH, else by its place."""
    return "nomade" if shutil.which("nomade") else str(Path(sys.executable).with_name("nomade"))


def _show_cycle(reports: list[RunReport]) -> None:
    click.echo("  " + "  ".join(f"{report.collector} {report.rows or report.outcome}" for report in reports))


def _config_path(invocation: Invocation) -> Path | None:
    """Return the configuration that the children are to read: the one that was found."""
    source = invocation.config.source
    return source.absolute() if source is not None else None
