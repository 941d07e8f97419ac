"""The Python interface: `from nomade_pipeline import Nomade`.

Readings come from the newest of spool and database; tables are queried with SQL and come as Polars frames.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nomade_pipeline import clock
from nomade_pipeline.config.load import load_config
from nomade_pipeline.config.settings import Config
from nomade_pipeline.errors import NoData, NotYet
from nomade_pipeline.store.lake import Lake
from nomade_pipeline.tables.contract import Table

if TYPE_CHECKING:
    import networkx
    import polars

GIGABYTE = 1e9


class CollectorReader:
    """The newest readings of one collector.

    Args:
        config: whose data folder is read.
        name: the collector's name; also that of its first table.
    """

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self.name = name

    def get_status(self) -> list[dict[str, Any]]:
        """Return the newest rows of every host, each with ``age_seconds`` and ``stale``.

        Rows of `disk` also have ``used_pct``, ``total_gb``, ``used_gb`` and ``free_gb`` (decimal);
        paths without figures (absent, hung) are left out: `nomade status` and SQL show them.

        Raises:
            NoData: nothing has been collected.
        """
        from nomade_pipeline.status.live import Database, configured_interval, newest

        database = Database(self._config.paths)
        try:
            snapshots = newest(self._config.paths, database, _main_table(self.name))
        finally:
            database.close()
        now = clock.now()
        interval = configured_interval(self._config, self.name)
        rows = [
            {**row, "age_seconds": snapshot.age(now), "stale": snapshot.is_stale(now, interval)}
            for snapshot in snapshots
            for row in snapshot.rows
        ]
        if not rows:
            raise NoData(f"no reading of {self.name}", f"`nomade collect --once -C {self.name}` takes one")
        if self.name != "disk":
            return rows
        return [{**row, **_in_gigabytes(row)} for row in rows if row.get("used_percent") is not None]


def _main_table(collector: str) -> Table:
    from nomade_pipeline.collectors.registry import collector_named

    return collector_named(collector).tables[0]


def _in_gigabytes(row: dict[str, Any]) -> dict[str, float]:
    """Return the reference's names of a file system's figures."""
    return {
        "used_pct": float(row["used_percent"]),
        "total_gb": row["total_bytes"] / GIGABYTE,
        "used_gb": row["used_bytes"] / GIGABYTE,
        "free_gb": row["available_bytes"] / GIGABYTE,
    }


class Collectors:
    """The collectors as attributes: ``nm.collectors.disk``."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __getattr__(self, name: str) -> CollectorReader:
        """Return the reader of a collector.

        Raises:
            AttributeError: there is no such collector; the message lists those that exist.
        """
        from nomade_pipeline.collectors.registry import collector_named

        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return CollectorReader(self._config, collector_named(name).name)
        except KeyError as error:
            raise AttributeError(error.args[0]) from error


def _in_gigabyte(value: float | None) -> float:
    return math.nan if value is None else value / GIGABYTE


