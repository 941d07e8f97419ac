"""One quantity of one cell: values that repeat (atoms) as such, and a smooth quantile function for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers

# A value is an atom when so many jobs of a cell, and such a share of them, have exactly it.
LEAST_REPEATS, LEAST_SHARE = 3, 0.01
# Pieces of a quantile function.
PIECES = 128
# States of a quantity: null, smooth, or 1 + the place of its atom.
NULL, SMOOTH = -1, 0


@dataclass(frozen=True)
class Marginal:
    """How one quantity is distributed.

    Attributes:
        atoms: the repeated values, ascending.
        edges: the quantile function of all other values: its value at 0, 1/`PIECES`, … 1; empty when there are none.
    """

    atoms: Floats
    edges: Floats

    @classmethod
    def fit(cls, values: Floats) -> Marginal:
        """Return the marginal of measured values (n)."""
        unique, counts = np.unique(values, return_counts=True)
        atoms = unique[counts >= max(LEAST_REPEATS, LEAST_SHARE * len(values))]
        rest = np.sort(values[~np.isin(values, atoms)])
        return cls(atoms, _smoothed(rest) if len(rest) else rest)

    def states(self, values: Floats) -> Integers:
        """Return the state of each value (n): `NULL`, `SMOOTH`, or 1 + the place of its atom."""
        place = np.searchsorted(self.atoms, values)
        found = np.where(np.isin(values, self.atoms), place + 1, SMOOTH)
        return np.where(np.isnan(values), NULL, found).astype(np.int64)

    def values(self, states: Integers, shares: Floats) -> Floats:
        """Return a value for each state (n): the atom, or the quantile of a share in [0, 1]; NaN for null."""
        found = np.full(len(states), np.nan)
        smooth = states == SMOOTH
        if len(self.edges):
            place = shares[smooth] * PIECES
            piece = np.minimum(place.astype(np.int64), PIECES - 1)
            low, high = self.edges[piece], self.edges[piece + 1]
            found[smooth] = low + (place - piece) * (high - low)
        atomic = states > SMOOTH
        found[atomic] = self.atoms[states[atomic] - 1]
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"atoms": self.atoms.tolist(), "edges": self.edges.tolist()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Marginal:
        """Return the marginal that `as_dict` described."""
        return cls(np.array(plain["atoms"], float), np.array(plain["edges"], float))


def _smoothed(ordered: Floats) -> Floats:
    """Return the edges for ascending values: each value fills the line to halfway to its neighbours.

    It stays within the smallest and the largest value, so within the quantity's bounds.
    """
    halfway = (ordered[1:] + ordered[:-1]) / 2
    edges = np.concatenate([ordered[:1], halfway, ordered[-1:]])
    smoothed: Floats = np.interp(np.linspace(0, 1, PIECES + 1), np.linspace(0, 1, len(edges)), edges)
    return smoothed
