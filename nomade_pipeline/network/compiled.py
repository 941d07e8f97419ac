"""The loops of the exact nearest-neighbour search, compiled by numba. Called by `network.kernel` only.

Two kinds of arithmetic: a quick one in float32, wrong by at most ``slack``, decides what need not be looked at; what
is left is scored in float64, plain multiplications and additions in the order of the dimensions. So the result does
not depend on the processor, on threads, or on what was skipped.

Points lie cell by cell; within a cell dimension by dimension, padded to `LANES` points, so that a loop over points is
a loop over neighbouring memory. Dimensions are padded with zeros to a multiple of `STEP`.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, TypeVar

import numba
import numpy as np

# Points a vector loop takes at once (unrolled AVX2), and dimensions that one pass adds.
LANES, STEP = 32, 6

Function = TypeVar("Function", bound=Callable[..., Any])


class Cells(NamedTuple):
    """Points put into cells.

    Attributes:
        centres: centres of the cells, of length 1, laid out as one cell; float32.
        width: their padded number.
        radii: largest angle between a cell's centre and its points, plus what float32 may be wrong by.
        blocks: the points, cell after cell; float32.
        starts: first padded place of each cell, and the end of the last.
        sizes: points of each cell.
        numbers: number of the point at each padded place; -1 where there is none.
    """

    centres: Any
    width: int
    radii: Any
    blocks: Any
    starts: Any
    sizes: Any
    numbers: Any


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compile a function, kept on disk where there is a place for it: beside the source or in ~/.cache."""

    def decorate(function: Function) -> Function:
        try:
            made: Function = numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # no folder that may be written; compiled anew in each process
            made = numba.njit(nogil=True, **options)(function)
        return made

    return decorate


@compiled(fastmath={"contract"})
def quick_scores(query: Any, block: Any, width: int, scores: Any) -> None:
    """Write the dot products of a query with the points of a cell to ``scores[:width]``."""
    for group in range(0, len(query), STEP):
        q0, q1, q2 = query[group], query[group + 1], query[group + 2]
        q3, q4, q5 = query[group + 3], query[group + 4], query[group + 5]
        b0 = block[group * width : (group + 1) * width]
        b1 = block[(group + 1) * width : (group + 2) * width]
        b2 = block[(group + 2) * width : (group + 3) * width]
        b3 = block[(group + 3) * width : (group + 4) * width]
        b4 = block[(group + 4) * width : (group + 5) * width]
        b5 = block[(group + 5) * width : (group + 6) * width]
        if group == 0:
            for j in range(width):
                scores[j] = q0 * b0[j] + q1 * b1[j] + q2 * b2[j] + q3 * b3[j] + q4 * b4[j] + q5 * b5[j]
        else:
            for j in range(width):
                scores[j] += q0 * b0[j] + q1 * b1[j] + q2 * b2[j] + q3 * b3[j] + q4 * b4[j] + q5 * b5[j]


@compiled()
def exact_score(a: Any, b: Any) -> float:
    """Return the score by definition: the dot product in float64, dimension after dimension, each step rounded."""
    total = 0.0
    for d in range(len(a)):
        total += a[d] * b[d]
    return total


@compiled()
def assign(queries: Any, centres: Any, width: int, count: int, nearest: Any) -> None:
    """Write the number of the nearest centre of each query; of equal ones the first."""
    scores = np.empty(width, np.float32)
    for i in range(len(queries)):
        quick_scores(queries[i], centres, width, scores)
        nearest[i] = np.argmax(scores[:count])


@compiled()
def insert(ids: Any, scores: Any, held: int, new: int, score: float) -> int:
    """Put a neighbour into a list ordered by score, then number; return its new length. A full list drops its last."""
    size = len(ids)
    place = held
    while place > 0 and (scores[place - 1] < score or (scores[place - 1] == score and ids[place - 1] > new)):
        if place < size:
            scores[place], ids[place] = scores[place - 1], ids[place - 1]
        place -= 1
    if place < size:
        scores[place], ids[place] = score, new
    return min(held + 1, size)


@compiled(fastmath={"reassoc", "nsz"})
def any_at_least(found: Any, least: Any) -> bool:
    """Whether any score reaches a bound; a vector loop without a jump."""
    hits = np.float32(0)
    for j in range(len(found)):
        hits += np.float32(1) if found[j] >= least else np.float32(0)
    return bool(hits > 0)


