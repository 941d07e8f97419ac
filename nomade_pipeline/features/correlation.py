"""How the documented quantities go together: Pearson's and Spearman's correlation of each pair that both were measured.

A null takes a job out of the pairs of that quantity only. All pairs come from four matrix products.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.features.vectors import raw_matrix, transformed
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.features import FEATURE_CORRELATION, QUANTITIES, REDUNDANT

if TYPE_CHECKING:
    import polars

NAMES = tuple(quantity.name for quantity in QUANTITIES)
# Of fewer jobs a correlation is 1 whatever they are.
LEAST_JOBS = 3
# A spread as small as this share of the values is rounding.
ROUNDING = 1e-12


def correlations(values: Floats) -> tuple[Floats, Floats]:
    """Return Pearson's correlation of each pair of columns over the rows that have both, and their number, d × d each.

    Args:
        values: n × d; NaN is null. A column that does not vary over a pair's rows, and fewer than three rows, give NaN.
    """
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known.any(axis=0), np.nansum(values, axis=0) / known.sum(axis=0), 0.0)
    centred, mask = np.where(known, values - means, 0.0), known.astype(float)
    count, sums, squares = mask.T @ mask, centred.T @ mask, (centred**2).T @ mask
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = centred.T @ centred - sums * sums.T / count
        spread = squares - sums**2 / count
        spread[spread <= ROUNDING * squares] = np.nan
        found = covariance / np.sqrt(spread * spread.T)
    found[count < LEAST_JOBS] = np.nan
    return np.clip(found, -1.0, 1.0), count


def correlation_table(jobs: polars.DataFrame, cluster: str, day: date) -> polars.DataFrame:
    """Return the rows of `feature_correlation` of the jobs of a window that ends with a day; none of no jobs."""
    import polars as pl

    pearson, count = correlations(transformed(raw_matrix(jobs, NAMES), NAMES))
    spearman, _ = correlations(_ranks(jobs))
    first, second = np.triu_indices(len(NAMES) if jobs.height else 0, k=1)
    frame = pl.DataFrame(
        {
            "cluster": [cluster] * len(first),
            "quantity": [NAMES[place] for place in first],
            "other": [NAMES[place] for place in second],
            "sample_time": [clock.start_of(day)] * len(first),
            "jobs": count[first, second].astype(np.int64),
            "pearson": pearson[first, second],
            "spearman": spearman[first, second],
        },
        schema={name: kind for name, kind in polars_schema(FEATURE_CORRELATION).items() if name != "redundant"},
        nan_to_null=True,
    )
    strongest = pl.max_horizontal(pl.col("pearson").abs(), pl.col("spearman").abs())
    return frame.with_columns(redundant=(strongest >= REDUNDANT).fill_null(value=False))


def _ranks(jobs: polars.DataFrame) -> Floats:
    """Return the mean rank of each quantity's value among those that were measured; null as NaN."""
    import polars as pl

    return jobs.select(
        pl.col(name).cast(pl.Float64).rank("average").fill_null(float("nan")) for name in NAMES
    ).to_numpy()
