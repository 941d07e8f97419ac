"""Planted jobs: profiles with known atoms, correlations and nulls, and streams of them with a daily pattern.

For tests and benchmarks of what is computed from the 17 quantities. Imports nothing of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.tables.features import VECTOR

PROFILES = 8
_PLACE = {name: place for place, name in enumerate(VECTOR)}
# Measured by the job monitor, by sampling of the hosts, by the accounting: what is missing is missing together.
_WATCHED = ("total_write_gb", "write_rate_mbps", "nfs_ratio", "write_intensity")
_HOSTS = VECTOR[VECTOR.index("avg_iowait") :]
_ACCOUNTING = ("cpu_efficiency", "memory_efficiency")
# Quantities with much mass at a value: which value, and the share of jobs there in profiles that have it.
_ATOMS = {
    "vram_gb": 0.0, "nfs_ratio": 1.0, "total_write_gb": 0.0, "swap_activity": 0.0, "procs_blocked": 0.0,
    "memory_pressure": 0.0, "avg_iowait": 0.0, "device_util": 0.0,
}  # fmt: skip
_SHARES = {"nfs_ratio", "memory_pressure"}
_PERCENT = {"avg_iowait", "device_util", "avg_core_busy"}


@dataclass(frozen=True)
class Profile:
    """One kind of job; d = 17 latent quantities.

    Attributes:
        place, width: of each latent quantity.
        loading: d × 3, how three common causes move them.
        atom_share: share of jobs that lie on the atom of each quantity.
        null_share: share of jobs without job monitor, hosts' samples and accounting.
    """

    place: Floats
    width: Floats
    loading: Floats
    atom_share: Floats
    null_share: Floats


def profiles(seed: int = 7, count: int = PROFILES) -> list[Profile]:
    """Return kinds of jobs, the same for the same seed."""
    random = np.random.default_rng(seed)
    atomic = np.array([name in _ATOMS for name in VECTOR])
    found = []
    for _ in range(count):
        shares = np.where(atomic, random.choice([0.0, 0.3, 0.6, 0.95], len(VECTOR)), 0.0)
        found.append(
            Profile(
                random.normal(0, 1.5, len(VECTOR)),
                random.uniform(0.2, 0.7, len(VECTOR)),
                random.normal(0, 0.7, (len(VECTOR), 3)),
                shares,
                random.choice([0.0, 0.02, 0.25], 3),
            )
        )
    return found


def jobs_of(profile: Profile, count: int, random: np.random.Generator) -> Floats:
    """Return jobs of one profile, count × 17 in their units; NaN is null."""
    causes = random.normal(size=(count, profile.loading.shape[1]))
    noise = random.normal(size=(count, len(VECTOR)))
    latent = profile.place + profile.width * (causes @ profile.loading.T + noise)
    raw = np.exp(latent)
    for name in (*_SHARES, *_PERCENT):
        raw[:, _PLACE[name]] = (100.0 if name in _PERCENT else 1.0) / (1.0 + np.exp(-latent[:, _PLACE[name]]))
    _put_atoms(profile, raw, causes, random)
    _put_relations(raw, latent)
    _put_nulls(profile, raw, random)
    return raw


def _put_atoms(profile: Profile, raw: Floats, causes: Floats, random: np.random.Generator) -> None:
    """Put jobs on atoms; the first common cause decides in part which."""
    for name, value in _ATOMS.items():
        pull = causes[:, 0] + random.normal(size=len(raw))
        limit = np.quantile(pull, profile.atom_share[_PLACE[name]])
        raw[pull < limit, _PLACE[name]] = value


def _put_relations(raw: Floats, latent: Floats) -> None:
    """Make peaks no less than means, full cores exactly 100, intensity the ratio that it is."""
    share = 1.0 / (1.0 + np.exp(-latent))
    for low, high in (("avg_iowait", "peak_iowait"), ("avg_core_busy", "max_core_busy")):
        mean, part = raw[:, _PLACE[low]], share[:, _PLACE[high]]
        raw[:, _PLACE[high]] = np.where(part > 0.7, 100.0, mean + (100.0 - mean) * part)
    raw[:, _PLACE["runtime_minutes"]] *= 30.0
    raw[:, _PLACE["write_intensity"]] = raw[:, _PLACE["total_write_gb"]] / raw[:, _PLACE["runtime_minutes"]]
    raw[raw[:, _PLACE["total_write_gb"]] == 0.0, _PLACE["write_rate_mbps"]] = 0.0


def _put_nulls(profile: Profile, raw: Floats, random: np.random.Generator) -> None:
    for names, share in zip((_WATCHED, _HOSTS, _ACCOUNTING), profile.null_share, strict=True):
        raw[np.ix_(random.random(len(raw)) < share, [_PLACE[name] for name in names])] = np.nan
    raw[raw[:, _PLACE["total_write_gb"]] == 0.0, _PLACE["nfs_ratio"]] = np.nan


def planted(count: int, seed: int, kinds: list[Profile] | None = None) -> tuple[Floats, Integers]:
    """Return jobs of all profiles (count × 17) in random order, and the number of each one's profile."""
    random = np.random.default_rng(seed)
    kinds = kinds or profiles()
    weights = np.arange(len(kinds), 0, -1.0)
    which = random.choice(len(kinds), count, p=weights / weights.sum())
    return of_kinds(which, random, kinds), which


def of_kinds(which: Integers, random: np.random.Generator, kinds: list[Profile] | None = None) -> Floats:
    """Return one job of each named profile, in order."""
    kinds = kinds or profiles()
    raw = np.empty((len(which), len(VECTOR)))
    for number, kind in enumerate(kinds):
        own: Flags = which == number
        if own.any():
            raw[own] = jobs_of(kind, int(own.sum()), random)
    return raw


def changed(raw: Floats, random: np.random.Generator, share: float = 0.1) -> Floats:
    """Return jobs of which a share drifted: four times the memory, eight times the writes, idle cores."""
    found = raw.copy()
    chosen = random.random(len(raw)) < share
    factors: dict[str, Any] = {"memory_efficiency": 4.0, "total_write_gb": 8.0, "write_intensity": 8.0,
                               "avg_core_busy": 0.3, "cpu_efficiency": 0.3}  # fmt: skip
    for name, factor in factors.items():
        found[chosen, _PLACE[name]] *= factor
    return found
