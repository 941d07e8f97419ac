"""Exact nearest neighbours by cosine, among the nodes of a similarity graph.

The score of two nodes is the dot product of their unit vectors in float64: multiplied and added in the order of the
dimensions, each step rounded, so that it is the same on every machine. A node's neighbours are the k others with the
highest scores of at least the threshold; of equal scores the smaller number comes first. Nothing is approximate:
the points are put into cells by spherical k-means, and a cell is skipped only where the triangle inequality of angles
proves that no point of it can matter.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats

if TYPE_CHECKING:
    from nomade_pipeline.network.compiled import Cells

Ints = np.ndarray[Any, np.dtype[np.int32]]
Floats32 = np.ndarray[Any, np.dtype[np.float32]]

# Points of a cell, on average: few enough for the processor's first cache, enough to be worth a jump.
CELL_POINTS = 192
# What k-means is fitted on, and how often its centres are moved; better cells make the search quicker, not better.
SAMPLE_PER_CELL, ROUNDS, SEED = 24, 5, 20261124
# Queries that one call of the compiled search takes.
BATCH = 256


def unit_vectors(values: Floats) -> tuple[Floats, Flags]:
    """Return vectors of length 1 and which have a direction; a vector of zeros has none and stays zero."""
    length = np.sqrt(_ordered_sum(values * values))
    directed = length > 0
    return values / np.where(directed, length, 1.0)[:, None], directed


def _ordered_sum(values: Floats) -> Floats:
    """Return the sums of rows, added in the order of the columns."""
    total = np.zeros(len(values))
    for column in values.T:
        total += column
    return total


def exact_scores(queries: Floats, rows: Floats) -> Floats:
    """Return the scores of queries with rows by definition, q × n: a table, so for few of either."""
    total = np.zeros((len(queries), len(rows)))
    for d in range(rows.shape[1]):
        total += np.multiply.outer(queries[:, d], rows[:, d])
    return total


@dataclass(frozen=True)
class Neighbours:
    """The nearest nodes of each query, nearest first.

    Attributes:
        ids: q × k, numbers of nodes; -1 where fewer reach the threshold.
        scores: q × k, their scores in float64; NaN there.
    """

    ids: Ints
    scores: Floats


@dataclass(frozen=True)
class Degrees:
    """How many others reach the threshold, those that a cap on neighbours hides included.

    Attributes:
        nodes: of each query, other nodes.
        jobs: of each query, the jobs that these are; without the query's own.
    """

    nodes: Ints
    jobs: Ints


class Index:
    """Points that nearest ones are looked for among.

    Args:
        rows: n × d unit vectors, as `unit_vectors` returns them; rows of zeros are nobody's neighbour.
        directed: which rows have a direction.
    """

    def __init__(self, rows: Floats, directed: Flags) -> None:
        self.rows = np.ascontiguousarray(rows)
        self._members = np.flatnonzero(directed).astype(np.int32)
        self.quick = _padded(self.rows)
        # Products and sums in float32 of vectors of length 1: (d + 2) roundings of at most 2^-24 each, and some room.
        self.slack = (self.quick.shape[1] + 2) * 2.0**-23

    def part(self, of: Ints) -> Index:
        """Return some of the points as an index of their own."""
        return Index(self.rows[of], np.any(self.rows[of] != 0, axis=1))

    def nearest(self, k: int, threshold: float, of: Ints | None = None) -> Neighbours:
        """Return the neighbours of points among the other points.

        Args:
            k: most neighbours of each.
            threshold: least score.
            of: numbers of the points whose neighbours are wanted; None for all.
        """
        own = np.arange(len(self.rows), dtype=np.int32)
        found = self._nearest(self.rows, self.quick, own, self._cell_batches(of), k, threshold)
        return found if of is None else Neighbours(found.ids[of], found.scores[of])

    def nearest_of(self, queries: Floats, k: int, threshold: float) -> Neighbours:
        """Return the nearest points of vectors that are no points of it; q × d, of length 1 or 0."""
        nobody = np.full(len(queries), -1, np.int32)
        quick = _padded(queries)
        one_by_one: Any = np.flatnonzero(np.any(quick, axis=1))[:, None] if len(self._members) else []
        return self._nearest(np.ascontiguousarray(queries), quick, nobody, list(one_by_one), k, threshold)

    def _nearest(
        self, exact: Floats, quick: Floats32, own: Ints, batches: list[Any], k: int, threshold: float
    ) -> Neighbours:
        from nomade_pipeline.network.compiled import search

        ids = np.full((len(exact), k), -1, np.int32)
        scores = np.full((len(exact), k), np.nan)
        cells = self._cells

        def answer(batch: Any) -> None:
            found = np.full((len(batch), k), -1, np.int32), np.full((len(batch), k), np.nan)
            order = nearest_first(cells, quick[batch])
            search(quick[batch], exact[batch], own[batch], order, cells, self.rows, self.slack, threshold, found)
            ids[batch], scores[batch] = found

        in_threads(answer, batches)
        return Neighbours(ids, scores)

    def degrees(self, threshold: float, weights: Ints, of: Ints | None = None) -> Degrees:
        """Count the others that reach the threshold.

        Args:
            threshold: least score.
            weights: jobs of each point.
            of: numbers of the points to count for; None for all.
        """
        from nomade_pipeline.network.compiled import count

        nodes, jobs = np.zeros(len(self.rows), np.int32), np.zeros(len(self.rows), np.int32)
        cells = self._cells
        placed = np.where(cells.numbers >= 0, weights[cells.numbers], 0).astype(np.float32)

        def answer(batch: Any) -> None:
            found = np.zeros(len(batch), np.int32), np.zeros(len(batch), np.int32)
            count(self.quick[batch], self.rows[batch], cells, self.rows, placed, self.slack, threshold, found)
            # A point reaches itself (its score is 1 but for rounding) where the threshold is below that.
            itself = _own_scores(self.rows[batch]) >= threshold
            nodes[batch], jobs[batch] = found[0] - itself, found[1] - itself * weights[batch]

        in_threads(answer, self._cell_batches(of))
        return Degrees(nodes, jobs) if of is None else Degrees(nodes[of], jobs[of])

    @cached_property
    def _cells(self) -> Cells:
        return cells_of(self.quick, self.rows, self._members, self.slack)

    def _cell_batches(self, of: Ints | None) -> list[Any]:
        """Return the numbers of all points that have a direction, or of some, in batches of such as lie together."""
        cells = self._cells
        wanted = np.ones(len(self.rows), bool)
        if of is not None:
            wanted[:] = False
            wanted[of] = True
        batches = []
        for start, size in zip(cells.starts[:-1], cells.sizes, strict=True):
            members = cells.numbers[start : start + size]
            members = members[wanted[members]]
            batches += [members[first : first + BATCH] for first in range(0, len(members), BATCH)]
        return batches


def _own_scores(rows: Floats) -> Floats:
    return _ordered_sum(rows * rows)


def cells_of(quick: Floats32, rows: Floats, members: Ints, slack: float) -> Cells:
    """Put points into cells.

    Args:
        quick: n × padded d, float32.
        rows: n × d, float64.
        members: numbers of the points that have a direction; the others are left out.
        slack: what a score in float32 may be wrong by.
    """
    from nomade_pipeline.network.compiled import Cells

    centres, width = _centres(quick[members])
    filled, home = np.unique(_assigned(quick[members], centres, width), return_inverse=True)
    centres = centres[filled]
    order = members[np.argsort(home, kind="stable")]
    sizes = np.bincount(home)
    starts = np.concatenate([[0], np.cumsum(_rounded_up(sizes))])
    numbers = np.full(starts[-1], -1, np.int32)
    blocks = np.zeros(starts[-1] * quick.shape[1], np.float32)
    radii = np.zeros(len(centres))
    taken = np.concatenate([[0], np.cumsum(sizes)])
    # An angle from a cosine that is wrong by e is wrong by at most sqrt(2 e).
    margin = np.sqrt(2 * slack) + 1e-6
    for cell, centre in enumerate(centres):
        own = order[taken[cell] : taken[cell + 1]]
        start, end = starts[cell], starts[cell + 1]
        numbers[start : start + len(own)] = own
        blocks[start * quick.shape[1] : end * quick.shape[1]].reshape(-1, end - start)[:, : len(own)] = quick[own].T
        cosines = rows[own] @ centre[: rows.shape[1]].astype(float)
        radii[cell] = np.arccos(np.clip(cosines.min(initial=1.0), -1, 1)) + margin
    return Cells(_laid_out(centres, width), width, radii, blocks, starts, sizes, numbers)


def nearest_first(cells: Cells, queries: Floats32) -> Any:
    """Return the cells in the order of their centres' nearness to the mean of some queries."""
    centres = cells.centres.reshape(-1, cells.width)[:, : len(cells.sizes)]
    return np.argsort(-(queries.mean(axis=0) @ centres), kind="stable")


