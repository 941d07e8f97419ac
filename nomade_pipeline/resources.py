"""Dagster resources, and the contracts in Dagster's words.

Assets receive plain objects of the library from here (`Store`, `Config`) and never see where they
came from. Documentation: https://docs.dagster.io/guides/build/external-resources
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Mapping

import dagster as dg

from nomade_pipeline import clock
from nomade_pipeline.config.load import ConfigError, environment_with
from nomade_pipeline.config.settings import Config
from nomade_pipeline.config.watch import ConfigWatcher
from nomade_pipeline.store.home import Store
from nomade_pipeline.tables.contract import Column, Table

if TYPE_CHECKING:
    from nomade_pipeline.alerts.installation import Installation, InstallationWatcher

# BackfillPolicy is beta and partitioned checks are preview in 1.13; both were measured to do what we need
# (dagster_facts), and a warning at each definition would bury the ones that matter.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

# A constant that reaches back far enough for imports; today's partition exists from midnight on.
DAILY = dg.DailyPartitionsDefinition("2000-01-01", end_offset=1, timezone="UTC")

# A range in one run, up to a month: one process start instead of thirty, and a failure costs a month at most.
BACKFILL = dg.BackfillPolicy.multi_run(max_partitions_per_run=31)

OWNERS = ["team:hpc-operations"]

# A disk that is briefly full or a database that is briefly locked deserves another try, soon and then later.
IO_RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# The ingest runs every 15 minutes: one missed run warns, three fail.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=60), warn_window=timedelta(minutes=35))


@lru_cache(maxsize=8)
def _watcher(config_path: str, variables: tuple[tuple[str, str], ...]) -> ConfigWatcher:
    """Return the watcher of a configuration file, one a process, so that sensors keep the last good settings."""
    del variables  # part of the key: another environment has another configuration
    return ConfigWatcher(Path(config_path) if config_path else None, check_seconds=0.0)


@lru_cache(maxsize=8)
def _installations(config_path: str) -> InstallationWatcher:
    """Return the watcher of the alert rules that belong to a configuration file, one a process."""
    from nomade_pipeline.alerts.installation import InstallationWatcher

    del config_path  # the key
    return InstallationWatcher()


class NomadeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The configuration and the data folder; a changed file is followed without a restart.

    Where a long-lived process (sensors) has read a good file before, a broken one changes nothing and
    ``config_problem`` tells; a run, which has not, fails with file, line and key.

    Attributes:
        config_path: configuration file; empty searches the usual places.
        data_dir: data folder in place of the configured one; empty keeps it.
    """

    config_path: str = ""
    data_dir: str = ""

    def config(self) -> Config:
        """Return the configuration in force.

        Raises:
            Failure: the file is broken; the message names file, line and key. Trying again is no use.
        """
        try:
            config = self._watch().current()
        except ConfigError as error:
            raise dg.Failure(f"the configuration cannot be used: {error}", allow_retries=False) from error
        if not self.data_dir:
            return config
        return replace(config, general=replace(config.general, data_dir=self.data_dir))

    def config_problem(self) -> str | None:
        """Return why the present file is not in force; None when it is."""
        return self._watch().problem

    def _watch(self) -> ConfigWatcher:
        variables = (
            (name, value) for name, value in environment_with({}).items() if name.startswith(("NOMADE_", "HOME"))
        )
        return _watcher(self.config_path, tuple(sorted(variables)))

    def alerts(self) -> Installation:
        """Return the rules and routes of alerts in force; while alerts.toml is broken, the last good ones.

        Raises:
            Failure: it is broken, and this process has not seen a good one.
        """
        try:
            return _installations(self.config_path).current(self.config())
        except ConfigError as error:
            raise dg.Failure(f"the alert rules cannot be used: {error}", allow_retries=False) from error

    def store(self) -> Store:
        """Return the stores of the data folder."""
        return Store.at(self.config().general.data_dir)


def report_past_days(dagster_home: Path, rows: Mapping[str, Mapping[date, int]]) -> int:
    """Tell Dagster's catalogue of closed days that were written outside of its runs (imports, backfills).

    Args:
        dagster_home: Dagster's folder; where it was never used nothing is reported.
        rows: rows of each partition that was written, by raw table and UTC day; today and later are left
            to the next scheduled ingest.

    Returns:
        The number of partitions reported.
    """
    past = [(table, day, count) for table, days in rows.items() for day, count in days.items() if day < clock.today()]
    if not past or not (dagster_home / "history" / "runs.db").exists():
        return 0
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for table, day, count in past:
            written = dg.AssetMaterialization(
                ["raw", table],
                partition=day.isoformat(),
                description="written by a nomade command, outside of a run",
                metadata={"dagster/partition_row_count": count},
            )
            instance.report_runless_asset_event(written)
    return len(past)


def column_schema(table: Table) -> dg.TableSchema:
    """Return a contract as the column schema that the catalogue shows."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=_described(column),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def _described(column: Column) -> str:
    parts = [column.description]
    if column.unit:
        parts.append(f"Unit: {column.unit}.")
    if column.null is not None:
        parts.append(f"Null: {column.null}.")
    return " ".join(parts)
