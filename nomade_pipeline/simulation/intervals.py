"""A figure and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

from nomade_pipeline.analysis.proportions import wilson


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; the ends are NaN where none is known."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def share_of(hits: int, count: int) -> Estimate:
    """Return the share of hits with Wilson's interval; of at least one."""
    low, high = wilson(hits, count)
    return Estimate(hits / count, float(low), float(high))
