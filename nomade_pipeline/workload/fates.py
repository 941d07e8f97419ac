"""How a job would end by itself: a race of its causes, and the probability of each end.

A job's run time, memory peak and fate are drawn; whichever comes first ends it. `race` is that rule. What happens is
one draw of it; what is true of a job's chances is the share of many draws that end so, so the two cannot contradict.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.tables import outcomes
from nomade_pipeline.workload.profiles import EARLINESS, EFFECTS, FATES
from nomade_pipeline.workload.scenario import DAY, MINUTE, Scenario
from nomade_pipeline.workload.submissions import Submissions, of_profiles

SHORTEST_RUN, LONGEST_RUN = 10.0, 14.0 * DAY
# Draws behind each true probability; evenly spread, so that their share is within about 0.01.
DRAWS = 256
_CHUNK = 4096
# A look at a running job: so long after its start, and at half of its limit.
EARLY_SECONDS = 10 * MINUTE
FATE_CLASSES = (outcomes.FAILED, outcomes.SEGFAULT, outcomes.CANCELLED)
assert [outcomes.OUTCOME_CLASSES[code] for code in FATE_CLASSES] == list(FATES)


@dataclass(frozen=True)
class Draws:
    """What chance decides of a run, n × k: k draws of n jobs; each part may be n × 1 or 1 × k.

    Attributes:
        run: standard normal, of the logarithm of the run time.
        memory: standard normal, of the logarithm of the memory peak.
        peak: uniform, when within the run the peak comes.
        fate: uniform, which fate, if any.
        moment: uniform, when within the run the fate comes.
    """

    run: Floats
    memory: Floats
    peak: Floats
    fate: Floats
    moment: Floats

    @classmethod
    def one_each(cls, scenario: Scenario, jobs: int) -> Draws:
        """Return what happens: one draw for each job."""
        random = scenario.random("fates")
        normal, uniform = random.standard_normal((2, jobs, 1)), random.random((3, jobs, 1))
        return cls(*normal, *uniform)

    @classmethod
    def evenly_spread(cls, count: int) -> Draws:
        """Return draws that fill their space evenly: the additive recurrence of the generalised golden ratio.

        M. Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018: steps 1/φ, 1/φ², …
        where φ is the root of x⁶ = x + 1.
        """
        ratio = 2.0
        for _ in range(60):
            ratio = (1.0 + ratio) ** (1 / 6)
        steps = ratio ** -np.arange(1.0, 6.0)
        points = (0.5 + np.arange(1, count + 1)[None, :] * steps[:, None]) % 1.0
        to_normal = np.vectorize(NormalDist().inv_cdf)
        return cls(*(to_normal(row)[None, :] for row in points[:2]), *(row[None, :] for row in points[2:]))


@dataclass(frozen=True)
class Runs:
    """How runs would go, n × k.

    Attributes:
        natural: seconds of work until the job has done all it was to do.
        memory_peak: bytes on a node that it would need by then.
        memory_rise: seconds of work in which the memory grows to the peak.
        fate: class of the fate that was drawn; `outcomes.SUCCESS` for none.
        work: seconds of work until it ends by itself.
        end: class of that end: a fate, `outcomes.OOM`, or `outcomes.SUCCESS`.
    """

    natural: Floats
    memory_peak: Floats
    memory_rise: Floats
    fate: Integers
    work: Floats
    end: Integers


def log_odds(jobs: Submissions) -> Floats:
    """Return, n × fates, the log-odds of each fate against none of them."""
    odds = np.stack([of_profiles(name.lower())[jobs.profile] for name in FATES], axis=1)
    for effect in EFFECTS:
        odds[:, FATES.index(effect.fate)] += effect.strength * getattr(jobs, effect.cause).astype(float)
    return odds


def fate_probabilities(jobs: Submissions) -> Floats:
    """Return, n × fates, the probability of each: a multinomial logit."""
    weight = np.exp(log_odds(jobs))
    probability: Floats = weight / (1.0 + weight.sum(axis=1, keepdims=True))
    return probability


def race(jobs: Submissions, draws: Draws) -> Runs:
    """Return how runs go that nothing from outside disturbs and no time limit ends."""
    natural = np.clip(
        jobs.run_median[:, None] * np.exp(jobs.of_profile("spread")[:, None] * draws.run), SHORTEST_RUN, LONGEST_RUN
    )
    peak = jobs.memory_median[:, None] * np.exp(jobs.of_profile("memory_spread")[:, None] * draws.memory)
    leaks = jobs.of_profile("leaks")[:, None] > 0
    rise = natural * np.where(leaks, 1.0, 0.1 + 0.8 * draws.peak)
    begin = jobs.of_profile("memory_begin")[:, None]
    # Memory grows from a share of the peak to the peak: when does it reach what was asked for?
    share = np.maximum((jobs.memory[:, None] / peak - begin) / (1.0 - begin), 0.0)
    out_of_memory = np.where(peak > jobs.memory[:, None], np.maximum(share * rise, SHORTEST_RUN / 2), np.inf)
    place = (fate_probabilities(jobs).cumsum(axis=1)[:, None, :] <= draws.fate[..., None]).sum(axis=-1)
    fate = np.array([*FATE_CLASSES, outcomes.SUCCESS])[place]
    fated = np.where(fate == outcomes.SUCCESS, np.inf, np.maximum(natural * draws.moment**EARLINESS, 1.0))
    work = np.minimum(natural, np.minimum(out_of_memory, fated))
    end = np.where(work == out_of_memory, outcomes.OOM, np.where(work == fated, fate, outcomes.SUCCESS))
    shape = work.shape
    return Runs(natural, np.broadcast_to(peak, shape), np.broadcast_to(rise, shape), fate, work, end)


@dataclass(frozen=True)
class Chances:
    """True probabilities of failing (`outcomes.FAILED_CLASSES`) by a job's own causes, without storms and broken nodes.

    Attributes:
        at_submit: given all causes that are settled when it is submitted.
        early: given also how much memory it will need, and that it still runs after `EARLY_SECONDS`; NaN: it does not.
        half: the same at half of its limit.
    """

    at_submit: Floats
    early: Floats
    half: Floats


def chances(jobs: Submissions, own: Draws) -> Chances:
    """Return the probabilities of failing.

    Args:
        jobs: what was submitted.
        own: what happened, of which the need of memory is known to the chances of a running job.
    """
    spread = Draws.evenly_spread(DRAWS)
    parts = []
    for begin in range(0, len(jobs), _CHUNK):
        some = slice(begin, begin + _CHUNK)
        part = jobs.taken(some)
        known = Draws(spread.run, own.memory[some], own.peak[some], spread.fate, spread.moment)
        looks = (EARLY_SECONDS, part.limit[:, None] / 2)
        parts.append([_failing(part, spread, 0.0), *(_failing(part, known, seconds) for seconds in looks)])
    return Chances(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _failing(jobs: Submissions, draws: Draws, after: float | Integers | Floats) -> Floats:
    """Return the share of the draws that fail among those that run for longer than ``after``."""
    runs = race(jobs, draws)
    limit = jobs.limit[:, None]
    end = np.where(runs.work > limit, outcomes.TIMEOUT, runs.end)
    alive = np.minimum(runs.work, limit) > after
    failed = alive & np.isin(end, outcomes.FAILED_CLASSES)
    with np.errstate(invalid="ignore"):
        share: Floats = failed.sum(axis=1) / alive.sum(axis=1)
    return share
