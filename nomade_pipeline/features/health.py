"""The health score: one number between 0 (catastrophic) and 1 (perfect) of how a job went.

Its outcome decides the band, its waste the place within it: a failed job lies below 0.5, a success at or above it. It
contains the outcome, so it describes a job and never predicts one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

from nomade_pipeline.tables.outcomes import FAILED, NODE_FAIL, OOM, SEGFAULT, SUCCESS, TIMEOUT

if TYPE_CHECKING:
    import polars

# Outcome class to the band of its scores: without waste, and with nothing but waste. Work of a job that ran into its
# limit or lost its node may be saved by a checkpoint; a program that broke leaves less; a crash least.
BANDS: Mapping[int, tuple[float, float]] = {
    SUCCESS: (1.0, 0.5),
    TIMEOUT: (0.45, 0.0),
    NODE_FAIL: (0.40, 0.0),
    FAILED: (0.30, 0.0),
    OOM: (0.25, 0.0),
    SEGFAULT: (0.20, 0.0),
}

# What each kind of waste weighs; of those that were measured the weighted mean counts.
WEIGHTS: Mapping[str, float] = {
    "idle_cpus": 0.35,
    "memory_over_request": 0.25,
    "memory_under_request": 0.10,
    "swapping": 0.15,
    "network_writes": 0.15,
}

# Of a job of which no waste was measured, as much is assumed: the middle of its band.
UNKNOWN_WASTE = 0.5
# Swapping this fast, and writing this much to the network, count as one half.
HALF_SWAP_KBPS, HALF_NETWORK_GB = 10_000.0, 10.0
# That swap was in use on its cgroup counts as much at least, however slow.
SWAP_IN_USE = 0.25


def waste_terms() -> dict[str, polars.Expr]:
    """Return each kind of waste, 0 (none) to 1, as an expression over columns of `job_features`; null: not measured.

    - *idle_cpus*: 1 - cpu_efficiency;
    - *memory_over_request*: 1 - memory_efficiency, *memory_under_request*: memory_efficiency - 1;
    - *swapping*: r / (r + 10,000 KB/s) with r = swap_activity, at least 0.25 where had_swap;
    - *network_writes*: nfs_ratio x g / (g + 10 GB) with g = network_write_gb.
    """
    import polars as pl

    cpus, memory = pl.col("cpu_efficiency"), pl.col("memory_efficiency")
    rate, network = pl.col("swap_activity"), pl.col("network_write_gb")
    in_use = pl.col("had_swap").cast(pl.Float64) * SWAP_IN_USE
    return {
        "idle_cpus": (1 - cpus).clip(0, 1),
        "memory_over_request": (1 - memory).clip(0, 1),
        "memory_under_request": (memory - 1).clip(0, 1),
        "swapping": pl.max_horizontal(rate / (rate + HALF_SWAP_KBPS), in_use),
        "network_writes": pl.col("nfs_ratio") * network / (network + HALF_NETWORK_GB),
    }


def health_score() -> polars.Expr:
    """Return the health score as an expression over columns of `job_features`.

    It is ``worst + (best - worst) x (1 - waste)``, with the band of the outcome class, and as waste the mean of the
    measured kinds by `WEIGHTS`. Null for classes that are neither success nor failure and where no class is known.
    """
    import polars as pl

    terms = waste_terms()
    weighed = pl.sum_horizontal(term * WEIGHTS[name] for name, term in terms.items())
    measured = pl.sum_horizontal(term.is_not_null() * WEIGHTS[name] for name, term in terms.items())
    waste = pl.when(measured > 0).then(weighed / measured).otherwise(UNKNOWN_WASTE).clip(0, 1)
    best, worst = (
        pl.col("failure_class").replace_strict(
            {code: band[end] for code, band in BANDS.items()}, default=None, return_dtype=pl.Float64
        )
        for end in (0, 1)
    )
    return worst + (best - worst) * (1 - waste)
