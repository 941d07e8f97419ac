"""The simulation cloud: jobs that might have been, drawn from a model of a window of real ones.

The jobs are split into cells (by k-means on their normalised vectors, or communities when given); each cell has the
model of `cells`. A cell's jobs are alike, so that one copula suits them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.features.vectors import Scaler, restored, transformed
from nomade_pipeline.simulation.cells import Cell
from nomade_pipeline.simulation.relations import impose, relations_in

# Small cells follow bends that one copula cannot; shrinkage makes up for few jobs. More than this gained nothing.
JOBS_PER_CELL, MOST_CELLS = 40, 50
# More jobs do not make the cells better.
LARGEST_FIT = 50_000
# Digits of the stored model; its figures are estimates from hundreds of jobs.
DIGITS = 5


@dataclass(frozen=True)
class Cloud:
    """A fitted model; d quantities, c cells.

    Attributes:
        scaler: names of the quantities, and what vectors are normalised with.
        centres: c × d, mean normalised vector of each cell.
        cells: their models.
        relations: what holds between quantities (see `relations`).
    """

    scaler: Scaler
    centres: Floats
    cells: tuple[Cell, ...]
    relations: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(
        cls,
        raw: Floats,
        scaler: Scaler,
        *,
        seed: int,
        labels: Integers | None = None,
        jobs_per_cell: int = JOBS_PER_CELL,
    ) -> Cloud:
        """Return the model of jobs.

        Args:
            raw: n × d, the quantities in their units; NaN is null. There is at least one job.
            scaler: of the window.
            seed: the same seed gives the same model.
            labels: number of the cell of each job, such as its community's, in place of k-means.
            jobs_per_cell: how many k-means has on average, up to `MOST_CELLS` cells.
        """
        if len(raw) > LARGEST_FIT:
            chosen = np.sort(np.random.default_rng(seed).choice(len(raw), LARGEST_FIT, replace=False))
            raw, labels = raw[chosen], None if labels is None else labels[chosen]
        vectors, _ = scaler.apply(raw)
        labels = (
            _clustered(vectors, jobs_per_cell, seed) if labels is None else np.unique(labels, return_inverse=True)[1]
        )
        values, numbers = transformed(raw, scaler.dimensions), range(int(labels.max()) + 1)
        cells = tuple(Cell.fit(values[labels == number]) for number in numbers)
        centres = np.stack([vectors[labels == number].mean(axis=0) for number in numbers])
        return cls(scaler, centres, cells, relations_in(raw, scaler.dimensions))

    def sample(self, count: int, seed: int) -> tuple[Floats, Integers]:
        """Draw jobs; the same seed draws the same.

        Returns:
            The quantities (count × d, in their units, NaN is null), and the number of each job's cell.
        """
        random = np.random.default_rng(seed)
        jobs = np.array([cell.jobs for cell in self.cells])
        counts = random.multinomial(count, jobs / jobs.sum())
        values = np.concatenate([cell.sample(n, random) for cell, n in zip(self.cells, counts, strict=True)])
        raw = impose(self.relations, restored(values, self.scaler.dimensions), self.scaler.dimensions)
        order = random.permutation(count)
        return raw[order], np.repeat(np.arange(len(self.cells)), counts)[order]

    def cells_of(self, vectors: Floats) -> Integers:
        """Return the number of the cell whose centre is nearest to each normalised vector (n × d)."""
        from nomade_pipeline.simulation.neighbours import nearest

        return nearest(vectors, self.centres, 1)[1][:, 0]

    def as_json(self) -> str:
        """Return it as text that `from_json` reads; figures to `DIGITS` digits."""
        return json.dumps(
            {
                "scaler": self.scaler.as_dict(),
                "centres": _rounded(self.centres.tolist()),
                "cells": [_rounded(cell.as_dict()) for cell in self.cells],
                "relations": self.relations,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Cloud:
        """Return the model that `as_json` described."""
        plain = json.loads(text)
        cells = tuple(map(Cell.from_dict, plain["cells"]))
        relations = tuple(map(tuple, plain["relations"]))
        return cls(Scaler.from_dict(plain["scaler"]), np.array(plain["centres"], float), cells, relations)


def _clustered(vectors: Floats, jobs_per_cell: int, seed: int) -> Integers:
    """Return the cell of each vector (n × d)."""
    from sklearn.cluster import KMeans

    distinct = len(np.unique(vectors, axis=0))
    count = int(np.clip(len(vectors) // jobs_per_cell, 1, min(MOST_CELLS, distinct)))
    labels = KMeans(count, n_init=1, random_state=seed).fit_predict(vectors)
    return np.unique(labels, return_inverse=True)[1]


def _rounded(value: Any) -> Any:
    """Return plain values with floats to `DIGITS` significant digits; atoms keep all, since they are exact values."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: part if name == "atoms" else _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
