"""Memory pressure: one number between 0 (none) and 1 (the host only moves pages)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    import polars

# A host with a fifth of its memory available has room; pressure grows linearly as that is used up.
COMFORTABLE_SHARE = 0.2
# Swapping this fast counts as one half: about what a busy disk can move beside its other work.
HALF_SWAP_BYTES_PER_SECOND = 10e6


def memory_pressure(row: Mapping[str, Any]) -> float | None:
    """Return the memory pressure of a row of the table `vmstat`; None when nothing of it was measured.

    It is the largest of three terms, each 0 to 1, of those that were measured:

    - *scarcity*: ``1 - (available / total) / 0.2``, at least 0;
    - *swapping*: ``r / (r + 10 MB/s)`` with r the bytes swapped in and out a second;
    - *stalls*: the share of the interval in which some task waited for memory (PSI, where the kernel has it).

    The largest and not the mean: each of them alone slows a job down.
    """
    terms = [term for term in (_scarcity(row), _swapping(row), _stalls(row)) if term is not None]
    return max(terms) if terms else None


def _scarcity(row: Mapping[str, Any]) -> float | None:
    available, total = row.get("memory_available_bytes"), row.get("memory_total_bytes")
    if available is None or not total:
        return None
    return float(min(1.0, max(0.0, 1 - available / total / COMFORTABLE_SHARE)))


def _swapping(row: Mapping[str, Any]) -> float | None:
    rates = (row.get("swap_in_bytes_per_second"), row.get("swap_out_bytes_per_second"))
    measured = [rate for rate in rates if rate is not None]
    if not measured:
        return None
    rate = sum(measured)
    return float(rate / (rate + HALF_SWAP_BYTES_PER_SECOND))


def _stalls(row: Mapping[str, Any]) -> float | None:
    share = row.get("psi_memory_some_percent")
    return None if share is None else float(min(1.0, share / 100))


def memory_pressure_expression() -> polars.Expr:
    """Return `memory_pressure` as an expression over columns of the table `vmstat`; null where it gives None."""
    import polars as pl

    total, available = pl.col("memory_total_bytes"), pl.col("memory_available_bytes")
    scarcity = pl.when(total > 0).then(1 - available / total / COMFORTABLE_SHARE).clip(0, 1)
    rates = [pl.col("swap_in_bytes_per_second").cast(pl.Float64), pl.col("swap_out_bytes_per_second").cast(pl.Float64)]
    rate = pl.when(pl.any_horizontal(each.is_not_null() for each in rates)).then(pl.sum_horizontal(rates))
    stalls = (pl.col("psi_memory_some_percent").cast(pl.Float64) / 100).clip(upper_bound=1)
    return pl.max_horizontal(scarcity, rate / (rate + HALF_SWAP_BYTES_PER_SECOND), stalls)
