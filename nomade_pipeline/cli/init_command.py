"""`nomade init` and `nomade migrate`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nomade_pipeline.cli.common import FINE, Invocation, pass_invocation
from nomade_pipeline.cli.output import faint, good, note, warn
from nomade_pipeline.config.load import FILE_NAME, find_config
from nomade_pipeline.config.render import example
from nomade_pipeline.config.toml import to_literal


@click.command(
    "init",
    epilog="\b\nExamples:\n  nomade init\n  nomade --data-dir /srv/nomade init --cluster-name alpha\n"
    "  nomade --config ./nomade.toml init",
)
@click.option("--cluster-name", metavar="NAME", help="Written into a new configuration.")
@pass_invocation
def init_command(invocation: Invocation, cluster_name: str | None) -> int:
    """Create configuration, folders, database and Dagster's home. Safe to repeat: nothing is overwritten.

    The configuration is written to --config, else to /etc/nomade (root) or ~/.config/nomade, unless one is
    found already.
    """
    from nomade_pipeline.probes import LiveProbe
    from nomade_pipeline.store.database import migrate
    from nomade_pipeline.supervisor import prepare_dagster_home
    from nomade_pipeline.syscheck import network_filesystem

    target = config_target(invocation)
    written = target is not None and _write_config(target, invocation, cluster_name)
    if target is not None and invocation.config_path is None:
        invocation.config_path = target
    config = invocation.config
    _say("configuration", config.source, new=written)
    if cluster_name is not None and not written and cluster_name != config.general.cluster_name:
        note(warn(f"the cluster's name stays {config.general.cluster_name}: the configuration exists; change it there"))
    paths = config.paths
    fresh = not paths.database.exists()
    fstype = network_filesystem(LiveProbe(), paths.database)
    if fstype is not None:
        note(
            warn(
                f"{paths.database} is on a network file system ({fstype}), where SQLite's locks do not hold; "
                "set [general] data_dir to a local disk on the host that runs the pipeline"
            )
        )
    for folder in (paths.root, paths.spool, paths.lake, paths.quarantine, paths.logs):
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        _say("folder", folder, new=new)
    version = migrate(paths.database)
    _say(f"database (version {version})", paths.database, new=fresh)
    new = not (paths.dagster_home / "dagster.yaml").exists()
    prepare_dagster_home(paths)
    _say("Dagster's home", paths.dagster_home, new=new)
    click.echo(
        "Next: `nomade syscheck` checks the system, `nomade collect --once` takes a sample, "
        "`nomade up` runs everything."
    )
    return FINE


def config_target(invocation: Invocation) -> Path | None:
    """Return where to write a configuration; None when there is one."""
    if invocation.config_path is not None:
        return None if invocation.config_path.exists() else invocation.config_path
    if find_config(None, invocation.environment) is not None:
        return None
    if os.geteuid() == 0:
        return Path("/etc/nomade") / FILE_NAME
    return Path("~/.config/nomade").expanduser() / FILE_NAME


def _write_config(target: Path, invocation: Invocation, cluster_name: str | None) -> bool:
    """Write the example, with what the command line says uncommented."""
    text = example()
    given = {
        "cluster_name": cluster_name,
        "data_dir": None if invocation.data_dir is None else str(invocation.data_dir.absolute()),
    }
    for key, value in given.items():
        if value is not None:
            lines = text.splitlines(keepends=True)
            place = next(i for i, line in enumerate(lines) if line.startswith(f"# {key} = "))
            lines[place] = f"{key} = {to_literal(value)}\n"
            text = "".join(lines)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("x", encoding="utf-8") as file:
        file.write(text)
    return True


def _say(what: str, path: Path | None, *, new: bool) -> None:
    mark = good("created") if new else faint("exists ")
    click.echo(f"  {mark} {what}: {path}")


@click.command("migrate", epilog="\b\nExamples:\n  nomade migrate")
@pass_invocation
def migrate_command(invocation: Invocation) -> int:
    """Bring the database to this version; a missing one is created. Safe to repeat."""
    from nomade_pipeline.store.database import migrate, version_of

    path = invocation.paths.database
    before = version_of(path) if path.exists() else None
    after = migrate(path)
    click.echo(f"{path}: version {after}" + (" already" if before == after else f", was {before or 'none'}"))
    return FINE
