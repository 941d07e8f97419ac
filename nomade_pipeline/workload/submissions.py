"""What is submitted: each job's user, profile, time, request and causes, before anything has run."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from nomade_pipeline.analysis.series import Flags, Floats, Integers
from nomade_pipeline.workload import profiles
from nomade_pipeline.workload.people import People
from nomade_pipeline.workload.profiles import PROFILES
from nomade_pipeline.workload.scenario import DAY, GPU, HOUR, MIB, MINUTE, PARTITIONS, Park, Scenario

GIB = 2**30
FIRST_JOB_ID = 1001
# What people write as a time limit, in minutes.
LIMITS = np.array([5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1080, 1440, 2880, 4320, 7200, 10080])
WEEKEND_ACTIVITY = 0.35
# The rest is submitted at any hour: by scripts, and by those who work at night.
AT_WORK = 0.75
WORKING_SPREAD_HOURS = 2.5
NONE = -1


@dataclass(frozen=True)
class Submissions:
    """The jobs in the order of their submission, one entry each; times are seconds since the scenario's start.

    Attributes:
        user: number of the user.
        profile: number of the profile.
        name: which of the profile's names.
        group: number of the array, or of the job itself; 0 is the first job's number.
        task: index within the array; `NONE` for no array.
        submit: when.
        nodes: nodes asked for.
        cpus, memory, gpus: CPUs, bytes and GPUs asked for on each node.
        limit: time limit, seconds.
        parent: the job that must end well before; `NONE` for none.
        patience: seconds of waiting after which the user cancels; `NONE` for never.
        broken_build: the build that it uses is broken.
        inexperience: of the user.
        run_median: median of the run time, seconds.
        memory_median: median of the memory peak on one node, bytes.
    """

    user: Integers
    profile: Integers
    name: Integers
    group: Integers
    task: Integers
    submit: Integers
    nodes: Integers
    cpus: Integers
    memory: Integers
    gpus: Integers
    limit: Integers
    parent: Integers
    patience: Integers
    broken_build: Flags
    inexperience: Floats
    run_median: Floats
    memory_median: Floats

    def __len__(self) -> int:
        return len(self.submit)

    def taken(self, places: Integers | Flags | slice) -> Submissions:
        """Return some of the jobs."""
        return Submissions(**{each.name: getattr(self, each.name)[places] for each in fields(self)})

    def of_profile(self, attribute: str) -> Floats:
        """Return an attribute of each job's profile."""
        return np.take(of_profiles(attribute), self.profile)

    @property
    def log2_nodes(self) -> Floats:
        """A cause of failures."""
        logarithm: Floats = np.log2(self.nodes.astype(float))
        return logarithm

    @property
    def partition(self) -> Integers:
        """Number of each job's partition."""
        return np.take(_AT, self.profile)


def of_profiles(attribute: str) -> Floats:
    """Return an attribute of all profiles, as numbers."""
    return np.array([float(getattr(profile, attribute)) for profile in PROFILES])


def submissions_of(scenario: Scenario, people: People, park: Park) -> Submissions:
    """Return the jobs of a scenario."""
    random = scenario.random("submissions")
    first, user, profile, submit = _submitted(random, scenario, people)
    count = len(user)
    single = np.array([profile.tasks <= 1 for profile in PROFILES])[profile]
    # Jobs of one group are alike in all that is drawn for the group: draws are made for each job, its first counts.
    name = random.integers(0, 1 << 30, count)[first] % np.array([len(each.names) for each in PROFILES])[profile]
    scale = _load_scale(scenario, park, people)
    run_median = (of_profiles("minutes") * scale)[profile] * MINUTE * people.size[user, profile]
    nodes, cpus, gpus = _sizes(random, park, profile, first)
    memory_median = of_profiles("memory_gb")[profile] * 1e9 * cpus
    return Submissions(
        user=user,
        profile=profile,
        name=name,
        group=first,
        task=np.where(single, NONE, np.arange(count) - first),
        submit=submit,
        parent=_parents(random, user, submit, single),
        patience=_patience(random, count),
        broken_build=_broken_builds(random, user, profile, name, first),
        inexperience=people.inexperience[user],
        nodes=nodes,
        cpus=cpus,
        gpus=gpus,
        memory=_memory(park, profile, memory_median * people.memory_factor[user]),
        limit=_limit(run_median * people.limit_factor[user]),
        run_median=run_median,
        memory_median=memory_median,
    )


def _submitted(
    random: np.random.Generator, scenario: Scenario, people: People
) -> tuple[Integers, Integers, Integers, Integers]:
    """Return of each job the first job of its group, its user, profile and time."""
    count = scenario.jobs
    user = random.choice(len(people.names), count, p=people.activity)
    place = people.profile_share.cumsum(axis=1)[user] < random.random(count)[:, None]
    profile = np.minimum(place.sum(axis=1), len(PROFILES) - 1)
    tasks = of_profiles("tasks")[profile]
    size = np.where(tasks > 1, random.geometric(1 / tasks), 1)
    order = np.argsort(submit := _times(random, scenario, people, user), kind="stable")
    # Groups are taken at random until there are enough jobs; those then stand in the order of their times.
    needed = int(np.searchsorted(size.cumsum(), count)) + 1
    size[needed - 1] -= size[:needed].sum() - count
    order = order[order < needed]
    group = np.repeat(order, size[order])
    first = np.repeat(size[order].cumsum() - size[order], size[order])
    return first, user[group], profile[group], submit[group]


