"""`nomade config`: the effective configuration, and whether a file is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nomade_pipeline.cli.common import FINE, Invocation, json_option, pass_invocation
from nomade_pipeline.cli.output import echo_json, good, printable
from nomade_pipeline.config.keys import keys_of, shown
from nomade_pipeline.config.load import load_config
from nomade_pipeline.config.render import describe, sections
from nomade_pipeline.config.settings import Config


@click.group(
    "config",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  nomade config\n  nomade config --json\n  nomade config check new.toml",
)
@json_option
@click.pass_context
def config_command(context: click.Context, as_json: bool) -> int:
    """Show the effective configuration: the file, the environment and the defaults put together."""
    if context.invoked_subcommand is not None:
        return FINE
    invocation = context.find_object(Invocation)
    assert invocation is not None
    if as_json:
        echo_json({"source": _source(invocation.config), "settings": settings(invocation.config)})
    else:
        click.echo(describe(invocation.config), nl=False)
    return FINE


@config_command.command("check", epilog="\b\nExamples:\n  nomade config check\n  nomade config check new.toml")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@json_option
@pass_invocation
def check_command(invocation: Invocation, file: Path | None, as_json: bool) -> int:
    """Check FILE, or the file that would be read, and its alerts.toml; faults are named, the exit code is then 2."""
    from nomade_pipeline.alerts.route_file import load_outlets

    config = load_config(file or invocation.config_path, invocation.environment)
    load_outlets(config)
    if as_json:
        echo_json({"source": _source(config), "valid": True})
    else:
        click.echo(good(f"{printable(config.source or 'no file; the defaults')}: valid"))
    return FINE


def settings(config: Config) -> dict[str, Any]:
    """Return all values by section, nested as in the file; secrets are hidden."""
    tree: dict[str, Any] = {}
    for path, section in sections(config):
        place = tree
        for name in path:
            place = place.setdefault(name, {})
        place.update({each.name: shown(getattr(section, each.name), about) for each, about in keys_of(section)})
    return tree


def _source(config: Config) -> str | None:
    return None if config.source is None else str(config.source)
