"""Whether planted profiles are recovered, how long that takes, and how often permuted labels are called clustered.

``python -m benchmarks communities``: jobs of twelve profiles of unequal sizes in the space of the normalised vectors. A
profile is a place, two directions of its own in which its jobs vary much, and a little variation in all others.
"""

from __future__ import annotations

import time
from typing import Any, Callable

import numpy as np

from benchmarks.report import Report
from nomade_pipeline.analysis.proportions import wilson
from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.network.communities import agreement, data_space
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.network.hotspots import find_hotspots
from nomade_pipeline.network.kernel import Index, unit_vectors
from nomade_pipeline.network.layout import force_directed, principal_components
from nomade_pipeline.network.statistics import ALPHA, DRAWS, Judged, Network, measure, verdict
from nomade_pipeline.tables.network import CLUSTERED, OVERDISPERSED, STATISTICS

SEED, DIMENSIONS, PROFILES = 20261124, 17, 12
NEIGHBOURS, THRESHOLD = 30, 0.7
# Jobs, users and labellings of the false positives; with 199 draws p <= .05 has a chance of exactly 5 %.
FEW_JOBS, USERS, LABELLINGS, FEW_DRAWS = 200, 10, 8000, 199
WINDOWS = 400
NULL = "user_partition"


def run() -> list[Report]:
    """Recover, time, and try permuted labels."""
    # What numba compiles is compiled before anything is timed.
    _all_steps(*planted(500, SEED))
    return [_recovered(), _times(), _false_positives(), _false_hotspots()]


def planted(jobs: int, seed: int, within: float = 0.45, around: float = 0.25) -> tuple[Floats, Integers]:
    """Return normalised vectors and the profile of each.

    Args:
        jobs: how many.
        seed: of the random numbers.
        within: deviation along the two directions of a profile's own, as a share of that between profiles.
        around: the same in all others.
    """
    random = np.random.default_rng(seed)
    profile = random.choice(PROFILES, jobs, p=random.dirichlet(np.full(PROFILES, 2.0)))
    values = random.standard_normal((PROFILES, DIMENSIONS))[profile] + around * random.standard_normal(
        (jobs, DIMENSIONS)
    )
    directions = within * random.standard_normal((PROFILES, 2, DIMENSIONS))
    values += np.einsum("nk,nkd->nd", random.standard_normal((jobs, 2)), directions[profile])
    return np.clip((values - values.mean(axis=0)) / values.std(axis=0), -5, 5), profile


def _edges(values: Floats) -> EdgeList:
    return EdgeList.union(Index(*unit_vectors(values)).nearest(NEIGHBOURS, THRESHOLD))


def _all_steps(values: Floats, profile: Integers) -> None:
    edges = _edges(values)
    data_space(edges, np.ones(len(values), np.int64))
    force_directed(edges, principal_components(values, np.ones(len(values))))
    measure(_network(values, edges, np.where(profile == 0, 3, 0)), 9)


def _network(values: Floats, edges: EdgeList, outcome: Integers) -> Network:
    users = np.arange(len(values)) % USERS
    return Network(values, edges, Judged(np.arange(len(values)), outcome, {NULL: users}))


def _recovered() -> Report:
    report = Report(
        "Planted profiles recovered by Leiden, adjusted mutual information",
        ("jobs", "profiles", "variation", "communities", "AMI to profiles", "least AMI between 3 seeds", "budget"),
    )
    for jobs in (2_000, 20_000, 100_000):
        for name, within, around in (("small", 0.3, 0.2), ("medium", 0.45, 0.25), ("large", 0.6, 0.35)):
            values, profile = planted(jobs, SEED, within, around)
            edges, ones = _edges(values), np.ones(jobs, np.int64)
            found = [data_space(edges, ones, SEED + seed) for seed in range(3)]
            between = min(agreement(found[0], other) or 0.0 for other in found[1:])
            recovered = agreement(found[0], profile) or 0.0
            report.add(jobs, PROFILES, name, int(found[0].max()) + 1, recovered, between, "≥ .90 both")
    return report


