"""From a table of jobs to the normalised vectors that similarity, simulation and drift work on.

Steps: log1p of the heavy-tailed quantities, z-score fitted on a stated window, clipped at ± `clip`. A null becomes 0,
the window's mean, and the mask says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats
from nomade_pipeline.tables.features import LEAST_MEASURED, QUANTITY, VECTOR

if TYPE_CHECKING:
    import polars

# A spread below this share of the mean is rounding, not variation.
CONSTANT_SPREAD = 1e-9


@dataclass(frozen=True)
class Scaler:
    """What the vectors of a window were normalised with.

    Attributes:
        dimensions: names of the quantities, d of them.
        mean: of each transformed quantity in the window; NaN where nothing was measured.
        spread: its standard deviation (population); NaN or 0 where it says nothing.
        clip: normalised values lie within ± this.
    """

    dimensions: tuple[str, ...]
    mean: Floats
    spread: Floats
    clip: float

    @classmethod
    def fit(cls, raw: Floats, dimensions: Sequence[str], clip: float) -> Scaler:
        """Return the scaler of a window.

        Args:
            raw: n × d, the quantities in their units; NaN is null.
            dimensions: their names.
            clip: see the attribute.
        """
        known = transformed(raw, dimensions)
        counts = (~np.isnan(known)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean = np.nansum(known, axis=0) / counts
            spread = np.sqrt(np.nansum((known - mean) ** 2, axis=0) / counts)
        return cls(tuple(dimensions), mean, spread, clip)

    @property
    def informative(self) -> Flags:
        """Which dimensions vary in the window; of d."""
        least = CONSTANT_SPREAD * np.maximum(1.0, np.abs(np.nan_to_num(self.mean)))
        varies: Flags = np.nan_to_num(self.spread) > least
        return varies

    def apply(self, raw: Floats) -> tuple[Floats, Flags]:
        """Return normalised values (n × d, null as 0) and the mask of what was measured and varies."""
        known = transformed(raw, self.dimensions)
        mask = ~np.isnan(known) & self.informative
        spread = np.where(self.informative, self.spread, 1.0)
        with np.errstate(invalid="ignore"):
            scaled = np.clip((known - self.mean) / spread, -self.clip, self.clip)
        return np.where(mask, scaled, 0.0), mask

    def restore(self, scaled: Floats) -> Floats:
        """Return quantities in their units for normalised values; a dimension that says nothing gives its mean."""
        return restored(scaled * np.where(self.informative, self.spread, 0.0) + self.mean, self.dimensions)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for a table or a file."""
        return {
            "dimensions": list(self.dimensions),
            "mean": [None if np.isnan(value) else float(value) for value in self.mean],
            "spread": [None if np.isnan(value) else float(value) for value in self.spread],
            "clip": self.clip,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scaler:
        """Return the scaler that `as_dict` described."""
        mean, spread = (np.array([np.nan if v is None else v for v in plain[key]], float) for key in ("mean", "spread"))
        return cls(tuple(plain["dimensions"]), mean, spread, float(plain["clip"]))


@dataclass(frozen=True)
class Vectors:
    """Normalised jobs of a window.

    Attributes:
        values: n × d, null as 0.
        mask: n × d, what was measured and varies.
        scaler: what they were normalised with.
        eligible: which jobs have enough measured quantities to take part in the network; of n.
    """

    values: Floats
    mask: Flags
    scaler: Scaler

    @property
    def eligible(self) -> Flags:
        """Which jobs have at least `LEAST_MEASURED` measured, varying quantities."""
        enough: Flags = self.mask.sum(axis=1) >= LEAST_MEASURED
        return enough


def transformed(raw: Floats, dimensions: Sequence[str]) -> Floats:
    """Return quantities with log1p of the heavy-tailed ones; NaN stays NaN."""
    return np.where(_heavy(dimensions), np.log1p(np.maximum(raw, 0.0)), raw)


def restored(known: Floats, dimensions: Sequence[str]) -> Floats:
    """Return quantities in their units for those that `transformed` gave; NaN stays NaN."""
    heavy, raw = _heavy(dimensions), known.copy()
    raw[..., heavy] = np.expm1(known[..., heavy])
    return raw


def _heavy(dimensions: Sequence[str]) -> Flags:
    return np.array([QUANTITY[name].heavy_tailed for name in dimensions])


def raw_matrix(jobs: polars.DataFrame, dimensions: Sequence[str] = VECTOR) -> Floats:
    """Return the quantities of jobs as an n × d matrix in their units; null as NaN, flags as 0 and 1."""
    import polars as pl

    return jobs.select(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in dimensions).to_numpy()


def vectors_of(jobs: polars.DataFrame, dimensions: Sequence[str] = VECTOR, clip: float = 5.0) -> Vectors:
    """Return the vectors of jobs, normalised by themselves.

    Args:
        jobs: rows of `job_features`.
        dimensions: names of the quantities.
        clip: see `Scaler`.
    """
    raw = raw_matrix(jobs, dimensions)
    scaler = Scaler.fit(raw, dimensions, clip)
    return Vectors(*scaler.apply(raw), scaler)
