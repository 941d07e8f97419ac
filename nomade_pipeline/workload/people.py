"""Users and their habits: what they run, when they work, how they ask, how experienced they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nomade_pipeline.analysis.series import Floats, Integers
from nomade_pipeline.workload import profiles
from nomade_pipeline.workload.profiles import PROFILES
from nomade_pipeline.workload.scenario import Scenario

MOST_USERS = 2000
USERS_PER_ACCOUNT = 6
# A user has so many profiles at most, and of each so many job names.
MOST_PROFILES = 3


@dataclass(frozen=True)
class People:
    """The users, one entry each.

    Attributes:
        names: user names.
        accounts: what they are charged to.
        activity: share of the submissions, adding up to 1.
        experience: standard normal; failures and tight requests come with its lack.
        working_hour: hour of the day (UTC) in the middle of their working time.
        profile_share: users × profiles, how much of each they run; rows add up to 1.
        size: users × profiles, factor on the profile's run time.
        limit_factor, memory_factor: what they ask for, as a multiple of what their jobs usually take.
    """

    names: tuple[str, ...]
    accounts: tuple[str, ...]
    activity: Floats
    experience: Floats
    working_hour: Floats
    profile_share: Floats
    size: Floats
    limit_factor: Floats
    memory_factor: Floats

    @property
    def inexperience(self) -> Floats:
        """The cause that the effects speak of."""
        return -self.experience


def people_of(scenario: Scenario) -> People:
    """Return the users of a scenario: about the square root of the number of jobs, at least four."""
    random = scenario.random("people")
    count = int(np.clip(round(scenario.jobs**0.5), 4, MOST_USERS))
    groups = max(1, count // USERS_PER_ACCOUNT)
    experience = random.standard_normal(count)
    activity = random.lognormal(0.0, 0.8, count)
    limit = random.normal(0.0, profiles.LIMIT_SPREAD, count) + profiles.LIMIT_INEXPERIENCE * experience
    memory = random.normal(0.0, profiles.MEMORY_FACTOR_SPREAD, count) + profiles.MEMORY_INEXPERIENCE * experience
    return People(
        names=tuple(f"sim{number:04d}" for number in range(count)),
        accounts=tuple(f"group{number:02d}" for number in random.integers(0, groups, count)),
        activity=activity / activity.sum(),
        experience=experience,
        working_hour=random.normal(13.0, 2.0, count),
        profile_share=_profile_shares(random, count),
        size=random.lognormal(0.0, 0.3, (count, len(PROFILES))),
        limit_factor=profiles.LIMIT_FACTOR * np.exp(limit),
        memory_factor=profiles.MEMORY_FACTOR * np.exp(memory),
    )


def _profile_shares(random: np.random.Generator, count: int) -> Floats:
    """Return how much of each profile each user runs: of one to three, drawn by the profiles' shares.

    The first users have one profile each, so that every profile occurs where there are enough users.
    """
    share = np.array([profile.share for profile in PROFILES])
    # The largest of log share + Gumbel noise are a weighted sample without repetition.
    score = np.log(share) + random.gumbel(size=(count, len(PROFILES)))
    some = np.arange(min(count, len(PROFILES)))
    score[some, some] = np.inf
    rank = np.argsort(-score, axis=1)
    weights = random.dirichlet(np.ones(MOST_PROFILES), count)
    kept: Integers = random.integers(1, MOST_PROFILES + 1, count)
    weights = np.where(np.arange(MOST_PROFILES) < kept[:, None], weights, 0.0)
    shares = np.zeros((count, len(PROFILES)))
    np.put_along_axis(shares, rank[:, :MOST_PROFILES], weights, axis=1)
    normalised: Floats = shares / shares.sum(axis=1, keepdims=True)
    return normalised
