"""Safe and danger zones: boxes in the space of NFS writes, local writes and I/O wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.config.settings import WINDOW_MEDIAN, ZoneSettings
from nomade_pipeline.tables.network import RAW_AXES


@dataclass(frozen=True)
class Zone:
    """A box.

    Attributes:
        name: safe or danger.
        low: jobs in it have more than this, by axis; None for no bound.
        high: jobs in it have at most this.
    """

    name: str
    low: Mapping[str, float | None]
    high: Mapping[str, float | None]

    def holds(self, points: Floats) -> Flags:
        """Return which points lie in it; jobs × 3 as in `RAW_AXES`, and NaN lies in none."""
        inside = ~np.isnan(points).any(axis=1)
        for column, axis in enumerate(RAW_AXES):
            low, high = self.low[axis], self.high[axis]
            inside &= True if low is None else points[:, column] > low
            inside &= True if high is None else points[:, column] <= high
        return np.asarray(inside)


def zones_of(points: Floats, bounds: ZoneSettings) -> list[Zone]:
    """Return the safe zone (little NFS, much local, little wait) and the danger zone (the reverse).

    Args:
        points: jobs × 3, as in `RAW_AXES`; NaN is null.
        bounds: from ``[zones]``; what is not given there is the median of the points.
    """
    known = points[~np.isnan(points).any(axis=1)]
    medians = np.median(known, axis=0) if len(known) else np.zeros(3)

    def bound(name: str, axis: str) -> float:
        given = float(getattr(bounds, name))
        return float(medians[RAW_AXES.index(axis)]) if given == WINDOW_MEDIAN else given

    nfs, local, wait = RAW_AXES
    return [
        Zone(
            "safe",
            {nfs: None, local: bound("safe_local_write_gb", local), wait: None},
            {nfs: bound("safe_nfs_write_gb", nfs), local: None, wait: bound("safe_iowait_percent", wait)},
        ),
        Zone(
            "danger",
            {nfs: bound("danger_nfs_write_gb", nfs), local: None, wait: bound("danger_iowait_percent", wait)},
            {nfs: None, local: bound("danger_local_write_gb", local), wait: None},
        ),
    ]
