"""`nomade report`: what features and network of a window's jobs say; reports on models come with the prediction."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Iterator, Mapping

import click

from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.jobs_command import percent
from nomade_pipeline.cli.output import echo_json, faint, heading, note, number, printable, table
from nomade_pipeline.errors import NotYet
from nomade_pipeline.status.features import report, windows
from nomade_pipeline.tables.outcomes import OUTCOME_CLASSES

FEATURES, NETWORK, MODELS = "features", "network", "models"


@click.command(
    "report",
    epilog="\b\nExamples:\n  nomade report features\n  nomade report features --date 2026-01-31 --json\n"
    "  nomade report features --plot features.png\n  nomade report network --plot pictures",
)
@click.argument("what", type=click.Choice([FEATURES, NETWORK, MODELS]), default=FEATURES)
@click.option("--cluster", default="", metavar="NAME", help="Only this cluster.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="DATE",
    help="Last UTC day of the window; default: the newest that was computed.",
)
@click.option(
    "--plot",
    type=click.Path(writable=True, path_type=Path),
    help="Draw it into a PNG file; of the network, several into a folder.",
)
@json_option
@pass_invocation
def report_command(
    invocation: Invocation, what: str, cluster: str, day: datetime | None, plot: Path | None, as_json: bool
) -> int:
    """Report on the jobs of `[similarity] window_days`.

    features: what was measured, how it is spread, outcomes. network: communities of jobs that behave alike, whether
    failed jobs lie together, zones and hotspots. Reports on models are not in this version.
    """
    if what == MODELS:
        raise NotYet("`nomade report models` has no data in this version", "it comes with the prediction engine")
    if what == NETWORK:
        return _network(invocation, cluster, day, plot, as_json=as_json)
    if plot is not None and plot.is_dir():
        raise click.UsageError(f"--plot: {plot} is a folder; `report features` draws into one file")
    last, found = windows(invocation.config, day.date() if day else None, cluster)
    reports = [report(invocation.config, last, name, jobs) for name, jobs in found.items()]
    if plot is not None:
        _draw(found, plot)
    if as_json:
        echo_json(reports)
    else:
        click.echo("\n".join(line for each in reports for line in _lines(each)))
    return FINE


def _network(invocation: Invocation, cluster: str, day: datetime | None, plot: Path | None, *, as_json: bool) -> int:
    from nomade_pipeline.cli.report_network import draw_networks, network_lines
    from nomade_pipeline.status.network import networks

    last, reports = networks(invocation.config, day.date() if day else None, cluster)
    if plot is not None:
        if plot.is_file():
            raise click.UsageError(f"--plot: {plot} is a file; `report network` draws into a folder")
        draw_networks(invocation.store.lake, last, reports, plot)
    if as_json:
        echo_json(reports)
    else:
        click.echo("\n".join(line for each in reports for line in network_lines(each)))
    return FINE


def _draw(found: Mapping[str, Any], plot: Path) -> None:
    """Write a picture a cluster; of several, each file has the cluster's name in it."""
    from nomade_pipeline.features.plot import report_picture

    for cluster, jobs in found.items():
        path = plot if len(found) == 1 else plot.with_stem(f"{plot.stem}-{cluster}")
        path.write_bytes(report_picture(jobs))
        note(faint(f"wrote {path}"))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    outcomes = found["outcomes"]
    yield heading(f"{printable(found['cluster'])}: {found['jobs']:,} jobs") + faint(
        f"  {found['days']} days up to {found['last_day']}"
    )
    yield f"  {found['measured_dimensions']} of {found['dimensions']} dimensions of the similarity vector measured"
    yield f"  failed: {percent(outcomes['failed_ratio']) or 'no job succeeded or failed'}; " + ", ".join(
        f"{name} {outcomes[name]:,}" for name in (*OUTCOME_CLASSES, "unknown") if outcomes[name]
    )
    headers = ("quantity", "measured", "5 %", "median", "95 %", "mean", "weight")
    yield table(headers, [_row(row) for row in found["quantities"] if row["measured_jobs"]], right=headers[1:])
    unknown = [row["quantity"] for row in found["quantities"] if not row["measured_jobs"]]
    if unknown:
        yield f"  not measured: {', '.join(unknown)}"
    if found["redundant"]:
        yield heading("Say the same") + faint(f"  correlation of {found['redundant_from']} or more")
        yield from (f"  {pair['quantity']} and {pair['other']}" for pair in found["redundant"])
    if any(found["components"]):
        shares = ", ".join(f"{share:.0%}" for share in found["components"][:5])
        yield f"  the first principal components hold {shares} of the variance"


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    values = [number(row[name], ".4g") for name in ("p05", "p50", "p95", "mean")]
    weight = "constant" if row["constant"] else percent(row["variance_ratio"])
    return (row["quantity"], percent(row["measured_ratio"]), *values, weight)
