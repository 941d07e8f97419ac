"""Many irregular series at once, as the derivative analysis takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class SeriesBatch:
    """Series of any lengths, side by side: row i holds series i, its newest sample in the last column.

    There is at least one column.

    Attributes:
        times: end of each sample, seconds since 1970 UTC, ascending; NaN where a row has fewer samples than columns.
        values: the readings in the unit of their column; NaN exactly where ``times`` is. What was not measured is left
            out beforehand: null is not zero.
    """

    times: Floats
    values: Floats

    @classmethod
    def of(cls, series: Iterable[tuple[Sequence[float] | Floats, Sequence[float] | Floats]]) -> SeriesBatch:
        """Return the batch of (times, values) pairs, in their order; an empty pair is a row without samples."""
        pairs = [(np.asarray(times, float), np.asarray(values, float)) for times, values in series]
        codes = np.repeat(np.arange(len(pairs)), [len(times) for times, _ in pairs])
        empty: list[Floats] = [np.empty(0)]
        times = np.concatenate(empty + [times for times, _ in pairs])
        return cls.from_columns(codes, times, np.concatenate(empty + [values for _, values in pairs]), len(pairs))

    @classmethod
    def from_columns(cls, codes: Integers, times: Floats, values: Floats, count: int) -> SeriesBatch:
        """Return the batch of a long table, in any order.

        Args:
            codes: number of the series of each sample, 0 to ``count`` - 1.
            times: seconds since 1970 UTC; of two samples of one series at one time the later row stays.
            values: the readings; NaN is not measured and left out.
            count: number of series; those without a sample are rows without samples.
        """
        known = np.isfinite(values)
        codes, times, values = codes[known], times[known], values[known]
        order = np.lexsort((times, codes))
        codes, times, values = codes[order], times[order], values[order]
        last = np.ones(len(codes), bool)
        last[:-1] = (codes[1:] != codes[:-1]) | (times[1:] != times[:-1])
        codes, times, values = codes[last], times[last], values[last]
        return cls._aligned(codes, times, values, count)

    @classmethod
    def _aligned(cls, codes: npt.NDArray[np.intp] | Integers, times: Floats, values: Floats, count: int) -> SeriesBatch:
        """Return the batch of samples that are in order already."""
        lengths = np.bincount(codes, minlength=count)
        width = int(lengths.max(initial=1))
        columns = np.arange(len(codes)) - np.cumsum(lengths)[codes] + width
        shape = (count, width)
        batch = cls(np.full(shape, np.nan), np.full(shape, np.nan))
        batch.times[codes, columns], batch.values[codes, columns] = times, values
        return batch

    @classmethod
    def joined(cls, parts: Sequence[SeriesBatch]) -> SeriesBatch:
        """Return the series of several batches, one batch after the other."""
        width = max((part.times.shape[1] for part in parts), default=1)

        def wide(arrays: list[Floats]) -> Floats:
            padded = [np.pad(each, ((0, 0), (width - each.shape[1], 0)), constant_values=np.nan) for each in arrays]
            return np.concatenate([np.empty((0, width)), *padded])

        return cls(wide([part.times for part in parts]), wide([part.values for part in parts]))

    def __len__(self) -> int:
        return len(self.times)

    def newest(self) -> Floats:
        """Return the time of each series' newest sample; NaN where there is none."""
        return self.times[:, -1]

    def only(self, kept: Flags) -> SeriesBatch:
        """Return the samples that a flag each keeps."""
        rows, columns = np.nonzero(kept & ~np.isnan(self.times))
        return self._aligned(rows, self.times[rows, columns], self.values[rows, columns], len(self))

    def before(self, ends: Floats) -> SeriesBatch:
        """Return the samples up to a moment each (seconds since 1970 UTC): what was known then."""
        return self.only(self.times <= ends[:, None])

    def last(self, seconds: float) -> SeriesBatch:
        """Return the samples of the last ``seconds`` before each series' newest one."""
        return self.only(self.times >= self.newest()[:, None] - seconds)

    def rows(self, part: slice | npt.NDArray[np.intp]) -> SeriesBatch:
        """Return some of the series."""
        return SeriesBatch(self.times[part], self.values[part])
