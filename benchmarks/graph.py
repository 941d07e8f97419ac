"""The nearest 30 jobs of every job above a cosine of .7: exactness, CPU seconds and memory, beside other libraries.

``python -m benchmarks graph [SIZE ...]``: vectors of 17 dimensions, jobs of 40 profiles and plain Gaussian ones. Each
measurement is a process of its own, on all processors, and has compiled before it is timed.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from benchmarks.report import Report
from nomade_pipeline.analysis.series import Floats
from nomade_pipeline.network.kernel import Index, Neighbours, exact_scores, unit_vectors
from nomade_pipeline.network.similarity import collapse, graph_of

DIMENSIONS, K, THRESHOLD, SEED, PROFILES, ONES = 17, 30, 0.7, 20261124, 40, 200
# FAISS flat takes minutes beyond, trees and scikit-learn already here.
SIZES, FLAT_UP_TO, TREES_UP_TO = (10_000, 100_000, 1_000_000), 100_000, 10_000
GAUSSIAN_UP_TO = 100_000


def profiles(size: int) -> Floats:
    """Return jobs of profiles of different width, clipped as vectors are."""
    random = np.random.default_rng(SEED)
    centres = random.normal(0, 1.5, (PROFILES, DIMENSIONS))
    spread = random.uniform(0.2, 0.8, (PROFILES, DIMENSIONS))
    profile = random.integers(0, PROFILES, size)
    return np.clip(centres[profile] + spread[profile] * random.standard_normal((size, DIMENSIONS)), -5, 5)


def gaussian(size: int) -> Floats:
    """Return vectors without any structure: the worst that a search by cells can be given."""
    return np.random.default_rng(SEED).standard_normal((size, DIMENSIONS))


DATA: dict[str, Callable[[int], Floats]] = {"profiles": profiles, "Gaussian": gaussian}


@dataclass(frozen=True)
class Cost:
    """What a method took: seconds, CPU seconds, peak memory in GB, and the ids that it found for a sample."""

    wall: float
    cpu: float
    memory: float
    found: Any


def ours(rows: Floats) -> Any:
    """Return the nearest by `network.kernel`."""
    return Index(rows, np.ones(len(rows), bool)).nearest(K, THRESHOLD).ids


def whole(rows: Floats) -> Any:
    """Make the whole graph: equal jobs collapsed, nearest, what the cap hides, edge list."""
    every = np.ones(len(rows), bool)
    nodes = collapse(rows, np.ones(rows.shape, bool), every)
    index = Index(rows[nodes.first_job], every)
    directed = index.nearest(K, THRESHOLD)
    graph_of(nodes, index, directed, THRESHOLD)
    return directed.ids


def flat(rows: Floats) -> Any:
    """Return the nearest by FAISS IndexFlatIP (exact in float32); the first is the vector itself."""
    import faiss

    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(rows.astype(np.float32))
    return index.search(rows.astype(np.float32), K + 1)[1]


def hnsw(rows: Floats) -> Any:
    """Return about the nearest by FAISS HNSW."""
    import faiss

    index = faiss.IndexHNSWFlat(DIMENSIONS, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(rows.astype(np.float32))
    index.hnsw.efSearch = 64
    return index.search(rows.astype(np.float32), K + 1)[1]


def learned(rows: Floats, algorithm: str) -> Any:
    """Return the nearest by scikit-learn; of vectors of length 1 those of the least distance."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=K + 1, algorithm=algorithm, n_jobs=-1).fit(rows)
    return search.kneighbors(rows, return_distance=False)


def brute(rows: Floats) -> Any:
    """Return the nearest by scikit-learn without an index."""
    return learned(rows, "brute")


def tree(rows: Floats) -> Any:
    """Return the nearest by scikit-learn's k-d tree."""
    return learned(rows, "kd_tree")


