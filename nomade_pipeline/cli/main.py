"""The command line's entry: the global options and the one boundary at which errors become messages."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Sequence

import click

from nomade_pipeline import __version__, clock
from nomade_pipeline.cli.boundary import status_of
from nomade_pipeline.cli.common import Invocation
from nomade_pipeline.cli.lazy import LazyGroup
from nomade_pipeline.playback.replay_clock import replayed_folder

EXAMPLES = """\b
Examples:
  nomade init                      prepare this machine
  nomade collect --once            take one sample
  nomade ingest                    publish it
  nomade status                    look at it
  nomade sql "SELECT * FROM disk"  query it

Exit codes: 0 fine, 1 a finding or a fault, 2 wrong usage or configuration, 3 no data yet."""


@click.group(
    cls=LazyGroup,
    help="NØMADE: monitoring and prediction for HPC clusters.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Configuration file, in place of the usual places.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Data folder, in place of the configured one.",
)
@click.version_option(__version__, "--version", "-V", message="nomade %(version)s")
@click.pass_context
def cli(context: click.Context, config_path: Path | None, data_dir: Path | None) -> None:
    """Take the global options."""
    invocation = Invocation(config_path, data_dir)
    context.obj = invocation
    if data_dir is not None and replayed_folder(data_dir):
        context.with_resource(_time_of_replay(data_dir))
    # https://no-color.org: any text but the empty one.
    if invocation.environment.get("NO_COLOR"):
        context.color = False


def _time_of_replay(folder: Path) -> AbstractContextManager[None]:
    """Let the present be the replayed moment: a replay's data are as old as the days that it repeats."""
    from nomade_pipeline.playback.replay_clock import ReplayClock

    return clock.set_to(ReplayClock.read(folder).seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status; nothing a user can cause ends in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a question mark, not a traceback.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        result = cli.main(arguments, prog_name="nomade", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except (Exception, KeyboardInterrupt) as error:
        status = status_of(error)
        if status is None:
            raise
        return status
    return result if isinstance(result, int) else 0


def _reader_left() -> int:
    """End quietly when the reader of a pipe has gone, as `head` does."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13


if __name__ == "__main__":
    sys.exit(main())
