"""`nomade uninstall`: take away what `init` and running have left on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Iterator

import click

from nomade_pipeline.cli.common import FINE, USAGE, Invocation, pass_invocation
from nomade_pipeline.cli.output import faint, note, printable, warn
from nomade_pipeline.config.load import FILE_NAME, ConfigError
from nomade_pipeline.config.paths import DataPaths

UNIT_FOLDERS = ("/etc/systemd/system", "~/.config/systemd/user")
CONFIG_FOLDERS = ("/etc/nomade", "~/.config/nomade")
# Folders that belong to the system or to somebody; the data folder lies below one, it is none.
SHARED_FOLDERS = frozenset({
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin",
    "/scratch", "/srv", "/sys", "/tmp", "/usr", "/usr/local", "/usr/share",  # noqa: S108 - names
    "/var", "/var/lib", "/var/log", "/var/tmp",  # noqa: S108 - names
})  # fmt: skip
SYSTEMCTL_SECONDS = 60.0


@click.command("uninstall", epilog="\b\nExamples:\n  nomade uninstall\n  nomade uninstall --purge --yes")
@click.option("--purge", is_flag=True, help="Also delete the measurements: spool, lake and quarantine.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@pass_invocation
def uninstall_command(invocation: Invocation, purge: bool, yes: bool, dry_run: bool) -> int:
    """Remove systemd units, configuration, database, logs and Dagster's home from this machine.

    Measurements stay unless --purge is given; with it no trace is left but the Python package itself, which
    `pip uninstall nomade-pipeline` removes.
    """
    paths, config_file = _installation(invocation)
    danger = why_dangerous(paths.root)
    if danger is not None:
        raise click.UsageError(f"the data folder {paths.root} {danger}; nothing was deleted")
    _refuse_while_running(paths)
    units = list(unit_files())
    files = [*units, *config_files(invocation.config_path), *installed_parts(paths, purge=purge)]
    if not files:
        click.echo("there is nothing to remove")
        return FINE
    for file in files:
        click.echo(f"  {printable(file)}{'/' if file.is_dir() and not file.is_symlink() else ''}")
    if dry_run:
        return FINE
    if not yes:
        click.confirm("Delete all of these? This cannot be undone", abort=True, err=True)
    _disable([unit.name for unit in units])
    for file in files:
        delete(file)
    _remove_empty(paths.root, *(Path(folder).expanduser() for folder in CONFIG_FOLDERS))
    _tell_rest(paths, config_file)
    return FINE


def _installation(invocation: Invocation) -> tuple[DataPaths, Path | None]:
    """Return the data folder and the configuration file; a broken file must not keep anybody from removing it."""
    try:
        return invocation.paths, invocation.config.source
    except ConfigError as error:
        if invocation.data_dir is None:
            raise ConfigError(
                (*error.problems, "give --data-dir to uninstall without a valid configuration")
            ) from error
        return DataPaths(invocation.data_dir.absolute()), invocation.config_path


def why_dangerous(root: Path) -> str | None:
    """Return why a folder cannot be a data folder of ours; None when it can."""
    resolved = root.resolve()
    if str(resolved) in SHARED_FOLDERS or str(root.absolute()) in SHARED_FOLDERS:
        return "is a folder of the system"
    if resolved == Path.home().resolve() or resolved in Path.home().resolve().parents:
        return "is or holds your home folder"
    if resolved == Path.cwd().resolve() or resolved in Path.cwd().resolve().parents:
        return "is or holds the folder you are in; go elsewhere first"
    return None


def _refuse_while_running(paths: DataPaths) -> None:
    """Refuse while the supervisor runs: it would write its files anew.

    Raises:
        click.UsageError: it runs.
    """
    from nomade_pipeline.supervisor import running_pid

    pid = running_pid(paths)
    if pid is not None:
        raise click.UsageError(f"nomade runs here, pid {pid}; `nomade stop` ends it")


def unit_files() -> Iterator[Path]:
    """Yield our systemd units and timers, of the system and of this user."""
    for folder in UNIT_FOLDERS:
        yield from sorted(Path(folder).expanduser().glob("nomade*.service"))
        yield from sorted(Path(folder).expanduser().glob("nomade*.timer"))


def config_files(named: Path | None) -> list[Path]:
    """Return the configuration that belongs to this installation: the one named by ``--config``, else `init`'s.

    A file that was found elsewhere (``./nomade.toml``, ``$NOMADE_CONFIG``) may be shared with other machines.
    """
    standard = [Path(folder).expanduser() / FILE_NAME for folder in CONFIG_FOLDERS]
    return [file for file in ([named] if named is not None else standard) if file.is_file()]


def installed_parts(paths: DataPaths, *, purge: bool) -> list[Path]:
    """Return what lies in the data folder and goes: only names that are ours."""
    database = [paths.database.with_name(paths.database.name + ending) for ending in ("", "-wal", "-shm", "-journal")]
    parts = [*database, paths.dagster_home, paths.logs, paths.locks, paths.staging, paths.trash]
    if purge:
        parts += [paths.spool, paths.lake, paths.quarantine, paths.truth]
    return [part for part in parts if part.exists() or part.is_symlink()]


def _disable(names: list[str]) -> None:
    """Stop and disable units; where there is no systemd there is nothing to stop."""
    from nomade_pipeline.probes import LiveProbe, ProbeError

    if not names:
        return
    for scope in ([], ["--user"]):
        for argv in (["systemctl", *scope, "disable", "--now", *names], ["systemctl", *scope, "daemon-reload"]):
            try:
                LiveProbe().run(argv, SYSTEMCTL_SECONDS)
            except ProbeError as error:
                note(faint(printable(error)))


def delete(path: Path) -> None:
    """Delete a file or folder; of a symbolic link only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(*folders: Path) -> None:
    """Remove folders that hold nothing any more."""
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def _tell_rest(paths: DataPaths, config_file: Path | None) -> None:
    """Say what stays."""
    if paths.root.exists():
        rest = ", ".join(sorted(printable(each.name) for each in paths.root.iterdir()))
        note(warn(f"{paths.root} stays, with: {rest or 'nothing in it'}"))
    if config_file is not None and config_file.exists():
        note(warn(f"{config_file} stays"))
    note(faint("`pip uninstall nomade-pipeline` removes the program"))


assert click.UsageError.exit_code == USAGE
