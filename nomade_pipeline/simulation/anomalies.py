"""Jobs that lie outside of the cloud: how sure that is, and what is odd about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np

from nomade_pipeline.analysis.proportions import discoveries
from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.features.vectors import Scaler
from nomade_pipeline.simulation.neighbours import LARGEST, NEIGHBOURS, at_most, distance_to, nearest
from nomade_pipeline.tables.features import QUANTITY

# A job with such a p-value is told: one of a hundred ordinary ones.
ODD_P = 0.01
# A false discovery rate of this is borne among those that are surely odd.
SURE_RATE = 0.05
# What is many deviations away is what is sought: the clip of the similarity vectors would hide it.
WIDE_CLIP = 100.0
# Quantities that are named, and the deviation from which on one is worth it (standard deviations of the window).
NAMED, LEAST_DEVIATION = 3, 0.5


@dataclass(frozen=True)
class Scored:
    """Scores of n jobs.

    Attributes:
        distance: of each to the cloud, in standard deviations.
        p: probability that an ordinary job is as far away.
        sure: whether it is odd after control of the false discovery rate over these jobs (Benjamini and Hochberg).
    """

    distance: Floats
    p: Floats
    sure: Flags


@dataclass(frozen=True)
class Yardstick:
    """What jobs are measured with.

    Attributes:
        cloud: m × d, normalised jobs of the cloud.
        ordinary: ascending distances of real jobs that the cloud was not fitted to.
    """

    cloud: Floats
    ordinary: Floats

    @classmethod
    def of(cls, cloud: Floats, held: Floats, seed: int) -> Yardstick:
        """Return the yardstick of a cloud (m × d) and of held-out jobs (k × d), both normalised."""
        cloud = at_most(cloud, LARGEST, seed)
        return cls(cloud, np.sort(distance_to(at_most(held, LARGEST, seed), cloud)))

    def score(self, vectors: Floats) -> Scored:
        """Return the scores of normalised jobs (n × d).

        The p-value is conformal: exact for any distribution, as long as a job is exchangeable with the held-out ones
        (Laxhammar and Falkman, Annals of Mathematics and Artificial Intelligence 74, 2015).
        """
        distance = distance_to(vectors, self.cloud)
        farther = len(self.ordinary) - np.searchsorted(self.ordinary, distance, side="left")
        p = np.asarray((1.0 + farther) / (1.0 + len(self.ordinary)), np.float64)
        return Scored(distance, p, discoveries(p, SURE_RATE)[0])


def widened(scaler: Scaler) -> Scaler:
    """Return a scaler that clips nothing that a job can have."""
    return replace(scaler, clip=WIDE_CLIP)


def reasons(raw: Floats, scaler: Scaler, cloud: Floats) -> list[str]:
    """Return in words what is odd about each job: where it differs most from the jobs of the cloud nearest to it.

    Args:
        raw: n × d, quantities in their units; NaN is null.
        scaler: of the window.
        cloud: m × d, jobs of the cloud in their units.
    """
    vectors, mask = scaler.apply(raw)
    among = scaler.apply(cloud)[0]
    rows = nearest(vectors, among, NEIGHBOURS)[1]
    deviation = np.where(mask, vectors - among[rows].mean(axis=1), 0.0)
    return [_reason(*each, scaler.dimensions) for each in zip(raw, deviation, cloud[rows], strict=True)]


def _reason(job: Floats, deviation: Floats, alike: Floats, names: Sequence[str]) -> str:
    order = np.argsort(-np.abs(deviation), kind="stable")[:NAMED]
    told = [_difference(names[j], job[j], alike[:, j]) for j in order if abs(deviation[j]) >= LEAST_DEVIATION]
    return "; ".join(told) or "no quantity alone: their combination"


def _difference(name: str, value: float, alike: Floats) -> str:
    known = alike[~np.isnan(alike)]
    unit = QUANTITY[name].unit
    suffix = "" if unit in ("ratio", "0-1", "flag", "count") else f" {unit}"
    if not len(known):
        return f"{name} {value:.3g}{suffix} (jobs like it: not measured)"
    low, high = f"{known.min():.3g}", f"{known.max():.3g}"
    return f"{name} {value:.3g}{suffix} (jobs like it: {low if low == high else f'{low} to {high}'})"
