"""What a community of jobs is like, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from nomade_pipeline.analysis.proportions import wilson
from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.features.vectors import Vectors
from nomade_pipeline.tables.outcomes import FAILED_CLASSES, OUTCOME_CLASSES, SUCCESS

# A quantity is told of when its mean differs by this from that of the other jobs, in deviations of the window.
LEAST_EFFECT = 0.5
MOST_TRAITS, MOST_INDICATORS = 4, 3
# An indicator value below this names nothing (Dufrêne and Legendre 1997).
LEAST_INDICATOR = 0.25
# Quantiles of the window below and above which a job has little or much of a quantity.
LITTLE, MUCH = 1 / 3, 2 / 3
# A partition is told of when it has this share of the jobs.
MOSTLY = 0.5

# How a quantity is called when there is much and when there is little of it.
WORDS: dict[str, tuple[str, str]] = {
    "cpu_efficiency": ("CPU-bound", "leaves its CPUs idle"),
    "memory_efficiency": ("uses its memory fully", "uses little of its memory"),
    "vram_gb": ("uses GPU memory", "without GPU memory"),
    "total_write_gb": ("writes much", "writes little"),
    "write_rate_mbps": ("writes in bursts", "writes slowly"),
    "nfs_ratio": ("writes to NFS", "writes to local disks"),
    "runtime_minutes": ("long", "short"),
    "write_intensity": ("writes all the time", "seldom writes"),
    "avg_iowait": ("waits for I/O", "hardly waits for I/O"),
    "peak_iowait": ("peaks of I/O wait", "no peaks of I/O wait"),
    "device_util": ("busy disks", "idle disks"),
    "avg_core_busy": ("busy hosts", "idle hosts"),
    "imbalance_ratio": ("uneven load of cores", "even load of cores"),
    "max_core_busy": ("one core at its limit", "no core at its limit"),
    "memory_pressure": ("memory under pressure", "memory at ease"),
    "swap_activity": ("swaps", "does not swap"),
    "procs_blocked": ("processes blocked on I/O", "no process blocked"),
    "health_score": ("healthy", "unhealthy"),
    "used_gpu": ("uses GPUs", "without GPUs"),
    "had_swap": ("had swap in use", "had no swap in use"),
}


@dataclass(frozen=True)
class Trait:
    """A quantity in which a community differs from the other jobs.

    Attributes:
        quantity: its name.
        effect: mean of the members - mean of the others, in deviations of the window (after log1p where it is heavy
            in the tail).
    """

    quantity: str
    effect: float

    @property
    def words(self) -> str:
        """The trait in words."""
        much, little = WORDS[self.quantity]
        return much if self.effect > 0 else little


@dataclass(frozen=True)
class Indicator:
    """A quantity by whose level a community can be told (indicator value of Dufrêne and Legendre).

    Attributes:
        quantity: its name.
        much: whether much or little of it indicates the community.
        specificity: share of the community among all communities that have this level, each counted by its share.
        fidelity: share of its jobs that have this level.
    """

    quantity: str
    much: bool
    specificity: float
    fidelity: float

    @property
    def value(self) -> float:
        """The indicator value, 0-1."""
        return self.specificity * self.fidelity


def traits(vectors: Vectors, labels: Integers, community: int) -> list[Trait]:
    """Return the quantities that differ most, the largest difference first.

    Args:
        vectors: of the jobs; a quantity that was not measured in a job is left out of the means.
        labels: community of each job.
        community: which.
    """
    inside = labels == community
    means = [_means(vectors, members) for members in (inside, ~inside)]
    effects = means[0] - means[1]
    order = np.argsort(-np.abs(np.nan_to_num(effects)), kind="stable")
    told = [Trait(vectors.scaler.dimensions[i], float(effects[i])) for i in order if abs(effects[i]) >= LEAST_EFFECT]
    return told[:MOST_TRAITS]


def _means(vectors: Vectors, members: Flags) -> Floats:
    """Return the mean of each quantity over the members in which it was measured; NaN for none."""
    counts = vectors.mask[members].sum(axis=0)
    with np.errstate(invalid="ignore"):
        means: Floats = vectors.values[members].sum(axis=0) / np.where(counts > 0, counts, np.nan)
    return means


def indicators(vectors: Vectors, labels: Integers) -> list[list[Indicator]]:
    """Return the indicator quantities of each community, the best first."""
    count = int(labels.max(initial=-1)) + 1
    found: list[list[Indicator]] = [[] for _ in range(count)]
    for column, quantity in enumerate(vectors.scaler.dimensions):
        known = vectors.mask[:, column] & (labels >= 0)
        if not known.any():
            continue
        values, of = vectors.values[known, column], labels[known]
        size = np.maximum(np.bincount(of, minlength=count), 1)
        little, much = np.quantile(values, (LITTLE, MUCH))
        for level, is_much in ((values > much, True), (values < little, False)):
            fidelity = np.bincount(of, level, minlength=count) / size
            specificity = fidelity / max(fidelity.sum(), 1e-12)
            for community in np.flatnonzero(specificity * fidelity >= LEAST_INDICATOR):
                pair = float(specificity[community]), float(fidelity[community])
                found[community].append(Indicator(quantity, is_much, *pair))
    return [sorted(each, key=lambda one: -one.value)[:MOST_INDICATORS] for each in found]


@dataclass(frozen=True)
class Outlook:
    """How the jobs of a community ended.

    Attributes:
        by_class: jobs of each outcome class.
        failed: how many failed.
        judged: how many failed or succeeded; cancelled jobs and those that never ran are neither.
    """

    by_class: tuple[int, ...]
    failed: int
    judged: int

    @classmethod
    def of(cls, classes: Integers) -> Outlook:
        """Return the outlook of jobs; a negative class is not known."""
        counts = np.bincount(classes[classes >= 0], minlength=len(OUTCOME_CLASSES))
        failed = int(counts[list(FAILED_CLASSES)].sum())
        return cls(tuple(int(count) for count in counts), failed, failed + int(counts[SUCCESS]))

    @property
    def rate(self) -> float | None:
        """Share that failed; None when none was judged."""
        return self.failed / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Wilson's 95 % interval of the rate."""
        if not self.judged:
            return None, None
        low, high = wilson(self.failed, self.judged)
        return float(low), float(high)


def in_words(told: Sequence[Trait], jobs: int, users: int | None, partitions: Sequence[str]) -> str:
    """Return a community in a sentence.

    Args:
        told: its traits.
        jobs: how many it has.
        users: of how many users; None where the source does not tell.
        partitions: partition of each job.
    """
    what = ", ".join(trait.words for trait in told) or "like the mean of all jobs"
    whose = f" of {users} user{'' if users == 1 else 's'}" if users else ""
    return f"{what[0].upper()}{what[1:]}; {jobs:,} jobs{whose}{_mostly(partitions)}"


def _mostly(partitions: Sequence[str]) -> str:
    names, counts = np.unique(np.asarray(partitions, dtype=str), return_counts=True)
    if not len(names) or counts.max() < MOSTLY * len(partitions):
        return ""
    name, share = str(names[counts.argmax()]), counts.max() / len(partitions)
    return f", all in partition {name}" if share == 1 else f", mostly in partition {name} ({100 * share:.0f} %)"