class Analysis:
    """Analyses of what was collected, and of the jobs that have ended."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def analyze_disk(self, path: str, hours: float = 168) -> dict[str, Any]:
        """Return how the file system that holds a path fills.

        Returns:
            ``first_derivative`` (GB/day) and ``second_derivative`` (GB/day²) at the newest reading, NaN where there
            are too few, ``trend`` as a word, and as ``estimate`` what ``nomade disk --json`` has as ``trend``. The
            remaining keys are those of ``nomade disk --json``.

        Raises:
            NoData: no reading of this path.
        """
        from nomade_pipeline.status.filesystem import look

        found = look(self._config, path, hours, clock.now())
        estimate = found["trend"] or {}
        return {
            **found,
            "estimate": found["trend"],
            "first_derivative": _in_gigabyte(estimate.get("rate_per_day")),
            "second_derivative": _in_gigabyte(estimate.get("acceleration_per_day2")),
            "trend": estimate.get("trend", "unknown"),
        }

    def job_features(self, days: int | None = None, cluster: str | None = None) -> polars.DataFrame:
        """Return what is known of the jobs that ended in a window, a row a job; see docs/features.md.

        Args:
            days: length of the window, which ends with the newest day that has features; None: ``[similarity]
                window_days``.
            cluster: only of this; None: of all.

        Raises:
            NoData: there are none.
            LakeError: a stored file cannot be read.
        """
        import polars as pl

        from nomade_pipeline.status.features import windows

        config = self._config
        if days is not None:
            config = replace(config, similarity=replace(config.similarity, window_days=days))
        _, found = windows(config, None, cluster or "")
        return pl.concat(found.values())

    def features_of(self, job: str, cluster: str | None = None) -> dict[str, Any]:
        """Return the features of the newest run of a job that has ended, by its number.

        Raises:
            NoData: there are none.
            LakeError: a stored file cannot be read.
        """
        from nomade_pipeline.status.features import features_of

        return features_of(self._config, job, cluster or "")[0]

    def find_similar(self, job: str, most: int = 10, cluster: str | None = None) -> list[dict[str, Any]]:
        """Return the jobs most like one, the most alike first; see `nomade similarity --find-similar`.

        Raises:
            NoData: the job is in no similarity network.
            LakeError: a stored file cannot be read.
        """
        from nomade_pipeline.status.similarity import find_similar

        similar: list[dict[str, Any]] = find_similar(self._config, job, cluster or "", most, None)["similar"]
        return similar

    def similarity_network(self, cluster: str | None = None) -> networkx.Graph[int]:
        """Return the newest similarity network of a cluster as a graph of networkx; see docs/similarity.md.

        Args:
            cluster: whose; None: of the only one that there is.

        Raises:
            NoData: there is none.
            ValueError: there are several; the message names them.
            LakeError: a stored file cannot be read.
        """
        from nomade_pipeline.network.export import networkx_graph
        from nomade_pipeline.status.similarity import graphs

        found = graphs(self._config, cluster or "", None, simpson=False)
        if len(found) > 1:
            raise ValueError(f"name one of the clusters {', '.join(graph.cluster for graph in found)}")
        return networkx_graph(found[0])

    def drift(self, cluster: str | None = None) -> list[dict[str, Any]]:
        """Return what has changed in each cluster's jobs, as `nomade drift --json` prints it.

        Raises:
            NoData: no features of jobs are known.
            LakeError: a stored file cannot be read.
        """
        from nomade_pipeline.status.drift import drift_of

        return [asdict(one) for one in drift_of(self._config, None, cluster or "")]


class Prediction:
    """Predictions; they come with a later version."""

    def predict_job(self, job_metrics: Any) -> NoReturn:
        """Raise NotYet."""
        del job_metrics
        raise NotYet("jobs cannot be scored in this version", "the prediction engine comes with a later version")

    def recommend_for_user(self, user: str) -> NoReturn:
        """Raise NotYet."""
        del user
        raise NotYet("there are no recommendations in this version", "the prediction engine comes with a later version")


class Nomade:
    """One installation.

    Args:
        config_path: configuration file; None searches the usual places.

    Raises:
        ConfigError: the configuration is broken.
    """

    def __init__(self, config_path: str | Path | None = None) -> None:
        self.config = load_config(None if config_path is None else Path(config_path))
        self.collectors = Collectors(self.config)
        self.analysis = Analysis(self.config)
        self.prediction = Prediction()

    @cached_property
    def lake(self) -> Lake:
        """The Parquet store."""
        return Lake(self.config.paths.lake)

    def sql(self, query: str) -> polars.DataFrame:
        """Run one reading SQL statement over all tables; see `nomade sql`.

        Raises:
            SqlError: the statement is wrong, or does more than read.
            NoData: there is neither lake nor database yet.
        """
        import polars as pl

        from nomade_pipeline.sql import run

        frame = pl.from_arrow(run(self.config.paths, query))
        assert isinstance(frame, pl.DataFrame)
        return frame
