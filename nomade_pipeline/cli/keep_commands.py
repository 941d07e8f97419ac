"""`nomade retention` and `nomade forget`: what is deleted on purpose."""

from __future__ import annotations

import click

from nomade_pipeline.cli.common import FINDING, FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, note, printable, size_text
from nomade_pipeline.errors import NoData


@click.command("retention", epilog="\b\nExamples:\n  nomade retention --dry-run\n  nomade retention --json")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
@pass_invocation
def retention_command(invocation: Invocation, dry_run: bool, as_json: bool) -> int:
    """Delete what `[retention]` no longer keeps; the maintenance job does it every night.

    A spool file goes only when its hour is over, its rows have been read back from the lake and
    `spool_hours` have passed.
    """
    from nomade_pipeline.retention import apply

    require_installation(invocation)
    removed = apply(invocation.store, invocation.config.retention, dry_run=dry_run)
    if as_json:
        echo_json(removed.summary())
    else:
        _tell(removed.summary(), dry_run=dry_run)
    return FINDING if removed.problems else FINE


@click.command("forget", epilog="\b\nExamples:\n  nomade forget sim-17 --dry-run\n  nomade forget sim-17 --yes")
@click.argument("cluster")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Delete its spool files too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
@pass_invocation
def forget_command(
    invocation: Invocation,
    cluster: str,
    yes: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Delete everything of CLUSTER from lake and database."""
    from nomade_pipeline.forgetting import forget

    require_installation(invocation)
    planned = forget(invocation.store, cluster, force=force, dry_run=True)
    if not dry_run and not yes:
        _tell(planned.summary(), dry_run=True)
        click.confirm(f"Delete all of cluster {printable(cluster)}? This cannot be undone", abort=True, err=True)
    removed = planned if dry_run else forget(invocation.store, cluster, force=force)
    if as_json:
        echo_json(removed.summary())
    else:
        _tell(removed.summary(), dry_run=dry_run)
    return FINE


def require_installation(invocation: Invocation) -> None:
    """Make sure that there is a database, so that a reading command does not create one.

    Raises:
        NoData: there is none.
    """
    if not invocation.paths.database.exists():
        raise NoData(f"there is no database {invocation.paths.database}", "`nomade ingest` creates and fills it")


def _tell(summary: dict[str, object], *, dry_run: bool) -> None:
    """Print what was, or would be, deleted."""
    click.echo("would delete:" if dry_run else "deleted:")
    size = summary["spool_bytes"]
    assert isinstance(size, int)
    click.echo(f"  spool files      {summary['spool_files']} ({size_text(size)})")
    click.echo(f"  days of the lake {summary['lake_partitions']}")
    rows = summary["database_rows"]
    assert isinstance(rows, dict)
    click.echo(
        f"  database rows    {sum(rows.values())}" + "".join(f"  {name} {count}" for name, count in rows.items())
    )
    click.echo(f"  quarantine days  {summary['quarantine_days']}")
    kept, problems = summary["spool_files_kept"], summary["problems"]
    assert isinstance(kept, dict)
    assert isinstance(problems, list)
    for reason, count in kept.items():
        click.echo(f"  kept: {count} old spool files: {reason}")
    for problem in problems:
        note(printable(problem))
