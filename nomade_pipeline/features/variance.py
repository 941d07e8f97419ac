"""How each documented quantity is spread over the jobs of a window, and what it weighs in the similarity vector."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Sequence

import numpy as np

from nomade_pipeline import clock
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.features.correlation import NAMES
from nomade_pipeline.features.vectors import CONSTANT_SPREAD, Vectors, raw_matrix, vectors_of
from nomade_pipeline.store.schema import polars_schema
from nomade_pipeline.tables.features import FEATURE_VARIANCE

if TYPE_CHECKING:
    import polars

QUANTILES = {"minimum": 0.0, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "maximum": 1.0}
LOADINGS = 3


def components(vectors: Vectors) -> tuple[Floats, Floats]:
    """Return the principal components of normalised vectors: share of the variance of each, and loadings, d × d.

    Both are those of the covariance matrix around the mean, as the network sees the jobs: a null is 0. Signs are chosen
    so that the largest loading of each component is positive.
    """
    values = vectors.values - vectors.values.mean(axis=0)
    variances, loadings = np.linalg.eigh(values.T @ values / max(1, len(values)))
    order = np.argsort(variances)[::-1]
    variances, loadings = np.maximum(variances[order], 0.0), loadings[:, order]
    largest = np.argmax(np.abs(loadings), axis=0)
    signs = np.sign(loadings[largest, np.arange(loadings.shape[1])])
    total = variances.sum()
    return variances / total if total > 0 else np.zeros_like(variances), loadings * signs


def variance_table(
    jobs: polars.DataFrame, cluster: str, day: date, dimensions: Sequence[str], clip: float
) -> polars.DataFrame:
    """Return the rows of `feature_variance` of the jobs of a window that ends with a day; none of no jobs.

    Args:
        jobs: rows of `job_features`.
        cluster: whose.
        day: last day of the window.
        dimensions: names of the quantities of the similarity vector.
        clip: normalised quantities are clipped at ± this.
    """
    import polars as pl

    if jobs.is_empty():
        return pl.DataFrame(schema=polars_schema(FEATURE_VARIANCE))
    spread = _spread(jobs).with_columns(
        pl.lit(cluster).alias("cluster"), pl.lit(clock.start_of(day)).alias("sample_time")
    )
    weights = _weights(vectors_of(jobs, dimensions, clip))
    rows = spread.join(weights, on="quantity", how="left", maintain_order="left")
    schema = polars_schema(FEATURE_VARIANCE)
    return rows.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _spread(jobs: polars.DataFrame) -> polars.DataFrame:
    """Return count, mean, deviation and quantiles of each quantity."""
    import polars as pl

    raw = raw_matrix(jobs, NAMES)
    measured = (~np.isnan(raw)).sum(axis=0)
    some = measured > 0
    facts = np.full((len(QUANTILES) + 2, len(NAMES)), np.nan)
    facts[0, some], facts[1, some] = np.nanmean(raw[:, some], axis=0), np.nanstd(raw[:, some], axis=0)
    facts[2:, some] = np.nanquantile(raw[:, some], list(QUANTILES.values()), axis=0)
    columns = dict(zip(("mean", "std", *QUANTILES), facts, strict=True))
    return pl.DataFrame(
        {
            "quantity": NAMES,
            "jobs": jobs.height,
            "measured_jobs": measured,
            "measured_ratio": measured / jobs.height,
            **columns,
            "constant": some & (facts[1] <= CONSTANT_SPREAD * np.maximum(1.0, np.abs(facts[0]))),
        },
        nan_to_null=True,
    )


def _weights(vectors: Vectors) -> polars.DataFrame:
    """Return what each dimension weighs in the normalised vectors, and its loadings; null where it does not vary."""
    import polars as pl

    variances = vectors.values.var(axis=0)
    _, loadings = components(vectors)
    varies = vectors.scaler.informative & (variances > 0)
    table = {"variance_ratio": variances / max(float(variances.sum()), np.finfo(float).tiny)}
    for number in range(min(LOADINGS, loadings.shape[1])):
        table[f"loading_{number + 1}"] = loadings[:, number]
    shown = {name: np.where(varies, values, np.nan) for name, values in table.items()}
    return pl.DataFrame({"quantity": vectors.scaler.dimensions, **shown}, nan_to_null=True)