def _times(random: np.random.Generator, scenario: Scenario, people: People, user: Integers) -> Integers:
    """Return times of submission by the habits of users: weekdays, their working hours, some at any hour."""
    count = len(user)
    weight = np.array([WEEKEND_ACTIVITY if day.weekday() >= 5 else 1.0 for day in scenario.days])
    day = random.choice(len(weight), count, p=weight / weight.sum())
    at_work = random.normal(people.working_hour[user], WORKING_SPREAD_HOURS) % 24 * HOUR
    second = np.where(random.random(count) < AT_WORK, at_work, random.random(count) * DAY)
    moment = (day * DAY + second).astype(np.int64)
    # The last day may be cut off: what lies behind the window is submitted at any moment of it.
    return np.where(moment < scenario.seconds, moment, random.integers(0, scenario.seconds, count))


def _load_scale(scenario: Scenario, park: Park, people: People) -> Floats:
    """Return by profile the factor on run times with which its partition is loaded to `TARGET_LOAD`, within bounds.

    The load of a partition of GPUs is that of its GPUs, else that of its CPUs.
    """
    share = people.activity @ people.profile_share
    jobs = scenario.jobs * share * of_profiles("tasks") / (share @ of_profiles("tasks"))
    scale = np.ones(len(PROFILES))
    for name in PARTITIONS:
        mine = np.array([profile.partition == name for profile in PROFILES])
        what = "gpus" if name == GPU else "cpus"
        size = np.array([np.mean(getattr(profile, what)) * np.mean(profile.nodes) for profile in PROFILES])
        minutes = of_profiles("minutes") * np.exp(of_profiles("spread") ** 2 / 2)
        asked = (jobs * size * minutes)[mine].sum() * MINUTE
        capacity = getattr(park, what)[park.partitions[name]].sum() * scenario.seconds
        scale[mine] = np.clip(profiles.TARGET_LOAD * capacity / max(asked, 1.0), *profiles.SCALE_BOUNDS)
    return scale


_AT = np.array([PARTITIONS.index(profile.partition) for profile in PROFILES], np.int64)


def _sizes(
    random: np.random.Generator, park: Park, profile: Integers, first: Integers
) -> tuple[Integers, Integers, Integers]:
    """Return nodes, and CPUs and GPUs on each, that are asked for: no more than the partition has."""
    nodes, cpus, gpus = (_one_of(random, name, profile, first) for name in ("nodes", "cpus", "gpus"))
    parts = [park.partitions[name] for name in PARTITIONS]
    most_nodes = np.array([part.stop - part.start for part in parts])
    most_cpus = np.array([park.cpus[part].max() for part in parts])
    # CPUs of a GPU job are those of each GPU.
    return np.minimum(nodes, most_nodes[_AT[profile]]), np.minimum(cpus * gpus.clip(1), most_cpus[_AT[profile]]), gpus


def _memory(park: Park, profile: Integers, wanted: Floats) -> Integers:
    """Return the memory that is asked for on a node: whole GiB, at most what the partition's largest node has."""
    most = np.array([park.memory[park.partitions[name]].max() for name in PARTITIONS])[_AT[profile]]
    asked: Integers = np.minimum(np.ceil(wanted / GIB) * GIB, most).astype(np.int64) // MIB * MIB
    return asked


def _limit(wanted: Floats) -> Integers:
    """Return the time limit that somebody writes who needs so many seconds."""
    limits: Integers = LIMITS[np.minimum(np.searchsorted(LIMITS, wanted / MINUTE), len(LIMITS) - 1)] * MINUTE
    return limits


def _one_of(random: np.random.Generator, attribute: str, profile: Integers, first: Integers) -> Integers:
    """Return one of the profile's choices, the same for a group."""
    drawn = random.integers(0, 1 << 30, len(profile))[first]
    chosen = np.empty(len(profile), np.int64)
    for number, each in enumerate(PROFILES):
        choices = np.array(getattr(each, attribute), np.int64)
        mine = profile == number
        chosen[mine] = choices[drawn[mine] % len(choices)]
    return chosen


def _broken_builds(
    random: np.random.Generator, user: Integers, profile: Integers, name: Integers, first: Integers
) -> Flags:
    """Return whose build is broken: it stays as it is from one submission to the next, until it is built anew."""
    count = len(user)
    drawn_anew = (random.random(count) < profiles.NEW_BUILD_SHARE)[first]
    broken = (random.random(count) < profiles.BROKEN_SHARE)[first]
    stream = (user * len(PROFILES) + profile) * 64 + name
    order = np.argsort(stream, kind="stable")
    begins = np.r_[True, stream[order][1:] != stream[order][:-1]]
    # The state is that of the newest draw in the same stream.
    newest = np.maximum.accumulate(np.where(begins | drawn_anew[order], np.arange(count), 0))
    state = np.empty(count, bool)
    state[order] = broken[order][newest]
    return state


def _parents(random: np.random.Generator, user: Integers, submit: Integers, single: Flags) -> Integers:
    """Return the job that must end well before: for some jobs the user's job before, if that is young enough."""
    count = len(user)
    order = np.argsort(user, kind="stable")
    before = np.full(count, NONE)
    before[order[1:]] = np.where(user[order[1:]] == user[order[:-1]], order[:-1], NONE)
    wanted = random.random(count) < profiles.DEPENDENT_SHARE
    young = submit - submit[before] < profiles.DEPENDENT_HOURS * HOUR
    return np.where(wanted & single & (before != NONE) & young, before, NONE)


def _patience(random: np.random.Generator, count: int) -> Integers:
    seconds = np.maximum(random.exponential(profiles.PATIENCE_HOURS * HOUR, count), MINUTE).astype(np.int64)
    return np.where(random.random(count) < profiles.IMPATIENT_SHARE, seconds, NONE)
