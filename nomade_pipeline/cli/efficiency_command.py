"""`nomade efficiency`: who used the cluster, and how well."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping

import click

from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.jobs_command import percent
from nomade_pipeline.cli.output import age_text, cluster_first, echo_json, faint, table
from nomade_pipeline.cli.since import since_option
from nomade_pipeline.status.jobs import efficiency
from nomade_pipeline.tables.job_rollups import DIMENSIONS


@click.command(
    "efficiency",
    epilog="\b\nExamples:\n  nomade efficiency\n  nomade efficiency --by account --since 30d\n"
    "  nomade efficiency --json",
)
@click.option(
    "--by", type=click.Choice(DIMENSIONS), default="user", show_default=True, help="What jobs are grouped by."
)
@click.option("--cluster", default="", metavar="NAME", help="Only this cluster.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most lines to show.")
@since_option("7d")
@json_option
@pass_invocation
def efficiency_command(
    invocation: Invocation, by: str, cluster: str, limit: int, since: datetime, as_json: bool
) -> int:
    """Show what users or accounts were given, how much of it their jobs used, and how many failed.

    CPU: time used of the time held by the jobs of which it is known. Memory: seff's peak of what was
    allocated, likewise. Failed: of the jobs that succeeded or failed; cancelled ones are neither.
    """
    rows = efficiency(invocation.config, by, since, cluster)
    if as_json:
        echo_json(rows)
        return FINE
    headers = (by, "jobs", "failed", "CPU hours", "CPU used", "memory used", "GPU hours", "mean wait", "measured")
    shown, lines = cluster_first(headers, rows[:limit], [_row(row) for row in rows[:limit]])
    click.echo(table(shown, lines, right=headers[-8:]))
    if len(rows) > limit:
        click.echo(faint(f"{limit} of {len(rows)}; --limit shows more"))
    return FINE


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    wait = row["wait_mean_seconds"]
    return (
        row["name"] or "(none)",
        row["jobs"],
        percent(row["failed_ratio"]),
        f"{row['allocated_cpu_seconds'] / 3600:,.1f}",
        percent(row["cpu_efficiency_ratio"]),
        percent(row["memory_efficiency_ratio"]),
        f"{row['allocated_gpu_seconds'] / 3600:,.1f}",
        None if wait is None else age_text(wait),
        percent(row["measured_ratio"]),
    )
