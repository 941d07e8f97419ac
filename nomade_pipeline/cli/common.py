"""What every command is given: where the configuration is, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nomade_pipeline.config.load import environment_with, load_config

if TYPE_CHECKING:
    from nomade_pipeline.config.paths import DataPaths
    from nomade_pipeline.config.settings import Config
    from nomade_pipeline.store.home import Store

# Exit codes, the same for every command.
FINE, FINDING, USAGE, NO_DATA = 0, 1, 2, 3


@dataclass
class Invocation:
    """One call of the command line; what it names is read at its first use.

    Attributes:
        config_path: ``--config``, None to search the usual places.
        data_dir: ``--data-dir``, None for the configured one.
    """

    config_path: Path | None = None
    data_dir: Path | None = None

    @cached_property
    def environment(self) -> dict[str, str]:
        """The process's variables with the options put in; children are given this."""
        overrides = {}
        if self.data_dir is not None:
            overrides["NOMADE_GENERAL__DATA_DIR"] = str(self.data_dir.absolute())
        return environment_with(overrides)

    @cached_property
    def config(self) -> Config:
        """The configuration.

        Raises:
            ConfigError: it is broken.
        """
        return load_config(self.config_path, self.environment)

    @property
    def paths(self) -> DataPaths:
        """The layout of the data folder."""
        return self.config.paths

    @cached_property
    def store(self) -> Store:
        """The stores of the data folder."""
        from nomade_pipeline.store.home import Store

        return Store.at(self.paths.root)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
