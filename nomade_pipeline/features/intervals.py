"""Means and maxima of one host's samples over many intervals at once.

A sample stands for the time that it was measured over. A mean weights each sample by the time that it shares with the
interval; a gap between samples counts for nothing. It is a difference of two running integrals, so that its cost does
not grow with the interval's length. A maximum is looked up in a sparse table (Bender and Farach-Colton, 2000: "The
LCA problem revisited"), likewise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers


@dataclass(frozen=True)
class Samples:
    """Samples of one host, oldest first; none overlaps the next one.

    Attributes:
        starts, ends: seconds since 1970 UTC, n each.
        weights: n × m, seconds that each value was measured for; 0 where it is null.
        values: n × m, finite; anything where the weight is 0.
        peaks: n × p; -inf where null.
    """

    starts: Floats
    ends: Floats
    weights: Floats
    values: Floats
    peaks: Floats

    def integrals(self, begin: Floats, end: Floats) -> tuple[Floats, Floats]:
        """Return for q intervals the integral of each value over the time measured, and that time, q × m each."""
        stacked = np.hstack([self.values * self.weights, self.weights])
        running = np.vstack([np.zeros((1, stacked.shape[1])), np.cumsum(stacked, axis=0)])
        both = self._until(end, stacked, running) - self._until(begin, stacked, running)
        both[~(end > begin)] = 0.0
        return both[:, : self.values.shape[1]], both[:, self.values.shape[1] :]

    def _until(self, moment: Floats, stacked: Floats, running: Floats) -> Floats:
        """Return the running integrals at moments; within a sample they grow evenly."""
        ended = np.searchsorted(self.ends, moment, side="right")
        current = np.minimum(ended, len(self.ends) - 1)
        length = self.ends[current] - self.starts[current]
        share = np.clip((moment - self.starts[current]) / np.where(length > 0, length, 1.0), 0.0, 1.0)
        share[(ended == len(self.ends)) | (length <= 0)] = 0.0
        partial: Floats = running[ended] + share[:, None] * stacked[current]
        return partial

    def maxima(self, begin: Floats, end: Floats) -> Floats:
        """Return for q intervals the largest value of each peak, q × p; -inf where there is none.

        A sample counts when its middle lies in the interval: what a job shares less than half of says more of others.
        Where no middle does, in an interval shorter than a sample, every sample counts that shares any of it.
        """
        middles = (self.starts + self.ends) / 2
        first, last = np.searchsorted(middles, begin), np.searchsorted(middles, end)
        short = last <= first
        first[short] = np.searchsorted(self.ends, begin[short], side="right")
        last[short] = np.searchsorted(self.starts, end[short], side="left")
        last = np.where(end > begin, last, first)
        return range_maxima(self.peaks, first, last)


def range_maxima(values: Floats, first: Integers, last: Integers) -> Floats:
    """Return the maximum of each column over rows ``first`` (inclusive) to ``last`` (exclusive); -inf over none.

    Args:
        values: n × p.
        first: of each of q ranges its first row.
        last: the row behind its last one.
    """
    found = np.full((len(first), values.shape[1]), -np.inf)
    levels = _power_maxima(values)
    count = last - first
    some = np.flatnonzero(count > 0)
    level = np.frexp(count[some])[1] - 1
    for each in np.unique(level):
        rows = some[level == each]
        table = levels[each]
        found[rows] = np.maximum(table[first[rows]], table[last[rows] - (1 << int(each))])
    return found


def _power_maxima(values: Floats) -> list[Floats]:
    """Return for each power of two the maxima over that many rows from each row on."""
    levels = [values]
    size = 1
    while 2 * size <= len(values):
        before = levels[-1]
        levels.append(np.maximum(before[:-size], before[size:]))
        size *= 2
    return levels
