"""The tables that look at the jobs of a window: how the quantities go together, and how they are spread."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Callable

from nomade_pipeline.config.settings import Config
from nomade_pipeline.features.correlation import correlation_table
from nomade_pipeline.features.variance import variance_table
from nomade_pipeline.features.window import window_of
from nomade_pipeline.store.home import Store
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.contract import Table
from nomade_pipeline.tables.features import FEATURE_CORRELATION, FEATURE_VARIANCE, JOB_FEATURES, VECTOR

if TYPE_CHECKING:
    import polars


def correlation_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write the correlations in the window that ends with a UTC day anew; return figures, the redundant pairs named.

    Raises:
        LakeError: a stored file cannot be read or written.
    """
    import polars as pl

    rows = _write(store, config, day, FEATURE_CORRELATION, correlation_table)
    strength = pl.max_horizontal(pl.col("pearson", "spearman").abs())
    redundant = rows.filter("redundant").select("cluster", "quantity", "other", strength)
    pairs = [f"{cluster}: {first} and {second} ({size:.2f})" for cluster, first, second, size in redundant.iter_rows()]
    known = rows["pearson"].count()
    return {"rows": rows.height, "pairs_known": known, "redundant": len(pairs), "redundant_pairs": ", ".join(pairs)}


def variance_of_day(store: Store, config: Config, day: date) -> dict[str, Any]:
    """Write how the quantities are spread in the window that ends with a UTC day anew; return figures.

    Raises:
        LakeError: a stored file cannot be read or written.
    """

    def table(jobs: polars.DataFrame, cluster: str, last: date) -> polars.DataFrame:
        return variance_table(jobs, cluster, last, VECTOR, config.similarity.clip)

    rows = _write(store, config, day, FEATURE_VARIANCE, table)
    return {"rows": rows.height, "measured": ", ".join(measured_words(rows)), "constant": ", ".join(_constant(rows))}


def measured_words(rows: polars.DataFrame) -> list[str]:
    """Return ``cluster: n of 17 measured`` of each cluster of rows of `feature_variance`."""
    import polars as pl

    of_vector = rows.filter(pl.col("quantity").is_in(VECTOR))
    counted = of_vector.group_by("cluster", maintain_order=True).agg((pl.col("measured_jobs") > 0).sum())
    return [f"{cluster}: {count} of {len(VECTOR)} measured" for cluster, count in counted.iter_rows()]


def _constant(rows: polars.DataFrame) -> list[str]:
    constant = rows.filter("constant").select("cluster", "quantity")
    return [f"{cluster}: {quantity}" for cluster, quantity in constant.iter_rows()]


def _write(
    store: Store,
    config: Config,
    day: date,
    table: Table,
    compute: Callable[[polars.DataFrame, str, date], polars.DataFrame],
) -> polars.DataFrame:
    """Put a table of the window of each cluster in the place of what the day held; return its rows."""
    import polars as pl

    lake = store.lake
    found = [pl.DataFrame(schema=polars_schema(table))]
    for cluster in sorted({*lake.clusters(JOB_FEATURES), *lake.clusters(table)}):
        rows = compute(window_of(lake, cluster, day, config.similarity.window_days), cluster, day)
        if rows.height or lake.has(table, cluster, day):
            lake.replace(table, cluster, day, rows)
        found.append(rows)
    return pl.concat(found)