def _padded(rows: Floats) -> Floats32:
    """Return rows in float32 with zeros up to a multiple of the dimensions that one pass takes."""
    from nomade_pipeline.network.compiled import STEP

    width = -(-rows.shape[1] // STEP) * STEP
    padded = np.zeros((len(rows), width), np.float32)
    padded[:, : rows.shape[1]] = rows
    return padded


def _rounded_up(sizes: Any) -> Any:
    from nomade_pipeline.network.compiled import LANES

    return -(-sizes // LANES) * LANES


def _laid_out(centres: Floats32, width: int) -> Floats32:
    """Return centres as one cell: dimension after dimension, padded to a width."""
    block = np.zeros((centres.shape[1], width), np.float32)
    block[:, : len(centres)] = centres.T
    return block.ravel()


def _assigned(points: Floats32, centres: Floats32, width: int) -> Any:
    """Return the number of the nearest centre of each point."""
    from nomade_pipeline.network.compiled import assign

    nearest = np.empty(len(points), np.int64)
    block = _laid_out(centres, width)
    pieces = np.array_split(np.arange(len(points)), max(1, len(points) // 4096))

    def answer(piece: Any) -> None:
        assign(points[piece[0] : piece[-1] + 1], block, width, len(centres), nearest[piece[0] : piece[-1] + 1])

    in_threads(answer, [piece for piece in pieces if len(piece)])
    return nearest


def _centres(points: Floats32) -> tuple[Floats32, int]:
    """Return the centres of spherical k-means on a sample, of length 1, and their padded number."""
    number = max(1, len(points) // CELL_POINTS)
    width = int(_rounded_up(np.int64(number)))
    random = np.random.default_rng(SEED)
    sample = points[random.permutation(len(points))[: number * SAMPLE_PER_CELL]]
    centres = sample[:number].copy()
    for _ in range(ROUNDS if number > 1 else 1):
        home = _assigned(sample, centres, width)
        order = np.argsort(home, kind="stable")
        filled, first = np.unique(home[order], return_index=True)
        sums = np.add.reduceat(sample[order].astype(float), first, axis=0)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = length[:, 0] > 0
        centres[filled[moved]] = (sums / np.where(length > 0, length, 1))[moved]
    return centres, width


def in_threads(answer: Callable[[Any], None], batches: list[Any]) -> None:
    """Call a compiled function for each batch, on all processors that this process may use."""
    if len(batches) == 1:
        answer(batches[0])
        return
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(answer, batches):
            pass