@compiled()
def offer(found: Any, numbers: Any, own: int, exact: Any, rows: Any, slack: float, bound: float, near: Any) -> Any:
    """Put the points of a cell that belong there into a query's list of neighbours.

    Args:
        found: quick scores of the points.
        numbers: their numbers.
        own: the query's own number, which is passed over.
        exact: the query.
        rows: all points by number.
        slack: what a quick score may be wrong by.
        bound: score that a neighbour must have.
        near: the list: numbers, scores, and how many there are.

    Returns:
        The length of the list, and the bound from now on.
    """
    ids, scores, held = near
    least = np.float32(bound - slack)
    for place in range(len(found)):
        number = numbers[place]
        if found[place] < least or number == own:
            continue
        score = exact_score(exact, rows[number])
        if score < bound:
            continue
        held = insert(ids, scores, held, number, score)
        if held == len(ids) and scores[-1] > bound:
            bound = scores[-1]
            least = np.float32(bound - slack)
    return held, bound


@compiled()
def search(
    quick: Any, exact: Any, own: Any, order: Any, cells: Cells, rows: Any, slack: float, threshold: float, near: Any
) -> None:
    """Write the nearest points of some queries that lie near each other.

    Args:
        quick: the queries, q × padded d in float32, of length 1.
        exact: the same, q × d in float64.
        own: number of the point that each query is, -1 for none.
        order: cells in the order in which to visit them, nearest first.
        cells: the points.
        rows: the points by number, n × d in float64.
        slack: what a quick score may be wrong by.
        threshold: least score of a neighbour.
        near: results: numbers and scores, q × k.
    """
    ids, scores = near
    queries, dimensions = quick.shape
    centre = np.empty((queries, cells.width), np.float32)
    bound = np.full(queries, threshold)
    angle = np.full(queries, np.arccos(max(-1.0, min(1.0, threshold))))
    held = np.zeros(queries, np.int64)
    cosine, sine = np.cos(cells.radii), np.sin(cells.radii)
    found = np.empty(max(cells.starts[1:] - cells.starts[:-1]), np.float32)
    for i in range(queries):
        quick_scores(quick[i], cells.centres, cells.width, centre[i])
    for cell in order:
        start, width, size = cells.starts[cell], cells.starts[cell + 1] - cells.starts[cell], cells.sizes[cell]
        block = cells.blocks[start * dimensions : (start + width) * dimensions]
        for i in range(queries):
            # No point of the cell is nearer than the centre's angle minus the radius (triangle inequality).
            beyond = cells.radii[cell] + angle[i] < np.pi
            if beyond and centre[i, cell] < bound[i] * cosine[cell] - np.sin(angle[i]) * sine[cell]:
                continue
            quick_scores(quick[i], block, width, found)
            if not any_at_least(found[:size], np.float32(bound[i] - slack)):
                continue
            numbers, state = cells.numbers[start : start + size], (ids[i], scores[i], held[i])
            held[i], bound[i] = offer(found[:size], numbers, own[i], exact[i], rows, slack, bound[i], state)
            angle[i] = np.arccos(max(-1.0, min(1.0, bound[i])))


@compiled(fastmath={"reassoc", "nsz"})
def reaching(found: Any, weights: Any, low: Any, high: Any) -> tuple[Any, Any, Any]:
    """Return how many scores are above ``high``, what these weigh, and how many are at least ``low``.

    Sums of whole numbers in float32, exact below 2^24: vector instructions have no wider integers to add as quickly.
    """
    one, zero = np.float32(1), np.float32(0)
    sure, heavy, possible = zero, zero, zero
    for j in range(len(found)):
        sure += one if found[j] > high else zero
        heavy += weights[j] if found[j] > high else zero
        possible += one if found[j] >= low else zero
    return sure, heavy, possible