def _times() -> Report:
    report = Report("Time", ("what", "jobs", "seconds", "CPU seconds", "budget"))
    values, _ = planted(100_000, SEED)
    ones = np.ones(len(values), np.int64)
    edges, first = _timed(lambda: _edges(values))
    _, second = _timed(lambda: data_space(edges, ones))
    report.add("similarity graph, exact", len(values), *first, "")
    report.add("communities (Leiden)", len(values), *second, "")
    report.add("graph and communities", len(values), first[0] + second[0], first[1] + second[1], "≤ 8 s")
    _, cost = _timed(lambda: force_directed(edges, principal_components(values, ones)))
    report.add("layout in three dimensions", len(values), *cost, "tens of seconds")
    few = values[:20_000]
    outcome = np.where(np.random.default_rng(1).uniform(size=20_000) < 0.1, 3, 0)
    network, cost = _timed(lambda: _network(few, _edges(few), outcome))
    report.add("exact distances to the nearest jobs, and edges", len(few), *cost, "")
    _, cost = _timed(lambda: network.draw(NULL, DRAWS, SEED))
    report.add(f"{DRAWS} draws of all four statistics, one null model", len(few), *cost, "1.1 s for SES.MNTD alone")
    return report


def _timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """Return the result of some work, and its seconds and CPU seconds."""
    began, spent = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - began, time.process_time() - spent)


def _false_positives() -> Report:
    report = Report(
        f"Permuted labels: share with p ≤ {ALPHA:g}, {LABELLINGS:,} labellings of {FEW_JOBS} jobs, {FEW_DRAWS} draws",
        ("statistic", "called different, %", "95 % interval", "budget"),
    )
    values, profile = planted(FEW_JOBS, SEED)
    random = np.random.default_rng(SEED)
    # Failures of two profiles, then exchanged within users: what is left is chance.
    base = np.where((profile < 2) | (random.uniform(size=FEW_JOBS) < 0.1), 3, 0)
    network = _network(values, _edges(values), base)
    users = network.judged.strata[NULL]
    counts, wrong = dict.fromkeys(STATISTICS, 0), 0
    for seed in range(LABELLINGS):
        keys = np.lexsort((random.uniform(size=FEW_JOBS), users))
        permuted = np.empty_like(base)
        permuted[np.argsort(users, kind="stable")] = base[keys]
        network.judged = Judged(network.judged.node, permuted, network.judged.strata)
        results = measure(network, FEW_DRAWS, seed)
        wrong += verdict(results) in (CLUSTERED, OVERDISPERSED)
        for result in results:
            counts[result.name] += result.p is not None and result.p <= ALPHA
    report.add("verdict", *_share(wrong, LABELLINGS), "5 ± .5")
    for name, count in counts.items():
        report.add(name, *_share(count, LABELLINGS), "")
    return report


def _false_hotspots() -> Report:
    report = Report(
        f"Hotspots, {WINDOWS} windows of 1,000 jobs, 15 % of them failed",
        ("failures", "windows with a hotspot, %", "95 % interval", "budget"),
    )
    random = np.random.default_rng(SEED)
    values, profile = planted(1_000, SEED)
    for name, chance in (("anywhere", np.full(1_000, 0.15)), ("40 % in one profile", np.where(profile == 0, 0.4, 0.1))):
        found = sum(bool(find_hotspots(values, random.uniform(size=1_000) < chance).found) for _ in range(WINDOWS))
        report.add(name, *_share(found, WINDOWS), "≤ 5" if name == "anywhere" else "100")
    return report


def _share(hits: int, trials: int) -> tuple[float, str]:
    low, high = wilson(hits, trials)
    return 100 * hits / trials, f"{100 * float(low):.2f}-{100 * float(high):.2f}"


if __name__ == "__main__":
    for each in run():
        print(each.markdown())
