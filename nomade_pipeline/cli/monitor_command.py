"""`nomade monitor`: the running jobs of this host, once or until stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import bad, echo_json, faint, heading, note, printable, table, warn
from nomade_pipeline.errors import NoData

if TYPE_CHECKING:
    from nomade_pipeline.agent.monitor import Snapshot


@click.command(
    "monitor",
    epilog="\b\nExamples:\n  nomade monitor --once\n  nomade monitor -i 30\n  nomade monitor --once --json",
)
@click.option("--once", is_flag=True, help="One snapshot, with rates over some seconds.")
@click.option(
    "--interval",
    "-i",
    type=click.IntRange(1, 3600),
    metavar="SECONDS",
    help="Between readings (default: [monitor] sample_interval); with --once: how long to look (5, at most 60).",
)
@json_option
@pass_invocation
def monitor_command(invocation: Invocation, once: bool, interval: int | None, as_json: bool) -> int:
    """Watch the running jobs of this host: CPU, memory, network and local I/O, GPUs.

    Without --once it writes the spool until stopped, beside or in place of the agent. Processes of other users are
    read as root only, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.
    """
    if once:
        return _show_once(invocation, interval, as_json=as_json)
    if as_json:
        raise click.UsageError("--json goes with --once")
    from nomade_pipeline.agent.monitor import WRITER
    from nomade_pipeline.agent.serve import serve
    from nomade_pipeline.collectors.slurm_collectors import MONITOR

    return serve(
        invocation.config_path,
        [MONITOR],
        interval=interval,
        always=True,
        writer=WRITER,
        environment=invocation.environment,
    )


def _show_once(invocation: Invocation, interval: int | None, *, as_json: bool) -> int:
    """Look once, show the jobs and store what was seen."""
    from nomade_pipeline.agent.monitor import snapshot
    from nomade_pipeline.agent.once import LONGEST, SHORTEST, USUAL, store
    from nomade_pipeline.probes import LiveProbe

    config = invocation.config
    seen = snapshot(config, LiveProbe(), min(max(interval or USUAL, SHORTEST), LONGEST))
    if as_json:
        echo_json({"run": seen.report.to_dict(), "jobs": seen.jobs, "findings": seen.findings})
    else:
        _show(seen)
    store(config, [seen.report])
    if not as_json:
        note(faint(f"stored below {config.paths.spool}"))
    if seen.report.outcome == "skipped":
        raise NoData(str(seen.report.message), "run it on a compute node, or `nomade lab up` to have one here")
    return FINDING if seen.report.outcome == "failed" else FINE


def _show(seen: Snapshot) -> None:
    """Print the jobs, what is wrong with them, and what could not be read."""
    from nomade_pipeline.agent.monitor import HEADERS, cells

    if seen.jobs:
        click.echo(table(HEADERS, map(cells, seen.jobs), right=HEADERS[3:6]))
    elif seen.report.outcome == "success":
        click.echo("no job runs on this host")
    for row in seen.findings:
        click.echo(f"{heading(row['finding'])}: {printable(row['message'])}")
    if seen.report.message and seen.report.outcome != "skipped":
        note((bad if seen.report.outcome == "failed" else warn)(printable(seen.report.message)))