@compiled()
def count(
    quick: Any, exact: Any, cells: Cells, rows: Any, weights: Any, slack: float, threshold: float, reached: Any
) -> None:
    """Count the points whose score with each query is at least the threshold, the query's own included.

    Args:
        quick: see `search`, as all that is not told here.
        exact: see there.
        cells: see there.
        rows: see there.
        weights: what the point at each padded place counts; whole numbers in float32, below 2^24 in each cell.
        slack: see there.
        threshold: least score.
        reached: results, of q: the number of points, and the sum of their weights.
    """
    points, weighed = reached
    queries, dimensions = quick.shape
    near = np.empty((queries, cells.width), np.float32)
    for i in range(queries):
        quick_scores(quick[i], cells.centres, cells.width, near[i])
    angle = np.arccos(max(-1.0, min(1.0, threshold)))
    found = np.empty(max(cells.starts[1:] - cells.starts[:-1]), np.float32)
    low, high = np.float32(threshold - slack), np.float32(threshold + slack)
    for cell in range(len(cells.sizes)):
        start, width, size = cells.starts[cell], cells.starts[cell + 1] - cells.starts[cell], cells.sizes[cell]
        block = cells.blocks[start * dimensions : (start + width) * dimensions]
        own = weights[start : start + size]
        total = np.int64(own.sum())
        # Beyond the first cosine no point of the cell counts, within the second all do.
        farthest = np.cos(angle + cells.radii[cell]) if angle + cells.radii[cell] < np.pi else -2.0
        nearest = np.cos(angle - cells.radii[cell]) if angle > cells.radii[cell] else 2.0
        for i in range(queries):
            if near[i, cell] < farthest:
                continue
            if near[i, cell] >= nearest:
                points[i] += size
                weighed[i] += total
                continue
            quick_scores(quick[i], block, width, found)
            sure, heavy, possible = reaching(found[:size], own, low, high)
            points[i] += sure
            weighed[i] += np.int64(heavy)
            if possible == sure:
                continue
            for j in range(size):
                if low <= found[j] <= high and exact_score(exact[i], rows[cells.numbers[start + j]]) >= threshold:
                    points[i] += 1
                    weighed[i] += np.int64(own[j])


@compiled()
def has(ids: Any, wanted: int) -> bool:
    """Whether a node is in a list of neighbours, which ends with -1 where it is not full."""
    for number in ids:
        if number == wanted:
            return True
        if number < 0:
            return False
    return False


@compiled()
def edges_by_first(ids: Any) -> Any:
    """Return the number of edges of which each node is the smaller end, in the union of the directed neighbours."""
    counts = np.zeros(len(ids), np.int64)
    for node in range(len(ids)):
        for other in ids[node]:
            if other < 0:
                break
            if node < other:
                counts[node] += 1
            elif not has(ids[other], node):
                counts[other] += 1
    return counts


@compiled()
def fill_edges(ids: Any, scores: Any, starts: Any, first: Any, second: Any, weight: Any) -> None:
    """Write the union of the directed neighbours, sorted; ``starts`` is where the edges of each first node begin."""
    place = starts[:-1].copy()
    for node in range(len(ids)):
        for rank in range(ids.shape[1]):
            other = ids[node, rank]
            if other < 0:
                break
            small, large = min(node, other), max(node, other)
            if node < other or not has(ids[other], node):
                at = place[small]
                first[at], second[at], weight[at] = small, large, min(1.0, scores[node, rank])
                place[small] += 1
    for node in range(len(ids)):
        order = np.argsort(second[starts[node] : starts[node + 1]])
        second[starts[node] : starts[node + 1]] = second[starts[node] : starts[node + 1]][order]
        weight[starts[node] : starts[node + 1]] = weight[starts[node] : starts[node + 1]][order]


@compiled()
def simpson_search(
    columns: Any, held: Any, weights: Any, first: int, no_bin: int, threshold: float, results: Any
) -> None:
    """Write the nearest nodes of some nodes by Simpson similarity.

    Args:
        columns: d × n, the bin of each quantity of each node.
        held: bins that each node holds.
        weights: jobs of each node.
        first: number of the first node to search for.
        no_bin: what stands for a quantity that was not measured.
        threshold: least similarity.
        results: numbers and similarities, q × k; how many others reach the threshold, and how many jobs these are.
    """
    ids, scores, reached, jobs = results
    shared = np.empty(columns.shape[1], np.uint8)
    for i in range(len(ids)):
        node, found = first + i, 0
        shared[:] = 0
        for column in columns:
            own = column[node]
            if own != no_bin:
                for j in range(len(shared)):
                    shared[j] += np.uint8(column[j] == own)
        for j in range(len(shared)):
            score = shared[j] / min(held[node], held[j])
            if score >= threshold and j != node:
                reached[i] += 1
                jobs[i] += weights[j]
                found = insert(ids[i], scores[i], found, j, score)
