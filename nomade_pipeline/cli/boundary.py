"""Where errors become messages and exit codes.

Errors of the program itself are not caught: their traceback is what a bug report needs.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any, Callable

import click

from nomade_pipeline.cli.common import FINDING, NO_DATA, USAGE
from nomade_pipeline.cli.output import bad, faint, printable
from nomade_pipeline.config.load import ConfigError
from nomade_pipeline.errors import NoData, SqlError

INTERRUPTED = 130


def status_of(error: BaseException) -> int | None:
    """Tell a person about an error and return the exit status; None when it is a fault of ours."""
    for kinds, tell in _ANSWERS:
        if isinstance(error, kinds):
            return tell(error)
    message = _message_of(error)
    if message is None:
        return None
    _tell(message)
    return FINDING


def _exit(error: Any) -> int:
    return int(error.exit_code)


def _usage(error: Any) -> int:
    error.show()
    return int(error.exit_code)


def _interrupted(_error: Any) -> int:
    click.echo("interrupted", err=True)
    return INTERRUPTED


def _no_data(error: Any) -> int:
    click.echo(printable(error.args[0]), err=True)
    click.echo(faint(f"  → {printable(error.hint)}"), err=True)
    return NO_DATA


def _bad_config(error: Any) -> int:
    _tell("the configuration cannot be used", *error.problems)
    return USAGE


def _bad_sql(error: Any) -> int:
    _tell(*str(error).splitlines())
    return USAGE


_ANSWERS: tuple[tuple[tuple[type[BaseException], ...], Callable[[Any], int]], ...] = (
    ((click.exceptions.Exit,), _exit),
    ((click.ClickException,), _usage),
    ((click.Abort, KeyboardInterrupt), _interrupted),
    ((NoData,), _no_data),
    ((ConfigError,), _bad_config),
    ((SqlError,), _bad_sql),
)


def _tell(first: str, *more: str) -> None:
    click.echo(f"{bad('error:')} {printable(first)}", err=True)
    for line in more:
        click.echo(f"  {printable(line)}", err=True)


def _message_of(error: BaseException) -> str | None:
    """Word an error that a user, a disk or another process can cause; None for any other."""
    if isinstance(error, _own_errors()):
        return str(error)
    if isinstance(error, PermissionError):
        return f"{error.filename}: permission denied; run as the user that owns it, or give --data-dir"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, sqlite3.Error):
        return f"the database cannot be used: {error}; `nomade syscheck` tells more"
    if _is_database_error(error):
        return f"the database cannot be used: {getattr(error, 'orig', error)}; `nomade syscheck` tells more"
    return None


def _own_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the library that carry a message for people."""
    from nomade_pipeline.agent.lock import AlreadyRunningError
    from nomade_pipeline.alerts.acts import ActError
    from nomade_pipeline.ingest.accounting import AccountingBusyError
    from nomade_pipeline.ingest.day import TooManyRefused
    from nomade_pipeline.ingest.import_parts import ImportRefusedError
    from nomade_pipeline.lab.errors import LabError
    from nomade_pipeline.playback.errors import ReplayError
    from nomade_pipeline.retention import RetentionError
    from nomade_pipeline.slurm_hooks.conf import ConfError
    from nomade_pipeline.store.database import DatabaseError
    from nomade_pipeline.store.files import LakeError
    from nomade_pipeline.store.spool import SpoolError
    from nomade_pipeline.supervisor import SupervisorError
    from nomade_pipeline.workload.errors import ScenarioError

    return (
        AccountingBusyError,
        ActError,
        AlreadyRunningError,
        ConfError,
        DatabaseError,
        ImportRefusedError,
        LabError,
        LakeError,
        ReplayError,
        RetentionError,
        ScenarioError,
        SpoolError,
        SupervisorError,
        TooManyRefused,
    )


def _is_database_error(error: BaseException) -> bool:
    """Whether SQLAlchemy raised the error; a process that has not imported it cannot have met one."""
    exceptions = sys.modules.get("sqlalchemy.exc")
    return exceptions is not None and isinstance(error, exceptions.DBAPIError)