METHODS: dict[str, tuple[Callable[[Floats], Any], int]] = {
    "nomade": (ours, SIZES[-1]),
    "nomade, whole graph": (whole, SIZES[-1]),
    "faiss IndexFlatIP": (flat, FLAT_UP_TO),
    "faiss HNSW, M 32, ef 64": (hnsw, FLAT_UP_TO),
    "scikit-learn brute": (brute, TREES_UP_TO),
    "scikit-learn kd_tree": (tree, TREES_UP_TO),
}


def cost(method: str, data: str, size: int) -> Cost:
    """Measure a method; called in a process of its own."""
    function = METHODS[method][0]
    function(unit_vectors(DATA[data](500))[0])
    rows = unit_vectors(DATA[data](size))[0]
    wall, cpu = time.perf_counter(), time.process_time()
    found = function(rows)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return Cost(wall, cpu, memory, found[:: max(1, size // 1000)])


def exactness(data: str, size: int) -> tuple[bool, float]:
    """Return whether ids and scores are those of brute force in numpy, and the ms of one new job."""
    rows = unit_vectors(DATA[data](size))[0]
    index = Index(rows, np.ones(size, bool))
    found = index.nearest(K, THRESHOLD)
    sample = np.arange(0, size, max(1, size // 2000))
    same = all(
        _same(found, part, exact_scores(rows[part], rows)) for part in np.array_split(sample, max(1, len(sample) // 50))
    )
    news = unit_vectors(DATA[data](size)[:ONES] + 0.01)[0]
    spent = []
    for one in range(ONES):
        began = time.process_time()
        index.nearest_of(news[one : one + 1], K, THRESHOLD)
        spent.append(time.process_time() - began)
    return same, 1000 * float(np.median(spent))


def _same(found: Neighbours, part: Any, scores: Floats) -> bool:
    scores[np.arange(len(part)), part] = -np.inf
    scores[scores < THRESHOLD] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    best = np.take_along_axis(scores, order, 1)
    held = best > -np.inf
    return np.array_equal(np.where(held, order, -1), found.ids[part]) and np.array_equal(
        np.where(held, best, np.nan), found.scores[part], equal_nan=True
    )


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def run(sizes: tuple[int, ...] = SIZES) -> list[Report]:
    """Measure all methods on the same vectors."""
    costs = Report(
        f"Nearest {K} above a cosine of {THRESHOLD}, {DIMENSIONS} dimensions",
        ("vectors", "jobs", "method", "wall s", "CPU s", "CPU / FAISS flat", "peak GB", "recall"),
    )
    exact = Report(
        "Exactness against brute force in float64, and one new job",
        ("vectors", "jobs", "ids and scores of the sample are identical", "one new job, CPU ms"),
    )
    for size in sizes:
        for data in DATA if size <= GAUSSIAN_UP_TO else ("profiles",):
            _compare(costs, data, size)
            same, one = alone(exactness, data, size)
            exact.add(data, f"{size:,}", "yes" if same else "NO", one)
    costs.notes.append(
        "Recall: of the neighbours that ours finds for 1,000 jobs, the share that the method found. Peak memory "
        "includes Python, the libraries and the vectors. Not run, since they take minutes: FAISS beyond 100,000, "
        "scikit-learn beyond 10,000, Gaussian vectors at 1,000,000."
    )
    exact.notes.append("Sample: 2,000 jobs, each against all others in numpy.")
    return [costs, exact]


def _compare(report: Report, data: str, size: int) -> None:
    measured = {name: alone(cost, name, data, size) for name, (_, most) in METHODS.items() if size <= most}
    wanted = measured["nomade"].found
    peer = measured.get("faiss IndexFlatIP")
    for name, each in measured.items():
        ratio = each.cpu / peer.cpu if peer else "–"
        hits = [
            (found[:, None] == ids[ids >= 0]).any(axis=0).sum() for found, ids in zip(each.found, wanted, strict=True)
        ]
        recall = float(sum(hits)) / max(1, int((wanted >= 0).sum()))
        report.add(data, f"{size:,}", name, each.wall, each.cpu, ratio, each.memory, recall)


if __name__ == "__main__":
    import sys

    for each in run(tuple(map(int, sys.argv[1:])) or SIZES):
        print(each.markdown())
