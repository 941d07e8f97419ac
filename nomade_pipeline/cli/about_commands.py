"""`nomade version` and `nomade completion`."""

from __future__ import annotations

import platform
import sqlite3

import click
from click.shell_completion import get_completion_class

from nomade_pipeline import __version__
from nomade_pipeline.cli.common import json_option
from nomade_pipeline.cli.output import echo_json


@click.command("version", epilog="\b\nExamples:\n  nomade version\n  nomade version --json")
@json_option
def version_command(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        echo_json({"nomade": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version})
    else:
        click.echo(f"nomade {__version__}")


@click.command(
    "completion",
    epilog="\b\nExamples:\n"
    "  echo 'source <(nomade completion bash)' >> ~/.bashrc\n"
    "  nomade completion zsh > ~/.zfunc/_nomade\n"
    "  nomade completion fish > ~/.config/fish/completions/nomade.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    click.echo(kind(root, {}, "nomade", "_NOMADE_COMPLETE").source())
