"""Where failures are: bins of quantities, and of pairs of them, whose failure rate exceeds the base rate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Sequence

import numpy as np

from nomade_pipeline.analysis.proportions import discoveries, wilson
from nomade_pipeline.analysis.series import Flags, Floats, Integers

# Largest expected share of false hotspots among those that are told.
FALSE_RATE = 0.05
# Quantile bins of a quantity alone and in a pair.
BINS_ALONE, BINS_PAIRED = 10, 4
LEAST_JOBS = 20
# A hotspot is told when it holds failed jobs that those before it did not, at least this share of its own.
NEW_SHARE = 0.5


@dataclass(frozen=True)
class Bin:
    """A range of one quantity.

    Attributes:
        quantity: number of its column.
        low, high: what its jobs have: above ``low``, up to ``high``; the lowest bin holds ``low`` too.
    """

    quantity: int
    low: float
    high: float


@dataclass(frozen=True)
class Hotspot:
    """A bin, or a pair of bins, in which more jobs fail.

    Attributes:
        bins: one or two.
        jobs, failed: of the judged jobs in it.
        rate, low, high: failure rate with Wilson's 95 % interval.
        p: one-sided p of Fisher's exact test against the base rate.
        adjusted_p: the same adjusted for the number of bins that were looked at.
        members: numbers of its jobs.
    """

    bins: tuple[Bin, ...]
    jobs: int
    failed: int
    rate: float
    low: float
    high: float
    p: float
    adjusted_p: float
    members: Integers


@dataclass(frozen=True)
class Search:
    """What was looked at and found.

    Attributes:
        tested: bins and pairs of bins with at least `LEAST_JOBS` jobs.
        found: hotspots, the clearest first; what is left out lies mostly in those before it.
    """

    tested: int
    found: list[Hotspot]


def find_hotspots(raw: Floats, failed: Flags) -> Search:
    """Look for hotspots.

    A pair is told only where it is surely worse than either of its two bins alone.

    Args:
        raw: judged jobs × quantities in their units; NaN is null.
        failed: which of the jobs failed.
    """
    alone = [_binned(raw[:, column], column, BINS_ALONE) for column in range(raw.shape[1])]
    paired = [_binned(raw[:, column], column, BINS_PAIRED) for column in range(raw.shape[1])]
    tables = [_Table((each,), failed) for each in alone if each.bins]
    tables += [_Table(pair, failed) for pair in combinations([each for each in paired if each.bins], 2)]
    cells = [(table, cell) for table in tables for cell in np.flatnonzero(table.jobs >= LEAST_JOBS)]
    if not cells:
        return Search(0, [])
    jobs, hits = (np.array([getattr(table, name)[cell] for table, cell in cells]) for name in ("jobs", "failed"))
    p = _exceeds(hits, jobs, int(failed.sum()), len(failed))
    told, adjusted = discoveries(p, FALSE_RATE)
    low, high = wilson(hits, jobs)
    found: list[Hotspot] = []
    new = failed.copy()
    for i in np.lexsort((-low, p)):
        table, cell = cells[i]
        if not told[i] or not table.adds(cell, float(low[i]), failed):
            continue
        members = table.members(cell)
        if new[members].sum() < NEW_SHARE * hits[i]:
            continue
        new[members] = False
        figures = int(jobs[i]), int(hits[i]), float(hits[i] / jobs[i]), float(low[i]), float(high[i])
        found.append(Hotspot(table.bins(cell), *figures, float(p[i]), float(adjusted[i]), members))
    return Search(len(cells), found)


def _exceeds(hits: Integers, jobs: Integers, failed: int, total: int) -> Floats:
    """Return the chance of so many failed jobs or more in a bin, if the failed ones lay anywhere (hypergeometric)."""
    from scipy.stats import hypergeom

    p: Floats = hypergeom.sf(hits - 1, total, failed, jobs)
    return p


@dataclass(frozen=True)
class _Binned:
    """A quantity in bins; ``codes`` is -1 where it is null."""

    bins: list[Bin]
    codes: Integers


def _binned(values: Floats, column: int, count: int) -> _Binned:
    """Cut a quantity at its quantiles; values that are equal share a bin, and a constant has none."""
    known = ~np.isnan(values)
    if not known.any():
        return _Binned([], np.full(len(values), -1))
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, count + 1)))
    # An atom (zero in most jobs) is a bin of its own: its edge repeats among the quantiles.
    if len(edges) < 2:
        return _Binned([], np.full(len(values), -1))
    if np.mean(values[known] == edges[0]) >= 1 / count:
        edges = np.concatenate([[edges[0]], edges])
    codes = np.where(known, np.clip(np.searchsorted(edges[1:-1], values, side="left"), 0, len(edges) - 2), -1)
    return _Binned([Bin(column, float(a), float(b)) for a, b in pairwise(edges)], codes)


class _Table:
    """Jobs and failures by the bins of one quantity or of two."""

    def __init__(self, axes: Sequence[_Binned], failed: Flags) -> None:
        self.axes = tuple(axes)
        self.shape = tuple(len(axis.bins) for axis in axes)
        known = np.all([axis.codes >= 0 for axis in axes], axis=0)
        self.codes = np.where(known, np.ravel_multi_index([np.maximum(axis.codes, 0) for axis in axes], self.shape), -1)
        size = int(np.prod(self.shape))
        self.jobs = np.bincount(self.codes[known], minlength=size)
        self.failed = np.bincount(self.codes[known & failed], minlength=size)

    def members(self, cell: int) -> Integers:
        """Return the numbers of the jobs in a cell."""
        return np.flatnonzero(self.codes == cell)

    def bins(self, cell: int) -> tuple[Bin, ...]:
        """Return the bins that make a cell."""
        places = np.unravel_index(cell, self.shape)
        return tuple(axis.bins[place] for axis, place in zip(self.axes, places, strict=True))

    def adds(self, cell: int, low: float, failed: Flags) -> bool:
        """Whether a cell is worse than each of its bins alone, whose rates lie below the cell's interval."""
        if len(self.axes) == 1:
            return True
        places = np.unravel_index(cell, self.shape)
        return all(failed[axis.codes == place].mean() < low for axis, place in zip(self.axes, places, strict=True))
