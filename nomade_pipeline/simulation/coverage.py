"""How much of the real jobs the cloud reaches, and how much of the cloud is plausible.

The region of a set of jobs is the union of balls around each, out to its k-th nearest neighbour within the set
(improved precision and recall, Kynkäänniemi et al., NeurIPS 2019; k = `NEIGHBOURS`). Both sets have the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.simulation.intervals import Estimate, share_of
from nomade_pipeline.simulation.neighbours import NEIGHBOURS, at_most, nearest

# Rows of each set; the region of more is larger, so that shares of different sizes do not compare.
LARGEST_SET = 5_000
# Rows whose distances to a whole set are in memory at once.
_AT_ONCE = 1_000
# A job is within its own ball of radius 0, whatever the last digits of a difference of squares say.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Coverage:
    """Shares with their intervals, and the same of real jobs against real ones.

    Attributes:
        inside: share of real jobs that lie in the region of the cloud.
        plausible: share of the cloud that lies in the region of real jobs.
        inside_floor, plausible_floor: of one half of the real jobs in place of the cloud.
        jobs: size of each set.
    """

    inside: Estimate
    plausible: Estimate
    inside_floor: float
    plausible_floor: float
    jobs: int


def coverage(cloud: Floats, fitted: Floats, held: Floats, seed: int) -> Coverage:
    """Return the coverage of real jobs that the cloud has not seen.

    Args:
        cloud: n × d, normalised jobs of the cloud.
        fitted: m × d, what it was fitted to.
        held: k × d, real jobs that it has not seen.
        seed: which rows of a larger set are looked at.
    """
    size = min(LARGEST_SET, len(cloud), len(fitted), len(held))
    cloud, fitted, held = (at_most(rows, size, seed) for rows in (cloud, fitted, held))
    hits, plausible = in_region(held, cloud), in_region(cloud, held)
    return Coverage(
        share_of(int(hits.sum()), size),
        share_of(int(plausible.sum()), size),
        float(in_region(held, fitted).mean()),
        float(in_region(fitted, held).mean()),
        size,
    )


def in_region(vectors: Floats, of: Floats) -> Flags:
    """Return which vectors (n × d) lie in the region of a set (m × d)."""
    radius = nearest(of, of, NEIGHBOURS + 1)[0][:, -1]
    lengths = (of**2).sum(axis=1)
    found: Flags = np.zeros(len(vectors), bool)
    for start in range(0, len(vectors), _AT_ONCE):
        part = vectors[start : start + _AT_ONCE]
        squares = (part**2).sum(axis=1)[:, None] + lengths - 2.0 * part @ of.T
        found[start : start + _AT_ONCE] = (squares <= radius**2 + _ROUNDING).any(axis=1)
    return found
