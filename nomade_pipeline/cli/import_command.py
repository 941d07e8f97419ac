"""`nomade import`: the history of jobs from a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from nomade_pipeline import clock
from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import bad, echo_json, faint, note, printable
from nomade_pipeline.cli.progress import Bar
from nomade_pipeline.config.keys import FORMS
from nomade_pipeline.errors import NoData

if TYPE_CHECKING:
    from nomade_pipeline.ingest.importing import ImportReport

FORMATS = ("sacct", "swf", "parquet")


def _cluster(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if re.fullmatch(FORMS["name"][0], value) is None:
        raise click.BadParameter(FORMS["name"][1])
    return value


def _zone(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"no time zone {value!r}; write a name such as Europe/Berlin") from error
    return value


@click.command(
    "import",
    epilog="\b\nExamples:\n  nomade import jobs.txt --cluster old\n"
    "  nomade import CEA-Curie-2011-2.1-cln.swf.gz --cluster curie\n"
    "  nomade import dump.csv --format sacct --cluster old --timezone Europe/Berlin",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--cluster", required=True, callback=_cluster, metavar="NAME", help="Name of the cluster in the lake.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By the file's name unless given.")
@click.option(
    "--timezone",
    "zone",
    default="UTC",
    show_default=True,
    callback=_zone,
    metavar="ZONE",
    help="Of times without offset.",
)
@click.option("--columns", default="", metavar="NAMES", help="Columns of a dump of sacct without header.")
@click.option("--roll-up", is_flag=True, help="Also roll up the days now, which takes longer than the import.")
@json_option
@pass_invocation
def import_command(
    invocation: Invocation,
    file: Path,
    cluster: str,
    kind: str | None,
    zone: str,
    columns: str,
    roll_up: bool,
    as_json: bool,
) -> int:
    """Import the history of jobs in FILE: a dump of `sacct -P`, a log in the Standard Workload Format, or Parquet.

    Any columns and any delimiter of sacct will do, if End is among them. Doing it again changes nothing. Jobs without a
    time of submission are identified by their start, else by their end.
    """
    from nomade_pipeline.ingest.importing import import_file

    began = clock.monotonic()
    names = [name.strip() for name in columns.split(",") if name.strip()]
    with Bar() as progress:
        report = import_file(
            invocation.store, file, cluster, kind=kind or "", zone=zone, columns=names, progress=progress
        )
        seconds = clock.monotonic() - began
        if roll_up:
            _roll_up(invocation, report, progress)
    _catalogue(invocation, report)
    if as_json:
        echo_json(_as_dict(report, seconds))
    else:
        _tell(report, file, cluster, seconds, rolled_up=roll_up)
    return FINDING if report.refused else FINE


def _roll_up(invocation: Invocation, report: ImportReport, progress: Callable[[str, float], None]) -> None:
    """Roll up the days that were touched."""
    from nomade_pipeline.ingest.rollup import roll_up_day

    for done, day in enumerate(report.days, start=1):
        roll_up_day(invocation.store, day)
        progress("rolling up", done / len(report.days))


def _catalogue(invocation: Invocation, report: ImportReport) -> None:
    """Let Dagster's catalogue show the partitions that were written; where it was never used there is none."""
    if not report.added or not invocation.paths.dagster_home.exists():
        return
    from nomade_pipeline.resources import report_past_days

    report_past_days(invocation.paths.dagster_home, {"job_metrics": report.days})


def _as_dict(report: ImportReport, seconds: float) -> dict[str, object]:
    return {
        "jobs": report.rows,
        "added": report.added,
        "days": len(report.days),
        "first_day": min(report.days, default=None),
        "last_day": max(report.days, default=None),
        "identified_by": dict(report.submit_sources),
        "refused": dict(report.refused),
        "other_clusters": dict(report.other_clusters),
        "seconds": round(seconds, 3),
    }


def _tell(report: ImportReport, file: Path, cluster: str, seconds: float, *, rolled_up: bool) -> None:
    """Say what was imported and what was not.

    Raises:
        NoData: there was no job that has ended.
    """
    for name, count in report.other_clusters.most_common():
        note(faint(f"left out: {count:,} records of cluster {printable(name)}; import them with --cluster"))
    for reason, count in report.refused.most_common():
        note(f"{bad('not read')}: {count:,}× {printable(reason)}")
    if report.refused:
        note(faint("`nomade quarantine --table job_metrics` shows them"))
    if not report.rows:
        raise NoData(
            f"{file} holds no job that has ended", "a job needs a number and an End; see `nomade import --help`"
        )
    missing = report.rows - report.submit_sources["submit"]
    if missing:
        note(f"{missing:,} jobs have no time of submission: their start, or else their end, identifies them")
    days = f"{min(report.days)} to {max(report.days)}"
    click.echo(f"{report.rows:,} jobs of {days} in {seconds:.1f} s, {report.added:,} of them new, as cluster {cluster}")
    if report.added and not rolled_up:
        note(faint("they are in `nomade sql` now; `--roll-up`, or Dagster, brings them into `nomade jobs`"))
