"""`nomade features JOB`: what is known of one ended job, by the moment from which it was known."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Iterator, Mapping

import click

from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.jobs_command import outcome_word
from nomade_pipeline.cli.output import NULL, echo_json, faint, heading, printable
from nomade_pipeline.status.features import features_of
from nomade_pipeline.tables.features import AT_START, AT_SUBMIT, JOB_FEATURES, QUANTITIES, VECTOR

_OUTCOME = ("state", "class_source", "health_score")
_MEASURED = (*(quantity.name for quantity in QUANTITIES if quantity.name != "health_score"),)
_ABOUT = ("network_write_gb", "local_write_gb", "coverage_ratio", "shared_host")


@click.command(
    "features",
    epilog="\b\nExamples:\n  nomade features 12345\n  nomade features 12345_7 --cluster alpha\n"
    "  nomade features 12345 --json",
)
@click.argument("job")
@click.option("--cluster", default="", metavar="NAME", help="Only of this cluster.")
@json_option
@pass_invocation
def features_command(invocation: Invocation, job: str, cluster: str, as_json: bool) -> int:
    """Show what was known of a job when it was submitted and started, what it came to, and the documented quantities.

    A dash is not known, never zero. docs/features.md says how each is measured.
    """
    runs = features_of(invocation.config, job, cluster)
    if as_json:
        echo_json({"job": job, "runs": runs, "features": _declared()})
    else:
        click.echo("\n".join(line for run in runs for line in _lines(run)))
    return FINE


def _declared() -> dict[str, dict[str, Any]]:
    """Return unit and moment of each feature."""
    from nomade_pipeline.features.registry import FEATURES

    return {
        name: {"unit": feature.column.unit, "known_at": feature.availability, "sources": list(feature.sources)}
        for name, feature in FEATURES.items()
    }


def _lines(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the screen of one run."""
    number = run["job_id"] or run["job_id_raw"]
    outcome = outcome_word(run) or "outcome not known"
    yield f"{heading('Job ' + printable(number))} on {printable(run['cluster'])}  {outcome}"
    yield heading("Known at its submission") + faint(f"  {_text(run['submit_time'])}")
    yield from (_field(run, column.name) for column in AT_SUBMIT)
    yield heading("Known at its start")
    yield from (_field(run, column.name) for column in AT_START)
    yield heading("Outcome")
    yield from (_field(run, name) for name in _OUTCOME)
    yield heading("Quantities") + faint(f"  {run['measured']} of {len(VECTOR)} dimensions measured")
    yield from (_field(run, name) for name in (*_MEASURED, *_ABOUT))


def _field(run: Mapping[str, Any], name: str) -> str:
    unit = JOB_FEATURES.column(name).unit
    shown = _text(run[name])
    return f"  {name:<20} {shown}" + (faint(f" {unit}") if shown != NULL and unit not in ("", "UTC") else "")


def _text(value: object) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    return printable(value)
