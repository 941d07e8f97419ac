"""Jobs with planted profiles in the space of the documented quantities, so that what is found can be held to truth.

Each profile has typical values; a job varies around them: runtime and sizes over an order of magnitude, ratios within
their range, and what belongs together moves together (a long job writes more, a busy host blocks more).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.features.vectors import Scaler, Vectors
from nomade_pipeline.network.edges import EdgeList
from nomade_pipeline.tables.features import VECTOR
from nomade_pipeline.tables.outcomes import FAILED, SUCCESS

# Typical values by quantity; the last one is that of the profiles which a quantity does not name.
_TYPICAL: dict[str, dict[str, float]] = {
    "cpu_efficiency": {"cpu": 0.97, "gpu": 0.2, "short": 0.3, "serial": 0.06, "idle": 0.01, "": 0.6},
    "memory_efficiency": {"memory": 0.93, "idle": 0.02, "": 0.35},
    "vram_gb": {"gpu": 30.0, "": 0.0},
    "runtime_minutes": {"cpu": 400.0, "gpu": 300.0, "short": 1.5, "serial": 800.0, "": 60.0},
    "write_intensity": {"nfs writer": 0.5, "local writer": 1.0, "short": 0.001, "idle": 1e-4, "": 0.01},
    "write_rate_mbps": {"nfs writer": 60.0, "local writer": 300.0, "short": 0.3, "": 5.0},
    "nfs_ratio": {"nfs writer": 0.97, "local writer": 0.03, "idle": 0.9, "": 0.5},
    "avg_iowait": {"nfs writer": 14.0, "local writer": 6.0, "": 1.0},
    "device_util": {"local writer": 60.0, "": 5.0},
    "avg_core_busy": {"cpu": 92.0, "gpu": 15.0, "serial": 8.0, "idle": 2.0, "": 50.0},
    "imbalance_ratio": {"cpu": 0.05, "gpu": 1.5, "serial": 3.0, "": 0.5},
    "memory_pressure": {"memory": 0.55, "": 0.05},
    "swap_activity": {"memory": 400.0, "": 0.0},
    "procs_blocked": {"nfs writer": 3.0, "memory": 1.5, "": 0.2},
}
PROFILES = ("cpu", "gpu", "nfs writer", "local writer", "memory", "short", "serial", "idle")
_RATIOS = ("cpu_efficiency", "memory_efficiency", "nfs_ratio", "memory_pressure")
_PERCENTS = ("avg_iowait", "device_util", "avg_core_busy")


@dataclass(frozen=True)
class Planted:
    """Jobs and what is true of them.

    Attributes:
        raw: n × 17, quantities in their units.
        profile: number of each job's profile.
        user: number of each job's user; a user has one or two profiles.
        partition: number of its partition; GPU jobs have one of their own.
    """

    raw: Floats
    profile: Integers
    user: Integers
    partition: Integers

    @property
    def vectors(self) -> Vectors:
        """The normalised vectors."""
        scaler = Scaler.fit(self.raw, VECTOR, clip=5.0)
        return Vectors(*scaler.apply(self.raw), scaler)

    def last(self, jobs: int) -> Planted:
        """Return the last of the jobs."""
        return Planted(*(getattr(self, each.name)[-jobs:] for each in fields(self)))

    def followed_by(self, others: Planted) -> Planted:
        """Return these jobs and others after them."""
        return Planted(
            *(np.concatenate([getattr(self, each.name), getattr(others, each.name)]) for each in fields(self))
        )


def planted_jobs(jobs: int, seed: int = 0, spread: float = 1.0) -> Planted:
    """Return jobs of all profiles.

    Args:
        jobs: how many.
        seed: of the random numbers.
        spread: factor of the variation within a profile.
    """
    random = np.random.default_rng(seed)
    profile = random.integers(0, len(PROFILES), jobs)
    raw = np.empty((jobs, len(VECTOR)))
    for number, name in enumerate(PROFILES):
        members = np.flatnonzero(profile == number)
        typical = {quantity: by_profile.get(name, by_profile[""]) for quantity, by_profile in _TYPICAL.items()}
        raw[members] = _draw(typical, len(members), spread, random)
    user = 4 * profile + random.integers(0, 6, jobs)
    return Planted(raw, profile, user, (profile == 1).astype(np.int64))


def _draw(typical: dict[str, float], jobs: int, spread: float, random: np.random.Generator) -> Floats:
    """Return jobs of one profile; sizes are log-normal, ratios logit-normal, and three factors tie them together."""
    length, load, writing = spread * random.standard_normal((3, jobs))

    def sized(name: str, deviation: float, factor: Floats | float = 0.0) -> Floats:
        return typical[name] * np.exp(deviation * spread * random.standard_normal(jobs) + factor)

    def ratio(name: str, deviation: float, factor: Floats | float = 0.0) -> Floats:
        middle = np.log(typical[name] / (1 - typical[name]))
        return 1 / (1 + np.exp(-(middle + deviation * spread * random.standard_normal(jobs) + factor)))

    columns = {name: ratio(name, 0.5) for name in _RATIOS}
    columns["cpu_efficiency"] = ratio("cpu_efficiency", 0.3, 0.4 * load)
    columns["runtime_minutes"] = sized("runtime_minutes", 0.3, 0.8 * length)
    columns["write_intensity"] = sized("write_intensity", 0.4, 0.7 * writing)
    columns["total_write_gb"] = columns["write_intensity"] * columns["runtime_minutes"]
    columns["write_rate_mbps"] = sized("write_rate_mbps", 0.4, 0.7 * writing)
    for name in _PERCENTS:
        columns[name] = np.minimum(100.0, sized(name, 0.15, 0.2 * load))
    columns["peak_iowait"] = np.minimum(100.0, columns["avg_iowait"] * (1.5 + random.exponential(1.0, jobs)))
    busiest = 1.2 + min(10.0, 2 * typical["imbalance_ratio"])
    columns["max_core_busy"] = np.minimum(100.0, columns["avg_core_busy"] * (busiest + 0.2 * load**2))
    columns["imbalance_ratio"] = sized("imbalance_ratio", 0.25, -0.2 * load)
    for name in ("vram_gb", "swap_activity", "procs_blocked"):
        columns[name] = sized(name, 0.5, 0.3 * load)
    return np.column_stack([columns[name] for name in VECTOR])


def outcomes(jobs: Planted, rates: dict[str, float], seed: int = 1, rate: float = 0.05) -> Integers:
    """Return outcome classes, FAILED with a probability by profile.

    Args:
        jobs: the jobs.
        rates: failure rates of named profiles.
        seed: of the random numbers.
        rate: of all the others.
    """
    chances = np.array([rates.get(name, rate) for name in PROFILES])[jobs.profile]
    random = np.random.default_rng(seed)
    return np.where(random.uniform(size=len(chances)) < chances, FAILED, SUCCESS)


def nearest_edges(values: Floats, neighbours: int = 30, threshold: float = 0.7) -> EdgeList:
    """Return the edges of the exact k nearest by cosine above a threshold, by brute force: for small numbers."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2.0)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :neighbours]
    first, second = np.repeat(np.arange(len(values)), order.shape[1]), order.ravel()
    kept = cosine[first, second] >= threshold
    pairs = np.unique(np.sort(np.column_stack([first, second])[kept], axis=1), axis=0).astype(np.int32)
    return EdgeList(len(values), pairs[:, 0], pairs[:, 1], cosine[pairs[:, 0], pairs[:, 1]].astype(np.float32))
