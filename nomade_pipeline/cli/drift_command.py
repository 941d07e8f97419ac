"""`nomade drift`: whether jobs have changed, which quantities, since when, and how sure that is."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Iterator

import click

from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import cluster_name, echo_json, faint, heading, table, warn
from nomade_pipeline.status.drift import drift_of
from nomade_pipeline.tables.simulation import DRIFT_LEVELS

if TYPE_CHECKING:
    from nomade_pipeline.status.drift import ClusterDrift

STABLE, _, DRIFTED = DRIFT_LEVELS


@click.command(
    "drift",
    epilog="\b\nExamples:\n  nomade drift\n  nomade drift --cluster alpha --day 2026-01-31\n"
    "  nomade drift --exit-code --json",
)
@click.option("--cluster", default="", metavar="NAME", help="Only this cluster.")
@click.option(
    "--day",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="DATE",
    help="UTC day on which it was judged; default: the newest.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 when any cluster has drifted.")
@json_option
@pass_invocation
def drift_command(invocation: Invocation, cluster: str, day: datetime | None, exit_code: bool, as_json: bool) -> int:
    """Show whether the jobs of the last days are unlike those of the window before them.

    docs/simulation.md says how that is judged, and what to do.
    """
    found = drift_of(invocation.config, day.date() if day else None, cluster)
    if as_json:
        echo_json([asdict(each) for each in found])
    else:
        click.echo("\n".join(line for each in found for line in _lines(each)))
    return FINDING if exit_code and any(each.level == DRIFTED for each in found) else FINE


def _lines(found: ClusterDrift) -> Iterator[str]:
    """Yield the screen of one cluster."""
    name = heading(cluster_name(found.cluster))
    if found.note:
        yield f"{name}  {faint(found.note)}"
        return
    changed = [row for row in found.quantities if row["level"] != STABLE]
    about = faint(f"judged on {found.day} by {found.quantities[0]['jobs']:,} jobs")
    if not changed:
        yield f"{name}  the jobs are as before  {about}"
        return
    told = "the jobs have changed" if found.level == DRIFTED else "the jobs may have changed"
    yield f"{name}  {warn(told)} since {found.since}  {about}"
    rows = [
        (row["quantity"], row["level"], f"{row['distance']:.0%}", str(row["since"]), row["words"]) for row in changed
    ]
    yield table(("quantity", "level", "of jobs", "since", "in words"), rows, right=("of jobs",))
    steady = [row["quantity"] for row in found.quantities if row["level"] == STABLE]
    yield faint(f"as before: {', '.join(steady)}" if steady else "nothing is as before")
