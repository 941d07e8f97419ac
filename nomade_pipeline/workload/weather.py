"""What comes from outside of the jobs: storms on the file server, and nodes that fail or are drained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.workload import profiles
from nomade_pipeline.workload.scenario import DAY, MINUTE, Park, Scenario
from nomade_pipeline.workload.submissions import of_profiles

# Beyond the window the file server is quiet: one far point ends the curves of work.
FAR_SECONDS = 400 * DAY


@dataclass(frozen=True)
class Outages:
    """Stretches in which nodes take no jobs, one entry each; times are seconds since the scenario's start.

    Attributes:
        node: number of the node.
        begin, end: when.
        failed: True: it fails, and its jobs with it; False: it is drained, and its jobs go on.
    """

    node: Integers
    begin: Integers
    end: Integers
    failed: np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Weather:
    """Storms and outages of a scenario.

    Attributes:
        storm: by how much NFS calls take longer, of each minute; 1 is quiet.
        outages: of nodes.
        pace: profiles × minutes, how fast jobs work: 1 is undisturbed.
    """

    storm: Floats
    outages: Outages
    pace: Floats
    _times: Floats
    _work: Floats

    @classmethod
    def of(cls, storm: Floats, outages: Outages) -> Weather:
        """Return the weather with these storms: what takes a share s of the run takes s·f in one of factor f."""
        pace = 1.0 / (1.0 + of_profiles("nfs_share")[:, None] * (storm - 1.0))
        times = np.append(np.arange(len(storm) + 1) * float(MINUTE), FAR_SECONDS)
        done = np.concatenate([np.zeros((len(pace), 1)), pace.cumsum(axis=1) * MINUTE], axis=1)
        far = done[:, -1:] + (FAR_SECONDS - times[-2])
        return cls(storm, outages, pace, times, np.concatenate([done, far], axis=1))

    def work(self, profile: Integers, begin: Floats | Integers, end: Floats | Integers) -> Floats:
        """Return the seconds of undisturbed work that jobs do from ``begin`` to ``end``."""
        done = np.zeros(len(profile))
        for number, curve in enumerate(self._work):
            mine = profile == number
            done[mine] = np.interp(end[mine], self._times, curve) - np.interp(begin[mine], self._times, curve)
        return done

    def end_of(self, profile: int, begin: float, work: float) -> float:
        """Return when a job has done so much work."""
        curve = self._work[profile]
        return float(np.interp(np.interp(begin, self._times, curve) + work, curve, self._times))


def weather_of(scenario: Scenario, park: Park) -> Weather:
    """Return the weather of a scenario."""
    return Weather.of(_storms(scenario), _outages(scenario, park))


def _storms(scenario: Scenario) -> Floats:
    random = scenario.random("storms")
    factor = np.ones(scenario.minutes)
    # At least one, so that every cause is at work in a short window too.
    count = max(1, random.poisson(profiles.STORMS_PER_DAY * scenario.seconds / DAY))
    for _ in range(count):
        begin = random.integers(0, scenario.minutes)
        length = profiles.STORM_MINUTES * random.lognormal(0.0, profiles.STORM_SPREAD)
        some = slice(begin, begin + max(5, round(length)))
        factor[some] = np.maximum(factor[some], random.uniform(*profiles.STORM_FACTORS))
    return factor


def _outages(scenario: Scenario, park: Park) -> Outages:
    """Return the outages; where two of a node overlap, the later one is left out."""
    random = scenario.random("outages")
    weak = np.where(random.random(len(park.names)) < profiles.WEAK_SHARE, profiles.WEAK_FACTOR, 1.0)
    found: list[tuple[int, int, int, bool]] = []
    for failed, rate in (
        (True, weak / profiles.DAYS_BETWEEN_FAILURES),
        (False, np.ones_like(weak) / profiles.DAYS_BETWEEN_DRAINS),
    ):
        counts = random.poisson(rate * scenario.seconds / DAY)
        node = np.repeat(np.arange(len(counts)), counts)
        begin = random.integers(0, scenario.seconds, len(node))
        hours = profiles.HOURS_OUT * random.lognormal(0.0, profiles.HOURS_OUT_SPREAD, len(node))
        end = begin + np.maximum(hours * 3600, 600).astype(np.int64)
        found += zip(node.tolist(), begin.tolist(), end.tolist(), [failed] * len(node), strict=True)
    kept: list[tuple[int, int, int, bool]] = []
    for each in sorted(found):
        if not kept or kept[-1][0] != each[0] or kept[-1][2] < each[1]:
            kept.append(each)
    node, begin, end = (np.array([each[place] for each in kept], np.int64) for place in range(3))
    return Outages(node, begin, end, np.array([each[3] for each in kept], bool))
